"""The encoder of sound: a bank of resonators without multipliers, in the golden model.

All numbers are integers and ``>>`` rounds towards minus infinity. Each band ``b`` of :data:`BANDS`
has two registers, ``y1`` and ``y2``, which hold 16 times the output of its filter at the last
sample and at the one before. For each sample ``x``, of 16 bits::

    d  = x - x2                                     x2: the sample before the last, 0 at the start
    y  = (d << 4 >> (k + 1)) + a(y1) - y2 + (y2 >> k)
    y2 = y1, y1 = y

Nothing saturates: the responses of all these filters to one unit, added up without their signs, are
below 1.3, so that no sound brings ``y`` beyond -2**20 .. 2**20 - 1, 21 bits.

``a(y1)`` is ``y1`` times the coefficient of the band, a sum of three shifts with signs: one to the
left (``y1 << 1``) is exact, those to the right round each for itself. Such a filter is a resonator
``2 r cos(w)``, ``r**2 = 1 - 2**-k``, whose gain is about 1 at its centre and 0 at both ends of the
spectrum. Behind each sample its size is added up::

    s += abs(y) >> 4                                24 bits

and behind the last one of a frame of :data:`FRAME` samples, ``s`` gives the spikes of a step and is
0 again; the filters go on. The size is taken as a logarithm with one bit behind the point::

    level(s) = 2 * p + f      p: bits of s, 0 where s is 0; f: the bit behind the leading one

The spikes of a band are the thermometer of its level with :data:`LEVELS`; those of band 0 come
first.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.model.encoders import thermometer

__all__ = ["BANDS", "FRAME", "LEVELS", "Band", "levels_of", "loudness", "sound"]

FRAME = 160  #: samples: 20 ms
POINT = 4  # bits of a filter behind the point
#: Of loudness, one input of a band each.
LEVELS = (18, 22, 25, 28, 31, 34)


@dataclass(frozen=True)
class Band:
    """A resonator.

    centre  in Hz, at 8,000 samples a second
    k       its bandwidth is about 1,300 Hz divided by 2**k
    terms   of its coefficient: (sign, shift) with the shift to the right, -1 one to the left
    """

    centre: int
    k: int
    terms: tuple


#: The filters, low tones first.
BANDS = (
    Band(225, 4, ((1, -1), (-1, 4), (-1, 5))),
    Band(300, 4, ((1, -1), (-1, 3), (1, 7))),
    Band(396, 4, ((1, -1), (-1, 3), (-1, 5))),
    Band(539, 4, ((1, -1), (-1, 2), (1, 6))),
    Band(660, 3, ((1, -1), (-1, 1), (1, 3))),
    Band(816, 3, ((1, 0), (1, 1))),
    Band(1010, 3, ((1, 0), (1, 2), (1, 4))),
    Band(1165, 3, ((1, 0), (1, 3), (1, 6))),
    Band(1374, 3, ((1, 0), (-1, 3), (1, 7))),
    Band(1600, 3, ((1, 1), (1, 4), (1, 6))),
    Band(1850, 2, ((1, 2), (-1, 4), (1, 6))),
    Band(2132, 2, ((-1, 3), (-1, 4), (1, 7))),
    Band(2446, 2, ((-1, 1), (-1, 4), (-1, 5))),
    Band(2791, 2, ((-1, 0), (-1, 7))),
    Band(3168, 2, ((-1, 0), (-1, 1), (1, 3))),
    Band(3550, 2, ((-1, -1), (1, 2), (1, 3))),
)


def loudness(samples):
    """Sums ``s`` of all frames, int64 [N, T // FRAME, bands], of int16 sounds [N, T]."""
    samples = np.asarray(samples)
    if samples.dtype != np.int16 or samples.ndim != 2:
        raise ValueError(f"sounds must be int16 [N, T], not {samples.dtype} {list(samples.shape)}")
    count, length = samples.shape
    frames = length // FRAME
    x = np.concatenate([np.zeros((2, count), np.int32), samples.T])  # two samples of silence before
    y1, y2, s = np.zeros((3, len(BANDS), count), np.int32)
    sums = np.empty((frames, len(BANDS), count), np.int64)
    for t in range(frames * FRAME):
        d = (x[t + 2] - x[t]) << POINT
        for row, band in enumerate(BANDS):
            y = (d >> (band.k + 1)) - y2[row] + (y2[row] >> band.k)
            for sign, shift in band.terms:
                part = y1[row] << 1 if shift < 0 else y1[row] >> shift
                y = y + part if sign > 0 else y - part
            y2[row] = y
        y1, y2 = y2, y1
        s += abs(y1) >> POINT
        if t % FRAME == FRAME - 1:
            sums[t // FRAME] = s
            s[:] = 0
    return sums.transpose(2, 0, 1)


def levels_of(sums):
    """``level(s)`` of sums, int64."""
    sums = np.asarray(sums, np.int64)
    bits = np.zeros_like(sums)
    while (sums >> bits).any():
        bits += sums >> bits > 0
    below = (sums << 1 >> np.maximum(bits - 1, 0)) & 1
    return 2 * bits + below


def sound(samples):
    """Spikes uint8 [N, T // FRAME, bands * levels] of int16 sounds [N, T]."""
    spikes = thermometer(levels_of(loudness(samples)), LEVELS)
    return spikes.reshape(*spikes.shape[:2], len(BANDS) * len(LEVELS))
