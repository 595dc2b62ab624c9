"""The engine: one layer after the other, each with what the program says of it."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from qsnn.hw.core.neuron import NeuronUnit
from qsnn.hw.core.synapses import SynapseArray
from qsnn.hw.engine.finish import Feeder, Parameters, PoolWriter
from qsnn.hw.engine.gather import Gather
from qsnn.hw.engine.loader import Loader, Slab
from qsnn.hw.engine.scores import Scores
from qsnn.hw.engine.shape import MEMORY_WORD
from qsnn.hw.engine.walk import PositionWalk, WindowWalk

__all__ = ["Engine", "MapMemory"]


class MapMemory(wiring.Component):
    """Pixels and spikes: words of ``simd`` channels and ``steps`` lanes, written in columns.

    Members
    -------
    address, mask, word : In, In, Out
        Two cycles later, in a register; columns whose bit of :py:`mask` is 0 are 0. The mask comes
        a cycle after the address.
    at, column, write, data : In
    """

    latency = 2

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "address": In(shape.address_bits), "mask": In(shape.columns),
            "word": Out(shape.columns * shape.column_bits),
            "at": In(shape.address_bits), "column": In(range(max(2, shape.columns))),
            "write": In(1), "data": In(shape.column_bits),
        })

    def elaborate(self, platform):
        m = Module()
        for index in range(self.shape.columns):
            m.submodules[f"column_{index}"] = memory = Memory(
                shape=self.shape.column_bits, depth=self.shape.map_words, init=[])
            writer, reader = memory.write_port(), memory.read_port()
            word = Signal(self.shape.column_bits, name=f"word_{index}", reset_less=True)
            m.d.comb += [writer.en.eq(self.write & (self.column == index)), writer.addr.eq(self.at),
                         writer.data.eq(self.data), reader.addr.eq(self.address),
                         self.word.word_select(index, self.shape.column_bits).eq(word)]
            m.d.sync += word.eq(Mux(self.mask[index], reader.data, 0))
        return m


class Engine(wiring.Component):
    """Runs the program that comes by :py:`program`, once for each batch of images.

    Layer by layer; in each the groups of ``pe`` channels, then the images, then the positions: a
    word of weights comes from outside once a batch. The next groups arrive while one is at work.

    Parameters
    ----------
    shape : :class:`qsnn.hw.engine.shape.EngineShape`

    Members
    -------
    program : In(stream of 32)
        Words of a program, from the first to the last, and then again.
    i : In(stream of 8)
        Pixels of images.
    images : In(4)
        Images of a batch, less 1; stable. As many as lie side by side in the lanes, or several
        times so many.
    o : Out(stream), see :class:`qsnn.hw.engine.scores.Scores`
    known, image, outputs : Out
        The program has said pixels of an image, less 1, and its class scores.
    waits : Out(1)
        It waits for weights: what reports count.
    spikes_valid, spikes : Out
        Spikes of ``beat`` channels before pooling, all steps of a channel side by side: what the
        tests watch, with :py:`membrane_valid` and :py:`membrane`, step by step.
    """

    def __init__(self, shape):
        self.shape = shape
        self.feeder, self.scores = Feeder(shape), Scores(shape)
        self.neurons = NeuronUnit(lanes=shape.beat, parameters=shape.neurons,
                                  time_steps=shape.steps, ranged=True)
        super().__init__({
            "program": In(stream.Signature(MEMORY_WORD)), "i": In(stream.Signature(8)),
            "images": In(4), "o": Out(self.scores.o.signature), "waits": Out(1), "works": Out(1),
            "known": Out(1), "image": Out(shape.network["image"].shape), "outputs": Out(16),
            "spikes_valid": Out(1), "spikes": Out(shape.beat * shape.steps),
            "membrane_valid": Out(1),
            "membrane": Out(shape.beat * (shape.membrane_bits + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        m.submodules.loader = loader = Loader(shape)
        m.submodules.slab = slab = Slab(shape)
        m.submodules.parameters = parameters = Parameters(shape)
        m.submodules.gather = gather = Gather(shape)
        m.submodules.maps = maps = MapMemory(shape)
        m.submodules.positions = positions = PositionWalk(
            shape.address_bits, shape.layer["position"].shape, pools=True)
        m.submodules.window = window = WindowWalk(
            shape.address_bits, shape.layer["window"].shape, passes=True)
        m.submodules.feeder = feeder = self.feeder
        m.submodules.neurons = neurons = self.neurons
        m.submodules.writer = writer = PoolWriter(shape)
        m.submodules.scores = scores = self.scores
        wiring.connect(m, wiring.flipped(self.program), loader.i)
        wiring.connect(m, wiring.flipped(self.i), gather.i)
        wiring.connect(m, scores.o, wiring.flipped(self.o))
        layer = Signal(shape.layer)

        m.d.comb += [
            slab.at.eq(loader.slab), slab.column.eq(loader.column),
            slab.write.eq(loader.write_slab), slab.data.eq(loader.data),
            parameters.write_set.eq(loader.set), parameters.entry.eq(loader.entry),
            parameters.write.eq(loader.write_parameter), parameters.data.eq(loader.data),
            gather.known.eq(loader.known), gather.network.eq(loader.network),
            self.known.eq(loader.known), self.image.eq(loader.network.image),
            self.outputs.eq(loader.network.outputs),
            gather.images.eq(self.images),
            maps.write.eq(gather.write | writer.write), gather.free.eq(~writer.write),
            maps.at.eq(Mux(writer.write, writer.at, gather.at)),
            maps.column.eq(Mux(writer.write, writer.column, gather.column)),
            maps.data.eq(Mux(writer.write, writer.data, gather.data)),
            positions.config.eq(layer.position),
            positions.images.eq(self.images >> loader.network.share),
            window.config.eq(layer.window), window.stall.eq(0),
        ]
        self._control(m, layer, loader, gather, positions, window, writer, scores)
        synapses = self._array(m, layer, loader, slab, maps, window)
        self._finish(m, layer, loader.network, synapses, parameters, window, feeder, neurons,
                     writer, scores)
        return m

    def _control(self, m, layer, loader, gather, positions, window, writer, scores):
        """Layers and groups, one after the other."""
        shape = self.shape
        group, first_layer = Signal(len(layer.groups)), Signal(init=1)
        base = Signal(ceil_log2(shape.slab_words))  # of the next group, in the slab
        self.base = Signal.like(base)  # of this one
        released, done = Signal(len(layer.groups) + 1), Signal()
        self.release = Signal()
        m.d.comb += [loader.release.eq(self.release), loader.release_words.eq(layer.group_words),
                     scores.outputs.eq(loader.network.outputs), scores.images.eq(self.images),
                     self.works.eq(window.valid)]
        with m.If(self.release):
            m.d.sync += released.eq(released + 1)
        begin, clear, started = Signal(), Signal(), Signal()
        with m.If(layer.merge & started):
            m.d.sync += gather.reading.eq(window.image)
        with m.If(window.begins):
            m.d.sync += started.eq(1)
        with m.If(begin | clear):
            m.d.sync += [gather.reading.eq(0), started.eq(0)]
        m.d.sync += clear.eq(0)
        m.d.comb += gather.clear.eq(clear)
        m.d.comb += [writer.begin.eq(begin), scores.begin.eq(begin & layer.readout)]
        with m.FSM():
            with m.State("layer"):
                m.d.comb += self.waits.eq(~loader.given & ~first_layer)
                free = ~loader.layer.readout | ~scores.busy
                with m.If(loader.given & free):
                    m.d.comb += loader.take.eq(1)
                    m.d.sync += [layer.eq(loader.layer), group.eq(0), released.eq(0)]
                    m.next = "begin"
            with m.State("begin"):
                m.d.comb += begin.eq(1)
                m.next = "group"
            with m.State("group"):
                m.d.comb += self.waits.eq(loader.groups == 0)
                with m.If(loader.groups != 0):
                    m.d.comb += [loader.begin.eq(1), positions.start.eq(1)]
                    m.d.sync += [self.base.eq(base), base.eq(base + layer.group_words)]
                    m.next = "run"
            with m.State("run"):
                with m.If(positions.o.valid & positions.o.ready & positions.o.p.final):
                    m.d.sync += group.eq(group + 1)
                    m.next = "group"
                    with m.If(group == layer.groups):
                        m.next = "drain"
            with m.State("drain"):
                m.d.comb += done.eq(released == layer.groups + 1)
                with m.If(done):
                    m.d.comb += scores.finish.eq(layer.final)
                    m.d.sync += clear.eq(first_layer)
                    m.d.sync += first_layer.eq(layer.final)
                    m.next = "layer"

        # neurons take their time
        longest = shape.interval(readout=True)
        left, hold = Signal(range(longest + 1)), Signal()
        m.d.comb += window.hold.eq(hold)
        # images are taken as they come
        here = Signal()
        m.d.sync += here.eq(~layer.merge
                            | (positions.o.p.image < gather.there >> loader.network.share))
        m.d.comb += [
            window.i.payload.eq(positions.o.payload),
            window.i.valid.eq(positions.o.valid & here),
            positions.o.ready.eq(window.i.ready & here),
        ]
        with m.If(hold):
            m.d.sync += [left.eq(left - 1), hold.eq(left != 1)]
        with m.If(window.begins):
            interval = Mux(layer.readout, longest, shape.interval(readout=False))
            m.d.sync += [left.eq(interval - 1), hold.eq(interval != 1)]

    def _array(self, m, layer, loader, slab, maps, window):
        """Words of inputs and weights to sums."""
        shape = self.shape
        m.submodules.synapses = synapses = SynapseArray(
            pe=shape.pe, simd=shape.simd, bits=1, steps=shape.steps, merge=False,
            sum_max=(1 << shape.sum_bits) - 1, shift=1)
        weight, ones = Signal.like(slab.address), Signal.like(slab.address)
        base = Signal.like(slab.address)  # of the window that comes
        with m.If(window.i.valid & window.i.ready):
            m.d.sync += base.eq(self.base)
        again = Signal.like(slab.address)  # the first word of a pass
        with m.If(window.valid & window.own):
            m.d.sync += weight.eq(weight + 1)
        with m.If(window.pass_ends):
            m.d.sync += again.eq(weight + 1)
        with m.Elif(window.pixel_ends & layer.repeat):
            m.d.sync += weight.eq(again)
        with m.If(window.begins):
            first = base + layer.doubled
            m.d.sync += [weight.eq(first), again.eq(first), ones.eq(base)]
        mask = Signal(shape.columns, reset_less=True)
        m.d.comb += [maps.address.eq(window.address), maps.mask.eq(mask),
                     slab.address.eq(Mux(window.own, weight, ones))]
        m.d.sync += mask.eq(window.mask)
        flags = Cat(window.valid, window.first, window.scale)
        for cycle in range(slab.latency):
            after = Signal(3, name=f"word_flags_{cycle}")
            m.d.sync += after.eq(flags)
            flags = after
        lanes = shape.steps
        x = Cat(maps.word[(channel // shape.beat) * shape.column_bits + lane * shape.beat
                          + channel % shape.beat]
                for channel in range(shape.simd) for lane in range(lanes))
        m.d.comb += [Cat(synapses.valid, synapses.first, synapses.scale).eq(flags),
                     synapses.x.eq(x), synapses.w.eq(slab.word)]
        return synapses

    def _finish(self, m, layer, network, synapses, parameters, window, feeder, neurons, writer,
                scores):
        """Sums to spikes and scores."""
        flags = Cat(window.valid & window.last, window.lane, window.square_first,
                    window.square_last, window.final)
        for cycle in range(Slab.latency + synapses.latency):
            after = Signal(len(flags), name=f"position_flags_{cycle}")
            m.d.sync += after.eq(flags)
            flags = after
        m.d.comb += [
            Cat(feeder.start, feeder.lane, feeder.begins, feeder.ends, feeder.done).eq(flags),
            feeder.sums.eq(synapses.sums), feeder.merge.eq(layer.merge),
            feeder.readout.eq(layer.readout), feeder.steps.eq(network.steps),
            feeder.share.eq(network.share), feeder.scale.eq(layer.scale),
            parameters.set.eq(feeder.set), parameters.beat.eq(feeder.beat),
            feeder.from_thresholds.eq(parameters.thresholds),
            feeder.from_biases.eq(parameters.biases),
            neurons.valid.eq(feeder.tags.step & ~layer.readout),
            neurons.first.eq(feeder.tags.starts), neurons.last.eq(feeder.tags.last),
            neurons.sum.eq(feeder.given), neurons.threshold.eq(feeder.thresholds),
            neurons.bias.eq(feeder.biases),
            neurons.low.eq(layer.low),
            neurons.high.eq(layer.high),
            scores.load.eq(feeder.tags.step & feeder.tags.first & layer.readout),
            scores.given.eq(feeder.given), scores.biases.eq(feeder.biases),
            scores.done.eq(feeder.tags.done), scores.beat_last.eq(feeder.tags.beat_last),
            self.spikes_valid.eq(neurons.spikes_valid),
            self.spikes.eq(neurons.spikes.as_value()),
            self.membrane_valid.eq(neurons.membrane_valid),
            self.membrane.eq(neurons.membrane.as_value()),
            writer.output.eq(layer.output), writer.words.eq(layer.output_words),
            writer.columns.eq(layer.output_columns), writer.valid.eq(neurons.spikes_valid),
            writer.spikes.eq(neurons.spikes), writer.merge.eq(layer.merge),
            writer.share.eq(network.share),
        ]
        tag = feeder.tags
        for cycle in range(neurons.latency):
            after = Signal(tag.shape(), name=f"tags_{cycle}")
            m.d.sync += after.eq(tag)
            tag = after
        m.d.comb += writer.tags.eq(tag)
        # the last column is written in the cycle after, before anybody can read it
        ended = Signal()
        m.d.sync += ended.eq(tag.step & tag.last & tag.beat_last & tag.done)
        m.d.comb += self.release.eq(ended)
