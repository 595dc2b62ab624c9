"""Floats as integers: weights, leaks, thresholds. The arithmetic is :mod:`qsnn.model.golden`'s.

A neuron of channel c sums ``S = sum_i w_i x_i`` with integers ``w = weights / scale``. With
``gain`` the neuron's own times the scale times what an input counts, and ``f`` all constants of a
step divided by that, its membrane is ``gain * (acc + f)``, in units of a synapse; what is left is
exact: ``v > V`` is ``acc >= floor(V / gain - f) + 1``, ``v >= V`` is ``acc >= ceil(V / gain - f)``.
"""

import numpy as np

from qsnn.model.codes import CODES
from qsnn.model.layers import MAX_FRAC, MAX_SHIFT, WEIGHT_BITS

__all__ = ["REACHES", "codes_of", "current_step", "leaks", "numbers_of", "steps_of", "thresholds"]

REACHES = (1, 2, 4)  # ranges of a current, in thresholds

SCALES = 24  # first guesses of a channel's scale
ROUNDS = 4  # of least squares
EXACT = 1e-6  # part of a scale that float weights may be off their integers


def odd_numbers(weights, bits):
    """Integers and scales: odd numbers [n, ...] within ``bits``, scales [n], of least squares.

    Weights that are all -s or +s of a channel have 1 bit, and lose nothing.
    """
    flat = weights.reshape(len(weights), -1)
    high, largest = (1 << bits) - 1, np.maximum(abs(flat).max(axis=1), 1e-30)
    best, scales, numbers = np.full(len(flat), np.inf), largest, np.ones(flat.shape, np.int16)
    for guess in range(SCALES):
        scale = largest / high * (1 - guess / SCALES) if bits > 1 else abs(flat).mean(axis=1)
        scale = np.maximum(scale, 1e-30)
        for _ in range(ROUNDS):
            w = np.clip(2 * np.floor(flat / (2 * scale[:, None])) + 1, -high, high)
            scale = np.maximum((flat * w).sum(axis=1) / (w * w).sum(axis=1), 1e-30)
        error = ((flat - scale[:, None] * w) ** 2).sum(axis=1)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, scale, scales)
        numbers[better] = w[better]
        if bits == 1:
            break
    return numbers.reshape(weights.shape), scales


def is_binary(weights):
    """Whether each channel has weights -s and +s alone."""
    flat = abs(weights.reshape(len(weights), -1))
    mean = flat.mean(axis=1, keepdims=True)
    return bool((mean > 0).all() and (abs(flat - mean) <= EXACT * mean).all())


def whole_numbers(weights, bits):
    """Integers and scales, if each channel has multiples of one number within ``bits``; or None.

    Such are the weights of a quantized layer, and they lose nothing. weights: [n, ...]
    """
    found = []
    for row in weights.reshape(len(weights), -1):
        found.append(_multiples(row, bits))
        if found[-1] is None:
            return None
    numbers, scales = zip(*found, strict=True)
    return np.array(numbers, np.int16).reshape(weights.shape), np.array(scales)


def _multiples(row, bits):
    """The least integers that a row is multiples of, and what of; or None."""
    code, top = CODES["integer"], abs(row).max()
    if not top:
        return np.zeros(len(row)), 1.0
    for count in range(1, 1 - code.range(bits)[0]):
        numbers = np.rint(row * (count / top)).astype(np.int64)
        if code.holds(numbers, bits) and abs(row - numbers * (top / count)).max() <= EXACT * top:
            return numbers, row @ numbers / (numbers @ numbers)
    return None


def codes_of(weights, bits):
    """(bits, code) to choose from for weights [n, ...], up to ``bits``.

    Where all of a channel are -s and +s there is 1 bit too; where they are integers and no odd
    numbers, the fewest bits that hold these.
    """
    if bits > 1 and is_binary(weights):
        return [(1, "odd"), (bits, "odd")]
    for width in WEIGHT_BITS[1:]:
        if width <= bits and whole_numbers(weights, width):
            return [(bits, "odd") if _are_odd(weights, bits) else (width, "integer")]
    return [(bits, "odd")]


def _are_odd(weights, bits):
    numbers, scales = (found.reshape(len(weights), -1) for found in odd_numbers(weights, bits))
    flat = weights.reshape(len(weights), -1)
    return bool((abs(flat - scales * numbers) <= EXACT * abs(flat).max(axis=1)[:, None]).all())


def numbers_of(weights, bits, code):
    """Integers and scales of weights [n, ...] in a code of :func:`codes_of`."""
    return (odd_numbers if code == "odd" else whole_numbers)(weights, bits)


def leaks(wanted):
    """Leaks (m, k) to choose from, the simplest first: powers of two, then up to six bits.

    The first is the nearest of none, 1/2, 3/4, 7/8 ..; the last the nearest of all.
    """
    simple = [(1, 0)] + [((1 << k) - 1, k) for k in range(1, 7)]
    found = [min(simple, key=lambda leak: abs(leak[0] / 2 ** leak[1] - wanted))]
    for k in range(1, 9):
        m = min(round(wanted * 2 ** k), 2 ** k)
        if m % 2 and m < 2 ** k and _nearer((m, k), found[-1], wanted):
            found.append((m, k))
    return found


def _nearer(a, b, wanted):
    distance = [abs(m / 2 ** k - wanted) for m, k in (a, b)]
    return distance[0] < 0.5 * distance[1]


def steps_of(gain, threshold, membranes, signed, leak, wider):
    """(shift, frac) of membranes whose range is so many powers of two of the typical threshold."""
    levels = 1 << (membranes - signed)
    typical = np.median(threshold / gain) / levels
    middle = round(float(np.log2(max(typical, 2.0 ** -20))))
    low = max(leak[1], 1)
    found = []
    for step in wider:
        step = min(max(middle + step, low - MAX_FRAC), MAX_SHIFT)
        pair = max(step, low), max(low - step, 0)
        if pair not in found:
            found.append(pair)
    return found


def current_step(gain, threshold, bits, reach, k, shift, frac):
    """(shift, frac) of the membranes and shift of a current whose range is so many thresholds.

    Units are made finer until they hold its leak, as far as they can be.
    """
    typical = np.median(threshold / gain) * reach / (1 << bits - 1)
    step = min(round(float(np.log2(max(typical, 2.0 ** -20)))) + frac, MAX_SHIFT)
    finer = max(0, min(k - step, MAX_FRAC - frac, MAX_SHIFT - shift))
    return shift + finer, frac + finer, max(step + finer, k)


def thresholds(gain, constant, threshold, drop, inclusive, shift, frac):
    """theta, beta and beta_fired [channels] as whole floats, not yet within their ranges.

    constant: f. drop: what a spike subtracts, or None, which gives None.
    """
    unit = 2.0 ** frac
    level = unit * (threshold / gain - constant)
    theta = np.ceil(level) if inclusive else np.floor(level) + 1
    half = 2.0 ** (shift - 1)
    beta = np.floor(unit * constant + half)
    fired = None if drop is None else np.floor(unit * (constant - drop / gain) + half)
    return theta, beta, fired
