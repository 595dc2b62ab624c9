"""A fully connected layer with its input buffer: the time-parallel schedule."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.buffer import ImageBuffer, ImageWriter
from hw.neuron import NeuronUnit
from hw.readout import ScoreUnit
from hw.rom import Rom
from hw.synapses import SynapseArray

__all__ = ["Readout", "Schedule", "SpikingLayer"]


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
    release : Out(1)
        The last group starts: no word is needed after this pass.
    word, weight : Out
        Addresses of inputs and weights.
    """

    def __init__(self, stage):
        self.stage = stage
        super().__init__({
            "available": In(1), "room": In(1), "begin": Out(1),
            "valid": Out(1), "first": Out(1), "last": Out(1), "release": Out(1),
            "word": Out(range(max(2, stage.words))),
            "weight": Out(range(max(2, stage.words * stage.groups))),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        active = Signal()
        cycle = Signal(range(max(2, stage.group_cycles)))
        group = Signal(range(max(2, stage.groups)))
        group_end = Signal()
        image_end = Signal()
        m.d.comb += [
            group_end.eq(cycle == stage.group_cycles - 1),
            image_end.eq(group_end & (group == stage.groups - 1)),
            self.begin.eq(self.available & self.room & (~active | image_end)),
            self.valid.eq(active & (cycle < stage.words)),
            self.first.eq(cycle == 0),
            self.last.eq(cycle == stage.words - 1),
            self.release.eq(active & self.first & (group == stage.groups - 1)),
            self.word.eq(cycle),
        ]
        with m.If(active):
            m.d.sync += cycle.eq(Mux(group_end, 0, cycle + 1))
            with m.If(self.valid):
                m.d.sync += self.weight.eq(self.weight + 1)
            with m.If(group_end):
                m.d.sync += group.eq(group + 1)
            with m.If(image_end):
                m.d.sync += active.eq(0)
        with m.If(self.begin):
            m.d.sync += [active.eq(1), group.eq(0), self.weight.eq(0)]
        return m


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
        self.sum_width = Shape.cast(range(sum_max + 1)).width
        # the first layer's sums are the same at every step, a readout has one sum for all
        self.sums_per_neuron = 1 if stage.readout else stage.steps
        super().__init__({
            "start": In(1),
            "sums": In(data.ArrayLayout(self.sum_width, stage.pe * self.sums_per_neuron)),
            "parameter": Out(range(max(2, stage.neurons // stage.lanes))),
            "valid": Out(1), "first": Out(1), "last": Out(1),
            "current": Out(data.ArrayLayout(self.sum_width, stage.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        busy = Signal()
        step = Signal(range(max(2, stage.sequence)))
        beat = Signal(range(max(2, stage.pe // stage.lanes)))
        step_end = Signal()
        m.d.comb += step_end.eq(step == stage.sequence - 1)
        with m.If(busy):
            m.d.sync += step.eq(Mux(step_end, 0, step + 1))
            with m.If(step_end):
                m.d.sync += beat.eq(beat + 1)
                m.d.sync += self.parameter.eq(
                    Mux(self.parameter == stage.neurons // stage.lanes - 1, 0, self.parameter + 1))
                with m.If(beat == stage.pe // stage.lanes - 1):
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
                 for beat in range(stage.pe // stage.lanes)
                 for step in range(steps) for lane in range(stage.lanes)]
        hold = Signal(sums, reset_less=True)
        front = stage.lanes * self.sum_width
        with m.If(load):
            m.d.sync += hold.eq(Cat(self.sums[index] for index in order))
        with m.Elif(valid & (last if steps == 1 else 1)):
            m.d.sync += hold.eq(hold.as_value() >> front)
        m.d.comb += self.current.eq(hold.as_value()[:front])
        return m


class _Layer(wiring.Component):
    """What hidden layers and readouts share: input, schedule, weights, synapses, sequencer.

    The input is a stream of beats; see :class:`hw.buffer.ImageWriter` for how they fill an image.
    A hidden layer's source takes its credit (:py:`take` while :py:`room`) before an image's first
    beat and is never stalled after that; the first layer is ready when it has room.
    """

    def __init__(self, stage, sum_max, *, source_lanes, reserved, tables, files, members):
        self.stage = stage
        self.tables = tables
        self.files = files
        width = stage.bits * stage.steps
        self.writer = ImageWriter(elements=stage.n_in, width=width, lanes=source_lanes,
                                  ratio=stage.simd // source_lanes, reserved=reserved)
        self.buffer = ImageBuffer(words=stage.words, width=width * stage.simd)
        self.schedule = Schedule(stage)
        self.synapses = SynapseArray(pe=stage.pe, simd=stage.simd, bits=stage.bits,
                                     steps=stage.steps, merge=stage.readout, sum_max=sum_max)
        self.sequencer = Sequencer(stage, sum_max)
        super().__init__({
            "i": In(self.writer.i.signature.flip()),
            "room": Out(1), "take": In(1),
            **members,
        })

    def _rom(self, m, name):
        width, words = self.tables[name]
        rom = Rom(width=width, init=words, file=self.files and self.files[name])
        m.submodules[name] = rom
        return rom

    def _front(self, m):
        """Everything up to the sums that the sequencer hands on."""
        m.submodules.writer = writer = self.writer
        m.submodules.buffer = buffer = self.buffer
        m.submodules.schedule = schedule = self.schedule
        m.submodules.synapses = synapses = self.synapses
        m.submodules.sequencer = sequencer = self.sequencer
        weights = self._rom(m, "weights")

        wiring.connect(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            writer.room.eq(buffer.room),
            self.room.eq(buffer.room),
            buffer.take.eq(self.take if self.writer.reserved else writer.take),
            buffer.write.eq(writer.write), buffer.data.eq(writer.data),
            buffer.done.eq(writer.done),
            schedule.available.eq(buffer.available),
            buffer.begin.eq(schedule.begin), buffer.release.eq(schedule.release),
            buffer.address.eq(schedule.word), weights.address.eq(schedule.weight),
            synapses.x.eq(buffer.word), synapses.w.eq(weights.word),
            sequencer.sums.eq(synapses.sums),
        ]
        flags = Cat(schedule.valid, schedule.first)
        for index in range(Rom.latency):
            delayed = Signal(2, name=f"flags_{index}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        m.d.comb += [synapses.valid.eq(flags[0]), synapses.first.eq(flags[1])]

        # the sums are there Rom.latency + synapses.latency cycles after their last word
        start = schedule.valid & schedule.last
        for index in range(Rom.latency + synapses.latency - Sequencer.LEAD):
            delayed = Signal(name=f"start_{index}")
            m.d.sync += delayed.eq(start)
            start = delayed
        m.d.comb += sequencer.start.eq(start)
        return schedule, sequencer


class SpikingLayer(_Layer):
    """Fully connected layer of spiking neurons.

    Parameters
    ----------
    stage : :class:`hw.folding.StagePlan`
    parameters : :class:`hw.parameters.NeuronParameters`
    source_lanes, reserved :
        Elements of an input beat; whether the source takes credits.
    tables, files :
        Contents of the memories, and the names of their images or None: see :mod:`hw.images`.

    Members
    -------
    o : Out(stream of lanes * time_steps bits, always ready)
        Spikes of ``lanes`` neurons, all steps of one side by side, step 0 lowest.
    o_room, o_take : In(1), Out(1)
        Credits of the layer that :py:`o` feeds.
    membrane_valid, membrane : Out
        Membranes after each step: what the tests watch.
    """

    def __init__(self, stage, parameters, **kwargs):
        self.neurons = NeuronUnit(lanes=stage.lanes, parameters=parameters,
                                  time_steps=stage.sequence)
        super().__init__(stage, parameters.sum_max, members={
            "o": Out(stream.Signature(stage.lanes * stage.sequence, always_ready=True)),
            "o_room": In(1), "o_take": Out(1),
            "membrane_valid": Out(1),
            "membrane": Out(stage.lanes * parameters.bits),
        }, **kwargs)

    def elaborate(self, platform):
        m = Module()
        schedule, sequencer = self._front(m)
        m.submodules.neurons = neurons = self.neurons
        thresholds, biases = self._rom(m, "thresholds"), self._rom(m, "biases")
        m.d.comb += [
            schedule.room.eq(self.o_room), self.o_take.eq(schedule.begin),
            thresholds.address.eq(sequencer.parameter), biases.address.eq(sequencer.parameter),
            neurons.valid.eq(sequencer.valid), neurons.first.eq(sequencer.first),
            neurons.last.eq(sequencer.last), neurons.sum.eq(sequencer.current),
            neurons.threshold.eq(thresholds.word), neurons.bias.eq(biases.word),
            self.o.valid.eq(neurons.spikes_valid), self.o.payload.eq(neurons.spikes),
            self.membrane_valid.eq(neurons.membrane_valid), self.membrane.eq(neurons.membrane),
        ]
        return m


class Readout(_Layer):
    """Output layer: accumulates over inputs and time, gives class scores and the label.

    Parameters as for :class:`SpikingLayer`, with :class:`hw.parameters.ScoreParameters`.

    Members
    -------
    o : Out(stream), see :class:`hw.readout.ScoreUnit`
    """

    def __init__(self, stage, parameters, **kwargs):
        self.scores = ScoreUnit(classes=stage.n_out, neurons=stage.neurons, parameters=parameters)
        super().__init__(stage, parameters.sum_max, members={
            "o": Out(self.scores.o.signature),
        }, **kwargs)

    def elaborate(self, platform):
        m = Module()
        schedule, sequencer = self._front(m)
        m.submodules.scores = scores = self.scores
        biases = self._rom(m, "biases")
        wiring.connect(m, scores.o, wiring.flipped(self.o))
        m.d.comb += [
            schedule.room.eq(scores.room), scores.take.eq(schedule.begin),
            biases.address.eq(sequencer.parameter),
            scores.valid.eq(sequencer.valid), scores.sum.eq(sequencer.current[0]),
            scores.bias.eq(biases.word),
        ]
        return m
