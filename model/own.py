"""Somebody's own data: samples, labels, and what they mean.

:mod:`qsnn.model.reading` has the files. Labels are numbers, with gaps or not, or names. Without a
test part a fifth of each class is held out: samples are taken in the order of
``SHA-256("<split> <index>")``, whatever their order in the file, and stay in it; so do those to
train on of a set that has a test part. How values become inputs is in :mod:`qsnn.model.meaning`,
fitted on the training part.
"""

import hashlib
import re
from dataclasses import dataclass, field
from math import isqrt, prod
from pathlib import Path

import numpy as np

from qsnn.model.arrays import DataError
from qsnn.model.meaning import MAX_CLASSES, MAX_NAME, MAX_SCALES, Meaning, even_levels, scale_of
from qsnn.model.pictures import as_pixels, bright_borders, dark_borders, read_pictures
from qsnn.model.reading import MAX_STEPS, Reading, is_sounds, read_parts, sides
from qsnn.model.tables import SUFFIXES, read_table

__all__ = ["Own", "labels_of", "read_asked", "read_own"]

MAX_INPUTS = 65536
LARGEST = 1e100
PICTURE = 6  # pixels: a row of so many squared may be one
TEST = 5  # one of so many samples of a class
MOST = 0.9  # of the images, whose border says what the ground is
WHOLE = re.compile(r"[+-]?\d+(\.0*)?([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Own:
    """values ``[N, *shape]`` and labels int64 [N] of ``train`` and ``test``, what they mean, and
    what is to be said of how they were taken; doubt: why its test part may be none, or empty."""

    parts: dict
    meaning: Meaning
    said: list = field(default_factory=list)
    doubt: str = ""

    def load(self, split):
        """Samples and labels as :func:`qsnn.model.data.load` gives them."""
        values, labels = self.parts[split]
        return self.meaning.samples(values), labels


def read_own(path, reading=None, meaning=None):
    """The :class:`Own` of a file or folder. Raises :class:`qsnn.model.data.DataError`.

    meaning: that of a network, which the set is then read for, in place of one fitted to it
    """
    reading = reading or Reading()
    if meaning:
        reading = Reading(meaning.label, meaning.image, meaning.stream, split=meaning.split)
    path = Path(path)
    sounds = is_sounds(path)
    parts, table, said = read_parts(path, reading,
                                    meaning.shape[0] if meaning and meaning.encoder else None,
                                    meaning.columns if meaning else ())
    seen = _hash(*parts["train"])
    names = {split: _texts(path, labels) for split, (_, labels) in parts.items()}
    for split, (values, _) in parts.items():
        _check(path, split, values, names[split])
    classes = list(meaning.classes) if meaning else _classes(path, names["train"],
                                                             reading.classes)
    parts = {split: (values, _indices(path, split, names[split], classes))
             for split, (values, _) in parts.items()}
    doubt = ""
    if meaning and "test" not in parts and meaning.samples_sha256 not in ("", seen):
        doubt = f"{path} is not what the network was trained with, and has no test part: some of " \
            "the samples that are held out may be among those of the training"
    parts = _split(path, parts, classes, reading.split, said)
    if meaning is None:
        meaning = _meaning(path, parts["train"][0], classes, table, reading, sounds, seen)
    elif sounds != bool(meaning.encoder):
        raise DataError(f"{path}: sounds" + " are needed, WAV files by class" * (not sounds)
                        + ", and the network takes none" * sounds)
    shape = next((values.shape[1:] for values, _ in parts.values()
                  if values.shape[1:] != meaning.shape), meaning.shape)
    side = isqrt(shape[0]) if len(shape) == 1 else 0
    if side >= PICTURE and side ** 2 == shape[0]:
        said.append(f"if rows are pictures, say --image {side}x{side}")
    if shape != meaning.shape:
        raise DataError(f"{path}: samples of {sides(shape)}, and of {sides(meaning.shape)} are "
                        "needed, in both parts")
    kinds = {1: "rows of {} columns", 2: "streams of {} steps with {} channels",
             3: "images of {} x {} x {}"}
    kind = ("sounds of {} steps of 20 ms" if sounds else kinds[len(shape)]).format(*shape)
    counts = ", ".join(f"{len(labels):,} for {'training' if split == 'train' else split}"
                       for split, (_, labels) in parts.items())
    said.insert(0, f"{path}: {kind}, {counts}, {len(classes)} classes: " + ", ".join(classes[:10])
                + f" and {len(classes) - 10} more" * (len(classes) > 10))
    if meaning.inverted:
        said.append("dark on a bright ground: all are turned, here and wherever the network goes")
    return Own(parts, meaning, [said[0], *(f"  {text}" for text in said[1:])], doubt)


def read_asked(path, n_in, image=None, meaning=None, *, invert=None, say=print):
    """Pixels uint8 [N, n_in] of a file that a network is asked about, a table or what
    :func:`qsnn.model.pictures.read_pictures` takes, and labels [N], or None where nobody says them.

    A table need not have labels; those that it has are known to a network of an own set alone.
    Raises :class:`qsnn.model.data.DataError`.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        return read_pictures(path, n_in, image, invert=invert, say=say, meaning=meaning), None
    table = read_table(path, meaning.label if meaning else "", columns=n_in,
                       order=meaning.columns if meaning else ())
    values = table.values
    if not meaning and (values == np.rint(values)).all():
        values = values.astype(np.int64)  # as pixels are
    pixels = as_pixels(values, n_in, image, invert=invert, say=say, name=str(path), meaning=meaning)
    if table.labels is None or meaning is None:
        return pixels, None
    return pixels, labels_of(path, table, meaning)


def labels_of(path, table, meaning):
    """Labels int64 [N] of a table that a network of an own set is asked about. Raises
    :class:`qsnn.model.data.DataError`: one that the network does not know."""
    return _indices(path, "it", _texts(path, table.labels), list(meaning.classes))


def _texts(path, labels):
    """Labels as names: whole numbers without a point, all else as it is written."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise DataError(f"{path}: labels of shape {list(array.shape)}: one number or name a sample "
                        "is needed, of rows with a single 1 y.argmax(axis=1)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{path}: labels with NaN or infinity: leave those samples out")
    if array.dtype.kind == "c":
        raise DataError(f"{path}: labels are {array.dtype}: give whole numbers or names")
    # what is no UTF-8 stays apart from what else is none
    texts = [name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
             for name in array.tolist()]
    for text in set(texts):
        if not 1 <= len(text) <= MAX_NAME or not text.isprintable():
            raise DataError(f"{path}: a class named {text[:60]!r}: names have 1 to {MAX_NAME} "
                            "printable characters")
    if all(WHOLE.fullmatch(text) and float(text).is_integer() for text in set(texts)):
        return [str(int(text) if text.lstrip("+-").isdecimal() else int(float(text)))
                for text in texts]
    return texts


def _check(path, split, values, names):
    """What no training should begin with."""
    where = f"{path}: {split}"
    if len(values) != len(names):
        raise DataError(f"{where} has {len(values):,} samples and {len(names):,} labels: give one "
                        "label a sample")
    if not values.size:
        raise DataError(f"{where} has no samples, {list(values.shape)}")
    if values.dtype.kind == "f":
        largest = min(LARGEST, float(np.finfo(values.dtype).max))  # of fewer bits it would be none
        bad = ~(np.abs(values.reshape(len(values), -1)) <= largest).all(axis=1)
        if bad.any():
            raise DataError(f"{where}: NaN, infinity or a number beyond {LARGEST:g} in "
                            f"{bad.sum():,} of {len(bad):,} samples, first in sample "
                            f"{bad.argmax()}: fill them in, or leave those out")
    inputs = prod(values.shape[1:] if values.ndim != 3 else values.shape[2:])
    if inputs > MAX_INPUTS:
        raise DataError(f"{where}: {inputs:,} inputs, a network has at most {MAX_INPUTS:,}: make "
                        "the samples smaller" + ", pictures with --image 64x64" * path.is_dir())
    if values.ndim == 3 and values.shape[1] > MAX_STEPS:
        raise DataError(f"{where}: {values.shape[1]:,} steps, at most {MAX_STEPS:,}: cut the "
                        "streams, or take every n-th step")


def _classes(path, names, order):
    """The classes in the order of their labels, or in the one that was asked for."""
    found = set(names)
    if len(found) == 1:
        raise DataError(f"{path}: all samples to train on are of one class, {found.pop()}: there "
                        "is nothing to tell apart")
    if len(found) > MAX_CLASSES:
        raise DataError(f"{path}: {len(found):,} classes, at most {MAX_CLASSES:,}: are these "
                        "labels? Name their column with --label; a quantity is no class")
    if order:
        if sorted(order) != sorted(found):
            raise DataError(f"{path}: --classes has {', '.join(order)[:200]}, and there are "
                            f"{', '.join(sorted(found))[:200]}: name each once")
        return list(order)
    numbers = all(WHOLE.fullmatch(name) for name in found)
    return sorted(found, key=int) if numbers else sorted(found)


def _indices(path, split, names, classes):
    index = {name: at for at, name in enumerate(classes)}
    unknown = sorted(set(names) - index.keys())
    if unknown:
        raise DataError(f"{path}: {split} has the class {unknown[0]!r}, which no sample to train "
                        f"on has: there are {', '.join(classes[:10])[:200]}"
                        + " and more" * (len(classes) > 10))
    return np.array([index[name] for name in names], np.int64)


def _split(path, parts, classes, seed, said):
    """The parts, that to train on in an order of its own, and one to test on."""
    values, labels = parts["train"]
    order = np.array(sorted(range(len(labels)), key=lambda index: hashlib.sha256(
        f"{seed} {index}".encode()).digest()))
    if "test" in parts:
        return {"train": (values[order], labels[order]), "test": parts["test"]}
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        of = order[labels[order] == label]
        if len(of) < 2:
            raise DataError(f"{path}: one sample of class {classes[label]}, and a test part needs "
                            "one too: give two of each class at least, or x_test and y_test")
        held[of[:max(1, round(len(of) / TEST))]] = True
    said.append(f"no test part: a fifth of each class is held out, {held.sum():,} samples, drawn "
                f"with --split {seed}")
    kept, tested = order[~held[order]], order[held[order]]
    return {"train": (values[kept], labels[kept]), "test": (values[tested], labels[tested])}


def _hash(values, labels):
    """Of the samples and labels of a training part, in the order of the file."""
    found = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    found.update(np.ascontiguousarray(values).tobytes())
    found.update(repr(np.asarray(labels).tolist()).encode())
    return found.hexdigest()[:16]


def _meaning(path, values, classes, table, reading, sounds, seen):
    """The facts of the training part."""
    shape, kind = values.shape[1:], values.dtype.kind
    facts = dict(classes=tuple(classes), shape=shape, split=reading.split, samples_sha256=seen)
    if table:
        facts["label"] = table.column[:MAX_NAME]
        names = table.names
        if len(set(names)) == len(names) <= MAX_SCALES and all(
                0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
            facts["columns"] = names
    low, high = values.min(), values.max()
    if low == high:
        raise DataError(f"{path}: all values to train on are {low + 0.0:g}: there is nothing to "
                        "learn")
    if sounds:
        return Meaning(encoder="spoken-digits", **facts)
    bytes_ = kind in "iu" and 0 <= low and 128 <= high <= 255
    spikes = len(shape) == 2 and bool(((values == 0) | (values == 1)).all())
    if not spikes and not (len(shape) == 3 and bytes_):
        own = len(shape) < 3 and shape[-1] <= MAX_SCALES
        facts["low"], facts["high"] = scale_of(values, columns=own)
        if facts["low"] == facts["high"]:
            facts["low"], facts["high"] = (float(low),), (float(high),)
    if len(shape) == 2 and not spikes:
        facts["levels"] = even_levels(reading.levels)
    meaning = Meaning(**facts)
    if len(shape) == 3 and shape[2] == 1:
        pixels = meaning.pixels(values)
        inverted = bool(bright_borders(pixels).mean() > MOST)
        ground = inverted or bool(dark_borders(pixels).mean() > MOST)
        meaning = meaning.model_copy(update=dict(inverted=inverted, ground=ground))
    return meaning
