"""Engines for boards: one bitstream for every network, made once and kept.

Where it is kept has a name with two hashes: of all that it is made from, and of the tools. So who
only looks for it needs no tools.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from qsnn.hw.board.boards import BoardError, find_board
from qsnn.hw.board.commands import TOOLS, pack_command, place_command, synthesis
from qsnn.hw.board.cores import FlowError, Options
from qsnn.hw.board.flow import replace_folder, run_tools, write_sources
from qsnn.hw.board.pll import pll_settings
from qsnn.hw.board.sdram import SdramPads
from qsnn.hw.board.toolchain import ToolError, find
from qsnn.hw.board.top import BoardTop
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.shape import EngineShape
from qsnn.hw.link.engine import EngineCore, memory_source
from qsnn.hw.memory.chips import SDRAMS
from qsnn.model.files import write_whole

__all__ = ["CACHE", "ENGINES", "Recipe", "build_engine", "find_engine", "find_kept"]

HW = Path(__file__).parents[1]
CACHE = Path("build") / "engines"
NAME = "engine"
RATE = 0.965  # of its cycles a chip gives data: what refreshes and rows leave, as measured


@dataclass(frozen=True)
class Recipe:
    """What an engine for a board is made of.

    board     its name
    shape     :class:`qsnn.hw.engine.shape.EngineShape`
    memory    name of the chip, see :mod:`qsnn.hw.memory.chips`
    clock_hz  of the engine
    memory_hz of the chip; 0: the same
    phase     degrees that the chip's clock is behind that of its controller
    late      of :class:`qsnn.hw.memory.sdram.SdramController`
    baud      of the serial port
    known     how many ways to map it are known to fail, see
              :func:`qsnn.hw.board.commands.remedies`
    placing   words for nextpnr
    """

    board: str
    shape: EngineShape
    memory: str
    clock_hz: int
    memory_hz: int = 0
    phase: int = 90
    late: int = 0
    baud: int = 1_000_000
    known: int = 0
    placing: tuple = ()

    @cached_property
    def target(self):
        """The :class:`qsnn.hw.board.boards.Board`."""
        return find_board(self.board)

    @cached_property
    def clocks(self):
        """What the PLL makes of the clocks: that of the engine, and of the chip or None."""
        settings = pll_settings(self.target, self.clock_hz, self.memory_hz or None)
        if settings is None:
            return self.target.clock_hz, None
        return round(settings.hz), round(settings.second_hz) if self.memory_hz else None

    @property
    def hz(self):
        """What the PLL makes of the engine's clock."""
        return self.clocks[0]

    def source(self):
        """What gives words of the chip, see :func:`qsnn.hw.link.engine.memory_source`."""
        return memory_source(self.chip, self.clocks[0], self.late, self.clocks[1])

    @property
    def chip(self):
        return SDRAMS[self.memory]

    @property
    def rate(self):
        """Words that the memory gives in a cycle, on average."""
        hz, memory_hz = self.clocks
        return min(1, RATE * self.chip.width / 32 * (memory_hz or hz) / hz)

    def core(self):
        hz, memory_hz = self.clocks
        return EngineCore(self.shape, self.chip, clock_hz=hz, baud=self.baud, late=self.late,
                          memory_hz=memory_hz)

    def top(self):
        pads = SdramPads(self.target, self.core(), self.phase)
        return BoardTop(self.target, pads, self.clock_hz)


#: By the name of the board.
ENGINES = {recipe.board: recipe for recipe in (
    Recipe("colorlight-i5", EngineShape(
        pe=16, simd=32, steps=4, beat=8, map_words=3072, slab_words=512, sum_bits=17,
        given_bits=27, place=12), "EM638325", 80_000_000, phase=270, late=1),
    Recipe("ulx3s-85f", EngineShape(
        pe=64, simd=32, steps=4, beat=16, map_words=16384, slab_words=512, sum_bits=17,
        given_bits=27, place=12), "AS4C32M16SB", 40_000_000, memory_hz=80_000_000, phase=270,
           late=1, baud=3_000_000, known=2,
           # what it does by itself does not come to an end on so full a chip
           placing=("--placer", "static", "--router", "router2")),
)}


def find_engine(board):
    """The :class:`Recipe` for a board of that name.

    Raises :class:`qsnn.hw.board.boards.BoardError`.
    """
    find_board(board)
    if board not in ENGINES:
        raise BoardError(f"there is no engine for the {board}: there are {', '.join(ENGINES)}")
    return ENGINES[board]


def find_kept(recipe, cache=CACHE):
    """The newest bitstream that was made of exactly this, or None."""
    cache = Path(cache)
    if not any(cache.glob(f"{recipe.board}-*-*")):
        return None
    for folder in sorted(cache.glob(f"{recipe.board}-{_key(recipe, cache)}-*"),
                         key=lambda folder: folder.stat().st_mtime, reverse=True):
        try:
            result = json.loads((folder / "result.json").read_text())
            bitstream = folder / result["bitstream"]["file"]
            if hashlib.sha256(bitstream.read_bytes()).hexdigest() == result["bitstream"]["sha256"]:
                return bitstream
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not whole: as if it were not there
    return None


def build_engine(recipe, cache=CACHE, *, seeds=1, say=print, show=lambda text: None):
    """Make the bitstream of an engine, whole or not at all; returns its path.

    Where one is kept that these tools have made, with as many seeds, it is that one. Raises
    :class:`qsnn.hw.board.toolchain.ToolError` and :class:`qsnn.hw.board.cores.FlowError`; logs are
    then in ``<cache>/<board>.failed/``.
    """
    board, cache = recipe.target, Path(cache)
    tools = {name: find(name) for name in TOOLS[board.family]}
    versions = {tool: found.version for tool, found in tools.items()}
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / f"{recipe.board}-{_key(recipe, cache)}-{_hash([versions, seeds])[:8]}"
    kept = find_kept(recipe, cache)
    if kept and kept.parent == place:
        return kept
    work = Path(tempfile.mkdtemp(dir=cache, prefix=f".{recipe.board}."))
    try:
        top = recipe.top()
        write_sources(work, top.core, top, {})
        options = Options(board, recipe.clock_hz, recipe.baud, seeds)
        result = run_tools(work, options, recipe.hz, tools, NAME, {}, say, show,
                           known=recipe.known, more=recipe.placing)
        result |= {"board": recipe.board, "clock_mhz": recipe.hz / 1e6, "tools": versions,
                   "shape": asdict(recipe.shape), "version": recipe.shape.version,
                   "memory": recipe.memory, "phase": recipe.phase, "baud": recipe.baud}
        (work / "result.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        replace_folder(work, place)
    except (FlowError, ToolError) as error:
        failed = cache / f"{recipe.board}.failed"
        replace_folder(work, failed)
        raise type(error)(f"{error}; logs are in {failed}/") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place / result["bitstream"]["file"]


def _key(recipe, cache):
    """Hash of all that a bitstream is made from, but the tools.

    Its Verilog takes a minute to make; so what came of the same sources is written down.
    """
    board = recipe.target
    files = [path for path in sorted(HW.rglob("*")) if path.suffix in (".py", ".v")]
    sources = [(path.name, path.read_text()) for path in (board.constraints, *files)]
    known = cache / f".{_hash([repr(recipe), sources, version('amaranth')])[:32]}"
    try:
        return known.read_text()
    except OSError:
        pass
    commands = [synthesis(board), place_command(board, "", 1, recipe.hz / 1e6, False),
                list(recipe.placing),
                pack_command(board, "", "", "")]
    key = _hash([to_verilog(recipe.top(), "top"), board.constraints.read_text(), commands])[:16]
    write_whole(known, key.encode())
    return key


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
