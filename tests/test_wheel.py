"""The wheel, installed where no clone is: all that runs is inside, and builds the same bytes.

The new environment borrows the packages of this one by a path to them. That path does not bring
this project along: an editable install works by .pth files, which Python reads in the environment's
own folder only. A test holds that to be so, before the wheel is installed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("constraints", "hw", "model", "scripts", "sim")
TESTS = ("conftest", "runner", "tb_", "test_")
NAME = "mnist-128-b2"


def run(*command, cwd, **environment):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=clean | environment, capture_output=True, text=True,
                          timeout=600)


def checked(*command, cwd):
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources():
    """The files of the clone that are, or will be, committed."""
    listed = checked("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard",
                     cwd=ROOT)
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, in which an earlier build has left something."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in sources():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    (folder / "source" / "build" / "lib" / "qsnn").mkdir(parents=True)
    (folder / "source" / "build" / "lib" / "qsnn" / "stale.py").touch()
    checked(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
            "--wheel-dir", folder, folder / "source", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel):
    """The wheel in an environment of its own: its folder of programs."""
    folder = wheel.parent / "environment"
    checked(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    python, others = folder / "bin" / "python", sysconfig.get_path("purelib")
    purelib = Path(checked(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
                           cwd=wheel.parent).strip())
    (purelib / "others.pth").write_text(f"{others}\n")
    missing = run(python, "-c", "import numpy, qsnn", cwd=wheel.parent)
    assert missing.stderr.endswith("ModuleNotFoundError: No module named 'qsnn'\n")
    checked(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
            wheel, cwd=wheel.parent)
    return folder / "bin"


def test_contents(wheel):
    """Every file of the packages, and no other one."""
    expected = set()
    for name in sources():
        folder, _, rest = name.partition("/")
        if folder in FOLDERS and not Path(name).name.startswith(TESTS):
            inner = rest.removeprefix("api/") if folder == "scripts" and rest.startswith("api/") \
                else f"{folder}/{rest}"
            expected.add(f"qsnn/{inner}")
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert found == expected


def test_build_and_simulate(environment, tmp_path):
    place = checked(environment / "python", "-c", "import qsnn; print(qsnn.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(environment.parent)
    checked(environment / "qsnn", "build", "--model", NAME, cwd=tmp_path)
    checked(sys.executable, ROOT / "scripts" / "build.py", "--model", NAME, "--out", "clone",
            cwd=tmp_path)
    built, expected = tmp_path / "build" / NAME, tmp_path / "clone" / NAME
    files = [path.relative_to(expected) for path in expected.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(path.relative_to(built) for path in built.rglob("*")
                                   if path.is_file())
    for file in files:
        assert (built / file).read_bytes() == (expected / file).read_bytes(), file
    table = checked(environment / "qsnn", "simulate", built, "--images", "20", cwd=tmp_path)
    assert "equal: every label, score, spike and membrane" in table


def test_missing_package(environment, tmp_path):
    """The remedy is not the one of a clone."""
    (tmp_path / "torch.py").write_text("import no_such_package\n")
    done = run(environment / "qsnn", "train", "--dataset", "digits", cwd=tmp_path,
               PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (
        2, "error: the package no_such_package is missing: run `pip install qsnn-fpga`\n")
