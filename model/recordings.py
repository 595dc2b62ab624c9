"""Recorded signals and events as streams of spikes: what each data set is, and how it is encoded.

========================  =======================================================================
``ecg``                   MIT-BIH heart beats in the five classes of AAMI, see
                          :func:`encode_beats`. Training and test are de Chazal's DS1 and DS2
                          (2004): no patient is in both. The training beats of the patients
                          :data:`HELD_OUT` come last, for ``--validation``
``spoken-digits``         Free Spoken Digits, 8,000 samples a second: 50 steps of 20 ms, see
                          :mod:`qsnn.model.audio`; what is longer is cut off, behind what is
                          shorter is silence. Recordings 0 to 4 of each speaker and digit are the
                          test, as the set has it; 5 to 9 come last in training, for ``--validation
                          300``
``pendigits``             UCI's pen-based digits: 8 points of the pen, one a step
``n-mnist``               the first 1,000 and 100 digits before an event camera: 30 steps of 10 ms
========================  =======================================================================

A file is an .npz of arrays, without pickles; :data:`TASKS` names it and says what the arrays are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsnn.model import audio
from qsnn.model.arrays import ArrayError, Arrays
from qsnn.model.encoders import Rhythm, Usual, crossings, events, pairs, thermometer

__all__ = ["HELD_OUT", "TASKS", "RecordingError", "Task", "encode_beats", "excerpt", "read_beats",
           "read_recordings", "read_sounds", "remedy"]

HELD_OUT = (106, 118, 201, 223)  #: patients of DS1; others with their illnesses stay
BEAT = slice(16, 96)  # samples of a beat that are seen: 34 before its R peak to 45 behind it
CROSSED, CROSSED_SHIFT = (1, 2, 4, 8, 16), 3  # levels of 8 units
UNUSUAL, UNUSUAL_SHIFT = (32, 64, 128, 256), 4  # units; of the mean
EXCERPT = Path(__file__).parent / "datasets" / "ecg" / "record-200.npz"


class RecordingError(ValueError):
    """A file is not what its task says."""


@dataclass(frozen=True)
class Task:
    """A data set of streams.

    steps    of a sample
    inputs   spikes of a step
    classes  their names
    file     that holds it
    folder   where it lies below a folder of data, if not in one named as the set
    arrays   name -> (dtype, shape) of all arrays in the file; a letter is any length
    encode   arrays of the file, and ``train`` or ``test`` -> spikes [N, steps, inputs], labels
    map      height, width and channels of a step, where it is a picture
    """

    steps: int
    inputs: int
    classes: tuple
    file: str
    folder: str
    arrays: dict
    encode: Callable
    map: tuple | None = None


def read_recordings(dataset, split, raw):
    """Spikes uint8 [N, steps * inputs] and labels int64 [N] of the file of a data set."""
    task = TASKS[dataset]
    arrays = _arrays(task, raw)
    try:
        spikes, labels = task.encode(arrays, split)
    except ValueError as error:
        raise RecordingError(str(error)) from None
    if len(labels) and labels.max() >= len(task.classes):
        raise RecordingError(f"a label of {labels.max()}, but there are {len(task.classes)} "
                             "classes")
    return spikes.reshape(len(spikes), task.steps * task.inputs), labels.astype(np.int64)


def _arrays(task, raw):
    """The arrays of a file, of the types and shapes that they must have; compared before any of
    them is read.
    """
    lengths = {}
    try:
        file = Arrays(raw)
        for name, (kind, shape) in task.arrays.items():
            found = file.header(name)
            expected = tuple(lengths.setdefault(length, side) if isinstance(length, str)
                             else length for length, side in zip(shape, found[1], strict=False))
            if found != (kind, expected) or len(expected) != len(shape):
                raise RecordingError(f"{name} is {_said(*found)}, it must be {_said(kind, shape)}")
        return {name: file[name] for name in task.arrays}
    except ArrayError as error:
        raise RecordingError(str(error)) from None


def _said(kind, shape):
    return f"{np.dtype(kind)} [{', '.join(map(str, shape))}]"


def remedy(dataset):
    """What to do where the file is not there."""
    task = TASKS[dataset]
    arrays = ", ".join(f"{name} {_said(*of)}" for name, of in task.arrays.items())
    return f"make {task.file} with the arrays {arrays}"


def encode_beats(samples, intervals, records):
    """Heart beats as spikes uint8 [N, 40, 30].

    samples: [N, 128], 180 Hz, R peak at sample 50; intervals before the beats [N], 360 Hz;
    records: [N], the beats of a record follow each other in time. A step has two samples of
    ``BEAT`` and these inputs:

    ======  =======================================================================================
    0..9    :func:`qsnn.model.encoders.crossings` of the sums of the two samples, begun anew at the
            first step of each beat
    10..17  :class:`qsnn.model.encoders.Usual` of the same sums, a beat is a piece
    18..23  :class:`qsnn.model.encoders.Rhythm` of the interval before the beat, at every step
    24..29  that of the beat before, kept in a register; 0 at the first beat of a record
    ======  =======================================================================================
    """
    steps = pairs(samples[:, BEAT])
    parts = [crossings(steps, shift=CROSSED_SHIFT, levels=CROSSED)]
    unusual, rhythm = [], []
    for start, end in _runs(records):
        unusual.append(Usual(levels=UNUSUAL, shift=UNUSUAL_SHIFT)(steps[start:end]))
        beat = Rhythm()
        spikes = np.array([beat(interval) for interval in intervals[start:end]])
        before = np.concatenate([np.zeros_like(spikes[:1]), spikes[:-1]])
        rhythm.append(np.concatenate([spikes, before], axis=1))
    constant = np.concatenate(rhythm)[:, None].repeat(steps.shape[1], axis=1)
    return np.concatenate([*parts, np.concatenate(unusual), constant], axis=2)


def excerpt():
    """The first 1,000 beats of record 200, of DS2, which come along with this package.

    Samples int16 [1000, 128], intervals before uint16 [1000] and labels uint8 [1000]; they and a
    record number for all are what :func:`encode_beats` takes.
    """
    arrays = Arrays(EXCERPT.read_bytes())
    return arrays["x"], arrays["rr"], arrays["y"]


def _runs(records):
    """Start and end of each run of the same record."""
    bounds = [0, *np.flatnonzero(np.diff(records.astype(np.int64))) + 1, len(records)]
    return list(zip(bounds, bounds[1:], strict=False)) if len(records) else []


def read_beats(split, raw):
    """Heart beats as they were sampled: what :func:`encode_beats` takes, and labels int64 [N]."""
    arrays = _arrays(TASKS["ecg"], raw)
    return (arrays[f"x_{split}"], arrays[f"rr_{split}"][:, 0], arrays[f"rec_{split}"],
            arrays[f"y_{split}"].astype(np.int64))


def read_sounds(split, raw):
    """Spoken digits as they were sampled, cut or padded with silence to the steps that a sample
    has: int16 [N, 8000], which :func:`qsnn.model.audio.sound` takes, and labels int64 [N]."""
    samples, labels = _cut(_arrays(TASKS["spoken-digits"], raw), split)
    return samples, labels.astype(np.int64)


def _beats(arrays, split):
    records = arrays[f"rec_{split}"]
    spikes = encode_beats(arrays[f"x_{split}"], arrays[f"rr_{split}"][:, 0], records)
    order = np.argsort(np.isin(records, HELD_OUT), kind="stable")
    return spikes[order], arrays[f"y_{split}"][order]


def _spoken(arrays, split):
    samples, labels = _cut(arrays, split)
    return audio.sound(samples), labels


def _cut(arrays, split):
    offset, sound = arrays["offset"].astype(np.int64), arrays["audio"]
    _check_offset("offset", offset, len(sound), len(arrays["label"]))
    chosen = np.flatnonzero(arrays["is_test"] == (split == "test"))
    chosen = chosen[np.argsort(np.isin(arrays["index"][chosen], range(5, 10)), kind="stable")]
    samples = np.zeros((len(chosen), TASKS["spoken-digits"].steps * audio.FRAME), np.int16)
    for row, which in zip(samples, chosen, strict=True):
        part = sound[offset[which]:offset[which + 1]][:len(row)]
        row[:len(part)] = part
    return samples, arrays["label"][chosen]


def _check_offset(name, offset, length, count):
    if len(offset) != count + 1 or offset[0] or (np.diff(offset) < 0).any() \
            or offset[-1] != length:
        raise RecordingError(f"{name} must be {count + 1} numbers that rise from 0 to {length}")


def _pen(arrays, split):
    points = arrays[f"x_{split}"]
    return thermometer(points, PEN_LEVELS).reshape(*points.shape[:2], -1), arrays[f"y_{split}"]


def _camera(arrays, split):
    offset, task = arrays[f"{split}_offset"].astype(np.int64), TASKS["n-mnist"]
    parts = [arrays[f"{split}_{name}"] for name in ("x", "y", "p", "t_us")]
    height, width, _ = task.map
    labels = arrays[f"{split}_label"]
    _check_offset(f"{split}_offset", offset, len(parts[0]), len(labels))
    spikes = [events(*(part[first:end] for part in parts), height=height, width=width,
                     ticks=10_000, steps=task.steps)
              for first, end in zip(offset, offset[1:], strict=False)]
    return np.stack(spikes), labels


def _both(of):
    """The arrays of ``train`` and ``test``; lengths are letters that each split has."""
    return {name.format(split): (kind, tuple(f"{length}_{split}" if isinstance(length, str)
                                             else length for length in shape))
            for split in ("train", "test") for name, (kind, shape) in of.items()}


PEN_LEVELS = tuple(range(6, 100, 6))  # of 0 .. 100
DIGITS = tuple("0123456789")
#: What a sample of each data set of streams is.
TASKS = {
    "ecg": Task(
        steps=40, inputs=30, classes=tuple("NSVFQ"), file="mitbih_beats_180.npz", folder="mitbih",
        arrays=_both({"x_{}": ("int16", ("n", 128)), "y_{}": ("uint8", ("n",)),
                      "rec_{}": ("uint16", ("n",)), "rr_{}": ("uint16", ("n", 2))}),
        encode=_beats),
    "spoken-digits": Task(
        steps=50, inputs=len(audio.BANDS) * len(audio.LEVELS), classes=DIGITS, file="fsdd_8k.npz",
        folder="fsdd",
        arrays={"audio": ("int16", ("samples",)), "offset": ("uint32", ("ends",)),
                "label": ("uint8", ("n",)), "index": ("uint8", ("n",)),
                "is_test": ("bool", ("n",))},
        encode=_spoken),
    "pendigits": Task(
        steps=8, inputs=2 * len(PEN_LEVELS), classes=DIGITS, file="pendigits.npz", folder="small",
        arrays=_both({"x_{}": ("uint8", ("n", 8, 2)), "y_{}": ("uint8", ("n",))}), encode=_pen),
    "n-mnist": Task(
        steps=30, inputs=34 * 34 * 2, classes=DIGITS, file="nmnist_small.npz",
        folder="nmnist_small", map=(34, 34, 2),
        arrays=_both({"{}_x": ("uint8", ("events",)), "{}_y": ("uint8", ("events",)),
                      "{}_p": ("uint8", ("events",)), "{}_t_us": ("uint32", ("events",)),
                      "{}_offset": ("uint32", ("ends",)), "{}_label": ("uint8", ("n",))}),
        encode=_camera),
}
