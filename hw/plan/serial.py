"""What follows from the shape of a layer and its folding, where one time step goes at a time.

A word is SIMD inputs. The words of a step are those of the inputs of this step, then of the step
before and so on (taps), then of the layer's own spikes of the step before (recurrent). A layer goes
through the words of a step once for each group of PE neurons, and each bit of its weights. With
``sparse`` it goes through those that have a spike, and all others cost neither a cycle nor a read.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

import numpy as np

from qsnn.hw.plan.folding import MAX_PE, MAX_SIMD, FoldingError
from qsnn.hw.plan.latency import tree_latency
from qsnn.hw.plan.window import ceil_div

__all__ = ["SerialStage", "serial_stage", "serial_stages"]

SPARED = 4  # a sparse layer reads one word in so many, or more


@dataclass(frozen=True)
class SerialStage:
    """A layer of a stream with its folding.

    n_in, n_out, taps, recurrent  as in :class:`qsnn.model.layers.FullyConnected`
    lanes     neurons of a beat of the neuron units: a divisor of PE and of the SIMD of those that
              take its spikes
    readout   whether it is the output layer, whose lanes are 1
    planes    bits of a weight
    """

    n_in: int
    n_out: int
    taps: int
    recurrent: bool
    pe: int
    simd: int
    sparse: bool
    lanes: int
    readout: bool
    planes: int = 1

    # as in qsnn.hw.plan.stages.StagePlan: one sum of a neuron and step, one position, one bit
    pixels = steps = sequence = bits = 1
    places = np.zeros(1, int)
    spram = False
    window = skip = None

    @property
    def in_words(self):
        """Words of the inputs of one step."""
        return ceil_div(self.n_in, self.simd)

    @property
    def own_words(self):
        """Words of the layer's own spikes."""
        return ceil_div(self.n_out, self.simd) if self.recurrent else 0

    @property
    def kept_words(self):
        """Words that a step leaves to the next one, at most."""
        return (self.taps - 1) * self.in_words + self.own_words

    @property
    def words(self):
        """Words that a neuron sees at a step."""
        return self.in_words + self.kept_words

    @property
    def reads(self):
        """Words of weights of a group."""
        return self.words * self.planes

    @property
    def synapses(self):
        """Of a neuron."""
        return self.taps * self.n_in + (self.n_out if self.recurrent else 0)

    @property
    def largest(self):
        """Largest value of S."""
        return self.synapses * ((1 << self.planes) - 1)

    @cached_property
    def fan_in(self):
        """Which synapse of a neuron each input of its words is, or -1: [words * SIMD] int64."""
        place = np.arange(self.in_words * self.simd)
        taps = self.n_in * np.arange(self.taps)[:, None]
        order = np.where(place < self.n_in, place + taps, -1).ravel()
        own = np.arange(self.own_words * self.simd)
        return np.concatenate([order, np.where(own < self.n_out, own + self.taps * self.n_in, -1)])

    @property
    def sum_max(self):
        """Largest sum as the neuron units take it: S and its largest value."""
        return 2 * self.largest

    def offsets(self, layer):
        """What that is more than S."""
        return self.largest

    @property
    def groups(self):
        return ceil_div(self.n_out, self.pe)

    @property
    def neurons(self):
        return self.groups * self.pe

    @property
    def beats(self):
        """Beats of a group."""
        return self.pe // self.lanes

    @property
    def depth(self):
        """Cycles of a step beside those of words: to the first one, and from the last to a result.

        Three from begin to the first word; six from the last one to the synapses, their tree, two
        to the first sum, the beats, and what neurons (or totals, one less) take.
        """
        return 3 + 6 + tree_latency(self.simd) + 2 + self.beats + (2 if self.readout else 3)

    @property
    def entry_bits(self):
        """Of a word in the lists of a step, with its index."""
        return self.simd + max(1, (self.words - 1).bit_length())

    def step_cycles(self, words):
        """Cycles of a step in which so many words are read, or of each of many steps: exact."""
        read = np.maximum(words * self.planes, 1)
        return (self.groups - 1) * np.maximum(read, self.beats) + read + self.depth


def serial_stages(layers, foldings, first=0):
    """The :class:`SerialStage` of each of these layers, the first of which counts as ``first``."""
    for index, (layer, folding) in enumerate(zip(layers, foldings, strict=True), first):
        for name, value, most in (("PE", folding.pe, MAX_PE), ("SIMD", folding.simd, MAX_SIMD)):
            if type(value) is not int or not 1 <= value <= most:
                raise FoldingError(f"layer {index}: {name} must be 1 to {most}, not {value!r}")
        if type(folding.sparse) is not bool:
            raise FoldingError(f"layer {index}: sparse is true or false, not {folding.sparse!r}")
        if folding.pe > layer.n_out:
            raise FoldingError(f"layer {index} has {layer.n_out} neurons: PE {folding.pe} is more")
    return tuple(serial_stage(layer, folding, following) for layer, folding, following in
                 zip(layers, foldings, [*foldings[1:], None], strict=True))


def serial_stage(layer, folding, following):
    """The :class:`SerialStage` of a layer; following: the folding of the one after it, or None."""
    readout = layer.kind == "readout"
    own = not readout and layer.recurrent is not None
    takers = [folding.simd] * own + ([following.simd] if following else [])
    stage = SerialStage(
        n_in=layer.n_in, n_out=layer.n_out, taps=1 if readout else layer.taps, recurrent=own,
        pe=folding.pe, simd=folding.simd, sparse=folding.sparse, readout=readout, lanes=1,
        planes=layer.weight_bits)
    if readout:
        return stage
    most = gcd(folding.pe, *takers)
    # as few as keep up with the words, of which a sparse layer may read but some
    usual = max(1, stage.reads // SPARED if folding.sparse else stage.reads)
    lanes = [lanes for lanes in range(1, most + 1) if most % lanes == 0]
    return replace(stage, lanes=next((n for n in lanes if folding.pe // n <= usual), most))
