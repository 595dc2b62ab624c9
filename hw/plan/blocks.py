"""Which RAM a memory gets: the choice that Yosys makes, without Yosys.

Yosys (memory_libmap) gives every way of building a memory a cost and takes the cheapest: its
tables for both families and its sum are repeated here, so the number of block RAMs is not a guess.
"""

from dataclasses import dataclass
from math import ceil

__all__ = ["Memory", "Placed", "RAMS", "SPRAM_DEPTH", "SPRAM_WIDTH", "place"]

SPRAM_WIDTH, SPRAM_DEPTH = 64, 1 << 14  # of the four RAMs of an iCE40UP5K side by side

LOGIC_COST = {False: 1 / 16, True: 1.0}  # of a bit in logic cells, by whether it is ever written
MUX_COST = 0.5  # of a bit chosen, or of a write enable decoded, where RAMs stand behind each other
PORT_COST = 2  # of a read port of its own
OLD_DATA_COST = 12  # of logic that reads a word while it is written


@dataclass(frozen=True)
class Ram:
    """A kind of RAM.

    cost     what Yosys counts for one
    bits     of it, in words of 1, 2, 4 ... as many of
    widths   bits; 9 for 8 where there are parity bits
    byte     bits that one write enable covers; 0: it covers a word
    block    a block RAM, else logic cells with a write port
    """

    cost: int
    bits: int
    widths: tuple
    byte: int
    block: bool


RAMS = {
    "ice40": (Ram(64, 4096, (2, 4, 8, 16), 1, True),),
    "ecp5": (Ram(4, 64, (4,), 0, False), Ram(128, 16384, (1, 2, 4, 9, 18, 36), 9, True)),
    "gowin": (Ram(4, 64, (4,), 0, False), Ram(128, 16384, (1, 2, 4, 9, 18, 36), 9, True)),
}


@dataclass(frozen=True)
class Memory:
    """A memory as the source has it.

    written  whether anything writes it: a host or the layer before
    bytewise whether a write can be of one byte
    checked  whether reading a word while it is written must give the old one
    block    whether the source asks for block RAM, however small it is
    """

    width: int
    depth: int
    written: bool = False
    bytewise: bool = False
    checked: bool = False
    block: bool = False


@dataclass(frozen=True)
class Placed:
    """Where a memory went: ``units`` RAMs, in ``rows`` behind each other; or no RAM at all."""

    ram: Ram | None
    units: int = 0
    rows: int = 1

    @property
    def blocks(self):
        return self.units if self.ram and self.ram.block else 0


def place(family, memory):
    """Where Yosys puts a memory."""
    best = int(memory.width * memory.depth * LOGIC_COST[memory.written]), Placed(None)
    if not memory.width:
        return best[1]
    if memory.block:
        best = float("inf"), Placed(None)
    for ram in RAMS[family]:
        if not ram.block and (not memory.written or memory.block):
            continue
        ways = [_way(ram, memory, width) for width in ram.widths]
        cost, placed = min(ways, key=lambda way: way[0])
        if cost < best[0]:
            best = int(cost), placed
    return best[1]


def _way(ram, memory, width):
    """Cost and RAMs of a memory in words of so many bits."""
    depth = ram.bits // (width // 9 * 8 if width % 9 == 0 else width)
    rows = ceil(memory.depth / depth)
    across = memory.width
    if memory.written:
        # what one enable writes starts at a byte of the RAM
        byte = min(ram.byte or width, width)
        unit = 8 if memory.bytewise else memory.width
        across = sum(-(-min(unit, memory.width - start) // byte) * byte
                     for start in range(0, memory.width, unit))
    units = ceil(rows * across / width)
    enables = (ceil(memory.width / 8) if memory.bytewise else 1) if memory.written else 0
    cost = (ram.cost * units + MUX_COST * (rows - 1) * memory.width + PORT_COST
            + OLD_DATA_COST * memory.checked + MUX_COST * rows * enables * (rows > 1))
    return cost, Placed(ram, units, rows)
