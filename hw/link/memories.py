"""What a host writes into memories, and how it knows what is in them."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.rom import LoadPort, word_bytes

__all__ = ["ADDRESS_BYTES", "MemoryAccess"]

ADDRESS_BYTES = 3  # memory u8, word u16


class MemoryAccess(wiring.Component):
    """Takes the payloads of WRITE and CRC requests apart, see :mod:`qsnn.hw.link.protocol`.

    Parameters
    ----------
    sizes : list of (width, depth)
        Of the memories.

    Members
    -------
    begin : In(1)
        A request starts: what comes next is its payload.
    byte, valid, writes : In
        A byte of the payload, which rests for a cycle before and behind :py:`valid`; whether it
        may be written.
    known : Out(1)
        There is the memory that the payload names.
    walk : In(1)
        Read that memory from its first byte on.
    next, last : In(1), Out(1)
        Go on to the next byte; it is the last one: three cycles after the one before.
    port : Out(LoadPort)
        What it reads is there ``LoadPort.latency`` cycles after :py:`walk` or :py:`next`.
    """

    def __init__(self, sizes):
        self.sizes = sizes
        super().__init__({
            "begin": In(1), "byte": In(8), "valid": In(1), "writes": In(1), "known": Out(1),
            "walk": In(1), "next": In(1), "last": Out(1), "port": Out(LoadPort(sizes)),
        })

    def elaborate(self, platform):
        m = Module()
        port = self.port
        place = Signal(range(ADDRESS_BYTES + 1))
        at = Signal.like(port.at)
        column = Signal(range(max(word_bytes(width) for width, _ in self.sizes) + 1))
        last_column, last_word = Signal.like(column), Signal.like(at)
        with m.Switch(port.select):
            for index, (width, depth) in enumerate(self.sizes):
                with m.Case(index):
                    m.d.comb += [last_column.eq(word_bytes(width) - 1), last_word.eq(depth - 1)]
        word_end, memory_end, writing = Signal(), Signal(), Signal()
        m.d.sync += [word_end.eq(column == last_column), memory_end.eq(at == last_word),
                     writing.eq(self.writes & (place == ADDRESS_BYTES) & (column <= last_column))]
        m.d.comb += [
            port.at.eq(at), port.column.eq(column), port.data.eq(self.byte),
            self.last.eq(word_end & memory_end),
        ]
        m.d.sync += port.write.eq(self.valid & writing)
        with m.If(self.valid):
            with m.Switch(place):
                with m.Case(0):
                    m.d.sync += [port.select.eq(self.byte),
                                 self.known.eq(self.byte < len(self.sizes))]
                with m.Case(1):
                    m.d.sync += at[:8].eq(self.byte)
                with m.Case(2):
                    m.d.sync += at[8:].eq(self.byte)
            with m.If(place != ADDRESS_BYTES):
                m.d.sync += place.eq(place + 1)
        with m.If(port.write):
            m.d.sync += column.eq(column + 1)  # at most to the one behind the word
        with m.If(self.next):
            m.d.sync += column.eq(Mux(word_end, 0, column + 1))
            with m.If(word_end):
                m.d.sync += at.eq(at + 1)
        with m.If(self.begin):
            m.d.sync += [place.eq(0), port.hold.eq(0)]
        with m.If(self.walk):
            m.d.sync += [at.eq(0), port.hold.eq(1)]
        with m.If(self.begin | self.walk):
            m.d.sync += column.eq(0)
        return m
