"""Read-only memory whose contents are a memory image."""

from pathlib import Path

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

__all__ = ["ROM_VERILOG", "Rom"]

# Amaranth writes contents of memories into the Verilog; this module reads them from a file
ROM_VERILOG = (Path(__file__).parent / "rom.v").read_text()


class Rom(wiring.Component):
    """Memory with a registered output, so that a block RAM's slow read is off the critical path.

    Parameters
    ----------
    width : int
        Bits of a word.
    init : list of int
        Contents; the depth is their number.
    file : str or None
        Name of the memory image that the emitted Verilog reads. ``None`` keeps the contents
        inline, which is what the Amaranth simulator needs.

    Attributes
    ----------
    latency : int
        Cycles from :py:`address` to :py:`word`: 2.
    """

    latency = 2

    def __init__(self, *, width, init, file=None):
        self.width = width
        self.init = init
        self.file = file
        super().__init__({
            "address": In(max(1, ceil_log2(len(init)))),
            "word": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        if self.file is not None:
            m.submodules.rom = Instance(
                "qsnn_rom", p_WIDTH=self.width, p_DEPTH=len(self.init),
                p_ADDRESS=len(self.address), p_FILE=self.file,
                i_clk=ClockSignal(), i_address=self.address, o_word=self.word)
            return m
        m.submodules.memory = memory = Memory(shape=self.width, depth=len(self.init),
                                              init=self.init)
        port = memory.read_port()
        output = Signal(self.width, reset_less=True)
        m.d.comb += [port.addr.eq(self.address), self.word.eq(output)]
        m.d.sync += output.eq(port.data)
        return m
