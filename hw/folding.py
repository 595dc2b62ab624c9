"""Folding: how many neurons (PE) and synapses (SIMD) of a layer work at once.

Nothing else sets the speed. All numbers of cycles here are exact; the simulations are held to
them.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd
from operator import itemgetter

from hw.rom import SPRAM_DEPTH
from hw.synapses import synapse_latency

__all__ = ["Folding", "FoldingError", "StagePlan", "default_folding", "plan",
           "stage_plan"]

MAX_PE = 1024
MAX_SIMD = 4096


class FoldingError(ValueError):
    """A folding that the network cannot have."""


@dataclass(frozen=True)
class Folding:
    """PE and SIMD of one layer, and whether an iCE40UP5K's single-port RAM has its weights."""

    pe: int
    simd: int
    spram: bool = False


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
    spram     whether its weights, 64 bits of each word at most, sit in single-port RAM
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
    spram: bool = False

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
    def last_step(self):
        """Cycles from the first to the last step of an image's last group that is not padding."""
        if self.readout:
            return self.n_out - (self.groups - 1) * self.pe - 1
        return self.sequence_cycles - 1

    @property
    def depth(self):
        """Cycles from the first word of an image's last group to the group's last result."""
        memory, hold = 2, 1
        result = 4 if self.readout else 3  # of the score unit with its queue, of the neuron unit
        synapses = synapse_latency(self.simd, self.bits, self.steps if self.readout else 1)
        return self.words - 1 + memory + synapses + hold + self.last_step + result


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
    """The smallest folding without padding whose layers need at most ``cycles`` cycles an image.

    Smallest is the sum of PE * SIMD; among equals, SIMD is near PE, and rather larger: an
    accumulator costs more than a synapse. Where no folding is that fast, the layers together
    need as little beyond it as they can. What double buffers add is not looked at, see
    :attr:`Plan.cycles_per_image`.
    """
    # from the last layer to the first: the SIMD of the next layer limits the neuron units of this
    # one. SIMD -> (cost, foldings) of the best folding from that layer on
    best = {1: ((0, 0, 0, 0), [])}
    for layer in reversed(description.layers):
        sequence = 1 if layer.kind == "readout" else description.time_steps
        following, best = best, {}
        for simd in _divisors(layer.n_in, MAX_SIMD):
            candidates = []
            for pe in _divisors(layer.n_out, MAX_PE):
                shape = max(simd / pe, 4 * pe / simd)
                for next_simd, (cost, foldings) in following.items():
                    # as _lanes() has it: so many neuron units at most, fewer where they keep up
                    steps = pe // gcd(pe, next_simd) * sequence
                    needed = layer.n_out // pe * max(layer.n_in // simd, steps)
                    own = max(0, needed - cycles), pe * simd, shape, pe
                    candidates.append((tuple(a + b for a, b in zip(own, cost, strict=True)),
                                       [Folding(pe, simd), *foldings]))
            best[simd] = min(candidates, key=itemgetter(0))
    return min(best.values(), key=itemgetter(0))[1]


def _divisors(n, most):
    return [d for d in range(1, min(n, most) + 1) if n % d == 0]


def stage_plan(description, index, folding, n_in, following_simd):
    """The :class:`StagePlan` of a layer with ``n_in`` inputs, padding included."""
    layer, readout = description.layers[index], index == len(description.layers) - 1
    sequence = 1 if readout else description.time_steps
    return StagePlan(
        pe=folding.pe, simd=folding.simd, n_in=n_in, n_out=layer.n_out, bits=layer.input_bits,
        steps=1 if index == 0 else description.time_steps, readout=readout, sequence=sequence,
        lanes=_lanes(folding.pe, following_simd, sequence, _ceil(n_in, folding.simd)),
        spram=folding.spram)


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
            if type(value) is not int or not 1 <= value <= most:  # True is an int too
                raise FoldingError(f"layer {index}: {name} must be 1 to {most} "
                                   f"(it has {layer.n_out if name == 'PE' else n_in} {what}), "
                                   f"not {value!r}")
        following = 1 if index == last else foldings[index + 1].simd
        stage = stage_plan(description, index, folding, n_in, following)
        if type(folding.spram) is not bool:
            raise FoldingError(f"layer {index}: spram must be true or false, not "
                               f"{folding.spram!r}")
        if stage.spram and any(before.spram for before in stages):
            raise FoldingError(f"layer {index}: only one layer can have its weights in "
                               "single-port RAM")
        if stage.spram and stage.words * stage.groups > SPRAM_DEPTH:
            raise FoldingError(f"layer {index}: single-port RAM holds {SPRAM_DEPTH} words, the "
                               f"weights have {stage.words * stage.groups}")
        stages.append(stage)
        n_in = stage.neurons
    return Plan(tuple(stages))


def _lanes(pe, following_simd, sequence, words):
    """Fewest neuron units that keep up with the synapses, or as many as the next layer takes."""
    divisors = [d for d in range(1, pe + 1) if pe % d == 0 and following_simd % d == 0]
    return next((d for d in divisors if pe // d * sequence <= words), divisors[-1])
