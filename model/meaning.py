"""What the inputs and the labels of a network mean: the facts of its data set that go with it.

A network of somebody's own data takes numbers of any size and gives names. The facts that turn one
into the other come from the training part of the set, once, and are kept in the network's
description: whatever is given later goes the same way, here, and is integers from here on.

**Scale.** A value ``v`` becomes 8 bits, a pixel, between two numbers that nearly all values of the
training part lie between (all but 0.1 % on each side)::

    pixel = rint((min(max(v, low), high) - low) * 255 / (high - low))      0 where low = high

in IEEE doubles, ties to even. An image has one ``low`` and ``high``; a row has those of each
column, a stream those of each channel. Without them values are 8-bit pixels, or spikes, already.

**Polarity.** Pixels of grey images that were dark on bright are turned, 255 - pixel, so that what
is nothing is 0.

**Spikes.** In a stream each pixel is :func:`qsnn.model.encoders.thermometer` with ``levels``; the
spikes of channel 0 come first. Without levels it is a spike, 0 or 1, as it is. Sounds, steps of
20 ms, are encoded by :mod:`qsnn.model.audio`, which the Verilog can do too.
"""

from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from qsnn.model.audio import BANDS, FRAME, LEVELS, sound
from qsnn.model.encoders import thermometer
from qsnn.model.reading import Shaped

__all__ = ["MAX_CLASSES", "MAX_SCALES", "Meaning", "even_levels", "scale_of"]

MAX_CLASSES = 1000
MAX_NAME = 40  # characters
MAX_SCALES = 2048  # columns with a scale of their own: they stand in a header of JSON
QUANTILE = 0.001  # of the values of a training part that lie below low, and above high
PIECE = 1 << 22  # values that are turned at once


def _printable(name):
    if not name.isprintable():
        raise ValueError("a name of printable characters is needed")
    return name


_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printable)]
_Side = Annotated[int, Field(ge=1, le=1 << 16)]


class Meaning(Shaped, BaseModel):
    """The facts of a data set.

    classes    their names, in the order of the labels
    shape      of a sample: (n,) a row, (height, width, channels) an image, (steps, n) a stream
    low, high  of the scale: none, one, or one a column; see the top of this page
    inverted   whether pixels are turned
    ground     whether images have a dark border, once they are turned: one with a bright border
               is then not what the network has learned
    levels     of the thermometer of a stream
    encoder    of sounds; else empty
    label      the column of a table that has the labels
    split      seed of the test part, of a set that has none of its own
    columns    names of the columns of a table, where it has them
    samples_sha256  of the samples and labels of the training part, before any was held out; empty:
               not known
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    classes: Annotated[tuple[_Name, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    shape: Annotated[tuple[_Side, ...], Field(min_length=1, max_length=3)]
    low: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_SCALES)] = ()
    high: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_SCALES)] = ()
    inverted: bool = False
    ground: bool = False
    levels: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(max_length=64)] = ()
    encoder: Literal["", "spoken-digits"] = ""
    label: Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_printable)] = ""
    split: Annotated[int, Field(ge=0, le=1 << 40)] = 0
    columns: Annotated[tuple[_Name, ...], Field(max_length=MAX_SCALES)] = ()
    samples_sha256: Annotated[str, Field(pattern="^([0-9a-f]{16})?$")] = ""

    @model_validator(mode="after")
    def _whole(self):
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have one name")
        if len(self.low) != len(self.high) or len(self.low) not in (0, 1, self.shape[-1]):
            raise ValueError("low and high must be none, one, or one a column")
        if self.columns and (len(self.columns) != prod(self.shape)
                             or len(set(self.columns)) < len(self.columns)):
            raise ValueError("columns need a name each, of their own")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("low must not be above high")
        if self.levels and (not self.stream or any(
                a >= b for a, b in zip(self.levels, self.levels[1:], strict=False))):
            raise ValueError("levels rise, and are of a stream")
        if self.encoder and (self.shape[1:] != (FRAME,) or self.levels or self.low):
            raise ValueError(f"sounds are steps of {FRAME} samples, without scale and levels")
        return self

    @property
    def inputs(self):
        """Pixels of an image or a row, or spikes of a step."""
        if self.encoder:
            return len(BANDS) * len(LEVELS)
        return self.shape[1] * max(1, len(self.levels)) if self.stream else prod(self.shape)

    def pixels(self, values):
        """8-bit pixels uint8 of values ``[N, *shape]``, before they are turned."""
        if not self.low:
            return np.asarray(values).astype(np.uint8)
        low, high = np.array(self.low), np.array(self.high)
        span = np.where(high > low, high - low, 1)
        pixels = np.empty(values.shape, np.uint8)
        for part in _pieces(values):
            inside = np.clip(values[part].astype(np.float64), low, high) - low
            pixels[part] = np.rint(inside * 255 / span)
        return pixels

    def samples(self, values):
        """What :func:`qsnn.model.data.load` gives, uint8 [N, n], of values
        ``[N, *shape]``."""
        if self.encoder:
            return sound(values.reshape(len(values), -1)).reshape(len(values), -1)
        pixels = self.pixels(values)
        if self.inverted:
            pixels = 255 - pixels
        if not self.levels:
            return pixels.reshape(len(pixels), -1)
        spikes = np.empty((len(pixels), self.shape[0] * self.inputs), np.uint8)
        for part in _pieces(pixels):
            spikes[part] = thermometer(pixels[part], self.levels).reshape(-1, spikes.shape[1])
        return spikes


def _pieces(values):
    """Slices of the first axis, each of some values."""
    step = max(1, PIECE // max(1, prod(values.shape[1:])))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def scale_of(values, columns):
    """``low`` and ``high`` of the values of a training part, [N, ..., n]: one, or one a column.

    They have six digits: a description is read by people too.
    """
    axes = tuple(range(values.ndim - 1)) if columns else None
    low = np.quantile(values, QUANTILE, axis=axes, method="lower")
    high = np.quantile(values, 1 - QUANTILE, axis=axes, method="higher")
    return tuple(tuple(float(f"{value:.6g}") for value in np.atleast_1d(bound))
                 for bound in (low, high))


def even_levels(count):
    """So many levels of a pixel, evenly apart."""
    return tuple(round(255 * (k + 1) / (count + 1)) for k in range(count))
