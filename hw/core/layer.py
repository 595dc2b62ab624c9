"""A layer with its input buffer: the time-parallel schedule."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.buffer import ImageBuffer, ImageWriter, RowBuffer
from qsnn.hw.core.counts import IntegerSums
from qsnn.hw.core.neuron import NeuronUnit
from qsnn.hw.core.pool import Pool
from qsnn.hw.core.readout import LeakyTotal, ScoreUnit
from qsnn.hw.core.rom import LoadPort, Rom, share_port
from qsnn.hw.core.schedule import Schedule, Sequencer
from qsnn.hw.core.synapses import SynapseArray
from qsnn.hw.core.window import WindowSchedule
from qsnn.hw.plan.latency import CURRENT_LATENCY, LEAK_LATENCY

__all__ = ["Readout", "SpikingLayer", "parallel_layer"]


def parallel_layer(plan, index, *, files, loadable, hidden=None):
    """The gateware of a time-parallel layer of a :class:`qsnn.hw.plan.network.Plan`.

    files, loadable: as for :class:`qsnn.hw.network.Network`. hidden: a class in the place of
    :class:`SpikingLayer`.
    """
    planned, stages = plan.layers[index], plan.stages
    stage = planned.stage
    following = plan.layers[index + 1:index + 2]
    skip = {"skip_lanes": stages[stage.skip.source].lanes} if stage.skip else {}
    return (Readout if stage.readout else hidden or SpikingLayer)(
        stage, planned.parameters, source_lanes=stages[index - 1].lanes if index else stage.simd,
        reserved=index > 0,
        every_unit=bool(following and following[0].stage.window), **skip,
        tables=planned.tables, files=planned.image_names(files) if files else None,
        loadable=loadable)


class _Layer(wiring.Component):
    """What hidden layers and readouts share: input, schedule, weights, synapses, sequencer.

    The input is a stream of beats; see :class:`qsnn.hw.core.buffer.ImageWriter` for how they fill
    an image. A hidden layer's source takes its credit (:py:`take` while :py:`room`) before an
    image's first beat and is never stalled after that; the first layer is ready when it has room.
    """

    def __init__(self, stage, *, source_lanes, reserved, every_unit, tables, files,
                 loadable, members, skip_lanes=None):
        self.stage = stage
        spram = {"weights"} if stage.spram else set()
        self.roms = {name: Rom(width=width, init=words, file=files and files[name],
                               loadable=loadable or name in spram, spram=name in spram)
                     for name, (width, words) in tables.items()}
        self.loads = {name: (rom.width, len(rom.init)) for name, rom in self.roms.items()
                      if rom.loadable}
        if self.loads:
            members["load"] = In(LoadPort(self.loads.values()))
        width, window = stage.bits * stage.steps, stage.window
        self.writer = ImageWriter(elements=window.channels if window else stage.n_in, width=width,
                                  lanes=source_lanes, ratio=stage.simd // source_lanes,
                                  reserved=reserved, pixels=window.width if window else 1,
                                  late=window is not None)
        self.buffer = RowBuffer(window=window, rows=window.rows, width=width * stage.simd,
                                ports=stage.pixels) \
            if window else \
            ImageBuffer(words=stage.words, width=width * stage.simd)
        self.schedule = WindowSchedule(stage, every_unit) if window else Schedule(stage)
        self.synapses = SynapseArray(pe=stage.pe, simd=stage.simd, bits=stage.bits,
                                     steps=stage.steps, merge=stage.merges,
                                     sum_max=stage.xnor_max,
                                     shift=stage.sum_shift, initial_shift=stage.initial_shift,
                                     pixels=stage.pixels,
                                     emit=files is not None,
                                     count_max=stage.count_max if stage.counts else None)
        self.sequencer = Sequencer(stage, stage.xnor_max)
        self.sums = IntegerSums(stage, self.sequencer) if stage.counts else self.sequencer
        if stage.skip:
            self._make_skip(width, skip_lanes, members)
        super().__init__({
            "i": In(self.writer.i.signature.flip()),
            "room": Out(1), "take": In(1),
            **members,
        })

    def _make_skip(self, width, lanes, members):
        """Writer and buffer of a skip."""
        skip, elements = self.stage.skip, self.stage.skip_elements
        self.skip_writer = ImageWriter(
            elements=skip.window.channels, width=width, lanes=lanes, ratio=elements // lanes,
            reserved=True, pixels=skip.window.width)
        self.skip_buffer = RowBuffer(window=skip.window, rows=skip.rows, width=width * elements,
                                     ports=self.stage.pixels)
        members |= {"skip": In(self.skip_writer.i.signature.flip()), "skip_room": Out(1),
                    "skip_take": In(1)}

    def _skip_word(self, m):
        """Connects the buffer of a skip; its word, which is 0 where it is not the skip's turn."""
        if not self.stage.skip:
            return 0
        m.submodules.skip_writer = writer = self.skip_writer
        m.submodules.skip_buffer = buffer = self.skip_buffer
        schedule = self.schedule
        wiring.connect(m, wiring.flipped(self.skip), writer.i)
        m.d.comb += [
            self.skip_room.eq(buffer.room), buffer.take.eq(self.skip_take),
            buffer.write.eq(writer.write), buffer.data.eq(writer.data),
            buffer.done.eq(writer.done),
            buffer.begin.eq(schedule.begin), buffer.release.eq(schedule.skip_release),
            buffer.address.eq(schedule.skip_word), buffer.blank.eq(schedule.skip_blank),
        ]
        if self.stage.skip.weights:
            return buffer.word
        m.d.comb += self.synapses.initial.eq(buffer.word)
        return 0

    def _skip_available(self):
        return self.skip_buffer.available if self.stage.skip else 1

    def _front(self, m):
        """Everything up to the sums that the sequencer hands on."""
        m.submodules.writer = writer = self.writer
        m.submodules.buffer = buffer = self.buffer
        m.submodules.schedule = schedule = self.schedule
        m.submodules.synapses = synapses = self.synapses
        m.submodules.sequencer = sequencer = self.sequencer
        for name, rom in self.roms.items():
            m.submodules[name] = rom
        if self.loads:
            share_port(m, self.load, list(self.loads.values()),
                       [(self.roms[name].load, 1) for name in self.loads])

        wiring.connect(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            writer.room.eq(buffer.room),
            self.room.eq(buffer.room),
            buffer.take.eq(self.take if self.writer.reserved else writer.take),
            buffer.write.eq(writer.write), buffer.data.eq(writer.data),
            buffer.done.eq(writer.done),
            schedule.available.eq(buffer.available & self._skip_available()),
            buffer.begin.eq(schedule.begin), buffer.release.eq(schedule.release),
            buffer.address.eq(schedule.word), *(
                [buffer.blank.eq(schedule.blank)] if self.stage.window else []),
            synapses.x.eq(buffer.word | self._skip_word(m)),
            sequencer.sums.eq(synapses.sums),
        ]
        address = schedule.weight
        for index in range(synapses.weight_delay):
            delayed = Signal.like(address, name=f"weight_{index}", reset_less=True)
            m.d.sync += delayed.eq(address)
            address = delayed
        weights = [self.roms[name] for name in ("weights", "weights_upper") if name in self.roms]
        m.d.comb += [rom.address.eq(address) for rom in weights]
        m.d.comb += synapses.w.eq(Cat(rom.word for rom in weights))

        flags = Cat(schedule.valid, schedule.first, schedule.scale)
        for index in range(Rom.latency):
            delayed = Signal(3, name=f"flags_{index}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        m.d.comb += Cat(synapses.valid, synapses.first, synapses.scale).eq(flags)

        # the sums are there Rom.latency + synapses.latency cycles after their last word
        start = schedule.valid & schedule.last
        for index in range(Rom.latency + synapses.latency - Sequencer.LEAD):
            delayed = Signal(name=f"start_{index}")
            m.d.sync += delayed.eq(start)
            start = delayed
        m.d.comb += sequencer.start.eq(start)
        if self.sums is not sequencer:
            m.submodules.integers = self.sums
            m.d.comb += [self.sums.start.eq(start), self.sums.counts.eq(synapses.counts),
                         *(getattr(self.sums.sequencer, name).eq(getattr(sequencer, name))
                           for name in IntegerSums.HANDED)]
        return schedule, self.sums


def parameter_links(m, roms, neurons, address):
    """What connects the memories of a layer's integers to its neuron units: addresses, words.

    Behind a current they are wanted later than its own.
    """
    members = {"thresholds": "threshold", "biases": "bias", "biases_fired": "bias_fired",
               "biases_current": "bias_current"}
    names = [name for name in members if name in roms]
    addresses = dict.fromkeys(names, address)
    if "biases_current" in names:
        for cycle in range(CURRENT_LATENCY):
            later = Signal.like(address, name=f"parameter_{cycle}", reset_less=True)
            m.d.sync += later.eq(address)
            address = later
        addresses |= dict.fromkeys([name for name in names if name != "biases_current"], address)
    return ([roms[name].address.eq(addresses[name]) for name in names],
            [getattr(neurons, members[name]).eq(roms[name].word) for name in names])


class SpikingLayer(_Layer):
    """Layer of spiking neurons, fully connected or a convolution with its pooling.

    Parameters
    ----------
    stage : :class:`qsnn.hw.plan.stages.StagePlan`
    parameters : :class:`qsnn.hw.plan.parameters.NeuronParameters`
    source_lanes, reserved :
        Elements of an input beat; whether the source takes credits.
    every_unit : bool
        Whether the next layer gives credits for rows, else it does so for images.
    skip_lanes : int
        Elements of a beat of its skip.
    tables, files :
        Contents of the memories, and the names of their images or None: see
        :mod:`qsnn.hw.plan.images`.
    loadable : bool
        Whether there is a port :py:`load` to all of them, :class:`qsnn.hw.core.rom.LoadPort`; else
        it is there for weights in single-port RAM only.

    Attributes
    ----------
    loads : {name: (width, depth)}
        The memories that :py:`load` numbers.

    Members
    -------
    o : Out(stream of lanes * time_steps * bits, always ready)
        Spikes of ``lanes`` neurons, all steps of one side by side, step 0 lowest; or what pooling
        makes of them.
    o_room, o_take : In(1), Out(1)
        Credits of the layers that :py:`o` feeds.
    skip, skip_room, skip_take :
        What :py:`i`, :py:`room` and :py:`take` are, for a skip.
    spikes_valid, spikes, membrane_valid, membrane : Out
        Spikes before pooling, and membranes after each step: what the tests watch.
    """

    def __init__(self, stage, parameters, *, members=None, **kwargs):
        self.neurons = NeuronUnit(lanes=stage.lanes, parameters=parameters,
                                  time_steps=stage.sequence, stored=stage.stored)
        window, bits = stage.window, 1
        self.pool = None
        if window and window.square > 1:
            pixels = window.square
            bits = pixels.bit_length() if window.pool == "sum" else 1
            self.pool = Pool(pixels=pixels, beats=stage.neurons // stage.lanes, lanes=stage.lanes,
                             steps=stage.sequence, bits=bits)
        super().__init__(stage, members={
            "o": Out(stream.Signature(stage.lanes * stage.sequence * bits, always_ready=True)),
            "o_room": In(1), "o_take": Out(1),
            "spikes_valid": Out(1), "spikes": Out(stage.lanes * stage.sequence),
            "membrane_valid": Out(1),
            "membrane": Out(stage.lanes * parameters.held_bits), **(members or {}),
        }, **kwargs)

    def elaborate(self, platform):
        m = Module()
        schedule, sequencer = self._front(m)
        m.submodules.neurons = neurons = self.neurons
        addresses, words = parameter_links(m, self.roms, neurons, sequencer.parameter)
        m.d.comb += [
            schedule.room.eq(self.o_room), self.o_take.eq(schedule.take), *addresses,
            neurons.valid.eq(sequencer.valid), neurons.first.eq(sequencer.first),
            neurons.last.eq(sequencer.last), neurons.sum.eq(sequencer.current), *words,
            self.spikes_valid.eq(neurons.spikes_valid), self.spikes.eq(neurons.spikes),
            self.membrane_valid.eq(neurons.membrane_valid), self.membrane.eq(neurons.membrane),
        ]
        if self.pool is None:
            m.d.comb += [self.o.valid.eq(neurons.spikes_valid), self.o.payload.eq(neurons.spikes)]
        else:
            m.submodules.pool = pool = self.pool
            m.d.comb += [pool.valid.eq(neurons.spikes_valid), pool.spikes.eq(neurons.spikes),
                         self.o.valid.eq(pool.o_valid), self.o.payload.eq(pool.o)]
        return m


class Readout(_Layer):
    """Output layer: accumulates over inputs and time, gives class scores and the label.

    Parameters as for :class:`SpikingLayer`, with :class:`qsnn.hw.plan.parameters.ScoreParameters`,
    or, where totals leak, :class:`qsnn.hw.plan.parameters.LeakyParameters`.

    Members
    -------
    o : Out(stream), see :class:`qsnn.hw.core.readout.ScoreUnit`
    """

    def __init__(self, stage, parameters, **kwargs):
        self.scores = ScoreUnit(classes=stage.n_out, neurons=stage.neurons, parameters=parameters)
        self.totals = LeakyTotal(parameters) if stage.leaky else None
        super().__init__(stage, members={
            "o": Out(self.scores.o.signature),
        }, **kwargs)

    def elaborate(self, platform):
        m = Module()
        schedule, sequencer = self._front(m)
        m.submodules.scores = scores = self.scores
        biases = self.roms["biases"]
        wiring.connect(m, scores.o, wiring.flipped(self.o))
        address, valid, total = sequencer.parameter, sequencer.valid, sequencer.current[0]
        if self.stage.leaky:
            m.submodules.totals = totals = self.totals
            m.d.comb += [
                self.roms["offsets"].address.eq(address), totals.offset.eq(
                    self.roms["offsets"].word),
                totals.valid.eq(valid), totals.first.eq(sequencer.first),
                totals.last.eq(sequencer.last), totals.sum.eq(total)]
            valid, total = totals.total_valid, totals.total
            for cycle in range(LEAK_LATENCY):
                later = Signal.like(address, name=f"bias_{cycle}", reset_less=True)
                m.d.sync += later.eq(address)
                address = later
        m.d.comb += [
            schedule.room.eq(scores.room), scores.take.eq(schedule.begin),
            biases.address.eq(address),
            scores.valid.eq(valid), scores.sum.eq(total),
            scores.bias.eq(biases.word),
        ]
        return m
