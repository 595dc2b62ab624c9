"""NumPy's files, ``.npy`` and ``.npz``: nothing is unpickled, and nothing is read before its size
is known to be right. Whatever is wrong with one, the answer is an :class:`ArrayError`.
"""

import io
import math
import warnings
import zipfile
from contextlib import contextmanager

import numpy as np
from numpy.lib import format as npy

from qsnn.model.files import amount

__all__ = ["ArrayError", "Arrays", "read_npy"]

MAX_BYTES = 1 << 29  # of an array in an .npz: no data set has more
MAX_MEMBERS = 1000  # of an .npz
PIECE = 1 << 20  # bytes that are read at once where an array is not kept
KINDS = "biufc"  # numbers: no objects, texts or records
TEXTS = "US"  # of a fixed width: names of classes
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as NumPy writes them


class ArrayError(ValueError):
    """Not a file of arrays, or one that is damaged or too large."""


class DataError(Exception):
    """A data set is not there, or is not what it should be."""


class Arrays:
    """The arrays of an ``.npz``, by name; each is read when it is asked for.

    raw: the file's bytes; texts: whether they may be texts too. Raises :class:`ArrayError`, as all
    methods do.
    """

    def __init__(self, raw, texts=False):
        self._kinds = KINDS + TEXTS * texts
        # a directory's entries are objects before one can count them
        if raw.count(b"PK\x01\x02") > MAX_MEMBERS:
            raise ArrayError(f"more than {MAX_MEMBERS} files inside")
        with _sentences(".npz of arrays"):
            self._file = zipfile.ZipFile(io.BytesIO(raw))
            self._members = {member.filename.removesuffix(".npy"): member
                             for member in self._file.infolist()}

    @property
    def names(self):
        return list(self._members)

    def header(self, name):
        """Type and shape of an array, of which nothing else is read."""
        with self._open(name) as (file, size):
            return _header(file, size, self._kinds)[:2]

    def __getitem__(self, name):
        with self._open(name) as (file, size):
            return _array(file, size, self._kinds)

    def pieces(self, name):
        """The bytes of an array in the file's order, some at once."""
        with self._open(name) as (file, size):
            _header(file, size, self._kinds)
            while piece := file.read(PIECE):
                yield piece

    @contextmanager
    def _open(self, name):
        """An array's file and the bytes that it has."""
        member = self._members.get(name)
        if member is None:
            raise ArrayError(f"no array {name} inside")
        if member.file_size > MAX_BYTES:
            raise ArrayError(f"{name} has {amount(member.file_size)}, an array at most "
                             f"{amount(MAX_BYTES)}: take fewer samples, or smaller "
                             "numbers such as uint8")
        if member.compress_type not in PACKED:
            raise ArrayError(f"{name} is compressed in a way that NumPy does not write")
        with _sentences(".npz of arrays", f"{name}: "), self._file.open(member) as file:
            yield file, member.file_size


def read_npy(path):
    """The array of an ``.npy`` file. Raises :class:`ArrayError` or ``OSError``."""
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        with _sentences("array"):
            return _array(file, size)


def _array(file, size, kinds=KINDS):
    kind, shape, fortran, bytes_ = _header(file, size, kinds)
    flat = np.frombuffer(bytearray(file.read(bytes_)), kind)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _header(file, size, kinds=KINDS):
    """Type, shape, whether it is in Fortran's order, and bytes of the array behind the header."""
    version = npy.read_magic(file)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ArrayError(f"an .npy file of version {'.'.join(map(str, version))}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a header that needs one was not written by NumPy
        shape, fortran, kind = readers[version](file)
    if kind.kind not in kinds:
        raise ArrayError(f"an array is of numbers, not {kind}"
                         + ", a pickle that is not read" * (kind.kind == "O"))
    found, expected = size - file.tell(), math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or found != expected:
        raise ArrayError(f"{found} bytes, but its header says {kind} {list(shape)}")
    return kind, shape, fortran, expected


@contextmanager
def _sentences(what, prefix=""):
    try:
        yield
    except ArrayError as error:
        raise ArrayError(f"{prefix}{error}") from None
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise anything
        said = str(error).partition("\n")[0][:100] or type(error).__name__
        raise ArrayError(f"{prefix}not an {what} ({said})") from None
