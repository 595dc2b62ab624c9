"""Words of spikes: from outside, and from the neurons of a layer."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["MapInput", "MapPacker", "Packer", "StepInput"]


class Packer(wiring.Component):
    """Collects beats of ``lanes`` spikes into words of ``simd``; a step's last word may be short.

    Members
    -------
    valid, spikes, last : In
        A beat; the last of its step.
    write, word, index, done : Out
        A word, in the cycle of its last beat.
    """

    def __init__(self, *, lanes, simd, words):
        self.lanes, self.simd = lanes, simd
        super().__init__({
            "valid": In(1), "spikes": In(lanes), "last": In(1),
            "write": Out(1), "word": Out(simd), "index": Out(range(max(2, words))), "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        ratio = self.simd // self.lanes
        position = Signal(range(max(2, ratio)))
        held = Signal(self.simd)
        m.d.comb += [
            self.word.eq(held | (self.spikes << position * self.lanes) if ratio > 1
                         else self.spikes),
            self.write.eq(self.valid & (self.last | (position == ratio - 1))),
            self.done.eq(self.last),
        ]
        with m.If(self.valid):
            m.d.sync += [position.eq(position + 1), held.eq(self.word)]
            with m.If(self.write):
                m.d.sync += [position.eq(0), held.eq(0),
                             self.index.eq(Mux(self.last, 0, self.index + 1))]
        return m


class StepInput(wiring.Component):
    """Takes steps from outside: frames of all words in order, or events.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.serial.SerialStage`
        Of the layer that takes them.
    events : bool
    padded : bool
        What the last word has beyond the last input is 0, as an encoder gives it.

    Members
    -------
    i : In(stream)
        A word of SIMD spikes with the commands ``emit`` and ``clear`` of its step, which count
        with the step's last word. What the last word of the inputs has beyond them is ignored. As
        events: with the index of the word, and ``end`` where it is the step's last one. An index
        may come once in a step; a step without a spike is one beat of a word 0 that ends it.
    o_room, o_take, o_write, o_word, o_index, o_done, o_emit, o_clear :
        The writing side of a :class:`qsnn.hw.serial.buffer.StepBuffer`.
    busy : Out(1)
        A step has come in part.
    """

    def __init__(self, stage, *, events, padded=False):
        self.stage, self.events = stage, events
        self.beyond = 0 if padded else stage.in_words * stage.simd - stage.n_in
        index = range(max(2, stage.in_words))
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "word": stage.simd, "emit": 1, "clear": 1,
                **({"index": index, "end": 1} if events else {})}))),
            "o_room": In(1), "o_take": Out(1), "o_write": Out(1), "o_word": Out(stage.simd),
            "o_index": Out(index), "o_done": Out(1), "o_emit": Out(1), "o_clear": Out(1),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        inside = Signal()  # a step, whose credit is taken
        beat = self.i.p
        m.d.comb += [
            self.i.ready.eq(inside | self.o_room), self.o_write.eq(self.i.valid & self.i.ready),
            self.o_take.eq(self.o_write & ~inside), self.o_word.eq(self._inputs(beat.word)),
            self.o_emit.eq(beat.emit), self.o_clear.eq(beat.clear), self.busy.eq(inside),
        ]
        if self.events:
            m.d.comb += [self.o_index.eq(beat.index), self.o_done.eq(beat.end)]
        else:
            index = Signal.like(self.o_index)
            m.d.comb += [self.o_index.eq(index), self.o_done.eq(index == self.stage.in_words - 1)]
            with m.If(self.o_write):
                m.d.sync += index.eq(Mux(self.o_done, 0, index + 1))
        with m.If(self.o_write):
            m.d.sync += inside.eq(~self.o_done)
        return m

    def _inputs(self, word):
        """Of a word what is an input: a spike beyond the last one would count as any other."""
        if not self.beyond:
            return word
        real = C((1 << self.stage.simd - self.beyond) - 1, self.stage.simd)
        return Mux(self.o_index == self.stage.in_words - 1, word & real, word)


class MapInput(wiring.Component):
    """Takes steps from outside for a convolution: frames of all words in order.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.stages.StagePlan`
        Of the layer that takes them.

    Members
    -------
    i : In(stream)
        A word as :class:`StepInput` has it, of a pixel.
    o : Out(stream)
        The word.
    o_done, o_emit, o_clear : Out(1)
        It is the last one of its step; the step's commands.
    busy : Out(1)
        A step has come in part.
    """

    def __init__(self, stage):
        self.beats = stage.beats
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "word": stage.simd, "emit": 1, "clear": 1}))),
            "o": Out(stream.Signature(stage.simd)),
            "o_done": Out(1), "o_emit": Out(1), "o_clear": Out(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        at, last, inside = Signal(range(max(2, self.beats))), Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.p.word),
            self.i.ready.eq(self.o.ready), last.eq(at == self.beats - 1),
            self.o_done.eq(self.i.valid & self.i.ready & last), self.o_emit.eq(self.i.p.emit),
            self.o_clear.eq(self.i.p.clear), self.busy.eq(inside),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [at.eq(Mux(last, 0, at + 1)), inside.eq(~last)]
        return m


class MapPacker(wiring.Component):
    """From a convolution to a serial layer: beats of its map become the words of a step.

    Parameters
    ----------
    source : :class:`qsnn.hw.plan.stages.StagePlan`
    stage : :class:`qsnn.hw.plan.serial.SerialStage`

    Members
    -------
    i, done, emit, clear, room, take :
        What :class:`qsnn.hw.serial.maps.MapConvolution` gives.
    o_room, o_take, o_write, o_word, o_index, o_done, o_emit, o_clear :
        The writing side of a :class:`qsnn.hw.serial.buffer.StepBuffer`.
    """

    def __init__(self, source, stage):
        self.packer = Packer(lanes=source.lanes * stage.bits, simd=stage.word_bits,
                             words=stage.in_words)
        super().__init__({
            "i": In(stream.Signature(source.lanes * stage.bits, always_ready=True)),
            "done": In(1), "emit": In(1), "clear": In(1), "room": Out(1), "take": In(1),
            "o_room": In(1), "o_take": Out(1), "o_write": Out(1), "o_word": Out(stage.word_bits),
            "o_index": Out(self.packer.index.shape()), "o_done": Out(1), "o_emit": Out(1),
            "o_clear": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.packer = packer = self.packer
        m.d.comb += [
            packer.valid.eq(self.i.valid), packer.spikes.eq(self.i.payload),
            packer.last.eq(self.done), self.room.eq(self.o_room), self.o_take.eq(self.take),
            self.o_write.eq(packer.write), self.o_word.eq(packer.word),
            self.o_index.eq(packer.index), self.o_done.eq(packer.done),
            self.o_emit.eq(self.emit), self.o_clear.eq(self.clear),
        ]
        return m
