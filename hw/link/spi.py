"""SPI in the place of a serial line: mode 0, most significant bit first, a slave."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from qsnn.hw.link.uart import BYTE
from qsnn.hw.plan.line import SCK_CYCLES

__all__ = ["SCK_CYCLES", "Spi"]



class Spi(wiring.Component):
    """Bytes both ways while a master clocks them.

    The clock samples all lines; SCK is no clock here. What is needed of the master:

    * a period of :py:`SCK_CYCLES` cycles or more. Three are enough for the logic: an edge of SCK
      is seen within three, and MISO has its next bit then. The others are for pads and wires.
    * levels of SCK that last more than a cycle, MOSI at rest while SCK is high;
    * four cycles from the edge of CS to the first of SCK, and two from the last to CS; two cycles
      of CS high.

    MISO changes two to three cycles after SCK has risen, not when it falls: the master has taken
    the bit by then, and the next one has nearly the whole period for its way. It is driven while
    CS is high too: no other device may be on the wire.

    Where there is nothing to say the byte is 0, which delimits frames: an empty one, as it means
    nothing. A byte that CS cuts short is lost in both directions. One that has not begun is not.

    Attributes
    ----------
    byte_cycles : int
        From byte to byte, at least.

    Members
    -------
    i : In(stream of 8 bits)
        Bytes to the master. One is taken with the first bit that the master has read of it; the
        next must be there within seven bits, or a 0 comes between.
    o : Out(stream of BYTE, always ready)
        Bytes from the master, never bad, in the cycle in which the last bit is seen.
    cs, sck, mosi, miso : In(1), In(1), In(1), Out(1)
        The pins; chip select is active low. They need not be synchronous.
    """

    def __init__(self):
        self.byte_cycles = 8 * SCK_CYCLES
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(BYTE, always_ready=True)),
            "cs": In(1, init=1), "sck": In(1), "mosi": In(1), "miso": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        high, sck, before, mosi = Signal(init=1), Signal(), Signal(), Signal()
        m.submodules.cs = FFSynchronizer(self.cs, high, init=1)
        m.submodules.sck = FFSynchronizer(self.sck, sck)
        m.submodules.mosi = FFSynchronizer(self.mosi, mosi)

        # one register for both ways: what is sent leaves at the top while what comes moves in
        bits, come, count, rise = Signal(8), Signal(8), Signal(3), Signal()
        offered = Signal()  # what is sent is a byte of i
        m.d.sync += before.eq(sck)
        m.d.comb += [
            rise.eq(sck & ~before & ~high),
            come.eq(Cat(mosi, bits)),
            self.miso.eq(bits[-1]),
            self.o.p.data.eq(come), self.o.valid.eq(rise & (count == 7)),
            self.i.ready.eq(rise & (count == 0) & offered),
        ]
        with m.If(rise):
            m.d.sync += [bits.eq(come), count.eq(count + 1)]
        with m.If(high | self.o.valid):
            # from here on it rests: the master may read the first bit at any time
            m.d.sync += [bits.eq(Mux(self.i.valid, self.i.payload, 0)), offered.eq(self.i.valid)]
        with m.If(high):
            m.d.sync += count.eq(0)
        return m
