"""A network for streams: layers in a line, each a step behind the one before."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.network import image_name
from qsnn.hw.plan.serial import layer_parameters, serial_plan, serial_tables
from qsnn.hw.serial.encoders import make_encoder
from qsnn.hw.serial.layer import SerialLayer, SerialReadout, connect_layers
from qsnn.hw.serial.words import StepInput

__all__ = ["StreamNetwork"]


class StreamNetwork(wiring.Component):
    """Spiking network over a stream of steps, bit-exact with :func:`qsnn.model.streams.run`.

    Parameters
    ----------
    description : :class:`qsnn.model.description.Description`
        Of a stream.
    foldings : list of :class:`qsnn.hw.plan.serial.SerialFolding`
        Raises :class:`qsnn.hw.plan.folding.FoldingError` if it can't be.
    files : bool
        Memories read their images from files; else the contents are part of the circuit.
    events : bool
        Whether :py:`i` takes events; else frames, see :class:`qsnn.hw.serial.words.StepInput`.
        Events are for a first layer that is sparse.

    encoder : str
        Name in :data:`qsnn.hw.serial.encoders.ENCODERS` of what stands before the network and takes
        its place at :py:`i`; or "", and steps come from outside.

    Members
    -------
    busy : Out(1)
        A step is under way or waits, or a result does.
    i : In(stream), see :class:`qsnn.hw.serial.words.StepInput`, or that of the encoder
    o : Out(stream of {score, label, last})
        One beat a class for each step that emits, see :class:`qsnn.hw.core.readout.ScoreUnit`.
    """

    def __init__(self, description, foldings, *, files=False, events=False, encoder=""):
        self.description, self.events = description, events
        self.plan = serial_plan(description, foldings)
        stages = self.plan.stages
        self.tables = [serial_tables(layer, stage)
                       for layer, stage in zip(description.layers, stages, strict=True)]
        self.layers = []
        for index, (layer, stage, contents) in enumerate(zip(
                description.layers, stages, self.tables, strict=True)):
            names = {name: image_name(index, name) for name in contents} if files else None
            parameters = layer_parameters(layer, stage)
            if stage.readout:
                self.layers.append(SerialReadout(stage, parameters, tables=contents, files=names))
            else:
                taker = stages[index + 1]
                self.layers.append(SerialLayer(stage, parameters, simd=taker.simd,
                                               words=taker.in_words, tables=contents,
                                               files=names))
        self.input = StepInput(stages[0], events=events)
        self.encoder = make_encoder(encoder, description, stages[0].simd, events)
        first = self.encoder or self.input
        super().__init__({"i": In(first.i.signature.flip()), "busy": Out(1),
                          "o": Out(self.layers[-1].o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.input = self.input
        busy = [self.input.busy, *(layer.busy for layer in self.layers), self.o.valid]
        if self.encoder is None:
            wiring.connect(m, wiring.flipped(self.i), self.input.i)
        else:
            m.submodules.encoder = encoder = self.encoder
            wiring.connect(m, wiring.flipped(self.i), encoder.i)
            wiring.connect(m, encoder.o, self.input.i)
            busy.append(encoder.busy)
        m.d.comb += self.busy.eq(Cat(busy).any())
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
        connect_layers(m, self.input, self.layers)
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        return m
