"""Folders of sounds by class: WAV files, as :mod:`qsnn.model.audio` encodes them.

The encoder takes 8,000 samples a second of 16 bits. Whatever a file has becomes that, in integers:
the mean of its channels, through a filter that takes what lies above 4 kHz away, at the places of
the new samples. A file that has 8,000 samples of 16 bits in one channel stays what it is.
"""

from collections import Counter
from functools import lru_cache
from math import ceil, gcd

import numpy as np

from qsnn.model.arrays import DataError
from qsnn.model.audio import FRAME
from qsnn.model.folders import class_folders
from qsnn.model.wav import ABOVE, read_wav

__all__ = ["SOUNDS", "read_sound", "read_sounds_by_class"]

SOUNDS = (".wav",)
RATE, BITS = 8000, 16
MAX_SAMPLES = 1 << 28  # of all sounds
NAMED = 4  # kinds of files that are said
CROSSINGS, ROLLOFF, BETA = 24, 0.95, 9.0  # of the filter, a sinc below a Kaiser window
FINE = 20  # bits of its numbers behind the point
PIECE = 1 << 12  # samples that are made at once


def read_sounds_by_class(folder, frames=None):
    """Sounds int16 [N, frames, FRAME], the names of their classes [N], and what is to be said.

    frames: of 20 ms, that each sound has; of the longest one if not given. What is longer is cut
    off, behind what is shorter is silence. Raises :class:`qsnn.model.data.DataError`.
    """
    files, others = class_folders(folder, SOUNDS)
    found, labels = [read_sound(path) for _, path in files], [name for name, _ in files]
    sounds = [samples for samples, _ in found]
    frames = frames or -(-max(map(len, sounds)) // FRAME)
    if frames * FRAME * len(sounds) > MAX_SAMPLES:
        raise DataError(f"{folder}: more than {MAX_SAMPLES:,} samples in all, with silence behind "
                        "the shorter ones: cut the longest sounds, or take fewer")
    values = np.zeros((len(sounds), frames * FRAME), np.int16)
    for row, sound in zip(values, sounds, strict=True):
        row[:len(sound)] = sound[:len(row)]
    said = _said([done for _, done in found])
    return values.reshape(len(sounds), frames, FRAME), labels, said + [
        f"{others} other files are left out"] * bool(others)


def read_sound(path):
    """Samples int16 [N] of a WAV file, 8,000 a second, and what was done to have them, or ''.

    Raises :class:`qsnn.model.data.DataError`, see :func:`qsnn.model.wav.read_wav`.
    """
    wav = read_wav(path)
    numbers, places = wav.numbers, wav.bits - BITS
    whole = wav.channels << max(0, places)  # what a unit of 16 bits is
    numbers = numbers << max(0, -places)
    done = [f"{'floats' if wav.floats else f'{wav.bits} bits'} become {BITS}"
            + " bits" * wav.floats] if places else []
    if wav.peak > ABOVE:
        done.append("what is beyond -1 .. 1 is cut off, divide by the peak")
    if wav.channels > 1:
        done.append(f"mean of {wav.channels} channels")
    if wav.rate != RATE:
        numbers, whole = _resampled(numbers, wav.rate), whole << FINE
        done.append(f"{wav.rate:,} samples a second become {RATE:,}")
    high = (1 << (BITS - 1)) - 1
    samples = np.clip((2 * numbers + whole) // (2 * whole), -high - 1, high)
    return samples.astype(np.int16), ", ".join(done)


def _said(done):
    """A line for each kind of files that were not as the encoder has them."""
    counts = Counter(filter(None, done)).most_common()
    said = [f"{count:,} of {len(done):,} sounds: {what}" for what, count in counts[:NAMED]]
    rest = sum(count for _, count in counts[NAMED:])
    return said + [f"{rest:,} sounds of {len(counts) - NAMED} more kinds likewise"] * bool(rest)


@lru_cache(maxsize=8)
def _filters(rate):
    """int64 [phases, taps], 2**FINE times a low-pass filter at each place between two samples.

    New sample ``n`` stands at ``n * down / up`` old ones, its phase is ``n * down % up``; the first
    of its taps is ``taps // 2 - 1`` samples before. Each row adds up to 2**FINE: silence and
    constants stay.
    """
    up = RATE // gcd(RATE, rate)
    band = ROLLOFF * min(1, RATE / rate)
    half = ceil(CROSSINGS / band)
    at = np.arange(1 - half, half + 1) - np.arange(up)[:, None] / up
    window = np.i0(BETA * np.sqrt(np.clip(1 - (at / half) ** 2, 0, 1)))
    rows = np.sinc(band * at) * window
    rows = np.rint(rows * ((1 << FINE) / rows.sum(axis=1, keepdims=True))).astype(np.int64)
    rows[:, half - 1] += (1 << FINE) - rows.sum(axis=1)
    return rows


def _resampled(numbers, rate):
    """Numbers at 8,000 samples a second, 2**FINE times as large."""
    rows = _filters(rate)
    (up, taps), down = rows.shape, rate // gcd(RATE, rate)
    count = -(-len(numbers) * up // down)
    padded = np.pad(numbers, (taps // 2 - 1, taps // 2 + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    found = np.empty(count, np.int64)
    for start in range(0, count, PIECE):
        places = np.arange(start, min(start + PIECE, count)) * down
        found[start:start + PIECE] = (windows[places // up] * rows[places % up]).sum(axis=1)
    return found
