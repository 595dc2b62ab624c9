"""Widths and tables that the hardware derives from a description.

The synapses add ``x XNOR w`` bit by bit, which for an input of ``x_max = 2**bits - 1`` gives
``x`` for a weight +1 and ``x_max - x`` for -1. So they give ``sum = S + offset`` with the
constant ``offset = x_max * (number of -1 weights)`` of each neuron, never negative; it is
subtracted from thresholds and biases, where it costs nothing. Inputs of several bits are added in
pairs, see :mod:`qsnn.hw.core.synapses`: a pair whose first weight is -1 gives 1 more.

All widths follow from shapes, never from values: networks of one shape share their Verilog.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Shape

__all__ = ["NeuronParameters", "ScoreParameters", "layer_parameters"]


def leaders(inputs, simd):
    """How many of so many inputs are the first of a pair, in words of ``simd``."""
    words, rest = divmod(inputs, simd)
    return words * -(-simd // 2) + -(-rest // 2)


def offsets(layer, stage):
    """offset of every neuron or channel, int64 [channels]."""
    minus = ~layer.planes  # [planes, channels, fan-in]
    offset = minus.sum(axis=2, dtype=np.int64) * ((1 << layer.input_bits) - 1)
    if layer.input_bits > 1:
        first = stage.fan_in[np.arange(len(stage.fan_in)) % stage.simd % 2 == 0]
        offset += minus[:, :, first[first >= 0]].sum(axis=2, dtype=np.int64)
    offset = (offset << np.arange(layer.weight_bits)[:, None]).sum(axis=0)
    if layer.skip and layer.skip.weights is not None:
        offset += (layer.skip.weights < 0).sum(axis=1, dtype=np.int64) << layer.skip.shift
    return offset


@dataclass(frozen=True)
class NeuronParameters:
    """Constants of a layer of neurons with the folding of a stage."""

    sum_max: int
    bits: int
    signed: bool
    shift: int
    frac: int

    @classmethod
    def of(cls, layer, stage):
        return cls(sum_max=_sum_max(stage), bits=layer.membrane_bits, signed=layer.signed,
                   shift=layer.shift, frac=layer.frac)

    @property
    def q_low(self):
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def q_high(self):
        return self.q_low + (1 << self.bits) - 1

    @property
    def acc_min(self):
        return self.q_low << (self.shift - 1)

    @property
    def acc_max(self):
        return (self.q_high << (self.shift - 1)) + (self.sum_max << self.frac)

    @property
    def round_up(self):
        """What makes the shift of a threshold round up, see
        :class:`qsnn.hw.core.neuron.NeuronUnit`.
        """
        return (1 << (self.shift - 1)) - 1

    @property
    def threshold_low(self):
        return self.acc_min + self.round_up

    @property
    def threshold_high(self):
        return self.acc_max + 1 + self.round_up

    @property
    def threshold_shape(self):
        return Shape.cast(range(self.threshold_low, self.threshold_high + 1))

    @property
    def bias_low(self):
        return ((self.q_low + 1) << self.shift) - 1 - self.acc_max

    @property
    def bias_high(self):
        return (self.q_high << self.shift) - self.acc_min

    @property
    def bias_shape(self):
        return Shape.cast(range(self.bias_low, self.bias_high + 1))

    def thresholds(self, layer, stage):
        """Thresholds as the neuron unit compares them; saturated where more changes nothing."""
        return np.clip(layer.threshold + (offsets(layer, stage) << self.frac) + self.round_up,
                       self.threshold_low, self.threshold_high)

    def biases(self, layer, stage):
        """Biases as the neuron unit adds them; saturated likewise."""
        return np.clip(layer.bias - (offsets(layer, stage) << self.frac),
                       self.bias_low, self.bias_high)


@dataclass(frozen=True)
class ScoreParameters:
    """Constants of a readout with the folding of a stage."""

    sum_max: int
    time_steps: int
    frac: int
    bias_limit: int

    @classmethod
    def of(cls, layer, stage):
        return cls(sum_max=_sum_max(stage) * stage.steps, time_steps=stage.steps, frac=layer.frac,
                   bias_limit=layer.bias_limit(layer.n_in, layer.frac, layer.input_bits,
                                               layer.weight_bits))

    @property
    def score_shape(self):
        """Scores of any weights and biases of this shape."""
        high = (self.sum_max << self.frac) + self.bias_limit
        return Shape.cast(range(-high, high + 1))

    @property
    def bias_shape(self):
        return self.score_shape

    def biases(self, layer, stage):
        """Biases as they are added to the sums of XNORs over all time steps."""
        return layer.bias - ((offsets(layer, stage) * self.time_steps) << self.frac)


def layer_parameters(description, plan):
    """The parameters of each layer."""
    return [stage_parameters(layer, stage)
            for layer, stage in zip(description.layers, plan.stages, strict=True)]


def stage_parameters(layer, stage):
    return (ScoreParameters if stage.readout else NeuronParameters).of(layer, stage)


def _sum_max(stage):
    """Largest sum of XNORs in a time step, padded inputs among them."""
    pixels, inputs = (stage.window.kernel ** 2, stage.window.channels) if stage.window else (
        1, stage.n_in)
    pairs = leaders(inputs, stage.simd) if stage.bits > 1 else 0
    largest = pixels * (inputs * ((1 << stage.bits) - 1) + pairs) * ((1 << stage.planes) - 1)
    if stage.skip:
        largest += (stage.skip.window.channels if stage.skip.weights else 1) << stage.skip.shift
    return largest
