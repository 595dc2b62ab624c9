# amaranth: UnusedElaboratable=no
"""Engines for boards: recipes, their tops, and bitstreams that are kept."""

import json
import re
import stat
import sys
from dataclasses import replace

import pytest
from amaranth.hdl import Fragment

from qsnn.hw.board import engines
from qsnn.hw.board.boards import BOARDS, BoardError
from qsnn.hw.board.cores import FlowError
from qsnn.hw.board.engines import ENGINES, Recipe, build_engine, find_engine, find_kept
from qsnn.hw.board.sdram import SdramPads
from qsnn.hw.board.toolchain import Found, ToolError
from qsnn.hw.board.top import BoardTop
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.shape import EngineShape
from tests.digests import digests
from tests.test_flow import FAKE

SMALL = EngineShape(pe=8, simd=16, beat=4, map_words=512, slab_words=256)
RECIPES = [Recipe("colorlight-i5", SMALL, "EM638325", 60_000_000),
           Recipe("ulx3s-85f", SMALL, "AS4C32M16SB", 75_000_000, phase=135, baud=3_000_000),
           Recipe("ulx3s-85f", SMALL, "AS4C32M16SB", 60_000_000, memory_hz=120_000_000, phase=180,
                  late=1, baud=3_000_000)]


@pytest.mark.parametrize("recipe", RECIPES, ids=["i5", "85f", "two clocks"])
def test_top(recipe):
    """A port for each pin, a pad for each bit of the data, the chip's clock from both edges."""
    text = to_verilog(recipe.top(), "top")
    header = re.search(r"module top\((.*?)\);", text)[1].split(", ")
    board, width = recipe.target, recipe.chip.width
    assert sorted(header) == sorted([*board.pins, *(f"sdram_{name}" for name in board.sdram)])
    assert len(re.findall(r"^  BB ", text, re.M)) == width
    assert re.search(rf"inout (wire )?\[{width - 1}:0\] sdram_dq;", text)
    assert len(re.findall(r"^  ODDRX1F ", text, re.M)) == 1
    assert ("CLKOS2" in text) == bool(recipe.memory_hz)
    for name, pins in board.sdram.items():
        size = rf"\[{len(pins) - 1}:0\] " if len(pins) > 1 else ""
        assert name == "dq" or re.search(rf"output {size}sdram_{name};", text), name


def test_recipes():
    for name, recipe in ENGINES.items():
        assert find_engine(name) is recipe and recipe.board == name
        assert recipe.hz == recipe.clock_hz
    assert [recipe.rate for recipe in ENGINES.values()] == [0.965, 0.965]


@pytest.mark.parametrize("board, sentence", [
    ("x", "^no board 'x': there are icebreaker, "),
    ("icebreaker", "^there is no engine for the icebreaker: there are colorlight-i5, ulx3s-85f$")])
def test_no_recipe(board, sentence):
    with pytest.raises(BoardError, match=sentence):
        find_engine(board)


def test_another_chip():
    core = replace(RECIPES[0], memory="AS4C32M16SB").core()
    Fragment.get(core, None)  # for Amaranth, which misses what is not used
    with pytest.raises(BoardError, match="^a of the SDRAM on the Colorlight i5 v7.0 on its "
                       "extension board has 11 pins, not the 13 of this chip$|^dq of .* 32 pins"):
        SdramPads(BOARDS["colorlight-i5"], core, 90)
    with pytest.raises(BoardError, match="^there is no SDRAM at an ECP5 on the iCEBreaker 1.0$"):
        SdramPads(BOARDS["icebreaker"], core, 90)
    pads = SdramPads(BOARDS["colorlight-i5"], RECIPES[0].core(), 90)
    Fragment.get(pads, None)
    with pytest.raises(BoardError, match="^25 MHz come from no PLL, which an SDRAM needs$"):
        BoardTop(pads.board, pads, 25_000_000)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a small engine to its bitstream: two minutes of an idle machine
def test_pads(tmp_path):
    """Registers of the data, both ways, of addresses and commands are in the pads."""
    bitstream = build_engine(RECIPES[0], tmp_path, say=lambda text: None)
    cells = json.loads((bitstream.parent / "routed.json").read_text())["modules"]["top"]["cells"]
    modes = [cell["parameters"] for cell in cells.values() if cell["type"].endswith("IOLOGIC")]
    both = [mode for mode in modes if mode.get("FF.INREGMODE") == "FF"
            and mode.get("OUTREG.OUTREGMODE") == "FF"]
    out = [mode for mode in modes if mode.get("OUTREG.OUTREGMODE") == "FF"]
    assert len(both) == 32 and len(out) == 32 + 11 + 2 + 3
    assert [mode["MODE"] for mode in modes if "ODDRX1" in mode["MODE"]] == ["IDDRX1_ODDRX1"]
    assert len(modes) == len(out) + 1


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Tools that answer at once; one that fails, a frequency, a version."""
    (tmp_path / "tools").mkdir()

    def make(fails="", mhz=70.0, version="1.0"):
        def found(name):
            path = tmp_path / "tools" / name
            path.write_text(FAKE.format(python=sys.executable, fails=fails, mhz=[mhz]))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            return Found(str(path), version)
        monkeypatch.setattr(engines, "find", found)
    return make


def build(tmp_path, recipe=RECIPES[0]):
    return build_engine(recipe, tmp_path / "kept", say=lambda text: None)


def test_kept(tmp_path, fake, monkeypatch):
    """Found without tools; made again for another clock, and by other tools."""
    recipe, other = RECIPES[0], replace(RECIPES[0], clock_hz=50_000_000)
    assert find_kept(recipe, tmp_path / "kept") is None
    fake()
    made = build(tmp_path)
    before = digests(tmp_path / "kept")
    assert made.name == "engine.bit" and made.parent.name.startswith("colorlight-i5-")
    assert build(tmp_path) == made and digests(tmp_path / "kept") == before
    fake(version="1.1")
    newer = build(tmp_path)
    assert newer.parent != made.parent and newer.parent.name[:-9] == made.parent.name[:-9]

    def none(name):
        raise AssertionError("a tool is looked for")
    monkeypatch.setattr(engines, "find", none)
    assert find_kept(recipe, tmp_path / "kept") == newer
    assert find_kept(other, tmp_path / "kept") is None
    newer.write_bytes(b"half of it")
    assert find_kept(recipe, tmp_path / "kept") == made
    (made.parent / "result.json").write_text("{")
    assert find_kept(recipe, tmp_path / "kept") is None


def test_whole_or_not_at_all(tmp_path, fake):
    fake(fails="nextpnr-ecp5")
    with pytest.raises(ToolError, match="^place and route, seed 1 failed: no room left; logs are"):
        build(tmp_path)
    def there():
        return {path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()}
    assert there() == {"colorlight-i5.failed"}
    fake(mhz=59.0)
    with pytest.raises(FlowError, match="^the core runs at 59 MHz at most on the Colorlight i5"):
        build(tmp_path)
    assert find_kept(RECIPES[0], tmp_path / "kept") is None
    fake()
    build(tmp_path)
    assert len(there()) == 2
