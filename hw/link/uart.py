"""Serial line: 8 data bits, no parity, one stop bit, least significant bit first."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["BYTE", "Uart", "UartReceiver", "UartTransmitter", "divisor"]

BYTE = data.StructLayout({"data": 8, "bad": 1})  # a received byte; bad: not to be believed
MIN_DIVISOR = 5  # with 4, the cycle in which the edge is seen and 2.5 % add up to half a bit
MAX_ERROR = 0.01  # of the baud rate, by rounding: the rest of what receivers stand is the host's


def divisor(clock_hz, baud):
    """Clock cycles of a bit. Raises ``ValueError`` where the clock cannot make the rate."""
    cycles = round(clock_hz / baud)
    if cycles < MIN_DIVISOR:
        raise ValueError(f"{baud:,} baud needs a clock of {MIN_DIVISOR * baud:,} Hz or more, "
                         f"not {clock_hz:,}")
    if abs(clock_hz / cycles / baud - 1) > MAX_ERROR:
        raise ValueError(f"{baud:,} baud cannot be made from {clock_hz:,} Hz: the nearest is "
                         f"{clock_hz / cycles:,.0f}")
    return cycles


def _check(divisor):
    if divisor < MIN_DIVISOR:
        raise ValueError(f"a bit takes {MIN_DIVISOR} cycles or more, not {divisor}")


class UartReceiver(wiring.Component):
    """Takes bytes from a line.

    A falling edge starts a byte. Bits are sampled in their middle, so a sender may be early or
    late by almost half a bit in the ninth bit after the edge: 2.5 % (a quarter of a bit) and the
    cycle that it takes to see the edge are well inside. If the line is high again in the middle of
    the start bit, it was a glitch. If it is low in the stop bit, the byte is marked bad, and the
    next one starts only after the line was high. The receiver waits for the next edge from the
    middle of the stop bit on, so a fast sender may send without gaps.

    Parameters
    ----------
    divisor : int
        Cycles of a bit.

    Members
    -------
    rx : In(1)
        The line, synchronous to the clock, high when idle.
    o : Out(stream of BYTE, always ready)
        A byte, in the cycle after the middle of its stop bit was sampled.
    """

    def __init__(self, divisor):
        _check(divisor)
        self.divisor = divisor
        super().__init__({
            "rx": In(1, init=1),
            "o": Out(stream.Signature(BYTE, always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        active = Signal()
        before = Signal(init=1)
        timer = Signal(range(self.divisor))
        bits = Signal(9, reset_less=True)  # ones, until the start bit, which is 0, comes in on top
        whole = ~bits[0]                   # the start bit has come down: the stop bit is next
        m.d.comb += [self.o.p.data.eq(bits[1:])]
        m.d.sync += [before.eq(self.rx), self.o.valid.eq(0), timer.eq(timer - 1)]

        with m.If(~active):
            # the edge is seen one cycle after it came
            m.d.sync += [timer.eq(self.divisor // 2 - 1), bits.eq(~0)]
            m.d.sync += active.eq(before & ~self.rx)
        with m.Elif(timer == 0):
            m.d.sync += timer.eq(self.divisor - 1)
            with m.If(whole):
                m.d.sync += [active.eq(0), self.o.valid.eq(1), self.o.p.bad.eq(~self.rx)]
            with m.Else():
                m.d.sync += bits.eq(Cat(bits[1:], self.rx))
                with m.If(bits.all() & self.rx):
                    m.d.sync += active.eq(0)
        return m


class UartTransmitter(wiring.Component):
    """Gives bytes to a line.

    Parameters
    ----------
    divisor : int
        Cycles of a bit.

    Members
    -------
    i : In(stream of 8 bits)
        Bytes; one takes 10 bits of the line, without a gap if the next one is there.
    tx : Out(1)
        The line, a register, high when idle.
    """

    def __init__(self, divisor):
        _check(divisor)
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self.divisor))
        bits = Signal(10, init=1)  # the stop bit, 1, has nothing above it: alone, it is the end
        alone = Signal(init=1)
        m.d.sync += alone.eq(~bits[1:].any())  # a bit takes longer than this
        m.d.comb += [self.tx.eq(bits[0]), self.i.ready.eq((timer == 0) & alone)]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(~alone):
            m.d.sync += [timer.eq(self.divisor - 1), bits.eq(bits[1:])]
        with m.Elif(self.i.valid):
            m.d.sync += [timer.eq(self.divisor - 1), bits.eq(Cat(0, self.i.payload, 1))]
        return m


class Uart(wiring.Component):
    """Bytes both ways over two wires.

    Parameters
    ----------
    divisor : int
        Cycles of a bit.

    Attributes
    ----------
    byte_cycles : int
        From byte to byte, at least: 9.5 bits, of a host that sends without gaps and 5 % too fast.

    Members
    -------
    i, o : In(stream of 8 bits), Out(stream of BYTE, always ready)
        As those of :class:`UartTransmitter` and :class:`UartReceiver`.
    rx, tx : In(1), Out(1)
        The line, high when idle. :py:`rx` need not be synchronous.
    """

    def __init__(self, divisor):
        self.receiver, self.transmitter = UartReceiver(divisor), UartTransmitter(divisor)
        self.divisor = divisor
        self.byte_cycles = 19 * divisor // 2
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(BYTE, always_ready=True)),
            "rx": In(1, init=1), "tx": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self.receiver
        m.submodules.transmitter = transmitter = self.transmitter
        m.submodules.synchronizer = FFSynchronizer(self.rx, receiver.rx, init=1)
        wiring.connect(m, receiver.o, wiring.flipped(self.o))
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        m.d.comb += self.tx.eq(transmitter.tx)
        return m
