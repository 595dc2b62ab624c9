"""A network for streams: layers in a line, each a step behind the one before."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.network import image_name
from hw.serial.layer import SerialLayer, SerialReadout, StepInput
from hw.serial.plan import layer_parameters, serial_plan, serial_tables

__all__ = ["StreamNetwork"]


class StreamNetwork(wiring.Component):
    """Spiking network over a stream of steps, bit-exact with :func:`model.streams.run`.

    Parameters
    ----------
    description : :class:`model.description.Description`
        Of a stream.
    foldings : list of :class:`hw.serial.plan.SerialFolding`
        Raises :class:`hw.folding.FoldingError` if it can't be.
    files : bool
        Memories read their images from files; else the contents are part of the circuit.
    events : bool
        Whether :py:`i` takes events; else frames, see :class:`hw.serial.layer.StepInput`. Events
        are for a first layer that is sparse.

    Members
    -------
    i : In(stream), see :class:`hw.serial.layer.StepInput`
    o : Out(stream of {score, label, last})
        One beat a class for each step that emits, see :class:`hw.readout.ScoreUnit`.
    """

    def __init__(self, description, foldings, *, files=False, events=False):
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
        super().__init__({"i": In(self.input.i.signature.flip()),
                          "o": Out(self.layers[-1].o.signature)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.input = self.input
        wiring.connect(m, wiring.flipped(self.i), self.input.i)
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
            source, prefix = (self.layers[index - 1], "o_") if index else (self.input, "")
            m.d.comb += [getattr(source, f"{prefix}room").eq(layer.room),
                         layer.take.eq(getattr(source, f"{prefix}take"))]
            m.d.comb += [getattr(layer, name).eq(getattr(source, prefix + name))
                         for name in ("write", "word", "index", "done", "emit", "clear")]
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        return m
