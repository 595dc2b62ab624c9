"""docs/your-data.md, run as it stands: its commands, and what it says of their output."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/your-data.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PERCENT = re.compile(r"\d+\.\d+ ?%( \(\d+ of \d+\), firing rates [\d. ]+)?")


def steps():
    """(program, what the page says of its output) in the page's order."""
    found = []
    for kind, text in FENCE.findall(PAGE.read_text()):
        if kind == "text":
            found[-1][1].extend(text.splitlines())
        elif kind == "python":
            found.append(([sys.executable, "-c", text], []))
        else:
            found += [([sys.executable, "-m", "qsnn.scripts.cli", *line.split()[1:]], [])
                      for line in text.splitlines()]
    return found


@pytest.mark.slow
def test_tutorial(tmp_path):
    environment = os.environ | {"COLUMNS": "200"}
    outputs = []
    for command, said in steps():
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, timeout=300,
                              capture_output=True)
        assert (done.returncode, done.stderr) == (0, ""), (command, done.stdout, done.stderr)
        outputs.append(done.stdout)
        # another processor may train another network; all else is the same everywhere
        lines = [PERCENT.sub("", line) for line in done.stdout.splitlines()]
        for line in said:
            assert PERCENT.sub("", line) in lines, (line, done.stdout)
    assert len(outputs) == 6
    accuracy = re.search(r"test: ([\d.]+) %", outputs[1])[1]
    assert float(accuracy) > 90
    assert outputs[3].count(f"{float(accuracy):.2f}%") == 2  # of the Verilog too
    labels = re.findall(r"label (\w+)  scores", outputs[4])
    assert outputs[5] == f"{labels}\n"
    assert (tmp_path / "runs/digits-64-b2/curve.png").exists()
    assert (tmp_path / "build/digits/confusion.png").exists()
