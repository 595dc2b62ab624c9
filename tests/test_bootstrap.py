"""What a script says where a package is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def run(code):
    path = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import _bootstrap; "
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True,
                          cwd="/", timeout=300)


@pytest.mark.parametrize("code, package, remedy", [
    ("import no_such_package.inner", "no_such_package",
     "run `make setup` and use .venv/bin/python"),
    # a name that is None in sys.modules cannot be imported
    ("sys.modules['torch'] = None; import torch.nn", "torch",
     "run `.venv/bin/pip install -e '.[train]'`"),
])
def test_missing_package(code, package, remedy):
    done = run(code)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: the package {package} is missing: {remedy}\n"


@pytest.mark.parametrize("code, line", [
    ("import qsnn.no_such_module", "ModuleNotFoundError: No module named 'qsnn.no_such_module'"),
    ("1 / 0", "ZeroDivisionError: division by zero")])
def test_our_own_errors_stay_errors(code, line):
    done = run(code)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback ") and done.stderr.splitlines()[-1] == line


def test_scripts_hide_no_packages():
    """build.py, train.py and others stand in the folder that Python looks into first."""
    done = run("import build")
    assert done.stderr.startswith("error: the package build is missing")
