"""Folding: how many neurons (PE) and synapses (SIMD) of a layer work at once.

Nothing else sets the speed. All numbers of cycles here are exact; the simulations are held to
them.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hw.tree import tree_latency

__all__ = ["Folding", "FoldingError", "StagePlan", "default_folding", "plan"]

MAX_PE = 1024
MAX_SIMD = 4096


class FoldingError(ValueError):
    """A folding that the network cannot have."""


@dataclass(frozen=True)
class Folding:
    """PE and SIMD of one layer."""

    pe: int
    simd: int


def _ceil(a, b):
    return -(-a // b)


@dataclass(frozen=True)
class StagePlan:
    """One layer with its folding: everything that follows from the shape.

    n_in      inputs, those that the layer before pads included
    n_out     neurons or classes that mean something
    bits      of an input: pixels in the first layer, else 1
    steps     time steps whose spikes meet a weight at once: 1 in the first layer
    readout   whether it is the output layer
    sequence  time steps that a neuron takes one after the other: 1 in a readout
    lanes     neurons of a beat of its output; a divisor of PE and of the next layer's SIMD
    """

    pe: int
    simd: int
    n_in: int
    n_out: int
    bits: int
    steps: int
    readout: bool
    sequence: int
    lanes: int

    @property
    def words(self):
        """Words of an image: passes of SIMD over the inputs."""
        return _ceil(self.n_in, self.simd)

    @property
    def groups(self):
        """Passes of PE over the neurons."""
        return _ceil(self.n_out, self.pe)

    @property
    def neurons(self):
        """Neurons with the padding of the last group, which never fires."""
        return self.groups * self.pe

    @property
    def sequence_cycles(self):
        """Cycles in which the neuron units work through a group."""
        return self.pe // self.lanes * self.sequence

    @property
    def group_cycles(self):
        """Cycles from one group to the next."""
        return max(self.words, self.sequence_cycles)

    @property
    def last_group(self):
        """Cycles from an image's first word to the first word of its last group."""
        return (self.groups - 1) * self.group_cycles

    @property
    def image_cycles(self):
        """Cycles from one image to the next where nothing else limits."""
        return self.groups * self.group_cycles

    @property
    def leaves(self):
        return self.simd * self.steps if self.readout else self.simd

    @property
    def last_step(self):
        """Cycles from the first to the last step of an image's last group that is not padding."""
        if self.readout:
            return self.n_out - (self.groups - 1) * self.pe - 1
        return self.sequence_cycles - 1

    @property
    def depth(self):
        """Cycles from the first word of an image's last group to the group's last result."""
        memory, accumulate, hold = 2, 1, 1
        result = 4 if self.readout else 3  # of the score unit with its queue, of the neuron unit
        return (self.words - 1 + memory + tree_latency(self.leaves) + accumulate + hold
                + self.last_step + result)


@dataclass(frozen=True)
class Plan:
    """All layers of a network with their foldings."""

    stages: tuple

    @cached_property
    def latency(self):
        """Cycles from the first beat of an image to its last class, in an idle network.

        Both beats counted: from the clock edge that accepts the first to the one that gives the
        last, with input and output never stalled.
        """
        cycles = self.stages[0].words - 1
        for stage in self.stages:
            # +1: the buffer sees the image whole; +1: the layer begins
            cycles += 2 + stage.last_group + stage.depth
        return cycles + 1

    @cached_property
    def cycles_per_image(self):
        """Cycles from one image to the next in a stream without gaps, on average.

        The slowest layer, or two layers whose double buffer comes round too slowly: its two
        images are the two halves of one loop.
        """
        first, last = self.stages[0], self.stages[-1]
        limits = [Fraction(stage.image_cycles) for stage in self.stages]
        limits += [Fraction(first.words), Fraction(last.n_out)]
        # cycles from a credit taken to an image written, for each buffer and the queue of scores
        writes = [first.words - 1] + [1 + stage.last_group + stage.depth for stage in self.stages]
        # cycles from an image that is whole to its credit back
        reads = [2 + stage.last_group + 1 for stage in self.stages] + [1]
        limits += [Fraction(w + r, 2) for w, r in zip(writes, reads, strict=True)]
        return max(limits)


def default_folding(description, cycles):
    """The smallest folding without padding that needs at most ``cycles`` cycles an image.

    Smallest is PE * SIMD; among equals, SIMD is near PE, and rather larger: an accumulator costs
    more than a synapse. Where no folding is that fast, a layer is as fast as it can be.
    """
    foldings = []
    for layer in description.layers:
        steps = 1 if layer.kind == "readout" else description.time_steps
        candidates = []
        for pe in _divisors(layer.n_out, MAX_PE):
            for simd in _divisors(layer.n_in, MAX_SIMD):
                # with a neuron unit for every PE; plan() takes fewer where they keep up
                group = max(layer.n_in // simd, steps)
                needed = max(cycles, layer.n_out // pe * group)
                shape = max(simd / pe, 4 * pe / simd)
                candidates.append((needed, pe * simd, shape, Folding(pe, simd)))
        foldings.append(min(candidates, key=lambda candidate: candidate[:3])[-1])
    return foldings


def _divisors(n, most):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]


def plan(description, foldings):
    """The :class:`Plan` of a network. Raises :class:`FoldingError` with a sentence."""
    if len(foldings) != len(description.layers):
        raise FoldingError(f"the network has {len(description.layers)} layers, the folding "
                           f"{len(foldings)}")
    stages = []
    n_in = description.n_in
    last = len(foldings) - 1
    for index, (layer, folding) in enumerate(zip(description.layers, foldings, strict=True)):
        for name, value, most, what in (("PE", folding.pe, layer.n_out, "neurons"),
                                        ("SIMD", folding.simd, n_in, "inputs")):
            most = min(most, MAX_PE if name == "PE" else MAX_SIMD)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise FoldingError(f"layer {index}: {name} must be 1 to {most} "
                                   f"(it has {layer.n_out if name == 'PE' else n_in} {what}), "
                                   f"not {value!r}")
        words = _ceil(n_in, folding.simd)
        sequence = 1 if index == last else description.time_steps
        following = 1 if index == last else foldings[index + 1].simd
        stage = StagePlan(
            pe=folding.pe, simd=folding.simd, n_in=n_in, n_out=layer.n_out,
            bits=layer.input_bits, steps=1 if index == 0 else description.time_steps,
            readout=index == last, sequence=sequence,
            lanes=_lanes(folding.pe, following, sequence, words))
        stages.append(stage)
        n_in = stage.neurons
    return Plan(tuple(stages))


def _lanes(pe, following_simd, sequence, words):
    """Fewest neuron units that keep up with the synapses, or as many as the next layer takes."""
    divisors = [d for d in range(1, pe + 1) if pe % d == 0 and following_simd % d == 0]
    return next((d for d in divisors if pe // d * sequence <= words), divisors[-1])
