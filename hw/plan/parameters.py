"""Widths and tables that the hardware derives from a description.

The synapses of a time-parallel layer add ``x XNOR w`` bit by bit, which for an input of
``x_max = 2**bits - 1`` gives ``x`` for a weight +1 and ``x_max - x`` for -1. So they give
``sum = S + offset`` with the constant ``offset = x_max * (number of -1 weights)`` of each neuron,
never negative; it is subtracted from thresholds and biases, where it costs nothing. Inputs of
several bits are added in pairs, see :mod:`qsnn.hw.core.synapses`: a pair whose first weight is -1
gives 1 more. Of weights that are integers it is ``(sum + ~x) >> 1``, with the sum ``x`` of the
inputs, see :mod:`qsnn.hw.core.counts`. Those of a time-serial layer give ``S`` plus its largest
value, see :mod:`qsnn.hw.serial.layer`. Each kind of stage knows its ``offsets`` and its
``sum_max``.

All widths follow from shapes, never from values: networks of one shape share their Verilog.
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Shape

__all__ = ["LeakyParameters", "NeuronParameters", "ScoreParameters", "TotalParameters"]


@dataclass(frozen=True)
class NeuronParameters:
    """Constants of a layer of neurons with the folding of a stage.

    current: bits, leak and shift of a :class:`qsnn.model.layers.Current`, or None.
    """

    sum_max: int
    bits: int
    signed: bool
    shift: int
    frac: int
    leak: tuple = (1, 1)
    subtracts: bool = False
    current: tuple | None = None

    @classmethod
    def of(cls, layer, stage):
        return cls(sum_max=stage.sum_max, bits=layer.membrane_bits, signed=layer.signed,
                   shift=layer.shift, frac=layer.frac, leak=layer.leak,
                   subtracts=layer.reset == "subtract",
                   current=layer.current and (layer.current.bits, layer.current.leak,
                                              layer.current.shift))

    @property
    def q_low(self):
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def q_high(self):
        return self.q_low + (1 << self.bits) - 1

    @property
    def place(self):
        """The power of two that a membrane times m counts in an accumulator."""
        return self.shift - self.leak[1]

    @property
    def held_bits(self):
        """Bits that a neuron keeps: of its membrane, and of its current above them."""
        return self.bits + (self.current[0] if self.current else 0)

    @property
    def held_signed(self):
        return self.signed or self.current is not None

    @property
    def current_place(self):
        """What :attr:`place` is, for the current."""
        _, (_, k), shift = self.current
        return shift - k

    @property
    def given_min(self):
        """Of what a membrane is given in a step."""
        if not self.current:
            return 0
        bits, (m, _), _ = self.current
        return -(1 << (bits - 1)) * m << self.current_place

    @property
    def given_max(self):
        most = self.sum_max << self.frac
        if not self.current:
            return most
        bits, (m, _), _ = self.current
        return (((1 << (bits - 1)) - 1) * m << self.current_place) + most

    @property
    def acc_min(self):
        return (self.q_low * self.leak[0] << self.place) + self.given_min

    @property
    def acc_max(self):
        return (self.q_high * self.leak[0] << self.place) + self.given_max

    @property
    def round_up(self):
        """What makes the shift of a threshold round up, see
        :class:`qsnn.hw.core.neuron.NeuronUnit`.
        """
        return (1 << self.place) - 1

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
        return np.clip(layer.threshold + (stage.offsets(layer) << self.frac) + self.round_up,
                       self.threshold_low, self.threshold_high)

    def biases(self, layer, stage):
        """Biases as the neuron unit adds them; saturated likewise."""
        return self._biases(layer.bias, layer, stage)

    def fired_biases(self, layer, stage):
        """What it adds in place of them for a neuron that fires, where the reset subtracts."""
        return self._biases(layer.bias_fired, layer, stage)

    def _biases(self, values, layer, stage):
        return np.clip(values - (stage.offsets(layer) << self.frac), self.bias_low, self.bias_high)

    @property
    def current_bias_range(self):
        """Smallest and largest bias of a current that changes something."""
        bits, _, shift = self.current
        high = 1 << (bits - 1)
        return ((1 - high) << shift) - 1 - self.given_max, ((high - 1) << shift) - self.given_min

    @property
    def current_bias_shape(self):
        low, high = self.current_bias_range
        return Shape.cast(range(low, high + 1))

    def current_biases(self, layer, stage):
        """Biases of the current as the neuron unit adds them."""
        return np.clip(layer.current.bias - (stage.offsets(layer) << self.frac),
                       *self.current_bias_range)

    def tables(self, layer, stage):
        """name -> (values, what padding has, shape) of each memory of integers of neurons."""
        tables = {"thresholds": (self.thresholds(layer, stage), self.threshold_high,
                                 self.threshold_shape),
                  "biases": (self.biases(layer, stage), 0, self.bias_shape)}
        if self.subtracts:
            tables["biases_fired"] = (self.fired_biases(layer, stage), 0, self.bias_shape)
        if self.current:
            tables["biases_current"] = (self.current_biases(layer, stage), 0,
                                        self.current_bias_shape)
        return tables


def _bias_table(parameters, layer, stage):
    """The one table of a readout, as in :meth:`NeuronParameters.tables`."""
    return {"biases": (parameters.biases(layer, stage), 0, parameters.bias_shape)}


def _bias_limit(layer):
    return layer.bias_limit(layer.n_in, layer.frac, layer.input_bits, layer.weight_bits,
                            layer.window, layer.weight_code)


@dataclass(frozen=True)
class ScoreParameters:
    """Constants of a readout with the folding of a stage."""

    sum_max: int
    time_steps: int
    frac: int
    bias_limit: int

    @classmethod
    def of(cls, layer, stage):
        return cls(sum_max=stage.sum_max, time_steps=stage.steps, frac=layer.frac,
                   bias_limit=_bias_limit(layer))

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
        return layer.bias - (stage.offsets(layer) << self.frac)

    tables = _bias_table


@dataclass(frozen=True)
class TotalParameters:
    """Constants of the totals of a time-serial readout, see
    :class:`qsnn.hw.core.readout.ScoreUnit`.

    Totals are kept as ``total + limit``, which is never negative.
    """

    limit: int
    frac: int
    bias_limit: int

    @classmethod
    def of(cls, layer, stage):
        return cls(limit=layer.total_limit, frac=layer.frac, bias_limit=_bias_limit(layer))

    @property
    def sum_max(self):
        return 2 * self.limit

    @property
    def score_shape(self):
        high = (self.limit << self.frac) + self.bias_limit
        return Shape.cast(range(-high, high + 1))

    @property
    def bias_shape(self):
        return self.score_shape

    def biases(self, layer, stage):
        """Biases as they are added to a total that is kept with its limit."""
        return layer.bias - (self.limit << self.frac)

    tables = _bias_table


@dataclass(frozen=True)
class LeakyParameters(TotalParameters):
    """Constants of totals that leak, of both schedules; in units of 2**-place, so ``frac`` is 0.

    With the total kept as ``t = total + limit``, a step is ``t' = (t * m + given) >> k``, which is
    never negative; ``given`` is ``sum << (place + k)`` and the constant of a class, its offset.

    given_max: largest sum as a time-parallel layer takes it; None in a time-serial one, whose sums
    have no offsets.
    """

    leak: tuple
    place: int
    given_max: int | None

    @classmethod
    def of(cls, layer, stage):
        return cls(limit=layer.total_limit << layer.frac, frac=0, bias_limit=_bias_limit(layer),
                   leak=layer.leak, place=layer.frac,
                   given_max=None if stage.serial else stage.sum_max)

    @property
    def constant(self):
        """What each step adds beside the sum: half a unit, and what the limit loses."""
        m, k = self.leak
        return (1 << (k - 1)) + (((1 << k) - m) * self.limit)

    @property
    def offsets_low(self):
        """Smallest constant of a class."""
        return min(0, self.constant - (self.given_max << (self.place + self.leak[1])))

    @property
    def offset_shape(self):
        return Shape.cast(range(self.offsets_low, self.constant + 1))

    def offsets(self, layer, stage):
        return self.constant - (stage.offsets(layer) << (self.place + self.leak[1]))

    def tables(self, layer, stage):
        tables = _bias_table(self, layer, stage)
        if self.given_max is not None:
            tables["offsets"] = self.offsets(layer, stage), self.constant, self.offset_shape
        return tables
