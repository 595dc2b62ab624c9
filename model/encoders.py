"""Encoders in the golden model: numbers become spikes, exactly as the gateware does it.

All numbers are integers and ``>>`` rounds towards minus infinity. An encoder takes one value after
the other, keeps a few registers, and needs no multiplier: it adds, shifts and compares. Here it
works on many streams at once. What a function says about one stream is what the gateware does.

A **thermometer** of a number ``n`` with the levels ``l0 < l1 < ...`` are the spikes
``n >= l0, n >= l1, ...``, in this order.
"""

import numpy as np

__all__ = ["Rhythm", "Usual", "crossings", "events", "pairs", "thermometer"]


def thermometer(values, levels):
    """Spikes uint8 [..., len(levels)] of integers [...]: spike i is ``value >= levels[i]``."""
    values = _integers("values", values)
    return (values[..., None] >= _levels(levels)).astype(np.uint8)


def pairs(samples):
    """Sums of two samples each, [N, T] -> int64 [N, T // 2]: half the rate, one bit more.

    One register, ``first``. At every second sample the sum is ``first + sample``.
    """
    samples = _integers("samples", samples)
    even = samples.shape[1] // 2 * 2
    return samples[:, 0:even:2] + samples[:, 1:even:2]


def crossings(samples, *, shift, levels, width=16, state=None):
    """Level crossings of a signal: integers [N, T] -> spikes uint8 [N, T, 2 * len(levels)].

    One register, ``p``, as wide as a sample. At the first sample ``x``, and at one that comes with
    the command to begin again, ``p = x`` first, so that it gives no spike. For each sample::

        d  = x - p                            signed, one bit wider than a sample
        n  = abs(d) >> shift                  whole levels between, 0 up
        p += n << shift   where d >= 0
        p -= n << shift   where d <  0        so p never passes x, and abs(x - p) < 2**shift

    The first half of the spikes is the thermometer of ``n`` where ``d >= 0``, else 0; the second
    half is the thermometer of ``n`` where ``d < 0``, else 0. Levels begin at 1 or above.

    samples: signed, of ``width`` bits. state: ``p`` of each stream [N], None where each begins;
    the array is changed, so that what follows can be encoded with it.
    """
    samples, levels = _integers("samples", samples), _levels(levels)
    if levels[0] < 1:
        raise ValueError(f"levels begin at 1 or above, not at {levels[0]}")
    high = 1 << (width - 1)
    if samples.size and not -high <= samples.min() <= samples.max() < high:
        raise ValueError(f"samples must have {width} bits, {-high} .. {high - 1}")
    count, length = samples.shape
    spikes = np.zeros((count, length, 2, len(levels)), np.uint8)
    if not length:
        return spikes.reshape(count, 0, 2 * len(levels))
    p = samples[:, 0].copy() if state is None else state
    for t in range(length):
        d = samples[:, t] - p
        n, up = abs(d) >> shift, d >= 0
        reached = n[:, None] >= levels
        spikes[:, t, 0] = reached & up[:, None]
        spikes[:, t, 1] = reached & ~up[:, None]
        p += np.where(up, n, -n) << shift
    return spikes.reshape(count, length, -1)


class Rhythm:
    """Is a heart beat early or late? Intervals between beats, against the mean of those before.

    One register, ``a``: ``2**shift`` times the mean interval. For each interval ``r`` between a
    beat and the one before, in ticks of a clock::

        r = min(r, longest)                   longest is 2**bits - 1
        r = a >> shift    where r is 0        unknown: there is no beat before
        early = (r << (shift + 3)) < m * a    for m in EARLY: r below 7/8, 6/8, 5/8 of the mean
        late  = (r << (shift + 3)) >= m * a   for m in LATE: from 9/8, 10/8, 12/8 of it on
        a += r - (a >> shift)                 behind the spikes

    ``m * a`` is the sum of two shifted ``a``. The spikes are early, then late: uint8 [6]. ``a``
    has ``bits + shift`` bits and cannot overflow. At the start of a stream ``a`` is
    ``start << shift``; where its first interval is known, ``r << shift``.
    """

    EARLY = (7, 6, 5)  # 8 - 1, 4 + 2, 4 + 1
    LATE = (9, 10, 12)  # 8 + 1, 8 + 2, 8 + 4

    def __init__(self, *, bits=10, shift=3, start=288):
        self.longest, self.shift, self.start = (1 << bits) - 1, shift, start
        self.mean = None

    def __call__(self, interval):
        interval = min(int(interval), self.longest)
        if interval < 0:
            raise ValueError(f"an interval is 0 or more, not {interval}")
        if self.mean is None:
            self.mean = (interval or self.start) << self.shift
        interval = interval or self.mean >> self.shift
        scaled = interval << (self.shift + 3)
        spikes = [scaled < m * self.mean for m in self.EARLY]
        spikes += [scaled >= m * self.mean for m in self.LATE]
        self.mean += interval - (self.mean >> self.shift)
        return np.array(spikes, np.uint8)


class Usual:
    """What is unlike before? Pieces of a signal against the mean of the pieces before them.

    A piece is a number of samples around an event, such as a heart beat. A memory ``m`` has a word
    for each sample of a piece: ``2**shift`` times its mean. For sample ``t`` of a piece::

        y = x - x0                            x0: the first sample of the piece
        m[t] = y << shift                     where it is the first piece of the stream
        e = y - (m[t] >> shift)
        m[t] += y - (m[t] >> shift)           behind the spikes

    The spikes are the thermometer of ``e``, then that of ``-e``. With samples of ``b`` bits, a word
    has ``b + 1 + shift`` bits, signed, and cannot overflow; ``e`` has ``b + 2``.
    """

    def __init__(self, *, levels, shift=4):
        self.levels, self.shift = _levels(levels), shift
        self.memory = None

    def __call__(self, pieces):
        """Pieces of one stream, in their order, [N, T] -> spikes uint8 [N, T, 2 * len(levels)]."""
        pieces = _integers("pieces", pieces)
        spikes = np.empty((*pieces.shape, 2 * len(self.levels)), np.uint8)
        for number, piece in enumerate(pieces):
            y = piece - piece[0]
            if self.memory is None:
                self.memory = y << self.shift
            e = y - (self.memory >> self.shift)
            spikes[number, :, :len(self.levels)] = thermometer(e, self.levels)
            spikes[number, :, len(self.levels):] = thermometer(-e, self.levels)
            self.memory += e
        return spikes


def events(x, y, polarity, time, *, height, width, ticks, steps):
    """Events of one recording as spikes uint8 [steps, height * width * 2].

    ``x``, ``y``, ``polarity`` (0 or 1) and ``time`` are arrays of one number an event. Step ``s``
    has the events with ``s * ticks <= time < (s + 1) * ticks``; those after the last step are not
    seen. Input ``(y * width + x) * 2 + polarity`` spikes once, however many events it had: a bit
    for every input is set by its events, and read and cleared when the step ends.
    """
    x, y, polarity, time = (_integers("events", part) for part in (x, y, polarity, time))
    for name, part, high in (("x", x, width), ("y", y, height), ("polarity", polarity, 2)):
        if part.size and not 0 <= part.min() <= part.max() < high:
            raise ValueError(f"{name} of an event must be 0 .. {high - 1}")
    spikes = np.zeros((steps, height * width * 2), np.uint8)
    step = time // ticks
    seen = (step >= 0) & (step < steps)
    spikes[step[seen], ((y * width + x) * 2 + polarity)[seen]] = 1
    return spikes


def _integers(name, array):
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, not {array.dtype}")
    return array.astype(np.int64)


def _levels(levels):
    levels = np.asarray(levels)
    if levels.ndim != 1 or not levels.size or levels.dtype.kind not in "iu" or (
            np.diff(levels) <= 0).any():
        raise ValueError(f"levels must be integers that rise, not {levels.tolist()}")
    return levels.astype(np.int64)
