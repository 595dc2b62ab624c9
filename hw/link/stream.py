"""A network for streams at a serial line: records of bytes in and out, asleep between samples."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.link.uart import Uart, divisor
from qsnn.hw.network import Network
from qsnn.hw.plan.window import ceil_div

__all__ = ["RecordReader", "RecordWriter", "StreamBoard", "sleeping"]

SETTLE = 6  # cycles in which a result is on its way to the queue


def sleeping(m, network, arrives):
    """Add a network whose registers stand still while there is nothing to do; whether it is awake.

    arrives: something comes in this cycle.
    """
    awake, recent = Signal(), Signal(SETTLE)
    # what is busy now was so, or came, in the cycle before: registers say it soon enough
    m.d.comb += awake.eq(arrives | recent.any())
    m.d.sync += recent.eq(Cat(arrives | network.busy, recent))
    m.submodules.network = EnableInserter(awake)(network)
    return awake


class RecordReader(wiring.Component):
    """Bytes to records of ``width`` bits: seven bits a byte, the lowest ones first.

    The first byte of a record has the highest bit set and no other has: whatever was lost, the next
    record is read again.

    A line cannot be told to wait. So a record waits to be taken, and one more behind it: nothing is
    lost as long as a record is taken in the time of the next one, however late in it. Else the
    second one is lost, whole, with the first byte of a third. Bytes are two cycles apart at least.

    Members
    -------
    valid, byte : In
    o : Out(stream of width bits)
    lost : Out(1)
        A record was lost, at any time since reset.
    """

    def __init__(self, width):
        self.width, self.count = width, ceil_div(width, 7)
        super().__init__({"valid": In(1), "byte": In(8), "o": Out(stream.Signature(width)),
                          "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        place, record = Signal(range(self.count + 1), init=self.count), Signal(7 * self.count)
        at, whole, free = Signal.like(place), Signal(), Signal()
        m.d.comb += [at.eq(Mux(self.byte[7], 0, place)), free.eq(~self.o.valid | self.o.ready)]
        with m.If(free):
            m.d.sync += [self.o.valid.eq(whole), self.o.payload.eq(record), whole.eq(0)]
        with m.If(self.valid & (at != self.count)):
            m.d.sync += [place.eq(at + 1), whole.eq(at == self.count - 1),
                         record.eq(Cat(record[7:], self.byte[:7])),
                         self.lost.eq(self.lost | (whole & ~free))]
        return m


class RecordWriter(wiring.Component):
    """Records of ``width`` bits to bytes, as :class:`RecordReader` takes them.

    Members
    -------
    i : In(stream of width bits)
    o : Out(stream of 8 bits)
    """

    def __init__(self, width):
        self.width, self.count = width, ceil_div(width, 7)
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        left, record, first = Signal(range(self.count + 1)), Signal(7 * self.count), Signal()
        m.d.comb += [self.i.ready.eq(left == 0), self.o.valid.eq(left != 0),
                     self.o.payload.eq(Cat(record[:7], first))]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [record.eq(self.i.payload), left.eq(self.count), first.eq(1)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [record.eq(record >> 7), left.eq(left - 1), first.eq(0)]
        return m


class StreamBoard(wiring.Component):
    """A network for streams at a serial line, asleep between samples.

    Samples, or steps, come as records of :class:`RecordReader`: the payload of the network's
    :py:`i`; each class of a result goes as one of its :py:`o`.

    Parameters
    ----------
    description, foldings, encoder, files :
        As for :class:`qsnn.hw.network.Network`.
    clock_hz, baud : int
        Raises ``ValueError`` if the one cannot be made from the other.

    Members
    -------
    rx, tx : In(1), Out(1)
    busy : Out(1)
        It is awake; or a record was lost, and then it is high until reset: samples came faster than
        the network takes them, or results were asked for faster than the line takes those.
    """

    def __init__(self, description, foldings, *, clock_hz, baud, encoder="", files=""):
        self.uart = Uart(divisor(clock_hz, baud))  # first: it may refuse
        self.network = Network(description, foldings, encoder=encoder, files=files)
        self.reader = RecordReader(len(self.network.i.payload.as_value()))
        self.writer = RecordWriter(len(self.network.o.payload.as_value()))
        super().__init__({"rx": In(1, init=1), "tx": Out(1), "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = self.uart
        m.submodules.reader = reader = self.reader
        m.submodules.writer = writer = self.writer
        network = self.network
        m.d.comb += self.busy.eq(sleeping(m, network, reader.o.valid) | reader.lost)
        m.d.comb += [
            uart.rx.eq(self.rx), self.tx.eq(uart.tx),
            reader.valid.eq(uart.o.valid & ~uart.o.p.bad), reader.byte.eq(uart.o.p.data),
            network.i.payload.eq(reader.o.payload), network.i.valid.eq(reader.o.valid),
            reader.o.ready.eq(network.i.ready),
            writer.i.payload.eq(network.o.payload), writer.i.valid.eq(network.o.valid),
            network.o.ready.eq(writer.i.ready),
        ]
        wiring.connect(m, writer.o, uart.i)
        return m
