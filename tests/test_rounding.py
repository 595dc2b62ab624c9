"""Weights that are rounded by what their inputs are: sums are nearer to those of the floats."""

from dataclasses import replace

import numpy as np
import pytest

from qsnn.model.golden import layer_sums
from qsnn.model.graphs import Bits, quantize
from qsnn.model.graphs.floats import Floats
from qsnn.model.graphs.graph import Affine, Graph, Neuron
from qsnn.model.graphs.integers import odd_numbers
from qsnn.model.graphs.rounding import compensated, moments
from qsnn.model.inference import infer
from qsnn.model.layers import Convolution, FullyConnected


def alike(rng, count, n, kinds=6):
    """Spikes [count, n] of inputs that come in groups."""
    groups = rng.random((kinds, n)) < 0.3
    chosen = rng.random((count, kinds)) < 0.3
    return ((chosen @ groups) * (rng.random((count, n)) < 0.8) > 0).astype(np.int64)


def layer(rng, kind, **fields):
    shape = (3, 2, 3, 2) if kind is Convolution else (3, 12)
    return kind(weights=rng.choice([-1, 1], shape).astype(np.int8), threshold=np.ones(3, int),
                bias=np.zeros(3, int), input_bits=1, membrane_bits=4, signed=False, shift=1, frac=0,
                **fields)


@pytest.mark.parametrize("kind, fields, n_in", [
    (FullyConnected, {}, 12), (Convolution, dict(height=5, width=6), 60),
    (Convolution, dict(height=5, width=6, stride=(2, 1), padding=(1, 2)), 60),
    (Convolution, dict(height=5, width=6, pool="max", pool_size=(3, 2)), 60)])
@pytest.mark.parametrize("steps", [None, 4])
def test_moments(kind, fields, n_in, steps):
    """They say what the squares of all sums come to."""
    rng = np.random.default_rng(1)
    found = layer(rng, kind, **fields)
    x = rng.integers(0, 2, (9, n_in) if steps is None else (9, steps, n_in))
    x[0] = 0
    flat = x.reshape(-1, n_in)
    sums = layer_sums(found, flat).reshape(len(flat), -1, 3)
    ones = layer_sums(layer_of_ones(found), flat).reshape(len(flat), -1, 3)
    rows = (ones[..., 0] > 0).sum()  # places that see anything
    products = moments(found, x)
    for channel, weights in enumerate(found.weights.reshape(3, -1).astype(float)):
        assert rows * (weights @ products @ weights) == pytest.approx(
            (sums[..., channel].astype(float) ** 2).sum())


def layer_of_ones(found):
    return replace(found, weights=np.ones_like(found.weights))


@pytest.mark.parametrize("bits, gain", [(2, 0.7), (4, 0.6)])
def test_sums_are_nearer(bits, gain):
    """On inputs that come along with each other, also on those that were not looked at."""
    rng = np.random.default_rng(0)
    x, weights = alike(rng, 4000, 60), rng.normal(size=(20, 60))
    plain = odd_numbers(weights, bits)
    products = x[:2000].T @ x[:2000] / 2000
    found = compensated(weights, plain[1], products.astype(float), bits)
    assert (found[0] % 2 == 1).all() and abs(found[0]).max() < 1 << bits
    off = [(((weights - scales[:, None] * numbers) @ x[2000:].T) ** 2).sum()
           for numbers, scales in (plain, found)]
    assert off[1] < gain * off[0]


def test_inputs_that_are_alike_or_none():
    """Moments without an inverse: one input twice, one that never comes."""
    weights = np.array([[0.3, 0.4, -1.0], [1.0, -0.2, 0.5]])
    numbers, scales = compensated(weights, np.array([0.3, 0.3]),
                                  np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]]), 2)
    assert abs(numbers).max() <= 3 and np.isfinite(scales).all() and (scales > 0).all()
    numbers, scales = compensated(weights, np.array([0.3, 0.3]), np.zeros((3, 3)), 2)
    assert np.isfinite(scales).all() and abs(numbers).max() <= 3


def test_spikes_are_nearer(monkeypatch):
    rng = np.random.default_rng(0)
    lif = dict(leak=np.float64(0.75), gain=np.float64(1), threshold=np.float64(1.0))
    graph = Graph((60,), (
        Affine(name="fc", weight=rng.normal(0.03, 0.2, (30, 60)), bias=np.zeros(30)),
        Neuron(name="lif", **lif),
        Affine(name="out", weight=rng.normal(size=(3, 30)), bias=np.zeros(3))))
    x = alike(rng, 200, 60)
    exact, off = graph.run(x[100:], 8).spikes["lif"].sum(axis=1, dtype=int), []
    for followed in (True, False):
        if not followed:
            monkeypatch.setattr(Floats, "follow", lambda *inputs: False)
        found = quantize(graph, 8, x[:100], input_bits=1, scale=1.0,
                         bits=Bits(2, first=2, membranes=8))
        counts = infer(found.description, x[100:], trace=True).spikes[0].sum(axis=1, dtype=int)
        off.append(abs(counts - exact).sum())
    assert off[0] < 0.9 * off[1]
