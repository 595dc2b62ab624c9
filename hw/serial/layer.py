"""Layers of a stream: one step at a time, state in memories."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.layer import parameter_links
from qsnn.hw.core.neuron import NeuronUnit, times
from qsnn.hw.core.readout import ScoreUnit
from qsnn.hw.core.rom import Rom
from qsnn.hw.core.schedule import Sequencer
from qsnn.hw.plan.window import ceil_div
from qsnn.hw.serial.buffer import RAM, StepBuffer, StepSchedule
from qsnn.hw.serial.synapses import ActiveSynapses, delayed, placed
from qsnn.hw.serial.words import Packer

__all__ = ["SerialLayer", "SerialReadout", "connect_layers", "serial_layer"]


def serial_layer(plan, index, *, files, loadable):
    """The gateware of a time-serial layer of a :class:`qsnn.hw.plan.network.Plan`.

    files: as for :class:`qsnn.hw.network.Network`. Nothing in it can be loaded.
    """
    planned = plan.layers[index]
    names = planned.image_names(files) if files else None
    if planned.stage.readout:
        return SerialReadout(planned.stage, planned.parameters, tables=planned.tables, files=names)
    taker = plan.stages[index + 1]
    return SerialLayer(planned.stage, planned.parameters, simd=taker.simd, words=taker.in_words,
                       tables=planned.tables, files=names)


def connect_layers(m, source, layers):
    """Connect layers in a line behind ``source``, which has the writing side of the first."""
    for layer in layers:
        m.d.comb += [source.o_room.eq(layer.room), layer.take.eq(source.o_take)]
        m.d.comb += [getattr(layer, name).eq(getattr(source, f"o_{name}"))
                     for name in ("write", "word", "index", "done", "emit", "clear")]
        source = layer


class _Serial(wiring.Component):
    """What hidden layers and readouts share: the list of words, schedule, weights, synapses.

    Members
    -------
    room, take, write, word, index, done, emit, clear :
        The writing side of the :class:`qsnn.hw.serial.buffer.StepBuffer`.
    busy : Out(1)
        A step is under way or waits.
    """

    def __init__(self, stage, parameters, *, tables, files, members):
        self.stage, self.parameters, self.loads = stage, parameters, {}
        self.roms = {name: Rom(width=width, init=words, file=files and files[name])
                     for name, (width, words) in tables.items()}
        self.buffer = StepBuffer(stage)
        self.schedule = StepSchedule(stage)
        self.synapses = ActiveSynapses(pe=stage.pe, simd=stage.simd, bits=stage.bits,
                                       largest=stage.largest, planes=stage.planes,
                                       emit=files is not None,
                                       spikes_max=stage.spikes_max if stage.counts else None)
        self.sequencer = Sequencer(stage, stage.largest)
        super().__init__({
            "room": Out(1), "take": In(1), "write": In(1), "word": In(stage.word_bits),
            "index": In(self.buffer.index_shape), "done": In(1), "emit": In(1), "clear": In(1),
            "busy": Out(1), **members,
        })

    def _front(self, m):
        """Everything up to the sums: (two counts of a beat of neurons, cycle of its valid)."""
        stage = self.stage
        m.submodules.buffer = buffer = self.buffer
        m.submodules.schedule = schedule = self.schedule
        m.submodules.synapses = synapses = self.synapses
        m.submodules.sequencer = sequencer = self.sequencer
        for name, rom in self.roms.items():
            m.submodules[name] = rom
        m.d.comb += [
            self.room.eq(buffer.room), buffer.take.eq(self.take), buffer.write.eq(self.write),
            buffer.word.eq(self.word), buffer.index.eq(self.index), buffer.done.eq(self.done),
            buffer.emit.eq(self.emit), buffer.clear.eq(self.clear),
            schedule.available.eq(buffer.available), buffer.begin.eq(schedule.begin),
            self.busy.eq(buffer.available | schedule.busy),
            schedule.count.eq(buffer.count), buffer.address.eq(schedule.word),
        ]
        # the address of the weights is there a cycle after the word, the weights two more
        at_entry = StepBuffer.latency
        valid, first, blank, initial, *scale = delayed(
            m, Cat(schedule.valid, schedule.first, schedule.blank, schedule.initial,
                   *([schedule.scale] if stage.planes > 1 else [])), at_entry, "flags")
        base = delayed(m, schedule.base, at_entry, "base")
        address, word = Signal.like(schedule.base), Signal(stage.word_bits)
        m.d.sync += [address.eq(base + buffer.entry.index),
                     word.eq(Mux(blank, 0, buffer.entry.word))]
        m.d.comb += self.roms["weights"].address.eq(address)
        m.d.comb += [
            synapses.w.eq(self.roms["weights"].word),
            synapses.x.eq(delayed(m, word, Rom.latency, "x")),
            Cat(synapses.valid, synapses.first, *([synapses.scale] if scale else [])).eq(
                delayed(m, Cat(valid, first, *scale), 1 + Rom.latency, "pass")),
        ]
        if stage.taps > 1:
            m.d.comb += [
                buffer.keep.eq(valid & initial & ~blank & ~buffer.clears
                               & (buffer.entry.index < (stage.taps - 1) * stage.in_words)),
                buffer.kept_word.eq(buffer.entry.word),
                buffer.kept_index.eq(buffer.entry.index + stage.in_words),
            ]
        delay = at_entry + 1 + Rom.latency + synapses.latency - Sequencer.LEAD
        start = delayed(m, schedule.valid & schedule.last, delay, "start")
        m.d.comb += [sequencer.start.eq(start), sequencer.sums.eq(synapses.met)]
        spikes = Signal.like(synapses.spikes)
        with m.If(delayed(m, start, Sequencer.LEAD, "load")):
            m.d.sync += spikes.eq(synapses.spikes)
        return spikes

    def _last_beat(self, m, valid):
        """Whether a beat is the last of its step."""
        beat = Signal(range(max(2, self.stage.neurons // self.stage.lanes)))
        last = Signal()
        m.d.comb += last.eq(beat == self.stage.neurons // self.stage.lanes - 1)
        with m.If(valid):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        return last


class SerialLayer(_Serial):
    """Layer of spiking neurons whose membranes stay from step to step.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.serial.SerialStage`
    parameters : :class:`qsnn.hw.plan.parameters.NeuronParameters`
    simd, words : int
        Of the layer that takes the spikes.
    tables, files :
        Contents of the memories, and the names of their images or None.

    Members
    -------
    o_room, o_take, o_write, o_word, o_index, o_done, o_emit, o_clear :
        What the next layer takes.
    spikes_valid, spikes, membrane_valid, membrane : Out
        What the tests watch.
    """

    def __init__(self, stage, parameters, *, simd, words, tables, files):
        self.neurons = NeuronUnit(lanes=stage.lanes, parameters=parameters, time_steps=1,
                                  stored=True)
        self.packer = Packer(lanes=stage.lanes, simd=simd, words=words)
        self.own = Packer(lanes=stage.lanes, simd=stage.simd,
                          words=ceil_div(stage.neurons, stage.simd)) if stage.recurrent else None
        super().__init__(stage, parameters, tables=tables, files=files, members={
            "o_room": In(1), "o_take": Out(1), "o_write": Out(1), "o_word": Out(simd),
            "o_index": Out(self.packer.index.shape()), "o_done": Out(1), "o_emit": Out(1),
            "o_clear": Out(1),
            "spikes_valid": Out(1), "spikes": Out(stage.lanes),
            "membrane_valid": Out(1), "membrane": Out(stage.lanes * parameters.held_bits),
        })

    def elaborate(self, platform):
        m = Module()
        stage = self.stage
        spikes = self._front(m)
        m.submodules.neurons = neurons = self.neurons
        m.submodules.packer = packer = self.packer
        buffer, schedule, sequencer = self.buffer, self.schedule, self.sequencer

        # the sum less its least value, which is never negative
        silent = Signal.like(spikes)
        met, every = stage.sum_places
        m.d.comb += silent.eq(stage.spikes_max - spikes)
        for lane in range(stage.lanes):
            m.d.sync += neurons.sum[lane].eq(placed(sequencer.current[lane], met)
                                              + placed(silent, every))
        m.d.comb += neurons.valid.eq(delayed(m, sequencer.valid, 1, "valid"))

        address = delayed(m, sequencer.parameter, 1, "parameter")
        addresses, words = parameter_links(m, self.roms, neurons, address)
        m.d.comb += [addresses, words]

        membranes = Memory(shape=len(neurons.membrane.as_value()),
                           depth=max(2, stage.neurons // stage.lanes), init=[], attrs=RAM)
        m.submodules.membranes = membranes
        read, write = membranes.read_port(), membranes.write_port()
        address = delayed(m, address, 2, "membrane_at")
        before = Signal(len(read.data), reset_less=True)
        m.d.sync += before.eq(read.data)
        m.d.comb += [read.addr.eq(address), neurons.before.eq(before),
                     write.en.eq(neurons.membrane_valid), write.data.eq(neurons.membrane),
                     write.addr.eq(delayed(m, address, neurons.latency, "membrane_to"))]

        m.d.comb += [
            self.spikes_valid.eq(neurons.spikes_valid), self.spikes.eq(neurons.spikes),
            self.membrane_valid.eq(neurons.membrane_valid), self.membrane.eq(neurons.membrane),
        ]
        last = self._last_beat(m, neurons.spikes_valid)
        finished, fresh = Signal(), Signal(init=1)
        m.d.comb += [finished.eq(neurons.spikes_valid & last), neurons.first.eq(fresh),
                     neurons.last.eq(1), schedule.finished.eq(finished)]
        with m.If(finished):
            m.d.sync += fresh.eq(buffer.clears)
        m.d.comb += [
            packer.valid.eq(neurons.spikes_valid), packer.spikes.eq(neurons.spikes),
            packer.last.eq(last), schedule.room.eq(self.o_room), self.o_take.eq(schedule.begin),
            self.o_write.eq(packer.write), self.o_word.eq(packer.word),
            self.o_index.eq(packer.index), self.o_done.eq(packer.done),
            self.o_emit.eq(buffer.emits), self.o_clear.eq(buffer.clears),
        ]
        if self.own is not None:
            m.submodules.own = own = self.own
            m.d.comb += [own.valid.eq(neurons.spikes_valid), own.spikes.eq(neurons.spikes),
                         own.last.eq(last)]
            # taps are kept in the first group's pass, spikes come behind it
            write = own.write
            if stage.neurons > stage.own_words * stage.simd:  # padding neurons are no words
                write = write & (own.index < stage.own_words)
            with m.If(write):
                spikes = own.word
                if stage.bits > 1:
                    spikes = Cat(Cat(spike, C(0, stage.bits - 1)) for spike in own.word)
                m.d.comb += [buffer.keep.eq(~buffer.clears), buffer.kept_word.eq(spikes),
                             buffer.kept_index.eq(own.index + stage.taps * stage.in_words)]
        return m


class SerialReadout(_Serial):
    """Output layer: totals over the steps, and at each step that emits scores and label.

    Parameters as for :class:`SerialLayer`, with :class:`qsnn.hw.plan.parameters.TotalParameters`.

    Members
    -------
    o : Out(stream), see :class:`qsnn.hw.core.readout.ScoreUnit`
    """

    def __init__(self, stage, parameters, *, tables, files):
        self.scores = ScoreUnit(classes=stage.n_out, neurons=stage.neurons, parameters=parameters)
        super().__init__(stage, parameters, tables=tables, files=files,
                         members={"o": Out(self.scores.o.signature)})

    def elaborate(self, platform):
        m = Module()
        stage, p = self.stage, self.parameters
        spikes = self._front(m)
        m.submodules.scores = scores = self.scores
        buffer, schedule, sequencer = self.buffer, self.schedule, self.sequencer
        wiring.connect(m, scores.o, wiring.flipped(self.o))

        width = Shape.cast(range(p.sum_max + 1)).width
        totals = Memory(shape=width, depth=max(2, stage.neurons), init=[], attrs=RAM)
        m.submodules.totals = totals
        read, write = totals.read_port(), totals.write_port()
        # the sum, then the new total, which then saturates
        address = delayed(m, sequencer.parameter, 1, "parameter")
        before, fresh = Signal(width, reset_less=True), Signal(init=1)
        met, every = stage.sum_places
        change = Signal(signed(self.synapses.count.width + 2), reset_less=True)
        total = Signal(signed(width + 2), reset_less=True)
        stays, added, late = before, change, 0
        if stage.leaky:  # a cycle for what stays of a total
            late = 1
            factor, k = p.leak
            product = times(m, before, factor, width, 0, p.sum_max, "product")
            stays = Signal(width, reset_less=True)
            m.d.sync += stays.eq((product + p.constant) >> k)
            added = delayed(m, change, 1, "change") << p.place
        m.d.comb += read.addr.eq(address)
        m.d.sync += [before.eq(read.data),
                     change.eq(placed(sequencer.current[0], met) - placed(spikes, every)),
                     total.eq(Mux(fresh, p.limit, stays) + added),
                     scores.sum.eq(Mux(total < 0, 0, Mux(total > p.sum_max, p.sum_max, total)))]
        written = delayed(m, sequencer.valid, 3 + late, "valid")
        m.d.comb += [
            write.en.eq(written), write.data.eq(scores.sum),
            write.addr.eq(delayed(m, address, 4 + late, "total_to")),
            self.roms["biases"].address.eq(delayed(m, address, 2 + late, "bias_at")),
            scores.bias.eq(self.roms["biases"].word),
            scores.valid.eq(written & buffer.emits),
        ]
        last, finished = self._last_beat(m, written), Signal()
        m.d.comb += [finished.eq(written & last), schedule.finished.eq(finished),
                     schedule.room.eq(scores.room), scores.take.eq(finished & buffer.emits)]
        with m.If(finished):
            m.d.sync += fresh.eq(buffer.clears if stage.leaky else buffer.emits | buffer.clears)
        return m
