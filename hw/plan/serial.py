"""What follows from the shape of a stream's layer and its folding; and the memories' contents.

A word is SIMD inputs. The words of a step are those of the inputs of this step, then of the step
before and so on (taps), then of the layer's own spikes of the step before (recurrent). A layer goes
through the words of a step once for each group of PE neurons. With ``sparse`` it goes through those
that have a spike, and all others cost neither a cycle nor a read.

Memory images, addresses from 0, element 0 of a word in its lowest bits:

weights     word ``group * words + word``: bit ``pe * SIMD + synapse`` is the weight of neuron
            ``group * PE + pe`` for that input; 1 is +1, 0 is -1. What lies beyond is 1.
thresholds  word ``beat``: element ``lane`` belongs to neuron ``beat * lanes + lane``; the constant
            of the synapses is part of them, and padding neurons never fire.
biases      the same; in a readout one class a word, and half the range of the total is part of it.
"""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from amaranth.hdl import Shape

from qsnn.hw.core.tree import tree_latency
from qsnn.hw.plan.folding import MAX_PE, MAX_SIMD, FoldingError
from qsnn.hw.plan.parameters import NeuronParameters
from qsnn.hw.plan.stages import ceil_div

__all__ = ["SerialFolding", "SerialPlan", "SerialStage", "TotalParameters", "default_serial",
           "serial_plan", "serial_stages", "serial_tables"]

SPARED = 4  # a sparse layer reads one word in so many, or more


@dataclass(frozen=True)
class SerialFolding:
    """PE neurons and SIMD synapses at once; ``sparse``: words without a spike are left out."""

    pe: int
    simd: int
    sparse: bool = True


@dataclass(frozen=True)
class SerialStage:
    """A layer of a stream with its folding.

    n_in, n_out, taps, recurrent  as in :class:`qsnn.model.layers.FullyConnected`
    lanes     neurons of a beat of the neuron units: a divisor of PE and of the SIMD of those that
              take its spikes
    readout   whether it is the output layer, whose lanes are 1
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

    # as in qsnn.hw.plan.stages.StagePlan: one sum of a neuron and step, one position, no SPRAM
    pixels = steps = sequence = 1
    places = np.zeros(1, int)
    spram = False

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
    def fan_in(self):
        return self.taps * self.n_in + (self.n_out if self.recurrent else 0)

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

    def step_cycles(self, words):
        """Cycles of a step in which so many words are read, or of each of many steps: exact."""
        read = np.maximum(words, 1)
        return (self.groups - 1) * np.maximum(read, self.beats) + read + self.depth


@dataclass(frozen=True)
class SerialPlan:
    """All layers of a stream with their foldings."""

    stages: tuple

    @property
    def cycles_per_step(self):
        """Cycles from one step to the next where every word has a spike: the slowest layer's."""
        return int(max(stage.step_cycles(stage.words) for stage in self.stages))


@dataclass(frozen=True)
class TotalParameters:
    """Constants of the totals of a readout, see :class:`qsnn.hw.core.readout.ScoreUnit`.

    Totals are kept as ``total + limit``, which is never negative.
    """

    limit: int
    frac: int
    bias_limit: int

    @classmethod
    def of(cls, layer):
        return cls(limit=layer.total_limit, frac=layer.frac, bias_limit=layer.bias_limit(
            layer.n_in, layer.frac, window=layer.window))

    @property
    def sum_max(self):
        return 2 * self.limit

    @property
    def score_shape(self):
        high = (self.limit << self.frac) + self.bias_limit
        return Shape.cast(range(-high, high + 1))

    @property
    def bias_shape(self):
        high = (self.limit << self.frac) + self.bias_limit
        return Shape.cast(range(-high, high + 1))


def serial_plan(description, foldings):
    """The :class:`SerialPlan`. Raises :class:`qsnn.hw.plan.folding.FoldingError` with what cannot
    be.
    """
    layers, foldings = description.layers, list(foldings)
    if not description.stream:
        raise FoldingError("a network for images has no time-serial schedule")
    if len(foldings) != len(layers):
        raise FoldingError(f"{len(layers)} layers need as many foldings, not {len(foldings)}")
    return SerialPlan(serial_stages(layers, foldings))


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
    return tuple(_stage(layer, folding, following) for layer, folding, following in
                 zip(layers, foldings, [*foldings[1:], None], strict=True))


def _stage(layer, folding, following):
    readout = layer.kind == "readout"
    own = not readout and layer.recurrent is not None
    takers = [folding.simd] * own + ([following.simd] if following else [])
    stage = SerialStage(
        n_in=layer.n_in, n_out=layer.n_out, taps=1 if readout else layer.taps, recurrent=own,
        pe=folding.pe, simd=folding.simd, sparse=folding.sparse, readout=readout, lanes=1)
    if readout:
        return stage
    most = gcd(folding.pe, *takers)
    # as few as keep up with the words, of which a sparse layer may read but some
    usual = max(1, stage.words // SPARED if folding.sparse else stage.words)
    lanes = [lanes for lanes in range(1, most + 1) if most % lanes == 0]
    return replace(stage, lanes=next((n for n in lanes if folding.pe // n <= usual), most))


def default_serial(description, cycles=None):
    """A folding with at most so many cycles a step where that can be, and little logic.

    Every layer is sparse: that is never slower. What recordings spare is
    :func:`qsnn.hw.plan.activity.choose_for_activity`'s to weigh.
    """
    foldings = []
    for layer in description.layers:
        simd = min(8, 1 << (layer.n_in - 1).bit_length())
        pe, readout = 1, layer.kind == "readout"
        taps = 1 if readout else layer.taps
        words = taps * ceil_div(layer.n_in, simd)
        if not readout and layer.recurrent is not None:
            words += ceil_div(layer.n_out, simd)
        while cycles and pe < min(layer.n_out, 64) and ceil_div(layer.n_out, pe) * words > cycles:
            pe *= 2
        foldings.append(SerialFolding(min(pe, layer.n_out), simd))
    return foldings


def layer_parameters(layer, stage):
    if stage.readout:
        return TotalParameters.of(layer)
    return NeuronParameters(sum_max=2 * stage.fan_in, bits=layer.membrane_bits,
                            signed=layer.signed, shift=layer.shift, frac=layer.frac)


def serial_tables(layer, stage):
    """name -> (width, words) of a layer's memories."""
    p = layer_parameters(layer, stage)
    weights = layer.weights.reshape(stage.n_out, stage.taps, stage.n_in)
    bits = np.ones((stage.neurons, stage.taps, stage.in_words * stage.simd), bool)
    bits[:stage.n_out, :, :stage.n_in] = weights > 0
    bits = bits.reshape(stage.neurons, -1)
    if stage.recurrent:
        own = np.ones((stage.neurons, stage.own_words * stage.simd), bool)
        own[:stage.n_out, :stage.n_out] = layer.recurrent > 0
        bits = np.concatenate([bits, own], axis=1)
    bits = bits.reshape(stage.groups, stage.pe, stage.words, stage.simd).transpose(0, 2, 1, 3)
    rows = np.packbits(bits.reshape(stage.groups * stage.words, -1), axis=1, bitorder="little")
    result = {"weights": (stage.pe * stage.simd, [int.from_bytes(row.tobytes(), "little")
                                                  for row in rows])}
    if stage.readout:
        biases = layer.bias - (p.limit << p.frac)
    else:
        offset = stage.fan_in << layer.frac
        thresholds = np.clip(layer.threshold + offset + p.round_up, p.threshold_low,
                             p.threshold_high)
        result["thresholds"] = _packed(thresholds, stage, p.threshold_high, p.threshold_shape)
        biases = np.clip(layer.bias - offset, p.bias_low, p.bias_high)
    result["biases"] = _packed(biases, stage, 0, p.bias_shape)
    return result


def _packed(values, stage, padding, shape):
    padded = np.full(stage.neurons, padding, dtype=np.int64)
    padded[:stage.n_out] = values
    mask = (1 << shape.width) - 1
    return shape.width * stage.lanes, [
        sum((int(value) & mask) << (index * shape.width) for index, value in enumerate(row))
        for row in padded.reshape(-1, stage.lanes)]
