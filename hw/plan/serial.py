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
from qsnn.hw.plan.latency import neuron_latency, tree_latency
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
    leaky     whether its totals leak
    planes    bits of a weight
    counts    as in :class:`qsnn.hw.plan.stages.StagePlan`
    bits      of an input: more than 1 where it is a sum of pooled spikes
    pixel     channels of a pixel of the inputs that mean something, and those with padding; a row
              of numbers is one pixel
    current   whether its neurons have a current before their membrane
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
    counts: bool = False
    leaky: bool = False
    bits: int = 1
    pixel: tuple = (1, 1)
    current: bool = False

    # as in qsnn.hw.plan.stages.StagePlan: one sum of a neuron and step, one position, one bit
    pixels = steps = sequence = sums = 1
    serial = True
    places = np.zeros(1, int)
    spram = False
    window = skip = None

    @property
    def in_words(self):
        """Words of the inputs of one step."""
        real, padded = self.pixel
        return ceil_div(self.n_in // real * padded, self.simd)

    @property
    def word_bits(self):
        """Of a word of inputs."""
        return self.simd * self.bits

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
    def inputs_max(self):
        """Largest sum of the inputs of a neuron."""
        return self.taps * self.n_in * ((1 << self.bits) - 1) + self.n_out * self.recurrent

    @property
    def largest(self):
        """Largest count of spikes that meet a weight of +1, all bits of weights together."""
        return self.inputs_max * ((1 << self.planes) - 1)

    @property
    def spikes_max(self):
        """Largest count of all spikes, of each bit of the weights or, with ``counts``, of one."""
        return self.inputs_max if self.counts else self.largest

    @property
    def sum_places(self):
        """Powers of two of both counts in S, see :mod:`qsnn.hw.serial.layer`."""
        return (0, self.planes - 1) if self.counts else (1, 0)

    @cached_property
    def fan_in(self):
        """Which synapse of a neuron each input of its words is, or -1: [words * SIMD] int64."""
        real, padded = self.pixel
        pixel, channel = np.divmod(np.arange(self.in_words * self.simd), padded)
        place = np.where((channel < real) & (pixel < self.n_in // real), pixel * real + channel, -1)
        taps = self.n_in * np.arange(self.taps)[:, None]
        order = np.where(place >= 0, place + taps, -1).ravel()
        own = np.arange(self.own_words * self.simd)
        return np.concatenate([order, np.where(own < self.n_out, own + self.taps * self.n_in, -1)])

    @property
    def sum_max(self):
        """Largest sum as the neuron units take it, see :meth:`offsets`."""
        return self.largest << self.sum_places[0]

    def offsets(self, layer):
        """What that is more than S: no spike makes S less."""
        return self.spikes_max << self.sum_places[1]

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
        tree = tree_latency(self.simd, self.bits)
        return 3 + 6 + tree + 2 + self.beats + (
            2 + self.leaky if self.readout else neuron_latency(self.current))

    @property
    def entry_bits(self):
        """Of a word in the lists of a step, with its index."""
        return self.word_bits + max(1, (self.words - 1).bit_length())

    def step_cycles(self, words):
        """Cycles of a step in which so many words are read, or of each of many steps: exact."""
        read = np.maximum(words * self.planes, 1)
        return (self.groups - 1) * np.maximum(read, self.beats) + read + self.depth


def serial_stages(layers, foldings, first=0, source=None):
    """The :class:`SerialStage` of each of these layers, the first of which counts as ``first``.

    source: :class:`qsnn.hw.plan.stages.StagePlan` of the convolution before them, if there is one.
    """
    for index, (layer, folding) in enumerate(zip(layers, foldings, strict=True), first):
        for name, value, most in (("PE", folding.pe, MAX_PE), ("SIMD", folding.simd, MAX_SIMD)):
            if type(value) is not int or not 1 <= value <= most:
                raise FoldingError(f"layer {index}: {name} must be 1 to {most}, not {value!r}")
        if type(folding.sparse) is not bool:
            raise FoldingError(f"layer {index}: sparse is true or false, not {folding.sparse!r}")
        if folding.pe > layer.n_out:
            raise FoldingError(f"layer {index} has {layer.n_out} neurons: PE {folding.pe} is more")
    sources = [source, *[None] * (len(layers) - 1)]
    return tuple(serial_stage(layer, folding, following, before)
                 for layer, folding, following, before in
                 zip(layers, foldings, [*foldings[1:], None], sources, strict=True))


def serial_stage(layer, folding, following, source=None):
    """The :class:`SerialStage` of a layer; following: the folding of the one after it, or None.

    source: as in :func:`serial_stages`.
    """
    readout, own = layer.kind == "readout", layer.recurrent is not None
    takers = [folding.simd] * own + ([following.simd] if following else [])
    stage = SerialStage(
        n_in=layer.n_in, n_out=layer.n_out, taps=layer.taps, recurrent=own,
        pe=folding.pe, simd=folding.simd, sparse=folding.sparse, readout=readout, lanes=1,
        planes=layer.weight_bits, counts=layer.code.step == 1,
        leaky=readout and layer.leaky, bits=layer.input_bits,
        pixel=(source.n_out, source.neurons) if source else (layer.n_in,) * 2,
        current=not readout and layer.current is not None)
    if readout:
        return stage
    most = gcd(folding.pe, *takers)
    # as few as keep up with the words, of which a sparse layer may read but some
    usual = max(1, stage.reads // SPARED if folding.sparse else stage.reads)
    lanes = [lanes for lanes in range(1, most + 1) if most % lanes == 0]
    return replace(stage, lanes=next((n for n in lanes if folding.pe // n <= usual), most))
