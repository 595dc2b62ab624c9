"""The plan of a network: its layers with their schedules, and the pace that follows from them.

A network is a line of planned layers: time-parallel ones, which take all time steps of an image at
once, then time-serial ones. A stream has no end to wait for: all its layers take one step after the
other, first its convolutions, a map of each step, then serial ones.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np

from qsnn.hw.plan.folding import Folding, FoldingError
from qsnn.hw.plan.layers import MapLayer, ParallelLayer, SerialLayer
from qsnn.hw.plan.parallel import parallel_stages
from qsnn.hw.plan.serial import serial_stages
from qsnn.hw.plan.steps import finish_times
from qsnn.hw.plan.timing import timing
from qsnn.hw.plan.window import ceil_div
from qsnn.model.description import Description
from qsnn.model.layers import Readout

__all__ = ["UNROLL_CYCLES", "Plan", "plan"]

DENSE_STEPS = 24  # of a stream with convolutions, whose pace is measured
MAX_SYNAPSES = 1 << 20  # bits of inputs that meet weights in a cycle: two LUTs or so for each
UNROLL_CYCLES = 4  # of a step between the two schedules, beside a cycle a word


@dataclass(frozen=True, eq=False)
class Plan:
    """All layers of a network with their foldings.

    layers  a :class:`qsnn.hw.plan.layers.PlannedLayer` each
    begin   plan of the parallel layers alone, with something small in the place of the serial ones;
            None where all layers are of one schedule
    """

    layers: tuple
    begin: "Plan | None" = None

    @property
    def stages(self):
        return tuple(planned.stage for planned in self.layers)

    @property
    def tables(self):
        """name -> (width, words) of each layer's memories."""
        return [planned.tables for planned in self.layers]

    @property
    def parallel(self):
        """How many layers are time-parallel, or convolutions of a stream; they come first."""
        return sum(not planned.serial for planned in self.layers)

    @property
    def time_steps(self):
        """Of an image; 0 in a stream."""
        return self.layers[0].time_steps

    @property
    def unit(self):
        """What it takes one after the other: an ``image``, or a ``step`` of a stream."""
        return "image" if self.time_steps else "step"

    @property
    def at_most(self):
        """Whether cycles are a bound: how many words serial layers read depends on the spikes."""
        return self.parallel < len(self.layers)

    @cached_property
    def _timing(self):
        """Latency, and cycles from one unit to the next."""
        if not self.at_most:
            return timing(self.stages)
        serial = self.stages[self.parallel:]
        steps = [stage.step_cycles(stage.words) for stage in serial]
        if not self.parallel:
            return int(sum(steps)), int(max(steps))
        if not self.time_steps:
            counts = [np.full(DENSE_STEPS, stage.words) for stage in self.stages]
            ends = finish_times(self, counts, [self.stages[0].beats] * DENSE_STEPS)[-1]
            half = DENSE_STEPS // 2
            return int(ends[0]) + 1, ceil_div(int(ends[-1] - ends[-1 - half]), half)
        unroll = serial[0].in_words + UNROLL_CYCLES
        pace = self.time_steps * max(int(max(steps)) + 1, unroll)
        return (self.begin.latency + self.time_steps * (unroll + sum(
            int(cycles) + 1 for cycles in steps)), max(ceil(self.begin.cycles), pace))

    @property
    def latency(self):
        """Cycles from the first beat of an image to its last class, in an idle network.

        Both beats counted: from the clock edge that accepts the first to the one that gives the
        last, with input and output never stalled. Of a stream: of a step's layers, one after the
        other.
        """
        return self._timing[0]

    @property
    def cycles(self):
        """Cycles from one image, or one step, to the next in a stream without gaps, on average.

        The slowest layer, or two layers whose double buffer comes round too slowly: its two
        images are the two halves of one loop. Where every word has a spike, for serial layers.
        """
        return self._timing[1]

    @property
    def facts(self):
        """What the JSON of a build says of the pace."""
        if self.unit == "step":
            return {"cycles_per_step": self.cycles}
        return {"cycles_per_image": float(self.cycles), "latency": self.latency}


def plan(description, foldings):
    """The :class:`Plan` of a network.

    Raises :class:`qsnn.hw.plan.folding.FoldingError` with a sentence.

    foldings: a :class:`qsnn.hw.plan.folding.Folding` or
    :class:`qsnn.hw.plan.folding.SerialFolding` of each layer.
    """
    layers, foldings = description.layers, list(foldings)
    if len(foldings) != len(layers):
        raise FoldingError(f"the network has {len(layers)} layers, the folding {len(foldings)}")
    parallel = next((index for index, folding in enumerate(foldings) if folding.serial),
                    len(layers))
    begin = None
    first = ParallelLayer
    if description.stream:
        maps, first = sum(layer.kind == "convolution" for layer in layers), MapLayer
        if parallel > maps:
            raise FoldingError(f"layer {maps} must be serial: a stream has no image whose time "
                               "steps could go at once")
        if parallel < maps:
            raise FoldingError(f"layer {parallel} is a convolution: its folding is not serial")
        begun = parallel_stages(description, foldings, maps)
        stages = (*begun, *serial_stages(layers[maps:], foldings[maps:], maps, *begun[-1:]))
    elif parallel == len(layers):
        stages = parallel_stages(description, foldings)
    else:
        _check_serial(description, foldings, parallel)
        serial = serial_stages(layers[parallel:], foldings[parallel:], parallel)
        begin = _beginning(description, foldings, parallel)
        stages = (*begin.stages[:parallel], *serial)
    _check_size(stages)
    return Plan(tuple((SerialLayer if folding.serial else first)(
        index, layer, stage, description.time_steps) for index, (layer, stage, folding)
        in enumerate(zip(layers, stages, foldings, strict=True))), begin)


def _check_size(stages):
    """Whether any device has room for so many synapses at once: a circuit of more would be made for
    minutes before some tool says so."""
    for index, stage in enumerate(stages):
        factors = {"PE": stage.pe, "SIMD": stage.simd, "pixels": stage.pixels,
                   "time steps": stage.steps, "bits": stage.bits}
        if prod(factors.values()) > MAX_SYNAPSES:
            words = " x ".join(f"{name} {value}" for name, value in factors.items() if value > 1)
            raise FoldingError(f"layer {index}: {words} is more than {MAX_SYNAPSES:,} synapses at "
                               "once, for which no device has room: take fewer")


def _check_serial(description, foldings, parallel):
    """Whether layers of a network for images can be time-serial from one on."""
    if parallel == 0:
        raise FoldingError("layer 0 cannot be serial: it adds up the pixels of an image once, for "
                           "all time steps")
    for index in range(parallel, len(foldings)):
        layer = description.layers[index]
        if not foldings[index].serial:
            raise FoldingError(f"layer {index} must be serial: layer {parallel} before it is")
        if layer.kind == "convolution" or layer.input_bits > 1:
            raise FoldingError(f"layer {index} cannot be serial: it must be fully connected, with "
                               "inputs of 1 bit")
    source, first = description.layers[parallel - 1], foldings[parallel]
    if source.kind == "convolution":
        raise FoldingError(f"layer {parallel} cannot be serial: the one before it must be fully "
                           "connected")
    if type(first.simd) is int and first.simd > source.n_out:
        raise FoldingError(f"layer {parallel}: SIMD {first.simd} is more than its {source.n_out} "
                           "inputs")


def _beginning(description, foldings, parallel):
    """The parallel layers, with something small in the place of the others."""
    n_in = description.layers[parallel - 1].n_out
    ending = Readout(weights=np.ones((2, n_in), np.int8), bias=np.zeros(2, int), frac=0,
                     window=Readout.window_of(description.time_steps))
    beginning = Description(time_steps=description.time_steps,
                            layers=(*description.layers[:parallel], ending))
    return plan(beginning, [*foldings[:parallel], Folding(1, foldings[parallel].simd)])
