"""What a layer is made of in an engine: passes over its inputs, and integers that go with them.

The sums of a neuron are those of passes, each over one plane of the inputs with one bit of the
weights, ``2**exponent`` times. They are taken in the order of their exponents, and doubled in
between. A skip is a pass over one pixel of another map. One that takes a neuron's own channel is
two of them: weights that are +1 but for all other channels, -1, and weights that are all +1 give
together twice what the own channel gave. Weights that are integers are half of odd numbers, less
the inputs, see :mod:`qsnn.model.codes`: a pass whose weights are all -1 takes those away.
"""

from dataclasses import dataclass

import numpy as np

from qsnn.hw.engine.shape import PASSES, PLANES, SCORE, EngineError

__all__ = ["Pass", "gaps", "layer_passes", "parameters", "slabs"]


@dataclass(frozen=True, eq=False)
class Pass:
    """exponent, and whether it is a skip's; plane of the inputs; bits [channels, taps, each] of the
    weights, 1 is +1; ``inputs``, the most that a spike, or the lanes of a pixel, count; ``repeat``,
    how many positions have these weights."""

    exponent: int
    skip: bool
    plane: int
    bits: np.ndarray
    inputs: int = 1
    repeat: int = 1

    @property
    def most(self):
        """Of a lane."""
        return self.bits[0].size * self.repeat << self.exponent

    @property
    def minus(self):
        """What its sums are too large by, of each channel: synapses add ``x XNOR w``."""
        minus = (~self.bits).sum(axis=(1, 2), dtype=np.int64)
        return minus * self.inputs * self.repeat << self.exponent


def layer_passes(layer, taps, shape, planes=None, repeat=1):
    """(passes of a layer in their order, how often all sums are doubled by them).

    taps: positions of a window with weights of their own, ``repeat`` times as many in all. planes:
    of pixels, whose bits lie in the lanes; None where inputs are spikes.
    """
    bits, up = layer.planes.reshape(layer.weight_bits, layer.channels, taps, -1), 0
    inputs = (1 << shape.steps) - 1 if planes else 1
    found = [Pass(bit + shape.steps * plane, False, plane, bits[bit], inputs, repeat)
             for bit in range(layer.weight_bits) for plane in range(planes or 1)]
    if layer.weight_code == "integer":
        found += [Pass(shape.steps * plane, False, plane, np.zeros_like(bits[0]), inputs, repeat)
                  for plane in range(planes or 1)]
        up = 1
    if layer.skip:
        found, up = _with_skip(layer, found)
    if len(found) > PASSES or (planes or 1) > PLANES:
        raise EngineError(f"weights of {layer.weight_bits} bits and pixels of {planes} planes are "
                          f"{len(found)} passes, this engine has {PASSES} over {PLANES} planes")
    return sorted(found, key=lambda one: -one.exponent), up


def _with_skip(layer, main):
    skip = layer.skip
    if skip.weights is not None:
        return [Pass(skip.shift, True, 0, (skip.weights > 0)[:, None]), *main], 0
    own = np.eye(layer.channels, dtype=bool)[:, None]
    up = int(skip.shift == 0)  # what goes with half a spike: all others count twice
    pair = [Pass(skip.shift + up - 1, True, 0, bits) for bits in (own, np.ones_like(own))]
    return [*pair, *(Pass(one.exponent + up, False, one.plane, one.bits) for one in main)], up


def gaps(passes):
    """How often sums are doubled before each pass."""
    exponents = [one.exponent for one in passes]
    return [0, *(before - after for before, after in zip(exponents, exponents[1:], strict=False))]


def slabs(passes, doubled, groups, shape):
    """Words of the slab of each group, uint32 [groups, words]."""
    rows = []
    if doubled:
        rows.append(np.ones((groups * shape.pe, 1, shape.simd), bool))
    for one in passes:
        channels, taps, each = one.bits.shape
        filled = np.ones((groups * shape.pe, taps, -(-each // shape.simd) * shape.simd), bool)
        filled[:channels, :, :each] = one.bits
        rows.append(filled.reshape(groups * shape.pe, -1, shape.simd))
    words = np.concatenate(rows, axis=1).reshape(groups, shape.pe, -1, shape.simd)
    packed = np.packbits(words.transpose(0, 2, 1, 3).reshape(groups, -1, shape.pe * shape.simd),
                         axis=-1, bitorder="little")
    return packed.view("<u4").reshape(groups, -1)


def parameters(layer, passes, scale, groups, shape, time_steps):
    """Thresholds and biases as neuron units, or scores, take them: int64 [groups, pe, 2].

    Sums count ``2**scale`` units there; what they are too large by is made up for here.
    """
    p = shape.neurons
    offset = sum(one.minus for one in passes) << scale
    largest = sum(one.most * one.inputs for one in passes) << scale
    values = np.zeros((groups * shape.pe, 2), np.int64)
    many = time_steps if layer.kind == "readout" else 1
    if largest * many >= 1 << shape.given_bits:
        raise EngineError(f"its sums need {(largest * many).bit_length()} bits in the units of the "
                          f"engine, which has {shape.given_bits}")
    if layer.kind == "readout":
        values[:len(offset), 1] = layer.bias - offset * many
        most = 1 << min(SCORE, p.bias_shape.width) - 1
        if values.min() < -most or values.max() >= most:
            raise EngineError("the biases of its classes need more bits than the engine has")
    else:
        up = shape.place - (layer.shift - layer.leak[1])  # the engine's units are smaller by this
        values[:, 0] = p.threshold_high  # what fills up never fires
        values[:len(offset), 0] = np.clip((layer.threshold << up) + offset + p.round_up,
                                          p.threshold_low, p.threshold_high)
        values[:len(offset), 1] = np.clip((layer.bias << up) - offset, p.bias_low, p.bias_high)
    return values.reshape(groups, shape.pe, 2)
