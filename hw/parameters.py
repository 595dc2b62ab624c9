"""Widths and tables that the hardware derives from a description.

The synapses add ``x XNOR w`` bit by bit, which for an input of ``x_max = 2**bits - 1`` gives
``x`` for a weight +1 and ``x_max - x`` for -1. So they give ``sum = S + offset`` with the
constant ``offset = x_max * (number of -1 weights)`` of each neuron, never negative; it is
subtracted from thresholds and biases, where it costs nothing.

All widths follow from shapes, never from values: networks of one shape share their Verilog.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Shape

__all__ = ["NeuronParameters", "ScoreParameters"]


def offsets(layer):
    """offset of every neuron, int64 [n_out]."""
    x_max = (1 << layer.input_bits) - 1
    return (layer.weights < 0).sum(axis=1, dtype=np.int64) * x_max


@dataclass(frozen=True)
class NeuronParameters:
    """Constants of a layer of neurons; ``n_in`` counts padded inputs too."""

    n_in: int
    input_bits: int
    bits: int
    signed: bool
    shift: int
    frac: int

    @classmethod
    def of(cls, layer, n_in):
        return cls(n_in=n_in, input_bits=layer.input_bits, bits=layer.membrane_bits,
                   signed=layer.signed, shift=layer.shift, frac=layer.frac)

    @property
    def q_low(self):
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def q_high(self):
        return self.q_low + (1 << self.bits) - 1

    @property
    def sum_max(self):
        return self.n_in * ((1 << self.input_bits) - 1)

    @property
    def acc_min(self):
        return self.q_low << (self.shift - 1)

    @property
    def acc_max(self):
        return (self.q_high << (self.shift - 1)) + (self.sum_max << self.frac)

    @property
    def threshold_shape(self):
        return Shape.cast(range(self.acc_min, self.acc_max + 2))

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
        return np.clip(layer.threshold + (offsets(layer) << self.frac),
                       self.acc_min, self.acc_max + 1)

    def biases(self, layer):
        """Biases as the neuron unit adds them; saturated likewise."""
        return np.clip(layer.bias - (offsets(layer) << self.frac), self.bias_low, self.bias_high)


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
        return layer.bias - ((offsets(layer) * self.time_steps) << self.frac)
