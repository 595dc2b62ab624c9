"""Data sets as NumPy arrays: found on this machine, or downloaded and checked.

A file is looked for in the folder that is named, ``--data-dir``, and nowhere else. If none is, in
these, in this order:

1. the folder in the environment variable ``QSNN_DATA``,
2. ``~/.cache/qsnn``, where downloads are kept,
3. ``/usr/share/datasets``, where distributions put them,
4. ``model/datasets`` beside this module: the MNIST test images and the digits,

and only then it is downloaded. In each it may be ``FOLDER/<dataset>/<file>`` or ``FOLDER/<file>``,
with or without its ``.gz``; of some sets also in another folder below it, as ``digits`` in
``FOLDER/small/<file>``. Local or downloaded, a file counts only if its contents have the
published MD5. The sets:

``mnist``, ``fashion-mnist``
    60,000 images for training and 10,000 for test, 28 x 28, 0 .. 255.
``digits``
    1,797 images, 8 x 8, 0 .. 16 scaled to 0 .. 255: the test part of UCI's "Optical recognition
    of handwritten digits". It has no split of its own: the images in the order of
    ``SHA-256("digits <index>")``, the first 1,437 for training and the last 360 for test.
``cifar-10``
    50,000 images for training and 10,000 for test, 32 x 32 in 3 colours, 0 .. 255. A file with the
    arrays ``x_train`` [50000, 3, 32, 32], ``y_train``, ``x_test`` and ``y_test``, ``cifar10.npz``,
    does as well as the release.

Those of :mod:`qsnn.model.recordings` are streams of spikes. They have no download, and no published
MD5: a file counts if its arrays are what :data:`qsnn.model.recordings.TASKS` says.

Somebody's own set is the path of a file or folder in place of a name, see
:mod:`qsnn.model.reading`.
"""

import hashlib
import math
import os
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np

from qsnn.model.arrays import Arrays, DataError
from qsnn.model.cifar import CIFAR_FILES, CifarError, read_cifar
from qsnn.model.files import amount, said, write_whole
from qsnn.model.reading import Reading, Shaped, is_own
from qsnn.model.recordings import (
    TASKS,
    RecordingError,
    read_beats,
    read_recordings,
    read_sounds,
    remedy,
)

__all__ = ["DATASETS", "IMAGES", "DataError", "Dataset", "find", "follows_size",
           "input_values", "load",
           "load_beats", "load_images", "load_sounds", "load_steps", "quantize_pixels"]

IMAGES = {  # height, width and channels
    "mnist": (28, 28, 1), "fashion-mnist": (28, 28, 1), "digits": (8, 8, 1),
    "cifar-10": (32, 32, 3),
}
#: Names of all data sets.
DATASETS = (*IMAGES, *TASKS)
PACKAGED = Path(__file__).parent / "datasets"
SYSTEM = Path("/usr/share/datasets")
MAX_FILE = 1 << 28  # bytes: compressed or not, none of these sets has more
TIMEOUT = 20  # seconds without an answer of a mirror

MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/",
              "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "digits": ("https://archive.ics.uci.edu/ml/machine-learning-databases/optdigits/",),
    "cifar-10": ("https://www.cs.toronto.edu/~kriz/",),
}
FILES = {"train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
         "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")}
MD5 = {  # of the decompressed IDX files, as published; images and labels
    ("mnist", "train"): ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
    ("mnist", "test"): ("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    ("fashion-mnist", "train"): ("f4a8712d7a061bf5bd6d2ca38dc4d50a",
                                 "9018921c3c673c538a1fc5bad174d6f9"),
    ("fashion-mnist", "test"): ("8181f5470baa50b63fa0f6fddb340f0a",
                                "15d484375f8d13e6eb1aabb0c3f46965"),
}
DIGITS = ("optdigits.tes", "sklearn_digits.npz", "digits.npz")  # UCI's text, or arrays x and y
DIGITS_MD5 = "265453a2439934797bb770ce205b6fad"  # of the 1,797 x 65 bytes: 64 pixels and the label
DIGITS_COUNT, DIGITS_TRAIN = 1797, 1437
MAX_TEXT = 1 << 20  # bytes of UCI's text
REMEDY = {"fashion-mnist": "apt install dataset-fashion-mnist, or "}
FOLDERS = {"digits": "small"} | {name: task.folder for name, task in TASKS.items()}


@dataclass(frozen=True, eq=False)
class Dataset(Shaped):
    """A data set: one of :data:`DATASETS`, or somebody's own.

    name     as it was asked for
    shape    of what a network takes: height, width and channels of images, (n,) of rows, steps and
             inputs of a stream
    classes  their names, in the order of the labels
    load     ``train`` or ``test`` -> samples and labels, see :func:`load`
    count    samples to train on, where the way of a training follows it; else 0
    meaning  :class:`qsnn.model.meaning.Meaning` of an own set, or None
    reading  :class:`qsnn.model.reading.Reading` that it was read with
    raw      ``train`` or ``test`` -> the values that samples are made of, of an own set
    said     how it was taken, in lines for people
    doubt    why its test part may be none, for a network that was trained with another set; or ""
    """

    name: str
    shape: tuple
    classes: tuple
    load: Callable
    count: int = 0
    meaning: object = None
    reading: Reading = Reading()
    raw: Callable | None = None
    said: tuple = ()
    doubt: str = ""

    @property
    def inputs(self):
        """Pixels, or spikes of a step."""
        return self.shape[1] if self.stream else math.prod(self.shape)


def find(dataset, data_dir=None, reading=None, meaning=None):
    """The :class:`Dataset` of a name or a path. Raises :class:`DataError`.

    data_dir          for a name: the only folder to look in, or None
    reading, meaning  for a path, see :func:`qsnn.model.own.read_own`
    """
    name = str(dataset)
    read = partial(load, name, data_dir=data_dir)
    if name in IMAGES:
        return Dataset(name, IMAGES[name], tuple("0123456789"), read,
                       DIGITS_TRAIN if name == "digits" else 0)
    if name in TASKS:
        task = TASKS[name]
        return Dataset(name, (task.steps, task.inputs), task.classes, read)
    if not is_own(name):
        raise _unknown(name, "train")
    # a machine that only trains on a named set need not have what this is written with
    from qsnn.model.own import read_own
    own = read_own(name, reading, meaning)
    means = own.meaning
    shape = (means.shape[0], means.inputs) if means.stream else means.shape
    return Dataset(name, shape, means.classes, own.load, len(own.parts["train"][1]), means,
                   reading or Reading(), lambda split: own.parts[split][0], tuple(own.said),
                   own.doubt)


def follows_size(dataset):
    """Whether the way of a training follows the size of this set, of what is not asked for."""
    return dataset == "digits" or dataset not in DATASETS


def _unknown(dataset, split):
    return DataError(f"no data set {dataset!r} with a split {split!r}: there are "
                     f"{', '.join(DATASETS)}, each with train and test; or name an .npz, a .csv or "
                     "a folder of your own")


def load(dataset, split, data_dir=None):
    """Images uint8 [N, pixels], 0 .. 255, and labels int64 [N], from 0 on.

    The colours of a pixel are side by side, then come the pixels of a row, then the rows. Of a
    stream: spikes, 0 or 1, [N, steps * inputs].
    dataset: one of :data:`DATASETS`, or a path; split: ``train`` or ``test``; data_dir: the only
    folder to look in, or None. Raises :class:`DataError`.
    """
    if split in FILES and dataset not in DATASETS and is_own(dataset):
        return find(dataset).load(split)
    if dataset not in DATASETS or split not in FILES:
        raise _unknown(dataset, split)
    if dataset == "digits":
        table = _find(dataset, DIGITS, _digits, data_dir)
        order = sorted(range(len(table)),
                       key=lambda index: hashlib.sha256(f"digits {index}".encode()).digest())
        table = table[order[:DIGITS_TRAIN] if split == "train" else order[DIGITS_TRAIN:]]
        images = ((table[:, :64].astype(int) * 255 + 8) // 16).astype(np.uint8)
        return images, table[:, 64].astype(np.int64)
    if dataset == "cifar-10":
        images, labels = _find(dataset, CIFAR_FILES, lambda raw: _cifar(raw, split), data_dir)
        return images, labels.astype(np.int64)
    if dataset in TASKS:
        return _find(dataset, (TASKS[dataset].file,),
                     lambda raw: _recordings(dataset, raw, split), data_dir)
    images, labels = (
        _find(dataset, (file,), lambda raw, md5=md5: _idx(raw, md5), data_dir)
        for file, md5 in zip(FILES[split], MD5[dataset, split], strict=True))
    return images.reshape(len(images), -1), labels.astype(np.int64)


def load_images(dataset, split, data_dir=None):
    """Images uint8 [N, height, width, channels], 0 .. 255, and labels [N]; see :func:`load`."""
    images, labels = load(dataset, split, data_dir)
    if dataset not in IMAGES:
        raise DataError(f"{dataset} has streams of spikes, the network takes images")
    return images.reshape(-1, *IMAGES[dataset]), labels


def load_steps(dataset, split, n_in, data_dir=None):
    """Recordings for a network with so many inputs: spikes uint8 [N, steps, n_in], labels [N]."""
    if dataset not in TASKS or TASKS[dataset].inputs != n_in:
        fitting = [name for name, task in TASKS.items() if task.inputs == n_in]
        raise DataError(f"{dataset}: no recordings with {n_in} inputs a step; there is "
                        f"{', '.join(fitting) or 'none'}")
    samples, labels = load(dataset, split, data_dir)
    return samples.reshape(len(samples), -1, n_in), labels


def load_beats(split, data_dir=None):
    """The heart beats of ``ecg`` before they are encoded, see
    :func:`qsnn.model.recordings.read_beats`.

    In the order of :func:`load` where ``split`` is ``test``.
    """
    return _load_raw("ecg", read_beats, split, data_dir)


def load_sounds(split, data_dir=None):
    """The sounds of ``spoken-digits`` before they are encoded, in the order of :func:`load`.

    See :func:`qsnn.model.recordings.read_sounds`.
    """
    return _load_raw("spoken-digits", read_sounds, split, data_dir)


def _load_raw(dataset, read, split, data_dir):
    def decode(raw):
        try:
            return read(split, raw)
        except ValueError as error:
            raise DataError(str(error)) from None
    return _find(dataset, (TASKS[dataset].file,), decode, data_dir)


def quantize_pixels(images, bits):
    """The leading bits of 8-bit pixels: 0 .. 2**bits - 1."""
    return images >> (8 - bits)


def input_values(network, samples):
    """What a network, its config or description, takes of samples that :func:`load` gave: spikes,
    or leading bits of pixels."""
    return samples if network.stream else quantize_pixels(samples, network.input_bits)


def _folders(data_dir):
    """Where files are looked for; see the top of this page."""
    if data_dir is not None:
        if not Path(data_dir).is_dir():
            raise DataError(f"{data_dir}: no such folder; name the one that holds the data")
        return [Path(data_dir)]
    variable = os.environ.get("QSNN_DATA")
    return [*([Path(variable)] if variable else []), _cache(), SYSTEM, PACKAGED]


def _cache():
    return Path(os.path.expanduser("~")) / ".cache" / "qsnn"


def _find(dataset, files, decode, data_dir):
    """The decoded contents of the first good file, else of a download."""
    refused, folders = [], _folders(data_dir)
    for path in _candidates(dataset, files, folders):
        if path.is_file():
            try:
                return decode(_read(path))
            except DataError as error:
                refused.append(f"{path}: {error}")
            except OSError as error:
                refused.append(said(error))
    found = [f"{dataset}: no {' or '.join(files)} in {', '.join(map(str, folders))}", *refused]
    into = "into one of these folders, or name its folder with --data-dir or QSNN_DATA"
    if data_dir is not None:
        into = "into this folder, or leave out --data-dir: others are searched then"
    if dataset in TASKS:
        raise DataError("; ".join([*found, f"there is no download: {remedy(dataset)}, put it "
                                   + into]))
    if data_dir is not None:
        raise DataError("; ".join([*found, f"put the file {into}"]))
    try:
        return _download(dataset, files[0], decode)
    except DataError as error:
        raise DataError("; ".join([
            *found, f"the download failed ({error})",
            f"{REMEDY.get(dataset, '')}put the file {into}"])) from None


def _candidates(dataset, files, folders):
    for folder in folders:
        for inner in dict.fromkeys((folder / dataset, folder / FOLDERS.get(dataset, dataset),
                                    folder)):
            for file in files:
                yield inner / file
                if file.endswith(".gz"):
                    yield inner / file[:-3]


def _read(path):
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE:
            raise DataError(f"more than {amount(MAX_FILE)}")
        return file.read(size)  # a number takes its memory at once: not the largest one


def _download(dataset, file, decode):
    """Fetch a file into the cache and decode it; it appears there whole and checked."""
    failures = []
    for mirror in MIRRORS[dataset]:
        try:
            with urllib.request.urlopen(mirror + file, timeout=TIMEOUT) as answer:
                raw = answer.read(MAX_FILE + 1)
            contents = decode(raw)
        except (DataError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)  # of urllib: often an OSError
            failures.append(f"{mirror}: {getattr(reason, 'strerror', None) or reason}")
            continue
        try:
            (_cache() / dataset).mkdir(parents=True, exist_ok=True)
            write_whole(_cache() / dataset / file, raw)
        except OSError:
            pass  # a cache that cannot be written costs the next download, nothing else
        return contents
    raise DataError(", ".join(failures) or "no mirror")


def _idx(raw, md5):
    """The uint8 array of an IDX file, plain or compressed, checked against its MD5."""
    raw = _decompress(raw)
    _check_md5(raw, md5)
    dimensions = raw[3] if len(raw) > 3 else 0
    start = 4 + 4 * dimensions
    if raw[:3] != b"\0\0\x08" or len(raw) < start or not dimensions:
        raise DataError("not an IDX file of bytes")
    shape = tuple(int.from_bytes(raw[k:k + 4], "big") for k in range(4, start, 4))
    if len(raw) - start != np.prod(shape, dtype=object):
        raise DataError(f"{len(raw) - start} bytes, but its header says {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def _decompress(raw):
    if raw[:2] != b"\x1f\x8b":
        return raw
    decoder = zlib.decompressobj(wbits=31)  # 31: gzip
    try:
        contents = decoder.decompress(raw, MAX_FILE)
    except zlib.error as error:
        raise DataError(f"not a readable .gz file ({error})") from None
    if not decoder.eof:
        raise DataError(f"a .gz file that is cut off or has more than {amount(MAX_FILE)} inside")
    return contents


def _cifar(raw, split):
    try:
        return read_cifar(raw, split)
    except CifarError as error:
        raise DataError(str(error)) from None


def _recordings(dataset, raw, split):
    try:
        return read_recordings(dataset, split, raw)
    except RecordingError as error:
        raise DataError(str(error)) from None


def _digits(raw):
    """The table of the digits, uint8 [1797, 65], from UCI's text or from an .npz."""
    try:
        table = _digits_npz(raw) if raw[:2] == b"PK" else _digits_text(raw)
    except (ValueError, OverflowError) as error:
        raise DataError(f"not the digits ({error})") from None
    _check_md5(table.tobytes(), DIGITS_MD5)
    return table


def _digits_npz(raw):
    arrays = Arrays(raw)
    for name, numbers in (("x", DIGITS_COUNT * 64), ("y", DIGITS_COUNT)):
        shape = arrays.header(name)[1]
        if math.prod(shape) != numbers:
            raise ValueError(f"{name} has {list(shape)} numbers, it must have {numbers}")
    x, y = arrays["x"].reshape(-1, 64), arrays["y"].reshape(-1)
    return np.column_stack([x, y]).astype(np.uint8)


def _digits_text(raw):
    if len(raw) > MAX_TEXT:
        raise ValueError(f"a text of {len(raw)} bytes")
    rows = [[int(number) for number in line.split(b",")] for line in raw.splitlines()]
    return np.array(rows, dtype=np.uint8)


def _check_md5(raw, md5):
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(f"not the published file: its MD5 is {found}, not {md5}")
