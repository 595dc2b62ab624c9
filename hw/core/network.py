"""A network: layers in a line, wired from a description and a folding."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.layer import Readout, SpikingLayer
from qsnn.hw.core.rom import LoadPort, share_port
from qsnn.hw.plan.folding import consumers, plan
from qsnn.hw.plan.images import network_tables
from qsnn.hw.plan.parameters import layer_parameters

__all__ = ["Network"]


class Network(wiring.Component):
    """Quantized spiking network, bit-exact with :func:`qsnn.model.golden.infer`.

    Layers work on consecutive images at once; the slowest one sets the rate.

    Parameters
    ----------
    description : :class:`qsnn.model.description.Description`
    foldings : list of :class:`qsnn.hw.plan.folding.Folding`
        PE and SIMD of each layer. Raises :class:`qsnn.hw.plan.folding.FoldingError` if it can't be.
    files : bool
        Memories read their images from files; else the contents are part of the circuit.
    loadable : bool
        Whether a host can write all memories. Weights in single-port RAM always need one.

    Attributes
    ----------
    plan : :class:`qsnn.hw.plan.stages.Plan`
        Cycles per image, latency, padding.
    tables : list of {name: (width, words)}
        Contents of each layer's memories.
    memories : list of (layer, name, width, depth)
        Those that :py:`load` numbers, from 0.

    Members
    -------
    i : In(stream of SIMD * input_bits bits)
        Pixels in order, SIMD of the first layer a beat, pixel 0 in the lowest bits. Beats of an
        image follow each other; what the last one has beyond the image is ignored.
    o : Out(stream of {score, label, last})
        One beat a class, see :class:`qsnn.hw.core.readout.ScoreUnit`.
    load : In(LoadPort), see :class:`qsnn.hw.core.rom.LoadPort`
        If loadable. To be used only while no image is under way.
    """

    def __init__(self, description, foldings, *, files=False, loadable=False):
        self.description = description
        self.plan = plan(description, foldings)
        self.tables = network_tables(description, self.plan)
        self.layers = []
        lanes = self.plan.stages[0].simd
        for index, (stage, parameters, contents) in enumerate(zip(
                self.plan.stages, layer_parameters(description, self.plan), self.tables,
                strict=True)):
            kind = Readout if stage.readout else SpikingLayer
            names = {name: image_name(index, name) for name in contents} if files else None
            following = self.plan.stages[index + 1:index + 2]
            self.layers.append(kind(stage, parameters, source_lanes=lanes, reserved=index > 0,
                                    every_unit=bool(following and following[0].window),
                                    **({"skip_lanes": self.plan.stages[stage.skip.source].lanes}
                                       if stage.skip else {}),
                                    tables=contents, files=names, loadable=loadable))
            lanes = stage.lanes
        self.memories = [(index, name, *size) for index, layer in enumerate(self.layers)
                         for name, size in layer.loads.items()]
        first = self.plan.stages[0]
        members = {
            "i": In(stream.Signature(first.simd * first.bits)),
            "o": Out(self.layers[-1].o.signature),
        }
        if self.memories:
            members["load"] = In(LoadPort([memory[2:] for memory in self.memories]))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
        wiring.connect(m, wiring.flipped(self.i), self.layers[0].i)
        for index, source in enumerate(self.layers[:-1]):
            room = 1
            for other, skip in consumers(self.description, index):
                sink = self.layers[other]
                beats = sink.skip if skip else sink.i
                m.d.comb += [beats.valid.eq(source.o.valid), beats.payload.eq(source.o.payload),
                             (sink.skip_take if skip else sink.take).eq(source.o_take)]
                room = room & (sink.skip_room if skip else sink.room)
            m.d.comb += source.o_room.eq(room)
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        if self.memories:
            share_port(m, self.load, [memory[2:] for memory in self.memories],
                       [(layer.load, len(layer.loads)) for layer in self.layers if layer.loads])
        return m


def image_name(index, name):
    """File of a memory image."""
    return f"layer{index}_{name}.hex"
