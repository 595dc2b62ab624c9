"""Networks for images whose later layers are time-serial.

The first layers take all time steps of an image at once, as :mod:`qsnn.hw.core.layer` has them;
from one layer on, the steps go through one after the other, with membranes in memory, a popcount
for one step in place of one for each, and words without a spike left out. The integers are the
same.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.buffer import ImageBuffer, ImageWriter
from qsnn.hw.core.layer import SpikingLayer
from qsnn.hw.core.network import image_name
from qsnn.hw.plan.folding import Folding, FoldingError, plan
from qsnn.hw.plan.images import tables
from qsnn.hw.plan.parameters import stage_parameters
from qsnn.hw.plan.serial import SerialFolding, layer_parameters, serial_stages, serial_tables
from qsnn.hw.serial.layer import SerialLayer, SerialReadout, connect_layers
from qsnn.model.description import Description
from qsnn.model.layers import Readout

__all__ = ["MixedNetwork", "MixedPlan", "Unroll", "mixed_plan"]


@dataclass(frozen=True)
class MixedPlan:
    """Stages of both kinds, the parallel ones first.

    parallel          how many those are
    cycles_per_image  at most, from one image to the next
    latency           at most, of an image in an idle network
    """

    stages: tuple
    parallel: int
    cycles_per_image: int
    latency: int


def mixed_plan(description, foldings):
    """The :class:`MixedPlan`. Raises :class:`FoldingError`."""
    parallel = next(index for index, folding in enumerate(foldings)
                    if isinstance(folding, SerialFolding))
    if len(foldings) != len(description.layers):
        raise FoldingError(f"the network has {len(description.layers)} layers, the folding "
                           f"{len(foldings)}")
    if parallel == 0:
        raise FoldingError("layer 0 cannot be serial: it adds up the pixels of an image once, for "
                           "all time steps")
    for index in range(parallel, len(foldings)):
        layer = description.layers[index]
        if not isinstance(foldings[index], SerialFolding):
            raise FoldingError(f"layer {index} must be serial: layer {parallel} before it is")
        if layer.kind == "convolution" or layer.weight_bits > 1 or layer.input_bits > 1:
            raise FoldingError(f"layer {index} cannot be serial: it must be fully connected, with "
                               "inputs and weights of 1 bit")
    source = description.layers[parallel - 1]
    if source.kind == "convolution":
        raise FoldingError(f"layer {parallel} cannot be serial: the one before it must be fully "
                           "connected")
    first = foldings[parallel]
    if type(first.simd) is int and first.simd > source.n_out:
        raise FoldingError(f"layer {parallel}: SIMD {first.simd} is more than its {source.n_out} "
                           "inputs")
    serial = serial_stages(description.layers[parallel:], foldings[parallel:], parallel)
    # the layers before it, with something small in the place of the others
    ending = Readout(weights=np.ones((2, source.n_out), np.int8), bias=np.zeros(2, int), frac=0)
    begin = plan(Description(time_steps=description.time_steps,
                             layers=(*description.layers[:parallel], ending)),
                 [*foldings[:parallel], Folding(1, first.simd)])
    steps = description.time_steps
    slowest = max(int(stage.step_cycles(stage.words)) for stage in serial)
    unroll = serial[0].in_words + UNROLL_CYCLES
    return MixedPlan(
        stages=(*begin.stages[:parallel], *serial), parallel=parallel,
        cycles_per_image=max(int(np.ceil(float(begin.cycles_per_image))),
                             steps * max(slowest + 1, unroll)),
        latency=begin.latency + steps * (unroll + sum(
            int(stage.step_cycles(stage.words)) + 1 for stage in serial)))


UNROLL_CYCLES = 4


class Unroll(wiring.Component):
    """Takes the spikes of all steps of an image at once, and gives them step by step.

    Parameters
    ----------
    source : :class:`qsnn.hw.plan.stages.StagePlan`
        Of the layer that gives them.
    stage : :class:`qsnn.hw.plan.serial.SerialStage`
        Of the layer that takes them.

    Members
    -------
    i, i_room, i_take :
        Beats of the source with a credit for each image, see
        :class:`qsnn.hw.core.buffer.ImageWriter`.
    room, take, write, word, index, done, emit, clear :
        The writing side of a :class:`qsnn.hw.serial.buffer.StepBuffer`; the last step of an image
        has both commands.
    """

    def __init__(self, source, stage):
        self.stage, self.steps = stage, source.sequence
        self.writer = ImageWriter(elements=source.neurons, width=self.steps, lanes=source.lanes,
                                  ratio=stage.simd // source.lanes, reserved=True)
        words = -(-source.neurons // stage.simd)
        self.buffer = ImageBuffer(words=words, width=self.steps * stage.simd)
        super().__init__({
            "i": In(self.writer.i.signature.flip()), "i_room": Out(1), "i_take": In(1),
            "room": In(1), "take": Out(1), "write": Out(1), "word": Out(stage.simd),
            "index": Out(range(max(2, stage.in_words))), "done": Out(1), "emit": Out(1),
            "clear": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.writer = writer = self.writer
        m.submodules.buffer = buffer = self.buffer
        stage = self.stage
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        active, reading = Signal(), Signal()  # an image; a step of it
        step = Signal(range(max(2, self.steps)))
        at = Signal.like(self.index)
        starts, last = Signal(), Signal()
        m.d.comb += [
            self.i_room.eq(buffer.room), buffer.take.eq(self.i_take),
            buffer.write.eq(writer.write), buffer.data.eq(writer.data), buffer.done.eq(writer.done),
            buffer.begin.eq(buffer.available & ~active),
            starts.eq(active & ~reading & self.room), self.take.eq(starts),
            last.eq(at == stage.in_words - 1), buffer.address.eq(at),
            # what is freed is written behind the reader, which goes on a word a cycle
            buffer.release.eq(starts & (step == self.steps - 1)),
        ]
        with m.If(buffer.begin):
            m.d.sync += [active.eq(1), step.eq(0)]
        with m.If(starts):
            m.d.sync += [reading.eq(1), at.eq(0)]
        with m.If(reading):
            m.d.sync += at.eq(at + 1)
            with m.If(last):
                m.d.sync += [reading.eq(0), step.eq(step + 1)]
                with m.If(step == self.steps - 1):
                    m.d.sync += active.eq(0)
        # the words come two cycles after their addresses
        flags = Cat(reading, last, step == self.steps - 1, step, at)
        for index in range(ImageBuffer.latency):
            delayed = Signal(len(flags), name=f"flags_{index}")
            m.d.sync += delayed.eq(flags)
            flags = delayed
        now = flags[3:3 + len(step)]
        planes = Array(Cat(buffer.word[lane * self.steps + plane] for lane in range(stage.simd))
                       for plane in range(self.steps))
        m.d.comb += [
            self.write.eq(flags[0]), self.done.eq(flags[1]), self.index.eq(flags[3 + len(step):]),
            self.emit.eq(flags[2]), self.clear.eq(flags[2]), self.word.eq(planes[now]),
        ]
        return m


class MixedNetwork(wiring.Component):
    """As :class:`qsnn.hw.core.network.Network`, with :class:`qsnn.hw.plan.serial.SerialFolding`
    for the layers that are serial. Nothing in it can be loaded.
    """

    memories = ()

    def __init__(self, description, foldings, *, files=False):
        self.description = description
        self.plan = mixed_plan(description, foldings)
        stages, parallel = self.plan.stages, self.plan.parallel
        pairs = list(zip(description.layers, stages, strict=True))
        self.tables = [
            *(tables(layer, stage, stage_parameters(layer, stage))
              for layer, stage in pairs[:parallel]),
            *(serial_tables(layer, stage) for layer, stage in pairs[parallel:])]
        self.layers, lanes = [], stages[0].simd
        for index, (layer, stage) in enumerate(pairs):
            contents = self.tables[index]
            names = {name: image_name(index, name) for name in contents} if files else None
            if index < parallel:
                following = stages[index + 1:index + 2] if index + 1 < parallel else ()
                hardware = SpikingLayer(
                    stage, stage_parameters(layer, stage), source_lanes=lanes, reserved=index > 0,
                    every_unit=bool(following and following[0].window),
                    tables=contents, files=names, loadable=False)
                lanes = stage.lanes
            elif stage.readout:
                hardware = SerialReadout(stage, layer_parameters(layer, stage), tables=contents,
                                         files=names)
            else:
                hardware = SerialLayer(stage, layer_parameters(layer, stage), tables=contents,
                                       simd=stages[index + 1].simd,
                                       words=stages[index + 1].in_words, files=names)
            self.layers.append(hardware)
        self.unroll = Unroll(stages[parallel - 1], stages[parallel])
        super().__init__({"i": In(stream.Signature(stages[0].simd * stages[0].bits)),
                          "o": Out(self.layers[-1].o.signature)})

    def elaborate(self, platform):
        m = Module()
        parallel = self.plan.parallel
        m.submodules.unroll = unroll = self.unroll
        for index, layer in enumerate(self.layers):
            m.submodules[f"layer{index}"] = layer
        wiring.connect(m, wiring.flipped(self.i), self.layers[0].i)
        for source, sink in zip(self.layers[:parallel], [*self.layers[1:parallel], unroll],
                                strict=True):
            room, take = (sink.i_room, sink.i_take) if sink is unroll else (sink.room, sink.take)
            m.d.comb += [sink.i.valid.eq(source.o.valid), sink.i.payload.eq(source.o.payload),
                         take.eq(source.o_take), source.o_room.eq(room)]
        connect_layers(m, unroll, self.layers[parallel:])
        wiring.connect(m, self.layers[-1].o, wiring.flipped(self.o))
        return m
