from itertools import product

import numpy as np
import pytest

from qsnn.hw.plan.parameters import NeuronParameters, ScoreParameters
from qsnn.model import golden
from qsnn.model.description import FullyConnected, Readout
from tests.networks import stage_of

SHAPES = [dict(n_in=3, input_bits=2, membrane_bits=2, signed=True, shift=1, frac=0),
          dict(n_in=4, input_bits=1, membrane_bits=3, signed=False, shift=3, frac=2),
          dict(n_in=2, input_bits=3, membrane_bits=4, signed=True, shift=5, frac=1),
          dict(n_in=1, input_bits=8, membrane_bits=2, signed=False, shift=2, frac=8),
          dict(n_in=5, input_bits=1, membrane_bits=2, signed=True, shift=24, frac=0),
          dict(n_in=3, input_bits=2, membrane_bits=3, signed=True, shift=5, frac=1, leak=(15, 4),
               reset="subtract"),
          dict(n_in=4, input_bits=1, membrane_bits=4, signed=False, shift=0, frac=0, leak=(1, 0),
               reset="subtract"),
          dict(n_in=2, input_bits=1, membrane_bits=8, signed=True, shift=9, frac=8, leak=(61, 6))]


def random_layer(rng, n_in, neurons=16, **shape):
    """Thresholds and biases over their whole ranges, the ends included."""
    shape["weights"] = rng.choice([-1, 1], size=(neurons, n_in))
    zeros, subtracts = np.zeros(neurons, int), shape.get("reset") == "subtract"
    layer = FullyConnected(threshold=zeros, bias=zeros, bias_fired=zeros if subtracts else None,
                           **shape)
    drawn = []
    for ends in (layer.threshold_range, layer.bias_range, layer.bias_range):
        drawn.append(rng.integers(*ends, size=neurons, endpoint=True))
        drawn[-1][:2] = ends
    return FullyConnected(threshold=drawn[0], bias=drawn[1],
                          bias_fired=drawn[2] if subtracts else None, **shape)


def fits(values, shape):
    low, high = ((-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed
                 else (0, (1 << shape.width) - 1))
    return low <= min(values) and max(values) <= high


@pytest.mark.parametrize("simd", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_neuron_with_folded_offset(shape, padding, simd):
    """For every membrane and every sum the folded constants give golden's step."""
    layer = random_layer(np.random.default_rng(0), **shape)
    stage = stage_of(layer, padding, simd)
    p = NeuronParameters.of(layer, stage)
    assert (p.q_low, p.q_high) == layer.q_range
    offset = stage.offsets(layer)
    # every word is cut into pairs; a pair of numbers that begins with -1 gives one more
    leads = [index % simd % 2 == 0 and layer.input_bits > 1
             for index in range(layer.n_in + padding)]
    assert offset.tolist() == [
        sum((1 << layer.input_bits) - 1 + lead for w, lead in zip(row, leads, strict=False)
            if w == -1) for row in layer.weights]
    q, sums = np.array([*product(range(p.q_low, p.q_high + 1), range(p.sum_max + 1))]).T[..., None]
    assert p.sum_max == (layer.n_in + padding) * ((1 << layer.input_bits) - 1) + sum(leads)
    m, k = layer.leak
    acc = (q * m << (p.shift - k)) + (sums << p.frac)
    assert (p.acc_min, p.acc_max) == (acc.min(), acc.max())

    membranes, fire = golden.neuron_step(layer, q, sums - offset)
    thresholds, biases = p.thresholds(layer, stage), p.biases(layer, stage)
    np.testing.assert_array_equal(acc + p.round_up >= thresholds, fire)
    need = (thresholds - (sums << p.frac)) >> (p.shift - k)
    np.testing.assert_array_equal(q * m >= need, fire)
    found, after = np.clip((acc + biases) >> p.shift, p.q_low, p.q_high), 0
    if layer.reset == "subtract":
        fired = p.fired_biases(layer, stage)
        assert fits(fired, p.bias_shape)
        after = np.clip((acc + fired) >> p.shift, p.q_low, p.q_high)
    np.testing.assert_array_equal(np.where(fire, after, found), membranes)
    assert fits(thresholds, p.threshold_shape) and fits(biases, p.bias_shape)
    assert fits([p.threshold_low, p.threshold_high], p.threshold_shape)
    # neither range could be narrower: its ends do what one more would do, one less does not
    for q_end, bias in ((p.q_low, p.bias_low), (p.q_high, p.bias_high)):
        assert ((acc + bias) >> p.shift).clip(p.q_low, p.q_high).tolist() == [[q_end]] * len(acc)
    assert ((acc.max() + p.bias_low + 1) >> p.shift) == p.q_low + 1
    assert ((acc.min() + p.bias_high - 1) >> p.shift) == p.q_high - 1


@pytest.mark.parametrize("frac, steps, n_in, padding", [(0, 1, 4, 0), (3, 8, 3, 2), (8, 5, 1, 1),
                                                         (2, 64, 3, 0)])
def test_scores_with_folded_offset(frac, steps, n_in, padding):
    rng = np.random.default_rng(frac)
    window = Readout.window_of(steps)
    limit = Readout.bias_limit(n_in, frac, window=window)
    assert window == max(8, steps) and limit == window * n_in << frac
    weights = rng.choice([-1, 1], size=(9, n_in))
    weights[0], weights[1] = 1, -1
    bias = rng.integers(-limit, limit, size=9, endpoint=True)
    bias[:2] = limit, -limit
    layer = Readout(weights=weights, bias=bias, frac=frac, window=window)
    stage = stage_of(layer, padding, steps=steps)
    p = ScoreParameters.of(layer, stage)
    assert p.sum_max == (n_in + padding) * steps
    assert fits(p.biases(layer, stage), p.bias_shape)

    spikes = rng.integers(0, 2, size=(20, steps, n_in))
    spikes[0], spikes[1] = 0, 1
    scores = (golden.synaptic_sum(weights, spikes).sum(axis=1) << frac) + bias
    bits = spikes[:, :, None] == (weights > 0)  # XNOR
    found = (bits.sum(axis=(1, 3)) << frac) + p.biases(layer, stage)
    np.testing.assert_array_equal(found, scores)
    assert fits(scores.flatten(), p.score_shape)


def test_widths_follow_from_shapes():
    """Networks of one shape share their Verilog, whatever their integers are."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        layers = [random_layer(rng, **shape) for _ in range(2)]
        a, b = (NeuronParameters.of(layer, stage_of(layer, simd=2)) for layer in layers)
        assert a == b
    readouts = [Readout(weights=rng.choice([-1, 1], size=(3, 4)), bias=bias, frac=2)
                for bias in (np.zeros(3, int), np.array([-128, 128, 7]))]
    a, b = (ScoreParameters.of(readout, stage_of(readout, steps=3)) for readout in readouts)
    assert a == b and a.bias_limit == 128
    assert (a.score_shape.width, a.score_shape.signed) == (9, True)  # 4 * 3 * 4 + 128
