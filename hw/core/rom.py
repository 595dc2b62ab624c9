"""Memories whose contents are memory images: read only, or loaded by a host as well."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import SPRAM_DEPTH, SPRAM_WIDTH

__all__ = ["LoadPort", "Rom", "share_port", "word_bytes"]


def word_bytes(width):
    """Bytes of a word as it is loaded, the lowest first."""
    return -(-width // 8)


class LoadPort(wiring.Signature):
    """What loads some memories and reads them back, seen from the loader.

    sizes : list of (width, depth)
        Of the memories.

    Members
    -------
    select : Out
        Which of the memories.
    hold : Out(1)
        It reads the word :py:`at` in place of its own address.
    at, column : Out
        A word, and a byte of it.
    data, write : Out(8), Out(1)
        Write this byte.
    byte : In(8)
        The byte, once the other members have rested for three cycles.
    """

    latency = 3

    def __init__(self, sizes):
        self.sizes = list(sizes)
        widest, deepest = (max(column) for column in zip(*sizes, strict=True))
        super().__init__({
            "select": Out(range(max(2, len(self.sizes)))),
            "hold": Out(1), "at": Out(max(1, ceil_log2(deepest))),
            "column": Out(range(max(2, word_bytes(widest)))),
            "data": Out(8), "write": Out(1), "byte": In(8),
        })


def share_port(m, port, sizes, parts):
    """Connect a port to the ports of its parts, which hold its memories in order.

    ``sizes`` as those of the port; ``parts`` come with the number of memories in each.
    """
    first = 0
    for part, count in parts:
        chosen = port.select.matches(*range(first, first + count))
        columns = word_bytes(max(width for width, _ in sizes[first:first + count]))
        m.d.comb += [
            part.select.eq(port.select - first), part.at.eq(port.at), part.column.eq(port.column),
            part.data.eq(port.data), part.hold.eq(port.hold & chosen),
            part.write.eq(port.write & chosen & (port.column < columns)),
        ]
        with m.If(chosen):
            m.d.comb += port.byte.eq(part.byte)
        first += count


class Rom(wiring.Component):
    """Memory with a registered output, so that a block RAM's slow read is off the critical path.

    Parameters
    ----------
    width : int
        Bits of a word.
    init : list of int
        Contents; the depth is their number.
    file : str or None
        Name of the memory image that the emitted Verilog reads, in modules written by hand:
        Amaranth's own have their contents inside. ``None`` keeps those, for its simulator.
    loadable : bool
        Whether it has the port :py:`load`.
    spram : bool
        Whether it sits in the single-port RAMs of an iCE40UP5K. They have no initial contents, so
        it must be loadable.

    Attributes
    ----------
    latency : int
        Cycles from :py:`address` to :py:`word`: 2.

    Members
    -------
    address, word : In, Out
    load : In(LoadPort) of this memory alone
        Never used while :py:`word` is wanted for something else.
    """

    latency = 2

    def __init__(self, *, width, init, file=None, loadable=False, spram=False):
        if spram and not (loadable and width <= SPRAM_WIDTH and len(init) <= SPRAM_DEPTH):
            raise ValueError(f"{len(init)} words of {width} bits cannot be a single-port RAM")
        self.width, self.init, self.file = width, init, file
        self.loadable, self.spram = loadable, spram
        members = {"address": In(max(1, ceil_log2(len(init)))), "word": Out(width)}
        if loadable:
            members["load"] = In(LoadPort([(width, len(init))]))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        address = Signal.like(self.address)
        m.d.comb += address.eq(self.address)
        ports = {}
        if self.loadable:
            write = Signal(word_bytes(self.width))
            m.d.comb += write.eq(self.load.write << self.load.column)
            with m.If(self.load.hold):
                m.d.comb += address.eq(self.load.at)
            ports = dict(i_at=self.load.at, i_data=self.load.data, i_write=write)
            with m.Switch(self.load.column):
                for column in range(len(write)):
                    with m.Case(column) if column < len(write) - 1 else m.Default():
                        m.d.sync += self.load.byte.eq(self.word[8 * column:8 * column + 8])
        if self.file is not None:
            kind = "spram" if self.spram else "ram" if self.loadable else "rom"
            m.submodules.rom = Instance(
                f"qsnn_{kind}", p_WIDTH=self.width, p_DEPTH=len(self.init),
                p_ADDRESS=len(self.address), p_FILE=self.file,
                i_clk=ClockSignal(), i_address=address, o_word=self.word, **ports)
            return m
        m.submodules.memory = memory = Memory(shape=8 * word_bytes(self.width),
                                              depth=len(self.init), init=self.init)
        if self.loadable:
            port = memory.write_port(granularity=8)
            m.d.comb += [port.addr.eq(self.load.at), port.en.eq(write),
                         port.data.eq(self.load.data.replicate(len(write)))]
        port = memory.read_port()
        output = Signal(self.width, reset_less=True)
        m.d.comb += [port.addr.eq(address), self.word.eq(output)]
        m.d.sync += output.eq(port.data)
        return m
