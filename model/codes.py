"""Codes of weights: which numbers so many bits of a weight are.

========  ====================================  =============================
code      of ``bits`` bits                      sum of bits ``d_p`` 0 or 1
========  ====================================  =============================
odd       odd numbers, ``1 - 2**bits`` ..       ``2**p * (2 * d_p - 1)``
          ``2**bits - 1``
integer   all numbers, ``-2**(bits-1)`` ..      ``2**p * d_p - 2**(bits-1)``
          ``2**(bits-1) - 1``; no 1 bit
========  ====================================  =============================

An integer is half of what an odd number less one is, with the same bits: so the sum of integers
times inputs is half of the sum of the odd numbers times them, less the sum of the inputs. Hardware
for odd numbers has both with one sum more, that of the inputs, which all neurons share.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["CODES", "Code", "code_of"]


@dataclass(frozen=True)
class Code:
    """A code of weights.

    step    from a number to the next one
    suffix  behind the bits, in the words of :mod:`qsnn.model.architecture`
    least   bits that it has at least
    words   what its numbers are, for sentences
    """

    name: str
    step: int
    suffix: str
    least: int
    words: str

    def range(self, bits):
        """Smallest and largest weight."""
        low = 1 - (1 << bits) if self.step == 2 else -(1 << (bits - 1))
        return low, low + self.step * ((1 << bits) - 1)

    def unit(self, bits):
        """What a weight of training is where the number is 1, see
        :func:`qsnn.model.qsnn.quantize_weight`: three standard deviations are the range."""
        return 1.0 if bits == 1 else 6 / (self.step << bits)

    def holds(self, weights, bits):
        """Whether an array has these numbers alone."""
        low, high = self.range(bits)
        inside = low <= weights.min() and weights.max() <= high
        return bool(inside and ((weights & (self.step - 1)) == low % self.step).all())

    def to_planes(self, weights, bits):
        """Bit planes of weights, lowest first, [bits, n_out, fan_in] of booleans."""
        rows = weights.reshape(len(weights), -1)
        if bits == 1:
            return rows[None] > 0
        digits = (rows - np.int16(self.range(bits)[0])) // self.step
        return (digits >> np.arange(bits, dtype=np.int16)[:, None, None] & 1).astype(bool)

    def from_planes(self, planes):
        """Weights [n_out, fan_in] of :meth:`to_planes` [bits, n_out, fan_in]."""
        kind, bits = np.int8 if len(planes) < 8 else np.int16, len(planes)
        weights = np.full(planes.shape[1:], self.range(bits)[0], kind)
        for place, plane in enumerate(planes):
            weights += plane.astype(kind) << kind(place + self.step - 1)
        return weights


CODES = {code.name: code for code in (
    Code("odd", step=2, suffix="", least=1, words="odd numbers"),
    Code("integer", step=1, suffix="i", least=2, words="integers"))}


def code_of(suffix):
    """The name of the code with that suffix."""
    return next(name for name, code in CODES.items() if code.suffix == suffix)
