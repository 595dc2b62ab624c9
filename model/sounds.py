"""Folders of sounds by class: WAV files, as :mod:`qsnn.model.audio` encodes them."""

import wave

import numpy as np

from qsnn.model.arrays import DataError
from qsnn.model.audio import FRAME
from qsnn.model.folders import class_folders

__all__ = ["SOUNDS", "read_sounds_by_class"]

SOUNDS = (".wav",)
RATE, BITS = 8000, 16
MAX_SECONDS = 60
MAX_SAMPLES = 1 << 28  # of all sounds


def read_sounds_by_class(folder, frames=None):
    """Sounds int16 [N, frames, FRAME], the names of their classes [N], and what is to be said.

    frames: of 20 ms, that each sound has; of the longest one if not given. What is longer is cut
    off, behind what is shorter is silence.
    """
    files, others = class_folders(folder, SOUNDS)
    sounds, labels = [_sound(path) for _, path in files], [name for name, _ in files]
    frames = frames or -(-max(map(len, sounds)) // FRAME)
    if frames * FRAME * len(sounds) > MAX_SAMPLES:
        raise DataError(f"{folder}: more than {MAX_SAMPLES:,} samples in all, with silence behind "
                        "the shorter ones: cut the longest sounds, or take fewer")
    values = np.zeros((len(sounds), frames * FRAME), np.int16)
    for row, sound in zip(values, sounds, strict=True):
        row[:len(sound)] = sound[:len(row)]
    return values.reshape(len(sounds), frames, FRAME), labels, [
        f"{others} other files are left out"] * bool(others)


def _sound(path):
    try:
        with wave.open(str(path)) as file:
            form = file.getframerate(), 8 * file.getsampwidth(), file.getnchannels()
            if form != (RATE, BITS, 1):
                raise DataError("{}: {:,} samples a second of {} bits, {} channels; 8,000 of 16 "
                                "bits in one are needed: sox {} -r 8000 -b 16 -c 1 new.wav".format(
                                    path, *form, path.name))
            count = file.getnframes()
            if not 0 < count <= MAX_SECONDS * RATE:
                raise DataError(f"{path}: {count / RATE:g} seconds, more than 0 and at most "
                                f"{MAX_SECONDS} are needed")
            return np.frombuffer(file.readframes(count), "<i2")
    except (OSError, EOFError, wave.Error, ValueError) as error:
        raise DataError(f"{path}: not a WAV file ({str(error) or 'it ends too early'})") from None
