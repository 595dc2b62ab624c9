"""Recordings of somebody's own stream, to be watched."""

from dataclasses import replace

import numpy as np

from qsnn.model.audio import FRAME
from qsnn.model.data import DataError, find
from qsnn.sim.player import Recording

__all__ = ["STEP_RATE", "own_recording", "with_names"]

STEP_RATE = 20.0  # steps a second, of what has no clock of its own
SOUND_RATE = 50.0  # ... and of a sound
DRAWN = 8  # samples of a sound's step that are drawn
NO_UNIT = "", 0, 0  # of a sample, which is any number
SHARE = 1.25  # from the start of a recording to that of the next, in its length


def own_recording(dataset, description):
    """The test part of an own set as a :class:`~qsnn.sim.player.Recording`, for its network.

    dataset: a file or folder of streams. Raises :class:`qsnn.model.data.DataError`.
    """
    meaning = description.meaning
    found = find(dataset, meaning=meaning)
    if not found.stream:
        raise DataError(f"{dataset}: images and rows are no stream: run qsnn infer or qsnn "
                        "simulate")
    samples, labels = found.load("test")
    values = found.raw("test")
    encoded = samples.reshape(len(samples), found.shape[0], found.inputs)
    if found.meaning.encoder:
        drawn = values.reshape(len(values), -1)[:, ::FRAME // DRAWN].astype(np.int64)
        rate, inputs = DRAWN * SOUND_RATE, (("bands", found.inputs),)
    else:
        drawn = _drawn(found.meaning, values, encoded)
        rate = STEP_RATE
        each = max(1, len(found.meaning.levels))
        inputs = tuple((f"channel {channel}", each) for channel in range(values.shape[2]))
    length = drawn.shape[1]
    return Recording(
        name=str(dataset), samples=drawn, labels=labels, classes=found.classes, encoded=encoded,
        intervals=np.full(len(labels), round(SHARE * length)), inputs=inputs, rate=rate, ticks=rate,
        seen=slice(0, length), peak=length // 2, unit=NO_UNIT, title="Own data", what="recording",
        judge="label", encoded_before=True)


def _drawn(meaning, values, encoded):
    """A number a step: the mean of all channels, in 255 parts of their scales."""
    if not meaning.low:
        return np.rint(255 * encoded.mean(axis=2)).astype(np.int64)
    return np.rint(meaning.pixels(values).mean(axis=2)).astype(np.int64)


def with_names(recording, description, path):
    """A recording whose classes are in the order of a network of an own set, which has names.

    Raises :class:`qsnn.model.data.DataError` where these are others.
    """
    if description.meaning is None:
        return recording
    names = description.meaning.classes
    if set(names) != set(recording.classes):
        raise DataError(f"{path}: its classes are {', '.join(names[:9])}, those of this stream "
                        f"{', '.join(recording.classes)}: take another --model, or train it with "
                        "these names")
    order = np.array([names.index(name) for name in recording.classes])
    return replace(recording, classes=names, labels=order[recording.labels])
