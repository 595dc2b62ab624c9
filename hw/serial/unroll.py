"""From time-parallel layers to time-serial ones: the steps of an image, one after the other."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.buffer import ImageBuffer, ImageWriter

__all__ = ["Unroll"]


class Unroll(wiring.Component):
    """Takes the spikes of all steps of an image at once, and gives them step by step.

    Parameters
    ----------
    source : :class:`qsnn.hw.plan.stages.StagePlan`
        Of the layer that gives them.
    stage : :class:`qsnn.hw.plan.serial.SerialStage`
        Of the layer that takes them.

    Members
    -------
    i, room, take :
        Beats of the source with a credit for each image, see
        :class:`qsnn.hw.core.buffer.ImageWriter`.
    o_room, o_take, o_write, o_word, o_index, o_done, o_emit, o_clear :
        The writing side of a :class:`qsnn.hw.serial.buffer.StepBuffer`; the last step of an image
        has both commands.
    """

    def __init__(self, source, stage):
        self.stage, self.steps = stage, source.sequence
        self.writer = ImageWriter(elements=source.neurons, width=self.steps, lanes=source.lanes,
                                  ratio=stage.simd // source.lanes, reserved=True)
        words = -(-source.neurons // stage.simd)
        self.buffer = ImageBuffer(words=words, width=self.steps * stage.simd)
        super().__init__({
            "i": In(self.writer.i.signature.flip()), "room": Out(1), "take": In(1),
            "o_room": In(1), "o_take": Out(1), "o_write": Out(1), "o_word": Out(stage.simd),
            "o_index": Out(range(max(2, stage.in_words))), "o_done": Out(1), "o_emit": Out(1),
            "o_clear": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.writer = writer = self.writer
        m.submodules.buffer = buffer = self.buffer
        stage = self.stage
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        active, reading = Signal(), Signal()  # an image; a step of it
        step = Signal(range(max(2, self.steps)))
        at = Signal.like(self.o_index)
        starts, last = Signal(), Signal()
        m.d.comb += [
            self.room.eq(buffer.room), buffer.take.eq(self.take),
            buffer.write.eq(writer.write), buffer.data.eq(writer.data), buffer.done.eq(writer.done),
            buffer.begin.eq(buffer.available & ~active),
            starts.eq(active & ~reading & self.o_room), self.o_take.eq(starts),
            last.eq(at == stage.in_words - 1), buffer.address.eq(at),
            # what is freed is written behind the reader, which goes on a word a cycle
            buffer.release.eq(starts & (step == self.steps - 1)),
        ]
        with m.If(buffer.begin):
            m.d.sync += [active.eq(1), step.eq(0)]
        with m.If(starts):
            m.d.sync += [reading.eq(1), at.eq(0)]
        with m.If(reading):
            m.d.sync += at.eq(at + 1)
            with m.If(last):
                m.d.sync += [reading.eq(0), step.eq(step + 1)]
                with m.If(step == self.steps - 1):
                    m.d.sync += active.eq(0)
        # the words come two cycles after their addresses
        flags = Cat(reading, last, step == self.steps - 1, step, at)
        for index in range(ImageBuffer.latency):
            delayed = Signal(len(flags), name=f"flags_{index}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        now = flags[3:3 + len(step)]
        planes = Array(Cat(buffer.word[lane * self.steps + plane] for lane in range(stage.simd))
                       for plane in range(self.steps))
        m.d.comb += [
            self.o_write.eq(flags[0]), self.o_done.eq(flags[1]),
            self.o_index.eq(flags[3 + len(step):]),
            self.o_emit.eq(flags[2]), self.o_clear.eq(flags[2]), self.o_word.eq(planes[now]),
        ]
        return m
