"""Networks as words: ``c16k3-p2-c32k3-p2-fc64``.

===================  ==============================================================================
``c16k3``            convolution with 16 channels and kernels of 3 x 3; its padding keeps the size
                     of the map (half the kernel). More may follow, in this order:
``c16k3s2``          stride 2
``c16k3p0``          padding 0
``c16k3w8``          weights of 8 bits in place of 1; or 2, or 4: odd numbers. ``c16k3w4i``: all
                     integers of 4 bits, see :mod:`qsnn.model.codes`
``c16k3+0``          the spikes of layer 0 are added to its sums, with a 1 x 1 convolution where
                     the channels or the size of the map differ. Layers that have neurons count,
                     from 0
``c16k1x5s1x2p0x2``  kernel, stride and padding with rows x columns; a window of a sensor, or what
                     else has one dimension, is a map of a single row
``p2``, ``p1x2``     max pooling of 2 x 2, of 1 x 2 spikes of the convolution before it
``a2``               sum pooling: how many of them fire
``fc64``, ``64``     fully connected layer with 64 neurons; ``fc64w2``: weights of 2 bits
``fc64t8``           each neuron also sees the inputs of the 7 steps before; streams only
``fc64r``            recurrent: and the layer's own spikes of the step before; streams only. With
                     weights of 4 bits, all of them, and both: ``fc64w4t8r``
``r64``, ``r64s2``   residual block, as in ResNet-18: ``c64k3-c64k3+`` with the spikes before it
===================  ==============================================================================

The output layer is not among the words: the classes say what it is. :data:`NAMED` has the networks
of the paper (Wei et al., arXiv 2406.13672) for images of 32 x 32; their first layer keeps 8-bit
weights there, and so does the last one.
"""

import re
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from qsnn.model.codes import CODES, code_of
from qsnn.model.layers import (
    MAX_KERNEL,
    MAX_MAP,
    MAX_NEURONS,
    MAX_POOL,
    MAX_TAPS,
    WEIGHT_BITS,
    by,
)

__all__ = ["NAMED", "ArchitectureError", "Layer", "layers_of"]

SIDES = r"\d+(?:x\d+)?"  # a number, or rows x columns
WORD = re.compile(r"(?:fc)?(?P<neurons>\d+)(?:w(?P<fc_bits>\d+)(?P<fc_code>i?))?"
                  r"(?:t(?P<taps>\d+))?(?P<own>r)?"
                  rf"|c(?P<channels>\d+)k(?P<kernel>{SIDES})(?:s(?P<stride>{SIDES}))?"
                  rf"(?:p(?P<padding>{SIDES}))?(?:w(?P<bits>\d+)(?P<code>i?))?(?:\+(?P<skip>\d+))?"
                  rf"|(?P<pool>[pa])(?P<size>{SIDES})"
                  rf"|r(?P<block>\d+)(?:k(?P<block_kernel>{SIDES}))?"
                  rf"(?:s(?P<block_stride>{SIDES}))?")
GROUPS = re.compile(r"c\d+k[\dxspw]+g\d+[\dxspw+]*")
TEXTS = ("pool", "own", "code", "fc_code")
PAIRS = ("kernel", "stride", "padding", "size", "block_kernel", "block_stride")
MAX_WIDTH = 1 << 16
MAX_HIDDEN = 63
MAX_WORD = 40  # characters
#: Networks of the literature, as words.
NAMED = {
    "vgg-11": "c64k3w8-p2-c128k3-p2-c256k3-c256k3-p2-c512k3-c512k3-p2-c512k3-c512k3-p2",
    # Zheng et al., arXiv 2011.05280
    "resnet-19": "c128k3w8-r128-r128-r128-r256s2-r256-r256-r512s2-r512-a8-fc256",
}


class ArchitectureError(ValueError):
    """Words that are no network."""


@dataclass(frozen=True)
class Layer:
    """A hidden layer, its sizes known.

    inputs       height, width and channels of the map that it takes, or (n_in,)
    channels     neurons, or channels of a convolution
    kernel       rows and columns; empty for a fully connected layer
    stride, padding, pool_size, skip_stride  rows and columns too
    outputs      what it gives, its pooling included: a map, or (n_out,)
    skip         index of the layer whose spikes are added, or None
    skip_stride  and
    skip_kernel  whether they go through a 1 x 1 convolution
    skip_channels  of that layer
    taps         steps whose inputs a neuron sees; more than 1 only in a stream
    recurrent    whether the layer sees its own spikes of the step before; likewise
    """

    inputs: tuple
    channels: int
    kernel: tuple = ()
    stride: tuple = (1, 1)
    padding: tuple = (0, 0)
    pool: str = "none"
    pool_size: tuple = (1, 1)
    weight_bits: int = 1
    weight_code: str = "odd"
    skip: int | None = None
    skip_stride: tuple = (1, 1)
    skip_kernel: bool = False
    skip_channels: int = 0
    taps: int = 1
    recurrent: bool = False

    @property
    def fan_in(self):
        """Synapses of a neuron, without those from its own layer."""
        return (prod(self.kernel) * self.inputs[-1] if self.kernel
                else self.inputs[0] * self.taps)

    @property
    def weight_count(self):
        """Weights of its neurons, with those of its own spikes and of a skip."""
        own = self.channels if self.recurrent else 0
        skip = self.skip_channels if self.skip_kernel else 0
        return self.channels * (self.fan_in + own + skip)

    @property
    def positions(self):
        """Rows and columns of its neurons."""
        return tuple(((side + 2 * padding - kernel) // stride + 1) // pool * pool
                     for side, kernel, stride, padding, pool in zip(
                         self.inputs[:2], self.kernel, self.stride, self.padding, self.pool_size,
                         strict=True))

    @property
    def outputs(self):
        if not self.kernel:
            return (self.channels,)
        height, width = self.positions
        return height // self.pool_size[0], width // self.pool_size[1], self.channels

    @property
    def output_bits(self):
        """Bits of what the next layer takes."""
        return prod(self.pool_size).bit_length() if self.pool == "sum" else 1


def layers_of(words, image):
    """The :class:`Layer` list of words, or of one text with hyphens.

    image: height, width and channels, or (pixels,). Raises :class:`ArchitectureError`.
    """
    if isinstance(words, str):
        words = words.split("-")
    layers = []
    for word in words:
        found = WORD.fullmatch(str(word)) if len(str(word)) <= MAX_WORD else None
        if not found:
            if GROUPS.fullmatch(str(word)[:MAX_WORD]):
                raise ArchitectureError(f"{word}: every channel of a convolution takes all of its "
                                        "input; there are no groups, leave out the g")
            raise ArchitectureError(
                f"{str(word)[:MAX_WORD]!r} is not a layer: they look like c16k3 (convolution), p2 "
                "(max pooling), a2 (sum pooling), r64 (residual block) or fc64; what follows the "
                "number stands in this order, fc64w4it8r, c16k3s2p1w4i; see model/architecture.py")
        numbers = {name: _pair(value) if name in PAIRS else int(value)
                   for name, value in found.groupdict().items()
                   if value is not None and name not in TEXTS}
        if "block" in numbers:
            first, second = _block(numbers, layers, word)
            _add(layers, image, word, first)
            _add(layers, image, word, second)
        elif found["pool"]:
            _pool(layers, word, "max" if found["pool"] == "p" else "sum", numbers["size"])
        elif "neurons" in numbers:
            _add(layers, image, word, dict(channels=numbers["neurons"],
                                           weight_bits=numbers.get("fc_bits", 1),
                                           weight_code=code_of(found["fc_code"] or ""),
                                           taps=numbers.get("taps", 1),
                                           recurrent=found["own"] is not None))
        else:
            kernel = numbers["kernel"]
            _add(layers, image, word, dict(
                channels=numbers["channels"], kernel=kernel, stride=numbers.get("stride", (1, 1)),
                padding=numbers.get("padding", _half(kernel)), weight_bits=numbers.get("bits", 1),
                weight_code=code_of(found["code"] or ""), skip=numbers.get("skip")))
    if not layers:
        raise ArchitectureError("at least one layer is needed: spikes come from hidden layers")
    for index, layer in enumerate(layers):
        neurons = prod(layer.positions) * layer.channels if layer.kernel else layer.channels
        if neurons > MAX_MAP:
            raise ArchitectureError(f"layer {index} has {neurons} neurons, a convolution has at "
                                    f"most {MAX_MAP}")
    outputs = prod(layers[-1].outputs)
    if outputs > MAX_NEURONS:
        raise ArchitectureError(f"the output layer would have {outputs} inputs, at most "
                                f"{MAX_NEURONS} can be: pool more")
    return layers


def _refuse(index, word, sentence):
    raise ArchitectureError(f"layer {index} ({word}): {sentence}")


def _pair(text):
    rows, _, columns = text.partition("x")
    return int(rows), int(columns or rows)


def _half(kernel):
    """The padding that keeps the size of a map."""
    return kernel[0] // 2, kernel[1] // 2


def _block(numbers, layers, word):
    """The two convolutions of a residual block."""
    if not layers:
        _refuse(0, word, "a residual block adds the spikes of the layer before it, and there is "
                "none")
    kernel = numbers.get("block_kernel", (3, 3))
    both = dict(channels=numbers["block"], kernel=kernel, padding=_half(kernel))
    return (both | dict(stride=numbers.get("block_stride", (1, 1))),
            both | dict(skip=len(layers) - 1))


def _pool(layers, word, kind, size):
    if not layers or not layers[-1].kernel or layers[-1].pool != "none":
        raise ArchitectureError(f"{word} pools the spikes of a convolution, and must follow one")
    index = len(layers) - 1
    if not (1 <= min(size) and 2 <= max(size) <= MAX_POOL):
        _refuse(index, word, f"squares of 2 to {MAX_POOL}, not {by(size)}")
    if any(side < most for side, most in zip(layers[-1].positions, size, strict=True)):
        _refuse(index, word, "a map of {} x {} has no square of {} x {}".format(
            *layers[-1].positions, *size))
    layers[-1] = replace(layers[-1], pool=kind, pool_size=size)


def _add(layers, image, word, fields):
    """Append a layer after what is there."""
    index = len(layers)
    inputs = layers[-1].outputs if layers else tuple(image)
    if "kernel" not in fields:
        inputs = (prod(inputs),)
    elif len(inputs) != 3:
        _refuse(index, word, "a convolution needs a map, and a fully connected layer gives none"
                if layers else "a convolution needs images with height, width and channels")
    layer = Layer(inputs=inputs, **fields)
    if not 1 <= layer.channels <= MAX_WIDTH:
        _refuse(index, word, f"1 to {MAX_WIDTH} neurons or channels, not {layer.channels}")
    if not 1 <= layer.taps <= MAX_TAPS:
        _refuse(index, word, f"1 to {MAX_TAPS} taps, not {layer.taps}")
    if layer.fan_in > MAX_NEURONS:
        _refuse(index, word, f"a neuron has at most {MAX_NEURONS} synapses, not {layer.fan_in}")
    if index == MAX_HIDDEN:
        _refuse(index, word, f"a network has at most {MAX_HIDDEN} hidden layers")
    if layer.weight_bits not in WEIGHT_BITS:
        _refuse(index, word, f"weights have 1, 2, 4 or 8 bits, not {layer.weight_bits}")
    if layer.weight_bits < CODES[layer.weight_code].least:
        _refuse(index, word, "integers of 1 bit are none: leave out the i")
    if "kernel" in fields:
        _check_convolution(index, word, layer)
    if layer.skip is not None:
        layer = _with_skip(index, word, layer, layers)
    layers.append(layer)


def _check_convolution(index, word, layer):
    if not 1 <= min(layer.kernel) <= max(layer.kernel) <= MAX_KERNEL:
        _refuse(index, word, f"kernels of 1 to {MAX_KERNEL} rows and columns, not "
                f"{by(layer.kernel)}")
    if not 1 <= min(layer.stride) <= max(layer.stride) <= MAX_KERNEL:
        _refuse(index, word, f"a stride of 1 to {MAX_KERNEL}, not {by(layer.stride)}")
    for padding, kernel in zip(layer.padding, layer.kernel, strict=True):
        if padding >= kernel:
            _refuse(index, word, f"a padding of 0 to {kernel - 1}, not {padding}")
    if min(layer.positions) < 1:
        _refuse(index, word, "a map of {} x {} is too small for this kernel".format(
            *layer.inputs[:2]))


def _with_skip(index, word, layer, layers):
    if index < 2:
        _refuse(index, word, "a skip needs two layers before it")
    if layer.skip >= index - 1:
        _refuse(index, word, f"what is added comes from a layer before layer {index - 1}")
    if layer.weight_bits > 1:
        _refuse(index, word, "weights beside a skip have 1 bit")
    if layers[-1].output_bits > 1:
        _refuse(index, word, "a convolution that takes sums cannot have a skip")
    source = layers[layer.skip]
    if not source.kernel or source.output_bits > 1:
        _refuse(index, word, f"layer {layer.skip} is not a convolution that gives spikes")
    height, width, channels = source.outputs
    sides = range(1, MAX_KERNEL + 1)
    for stride in (*((side, side) for side in sides), *product(sides, sides)):
        if (-(-height // stride[0]), -(-width // stride[1])) == layer.positions:
            return replace(layer, skip_stride=stride,
                           skip_channels=channels,
                           skip_kernel=stride != (1, 1) or channels != layer.channels)
    return _refuse(index, word, "a map of {} x {} of layer {} cannot be added to one of {} x "
                   "{}".format(height, width, layer.skip, *layer.positions))
