"""Class scores: bias, argmax, and a queue that holds two images' scores."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.buffer import credits
from qsnn.hw.core.neuron import times

__all__ = ["LeakyTotal", "ScoreUnit"]


class LeakyTotal(wiring.Component):
    """The total of a class over the steps of an image, a step a cycle; some of it leaks.

    See :class:`qsnn.hw.plan.parameters.LeakyParameters` for how it is kept. The loop is a product
    with the leak's m, of shifts, and one addition.

    Members
    -------
    valid, first, last : In(1)
        A step; the first and the last of a class.
    sum, offset : In
        Sum of a step; the constant of the class.
    total_valid, total : Out
        The total after the last step, two cycles later.
    """

    def __init__(self, parameters):
        self.parameters = p = parameters
        super().__init__({
            "valid": In(1), "first": In(1), "last": In(1),
            "sum": In(range(p.given_max + 1)), "offset": In(p.offset_shape),
            "total_valid": Out(1), "total": Out(range(p.sum_max + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        factor, k = p.leak
        low = p.offsets_low
        given = Signal(range(low, p.constant + (p.given_max << (p.place + k)) + 1),
                       reset_less=True)
        valid, first, last = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [given.eq((self.sum << (p.place + k)) + self.offset),
                     valid.eq(self.valid), first.eq(self.first), last.eq(self.last),
                     self.total_valid.eq(valid & last)]
        before = Mux(first, p.limit, self.total)
        product = times(m, before, factor, len(self.total), 0, p.sum_max, "product")
        with m.If(valid):
            m.d.sync += self.total.eq((product + given) >> k)
        return m


class ScoreUnit(wiring.Component):
    """Turns the sums of a readout, one a cycle, into class scores and the label.

    score = (sum << frac) + bias; the label is the first class with the largest score, or of a
    single score whether it is above 0.

    Members
    -------
    valid, sum, bias : In
        Classes in order; those beyond ``classes`` are padding and are dropped.
    room, take : Out(1), In(1)
        A credit for each image whose scores the queue can hold: 2.
    o : Out(stream of {score, label, last})
        One beat a class. ``label`` is the best class so far: that of the image in its ``last``.
    """

    IMAGES = 2
    latency = 4  # cycles from valid to o.valid: score, argmax, two in the queue

    def __init__(self, *, classes, neurons, parameters):
        self.classes, self.neurons, self.parameters = classes, neurons, parameters
        super().__init__({
            "valid": In(1),
            "sum": In(range(parameters.sum_max + 1)),
            "bias": In(parameters.bias_shape),
            "room": Out(1), "take": In(1),
            "o": Out(stream.Signature(data.StructLayout({
                "score": parameters.score_shape,
                "label": range(max(2, classes)),
                "last": 1,
            }))),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.parameters

        valid = Signal()
        score = Signal(p.score_shape, reset_less=True)
        m.d.sync += [valid.eq(self.valid), score.eq((self.sum << p.frac) + self.bias)]

        index = Signal(range(max(2, self.neurons)))
        best = Signal.like(score)
        better = Signal()
        push = Signal()
        kept = Signal(data.StructLayout({"score": p.score_shape, "better": 1}))
        # later classes must be strictly better: ties go to the lower class. A difference has a
        # carry chain everywhere, a comparison has not
        difference = Signal(signed(len(score) + 1))
        m.d.comb += difference.eq(best - score)
        if self.classes == 1:  # as if it came behind a class whose score is 0
            m.d.comb += better.eq((index == 0) & (score > 0))
        else:
            m.d.comb += better.eq((index == 0) | difference[-1])
        m.d.sync += push.eq(valid & (index < self.classes))
        with m.If(valid):
            m.d.sync += index.eq(Mux(index == self.neurons - 1, 0, index + 1))
            m.d.sync += [kept.score.eq(score), kept.better.eq(better)]
            with m.If(better & (index < self.classes)):
                m.d.sync += best.eq(score)

        # the queue keeps one bit, from which the label follows as the classes leave: words of at
        # most 16 bits, one block RAM, for all but very wide readouts
        depth = max(self.IMAGES * self.classes, 4)  # one of two takes no beats in cycles on end
        m.submodules.queue = queue = SyncFIFOBuffered(
            width=Shape.cast(kept.shape()).width, depth=depth)
        m.d.comb += [
            queue.w_en.eq(push), queue.w_data.eq(kept),
            self.o.valid.eq(queue.r_rdy), queue.r_en.eq(self.o.ready),
        ]
        leaving = data.View(kept.shape(), queue.r_data)
        position = Signal(range(max(2, self.classes)))
        last, label = Signal(init=self.classes == 1), Signal(range(max(2, self.classes)))
        m.d.comb += [
            self.o.p.score.eq(leaving.score), self.o.p.last.eq(last),
            self.o.p.label.eq(leaving.better if self.classes == 1
                              else Mux(leaving.better, position, label)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [position.eq(Mux(last, 0, position + 1)), label.eq(self.o.p.label)]
            if self.classes > 1:
                m.d.sync += last.eq(position == self.classes - 2)

        popped = self.o.valid & self.o.ready & self.o.p.last
        m.d.comb += self.room.eq(credits(m, more=popped, fewer=self.take, init=1))
        return m
