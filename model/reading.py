"""Files of somebody's own data as arrays and labels, as they are.

======================  ==========================================================================
``.npz``                arrays ``x_train`` and ``y_train``, and ``x_test`` and ``y_test`` if there
                        is a test part; or ``x`` and ``y``
``.csv``                a table with a column of labels, :mod:`qsnn.model.tables`
a folder                with a folder of pictures for each class, :mod:`qsnn.model.folders`, or
                        of WAV files, :mod:`qsnn.model.sounds`; all may be once more below
                        ``train`` and ``test``. Or ``train.csv`` and ``test.csv``
======================  ==========================================================================

What samples are is said by their dimensions, and by a :class:`Reading` where those do not:

==================  ===============================  =============================================
``[N, n]``          rows                             as ``image``: images; as ``stream``: n steps
``[N, H, W]``       grey images                      as ``stream``: H steps of W channels;
                                                     as ``image`` 1 x H x W, or 1 x W x H and
                                                     turned: windows of a sensor
``[N, H, W, C]``    images, also ``[N, C, H, W]``    as ``stream``: steps of W * C channels
                    of 1 or 3 channels, or of those
                    that ``image`` says
==================  ===============================  =============================================
"""

import shlex
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from qsnn.model.arrays import ArrayError, Arrays, DataError
from qsnn.model.files import amount
from qsnn.model.files import said as said_of
from qsnn.model.folders import PICTURES, read_pictures_by_class
from qsnn.model.sounds import SOUNDS, read_sounds_by_class
from qsnn.model.tables import SUFFIXES, read_table

__all__ = ["MAX_STEPS", "Reading", "Shaped", "is_own", "is_sounds", "names_of", "read_parts",
           "sides", "sides_of"]

MAX_FILE = 1 << 30  # bytes of an .npz
MAX_STEPS = 4096
MAX_NAME = 40  # characters of a column


class Shaped:
    """What the ``shape`` of samples says of them."""

    @property
    def stream(self):
        """Whether samples are steps."""
        return len(self.shape) == 2

    @property
    def image(self):
        """Height, width and channels of images, or None."""
        return self.shape if len(self.shape) == 3 else None


@dataclass(frozen=True)
class Reading:
    """How a set is read where its file does not say.

    label   name or number of a table's column of labels
    image   height and width, perhaps channels, of images that come as rows; pictures are resized
    stream  whether samples are steps
    levels  spikes of a channel and step, of a stream of numbers
    split   seed of the test part, of a set that has none
    classes  their names in the order of a network's outputs; by number or alphabet if not given
    """

    label: str = ""
    image: tuple | None = None
    stream: bool = False
    levels: int = 8
    split: int = 0
    classes: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "classes", tuple(map(str, self.classes)))
        if self.image is not None:
            object.__setattr__(self, "image", tuple(self.image))
            if len(self.image) not in (2, 3) or not all(
                    type(side) is int and 1 <= side <= MAX_STEPS for side in self.image):
                raise ValueError("image must be height and width, perhaps channels, of 1 to "
                                 f"{MAX_STEPS}, not {self.image!r}")
            if self.stream:
                raise ValueError("--image has images and --stream steps: give one of them")
        for name, low, high in (("levels", 1, 64), ("split", 0, 10 ** 12)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")
        if not isinstance(self.label, str) or len(self.label) > MAX_NAME:
            raise ValueError(f"label must be the name or number of a column, not {self.label!r}")

    @property
    def words(self):
        """The options of a command that are not the default."""
        words = [f"--label={shlex.quote(self.label)}"] if self.label else []
        words += [f"--image {'x'.join(map(str, self.image))}"] if self.image else []
        words += ["--stream"] if self.stream else []
        words += [f"--classes {shlex.quote(','.join(self.classes))}"] if self.classes else []
        return words + [f"--{name} {getattr(self, name)}" for name in ("levels", "split")
                        if getattr(self, name) != getattr(Reading, name)]


def is_own(dataset):
    """Whether this is the path of a file or folder, and not a name."""
    path = Path(dataset)
    return path.exists() or path.suffix.lower() in (*SUFFIXES, ".npz") or len(path.parts) > 1


def sides_of(text):
    """Height, width and perhaps channels of ``28x28`` or ``32x32x3``, or None of nothing."""
    if not text:
        return None
    found = text.lower().split("x")
    if len(found) not in (2, 3) or not all(side.isdecimal() for side in found):
        raise ValueError(f"--image takes sides such as 28x28 or 32x32x3, not {text!r}")
    return tuple(int(side) for side in found)


def names_of(text):
    """Names of classes with commas between them, or none of nothing."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def sides(shape):
    """A shape in words."""
    return " x ".join(map(str, shape))


def is_sounds(path):
    """Whether this is a folder of sounds by class, perhaps below ``train``; with pictures among
    them, what there is more of."""
    if not path.is_dir():
        return False
    kinds = Counter(file.suffix.lower() for place in (path, path / "train")
                    for file in place.glob("*/*") if file.name[0] != ".")
    return sum(kinds[kind] for kind in SOUNDS) > sum(kinds[kind] for kind in PICTURES)


def read_parts(path, reading, frames=None, order=()):
    """What a file or folder has: split -> values [N, ...] and labels [N] of ``train`` and perhaps
    ``test``, the :class:`qsnn.model.tables.Table` to train on or None, and what is to be said.
    Raises :class:`qsnn.model.data.DataError`.

    frames  of sounds, that a network has; if not given, of the longest one to train on
    order   names of the columns of a table, as a network has them
    """
    if is_sounds(path):
        return _sounds(path, frames)
    parts, table, said = _read(path, reading, order)
    parts = {split: (_laid_out(f"{path}: {split}" if len(parts) > 1 else path, values, reading,
                               said), labels)
             for split, (values, labels) in parts.items()}
    return parts, table, list(dict.fromkeys(said))


def _read(path, reading, order):
    """Values and labels of each part as they are, the table or None, and what is to be said."""
    if path.is_dir():
        return _folder(path, reading, order)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; name an .npz, a .csv, or a folder of "
                        "pictures by class")
    if path.suffix.lower() == ".npz":
        return _npz(path)
    if path.suffix.lower() in SUFFIXES:
        table = read_table(path, reading.label, order=order)
        return {"train": (table.values, table.labels)}, table, []
    raise DataError(f"{path}: a set is an .npz, a .csv, or a folder of pictures by class")


def _below(path):
    """The folder of each part."""
    below = {split: path / split for split in ("train", "test") if (path / split).is_dir()}
    return below if "train" in below else {"train": path}


def _sounds(path, frames):
    parts, said = {}, []
    for split, folder in _below(path).items():
        values, labels, done = read_sounds_by_class(folder, frames)
        parts[split] = values, labels
        said += [f"{split}: {text}" for text in done] if folder != path else done
        frames = values.shape[1]
    return parts, None, said


def _folder(path, reading, order):
    tables = {split: path / f"{split}.csv" for split in ("train", "test")}
    if tables["train"].is_file():
        found = {}
        for split, file in tables.items():  # the test part's columns are those to train on
            if file.is_file():
                found[split] = read_table(file, reading.label,
                                          order=order or found and found["train"].names)
        return ({split: (table.values, table.labels) for split, table in found.items()},
                found["train"], [])
    parts, said = {}, []
    for split, folder in _below(path).items():
        pixels, labels, left = read_pictures_by_class(folder, reading.image)
        parts[split] = pixels, labels
        said += left
    wanted = reading.image[2] if reading.image and len(reading.image) == 3 else None
    grey = wanted == 1 or wanted is None and all(
        (pixels == pixels[..., :1]).all() for pixels, _ in parts.values())
    return {split: (np.stack([np.asarray(Image.fromarray(picture).convert("L"))
                              for picture in pixels]) if grey else pixels, labels)
            for split, (pixels, labels) in parts.items()}, None, said


def _npz(path):
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise DataError(f"{path}: {amount(size)}, a set has at most "
                            f"{amount(MAX_FILE)}: take fewer samples, or smaller "
                            "numbers such as uint8")
        arrays = Arrays(path.read_bytes(), texts=True)
        there = {name.lower(): name for name in arrays.names}
        pairs = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
        if "x_train" not in there:
            pairs = {"train": ("x", "y")}
        pairs = {split: pair for split, pair in pairs.items()
                 if split == "train" or pair[0] in there}
        missing = [name for pair in pairs.values() for name in pair if name not in there]
        if missing:
            raise DataError(f"{path}: no array {missing[0]}: a set has x_train and y_train, and "
                            "perhaps x_test and y_test, or x and y; there is "
                            f"{', '.join(arrays.names[:8])[:200] or 'nothing'}")
        return {split: tuple(_array(path, arrays, there[name]) for name in pair)
                for split, pair in pairs.items()}, None, []
    except OSError as error:
        raise DataError(said_of(error)) from None
    except ArrayError as error:
        raise DataError(f"{path}: {error}") from None


def _array(path, arrays, name):
    try:
        found = arrays[name]
    except ArrayError as error:
        hint = ": objects are rows of different lengths, or pickled: save plain numbers, rows " \
            "padded to one length" * ("object" in str(error))
        raise DataError(f"{path}: {name}: {error}{hint}") from None
    if name[0] in "xX" and found.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} is {found.dtype}: samples are numbers")
    return found


def _laid_out(where, values, reading, said):
    """The values as [N, n], [N, H, W, C] or [N, T, n]."""
    shape = values.shape
    if reading.stream:
        if values.ndim < 2:
            raise DataError(f"{where}: {list(shape)} has no steps: [N, T, n] are needed")
        return values.reshape(*shape[:2], prod(shape[2:]))
    if values.ndim == 2 and reading.image:
        image = reading.image if len(reading.image) == 3 else (
            *reading.image, max(1, shape[1] // prod(reading.image)))
        if prod(image) != shape[1]:
            raise DataError(f"{where}: rows of {shape[1]} columns are no images of "
                            f"{sides(reading.image)}: leave out --image or correct it")
        return values.reshape(len(values), *image)
    if values.ndim not in (2, 3, 4):
        raise DataError(f"{where}: samples are [N, n], [N, H, W] or [N, H, W, C], not "
                        f"{list(shape)}; streams [N, T, n] with --stream")
    # windows of a sensor, [N, W, C], are maps of one row
    if len(reading.image or ()) == 3 and reading.image in (shape[1:], (1, *shape[1:])):
        return values.reshape(len(values), *reading.image)
    if len(reading.image or ()) == 3:
        height, width, channels = reading.image
        if shape[1:] in ((channels, height, width), (channels, width)[:2 * (height == 1)]):
            said.append("channels first, as in PyTorch: turned")
            return np.moveaxis(values.reshape(len(values), channels, height, width), 1, 3)
    if values.ndim == 3:
        if values.dtype != np.uint8:
            said.append(f"taken as grey images of {sides(shape[1:])}; for {shape[1]} steps of "
                        f"{shape[2]} channels say --stream")
        values = values[..., None]
    elif values.ndim == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        said.append("channels first, as in PyTorch: turned")
        values = np.moveaxis(values, 1, 3)
    if reading.image and values.shape[1:1 + len(reading.image)] != reading.image:
        raise DataError(f"{where}: images of {sides(values.shape[1:])}, not of "
                        f"{sides(reading.image)}: --image is for rows and pictures")
    return values
