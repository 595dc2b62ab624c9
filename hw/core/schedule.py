"""What a layer does when: the words of an image, then the neurons of a group."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.rom import Rom

__all__ = ["Schedule", "Sequencer"]


class Schedule(wiring.Component):
    """Counts the words and groups of an image; decides once an image, never in between.

    Members
    -------
    available, room : In(1)
        There is a whole image to read; there is a place for the result.
    begin : Out(1)
        An image starts in the next cycle.
    valid, first, last : Out(1)
        A word is addressed; the first and the last of its group.
    scale : Out(1)
        It is the first word of another bit of the weights: the sums so far count twice.
    take : Out(1)
        The place for the result is taken.
    release : Out(1)
        The last group starts: no word is needed after this pass.
    word, weight : Out
        Addresses of inputs and weights.
    """

    def __init__(self, stage):
        self.stage = stage
        super().__init__({
            "available": In(1), "room": In(1), "begin": Out(1), "take": Out(1),
            "valid": Out(1), "first": Out(1), "scale": Out(1), "last": Out(1),
            "release": Out(1),
            "word": Out(range(max(2, stage.words))),
            "weight": Out(range(max(2, stage.reads * stage.groups))),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        cycles, words, groups = stage.group_cycles, stage.reads, stage.groups
        active = Signal()
        cycle = Signal(range(max(2, cycles)))
        group = Signal(range(max(2, groups)))
        # what is known of the counters is in registers, a cycle ahead: it goes far from here
        reading, first, last = Signal(init=1), Signal(init=1), Signal(init=words == 1)
        group_end, last_group = Signal(init=cycles == 1), Signal(init=groups == 1)
        image_end = Signal()
        m.d.comb += [
            image_end.eq(group_end & last_group),
            self.begin.eq(self.available & self.room & (~active | image_end)),
            self.take.eq(self.begin),
            self.valid.eq(active & reading), self.first.eq(first), self.last.eq(last),
        ]
        if stage.planes == 1:
            m.d.comb += [self.release.eq(active & first & last_group), self.word.eq(cycle)]
        else:
            self._planes(m, first, last_group)
        with m.If(active):
            m.d.sync += [cycle.eq(Mux(group_end, 0, cycle + 1)), first.eq(group_end)]
            if cycles > 1:
                m.d.sync += [group_end.eq(cycle == cycles - 2),
                             last.eq(group_end if words == 1 else cycle == words - 2)]
            if cycles > words:
                m.d.sync += reading.eq(group_end | reading & ~last)
            with m.If(self.valid):
                m.d.sync += self.weight.eq(self.weight + 1)
            with m.If(group_end):
                m.d.sync += group.eq(group + 1)
                if groups > 1:
                    m.d.sync += last_group.eq(group == groups - 2)
            with m.If(image_end):
                m.d.sync += active.eq(0)
        with m.If(self.begin):
            m.d.sync += [active.eq(1), group.eq(0), last_group.eq(groups == 1),
                         self.weight.eq(0)]
        return m


    def _planes(self, m, first, last_group):
        """The words of inputs are gone through once for each bit of the weights."""
        stage = self.stage
        left = Signal(range(stage.planes), init=stage.planes - 1)
        first_word, last_word = Signal(init=1), Signal(init=stage.words == 1)
        m.d.comb += [self.scale.eq(first_word & ~first),
                     self.release.eq(self.valid & first_word & (left == 0) & last_group)]
        with m.If(self.valid):
            m.d.sync += [self.word.eq(Mux(last_word, 0, self.word + 1)), first_word.eq(last_word)]
            if stage.words > 1:
                m.d.sync += last_word.eq(self.word == stage.words - 2)
            with m.If(last_word):
                m.d.sync += left.eq(Mux(left == 0, stage.planes - 1, left - 1))


class Sequencer(wiring.Component):
    """Hands the sums of a group to the neuron units, ``lanes`` neurons and one step a cycle.

    Members
    -------
    start : In(1)
        The sums are there in :py:`LEAD - 1` cycles.
    sums : In
        Sums of the group.
    parameter : Out
        Address of thresholds and biases, :py:`LEAD` cycles before they are needed.
    valid, first, last, current : Out
        A step: the sums of ``lanes`` neurons.
    """

    LEAD = Rom.latency

    def __init__(self, stage, sum_max):
        self.stage = stage
        self.neurons = stage.pixels * stage.pe  # of a group, at all its positions
        self.sum_width = Shape.cast(range(sum_max + 1)).width
        self.sums_per_neuron = stage.sums
        super().__init__({
            "start": In(1),
            "sums": In(data.ArrayLayout(self.sum_width, self.neurons * self.sums_per_neuron)),
            "parameter": Out(range(max(2, stage.neurons // stage.lanes))),
            "valid": Out(1), "first": Out(1), "last": Out(1),
            "current": Out(data.ArrayLayout(self.sum_width, stage.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        busy = Signal()
        step = Signal(range(max(2, stage.sequence)))
        beats = self.neurons // stage.lanes
        beat = Signal(range(max(2, beats)))
        step_end = Signal()
        m.d.comb += step_end.eq(step == stage.sequence - 1)
        with m.If(busy):
            m.d.sync += step.eq(Mux(step_end, 0, step + 1))
            with m.If(step_end):
                m.d.sync += beat.eq(beat + 1)
                m.d.sync += self.parameter.eq(
                    Mux(self.parameter == stage.neurons // stage.lanes - 1, 0, self.parameter + 1))
                with m.If(beat == beats - 1):
                    m.d.sync += busy.eq(0)
        with m.If(self.start):
            m.d.sync += [busy.eq(1), beat.eq(0)]

        flags = Cat(self.start, busy, step == 0, step_end)
        for stage_index in range(self.LEAD):
            delayed = Signal(4, name=f"flags_{stage_index}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        load, valid, first, last = flags
        m.d.comb += [self.valid.eq(valid), self.first.eq(first), self.last.eq(last)]

        # beats first, then steps, then the neurons of a beat: the next sums are always in front
        sums = self.sums.shape()
        steps = self.sums_per_neuron
        order = [(beat * stage.lanes + lane) * steps + step
                 for beat in range(beats)
                 for step in range(steps) for lane in range(stage.lanes)]
        hold = Signal(sums, reset_less=True)
        front = stage.lanes * self.sum_width
        with m.If(load):
            m.d.sync += hold.eq(Cat(self.sums[index] for index in order))
        with m.Elif(valid & (last if steps == 1 else 1)):
            m.d.sync += hold.eq(hold.as_value() >> front)
        m.d.comb += self.current.eq(hold.as_value()[:front])
        return m
