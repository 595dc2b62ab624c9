"""Memory images: the contents of weight, threshold and bias memories, as tables and as hex files.

Layout, addresses from 0, element 0 of a word in its lowest bits:

weights     word ``group * words + word``: bit ``pe * SIMD + synapse`` is the weight of neuron
            ``group * PE + pe`` for input ``word * SIMD + synapse``; 1 is +1, 0 is -1. What lies
            beyond the last input or neuron is 1. The inputs of a convolution are those of its
            window, row by row; each pixel of it begins a word. Those of a skip come before.
            Weights of several bits, see :mod:`qsnn.model.codes`, have as
            many such words, those of the highest bit of the whole group first. In a time-serial
            layer the words of this step's inputs are followed by those of the steps before (taps),
            then by those of the layer's own spikes (recurrent).
            In single-port RAM it is the lower 64 bits of a word; ``weights_upper`` has the others.
thresholds  word ``beat``: element ``lane`` belongs to neuron ``beat * lanes + lane``, in two's
            complement of the width that the JSON states; padding neurons never fire.
biases      the same; in a readout one class a word.
biases_fired  the same: of neurons that fire, where the reset subtracts.
biases_current  the same: of their currents, where they have some.
offsets     the same: what a time step adds to each total of a readout that leaks, beside its sum.

Thresholds and biases are those of :mod:`qsnn.hw.plan.parameters`, with the constant of the XNOR
folded in. A hex file has one word a line, most significant digit first, as ``$readmemh`` reads it.
"""

import re

import numpy as np

from qsnn.hw.plan.blocks import SPRAM_WIDTH
from qsnn.model.codes import CODES

__all__ = ["ImageError", "image_name", "read_hex", "tables", "unpack_biases",
           "unpack_weights", "write_hex"]


class ImageError(ValueError):
    """A memory image that is not what it should be."""


def _pack(elements, width):
    """Elements [depth, n] to words; ``width`` bits each, two's complement."""
    mask = (1 << width) - 1
    return [sum((int(value) & mask) << (index * width) for index, value in enumerate(row))
            for row in elements]


def _pack_bits(bits):
    """Bits [depth, n] to words."""
    rows = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def _grouped(values, stage, padding):
    padded = np.full(stage.neurons, padding, dtype=np.int64)
    padded[:stage.n_out] = values
    return padded.reshape(-1, stage.lanes)


def tables(layer, stage, parameters):
    """name -> (width, words) of a layer's memories, whichever its schedule.

    stage: :class:`qsnn.hw.plan.stages.StagePlan` or :class:`qsnn.hw.plan.serial.SerialStage`.
    """
    planes = layer.planes
    beside = _beside(layer)
    if beside is not None:
        planes = np.concatenate([planes, layer.code.to_planes(beside, layer.weight_bits)],
                                axis=2)
    bits = np.ones((stage.planes, stage.neurons, len(stage.fan_in)), dtype=bool)
    real = stage.fan_in >= 0
    bits[:, :stage.n_out, real] = planes[::-1][:, :, stage.fan_in[real]]
    bits = bits.reshape(stage.planes, stage.groups, stage.pe, -1, stage.simd)
    bits = bits.transpose(1, 0, 3, 2, 4)
    weights = _pack_bits(bits.reshape(stage.groups * stage.reads, stage.pe * stage.simd))
    width = stage.pe * stage.simd
    result = {"weights": (width, weights)}
    if stage.spram and width > SPRAM_WIDTH:
        lower = (1 << SPRAM_WIDTH) - 1
        result = {"weights": (SPRAM_WIDTH, [word & lower for word in weights]),
                  "weights_upper": (width - SPRAM_WIDTH, [word >> SPRAM_WIDTH for word in weights])}
    for name, (values, padding, shape) in parameters.tables(layer, stage).items():
        result[name] = (shape.width * stage.lanes,
                        _pack(_grouped(values, stage, padding), shape.width))
    return result


def _beside(layer):
    """Weights of the synapses that count after those of the inputs: of a skip, or for the layer's
    own spikes; None where there are none."""
    if layer.skip:
        return layer.skip.weights
    return getattr(layer, "recurrent", None)


def image_name(top, index, name):
    """File of a memory image; those of networks with other tops may lie beside it."""
    return f"{top}_layer{index}_{name}.hex"


def write_hex(width, words):
    """The text of a hex file."""
    digits = (width + 3) // 4
    return "".join(f"{word:0{digits}x}\n" for word in words)


def read_hex(text, width, depth):
    """Words of a hex file. Raises :class:`ImageError` where the file is not ``depth`` words."""
    lines = text.split()
    if len(lines) != depth:
        raise ImageError(f"expected {depth} words, found {len(lines)}")
    words = []
    for number, line in enumerate(lines, 1):
        if not re.fullmatch("[0-9a-fA-F]+", line):  # int() would take 0x1 too
            raise ImageError(f"line {number}: {line[:40]!r} is not a hexadecimal number")
        word = int(line, 16)
        if word >> width:
            raise ImageError(f"line {number}: {line[:40]!r} does not fit {width} bits")
        words.append(word)
    return words


def unpack_weights(words, stage, fan_in):
    """Weights [n_out, fan_in] from the words of an image, those of a skip behind the others."""
    size = (stage.pe * stage.simd + 7) // 8
    rows = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    bits = np.unpackbits(rows.reshape(-1, size), axis=1, bitorder="little")
    bits = bits[:, :stage.pe * stage.simd]
    bits = bits.reshape(stage.groups, stage.planes, -1, stage.pe, stage.simd)
    bits = bits.transpose(1, 0, 3, 2, 4).reshape(stage.planes, stage.neurons, -1)
    planes = np.zeros((stage.planes, stage.n_out, fan_in), bool)
    real = stage.fan_in >= 0
    planes[:, :, stage.fan_in[real]] = bits[::-1, :stage.n_out, real]
    return CODES["integer" if stage.counts else "odd"].from_planes(planes)


def unpack_biases(words, stage, shape):
    """Thresholds or biases [n_out] from the words of an image; ``shape`` of one element."""
    mask, sign = (1 << shape.width) - 1, 1 << (shape.width - 1)
    values = [(word >> (lane * shape.width)) & mask for word in words
              for lane in range(stage.lanes)]
    if shape.signed:
        values = [(value ^ sign) - sign for value in values]
    return np.array(values[:stage.n_out], dtype=np.int64)
