"""Boards: what is on them, and where.

Pins and oscillators stand in ``constraints/``, one file a board, and nowhere else.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from qsnn import constraints

__all__ = ["BOARDS", "Board", "BoardError", "find_board"]

CONSTRAINTS = Path(constraints.__file__).parent
SUFFIXES = {"ice40": "pcf", "ecp5": "lpf", "gowin": "cst"}
PINS = {
    "pcf": r"^set_io\s.*?(?P<name>\w+)\s+(?P<pin>\w+)\s*(?:#.*)?$",
    "lpf": r'^LOCATE COMP "(?P<name>[\w\[\]]+)" SITE "(?P<pin>\w+)";',
    "cst": r'^IO_LOC "(?P<name>\w+)" (?P<pin>\w+);',
}


SDRAM = "sdram_"  # what the names of its ports begin with


class BoardError(ValueError):
    """A board that is not known."""


@dataclass(frozen=True)
class Board:
    """An FPGA board.

    title        what is printed on it
    family       ice40, ecp5 or gowin
    device       name of the FPGA for nextpnr
    package      and
    speed        speed grade, for nextpnr; empty where the device's name has them
    clock_hz     oscillator at the pin clk
    pll          primitive whose reference that pin can be
    core_hz      default clock of the core
    led_on       level that lights the LED
    logic        logic cells: one LUT4, one flip-flop
    ram_blocks   block RAMs of
    ram_bits     bits each, and
    ram_width    bits of the widest word
    spram_bits   single-port RAM without initial contents
    loader       name of the board for openFPGALoader
    volatile     whether a bitstream can be loaded past the flash
    cable        what the board's USB side is
    """

    name: str
    title: str
    family: str
    device: str
    package: str
    speed: str
    clock_hz: int
    pll: str
    core_hz: int
    led_on: int
    logic: int
    ram_blocks: int
    ram_bits: int
    ram_width: int
    spram_bits: int
    loader: str
    volatile: bool
    cable: str

    @property
    def constraints(self):
        """Path of the file with pins and clock."""
        return CONSTRAINTS / f"{self.name}.{SUFFIXES[self.family]}"

    @cached_property
    def pins(self):
        """Port of the board's top -> pin. rx and tx as the FPGA sees them.

        Boards with a place for an SPI master have cs, sck, mosi and miso.
        """
        return {name: pin for name, pin in self._sites.items() if not name.startswith(SDRAM)}

    @cached_property
    def sdram(self):
        """Signal of an SDRAM -> its pins, as in :func:`qsnn.hw.memory.sdram.pins`, with ``clk``
        and ``dq``; empty where there is none. What is missing has its level from the board."""
        found = {}
        for name, pin in self._sites.items():
            if name.startswith(SDRAM):
                found.setdefault(name.removeprefix(SDRAM).partition("[")[0], []).append(pin)
        return found

    @cached_property
    def _sites(self):
        pattern = re.compile(PINS[SUFFIXES[self.family]], re.MULTILINE)
        return {match["name"]: match["pin"]
                for match in pattern.finditer(self.constraints.read_text())}


#: All boards, by name.
BOARDS = {board.name: board for board in (
    Board("icebreaker", "iCEBreaker 1.0", "ice40", "up5k", "sg48", "", 12_000_000,
          pll="SB_PLL40_PAD", core_hz=24_000_000, led_on=0,
          logic=5280, ram_blocks=30, ram_bits=4096, ram_width=16, spram_bits=1 << 20,
          loader="ice40_generic", volatile=False, cable="FT2232"),
    Board("ice40hx8k", "iCE40-HX8K breakout board", "ice40", "hx8k", "ct256", "", 12_000_000,
          pll="SB_PLL40_CORE", core_hz=48_000_000, led_on=1,
          logic=7680, ram_blocks=32, ram_bits=4096, ram_width=16, spram_bits=0,
          loader="ice40_generic", volatile=False, cable="FT2232"),
    Board("colorlight-i5", "Colorlight i5 v7.0 on its extension board", "ecp5", "25k", "CABGA381",
          "6", 25_000_000,
          pll="EHXPLLL", core_hz=50_000_000, led_on=0,
          logic=24288, ram_blocks=56, ram_bits=18432, ram_width=36, spram_bits=0,
          loader="colorlight-i5", volatile=True, cable="CMSIS-DAP"),
    Board("ulx3s-85f", "ULX3S 85F", "ecp5", "85k", "CABGA381", "6", 25_000_000,
          pll="EHXPLLL", core_hz=50_000_000, led_on=1,
          logic=83640, ram_blocks=208, ram_bits=18432, ram_width=36, spram_bits=0,
          loader="ulx3s", volatile=True, cable="FT231X"),
    Board("tang-nano-9k", "Tang Nano 9K", "gowin", "GW1NR-LV9QN88PC6/I5", "", "", 27_000_000,
          pll="rPLL", core_hz=27_000_000, led_on=0,
          logic=8640, ram_blocks=26, ram_bits=18432, ram_width=36, spram_bits=0,
          loader="tangnano9k", volatile=True, cable="BL702"),
)}


def find_board(name):
    """The board of that name. Raises :class:`BoardError`."""
    if name not in BOARDS:
        raise BoardError(f"no board {name!r}: there are {', '.join(BOARDS)}")
    return BOARDS[name]
