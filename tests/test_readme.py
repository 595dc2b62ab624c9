"""What the pages name is there: files that they link to, files, commands, options, targets."""

import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "constraints", "docs", "hw", "model", "scripts", "sim", "tests")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "model/networks/README.md"]
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in sorted(PAGES)}
FENCE = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def code(text):
    """What stands in a page's fences and between its backticks, one after the other."""
    fences = FENCE.findall(text)
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return "\n".join([*fences, *(" ".join(span.split()) for span in spans)])


@cache
def options_of(name):
    """All options of a command."""
    command = get_command(import_module(f"qsnn.scripts.{name}").app)
    return {word for parameter in command.params for word in parameter.opts} | {"--help"}


@pytest.fixture(params=PAGES)
def page(request):
    return request.param


def test_links(page):
    for link in re.findall(r"\]\(([^)#\s]+)", PAGES[page]):
        if not link.startswith("https://"):
            assert (ROOT / page).parent.joinpath(link).exists(), link


def test_files(page):
    named = re.findall(rf"(?<![\w./<>-])(?:{'|'.join(FOLDERS)})/[\w./-]*", code(PAGES[page]))
    for name in named:
        assert (ROOT / name.rstrip(".")).exists(), name


def test_commands(page):
    text = re.sub(r"\s+#.*", "", code(PAGES[page]))
    for name, rest in re.findall(r"\b(?:qsnn |python scripts/)([a-z]+)(?:\.py)?\b(.*)", text):
        assert (ROOT / f"scripts/{name}.py").is_file(), name
        assert set(re.findall(r"--[a-z-]+", rest)) <= options_of(name), name
    for name in re.findall(r"python -m benchmarks\.(\w+)", text):
        assert (ROOT / f"benchmarks/{name}.py").is_file(), name


def test_targets(page):
    targets = re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^(?:`|)make ([a-z./-]+)", code(PAGES[page]), re.MULTILINE)) <= {
        *targets}


def test_code():
    text = "a `hw/plan/x.py`\n```\nqsnn build --bits 2  # much\nmake demo\n```\n"
    assert code(text) == "qsnn build --bits 2  # much\nmake demo\n\nhw/plan/x.py"
