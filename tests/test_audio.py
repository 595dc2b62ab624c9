"""The bank of resonators against loops as its definition is, and what its bands answer."""

import numpy as np
import pytest

from qsnn.model.audio import BANDS, FRAME, LEVELS, levels_of, loudness, sound


def sums_of_one(samples):
    """Of one sound, in Python's integers."""
    frames = [[0] * len(BANDS) for _ in range(len(samples) // FRAME)]
    for row, band in enumerate(BANDS):
        y1 = y2 = 0
        before = [0, 0]
        for t, x in enumerate(samples[:len(frames) * FRAME]):
            d = x - before[0]
            before = [before[1], x]
            a = sum(sign * (y1 << 1 if shift == -1 else y1 >> shift)
                    for sign, shift in band.terms)
            y = ((d << 4) >> (band.k + 1)) + a - y2 + (y2 >> band.k)
            y1, y2 = y, y1
            assert -1 << 20 <= y < 1 << 20
            frames[t // FRAME][row] += abs(y1) >> 4
    return frames


@pytest.mark.parametrize("kind", ["noise", "loud", "silence", "short"])
def test_loudness(kind):
    rng = np.random.default_rng(0)
    length = {"short": FRAME - 1}.get(kind, 2 * FRAME + 7)
    samples = rng.integers(-3000, 3001, size=(3, length))
    if kind == "loud":
        samples = rng.choice([-32768, 32767], size=(3, length))
    samples = (samples * (kind != "silence")).astype(np.int16)
    sums = loudness(samples)
    assert sums.shape == (3, length // FRAME, len(BANDS))
    for found, one in zip(sums.tolist(), samples.tolist(), strict=True):
        assert found == sums_of_one(one)


@pytest.mark.parametrize("band", BANDS, ids=lambda band: band.centre)
def test_nothing_saturates(band):
    """The worst sound for a band, all of whose samples add up, leaves it within 21 bits."""
    a = sum(sign * 2.0 ** -shift for sign, shift in band.terms)
    response, y1, y2 = [], 0.0, 0.0
    for t in range(10 * FRAME):
        d = {0: 1.0, 2: -1.0}.get(t, 0.0)
        y1, y2 = d * 2.0 ** -(band.k + 1) + a * y1 - (1 - 2.0 ** -band.k) * y2, y1
        response.append(y1)
    assert sum(map(abs, response)) < 1.3
    worst = np.where(np.array(response[::-1]) >= 0, 32767, -32768)
    sums_of_one(worst.tolist())  # it checks every y


def test_centres():
    """A tone at the centre of a band is loudest there, at about its own size."""
    times = np.arange(10 * FRAME)
    for row, band in enumerate(BANDS):
        tone = np.round(8000 * np.sin(2 * np.pi * band.centre / 8000 * times)).astype(np.int16)
        last = loudness(tone[None])[0, -1]
        assert last.argmax() == row
        assert 0.8 < last[row] / (8000 * 2 / np.pi * FRAME) < 1.25
        assert levels_of(last)[row] >= 2 * 19


def test_levels():
    assert levels_of([0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 1 << 25, 3 << 24]).tolist() == [
        0, 2, 4, 5, 6, 6, 7, 7, 8, 8, 9, 52, 53]


def test_sound():
    samples = np.random.default_rng(0).integers(-500, 501, (2, 3 * FRAME)).astype(np.int16)
    spikes = sound(samples)
    levels = levels_of(loudness(samples))
    assert spikes.dtype == np.uint8 and spikes.shape == (2, 3, len(BANDS) * len(LEVELS))
    for row in range(len(BANDS)):
        for place, level in enumerate(LEVELS):
            np.testing.assert_array_equal(spikes[:, :, row * len(LEVELS) + place],
                                          levels[:, :, row] >= level)
    with pytest.raises(ValueError, match=r"^sounds must be int16 \[N, T\], not int64 \[3\]$"):
        sound(np.arange(3))
