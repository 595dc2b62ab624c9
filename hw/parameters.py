"""Widths and tables that the hardware derives from a description.

The synapses add ``x XNOR w`` bit by bit, which for an input of ``x_max = 2**bits - 1`` gives
``x`` for a weight +1 and ``x_max - x`` for -1. So they give ``sum = S + offset`` with the
constant ``offset = x_max * (number of -1 weights)`` of each neuron, never negative; it is
subtracted from thresholds and biases, where it costs nothing. Inputs of several bits are added in
pairs, see :mod:`hw.synapses`: a pair whose first weight is -1 gives 1 more.

All widths follow from shapes, never from values: networks of one shape share their Verilog.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Shape

__all__ = ["NeuronParameters", "ScoreParameters", "layer_parameters"]


def leaders(n_in, simd):
    """Which inputs are the first of a pair, in words of ``simd`` inputs: indices."""
    inputs = np.arange(n_in)
    return inputs[inputs % simd % 2 == 0]


def offsets(layer, simd):
    """offset of every neuron, int64 [n_out]."""
    minus = layer.weights < 0
    offset = minus.sum(axis=1, dtype=np.int64) * ((1 << layer.input_bits) - 1)
    if layer.input_bits > 1:
        offset += minus[:, leaders(layer.n_in, simd)].sum(axis=1, dtype=np.int64)
    return offset


@dataclass(frozen=True)
class NeuronParameters:
    """Constants of a layer of neurons; ``n_in`` counts padded inputs too."""

    n_in: int
    simd: int
    input_bits: int
    bits: int
    signed: bool
    shift: int
    frac: int

    @classmethod
    def of(cls, layer, n_in, simd):
        return cls(n_in=n_in, simd=simd, input_bits=layer.input_bits, bits=layer.membrane_bits,
                   signed=layer.signed, shift=layer.shift, frac=layer.frac)

    @property
    def q_low(self):
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def q_high(self):
        return self.q_low + (1 << self.bits) - 1

    @property
    def sum_max(self):
        pairs = len(leaders(self.n_in, self.simd)) if self.input_bits > 1 else 0
        return self.n_in * ((1 << self.input_bits) - 1) + pairs

    @property
    def acc_min(self):
        return self.q_low << (self.shift - 1)

    @property
    def acc_max(self):
        return (self.q_high << (self.shift - 1)) + (self.sum_max << self.frac)

    @property
    def round_up(self):
        """What makes the shift of a threshold round up, see :class:`hw.neuron.NeuronUnit`."""
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

    def thresholds(self, layer):
        """Thresholds as the neuron unit compares them; saturated where more changes nothing."""
        return np.clip(layer.threshold + (offsets(layer, self.simd) << self.frac) + self.round_up,
                       self.threshold_low, self.threshold_high)

    def biases(self, layer):
        """Biases as the neuron unit adds them; saturated likewise."""
        return np.clip(layer.bias - (offsets(layer, self.simd) << self.frac),
                       self.bias_low, self.bias_high)


@dataclass(frozen=True)
class ScoreParameters:
    """Constants of a readout; ``n_in`` counts padded inputs too."""

    n_in: int
    time_steps: int
    frac: int
    bias_limit: int

    @classmethod
    def of(cls, layer, n_in, time_steps):
        return cls(n_in=n_in, time_steps=time_steps, frac=layer.frac,
                   bias_limit=layer.bias_limit(layer.n_in, layer.frac))

    @property
    def sum_max(self):
        return self.n_in * self.time_steps

    @property
    def score_shape(self):
        """Scores of any weights and biases of this shape."""
        high = (self.sum_max << self.frac) + self.bias_limit
        return Shape.cast(range(-high, high + 1))

    @property
    def bias_shape(self):
        return self.score_shape

    def biases(self, layer):
        """Biases as they are added to the sums of XNORs over all time steps."""
        return layer.bias - ((offsets(layer, 1) * self.time_steps) << self.frac)


def layer_parameters(description, plan):
    """The parameters of each layer."""
    return [ScoreParameters.of(layer, stage.n_in, description.time_steps) if stage.readout
            else NeuronParameters.of(layer, stage.n_in, stage.simd)
            for layer, stage in zip(description.layers, plan.stages, strict=True)]
