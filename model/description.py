"""The description of a network: integers and shapes, and nothing else.

It is the only thing that the golden model, the hardware and the reports read. What the integers
mean is defined in :mod:`qsnn.model.golden`. A description is saved as one safetensors file: the
tensors, and one JSON header under the metadata key ``qsnn``. Everything is checked on reading,
sizes before anything is allocated; whatever is wrong with a file, the answer is one
:class:`DescriptionError` with a sentence.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from qsnn.model.codes import CODES
from qsnn.model.files import amount, write_whole
from qsnn.model.layers import (
    MAX_FRAC,
    MAX_KERNEL,
    MAX_NEURONS,
    MAX_POOL,
    MAX_SHIFT,
    MAX_SIDE,
    MAX_TAPS,
    MAX_TIME_STEPS,
    MAX_WEIGHTS,
    Convolution,
    Current,
    DescriptionError,
    FullyConnected,
    Readout,
    Skip,
    Spiking,
    by,
    check,
    check_choice,
)
from qsnn.model.meaning import Meaning

__all__ = ["MAX_FRAC", "MAX_SHIFT", "Convolution", "Current", "Description", "DescriptionError",
           "FullyConnected", "Readout", "Skip", "load", "save"]

VERSION = 1
MAX_LAYERS = 64
SIDES = ("kernel", "stride", "padding", "pool_size")  # of a convolution, rows and columns
MAX_FILE = 1 << 27  # bytes
MAX_HEADER = 1 << 17  # bytes: the JSON that is parsed before anything is known
OTHERS = {  # what files begin with that are often taken for one
    b"PK": "a zip archive, such as PyTorch's .pt or NumPy's .npz",
    b"\x80": "a pickle, such as PyTorch's older .pt", b"\x93NUMPY": "an array of NumPy",
    b"\x89HDF": "an HDF5 file", b"{": "JSON", b"version https://git-lfs": "a pointer of Git LFS"}
OURS = "a network here is integers, a .qsnn file, as qsnn train writes it"
MAX_SENTENCE = 250  # characters: a hostile file chooses some of them


@dataclass(frozen=True, eq=False, kw_only=True)
class Description:
    """A network: ``layers`` in order, all :class:`~qsnn.model.layers.Spiking` but the last
    :class:`~qsnn.model.layers.Readout`.

    The first layer's ``input_bits`` is the width of a pixel; an image is ``layers[0].n_in``
    pixels, shown at all ``time_steps`` (1 .. 64) steps. A convolution takes a map, the image or
    what a convolution gives, and any other layer takes it as a row, see :mod:`qsnn.model.layers`.

    ``time_steps`` 0 is a stream: each step has inputs of its own, spikes, and there is no last
    one. Its fully connected layers may see earlier steps, their own spikes among them.

    ``meaning`` says what inputs and labels stand for, of a network of somebody's own data.
    """

    time_steps: int
    layers: tuple
    meaning: Meaning | None = None

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        check_choice("time_steps", self.time_steps, range(MAX_TIME_STEPS + 1))
        check(2 <= len(self.layers) <= MAX_LAYERS, "a network has a readout and 1 to "
              f"{MAX_LAYERS - 1} hidden layers, not {len(self.layers)} layers")
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            check(isinstance(layer, Readout if last else Spiking),
                  f"layer {index} must be {'a readout' if last else 'of spiking neurons'}")
        for index, (a, b) in enumerate(zip(self.layers, self.layers[1:], strict=False), 1):
            _check_neighbours(index, a, b)
            if b.skip:
                self._check_skip(index, b)
        for index, layer in enumerate(self.layers):
            (_check_stream if self.stream else _check_image)(index, layer)
        window = Readout.window_of(self.time_steps)
        check(self.stream or self.readout.window == window, f"an image of {self.time_steps} time "
              f"steps has a readout with window {window}, not {self.readout.window}")
        check(self.layers[0].skip is None, "layer 0 cannot have a skip: no layer is before it")
        check(self.weight_bits <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")
        if self.meaning:
            means = self.meaning.stream, self.meaning.inputs, len(self.meaning.classes)
            check(means == (self.stream, self.n_in, self.classes),
                  "its meaning is that of another network")

    def _check_skip(self, index, layer):
        skip, where = layer.skip, f"layer {index}: the skip"
        # the layer before cannot be meant: nothing would be skipped
        check(skip.source < index - 1, f"{where} must come from a layer before layer {index - 1}, "
              f"not from layer {skip.source}")
        source = self.layers[skip.source]
        check(source.kind == "convolution" and source.output_bits == 1,
              f"{where} must come from a convolution that gives spikes")
        height, width, channels = source.output_map
        wanted = layer.channels if skip.weights is None else skip.weights.shape[1]
        check(channels == wanted, f"{where} takes {wanted} channels but layer {skip.source} has "
              f"{channels}")
        for name, side, found, stride, pool in zip(
                ("rows", "columns"), (height, width), (layer.out_height, layer.out_width),
                skip.stride, layer.pool_size, strict=True):
            left = -(-side // stride)
            check(0 <= left - found < pool, f"{where} gives {left} {name} with stride "
                  f"{stride} but the neurons have {found}")

    @property
    def stream(self):
        """Whether it takes steps without an end, in place of images."""
        return self.time_steps == 0

    @property
    def hidden(self):
        return self.layers[:-1]

    @property
    def readout(self):
        return self.layers[-1]

    @property
    def input_bits(self):
        return self.layers[0].input_bits

    @property
    def n_in(self):
        return self.layers[0].n_in

    @property
    def input_map(self):
        """Height, width and channels of an image, or None where it is but a row of pixels."""
        first = self.layers[0]
        return ((first.height, first.width, first.channels_in) if first.kind == "convolution"
                else None)

    @property
    def outputs(self):
        """Scores of a result."""
        return self.readout.n_out

    @property
    def classes(self):
        """Classes that labels tell apart: one output has two, below and above 0."""
        return max(2, self.outputs)

    @property
    def shape(self):
        """Widths as a word, for example ``784-256-10``, or ``28x28x1-c16k3-p2-fc64-10``.

        The words are those of :mod:`qsnn.model.architecture`.
        """
        if self.input_map is None and not self.stream:
            return "-".join(str(n) for n in (self.n_in, *(layer.n_out for layer in self.layers)))
        words = ["x".join(map(str, self.input_map or (self.n_in,)))]
        for layer in self.hidden:
            words += layer_words(layer)
        return "-".join([*words, str(self.outputs)])

    @property
    def weight_bits(self):
        """Bits of all weights."""
        return sum(layer.weights.size * layer.weight_bits for layer in self.layers) + sum(
            layer.skip.weights.size for layer in self.layers
            if layer.skip and layer.skip.weights is not None) + sum(
            layer.recurrent.size * layer.weight_bits for layer in self.layers
            if layer.recurrent is not None)

    def tobytes(self):
        """The file's bytes: the same for the same integers, on every machine."""
        header = _Header(version=VERSION, time_steps=self.time_steps, meaning=self.meaning,
                         layers=tuple(_layer_header(layer) for layer in self.layers))
        tensors = {}
        for index, layer in enumerate(self.layers):
            tensors[f"{index}.weights"] = _packed(layer.planes)
            tensors[f"{index}.bias"] = layer.bias
            for name in parameter_names(layer)[1:]:
                tensors[f"{index}.{name}"] = (layer.current.bias if name == "bias_current"
                                              else getattr(layer, name))
            if layer.skip and layer.skip.weights is not None:
                tensors[f"{index}.skip"] = _packed(CODES["odd"].to_planes(layer.skip.weights, 1))
            if layer.recurrent is not None:
                tensors[f"{index}.recurrent"] = _packed(
                    layer.code.to_planes(layer.recurrent, layer.weight_bits))
        # one metadata key: safetensors keeps no order between several
        return to_safetensors(tensors, metadata={
            "qsnn": header.model_dump_json(exclude_defaults=True)})

    @property
    def hash(self):
        """SHA-256 of :meth:`tobytes`: names the network in artefacts."""
        return hashlib.sha256(self.tobytes()).hexdigest()


def parameter_names(layer):
    """The integers that each channel of a layer, or of its header, has; the bias first."""
    if layer.kind == "readout":
        return ("bias",)
    return ("bias", "threshold", *(["bias_fired"] if layer.reset == "subtract" else []),
            *(["bias_current"] if layer.current else []))


def _check_stream(index, layer):
    check(index or layer.input_bits == 1, "a stream has inputs of 1 bit")
    check(layer.skip is None, f"layer {index} has a skip: only a network for images has those")


def _check_image(index, layer):
    check(layer.taps == 1 and layer.recurrent is None,
          f"layer {index} sees earlier steps: only a stream, with time_steps 0, has those")


def _check_neighbours(index, a, b):
    """Whether a layer, the index-th, can take what the one before it gives."""
    if b.kind == "convolution":
        check(a.kind == "convolution", f"layer {index} is a convolution and cannot follow a fully "
              "connected layer, which has no map")
        found = (b.height, b.width, b.channels_in)
        check(a.output_map == found, f"layer {index - 1} gives a map of {_sides(a.output_map)} but "
              f"layer {index} takes {_sides(found)}")
    check(a.n_outputs == b.n_in, f"layer {index - 1} has {a.n_outputs} "
          f"{'neurons' if a.kind == 'fully_connected' else 'outputs'} but layer {index} {b.n_in} "
          "inputs")
    check(a.output_bits == b.input_bits, f"layer {index} must take "
          f"{'spikes' if a.output_bits == 1 else 'sums'} of {a.output_bits} "
          f"bit{'s' * (a.output_bits > 1)}")


def _sides(sides):
    return " x ".join(map(str, sides))


def layer_words(layer):
    """A hidden layer in the words of :mod:`qsnn.model.architecture`."""
    weights = f"w{layer.weight_bits}{layer.code.suffix}" * (layer.weight_bits > 1)
    if layer.kind == "fully_connected":
        return [f"fc{layer.n_out}{weights}" + f"t{layer.taps}" * (layer.taps > 1)
                + "r" * (layer.recurrent is not None)]
    kernel, size = layer.kernel, by(layer.pool_size, "x")
    word = f"c{layer.channels}k{by(kernel, 'x')}"
    word += f"s{by(layer.stride, 'x')}" * (layer.stride != (1, 1))
    word += f"p{by(layer.padding, 'x')}" * (layer.padding != (kernel[0] // 2, kernel[1] // 2))
    word += weights + (f"+{layer.skip.source}" if layer.skip else "")
    pool = {"none": [], "max": [f"p{size}"], "sum": [f"a{size}"]}
    return [word, *pool[layer.pool]]


_Width = Annotated[int, Field(ge=1, le=MAX_NEURONS)]
_WeightBits = Literal[1, 2, 4, 8]
_WeightCode = Literal["odd", "integer"]
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _CurrentHeader(_Strict):
    bits: int
    leak: tuple[int, int]
    shift: int


class _FullyConnectedHeader(_Strict):
    kind: Literal["fully_connected"]
    n_in: _Width
    n_out: _Width
    input_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int
    weight_bits: _WeightBits = 1
    weight_code: _WeightCode = "odd"
    leak: tuple[int, int] = (1, 1)
    reset: Literal["zero", "subtract"] = "zero"
    current: _CurrentHeader | None = None
    taps: Annotated[int, Field(ge=1, le=MAX_TAPS)] = 1
    recurrent: bool = False

    @property
    def fan_in(self):
        return self.n_in * self.taps

    @property
    def channels(self):
        return self.n_out


class _SkipHeader(_Strict):
    source: int
    stride: int
    shift: int
    channels_in: _Width | None = None
    stride_columns: int | None = None


class _ColumnsHeader(_Strict):
    """What a convolution has for columns, where that is not what it has for rows."""

    kernel: Annotated[int, Field(ge=1, le=MAX_KERNEL)]
    stride: int
    padding: int
    pool_size: Annotated[int, Field(ge=1, le=MAX_POOL)]


class _ConvolutionHeader(_Strict):
    kind: Literal["convolution"]
    input_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int
    weight_bits: _WeightBits = 1
    weight_code: _WeightCode = "odd"
    leak: tuple[int, int] = (1, 1)
    reset: Literal["zero", "subtract"] = "zero"
    current: _CurrentHeader | None = None
    height: _Side
    width: _Side
    channels_in: _Width
    channels: _Width
    kernel: Annotated[int, Field(ge=1, le=MAX_KERNEL)]
    stride: int
    padding: int
    pool: Literal["none", "max", "sum"] = "none"
    pool_size: Annotated[int, Field(ge=1, le=MAX_POOL)] = 1
    skip: _SkipHeader | None = None
    columns: _ColumnsHeader | None = None

    def sides(self, name):
        """Rows and columns of a field."""
        return getattr(self, name), getattr(self.columns or self, name)

    @property
    def fan_in(self):
        rows, columns = self.sides("kernel")
        return rows * columns * self.channels_in


class _ReadoutHeader(_Strict):
    kind: Literal["readout"]
    n_in: _Width
    n_out: _Width
    frac: int
    input_bits: int = 1
    weight_bits: _WeightBits = 1
    weight_code: _WeightCode = "odd"
    window: int = 8
    leak: tuple[int, int] = (1, 0)

    @property
    def fan_in(self):
        return self.n_in

    @property
    def channels(self):
        return self.n_out


class _Header(_Strict):
    version: int
    time_steps: int
    layers: Annotated[tuple[Annotated[_FullyConnectedHeader | _ConvolutionHeader | _ReadoutHeader,
                                      Field(discriminator="kind")], ...],
                      Field(min_length=2, max_length=MAX_LAYERS)]
    meaning: Meaning | None = None


class _Versioned(BaseModel):
    version: int


_KINDS = {"fully_connected": (FullyConnected, _FullyConnectedHeader),
          "convolution": (Convolution, _ConvolutionHeader),
          "readout": (Readout, _ReadoutHeader)}


def _layer_header(layer):
    header = _KINDS[layer.kind][1]
    fields = {name: getattr(layer, name) for name in header.model_fields
              if name not in ("skip", "columns", "current")}
    if layer.kind == "convolution":
        rows, columns = ({name: fields[name][axis] for name in SIDES} for axis in range(2))
        fields |= rows | {"columns": None if rows == columns else _ColumnsHeader(**columns)}
    if "recurrent" in fields:
        fields["recurrent"] = layer.recurrent is not None
    if layer.skip:
        skip = layer.skip
        fields["skip"] = _SkipHeader(
            source=skip.source, stride=skip.stride[0], shift=skip.shift,
            stride_columns=None if skip.stride[0] == skip.stride[1] else skip.stride[1],
            channels_in=None if skip.weights is None else skip.weights.shape[1])
    if getattr(layer, "current", None):
        current = layer.current
        fields["current"] = _CurrentHeader(bits=current.bits, leak=current.leak,
                                           shift=current.shift)
    return header(**fields)


def save(description, path):
    """Write a description; the file appears whole or not at all."""
    write_whole(path, description.tobytes())


def load(path):
    """Read and check a description. Raises :class:`DescriptionError`, whatever is wrong."""
    path = Path(path)
    try:
        check(not path.is_dir(), "a folder; name the .qsnn file in it")
        check(path.is_file(), "no such file")
        size = path.stat().st_size
        check(size <= MAX_FILE, f"{amount(size)}, a description has at most {amount(MAX_FILE)}")
        with open(path, "rb") as file:
            _check_start(file.read(32))
        with safe_open(path, framework="numpy") as file:
            return _read(file)
    except DescriptionError as error:
        sentence = str(error)
    except OSError as error:
        sentence = error.strerror or str(error)
    except SafetensorError as error:
        sentence = f"not a readable description ({error})"
    # parts of the file may be quoted: nothing that a terminal obeys, and not a page of it
    sentence = "".join(c if c.isprintable() else "?" for c in sentence[:MAX_SENTENCE])
    raise DescriptionError(f"{path}: {sentence}")


def _check_start(start):
    """Whether a file may be one, by its first bytes: the size of its JSON, and a brace."""
    for magic, kind in OTHERS.items():
        check(not start.startswith(magic) or start[8:9] == b"{", f"{kind}: {OURS}")
    check(int.from_bytes(start[:8], "little") <= MAX_HEADER, f"not a network, or damaged: {OURS}")


def _read(file):
    header = _header((file.metadata() or {}).get("qsnn"))
    names, size = set(), 0
    for index, layer in enumerate(header.layers):
        names |= {f"{index}.{name}" for name in ("weights", *parameter_names(layer))}
        size += layer.fan_in * layer.channels * layer.weight_bits
        if skip_channels(layer):
            names.add(f"{index}.skip")
            size += skip_channels(layer) * layer.channels
        if getattr(layer, "recurrent", False):
            names.add(f"{index}.recurrent")
            size += layer.channels ** 2 * layer.weight_bits
    check(set(file.keys()) == names, "the tensors are not those that the header names")
    check(size <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")
    return Description(time_steps=header.time_steps, meaning=header.meaning, layers=tuple(
        _read_layer(file, index, layer) for index, layer in enumerate(header.layers)))


def skip_channels(header):
    """Channels that the weights of a layer's skip take; 0 where there are none."""
    skip = getattr(header, "skip", None)
    return skip.channels_in or 0 if skip else 0


def _header(text):
    check(text is not None, f"tensors, but no network: {OURS}")
    try:
        version = _Versioned.model_validate_json(text).version
        check(version == VERSION, f"format version {version}, this program reads {VERSION}")
        return _Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise DescriptionError(f"bad header: {where}: {first['msg']}") from None


def _read_layer(file, index, header):
    n_out = header.channels
    code = header.weight_code
    weights = _unpacked(file, f"{index}.weights", n_out, header.fan_in, header.weight_bits, code)
    fields = header.model_dump(exclude={"kind", "n_in", "n_out", "channels_in", "channels",
                                        "kernel", "skip", "recurrent", "columns"})
    if header.kind == "convolution":
        weights = weights.reshape(n_out, *header.sides("kernel"), header.channels_in)
        fields |= {name: header.sides(name) for name in SIDES if name != "kernel"}
    fields["weights"] = weights
    for name in parameter_names(header):
        fields[name] = _tensor(file, f"{index}.{name}", "I64", [n_out])
    try:
        if fields.get("current"):
            fields["current"] = Current(**fields["current"], bias=fields.pop("bias_current"))
        if getattr(header, "skip", None):
            channels = skip_channels(header)
            skip = header.skip
            fields["skip"] = Skip(
                source=skip.source, shift=skip.shift,
                stride=skip.stride if skip.stride_columns is None
                else (skip.stride, skip.stride_columns),
                weights=_unpacked(file, f"{index}.skip", n_out, channels) if channels else None)
        if getattr(header, "recurrent", False):
            fields["recurrent"] = _unpacked(file, f"{index}.recurrent", n_out, n_out,
                                            header.weight_bits, code)
        return _KINDS[header.kind][0](**fields)
    except DescriptionError as error:
        raise DescriptionError(f"layer {index}: {error}") from None


def _packed(planes):
    """Bit planes of weights, eight a byte. One plane has no dimension of its own."""
    packed = np.packbits(planes, axis=2, bitorder="little")
    return packed[0] if len(planes) == 1 else packed


def _unpacked(file, name, n_out, fan_in, bits=1, code="odd"):
    """Weights [n_out, fan_in] of the tensor that :func:`_packed` made."""
    shape = [n_out] if bits == 1 else [bits, n_out]
    packed = _tensor(file, name, "U8", [*shape, (fan_in + 7) // 8])
    planes = np.unpackbits(packed, axis=-1, bitorder="little")
    check(not planes[..., fan_in:].any(), f"{name}: bits set beyond the last input")
    return CODES[code].from_planes(planes[..., :fan_in].reshape(bits, n_out, fan_in))


def _tensor(file, name, dtype, shape):
    """A tensor, its type and shape compared before its memory is taken."""
    found = file.get_slice(name)
    check((found.get_dtype(), list(found.get_shape())) == (dtype, shape),
           f"{name} is {found.get_dtype()} {found.get_shape()}, expected {dtype} {shape}")
    return file.get_tensor(name)
