"""Layers of a description: integers and shapes, checked when they are made.

What the integers mean is defined in :mod:`qsnn.model.golden`. A map is an array of height x width x
channels; where it counts as a row of numbers, the channel changes first, then x, then y.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qsnn.model.codes import CODES
from qsnn.model.leak import MAX_LEAK, is_leak

__all__ = ["Convolution", "Current", "DescriptionError", "FullyConnected", "Readout", "Skip",
           "Spiking", "by", "check", "check_choice", "pair"]

MAX_NEURONS = 1 << 16
MAX_MAP = 1 << 20  # neurons of a convolution
MAX_WEIGHTS = 1 << 26  # bits of all weights of a network
MAX_SIDE = 1 << 12  # height and width of a map
MAX_KERNEL = 15
MAX_POOL = 15
MAX_SHIFT = 24
MAX_MEMBRANE = 8  # bits of a membrane, and of a current
MAX_FRAC = 8
MAX_TAPS = 256
MAX_WINDOW = 1 << 16  # steps
MAX_TIME_STEPS = 64  # of an image
WEIGHT_BITS = (1, 2, 4, 8)
POOLS = ("none", "max", "sum")
RESETS = ("zero", "subtract")
LEAKS = f"(1, 0), or (m, k) with k 1 .. {MAX_LEAK} and m odd below 2**k"


class DescriptionError(ValueError):
    """A description, or the file that holds it, is not valid."""


def check(condition, sentence):
    if not condition:
        raise DescriptionError(sentence)


def check_choice(name, value, choices):
    # True is an int to isinstance, but neither a number here nor in a file
    check(type(value) is type(choices[0]) and value in choices,
          f"{name} must be {choices[0]} .. {choices[-1]}, not {value!r}")


def pair(value):
    """Rows and columns: of one number, the same of both."""
    return tuple(value) if isinstance(value, list | tuple) else (value, value)


def by(sides, cross=" x "):
    """A pair in words: ``1 x 5``, or what both are."""
    return f"{sides[0]}{cross}{sides[1]}" if sides[0] != sides[1] else f"{sides[0]}"


def _check_pairs(layer, of="", **ranges):
    """Make pairs of fields, and check that both numbers of each lie in its ranges."""
    for name, choices in ranges.items():
        sides = pair(getattr(layer, name))
        check(len(sides) == 2, f"{name}{of} must be a number, or rows and columns, not {sides!r}")
        for side, few in zip(sides, choices, strict=True):
            check_choice(name + of, side, few)
        object.__setattr__(layer, name, sides)


def _integers(name, array, shape, low, high):
    """A read-only int64 copy of ``array``, checked for type, shape and range."""
    array = np.asarray(array)
    check(array.dtype.kind in "iu", f"{name} must be integers, not {array.dtype}")
    check(array.shape == shape, f"{name} has shape {array.shape}, expected {shape}")
    check(array.size == 0 or (low <= array.min() and array.max() <= high),
          f"{name} must lie in {low} .. {high}")
    array = array.astype(np.int64)
    array.flags.writeable = False
    return array


def _weights(array, bits, dimensions=2, code="odd"):
    array = np.asarray(array)
    number = {2: "two", 4: "four"}[dimensions]
    check(array.dtype.kind == "i", f"weights must be signed integers, not {array.dtype}")
    check(array.ndim == dimensions, f"weights must have {number} dimensions, not {array.ndim}")
    check(type(bits) is int and bits in WEIGHT_BITS, f"weight_bits must be 1, 2, 4 or 8, "
          f"not {bits!r}")
    check(code in CODES, f"weight_code must be {' or '.join(CODES)}, not {code!r}")
    check(bits >= CODES[code].least, f"weights of {bits} bit are no {CODES[code].words}")
    n_out, n_in = len(array), int(np.prod(array.shape[1:]))
    check(1 <= n_in <= MAX_NEURONS and 1 <= n_out <= MAX_NEURONS,
          f"a layer has 1 to {MAX_NEURONS} inputs and neurons, not {n_in} and {n_out}")
    low, high = CODES[code].range(bits)
    check(CODES[code].holds(array, bits), "weights must be -1 or +1" if bits == 1 else
          f"weights of {bits} bits must be {CODES[code].words} in {low} .. {high}")
    array = array.astype(np.int8 if bits < 8 else np.int16)
    array.flags.writeable = False
    return array


class _Layer:
    """What all layers have: weights [n_out or channels, fan_in or more axes], their bits, code."""

    @property
    def code(self):
        """The :class:`qsnn.model.codes.Code` of the weights."""
        return CODES[self.weight_code]

    @property
    def planes(self):
        """Bit planes of the weights, lowest first, [weight_bits, n_out, fan_in] of booleans."""
        return self.code.to_planes(self.weights, self.weight_bits)

    @property
    def fan_in(self):
        """Synapses of a neuron, a skip not among them."""
        return int(np.prod(self.weights.shape[1:]))

    @property
    def sum_range(self):
        """Smallest and largest sum of synapses that the shape allows, in one time step."""
        most = self.fan_in * ((1 << self.input_bits) - 1)
        return tuple(most * weight for weight in self.code.range(self.weight_bits))


class _Row:
    """What layers have that take a row of numbers: weights [n_out, n_in], and no skip."""

    skip = None

    @property
    def n_in(self):
        return self.weights.shape[1]

    @property
    def n_out(self):
        return self.weights.shape[0]

    @property
    def channels(self):
        """Neurons that have parameters of their own: those of a map share them."""
        return self.n_out


@dataclass(frozen=True, eq=False, kw_only=True)
class Current:
    """A second state of each neuron of a layer, between its synapses and its membrane: CubaLIF.

    bits   2 .. 8, two's complement
    leak   (m, k): m / 2**k of it stays, see :mod:`qsnn.model.leak`
    shift  its step is 2**shift units, k .. 24
    bias   [channels], the neuron's bias plus half a step, in units; within what changes something
    """

    bits: int
    leak: tuple
    shift: int
    bias: np.ndarray

    def __post_init__(self):
        check(is_leak(self.leak), f"leak of a current must be {LEAKS}, not {self.leak!r}")
        check_choice("bits of a current", self.bits, range(2, MAX_MEMBRANE + 1))
        check_choice("shift of a current", self.shift, range(self.leak[1], MAX_SHIFT + 1))

    @property
    def range(self):
        """Smallest and largest current."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def stays(self, i):
        """What is left of a current, in units."""
        m, k = self.leak
        return i * m << (self.shift - k)


@dataclass(frozen=True, eq=False, kw_only=True)
class Spiking(_Layer):
    """What layers of spiking neurons share, see :mod:`qsnn.model.golden` for the arithmetic.

    weights        -1 or +1; with more bits, the numbers of weight_code
    threshold      [channels], theta, in units of 2**-frac synapses
    bias           [channels], beta: the neuron's bias plus half a membrane step, same units
    input_bits     1 for spikes, 1 .. 8 for pixels and for sums of pooled spikes
    membrane_bits  b, 2 .. 8
    signed         membranes lie in -2**(b-1) .. 2**(b-1)-1, else in 0 .. 2**b-1
    shift          the membrane step is 2**shift units, k .. 24
    frac           fraction bits of the units, 0 .. 8
    weight_bits    1, 2, 4 or 8
    weight_code    odd or integer, see :mod:`qsnn.model.codes`
    leak           (m, k): m / 2**k of a membrane stays, see :mod:`qsnn.model.leak`
    reset          zero, or subtract: a neuron that fires keeps what it has beyond its threshold
    bias_fired     [channels], beta_fired: the bias less a threshold, where the reset subtracts;
                   None where it does not
    current        :class:`Current`, or None: sums go to the membrane at once
    """

    weights: np.ndarray
    threshold: np.ndarray
    bias: np.ndarray
    input_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int
    weight_bits: int = 1
    weight_code: str = "odd"
    leak: tuple = (1, 1)
    reset: str = "zero"
    bias_fired: np.ndarray | None = None
    current: Current | None = None

    def __post_init__(self):
        check(is_leak(self.leak), f"leak must be {LEAKS}, not {self.leak!r}")
        check(self.reset in RESETS, f"reset must be zero or subtract, not {self.reset!r}")
        for name, choices in (("input_bits", range(1, 9)),
                              ("membrane_bits", range(2, MAX_MEMBRANE + 1)),
                              ("shift", range(self.leak[1], MAX_SHIFT + 1)),
                              ("frac", range(MAX_FRAC + 1)), ("signed", (False, True))):
            check_choice(name, getattr(self, name), choices)
        object.__setattr__(self, "weights", _weights(self.weights, self.weight_bits,
                                                     self.dimensions, self.weight_code))
        self._check_shape()
        ranges = {"threshold": self.threshold_range, "bias": self.bias_range}
        if self.reset == "subtract":
            check(self.bias_fired is not None, "a reset by subtraction needs bias_fired")
            ranges["bias_fired"] = self.bias_range
        else:
            check(self.bias_fired is None, "bias_fired is of a reset by subtraction")
        for name, (low, high) in ranges.items():
            values = _integers(name, getattr(self, name), (len(self.weights),), low, high)
            object.__setattr__(self, name, values)
        if self.current is not None:
            check(isinstance(self.current, Current), "current must be a Current or None")
            values = _integers("bias of the current", self.current.bias, (len(self.weights),),
                               *self.current_bias_range)
            object.__setattr__(self, "current", replace(self.current, bias=values))

    def _check_shape(self):
        pass

    @property
    def q_range(self):
        """Smallest and largest membrane."""
        low = -(1 << (self.membrane_bits - 1)) if self.signed else 0
        return low, low + (1 << self.membrane_bits) - 1

    @property
    def acc_range(self):
        """Smallest and largest value that is compared with the threshold."""
        m, k = self.leak
        return tuple((q * m << (self.shift - k)) + given
                     for q, given in zip(self.q_range, self.given_range, strict=True))

    @property
    def given_range(self):
        """Smallest and largest value, in units, that a membrane is given in one time step."""
        given = tuple(s << self.frac for s in self.sum_range)
        if self.current is None:
            return given
        return tuple(self.current.stays(i) + s
                     for i, s in zip(self.current.range, given, strict=True))

    @property
    def current_bias_range(self):
        """What :attr:`bias_range` is, for the current."""
        (i_low, i_high), (low, high) = self.current.range, self.given_range
        shift = self.current.shift
        return min(0, ((i_low + 1) << shift) - 1 - high), (i_high << shift) - low

    @property
    def held_bits(self):
        """Bits that a neuron keeps: of its membrane, and of its current above them."""
        return self.membrane_bits + (self.current.bits if self.current else 0)

    @property
    def held_range(self):
        """Smallest and largest number that these are."""
        if self.current is None:
            return self.q_range
        return -(1 << (self.held_bits - 1)), (1 << (self.held_bits - 1)) - 1

    @property
    def threshold_range(self):
        """From 'always fires' to 'never fires': more would change nothing."""
        low, high = self.acc_range
        return low, high + 1

    @property
    def bias_range(self):
        """From 'always the smallest membrane' to 'always the largest': more changes nothing.

        0 is always in it.
        """
        (q_low, q_high), (low, high) = self.q_range, self.acc_range
        return min(0, ((q_low + 1) << self.shift) - 1 - high), (q_high << self.shift) - low


@dataclass(frozen=True, eq=False, kw_only=True)
class FullyConnected(_Row, Spiking):
    """A fully connected layer of spiking neurons.

    weights    [n_out, taps * n_in]: those of a step's inputs, of the inputs a step before, ...
    taps       steps whose inputs a neuron sees, 1 .. 256; more than one only in a stream
    recurrent  [n_out, n_out], as many bits as the weights: synapses that take the layer's own
               spikes of the step before; None where there are none, as in all networks for images
    """

    taps: int = 1
    recurrent: np.ndarray | None = None

    kind = "fully_connected"
    dimensions = 2

    def _check_shape(self):
        check_choice("taps", self.taps, range(1, MAX_TAPS + 1))
        check(self.weights.shape[1] % self.taps == 0,
              f"{self.weights.shape[1]} synapses are no whole number for each of {self.taps} taps")
        if self.recurrent is not None:
            object.__setattr__(self, "recurrent", _weights(self.recurrent, self.weight_bits,
                                                           code=self.weight_code))
            check(self.recurrent.shape == (self.n_out,) * 2, "recurrent weights of "
                  f"{self.n_out} neurons have shape {self.recurrent.shape}")

    @property
    def n_in(self):
        return self.weights.shape[1] // self.taps

    @property
    def sum_range(self):
        low, high = super().sum_range
        own = 0 if self.recurrent is None else self.n_out
        least, largest = self.code.range(self.weight_bits)
        return low + own * least, high + own * largest

    @property
    def n_outputs(self):
        """Numbers that the next layer takes."""
        return self.n_out

    @property
    def output_bits(self):
        """Bits of each of them."""
        return 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Skip:
    """Spikes of an earlier layer that are added to the sums of a convolution.

    source   index of that layer; its output map is what is taken
    stride   every stride-th of its pixels belongs to a neuron; rows and columns, or one number
    shift    what is added counts 2**shift synapses
    weights  [channels, channels of the source], -1 or +1: a 1 x 1 convolution. None: the spike of
             the neuron's own channel
    """

    source: int
    stride: tuple
    shift: int
    weights: np.ndarray | None = None

    def __post_init__(self):
        check_choice("source of a skip", self.source, range(64))
        _check_pairs(self, " of a skip", stride=[range(1, MAX_KERNEL + 1)] * 2)
        check_choice("shift of a skip", self.shift, range(13))
        if self.weights is not None:
            object.__setattr__(self, "weights", _weights(self.weights, 1))

    @property
    def sum_range(self):
        """Smallest and largest number that is added."""
        if self.weights is None:
            return 0, 1 << self.shift
        high = self.weights.shape[1] << self.shift
        return -high, high


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Spiking):
    """A convolution with spiking neurons, and the pooling of their spikes.

    Where it says a pair, these are rows and columns; one number is both.

    weights    [channels, rows of the kernel, columns, channels of the input]
    height     of the input map
    width
    stride     of the kernel, a pair
    padding    zeros around the input map, on each side, a pair; less than the kernel
    pool       none; max: whether any neuron of a rectangle fires; sum: how many do
    pool_size  of the rectangles, a pair. They do not overlap, and neurons that no whole one has
               are not there
    skip       :class:`Skip` or None
    """

    height: int
    width: int
    stride: tuple = (1, 1)
    padding: tuple = (0, 0)
    pool: str = "none"
    pool_size: tuple = (1, 1)
    skip: Skip | None = None

    kind = "convolution"
    dimensions = 4
    taps, recurrent = 1, None

    def _check_shape(self):
        channels, kernel = len(self.weights), self.kernel
        check(max(kernel) <= MAX_KERNEL, f"a kernel has 1 to {MAX_KERNEL} rows and columns, not "
              f"{by(kernel)}")
        for name in ("height", "width"):
            check_choice(name, getattr(self, name), range(1, MAX_SIDE + 1))
        _check_pairs(self, stride=[range(1, MAX_KERNEL + 1)] * 2,
                     padding=[range(side) for side in kernel],
                     pool_size=[range(1, MAX_POOL + 1)] * 2)
        check(self.pool in POOLS, f"pool must be none, max or sum, not {self.pool!r}")
        check((self.pool == "none") == (self.pool_size == (1, 1)),
              f"pool {self.pool} with squares of {self.pool_size[0]} x {self.pool_size[1]}")
        check(self.output_bits <= 8, f"a sum of {self.pool_size[0]} x {self.pool_size[1]} spikes "
              "has more than 8 bits")
        check(min(self.out_height, self.out_width) >= 1,
              f"a map of {self.height} x {self.width} is too small for a kernel of {kernel[0]} x "
              f"{kernel[1]} with padding {by(self.padding)}, stride {by(self.stride)} and pools of "
              f"{self.pool_size[0]} x {self.pool_size[1]}")
        check(self.n_out <= MAX_MAP, f"{self.n_out} neurons, a convolution has at most {MAX_MAP}")
        if self.skip is not None:
            check(isinstance(self.skip, Skip), "skip must be a Skip or None")
            check(self.weight_bits == 1, "weights beside a skip must have 1 bit")
            check(self.input_bits == 1, "a convolution with a skip must take spikes of 1 bit")
            check(self.skip.weights is None or len(self.skip.weights) == channels,
                  "a skip must have as many channels as its convolution")

    @property
    def kernel(self):
        """Its rows and columns."""
        return self.weights.shape[1:3]

    @property
    def channels_in(self):
        return self.weights.shape[3]

    @property
    def channels(self):
        return self.weights.shape[0]

    def _positions(self, axis, side):
        found = (side + 2 * self.padding[axis] - self.kernel[axis]) // self.stride[axis] + 1
        return found // self.pool_size[axis] * self.pool_size[axis]

    @cached_property
    def out_height(self):
        """Rows of neurons."""
        return self._positions(0, self.height)

    @cached_property
    def out_width(self):
        """Neurons of a row, in each channel."""
        return self._positions(1, self.width)

    @property
    def output_map(self):
        """Height, width and channels of what the next layer takes."""
        rows, columns = self.pool_size
        return self.out_height // rows, self.out_width // columns, self.channels

    @property
    def n_in(self):
        return self.height * self.width * self.channels_in

    @property
    def n_out(self):
        return self.out_height * self.out_width * self.channels

    @property
    def n_outputs(self):
        return int(np.prod(self.output_map))

    @property
    def output_bits(self):
        return (self.pool_size[0] * self.pool_size[1]).bit_length() if self.pool == "sum" else 1

    @property
    def sum_range(self):
        low, high = super().sum_range
        skip_low, skip_high = self.skip.sum_range if self.skip else (0, 0)
        return low + skip_low, high + skip_high


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout(_Row, _Layer):
    """The output layer: it does not fire, it adds its sums over time. One neuron is one class, or
    the only one: then it tells two classes apart.

    weights      [outputs, n_in], as in :class:`qsnn.model.layers.Spiking`
    bias         [outputs], in units of 2**-frac synapses; at most the sums of ``window`` steps
    frac         fraction bits of the scores, 0 .. 8
    input_bits, weight_bits, weight_code  as in :class:`qsnn.model.layers.Spiking`
    window       steps whose sums always fit, see :meth:`window_of`; of a stream, where sums
                 saturate beyond what so many steps can give, 8 .. 65536
    leak         (m, k): m / 2**k of a total stays, see :mod:`qsnn.model.leak`; (1, 0) all of it
    """

    weights: np.ndarray
    bias: np.ndarray
    frac: int
    input_bits: int = 1
    weight_bits: int = 1
    window: int = 8
    weight_code: str = "odd"
    leak: tuple = (1, 0)

    kind = "readout"
    taps, recurrent = 1, None

    def __post_init__(self):
        check(is_leak(self.leak), f"leak of a readout must be {LEAKS}, not {self.leak!r}")
        check_choice("frac", self.frac, range(MAX_FRAC + 1))
        check_choice("input_bits", self.input_bits, range(1, 9))
        object.__setattr__(self, "weights", _weights(self.weights, self.weight_bits,
                                                     code=self.weight_code))
        check_choice("window", self.window, range(8, MAX_WINDOW + 1))
        limit = self.bias_limit(self.n_in, self.frac, self.input_bits, self.weight_bits,
                                self.window, self.weight_code)
        bias = _integers("bias", self.bias, (self.n_out,), -limit, limit)
        object.__setattr__(self, "bias", bias)

    @property
    def leaky(self):
        """Whether its totals leak."""
        return self.leak != (1, 0)

    @staticmethod
    def window_of(time_steps):
        """The window of an image: 8 steps, or its time steps where they are more."""
        return max(8, time_steps)

    @staticmethod
    def bias_limit(n_in, frac, input_bits=1, weight_bits=1, window=8, weight_code="odd"):
        """Largest magnitude of a bias: follows from the shape, so that the score's width does."""
        largest = -CODES[weight_code].range(weight_bits)[0]
        return (window * n_in * ((1 << input_bits) - 1) * largest) << frac

    @property
    def total_limit(self):
        """Largest magnitude of the sum over time of a stream, which saturates there."""
        return self.window * -self.sum_range[0]
