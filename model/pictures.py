"""A user's pictures and arrays as the pixels of a network: what is taken, turned or refused.

A network takes rows of 8-bit pixels: the channels of a pixel side by side, then the pixels of a
row, then the rows. Counting pixels is not enough to tell one order from another, so these are the
rules, for everything that takes images. What is converted is said; what is refused is one
:class:`~qsnn.model.data.DataError` with what to do.

**Shapes.** With height H, width W and C channels of the network:

========================  ========================================================================
``[N, H, W, C]``          N images; ``[N, H, W]`` where C is 1
``[N, C, H, W]``          PyTorch's order: turned into the first
``[N, n]``                rows of n = H * W * C pixels, taken as they are
without the N             one image
other                     refused: rows and columns that are swapped, channels too many
========================  ========================================================================

A fully connected network knows n and no H and W: those are then the array's own, and C is 1 or 3.

**Values.**

========================  ========================================================================
``uint8``                 0 .. 255
other integers            the same; ``uint16`` with more: 16 bits, of which the leading 8 are taken
floats                    0 .. 1, times 255
``bool``                  0 and 255
========================  ========================================================================

**Pictures** (png, jpg, ...) are turned as their EXIF says, laid over black where they are
transparent, and made grey or three channels. A square picture is resized for a square network;
any other must have its height and width.

**A network of an own set** has a scale, see :mod:`qsnn.model.meaning`: its values are any numbers,
such as those of its training set; of a file with pictures, 8-bit pixels, which are resized to its
height and width. Many values beyond the scale, and borders that are bright where those of the
training set were dark, are said; ``invert`` True turns the images.

**Dark on bright.** Other networks of grey images have learned bright strokes on black. A grey image
whose border is mostly bright is refused until ``invert`` says what it is: True turns it, False
takes it as it is. ``[N, n]`` has no border, and colours have no rule.
"""

import warnings
from math import isqrt, prod
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from qsnn.model.arrays import ArrayError, DataError, read_npy
from qsnn.model.files import said

__all__ = ["as_pixels", "bright_borders", "dark_borders", "open_picture", "read_pictures",
           "resized"]

MAX_SIDE = 4096  # pixels: nothing larger is meant for a network of this kind
BEYOND = 0.1  # of the values: so many beyond a scale are no chance
BRIGHT = 150  # three quarters of a border that is paper are brighter; noise and photographs are not
VISIBLE = 64  # brightest pixel of what can be seen on black


def as_pixels(images, n_in, image=None, *, invert=None, say=print, name="images", meaning=None):
    """Pixels uint8 [N, n_in], 0 .. 255, of an array.

    image   height, width and channels of the network's images
            (:attr:`qsnn.model.description.Description.input_map`); None where it has but n_in
    invert  of dark images on a bright ground: True turns all images, False takes them as they are
    say     called with a sentence for each thing that is converted
    name    of the array, in sentences
    meaning of a network of an own set
    Raises :class:`qsnn.model.data.DataError`.
    """
    try:
        array = np.asarray(images)
    except ValueError:
        raise DataError(f"{name}: parts of different lengths: images are of one size") from None
    if not array.size:
        raise DataError(f"{name}: {_said(array.shape)} has no pixels: give one image at least")
    if meaning:
        return _as_meant(array, n_in, meaning, invert, name, say)
    array = _bytes(array, name, say)
    found = _laid_out(array, n_in, image, name, say)
    if found.ndim == 4 and found.shape[3] == 1 or invert:
        found = _on_black(found, invert, name, say)
    return found.reshape(len(found), n_in)


def read_pictures(path, n_in, image=None, *, invert=None, say=print, meaning=None):
    """The same of a file: ``.npy`` with an array, or a picture, which is one image."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder; name the pictures in it")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix == ".npy":
        return as_pixels(_array(path), n_in, image, invert=invert, say=say, name=str(path),
                         meaning=meaning)
    if meaning and not meaning.image:
        raise DataError(f"{path}: a picture, and the network takes rows of {n_in} numbers: give a "
                        ".csv or a .npy")
    if meaning:
        pixels = _picture(path, n_in, meaning.image or image, say, any_size=True)
        return _turned(_laid_out(pixels, n_in, meaning.image or image, str(path), say), n_in,
                       meaning, invert, str(path), say)
    return as_pixels(_picture(path, n_in, image, say), n_in, image, invert=invert, say=say,
                     name=str(path))


def _as_meant(array, n_in, meaning, invert, name, say):
    """Pixels of values that are scaled as those of the network's training set."""
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise DataError(f"{name}: finite numbers are needed, as in the network's training set")
    values = _laid_out(array, n_in, meaning.image, name, say).reshape(-1, *meaning.shape)
    if meaning.low:
        beyond = ((values < np.array(meaning.low)) | (values > np.array(meaning.high))).mean()
        if beyond > BEYOND:
            say(f"{name}: {beyond:.0%} of the values lie beyond those of the network's training "
                "set: are they scaled as those were?")
    elif values.min() < 0 or values.max() > 255:
        raise DataError(f"{name}: pixels must lie in 0 .. 255, as in the network's training set, "
                        f"found {values.min():g} .. {values.max():g}")
    return _turned(meaning.pixels(values), n_in, meaning, invert, name, say)


def _turned(pixels, n_in, meaning, invert, name, say):
    """Pixels as the network has learned them, bright on dark if there is a ground."""
    if meaning.inverted != bool(invert):
        pixels = 255 - pixels
    if invert:
        say(f"{name}: inverted")
    elif invert is None and meaning.ground and pixels.ndim == 4:
        odd = int(bright_borders(pixels).sum())
        if odd:
            which = f"{odd} of {len(pixels)} images look" if len(pixels) > 1 else "it looks"
            say(f"{name}: {which} inverted beside the network's training set: --invert "
                "(invert=True) turns, --as-is (invert=False) says nothing")
    return pixels.reshape(len(pixels), n_in)


def _bytes(array, name, say):
    """The values as uint8 0 .. 255, in the same shape."""
    kind, low, high = array.dtype.kind, array.min(initial=0), array.max(initial=0)
    if kind == "b":
        say(f"{name}: True and False are pixels of 255 and 0")
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        if not 0 <= low <= high <= 1:  # nor is a NaN
            raise DataError(f"{name}: floats must lie in 0 .. 1, found {low:g} .. {high:g}; give "
                            "pixels of 0 .. 255 as uint8, and undo a normalization")
        say(f"{name}: floats of 0 .. 1, times 255")
        return np.rint(array * 255).astype(np.uint8)
    if kind not in "iu":
        raise DataError(f"{name}: pixels are numbers, not {array.dtype}")
    if kind == "u" and array.dtype.itemsize == 2 and high:
        if high < 256:
            raise DataError(f"{name}: uint16 with nothing above {high}: are these 8 bits or 16? "
                            "Give 8-bit pixels as uint8")
        say(f"{name}: 16-bit pixels, the leading 8 bits are taken")
        return (array >> 8).astype(np.uint8)
    if low < 0 or high > 255:
        raise DataError(f"{name}: pixels must lie in 0 .. 255, found {low} .. {high}")
    if high == 1:
        raise DataError(f"{name}: integers of 0 and 1 alone, pixels are 0 .. 255: give them as "
                        "bool, or times 255")
    return array.astype(np.uint8)


def _laid_out(array, n_in, image, name, say):
    """The images as [N, H, W, C], or [N, n_in] where they are rows."""
    shape = array.shape
    if array.ndim in (1, 2) and shape[-1] == n_in:
        return array.reshape(-1, n_in)
    height, width, channels = image or _own_map(shape, n_in) or (0, 0, 0)
    if channels == 1 and array.ndim in (2, 3) and shape[-2:] == (height, width):
        return array.reshape(-1, height, width, 1)
    if array.ndim in (3, 4) and shape[-3:] == (height, width, channels):
        return array.reshape(-1, height, width, channels)
    if array.ndim in (3, 4) and shape[-3:] == (channels, height, width):
        say(f"{name}: {_said(shape)} has channels first, as in PyTorch: turned")
        return np.moveaxis(array.reshape(-1, channels, height, width), 1, 3)
    raise DataError(f"{name}: {_said(shape)} is not of images [N, "
                    + (f"{height}, {width}, {channels}]{_why(shape, height, width, channels)}"
                       if channels else f"{n_in}], nor of height, width and channels that come to "
                       f"{n_in} pixels"))


def _own_map(shape, n_in):
    """Height, width and channels of an array for a network that has none, or None."""
    if len(shape) in (2, 3) and prod(shape[-2:]) == n_in:
        return *shape[-2:], 1
    if len(shape) in (3, 4) and prod(shape[-3:]) == n_in:
        a, b, c = shape[-3:]
        return (a, b, c) if c in (1, 3) else (b, c, a) if a in (1, 3) else None
    return None


def _why(shape, height, width, channels):
    """What is wrong with a shape, where that is clear."""
    sides = shape[-3:-1] if len(shape) == 4 or channels > 1 else shape[-2:]
    if height != width and tuple(sides) == (width, height):
        return ": rows and columns are swapped, see numpy.swapaxes"
    if len(shape) in (3, 4) and shape[-3:-1] == (height, width):
        alpha = shape[-1] in (2, 4) and shape[-1] != channels
        return f": {shape[-1]} channels" + ", leave out alpha" * alpha
    return ""


def _said(shape):
    return f"[{', '.join(map(str, shape))}]"


def _on_black(images, invert, name, say):
    """Bright strokes on black, of grey images [N, H, W, 1]; of any others where they are turned."""
    if invert:
        say(f"{name}: inverted")
        return 255 - images
    if invert is None:
        bright = int(bright_borders(images).sum())
        if bright:
            which = f"{bright} of {len(images)} images are" if len(images) > 1 else "it is"
            raise DataError(f"{name}: {which} dark on bright, and networks know bright strokes on "
                            "black: say --invert (invert=True) to turn them, or --as-is "
                            "(invert=False)")
    return images


def bright_borders(images):
    """Which of the images uint8 [N, H, W, 1] have a border that is mostly bright, bool [N]."""
    return np.quantile(_border(images), 0.25, axis=1) > BRIGHT


def dark_borders(images):
    """Which have one that is mostly dark."""
    return np.quantile(_border(images), 0.75, axis=1) < 255 - BRIGHT


def _border(images):
    count = len(images)
    return np.concatenate([images[:, [0, -1]].reshape(count, -1),
                           images[:, :, [0, -1]].reshape(count, -1)], axis=1)


def _array(path):
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                raise DataError(f"{path}: a zip of arrays; give one array as .npy")
        return read_npy(path)
    except OSError as error:
        raise DataError(said(error)) from None
    except ArrayError as error:
        raise DataError(f"{path}: {error}") from None


def open_picture(path, say):
    """A picture of Pillow's, upright, opaque and in mode RGB; ``say`` gets what was converted."""
    large = f"more than {MAX_SIDE} pixels wide or high: make it smaller"
    try:
        with warnings.catch_warnings():
            # of many pixels Pillow warns before they can be counted here
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if max(picture.size) > MAX_SIDE:
                    raise DataError(f"{path}: {large}")
                return _flat(picture, path, say)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{path}: {large}") from None
    except Exception as error:  # a damaged file makes Pillow's readers raise anything
        raise DataError(f"{path}: not a picture ({error})") from None


def _picture(path, n_in, image, say, any_size=False):
    """A picture as an array uint8, [H, W] or [H, W, 3] as the network has them."""
    found = open_picture(path, say)
    height, width, channels = image or _square(n_in) or (found.height, found.width, 1)
    if channels not in (1, 3):
        raise DataError(f"{path}: a picture has 1 or 3 channels, the network takes {channels}: "
                        "give an .npy")
    colours = np.asarray(found)
    if channels == 1 and (colours != colours[..., :1]).any():
        say(f"{path}: made grey")
    found = found.convert("L" if channels == 1 else "RGB")
    if found.size != (width, height):
        if not any_size and (found.width != found.height or width != height):
            raise DataError(f"{path}: {found.width} x {found.height} pixels, the network takes "
                            f"{width} x {height}" + ", or square" * (width == height))
        say(f"{path}: resized from {found.width} x {found.height} to {width} x {height}")
        found = resized(found, (height, width))
    return np.asarray(found, dtype=np.uint8)


def resized(picture, size):
    """A picture of Pillow's with this height and width."""
    smaller = picture.width > size[1]
    return picture.resize((size[1], size[0]),
                          Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)


def _flat(picture, path, say):
    """The first frame, upright, opaque and of 8 bits a channel, in mode RGB."""
    if getattr(picture, "n_frames", 1) > 1:
        say(f"{path}: the first of {picture.n_frames} frames")
    upright = ImageOps.exif_transpose(picture)
    if picture.getexif().get(0x0112, 1) != 1:  # orientation
        say(f"{path}: turned as its EXIF says")
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return Image.fromarray(_bytes(np.asarray(upright), path, say)).convert("RGB")
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    upright = upright.convert("RGBA")
    laid = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright).convert("RGB")
    low, high = upright.getextrema()[3]
    if low < 255:
        if high and np.asarray(laid).max() < VISIBLE:
            raise DataError(f"{path}: dark strokes on nothing, of which black leaves nothing to be "
                            "seen: lay it over white and say --invert (invert=True)")
        say(f"{path}: transparent, laid over black")
    return laid


def _square(n_in):
    """Height, width and channels of images that are square, grey or in colour; None if not."""
    for channels in (1, 3):
        side = isqrt(n_in // channels)
        if channels * side * side == n_in:
            return side, side, channels
    return None
