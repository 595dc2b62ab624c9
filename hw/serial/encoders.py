"""Encoders: sampled signals become spikes, exactly as :mod:`qsnn.model.encoders` says it.

That of sound is in :mod:`qsnn.hw.serial.audio`.
"""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.plan.folding import FoldingError
from qsnn.hw.serial.audio import SoundEncoder
from qsnn.hw.serial.buffer import RAM
from qsnn.model.encoders import Rhythm
from qsnn.model.recordings import CROSSED, CROSSED_SHIFT, TASKS, UNUSUAL, UNUSUAL_SHIFT

BEAT_STEPS = TASKS["ecg"].steps

__all__ = ["ENCODERS", "BeatEncoder", "Crossings", "RhythmEncoder",
           "Unusual", "make_encoder", "thermometer"]


def thermometer(number, levels):
    """The spikes of an unsigned number: spike i is ``number >= levels[i]``."""
    return Cat(number >= level for level in levels)


class Crossings(wiring.Component):
    """Level crossings of a signal, :func:`qsnn.model.encoders.crossings`.

    Parameters
    ----------
    shift, levels, width :
        As there.

    Members
    -------
    valid, begin, x : In
        A sample, signed; whether the prediction begins anew with it.
    o_valid, o : Out
        A cycle later: the spikes of crossings upwards, then of those downwards.
    """

    latency = 1

    def __init__(self, *, shift, levels, width):
        self.shift, self.levels = shift, list(levels)
        super().__init__({
            "valid": In(1), "begin": In(1), "x": In(signed(width)),
            "o_valid": Out(1), "o": Out(2 * len(self.levels)),
        })

    def elaborate(self, platform):
        m = Module()
        width = len(self.x)
        p, started = Signal(signed(width)), Signal()
        before = Signal(signed(width))
        difference = Signal(signed(width + 1))
        size, down = Signal(width + 1), Signal()
        whole = Signal(width + 1 - self.shift)
        m.d.comb += [
            before.eq(Mux(self.begin | ~started, self.x, p)),
            difference.eq(self.x - before), down.eq(difference < 0),
            size.eq(Mux(down, -difference, difference)), whole.eq(size >> self.shift),
        ]
        m.d.sync += self.o_valid.eq(self.valid)
        with m.If(self.valid):
            moved = whole << self.shift
            reached = thermometer(whole, self.levels)
            m.d.sync += [started.eq(1), p.eq(Mux(down, before - moved, before + moved)),
                         self.o.eq(Cat(Mux(down, 0, reached), Mux(down, reached, 0)))]
        return m


class RhythmEncoder(wiring.Component):
    """Early and late beats, :class:`qsnn.model.encoders.Rhythm`.

    Parameters
    ----------
    rhythm : :class:`qsnn.model.encoders.Rhythm`
        Its widths; it starts as it does.

    Members
    -------
    valid, begin, interval : In
        A beat, with the interval before it, 0 where there is none; whether the mean begins anew.
    o : Out(6)
        From two cycles later to the next beat: early, then late.
    """

    latency = 2

    def __init__(self, rhythm):
        self.rhythm = rhythm
        self.bits = rhythm.longest.bit_length()
        super().__init__({"valid": In(1), "begin": In(1), "interval": In(16),
                          "o": Out(len(Rhythm.EARLY) + len(Rhythm.LATE))})

    def elaborate(self, platform):
        m = Module()
        r = self.rhythm
        mean, started, valid = Signal(self.bits + r.shift), Signal(), Signal()
        short, interval, before = Signal(self.bits), Signal(self.bits), Signal.like(mean)
        m.d.comb += short.eq(Mux(self.interval > r.longest, r.longest, self.interval))
        first = self.begin | ~started
        m.d.sync += valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                started.eq(1),
                before.eq(Mux(first, Mux(short == 0, r.start, short) << r.shift, mean)),
                interval.eq(Mux(short != 0, short, Mux(first, r.start, mean >> r.shift))),
            ]
        scaled = interval << (r.shift + 3)
        with m.If(valid):
            m.d.sync += [
                mean.eq(before + interval - (before >> r.shift)),
                self.o.eq(Cat(*(scaled < _times(before, times) for times in Rhythm.EARLY),
                              *(scaled >= _times(before, times) for times in Rhythm.LATE))),
            ]
        return m


def _times(value, number):
    """A number of at most two bits set, or one less than a power of two, without a multiplier."""
    high = number.bit_length()
    if number == (1 << high) - 1:
        return (value << high) - value
    return sum(value << place for place in range(high) if number >> place & 1)


class Unusual(wiring.Component):
    """What is unlike the mean of the pieces before, :class:`qsnn.model.encoders.Usual`.

    Parameters
    ----------
    levels, shift :
        As there.
    width, length : int
        Bits of a sample, signed; samples of a piece.

    Members
    -------
    valid, begin, fresh, x : In
        A sample; whether it is the first of its piece, and the piece the first of a stream.
    o : Out(2 * len(levels))
        A cycle later.
    """

    def __init__(self, *, levels, shift, width, length):
        self.levels, self.shift, self.length = list(levels), shift, length
        super().__init__({
            "valid": In(1), "begin": In(1), "fresh": In(1), "x": In(signed(width)),
            "o": Out(2 * len(self.levels)),
        })

    def elaborate(self, platform):
        m = Module()
        width, shift = len(self.x), self.shift
        memory = Memory(shape=signed(width + 1 + shift), depth=self.length, init=[],
                        attrs=RAM)
        m.submodules.memory = memory
        read, write = memory.read_port(), memory.write_port()
        # the next sample's word is read while it is awaited
        place, following = Signal(range(self.length)), Signal(range(self.length))
        first, started = Signal(signed(width)), Signal()
        fresh, new = Signal(), Signal()
        x0, y = Signal(signed(width)), Signal(signed(width + 1))
        mean, e = Signal(signed(width + 1)), Signal(signed(width + 2))
        m.d.comb += [
            following.eq(Mux(place == self.length - 1, 0, place + 1)),
            write.addr.eq(place), read.addr.eq(Mux(self.valid, following, place)),
            new.eq(Mux(self.begin, self.fresh | ~started, fresh)),
            x0.eq(Mux(self.begin, self.x, first)), y.eq(self.x - x0),
            mean.eq(Mux(new, y, read.data >> shift)), e.eq(y - mean),
            write.en.eq(self.valid),
            write.data.eq(Mux(new, y << shift, read.data + e)),
        ]
        with m.If(self.valid):
            m.d.sync += [started.eq(1), first.eq(x0), fresh.eq(new), place.eq(following),
                         self.o.eq(Cat(*(e >= level for level in self.levels),
                                       *(-e >= level for level in self.levels)))]
        return m


class BeatEncoder(wiring.Component):
    """An ECG as steps, :func:`qsnn.model.recordings.encode_beats`: a step is two samples.

    Parameters
    ----------
    simd : int
        Inputs of a word of the network's first layer.
    steps : int
        Of a beat.
    width : int
        Bits of a sample.

    Members
    -------
    i : In(stream of {sample, begin, end, fresh, interval})
        A sample, signed. With the first one of a beat ``begin`` and the interval to the beat
        before, in samples of 360 Hz, and ``fresh`` where all begins anew, with another patient;
        with the last one ``end``.
    o : Out(stream of {word, emit, clear})
        Frames for :class:`qsnn.hw.network.Network`: the label and a fresh start behind
        each beat.
    busy : Out(1)
        A step waits to be taken.
    """

    def __init__(self, *, simd, steps=BEAT_STEPS, width=12):
        self.crossings = Crossings(shift=CROSSED_SHIFT, levels=CROSSED, width=width + 1)
        self.unusual = Unusual(levels=UNUSUAL, shift=UNUSUAL_SHIFT, width=width + 1, length=steps)
        self.rhythm = RhythmEncoder(Rhythm())
        self.simd = simd
        self.inputs = len(self.crossings.o) + len(self.unusual.o) + 2 * len(self.rhythm.o)
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "sample": signed(width), "begin": 1, "end": 1, "fresh": 1, "interval": 16}))),
            "o": Out(stream.Signature(data.StructLayout({
                "word": simd, "emit": 1, "clear": 1}))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crossings = crossings = self.crossings
        m.submodules.unusual = unusual = self.unusual
        m.submodules.rhythm = rhythm = self.rhythm
        sample = self.i.p
        words = -(-self.inputs // self.simd)
        second, begins, fresh, ends = Signal(), Signal(), Signal(), Signal()
        taken, summed = Signal(), Signal()
        first, total = Signal.like(sample.sample), Signal(signed(len(sample.sample) + 1))
        before, spikes = Signal.like(rhythm.o), Signal(words * self.simd)
        left = Signal(range(words + 1))
        m.d.comb += [
            taken.eq(self.i.valid & self.i.ready),
            self.i.ready.eq((left == 0) & ~summed & ~crossings.o_valid),
            rhythm.valid.eq(taken & sample.begin), rhythm.interval.eq(sample.interval),
            rhythm.begin.eq(sample.fresh),
            self.o.valid.eq(left != 0), self.o.p.word.eq(spikes),
            self.o.p.emit.eq(ends), self.o.p.clear.eq(ends),
            self.busy.eq(summed | crossings.o_valid | (left != 0)),
            *(stage.valid.eq(summed) for stage in (crossings, unusual)),
            *(stage.begin.eq(begins) for stage in (crossings, unusual)),
            *(stage.x.eq(total) for stage in (crossings, unusual)), unusual.fresh.eq(fresh),
        ]
        m.d.sync += summed.eq(taken & second & ~sample.begin)
        with m.If(taken):
            # a beat begins a pair, whatever came before
            m.d.sync += [first.eq(sample.sample), second.eq(~second | sample.begin),
                         total.eq(first + sample.sample), ends.eq(sample.end)]
            with m.If(sample.begin):
                m.d.sync += [begins.eq(1), fresh.eq(sample.fresh),
                             before.eq(Mux(sample.fresh, 0, rhythm.o))]
        with m.If(summed):
            m.d.sync += begins.eq(0)
        with m.If(crossings.o_valid):
            m.d.sync += [spikes.eq(Cat(crossings.o, unusual.o, rhythm.o, before)), left.eq(words)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [spikes.eq(spikes >> self.simd), left.eq(left - 1)]
        return m


#: What stands before a network for streams, by name.
ENCODERS = {
    "ecg": lambda simd: BeatEncoder(simd=simd),
    "spoken-digits": lambda simd: SoundEncoder(simd=simd),
}


def make_encoder(name, description, simd, events=False):
    """The encoder of that name for a network, or None where there is no name.

    Raises :class:`qsnn.hw.plan.folding.FoldingError`.
    """
    if not name:
        return None
    if name not in ENCODERS:
        raise FoldingError(f"no encoder {name!r}: there is {', '.join(ENCODERS)}")
    if events:
        raise FoldingError("an encoder gives frames: leave out events")
    encoder = ENCODERS[name](simd)
    if encoder.inputs != description.n_in:
        raise FoldingError(f"the encoder {name} gives {encoder.inputs} spikes a step, the network "
                           f"takes {description.n_in}")
    return encoder
