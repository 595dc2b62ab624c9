"""A network: layers in a line, wired from a description and a folding."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.layer import parallel_layer
from qsnn.hw.core.rom import LoadPort, share_port
from qsnn.hw.plan.folding import FoldingError
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.parallel import consumers
from qsnn.hw.serial.encoders import make_encoder
from qsnn.hw.serial.layer import connect_layers, serial_layer
from qsnn.hw.serial.maps import map_layer
from qsnn.hw.serial.unroll import Unroll
from qsnn.hw.serial.words import MapInput, MapPacker, StepInput

__all__ = ["Network"]

LAYERS = {"parallel": parallel_layer, "map": map_layer, "serial": serial_layer}


class Network(wiring.Component):
    """Quantized spiking network, bit-exact with :mod:`qsnn.model.golden`, or of a stream with
    :mod:`qsnn.model.streams`.

    Layers work on consecutive images, or steps, at once; the slowest one sets the rate. Time-serial
    layers come behind time-parallel ones, and in a stream behind convolutions.

    Parameters
    ----------
    description : :class:`qsnn.model.description.Description`
    foldings : list of :class:`qsnn.hw.plan.folding.Folding` or \
            :class:`qsnn.hw.plan.folding.SerialFolding`
        Of each layer. Raises :class:`qsnn.hw.plan.folding.FoldingError` if it can't be.
    files : str
        Name of the design's top, and memories read their images from files that begin with it; or
        "", and the contents are part of the circuit.
    loadable : bool
        Whether a host can write all memories. Weights in single-port RAM always need one. Not for
        serial layers.
    events : bool
        Of a stream: whether :py:`i` takes events, else frames. Events are for a first layer that is
        serial and sparse.
    encoder : str
        Of a stream: name in :data:`qsnn.hw.serial.encoders.ENCODERS` of what stands before the
        network and takes its place at :py:`i`; or "", and steps come from outside.

    Attributes
    ----------
    plan : :class:`qsnn.hw.plan.network.Plan`
        Cycles, latency, padding, contents of the memories.
    memories : list of (layer, name, width, depth)
        Those that :py:`load` numbers, from 0.

    Members
    -------
    i : In(stream)
        Of images SIMD * input_bits bits: pixels in order, SIMD of the first layer a beat, pixel 0
        in the lowest bits. Beats of an image follow each other; what the last one has beyond the
        image is ignored. Of a stream :class:`qsnn.hw.serial.words.StepInput`'s, the encoder's, or
        :class:`qsnn.hw.serial.words.MapInput`'s.
    o : Out(stream of {score, label, last})
        One beat a class for each image, or each step that emits, see
        :class:`qsnn.hw.core.readout.ScoreUnit`.
    load : In(LoadPort), see :class:`qsnn.hw.core.rom.LoadPort`
        If loadable. To be used only while no image is under way.
    busy : Out(1)
        Of a stream: a step is under way or waits, or a result does.
    """

    def __init__(self, description, foldings, *, files="", loadable=False, events=False,
                 encoder=""):
        self.description, self.files, self.events = description, files, events
        self.plan = plan(description, foldings)
        if self.plan.parallel and (events or encoder):
            raise FoldingError("--events and --encoder are for networks of streams, "
                               f"{description.shape} takes "
                               + ("images" if self.plan.time_steps else "maps, as frames"))
        if loadable and self.plan.at_most:
            raise FoldingError("memories of serial layers cannot be loaded: leave out --loadable, "
                               "and single-port RAM")
        self.layers = [LAYERS[planned.schedule](
            self.plan, index, files=files, loadable=loadable)
            for index, planned in enumerate(self.plan.layers)]
        self.memories = [(index, name, *size) for index, layer in enumerate(self.layers)
                         for name, size in layer.loads.items()]
        stages, parallel = self.plan.stages, self.plan.parallel
        # what gives steps to the first serial layer
        self.steps = self.encoder = self.input = None
        if self.plan.time_steps:
            members = {"i": In(stream.Signature(stages[0].simd * stages[0].bits))}
            if parallel < len(stages):
                self.steps = Unroll(stages[parallel - 1], stages[parallel])
        else:
            if parallel:
                self.input = MapInput(stages[0])
                self.steps = MapPacker(stages[parallel - 1], stages[parallel])
            else:
                self.encoder = make_encoder(encoder, description, stages[0].simd, events)
                self.input = self.steps = StepInput(stages[0], events=events,
                                                    padded=self.encoder is not None)
            members = {"i": In((self.encoder or self.input).i.signature.flip()), "busy": Out(1)}
        members["o"] = Out(self.layers[-1].o.signature)
        if self.memories:
            members["load"] = In(LoadPort([memory[2:] for memory in self.memories]))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        parallel = self.plan.parallel
        if self.input is not None:
            m.submodules.input = self.input
            self._connect_input(m)
        if parallel and self.steps is not None:
            m.submodules["unroll" if self.plan.time_steps else "packer"] = self.steps
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
        if parallel:
            self._connect_parallel(m)
        if self.steps is not None:
            connect_layers(m, self.steps, self.layers[parallel:])
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        if self.memories:
            share_port(m, self.load, [memory[2:] for memory in self.memories],
                       [(layer.load, len(layer.loads)) for layer in self.layers if layer.loads])
        return m

    def _connect_parallel(self, m):
        """Pixels to the first layer, and spikes with their credits from each to those it feeds."""
        first, parallel = self.layers[0], self.plan.parallel
        if self.input is None:
            wiring.connect(m, wiring.flipped(self.i), first.i)
        else:
            wiring.connect(m, self.input.o, first.i)
            self._connect_commands(m, self.input, first)
        for index, source in enumerate(self.layers[:parallel]):
            if index == len(self.layers) - 1:
                break  # the readout: its scores go out
            room = 1
            for other, skip in consumers(self.description, index):
                sink = self.steps if other == parallel else self.layers[other]
                beats = sink.skip if skip else sink.i
                m.d.comb += [beats.valid.eq(source.o.valid), beats.payload.eq(source.o.payload),
                             (sink.skip_take if skip else sink.take).eq(source.o_take)]
                room = room & (sink.skip_room if skip else sink.room)
                if self.input is not None:
                    self._connect_commands(m, source, sink)
            m.d.comb += source.o_room.eq(room)

    def _connect_commands(self, m, source, sink):
        """Of a stream: what comes with the last beat of a step."""
        m.d.comb += [getattr(sink, name).eq(getattr(source, f"o_{name}"))
                     for name in ("done", "emit", "clear")]

    def _connect_input(self, m):
        """Steps from outside, or from the encoder that makes them of a signal."""
        busy = [self.input.busy, *(layer.busy for layer in self.layers), self.o.valid]
        if self.encoder is None:
            wiring.connect(m, wiring.flipped(self.i), self.input.i)
        else:
            m.submodules.encoder = encoder = self.encoder
            wiring.connect(m, wiring.flipped(self.i), encoder.i)
            wiring.connect(m, encoder.o, self.input.i)
            busy.append(encoder.busy)
        m.d.comb += self.busy.eq(Cat(busy).any())
