"""Rooms: their imports go one way, their docstrings say what is in them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ["constraints", "model", "hw.plan", "hw.core", "hw.serial", "hw.network", "hw.memory",
         "hw.engine", "hw.link", "hw.emit", "hw.board", "hw", "sim", "scripts"]


def room_of(module):
    """The room of a module below qsnn; the package's own names are those of scripts/api."""
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len,
               default="scripts")


def imported(tree, package):
    """Modules below qsnn that a file imports, wherever in it."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[:len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "qsnn":
                yield name.partition(".")[2]


def arrows():
    """(file, room that it imports) of all imports that run back."""
    for file in sorted(path for room in ("constraints", "model", "hw", "sim", "scripts")
                       for path in (ROOT / room).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        here = ROOMS.index(room_of(".".join(parts)))
        for module in imported(ast.parse(file.read_text()), ["qsnn", *parts[:-1]]):
            if ROOMS.index(room_of(module)) > here:
                yield "/".join(parts) + ".py", room_of(module)


def test_one_way():
    assert list(arrows()) == []


@pytest.mark.parametrize("init", [*(ROOT / "hw").rglob("__init__.py"),
                                  ROOT / "model/graphs/__init__.py"],
                         ids=lambda init: init.parent.name)
def test_docstring_has_every_module(init):
    """A room's docstring lists what is in it, one module a line; that of hw/ the rooms."""
    lines = ast.get_docstring(ast.parse(init.read_text())).splitlines()
    named = [match[1] for line in lines if (match := re.match(r"(\w+)  +\w", line))]
    assert sorted(named) == sorted(
        path.stem for path in init.parent.iterdir() if path.stem[0] not in "_."
        and (path.suffix == ".py" or (path / "__init__.py").is_file()))


def test_imports_are_seen():
    tree = ast.parse("import qsnn.hw.plan.stages\nfrom qsnn.hw import core\n"
                     "def f():\n    from ..link import uart\nimport numpy")
    assert list(imported(tree, ["qsnn", "hw", "plan"])) == [
        "hw.plan.stages", "hw.core", "hw.link.uart"]
    assert [room_of(name) for name in ("hw.core", "hw.network", "train", "sim.live")] == [
        "hw.core", "hw.network", "scripts", "sim"]
