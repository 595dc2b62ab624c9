"""Pooling of spikes: squares come one after the other, so a pixel's worth of memory is enough."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Pool"]


class Pool(wiring.Component):
    """Combines the spikes of the pixels of a square, channel by channel and step by step.

    Parameters
    ----------
    pixels : int
        Of a square.
    beats : int
        Of a pixel.
    lanes, steps : int
        Channels of a beat, and time steps of each.
    bits : int
        Of a result: 1 for whether any fires, more for how many do.

    Attributes
    ----------
    latency : int
        Cycles from a square's last beats to its results: 1.

    Members
    -------
    valid, spikes : In(1), In(lanes * steps)
    o_valid, o : Out(1), Out(lanes * steps * bits)
    """

    latency = 1

    def __init__(self, *, pixels, beats, lanes, steps, bits):
        self.pixels, self.beats, self.bits = pixels, beats, bits
        self.count = lanes * steps
        super().__init__({"valid": In(1), "spikes": In(self.count),
                          "o_valid": Out(1), "o": Out(self.count * bits)})

    def elaborate(self, platform):
        m = Module()
        beat, last_beat = Signal(range(max(2, self.beats))), Signal(init=self.beats == 1)
        pixel = Signal(range(max(2, self.pixels)))
        first, last = Signal(init=1), Signal(init=self.pixels == 1)
        line = [Signal(self.count * self.bits, name=f"line_{index}", reset_less=True)
                for index in range(self.beats)]
        oldest = [Mux(first, 0, line[-1].word_select(index, self.bits))
                  for index in range(self.count)]
        spikes = [self.spikes[index] for index in range(self.count)]
        combined = [(a | b if self.bits == 1 else a + b)[:self.bits]
                    for a, b in zip(oldest, spikes, strict=True)]
        m.d.sync += self.o_valid.eq(self.valid & last)
        m.d.comb += self.o.eq(line[0])
        with m.If(self.valid):
            m.d.sync += line[0].eq(Cat(combined))
            m.d.sync += [after.eq(before) for before, after in zip(line, line[1:], strict=False)]
            m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            if self.beats > 1:
                m.d.sync += last_beat.eq(beat == self.beats - 2)
            with m.If(last_beat):
                m.d.sync += [pixel.eq(Mux(last, 0, pixel + 1)), first.eq(last)]
                if self.pixels > 1:
                    m.d.sync += last.eq(pixel == self.pixels - 2)
        return m
