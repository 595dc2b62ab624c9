"""docs/import-*.md, run as they stand: their models, their commands, what they say of the output.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qsnn.sim.test_your_data import FENCE
from tests.frameworks import framework

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snntorch", "spikingjelly"])
def test_page(name, tmp_path):
    pytest.importorskip("torch")
    framework(name)
    output, accuracy = "", []
    for kind, text in FENCE.findall((DOCS / f"import-{name}.md").read_text()):
        if kind == "python":
            (tmp_path / text.split("\n")[0].removeprefix("# ")).write_text(text)
        elif kind == "text":
            assert set(text.splitlines()) <= set(output.splitlines()), (text, output)
        else:
            for line in text.splitlines():
                program, *arguments = line.split()
                start = [sys.executable, "-m", "qsnn.scripts.cli"] if program == "qsnn" \
                    else [sys.executable]
                done = subprocess.run([*start, *arguments], cwd=tmp_path, text=True, timeout=300,
                                      capture_output=True, env=os.environ | {"COLUMNS": "200"})
                assert done.returncode == 0, (line, done.stdout, done.stderr)
                output = done.stdout
                accuracy += re.findall(r"test samples: floats ([\d.]+) %, integers ([\d.]+) %",
                                       output)
    floats, integers = (float(number) for number in accuracy[0])
    assert floats > 90 and integers > floats - 4
