"""Encoders against loops that are written as their definitions are, one stream after the other."""

import numpy as np
import pytest

from qsnn.model.encoders import Rhythm, Usual, crossings, events, pairs, thermometer


def crossings_of_one(samples, shift, levels):
    p, steps = samples[0], []
    for x in samples:
        d = x - p
        n = abs(d) >> shift
        up, down = (n, 0) if d >= 0 else (0, n)
        p += (n << shift) * (1 if d >= 0 else -1)
        steps.append([int(up >= level) for level in levels]
                     + [int(down >= level) for level in levels])
    return steps, p


@pytest.mark.parametrize("shift, levels", [(0, (1,)), (3, (1, 2, 4, 8, 16)), (5, (1, 3)),
                                           (15, (1, 2))])
def test_crossings(shift, levels):
    rng = np.random.default_rng(shift)
    walks = np.clip(rng.integers(-40, 41, size=(20, 50)).cumsum(axis=1), -32768, 32767)
    jumps = rng.choice([-32768, -1, 0, 1, 32767], size=(20, 50))
    samples = np.concatenate([walks, jumps])
    spikes = crossings(samples, shift=shift, levels=levels)
    assert spikes.dtype == np.uint8 and spikes.shape == (40, 50, 2 * len(levels))
    for found, stream in zip(spikes, samples.tolist(), strict=True):
        assert found.tolist() == crossings_of_one(stream, shift, levels)[0]
    assert not spikes[:, 0].any()  # p begins at the first sample


def test_crossings_follow():
    """p stays within a level of the sample, and what follows goes on from it."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 2048, size=(10, 60))
    whole = crossings(samples, shift=3, levels=(1, 2, 4))
    p = samples[:, 0].copy()
    parts = []
    for first, end in ((0, 1), (1, 20), (20, 20), (20, 60)):
        parts.append(crossings(samples[:, first:end], shift=3, levels=(1, 2, 4), state=p))
        assert (abs(samples[:, max(end, 1) - 1] - p) < 8).all()
        for stream, at in zip(samples.tolist(), p.tolist(), strict=True):
            assert end == 0 or at == crossings_of_one(stream[:end], 3, (1,))[1]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("samples, options, sentence", [
    ([[0.0]], {}, "samples must be integers, not float64"),
    ([[32768]], {}, "samples must have 16 bits, -32768 .. 32767"),
    ([[-5]], {"width": 3}, "samples must have 3 bits, -4 .. 3"),
    ([[0]], {"levels": (0, 1)}, "levels begin at 1 or above, not at 0"),
    ([[0]], {"levels": (2, 1)}, r"levels must be integers that rise, not \[2, 1\]"),
    ([[0]], {"levels": ()}, r"levels must be integers that rise, not \[\]"),
])
def test_wrong_crossings(samples, options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        crossings(samples, **dict(shift=1, levels=(1, 2)) | options)


def test_pairs():
    samples = np.array([[1, 2, 3, 4, 5], [32767, 32767, -32768, -32768, 0]], np.int16)
    assert pairs(samples).tolist() == [[3, 7], [65534, -65536]]


def test_thermometer():
    assert thermometer([[4, 5], [6, 9]], (5, 6, 9)).tolist() == [
        [[0, 0, 0], [1, 0, 0]], [[1, 1, 0], [1, 1, 1]]]
    assert thermometer(np.uint8(255), (0, 255, 256)).tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="^values must be integers, not float64$"):
        thermometer([0.5], (1,))


def rhythm_of_one(intervals):
    a, spikes = None, []
    for r in intervals:
        r = min(r, 1023)
        if a is None:
            a = 8 * (r or 288)
        r = r or a // 8
        # ratios as fractions of the mean, multiplied out
        spikes.append([int(64 * r < m * a) for m in (7, 6, 5)]
                      + [int(64 * r >= m * a) for m in (9, 10, 12)])
        a += r - a // 8
    return spikes, a


def test_rhythm():
    rng = np.random.default_rng(0)
    for intervals in (rng.integers(150, 500, 200), rng.integers(0, 3000, 200),
                      rng.choice([0, 1, 1023, 65535], 200), [0] * 9, [1023] * 99):
        rhythm = Rhythm()
        expected, a = rhythm_of_one([int(r) for r in intervals])
        assert [rhythm(r).tolist() for r in intervals] == expected
        assert rhythm.mean == a < 1 << 13


def test_rhythm_of_even_beats():
    """Beats that come as ever are silent; one that comes at half the time has all three spikes."""
    rhythm = Rhythm()
    assert not any(rhythm(300).any() for _ in range(50))
    assert rhythm(150).tolist() == [1, 1, 1, 0, 0, 0]
    assert rhythm(450).tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="^an interval is 0 or more, not -1$"):
        rhythm(-1)


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_usual(shift):
    rng = np.random.default_rng(shift)
    levels = (1, 20, 300)
    shapes = rng.integers(-400, 401, size=7)
    pieces = np.concatenate([shapes + rng.integers(-30, 31, size=(20, 7)),
                             rng.choice([-2048, 0, 2047], size=(20, 7))])
    usual, memory = Usual(levels=levels, shift=shift), None
    spikes = usual(pieces)
    assert spikes.dtype == np.uint8 and not spikes[0].any()
    for piece, found in zip(pieces.tolist(), spikes, strict=True):
        y = [x - piece[0] for x in piece]
        memory = memory or [value << shift for value in y]
        for t, value in enumerate(y):
            e = value - (memory[t] >> shift)
            assert found[t].tolist() == [int(e >= level) for level in levels] + [
                int(-e >= level) for level in levels]
            memory[t] += e
            assert -1 << 12 + shift <= memory[t] < 1 << 12 + shift  # samples have 12 bits
    assert usual.memory.tolist() == memory
    again = Usual(levels=levels, shift=shift)
    parts = [again(pieces[:0]), again(pieces[:9]), again(pieces[9:])]
    np.testing.assert_array_equal(np.concatenate(parts), spikes)


def test_events():
    rng = np.random.default_rng(0)
    x, y, polarity = (rng.integers(0, high, 300) for high in (5, 4, 2))
    time = np.sort(rng.integers(0, 700, 300))
    spikes = events(x, y, polarity, time, height=4, width=5, ticks=100, steps=6)
    expected = np.zeros((6, 40), int)
    for event in zip(x.tolist(), y.tolist(), polarity.tolist(), time.tolist(), strict=True):
        if event[3] // 100 < 6:
            expected[event[3] // 100, (event[1] * 5 + event[0]) * 2 + event[2]] = 1
    assert spikes.tolist() == expected.tolist() and time.max() >= 600
    nothing = np.zeros(0, np.uint8)
    assert not events(*[nothing] * 4, height=4, width=5, ticks=1, steps=2).any()
    with pytest.raises(ValueError, match="^y of an event must be 0 .. 3$"):
        events([0], [4], [0], [0], height=4, width=5, ticks=1, steps=2)
