"""The floats of a layer, and the layers of integers that they can be."""

from dataclasses import replace
from functools import cache

import numpy as np

from qsnn.model.description import Convolution, Current, FullyConnected
from qsnn.model.graphs.graph import GraphError, check
from qsnn.model.graphs.integers import (
    REACHES,
    current_step,
    leaks,
    numbers_of,
    steps_of,
    thresholds,
)
from qsnn.model.graphs.rounding import MAX_SYNAPSES, compensated, moments
from qsnn.model.layers import DescriptionError

__all__ = ["Floats"]

CURRENT_BITS = 8  # fewer lose spikes, and a current is small beside its synapses

class Floats:
    """The floats of a block, one a channel, and the layers of integers that they can be.

    joined  weights [channels, synapses], those of the layer's own spikes behind the others
    """

    def __init__(self, block, scale, offset):
        self.block, self.own = block, block.neuron.recurrent
        self.joined = block.weight.reshape(len(block.weight), -1)
        bias = block.bias + _constant(block, offset)
        if self.own is not None:
            self.joined = np.concatenate([self.joined, self.own.weight], axis=1)
            bias = bias + self.own.bias
        gain, self.leak, v_leak, v_reset, level = (
            block.of_channels(name, getattr(block.neuron, name))
            for name in ("gain", "leak", "v_leak", "v_reset", "threshold"))
        self.leak_in = None
        if block.neuron.leak_in is not None:
            self.leak_in = block.of_channels("leak_in", block.neuron.leak_in)
            gain = gain * block.of_channels("gain_in", block.neuron.gain_in)
        self.added = gain * bias  # to a current, or at once to the membrane
        drop = block.neuron.drop
        self.drop = None if drop is None else block.of_channels("drop", drop)
        self.gain, self.level = gain * scale, level - v_reset
        self.constant = self.added + (1 - self.leak) * (v_leak - v_reset)
        self.products = None
        self.taken = None  # bits, code, and whether weights were rounded by what the samples are
        self.raised = 0.0  # by which part the thresholds are higher
        self.numbers = cache(self._numbers)

    def follow(self, layer, x):
        """Know what the synapses take, where their weights can be rounded by it; whether so."""
        known = self.own is None and layer.weight_code == "odd" and 1 < layer.weight_bits < 8 \
            and self.joined.shape[1] <= MAX_SYNAPSES
        if known:
            self.products = moments(layer, x)
        return known

    def _numbers(self, width, code, followed):
        """Integers and scales of the weights."""
        found = numbers_of(self.joined, width, code)
        return compensated(self.joined, found[1], self.products, width) if followed else found

    def lost(self, width, code, followed):
        """Scales of the weights, and what is lost of them, as a part of their norm."""
        numbers, scales = self.numbers(width, code, followed)
        lost = ((self.joined - scales[:, None] * numbers) ** 2).sum()
        return scales, float(np.sqrt(lost / max((self.joined ** 2).sum(), 1e-300)))

    def choices(self, width, leak, membranes, signed, wider):
        """(signed, shift, frac, current) for each step of the membranes, unsigned and signed if
        that is free."""
        gain = self._gain(width)
        for below in (False, True) if signed is None else (signed,):
            steps = steps_of(gain, self.level, membranes, below, leak, wider)
            yield from ((below, *rest) for rest in self._currents(gain, steps))

    def layer(self, width, code, followed, leak, input_bits, membranes, choice, raised=0.0):
        """A layer of integers. raised: by which part thresholds are higher, and what a spike
        subtracts, a number or one a channel."""
        block, numbers = self.block, self.numbers(width, code, followed)[0]
        split, kind = block.weight[0].size, FullyConnected
        below, shift, frac, current = choice
        shared = dict(weights=numbers[:, :split].reshape(block.weight.shape), leak=leak,
                      input_bits=input_bits, membrane_bits=membranes, weight_bits=width,
                      weight_code=code, reset="zero" if self.drop is None else "subtract",
                      signed=below, shift=shift, frac=frac, current=current)
        if self.own is not None:
            shared["recurrent"] = numbers[:, split:]
        if block.conv is not None:
            kind = Convolution
            shared |= _map_fields(block)
        gain = self._gain((width, code, followed))
        drop = None if self.drop is None else self.drop * (1 + raised)  # a count goes by it
        theta, beta, fired = thresholds(gain, self.constant / gain, self.level * (1 + raised),
                                        drop, block.neuron.inclusive, shift, frac)
        never = np.where(self.constant > self.level, -np.inf, np.inf)
        return _made(kind, block.neuron.name, (np.where(self._dead, never, theta), beta, fired),
                     shared)

    @property
    def _dead(self):
        """Channels without weights: their bias decides, and they fire at every step or never."""
        return abs(self.joined).max(axis=1) == 0

    def _gain(self, width):
        """What a synapse adds to a membrane, [channels]."""
        return np.where(self._dead, self.level, self.gain * self.numbers(*width)[1])

    def _currents(self, gain, steps):
        """(shift, frac, current) of each choice, for some (shift, frac) of the membranes."""
        if self.leak_in is None:
            yield from ((shift, frac, None) for shift, frac in steps)
            return
        leak = leaks(float(np.mean(self.leak_in)))[-1]
        for shift, frac in steps:
            for reach in REACHES:
                wide, fine, place = current_step(gain, self.level, CURRENT_BITS, reach, leak[1],
                                                 shift, frac)
                beta = np.floor(2.0 ** fine * self.added / gain + 2.0 ** (place - 1))
                yield wide, fine, Current(bits=CURRENT_BITS, leak=leak, shift=place,
                                          bias=beta.astype(np.int64))


def _constant(block, offset):
    """What an offset of all inputs adds to the sums of each channel."""
    if not offset:
        return 0.0
    check(block.conv is None or block.conv.padding == (0, 0), f"{block.name}: zeros around a map "
          "whose pixels have an offset: train without the offset, or without padding")
    return offset * block.weight.reshape(len(block.weight), -1).sum(axis=1)


def _map_fields(block):
    conv, (kind, size) = block.conv, block.pool
    return dict(height=block.inputs[1], width=block.inputs[2], stride=tuple(conv.stride),
                padding=tuple(conv.padding), pool=kind, pool_size=tuple(size))


def _made(kind, name, found, shared):
    """The layer, its numbers within the ranges that its shape allows."""
    zeros = np.zeros(len(shared["weights"]), np.int64)
    names, current = ("threshold", "bias", "bias_fired"), shared.get("current")
    try:
        if current:
            wide = kind(**shared | {"current": replace(current, bias=zeros)}, threshold=zeros,
                        bias=zeros, bias_fired=None if found[2] is None else zeros)
            shared = shared | {"current": replace(current, bias=np.clip(
                current.bias, *wide.current_bias_range))}
        ranges = kind(**shared, **{field: zeros for field, values in zip(names, found, strict=True)
                                   if values is not None})
        limits = ranges.threshold_range, ranges.bias_range, ranges.bias_range
        return replace(ranges, **{
            field: np.clip(values, *limit).astype(np.int64)
            for field, values, limit in zip(names, found, limits, strict=True)
            if values is not None})
    except DescriptionError as error:
        raise GraphError(f"{name}: {error}") from None
