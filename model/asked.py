"""Recordings that a network for a stream is asked about, in files.

=====================  =========================================================================
``.wav``               one sound, for a network of sounds: cut, or with silence behind it
``.npy``               ``[T, n]`` or ``[N, T, n]``: steps of channels; of one channel ``[T]`` too
``.csv``, ...          a recording, a row a step with its channels; or a row a recording, with
                       all steps, and perhaps its label
=====================  =========================================================================

Values go the way of the network's training set, :mod:`qsnn.model.meaning`; a network without one
takes spikes, 0 and 1.
"""

from pathlib import Path

import numpy as np

from qsnn.model.arrays import ArrayError, DataError, read_npy
from qsnn.model.audio import FRAME
from qsnn.model.files import said
from qsnn.model.own import labels_of
from qsnn.model.pictures import BEYOND
from qsnn.model.sounds import SOUNDS, read_sound
from qsnn.model.tables import SUFFIXES, ordered, read_table

__all__ = ["of_shape", "read_recordings"]


def read_recordings(path, n_in, meaning=None, say=print):
    """Spikes uint8 [N, T, n_in] of a file, labels int64 [N], or None where nobody says them, and
    what they were made of, ``[N, *shape]`` as in the training set.

    n_in: inputs of a step. say: called with a sentence for each thing that was converted. Raises
    :class:`qsnn.model.data.DataError`.
    """
    path = Path(path)
    if path.suffix.lower() in SOUNDS or meaning is not None and meaning.encoder:
        values, labels = _sound(path, meaning, say), None
    elif path.suffix.lower() in SUFFIXES:
        values, labels = _table(path, n_in, meaning)
    elif path.suffix.lower() == ".npy":
        values, labels = _array(path, n_in, meaning), None
    else:
        raise DataError(f"{path}: a recording is a .npy, a .csv or, of a network of sounds, a .wav")
    if meaning is None or not (meaning.low or meaning.encoder):
        if not ((values == 0) | (values == 1)).all():
            raise DataError(f"{path}: spikes, 0 and 1, are needed, as in the network's training "
                            "set")
    elif meaning.low:
        if not np.isfinite(values).all():
            raise DataError(f"{path}: finite numbers are needed, as in the network's training set")
        beyond = ((values < np.array(meaning.low)) | (values > np.array(meaning.high))).mean()
        if beyond > BEYOND:
            say(f"{path}: {beyond:.0%} of the values lie beyond those of the network's training "
                "set: are they scaled as those were?")
    spikes = values.astype(np.uint8) if meaning is None else meaning.samples(values)
    return spikes.reshape(len(values), -1, n_in), labels, values


def of_shape(recordings, shape):
    """An array [N, T, n] of recordings, or of one; shape: (T, n). Raises
    :class:`qsnn.model.data.DataError`.
    """
    try:
        found = np.asarray(recordings)
    except ValueError:
        raise DataError("recordings of different lengths: cut or pad their steps") from None
    found = _laid_out("recordings", found, *shape)
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise DataError(f"recordings of {found.dtype}: finite numbers are needed at all steps")
    return found


def _sound(path, meaning, say):
    if meaning is None or not meaning.encoder or path.suffix.lower() not in SOUNDS:
        raise DataError(f"{path}: " + ("the network takes sounds: give a .wav" if meaning
                                       and meaning.encoder else "a sound, and the network takes "
                                       "none: give a .npy or a .csv"))
    samples, done = read_sound(path)
    length = meaning.shape[0] * FRAME
    if len(samples) != length:
        done += ", " * bool(done) + f"{len(samples) / 8000:.2f} s " + (
            "cut to" if len(samples) > length else "with silence behind them to") \
            + f" {length / 8000:.2f} s"
    if done:
        say(f"{path}: {done}")
    return np.pad(samples[:length], (0, max(0, length - len(samples)))).reshape(1, -1, FRAME)


def _table(path, n_in, meaning):
    steps, channels = meaning.shape if meaning else (0, n_in)
    columns = (steps * channels, channels) if meaning else (channels,)
    table = read_table(path, meaning.label if meaning else "", columns=columns)
    values = table.values
    if values.shape[1] == steps * channels:
        values = ordered(path, table, meaning.columns if meaning else ()).values
        labels = labels_of(path, table, meaning) if table.labels is not None else None
        return values.reshape(-1, steps, channels), labels
    return _laid_out(path, values, *_shape(n_in, meaning)), None


def _array(path, n_in, meaning):
    try:
        found = read_npy(path)
    except OSError as error:
        raise DataError(said(error)) from None
    except ArrayError as error:
        raise DataError(f"{path}: {error}") from None
    if found.dtype.kind not in "biuf":
        raise DataError(f"{path}: numbers are needed, not {found.dtype}")
    return _laid_out(path, found, *_shape(n_in, meaning))


def _shape(n_in, meaning):
    """Steps of a recording, None for any, and its channels."""
    return meaning.shape if meaning else (None, n_in)


def _laid_out(path, values, steps, channels):
    """Values as [N, T, n]."""
    if values.ndim == 1 and channels == 1:
        values = values[:, None]
    found = values[None] if values.ndim == 2 else values
    if found.ndim != 3 or found.shape[2] != channels or not found.size or (
            steps and found.shape[1] != steps):
        raise DataError(f"{path}: {list(values.shape)}, and [N, {steps or 'T'}, {channels}] is "
                        "needed, N recordings of "
                        + (f"{steps} steps" if steps else "T steps") + f" with {channels} "
                        "channels: cut or pad the steps, swap axes that are swapped")
    return found
