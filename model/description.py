"""The description of a network: integers and shapes, and nothing else.

It is the only thing that the golden model, the hardware and the reports read. What the integers
mean is defined in :mod:`model.golden`. A description is saved as one safetensors file: the
tensors, and one JSON header under the metadata key ``qsnn``. Everything is checked on reading,
sizes before anything is allocated; whatever is wrong with a file, the answer is one
:class:`DescriptionError` with a sentence.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

__all__ = ["Description", "DescriptionError", "FullyConnected", "Readout", "load", "save"]

VERSION = 1
MAX_NEURONS = 1 << 16
MAX_WEIGHTS = 1 << 26
MAX_LAYERS = 64
MAX_FILE = 1 << 27  # bytes
MAX_HEADER = 1 << 17  # bytes: the JSON that is parsed before anything is known
MAX_SENTENCE = 250  # characters: a hostile file chooses some of them
MAX_SHIFT = 24
MAX_FRAC = 8


class DescriptionError(ValueError):
    """A description, or the file that holds it, is not valid."""


def _check(condition, sentence):
    if not condition:
        raise DescriptionError(sentence)


def _check_choice(name, value, choices):
    # True is an int to isinstance, but neither a number here nor in a file
    _check(type(value) is type(choices[0]) and value in choices,
           f"{name} must be {choices[0]} .. {choices[-1]}, not {value!r}")


def _integers(name, array, shape, low, high):
    """A read-only int64 copy of ``array``, checked for type, shape and range."""
    array = np.asarray(array)
    _check(array.dtype.kind in "iu", f"{name} must be integers, not {array.dtype}")
    _check(array.shape == shape, f"{name} has shape {array.shape}, expected {shape}")
    _check(array.size == 0 or (low <= array.min() and array.max() <= high),
           f"{name} must lie in {low} .. {high}")
    array = array.astype(np.int64)
    array.flags.writeable = False
    return array


def _weights(array):
    array = np.asarray(array)
    _check(array.dtype.kind == "i", f"weights must be signed integers, not {array.dtype}")
    _check(array.ndim == 2, f"weights must have two dimensions, not {array.ndim}")
    n_out, n_in = array.shape
    _check(1 <= n_in <= MAX_NEURONS and 1 <= n_out <= MAX_NEURONS,
           f"a layer has 1 to {MAX_NEURONS} inputs and neurons, not {n_in} and {n_out}")
    _check(bool(((array == 1) | (array == -1)).all()), "weights must be -1 or +1")
    array = array.astype(np.int8)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, kw_only=True)
class FullyConnected:
    """A fully connected layer of spiking neurons, see :mod:`model.golden` for the arithmetic.

    weights        [n_out, n_in], -1 or +1
    threshold      [n_out], theta, in units of 2**-frac synapses
    bias           [n_out], beta: the neuron's bias plus half a membrane step, same units
    input_bits     1 for spikes, 1 .. 8 for the pixels that enter the first layer
    membrane_bits  b, 2 .. 8
    signed         membranes lie in -2**(b-1) .. 2**(b-1)-1, else in 0 .. 2**b-1
    shift          the membrane step is 2**shift units, 1 .. 24
    frac           fraction bits of the units, 0 .. 8
    """

    weights: np.ndarray
    threshold: np.ndarray
    bias: np.ndarray
    input_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int

    kind = "fully_connected"

    def __post_init__(self):
        for name, choices in (("input_bits", range(1, 9)), ("membrane_bits", range(2, 9)),
                              ("shift", range(1, MAX_SHIFT + 1)), ("frac", range(MAX_FRAC + 1)),
                              ("signed", (False, True))):
            _check_choice(name, getattr(self, name), choices)
        object.__setattr__(self, "weights", _weights(self.weights))
        for name, (low, high) in (("threshold", self.threshold_range), ("bias", self.bias_range)):
            values = _integers(name, getattr(self, name), (self.n_out,), low, high)
            object.__setattr__(self, name, values)

    @property
    def n_in(self):
        return self.weights.shape[1]

    @property
    def n_out(self):
        return self.weights.shape[0]

    @property
    def q_range(self):
        """Smallest and largest membrane."""
        low = -(1 << (self.membrane_bits - 1)) if self.signed else 0
        return low, low + (1 << self.membrane_bits) - 1

    @property
    def sum_range(self):
        """Smallest and largest sum of synapses that the shape allows."""
        return _sum_range(self.n_in, self.input_bits)

    @property
    def acc_range(self):
        """Smallest and largest value that is compared with the threshold."""
        return tuple((q << (self.shift - 1)) + (s << self.frac)
                     for q, s in zip(self.q_range, self.sum_range, strict=True))

    @property
    def threshold_range(self):
        """From 'always fires' to 'never fires': more would change nothing."""
        low, high = self.acc_range
        return low, high + 1

    @property
    def bias_range(self):
        """From 'always the smallest membrane' to 'always the largest': more changes nothing."""
        (q_low, q_high), (low, high) = self.q_range, self.acc_range
        return ((q_low + 1) << self.shift) - 1 - high, (q_high << self.shift) - low


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout:
    """The output layer: it does not fire, it adds its sums over time. One neuron is one class.

    weights  [classes, n_in], -1 or +1
    bias     [classes], in units of 2**-frac synapses; at most 8 sums, those of 8 time steps
    frac     fraction bits of the scores, 0 .. 8
    """

    weights: np.ndarray
    bias: np.ndarray
    frac: int

    kind = "readout"
    input_bits = 1

    def __post_init__(self):
        _check_choice("frac", self.frac, range(MAX_FRAC + 1))
        object.__setattr__(self, "weights", _weights(self.weights))
        limit = self.bias_limit(self.n_in, self.frac)
        bias = _integers("bias", self.bias, (self.n_out,), -limit, limit)
        object.__setattr__(self, "bias", bias)

    @property
    def n_in(self):
        return self.weights.shape[1]

    @property
    def n_out(self):
        return self.weights.shape[0]

    @staticmethod
    def bias_limit(n_in, frac):
        """Largest magnitude of a bias: follows from the shape, so that the score's width does."""
        return (8 * n_in) << frac

    @property
    def sum_range(self):
        """Smallest and largest sum of one time step."""
        return _sum_range(self.n_in, 1)


def _sum_range(n_in, input_bits):
    high = n_in * ((1 << input_bits) - 1)
    return -high, high


@dataclass(frozen=True, eq=False, kw_only=True)
class Description:
    """A network: ``layers`` in order, all :class:`FullyConnected` but the last :class:`Readout`.

    The first layer's ``input_bits`` is the width of a pixel; an image is ``layers[0].n_in``
    pixels, shown at all ``time_steps`` (1 .. 8) steps.
    """

    time_steps: int
    layers: tuple

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        _check_choice("time_steps", self.time_steps, range(1, 9))
        _check(2 <= len(self.layers) <= MAX_LAYERS, "a network has a readout and 1 to "
               f"{MAX_LAYERS - 1} hidden layers, not {len(self.layers)} layers")
        for index, layer in enumerate(self.layers):
            last = index == len(self.layers) - 1
            _check(isinstance(layer, Readout if last else FullyConnected),
                   f"layer {index} must be {'a readout' if last else 'fully connected'}")
        for index, (a, b) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            _check(a.n_out == b.n_in,
                   f"layer {index} has {a.n_out} neurons but layer {index + 1} {b.n_in} inputs")
            _check(b.input_bits == 1, f"layer {index + 1} must take spikes of 1 bit")
        _check(self.layers[-1].n_out >= 2, "a readout has at least 2 classes")
        _check(self.weight_bits <= MAX_WEIGHTS, f"more than {MAX_WEIGHTS} weights")

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
    def classes(self):
        return self.readout.n_out

    @property
    def shape(self):
        """Widths as a word, for example ``784-256-256-10``."""
        return "-".join(str(n) for n in (self.n_in, *(layer.n_out for layer in self.layers)))

    @property
    def weight_bits(self):
        return sum(layer.weights.size for layer in self.layers)

    def tobytes(self):
        """The file's bytes: the same for the same integers, on every machine."""
        header = _Header(version=VERSION, time_steps=self.time_steps,
                         layers=tuple(_layer_header(layer) for layer in self.layers))
        tensors = {}
        for index, layer in enumerate(self.layers):
            tensors[f"{index}.weights"] = np.packbits(layer.weights > 0, axis=1, bitorder="little")
            tensors[f"{index}.bias"] = layer.bias
            if layer.kind == "fully_connected":
                tensors[f"{index}.threshold"] = layer.threshold
        # one metadata key: safetensors keeps no order between several
        return to_safetensors(tensors, metadata={"qsnn": header.model_dump_json()})

    @property
    def hash(self):
        """SHA-256 of :meth:`tobytes`: names the network in artefacts."""
        return hashlib.sha256(self.tobytes()).hexdigest()


_Width = Annotated[int, Field(ge=1, le=MAX_NEURONS)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _FullyConnectedHeader(_Strict):
    kind: Literal["fully_connected"]
    n_in: _Width
    n_out: _Width
    input_bits: int
    membrane_bits: int
    signed: bool
    shift: int
    frac: int


class _ReadoutHeader(_Strict):
    kind: Literal["readout"]
    n_in: _Width
    n_out: _Width
    frac: int


class _Header(_Strict):
    version: int
    time_steps: int
    layers: Annotated[tuple[Annotated[_FullyConnectedHeader | _ReadoutHeader,
                                      Field(discriminator="kind")], ...],
                      Field(min_length=2, max_length=MAX_LAYERS)]


class _Versioned(BaseModel):
    version: int


_KINDS = {"fully_connected": (FullyConnected, _FullyConnectedHeader),
          "readout": (Readout, _ReadoutHeader)}


def _layer_header(layer):
    header = _KINDS[layer.kind][1]
    return header(**{name: getattr(layer, name) for name in header.model_fields})


def save(description, path):
    """Write a description; the file appears whole or not at all."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(description.tobytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path):
    """Read and check a description. Raises :class:`DescriptionError`, whatever is wrong."""
    path = Path(path)
    try:
        _check(path.is_file(), "no such file")
        size = path.stat().st_size
        _check(size <= MAX_FILE, f"{size} bytes, a description has at most {MAX_FILE}")
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
        _check(size <= MAX_HEADER, f"a header of {size} bytes, a description has at most "
               f"{MAX_HEADER}")
        with safe_open(path, framework="numpy") as file:
            return _read(file)
    except DescriptionError as error:
        sentence = str(error)
    except (SafetensorError, OSError) as error:
        sentence = f"not a readable description ({error})"
    # parts of the file may be quoted: nothing that a terminal obeys, and not a page of it
    sentence = "".join(c if c.isprintable() else "?" for c in sentence[:MAX_SENTENCE])
    raise DescriptionError(f"{path}: {sentence}")


def _read(file):
    header = _header((file.metadata() or {}).get("qsnn"))
    names = set()
    for index, layer in enumerate(header.layers):
        names |= {f"{index}.weights", f"{index}.bias"}
        names |= {f"{index}.threshold"} if layer.kind == "fully_connected" else set()
    _check(set(file.keys()) == names, "the tensors are not those that the header names")
    _check(sum(layer.n_in * layer.n_out for layer in header.layers) <= MAX_WEIGHTS,
           f"more than {MAX_WEIGHTS} weights")
    return Description(time_steps=header.time_steps, layers=tuple(
        _read_layer(file, index, layer) for index, layer in enumerate(header.layers)))


def _header(text):
    _check(text is not None, "no description inside: the metadata key 'qsnn' is missing")
    try:
        version = _Versioned.model_validate_json(text).version
        _check(version == VERSION, f"format version {version}, this program reads {VERSION}")
        return _Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise DescriptionError(f"bad header: {where}: {first['msg']}") from None


def _read_layer(file, index, header):
    row = (header.n_in + 7) // 8
    packed = _tensor(file, f"{index}.weights", "U8", [header.n_out, row])
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    _check(not bits[:, header.n_in:].any(), f"{index}.weights: bits set beyond the last input")
    fields = header.model_dump(exclude={"kind", "n_in", "n_out"})
    fields["weights"] = bits[:, :header.n_in].view(np.int8) * np.int8(2) - np.int8(1)
    for name in ("bias", "threshold") if header.kind == "fully_connected" else ("bias",):
        fields[name] = _tensor(file, f"{index}.{name}", "I64", [header.n_out])
    try:
        return _KINDS[header.kind][0](**fields)
    except DescriptionError as error:
        raise DescriptionError(f"layer {index}: {error}") from None


def _tensor(file, name, dtype, shape):
    """A tensor, its type and shape compared before its memory is taken."""
    found = file.get_slice(name)
    _check((found.get_dtype(), list(found.get_shape())) == (dtype, shape),
           f"{name} is {found.get_dtype()} {found.get_shape()}, expected {dtype} {shape}")
    return file.get_tensor(name)
