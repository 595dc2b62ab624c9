"""CIFAR-10 from its original release or from arrays, checked against the release's contents."""

import gzip
import hashlib
import io
import tarfile

import numpy as np

from qsnn.model.arrays import ArrayError, Arrays
from qsnn.model.files import amount

__all__ = ["CIFAR_FILES", "CifarError", "read_cifar"]

# the release in its binary version, and arrays x_train, y_train, x_test and y_test, x as it is
# there: [N, 3, 32, 32]
CIFAR_FILES = ("cifar-10-binary.tar.gz", "cifar10.npz")
SHA256 = {  # of all pixels and of all labels of a split, as the release has them
    "train": ("9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
              "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
    "test": ("177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
             "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
}
BATCHES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)],
           "test": ["test_batch.bin"]}
ROW = 1 + 3 * 32 * 32  # bytes of a label and its image
BATCH = 10_000 * ROW


MAX_RELEASE = 1 << 28  # bytes, unpacked


class CifarError(Exception):
    """Not the data set."""


def read_cifar(raw, split):
    """Images uint8 [N, 32 * 32 * 3], channels last, and labels uint8 [N], of a file's bytes."""
    images, labels = (_arrays if raw[:2] == b"PK" else _release)(raw, split)
    maps = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(maps).reshape(len(maps), -1), labels


def _arrays(raw, split):
    """Pixels and labels of an .npz, whose hashes are right before an array is made."""
    found = []
    try:
        arrays = Arrays(raw)
        for name, letter, expected in zip(("pixels", "labels"), "xy", SHA256[split], strict=True):
            kind, shape = arrays.header(f"{letter}_{split}")
            if kind != np.uint8:
                raise ArrayError(f"{letter}_{split} is {kind} {list(shape)}, it must be uint8")
            _check(f"{split} {name}", arrays.pieces(f"{letter}_{split}"), expected)
            found.append(arrays[f"{letter}_{split}"])
    except ArrayError as error:
        raise CifarError(f"not CIFAR-10 ({error})") from None
    return found


def _release(raw, split):
    try:
        table = _table(raw, split)
    except Exception as error:  # damaged bytes make gzip and tarfile raise anything
        raise CifarError(f"not CIFAR-10 ({error})") from None
    images, labels = table[:, 1:], table[:, 0]
    for name, array, expected in zip(("pixels", "labels"), (images, labels), SHA256[split],
                                     strict=True):
        _check(f"{split} {name}", [np.ascontiguousarray(array)], expected)
    return images, labels


def _table(raw, split):
    """Rows of a label and its pixels, uint8 [N, 3073], of a release."""
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        contents = file.read(MAX_RELEASE + 1)
    if len(contents) > MAX_RELEASE:
        raise ValueError(f"more than {amount(MAX_RELEASE)} inside")
    batches = []
    with tarfile.open(fileobj=io.BytesIO(contents), mode="r:") as archive:
        for name in BATCHES[split]:
            member = archive.extractfile(f"cifar-10-batches-bin/{name}")
            if member is None:
                raise ValueError(f"no {name} inside")
            batches.append(np.frombuffer(member.read(BATCH + 1), np.uint8).reshape(-1, ROW))
    return np.concatenate(batches)


def _check(name, pieces, expected):
    """Compare the SHA-256 of some bytes."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    if found.hexdigest() != expected:
        raise CifarError(f"not the published file: the SHA-256 of its {name} is "
                         f"{found.hexdigest()}, not {expected}")
