"""Class scores of a batch: kept until all are there, and then told with the label."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.engine.shape import SCORE

__all__ = ["Scores"]


class Scores(wiring.Component):
    """Class scores of a batch, and from these labels.

    Members
    -------
    outputs, images : In
        Scores of an image; images, less 1.
    begin : In(1)
        A readout begins.
    load, given, biases, done, beat_last : In
        A beat of sums of all time steps, of the last image of a group, the last one of a position;
        the next one comes ``beat`` cycles later or more.
    finish : In(1)
        All scores are there.
    busy : Out(1)
        They leave, or are about to.
    o : Out(stream of {score, label, last})
        Score by score, image by image, as :class:`qsnn.hw.core.readout.ScoreUnit` has them.
    """

    def __init__(self, shape):
        self.shape, p = shape, shape.neurons
        super().__init__({
            "outputs": In(16), "images": In(4), "begin": In(1),
            "load": In(1), "given": In(data.ArrayLayout(shape.given_bits, shape.beat)),
            "biases": In(data.ArrayLayout(p.bias_shape, shape.beat)),
            "done": In(1), "beat_last": In(1),
            "finish": In(1), "busy": Out(1),
            "o": Out(stream.Signature(data.StructLayout({
                "score": signed(SCORE), "label": 16, "last": 1}))),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        m.submodules.memory = memory = Memory(shape=signed(SCORE), depth=shape.scores, init=[])
        writer, reader = memory.write_port(), memory.read_port()

        # a beat, a class a cycle
        given, biases = (Signal.like(value, name=name) for value, name in (
            (self.given, "given_kept"), (self.biases, "biases_kept")))
        left = Signal(range(shape.beat + 1))
        first, label, image = Signal(16), Signal(16), Signal(16)  # of a group, of a beat
        ends, done = Signal(), Signal()
        m.d.sync += writer.en.eq(0)
        with m.If(left != 0):
            m.d.sync += [
                left.eq(left - 1), given.eq(given.as_value() >> len(given[0])),
                biases.eq(biases.as_value() >> len(biases[0])),
                writer.en.eq(label < self.outputs), writer.addr.eq(image + label),
                writer.data.eq(given[0] + biases[0]), label.eq(label + 1)]
            with m.If((left == 1) & ends):
                m.d.sync += [label.eq(Mux(done, first + shape.pe, first)),
                             image.eq(Mux(done, 0, image + self.outputs))]
                with m.If(done):
                    m.d.sync += first.eq(first + shape.pe)
        with m.If(self.load):
            m.d.sync += [given.eq(self.given), biases.eq(self.biases), left.eq(shape.beat),
                         ends.eq(self.beat_last), done.eq(self.done)]
        with m.If(self.begin):
            m.d.sync += [first.eq(0), label.eq(0), image.eq(0)]

        # then out: a score in four cycles
        address, count, of = Signal(16), Signal(16), Signal(4)
        score, best = Signal(signed(SCORE)), Signal(signed(SCORE))
        best_label, better, last, single = Signal(16), Signal(), Signal(), Signal()
        above, higher = Signal(), Signal()
        m.d.sync += [last.eq(count == self.outputs - 1), single.eq(self.outputs == 1),
                     score.eq(reader.data),
                     above.eq(score > 0), higher.eq(score > best)]
        m.d.comb += [
            reader.addr.eq(address), reader.en.eq(1),
            better.eq(Mux(single, above, (count == 0) | higher)),
            self.o.p.score.eq(score), self.o.p.last.eq(last),
            self.o.p.label.eq(Mux(single, better, Mux(better, count, best_label))),
        ]
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += self.busy.eq(self.finish)
                with m.If(self.finish):
                    m.d.sync += [address.eq(0), count.eq(0), of.eq(0)]
                    m.next = "wait"
            with m.State("wait"):  # until the last scores are written
                with m.If((left == 0) & ~writer.en):
                    m.next = "read"
            with m.State("read"):
                m.next = "keep"
            with m.State("keep"):
                m.next = "compare"
            with m.State("compare"):
                m.next = "give"
            with m.State("give"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [address.eq(address + 1), count.eq(Mux(last, 0, count + 1)),
                                 best_label.eq(self.o.p.label)]
                    with m.If(better):
                        m.d.sync += best.eq(score)
                    m.next = "read"
                    with m.If(last):
                        m.d.sync += of.eq(of + 1)
                        with m.If(of == self.images):
                            m.next = "idle"
        return m
