"""Random small networks for streams whose neurons are neither silent nor always on."""

import os
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np
import pytest

from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.hw.plan.window import window_of
from qsnn.model import data
from qsnn.model.architecture import ArchitectureError, layers_of
from qsnn.model.description import Description
from qsnn.model.golden import layer_sums, synaptic_sum
from qsnn.model.layers import Convolution, FullyConnected, Readout
from qsnn.model.recordings import TASKS
from tests.networks import random_current, random_neuron, random_weights, readout_leak

__all__ = ["random_folded", "random_map_stream", "random_serial", "random_steps", "random_stream",
           "recorded"]

PROBES = 200  # steps that the thresholds are fitted to


def random_stream(rng, *, words=None):
    """Draw a valid description of a stream.

    words: (n_out, taps, recurrent) of each layer, whose weights then have 1 bit; or
    (n_out, taps, recurrent, bits of a weight). The last one's bits are those of the readout too.
    """
    n_in, bits, general = int(rng.integers(1, 20)), 1, words is None
    if words is None:
        words = [(int(rng.integers(1, 14)), int(rng.choice([1, 1, 2, 3])), bool(rng.integers(2)),
                  int(rng.choice([1, 1, 2, 4, 8]))) for _ in range(rng.integers(1, 4))]
    layers = []
    for n_out, taps, own, *rest in words:
        bits, = rest or [1]
        code = "integer" if general and bits > 1 and n_out % 2 else "odd"
        fields = dict(
            weights=random_weights(rng, (n_out, taps * n_in), bits, code), taps=taps,
            recurrent=random_weights(rng, (n_out, n_out), bits, code) if own else None,
            input_bits=1, weight_bits=bits, weight_code=code,
            membrane_bits=int(rng.integers(2, 9)), signed=bool(rng.integers(2)),
            shift=int(rng.integers(1, 4)) + bits - 1, frac=int(rng.integers(0, 3)),
            **(random_neuron(rng) if general else {}))
        fields["shift"] += fields.get("leak", (1, 1))[1] - 1
        # about what accumulators come to, at a third of all inputs spiking
        x = (rng.random((PROBES, taps * n_in)) < 0.3).astype(np.uint8)
        seen = synaptic_sum(fields["weights"], x)[rng.integers(PROBES, size=n_out),
                                                  np.arange(n_out)] << fields["frac"]
        zeros = np.zeros(n_out, int)
        subtracts = fields.get("reset") == "subtract"

        def build(current, fields=fields, blank=zeros, fired=zeros if subtracts else None):
            return FullyConnected(threshold=blank, bias=blank, bias_fired=fired,
                                  **fields | {"current": current and replace(current, bias=blank)})
        drawn = fields.pop("current", False)
        fields["current"] = drawn and random_current(
            rng, 3 * int(seen.max(initial=1)) + 1, build) or None
        layer = build(fields["current"])
        low, high = layer.threshold_range
        threshold = np.clip(seen + rng.integers(0, 3, n_out), low, high)
        rare = rng.random(n_out)
        threshold[rare < 0.06], threshold[rare > 0.94] = low, high
        bias = np.clip(rng.integers(-4, 8, n_out) << bits - 1, *layer.bias_range)
        fired = np.clip(bias - threshold, *layer.bias_range) if subtracts else None
        layers.append(FullyConnected(threshold=threshold, bias=bias, bias_fired=fired, **fields))
        n_in = n_out
    classes, window = int(rng.integers(1, 6)), int(rng.integers(8, 20))
    code = "integer" if general and bits > 1 and classes % 2 else "odd"
    weights = random_weights(rng, (classes, n_in), bits, code)
    if rng.integers(2):
        weights[-1] = weights[0]  # ties
    layers.append(Readout(weights=weights, bias=np.where(rng.random(classes) < 0.5, 0, 3),
                          frac=int(rng.integers(0, 3)), window=window, weight_bits=bits,
                          weight_code=code, leak=readout_leak(classes) if general else (1, 0)))
    return Description(time_steps=0, layers=layers)


def random_map_stream(rng, words=None, image=None, classes=None):
    """The same with convolutions first; words as in :mod:`qsnn.model.architecture`.

    Where they are not given, layers have all leaks and resets.
    """
    general = words is None
    while words is None:
        image = *(int(side) for side in rng.integers(2, 9, size=2)), int(rng.integers(1, 4))
        words = [_convolution(rng) for _ in range(rng.integers(1, 3))]
        words += [f"fc{rng.integers(1, 9)}" + rng.choice(["", "w4", "t2", "w2t2r"])
                  for _ in range(rng.integers(0, 3))]
        words = "-".join(words)
        try:
            layers_of(words, image)
        except ArchitectureError:
            words = None  # a map that is too small: drawn again
    layers, bits, high = [], 1, 1  # of the inputs
    for spec in layers_of(words, image):
        taps, code = spec.taps, spec.weight_code
        if general and spec.weight_bits > 1 and spec.channels % 2:
            code = "integer"
        shape = (*spec.kernel, spec.inputs[2]) if spec.kernel else (taps * spec.inputs[0],)
        fields = dict(weights=random_weights(rng, (spec.channels, *shape), spec.weight_bits, code),
                      weight_bits=spec.weight_bits, weight_code=code, input_bits=bits,
                      membrane_bits=int(rng.integers(2, 9)), signed=bool(rng.integers(2)),
                      shift=int(rng.integers(1, 4)) + spec.weight_bits - 1,
                      frac=int(rng.integers(0, 3)), **(random_neuron(rng) if general else {}))
        fields["shift"] += fields.get("leak", (1, 1))[1] - 1
        if spec.kernel:
            kind = partial(Convolution, height=spec.inputs[0], width=spec.inputs[1],
                           stride=spec.stride, padding=spec.padding, pool=spec.pool,
                           pool_size=spec.pool_size)
        else:
            own = (random_weights(rng, (spec.channels,) * 2, spec.weight_bits, code)
                   if spec.recurrent else None)
            kind = partial(FullyConnected, taps=taps, recurrent=own)
        zeros, subtracts = np.zeros(spec.channels, int), fields.get("reset") == "subtract"
        drawn = fields.pop("current", False)

        def build(current, kind=kind, fields=fields, blank=zeros,
                  fired=zeros if subtracts else None):
            return kind(threshold=blank, bias=blank, bias_fired=fired,
                        current=current and replace(current, bias=blank), **fields)
        fields["current"] = random_current(rng, spec.fan_in + 1, build) if drawn else None
        layer = kind(threshold=zeros, bias=zeros, bias_fired=zeros if subtracts else None, **fields)
        # about what sums come to, at a third of all inputs
        x = rng.integers(0, high + 1, (PROBES, taps * layer.n_in))
        x = (x * (rng.random(x.shape) < 0.3)).astype(np.uint8)
        sums = layer_sums(layer, x).reshape(-1, spec.channels) << layer.frac
        seen = sums[rng.integers(len(sums), size=spec.channels), np.arange(spec.channels)]
        threshold = np.clip(seen + rng.integers(0, 3, spec.channels), *layer.threshold_range)
        bias = np.clip(rng.integers(-4, 8, spec.channels) << spec.weight_bits, *layer.bias_range)
        fired = np.clip(bias - threshold, *layer.bias_range) if subtracts else None
        layers.append(kind(threshold=threshold, bias=bias, bias_fired=fired, **fields))
        bits, high = layer.output_bits, prod(spec.pool_size) if spec.pool == "sum" else 1
    classes, weight_bits = classes or int(rng.integers(1, 5)), int(rng.choice([1, 4]))
    code = "integer" if general and weight_bits > 1 and classes % 2 else "odd"
    weights = random_weights(rng, (classes, layer.n_outputs), weight_bits, code)
    layers.append(Readout(weights=weights, weight_code=code, bias=np.arange(classes),
                          frac=int(rng.integers(0, 3)), input_bits=bits, weight_bits=weight_bits,
                          window=int(rng.integers(8, 20)),
                          leak=readout_leak(classes) if general else (1, 0)))
    return Description(time_steps=0, layers=layers)


def _convolution(rng):
    """Words of a small convolution."""
    kernel = int(rng.integers(1, 4))
    word = f"c{rng.integers(1, 6)}k{kernel}" + rng.choice(["", f"x{rng.integers(1, 4)}"])
    word += rng.choice(["", "", "s2", "s1x2"]) + rng.choice(["", "p0"])
    return word + rng.choice(["", "", "w2", "w4"]) + rng.choice(["", "", "-p2", "-a2", "-a3x2"])


def random_serial(rng, description):
    """Any PE and SIMD, sparse and dense."""
    return [SerialFolding(int(rng.integers(1, layer.n_out + 1)), int(rng.integers(1, 10)),
                          bool(rng.random() < 0.6)) for layer in description.layers]


def random_folded(rng, description):
    """The same, with any folding of convolutions before them."""
    foldings, channels = random_serial(rng, description), None  # of the input, with padding
    for index, layer in enumerate(description.layers):
        if layer.kind == "convolution":
            pe = int(rng.integers(1, layer.channels + 1))
            simd = int(rng.integers(1, (channels or layer.channels_in) + 1))
            while not index and layer.channels_in % simd:
                simd -= 1
            pixels = 1
            if rng.random() < 0.3:  # several pixels, of all channels
                pe, pixels = layer.channels, int(rng.choice(window_of(layer).pixel_choices))
            foldings[index] = Folding(pe, simd, pixels=pixels)
            channels = -(-layer.channels // pe) * pe
    return foldings


def random_steps(rng, description, count, *, clears=0.05):
    """Steps [count, n_in], and which of them emit and clear; the last one emits."""
    rate = rng.choice([0.02, 0.1, 0.5])
    x = (rng.random((count, description.n_in)) < rate).astype(np.uint8)
    emit, clear = rng.random(count) < 0.2, rng.random(count) < clears
    emit[-1] = True
    return x, emit, clear


def recorded(dataset):
    """The test set of a network: samples and labels.

    Recordings have no download: without them a test is skipped, and says what to get; where
    QSNN_DATA names a folder of data, as in CI, it fails.
    """
    try:
        return data.load(dataset, "test")
    except data.DataError as error:
        if dataset in TASKS and not os.environ.get("QSNN_DATA"):
            pytest.skip(str(error))
        pytest.fail(str(error), pytrace=False)
