"""The command ``qsnn``, and what all commands have in common."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from qsnn.model.config import Recipe
from qsnn.scripts.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
QSNN = [sys.executable, "-m", "qsnn.scripts.cli"]
HEAVY = ("amaranth", "matplotlib", "numpy", "torch")

# what runs in the background may have been told to ignore it
INTERRUPT = """import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
"""


def run(*arguments, modules="", **environment):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, env={
        **os.environ, "PYTHONPATH": str(modules), "COLUMNS": "100", **environment})


@pytest.fixture
def modules(tmp_path):
    """A folder for modules that come before those that are installed."""
    return tmp_path


def forbid(modules, *names):
    for name in names:
        (modules / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")


def test_help_imports_nothing(modules):
    forbid(modules, *HEAVY)
    done = run(*QSNN, "--help", modules=modules)
    assert (done.returncode, done.stderr) == (0, "")
    for name, text in COMMANDS.items():
        assert f"  {name:<10}{text}\n" in done.stdout, name
        assert find_spec(f"qsnn.scripts.{name}"), name
    # what would have been seen
    assert run(*QSNN, "build", "--help", modules=modules).stderr in {
        f"{name} was imported\n" for name in HEAVY}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name, modules):
    forbid(modules, "torch")
    ways = [*QSNN, name], [sys.executable, ROOT / "scripts" / f"{name}.py"]
    by_command, by_file = (run(*way, "--help", modules=modules) for way in ways)
    assert (by_command.returncode, by_command.stderr) == (0, "")
    usage, rest = by_command.stdout.split("\n", 1)
    assert usage.startswith(f"Usage: qsnn {name} [OPTIONS]")
    assert by_file.stdout == f"{usage.replace(f'qsnn {name}', f'{name}.py')}\n{rest}"


def test_defaults_of_a_training_are_those_of_the_recipe():
    text = " ".join(run(*QSNN, "train", "--help").stdout.split())
    found = dict(re.findall(r" --([a-z-]+) <\w+> [^<]*?\[default: ([^]]+)\]", text))
    for name in ("lr", "warp", "erase", "mix", "smoothing"):
        assert found[name.replace("_", "-")] == str(getattr(Recipe, name)), name
    for name in ("epochs", "batch-size", "warmup", "shift"):  # by the size of a small set
        assert re.search(rf" --{name} <int> [^-]*; {getattr(Recipe, name.replace('-', '_'))}, ",
                         text), name


def test_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert run(*QSNN, "--version").stdout == f"qsnn {declared}\n"


def test_unknown_command():
    done = run(*QSNN, "biuld")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "Error: No such command 'biuld'. Did you mean 'build'?"


@pytest.mark.parametrize("words, at, completed", [
    ("qsnn s", 1, ["simulate", "stream"]), ("qsnn flash --d", 2, ["--dry-run"])])
def test_shell_completion(words, at, completed):
    done = run(*QSNN, _QSNN_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(at))
    assert done.stdout.split() == completed


def test_missing_package(modules):
    (modules / "amaranth.py").write_text("import no_such_package\n")
    done = run(*QSNN, "build", modules=modules)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: the package no_such_package is missing: run `make setup` and "
                           "use .venv/bin/python\n")


@pytest.mark.parametrize("way", [[*QSNN, "build"], [sys.executable, ROOT / "scripts" / "build.py"]])
@pytest.mark.parametrize("module, code", [
    # while packages are imported, by the command line and by a command
    ("typer", INTERRUPT),
    ("amaranth", INTERRUPT),
    # while a command works; Python imports this module first
    ("sitecustomize", "import qsnn.hw.emit.build as build\n"
     "def stop(*_, **__):\n    raise KeyboardInterrupt\nbuild.artefacts = stop\n")])
def test_interrupt(way, module, code, modules):
    (modules / f"{module}.py").write_text(code)
    done = run(*way, "--out", modules / "build", modules=modules)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")
