"""A network: layers in a line, wired from a description and a folding."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.folding import plan
from hw.images import tables
from hw.layer import Readout, SpikingLayer
from hw.parameters import NeuronParameters, ScoreParameters

__all__ = ["Network"]


class Network(wiring.Component):
    """Quantized spiking network, bit-exact with :func:`model.golden.infer`.

    Layers work on consecutive images at once; the slowest one sets the rate.

    Parameters
    ----------
    description : :class:`model.description.Description`
    foldings : list of :class:`hw.folding.Folding`
        PE and SIMD of each layer. Raises :class:`hw.folding.FoldingError` if it can't be.
    files : bool
        Memories read their images from files; else the contents are part of the circuit.

    Attributes
    ----------
    plan : :class:`hw.folding.Plan`
        Cycles per image, latency, padding.
    tables : list of {name: (width, words)}
        Contents of each layer's memories.

    Members
    -------
    i : In(stream of SIMD * input_bits bits)
        Pixels in order, SIMD of the first layer a beat, pixel 0 in the lowest bits. Beats of an
        image follow each other; what the last one has beyond the image is ignored.
    o : Out(stream of {score, label, last})
        One beat a class, see :class:`hw.readout.ScoreUnit`.
    """

    def __init__(self, description, foldings, *, files=False):
        self.description = description
        self.plan = plan(description, foldings)
        self.tables = []
        self.layers = []
        lanes = self.plan.stages[0].simd
        for index, (layer, stage) in enumerate(
                zip(description.layers, self.plan.stages, strict=True)):
            if stage.readout:
                kind = Readout
                parameters = ScoreParameters.of(layer, stage.n_in, description.time_steps)
            else:
                kind = SpikingLayer
                parameters = NeuronParameters.of(layer, stage.n_in)
            contents = tables(layer, stage, parameters)
            names = {name: image_name(index, name) for name in contents} if files else None
            self.tables.append(contents)
            self.layers.append(kind(stage, parameters, source_lanes=lanes, reserved=index > 0,
                                    tables=contents, files=names))
            lanes = stage.lanes
        first = self.plan.stages[0]
        super().__init__({
            "i": In(stream.Signature(first.simd * first.bits)),
            "o": Out(self.layers[-1].o.signature),
        })

    def elaborate(self, platform):
        m = Module()
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
        wiring.connect(m, wiring.flipped(self.i), self.layers[0].i)
        for source, sink in zip(self.layers, self.layers[1:], strict=False):
            wiring.connect(m, source.o, sink.i)
            m.d.comb += [source.o_room.eq(sink.room), sink.take.eq(source.o_take)]
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        return m


def image_name(index, name):
    """File of a memory image."""
    return f"layer{index}_{name}.hex"
