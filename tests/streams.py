"""Random small networks for streams whose neurons are neither silent nor always on."""

import os

import numpy as np
import pytest

from qsnn.hw.plan.folding import SerialFolding
from qsnn.model import data
from qsnn.model.description import Description
from qsnn.model.golden import synaptic_sum
from qsnn.model.layers import FullyConnected, Readout
from qsnn.model.recordings import TASKS
from tests.networks import random_neuron

__all__ = ["random_serial", "random_steps", "random_stream", "recorded"]

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
        fields = dict(
            weights=_weights(rng, (n_out, taps * n_in), bits), taps=taps, weight_bits=bits,
            recurrent=_weights(rng, (n_out, n_out), bits) if own else None, input_bits=1,
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
        layer = FullyConnected(threshold=zeros, bias=zeros,
                               bias_fired=zeros if subtracts else None, **fields)
        low, high = layer.threshold_range
        threshold = np.clip(seen + rng.integers(0, 3, n_out), low, high)
        rare = rng.random(n_out)
        threshold[rare < 0.06], threshold[rare > 0.94] = low, high
        bias = np.clip(rng.integers(-4, 8, n_out) << bits - 1, *layer.bias_range)
        fired = np.clip(bias - threshold, *layer.bias_range) if subtracts else None
        layers.append(FullyConnected(threshold=threshold, bias=bias, bias_fired=fired, **fields))
        n_in = n_out
    classes, window = int(rng.integers(1, 6)), int(rng.integers(8, 20))
    weights = _weights(rng, (classes, n_in), bits)
    if rng.integers(2):
        weights[-1] = weights[0]  # ties
    layers.append(Readout(weights=weights, bias=np.where(rng.random(classes) < 0.5, 0, 3),
                          frac=int(rng.integers(0, 3)), window=window, weight_bits=bits))
    return Description(time_steps=0, layers=layers)


def _weights(rng, shape, bits):
    return (2 * rng.integers(1 << bits, size=shape) + 1 - (1 << bits)).astype(np.int16)


def random_serial(rng, description):
    """Any PE and SIMD, sparse and dense."""
    return [SerialFolding(int(rng.integers(1, layer.n_out + 1)), int(rng.integers(1, 10)),
                          bool(rng.random() < 0.6)) for layer in description.layers]


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
