"""The examples, as a user runs them, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", example], cwd=tmp_path, text=True,
                          capture_output=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every label, score, spike and membrane equal to the golden model" in done.stdout
    assert re.search(r"^\d[\d.]* cycles a", done.stdout, re.MULTILINE)


def test_there_is_one_for_images_and_one_for_a_stream():
    assert [path.stem for path in EXAMPLES] == ["images", "stream"]
