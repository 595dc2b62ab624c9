"""The folding that somebody asks for: in numbers, in a file, or by the cycles that it may take."""

import json
from pathlib import Path

from qsnn.hw.plan.folding import (
    Folding,
    FoldingError,
    SerialFolding,
    default_folding,
    default_serial,
    from_row,
)

__all__ = ["choose_folding", "default_cycles", "first_serial"]

MAX_FILE = 1 << 20  # characters of a folding

DEFAULT_CYCLES = 800  # an image: 60,000 images/s at 50 MHz
DEFAULT_SYNAPSES = 256  # at once, where that many cycles would need more


def first_serial(description, serial=None):
    """Index of the first time-serial layer: behind a stream's convolutions; by default none in
    images.
    """
    if description.stream:
        if serial:
            raise FoldingError("all layers of a stream are serial: leave out --serial")
        return sum(layer.kind == "convolution" for layer in description.layers)
    return len(description.layers) if serial is None else serial


def default_cycles(description):
    """Cycles of an image to aim at where nobody says how many."""
    synapses = sum(layer.fan_in * layer.weight_bits * layer.n_out for layer in description.layers)
    maps = description.input_map is not None
    return max(DEFAULT_CYCLES, synapses // DEFAULT_SYNAPSES) if maps else DEFAULT_CYCLES


def choose_folding(description, *, pe=None, simd=None, pixels=None, dense=False, serial=None,
                   file=None, cycles=None):
    """The folding of each layer, a :class:`qsnn.hw.plan.folding.Folding` or
    :class:`qsnn.hw.plan.folding.SerialFolding`.

    pe, simd, pixels  numbers with commas, one a layer, in place of the default's
    dense             serial layers read all words of inputs
    serial            index of the first time-serial layer
    file              JSON, a list with one ``{"pe": 16, "simd": 16}`` for each layer; there may be
                      "pixels" and "spram", or ``"serial": true`` and "sparse"
    cycles            that an image, or a step of a stream, may take

    Raises :class:`qsnn.hw.plan.folding.FoldingError`.
    """
    begin = first_serial(description, serial)
    if file is not None:
        if pe or simd or pixels or dense or serial is not None:
            raise FoldingError("a folding file takes the place of --pe, --simd, --pixels, --dense "
                               "and --serial: give one of them")
        return _read(file, begin)
    if pixels and begin == 0:
        raise FoldingError("--pixels is for convolutions: leave it out")
    if dense and begin == len(description.layers):
        raise FoldingError("--dense is for layers that are serial: leave it out, or say --serial")
    default = _default(description, begin, cycles)
    count = len(description.layers)
    pes = _numbers("--pe", pe, count) if pe else [folding.pe for folding in default]
    simds = _numbers("--simd", simd, count) if simd else [folding.simd for folding in default]
    # those of the default are for all channels at once, which another PE may not be
    pixels = _numbers("--pixels", pixels, count) if pixels else [
        1 if pe else folding.pixels for folding in default]
    for index, value in enumerate(pixels[begin:], begin):
        if value != 1:
            raise FoldingError(f"layer {index} is serial: its pixels are 1, not {value}")
    return [*(Folding(*pair, pixels=at_once) for *pair, at_once in zip(
                pes[:begin], simds[:begin], pixels, strict=False)),
            *(SerialFolding(*pair, not dense) for pair in zip(pes[begin:], simds[begin:],
                                                              strict=True))]


def _default(description, begin, cycles):
    """The smallest folding with about so many cycles, or with a usual number of them."""
    layers = description.layers
    if begin == 0:
        return default_serial(layers, cycles)
    cycles = cycles or default_cycles(description)
    parallel = default_folding(description, cycles)[:begin]
    steps = max(1, description.time_steps)
    return [*parallel, *default_serial(layers[begin:], max(1, cycles // steps))]


def _numbers(option, text, count):
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise FoldingError(f"{option} takes whole numbers with commas, not {text!r}") from None
    if len(numbers) != count:
        raise FoldingError(f"{option} needs {count} numbers, one a layer, not {len(numbers)}")
    return numbers


def _read(file, begin):
    """The foldings of a file; layers from ``begin`` on are serial where they do not say it."""
    sentence = f'{file}: not a folding, a list of {{"pe": 16, "simd": 16}} for each layer'
    try:
        with Path(file).open() as source:
            rows = json.loads(source.read(MAX_FILE))
    except OSError as error:
        raise FoldingError(f"{sentence} ({error.strerror})") from None
    except (RecursionError, ValueError):
        raise FoldingError(f"{sentence} (it is no JSON)") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FoldingError(sentence)
    foldings = []
    for index, row in enumerate(rows):
        try:
            foldings.append(from_row(row, index >= begin))
        except FoldingError as error:
            raise FoldingError(f"{sentence} (layer {index}: {error})") from None
    return foldings
