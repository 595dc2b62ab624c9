"""A user's pictures and arrays as the pixels of a network."""

from math import isqrt
from pathlib import Path

import numpy as np
from PIL import Image

from qsnn.model.data import DataError

__all__ = ["read_pictures"]

MAX_SIDE = 4096  # pixels: nothing larger is meant for a network of this kind


def read_pictures(path, n_in):
    """Pixels uint8 [N, n_in], 0 .. 255, of one file. Raises :class:`DataError` with a sentence.

    ``.npy``  uint8, one image or several: the last axis, or the last two or three, have n_in
              numbers
    other     a picture, made grey; it has n_in pixels, or is square and the network's images are
              too: then it is resized. In colour where n_in is three times a square

    Bright strokes on black are what MNIST has; nothing is inverted.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return _array(path, n_in) if path.suffix == ".npy" else _picture(path, n_in)


def _array(path, n_in):
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an array ({error})") from None
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise DataError(f"{path}: pixels must be uint8, not {getattr(array, 'dtype', 'a zip')}")
    for axes in (1, 2, 3):
        if array.ndim in (axes, axes + 1) and np.prod(array.shape[-axes:]) == n_in:
            return array.reshape(-1, n_in)
    raise DataError(f"{path}: shape {list(array.shape)} is not of images with {n_in} pixels")


def _picture(path, n_in):
    try:
        with Image.open(path) as picture:
            if max(picture.size) > MAX_SIDE:
                raise DataError(f"{path}: more than {MAX_SIDE} pixels wide or high")
            colours = 3 if isqrt(n_in) ** 2 != n_in and isqrt(n_in // 3) ** 2 * 3 == n_in else 1
            found = picture.convert("RGB" if colours == 3 else "L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a picture ({error})") from None
    width, height = found.size
    pixels, side = n_in // colours, isqrt(n_in // colours)
    if width * height != pixels:
        if width != height or side * side != pixels:
            wanted = f"{side} x {side}, or square" if side * side == pixels else f"{pixels} in all"
            raise DataError(f"{path}: {width} x {height} pixels, the network takes {wanted}")
        found = found.resize((side, side), Image.Resampling.BOX if width > side else
                             Image.Resampling.BILINEAR)
    return np.asarray(found, dtype=np.uint8).reshape(1, n_in)
