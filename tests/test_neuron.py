from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from qsnn.hw.core.neuron import NeuronUnit
from qsnn.hw.plan.latency import CURRENT_LATENCY
from qsnn.hw.plan.parameters import NeuronParameters
from qsnn.model import golden
from qsnn.model.description import FullyConnected
from tests.networks import accumulated, random_current, stage_of
from tests.simulation import waveform

NEURONS = 24
# shift, frac, time steps, lanes, inputs, padded inputs, bits of an input
UNITS = [(1, 0, 4, 1, 5, 5, 1), (1, 8, 8, 2, 3, 4, 8), (24, 0, 3, 3, 4, 4, 2),
         (24, 8, 2, 1, 2, 3, 1), (3, 0, 1, 4, 9, 12, 1), (6, 5, 5, 2, 7, 7, 4)]
LEAKS = [(1, 0), (1, 1), (1, 2), (3, 2), (7, 3), (15, 4), (61, 6), (43, 7), (255, 8), (1, 8)]


def membranes(layer, sums):
    """Membranes and spikes after each step [T, neurons], of golden."""
    q, steps = np.zeros(layer.n_out, np.int64), []
    for row in sums:
        q, fire = golden.neuron_step(layer, q, row)
        steps.append((q, fire))
    return tuple(np.array(values) for values in zip(*steps, strict=True))


def drawn(rng, steps, *, n_in, shift, frac, leak=(1, 1), reset="zero", current=False, **shape):
    """A layer and its sums [T, NEURONS]; thresholds meet accumulators, and all ends occur."""
    weights = rng.choice([-1, 1], size=(NEURONS, n_in))
    shift = max(shift, leak[1])
    shape |= dict(weights=weights, shift=shift, frac=frac, leak=leak, reset=reset)
    zeros = np.zeros(NEURONS, int)

    def build(threshold, bias, fired, between=None):
        return FullyConnected(threshold=threshold, bias=bias, current=between,
                              bias_fired=fired if reset == "subtract" else None, **shape)
    between = random_current(rng, 64 << frac, lambda given: build(
        zeros, zeros, zeros, replace(given, bias=zeros))) if current else None

    def build(threshold, bias, fired, between=between, build=build):
        return build(threshold, bias, fired, between)
    ranges = build(zeros, zeros, zeros)

    # of the sums that a neuron's weights allow: any, the ends, and those around 0
    x_max = (1 << shape["input_bits"]) - 1
    offset = (weights < 0).sum(axis=1) * x_max
    kinds = rng.integers(-offset, n_in * x_max - offset + 1, size=(3, steps, NEURONS))
    kinds[1] = np.where(kinds[1] < 0, -offset, n_in * x_max - offset)
    kinds[2] = np.clip(rng.integers(-2, 3, kinds[2].shape), -offset, n_in * x_max - offset)
    sums = kinds[rng.integers(3, size=NEURONS), :, np.arange(NEURONS)].T

    # biases: any, an end, around half a membrane step
    bias = rng.integers(*ranges.bias_range, size=(3, NEURONS), endpoint=True)
    bias[1] = rng.choice(ranges.bias_range, NEURONS)
    bias[2] = rng.integers(-1 << shift, (2 << shift) + 1, NEURONS).clip(*ranges.bias_range)
    bias = bias[rng.integers(3, size=NEURONS), np.arange(NEURONS)]

    # thresholds: what an accumulator is at some step, one more, any, an end
    never = build(zeros + ranges.threshold_range[1], bias, bias)
    after = membranes(never, sums)[0]
    acc = accumulated(never, np.vstack([np.zeros_like(after[:1]), after[:-1]]), sums)
    threshold = acc[rng.integers(steps, size=NEURONS), np.arange(NEURONS)]
    kinds = [threshold, threshold, threshold, threshold + 1,
             rng.integers(*ranges.threshold_range, size=NEURONS, endpoint=True),
             rng.choice(ranges.threshold_range, NEURONS)]
    threshold = np.array(kinds)[rng.integers(len(kinds), size=NEURONS), np.arange(NEURONS)]
    # a neuron that fires: less by its threshold, a little more or less, or an end
    fired = (bias - threshold).clip(*ranges.bias_range)
    fired[::7] = rng.choice(ranges.bias_range, len(fired[::7]))
    return build(threshold, bias, fired), sums


def schedule(rng, parameters, layer, sums, lanes):
    """Inputs for each cycle, with gaps of garbage between steps; cycles of the steps."""
    stage = stage_of(layer, simd=3)
    sums = sums + stage.offsets(layer)
    thresholds, biases = parameters.thresholds(layer, stage), parameters.biases(layer, stage)
    rows, cycles = [], []
    for start, step in product(range(0, NEURONS, lanes), range(len(sums))):
        here = slice(start, start + lanes)
        row = {"valid": 1, "first": step == 0, "last": step == len(sums) - 1,
               "sum": sums[step, here].tolist(), "threshold": thresholds[here].tolist(),
               "bias": biases[here].tolist()}
        if parameters.subtracts:
            row["bias_fired"] = parameters.fired_biases(layer, stage)[here].tolist()
        if parameters.current:
            row["bias_current"] = parameters.current_biases(layer, stage)[here].tolist()
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            rows.append(row | {"valid": 0, "first": int(rng.integers(2)),
                               "last": int(rng.integers(2)), "sum": row["sum"][::-1]})
        cycles.append(len(rows))
        rows.append(row)
    rows += [{"valid": 0}] * 8
    if parameters.current:  # the others are wanted later than its own
        late = [{name: row[name] for name in ("threshold", "bias", "bias_fired") if name in row}
                for row in rows]
        rows = [row | (late[n - CURRENT_LATENCY] if n >= CURRENT_LATENCY else {})
                for n, row in enumerate(rows)]
    return rows, cycles


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shift, frac, steps, lanes, n_in, padded, input_bits", UNITS)
def test_golden(bits, signed, shift, frac, steps, lanes, n_in, padded, input_bits):
    check(bits, signed, shift, frac, steps, lanes, n_in, padded, input_bits)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_leaks_and_resets(leak, reset, bits, signed):
    check(bits, signed, 5, 2, 8, 3, 6, 7, 2, leak=leak, reset=reset)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 5, 8])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("leak", [(1, 1), (1, 0), (15, 4)])
def test_currents(leak, reset, bits, signed):
    check(bits, signed, 5, 2, 8, 3, 6, 7, 2, leak=leak, reset=reset, current=True)


def test_the_least_shift():
    """Where a membrane counts one unit, and where a step is one."""
    for leak in LEAKS:
        check(4, True, 0, 3, 5, 1, 4, 4, 1, leak=leak, reset="subtract")


def check(bits, signed, shift, frac, steps, lanes, n_in, padded, input_bits, **neuron):
    rng = np.random.default_rng(bits)
    layer, sums = drawn(rng, steps, n_in=n_in, input_bits=input_bits, membrane_bits=bits,
                        signed=signed, shift=shift, frac=frac, **neuron)
    parameters = NeuronParameters.of(layer, stage_of(layer, padded - n_in, simd=3))
    dut = NeuronUnit(lanes=lanes, parameters=parameters, time_steps=steps)
    late = dut.latency
    assert late == (6 if layer.current else 3)
    rows, cycles = schedule(rng, parameters, layer, sums, lanes)
    seen = waveform(dut, rows, "membrane_valid", "membrane", "spikes_valid", "spikes")

    ends = cycles[steps - 1::steps]
    assert [n for n, row in enumerate(seen) if row[0]] == [cycle + late for cycle in cycles]
    assert [n for n, row in enumerate(seen) if row[2]] == [cycle + late for cycle in ends]
    q, fire = membranes(layer, sums)
    found = np.array([list(seen[cycle + late][1]) for cycle in cycles])
    found = found.reshape(-1, steps, lanes).transpose(1, 0, 2).reshape(steps, NEURONS)
    np.testing.assert_array_equal(found, q)
    words = [word for cycle in ends for word in seen[cycle + late][3]]
    np.testing.assert_array_equal([[word >> t & 1 for word in words] for t in range(steps)], fire)


def test_drawn_layers_are_worth_testing():
    """They fire and stay silent, exactly at the threshold too, and membranes move."""
    fires, inside, exact = [], [], 0
    for shift, frac, steps, _, n_in, _, input_bits in UNITS:
        layer, sums = drawn(np.random.default_rng(4), steps, n_in=n_in, input_bits=input_bits,
                            membrane_bits=4, signed=True, shift=shift, frac=frac)
        q, fire = membranes(layer, sums)
        before = np.vstack([np.zeros_like(q[:1]), q[:-1]])
        exact += np.sum(accumulated(layer, before, sums) == layer.threshold)
        fires.append(fire.mean())
        inside.append(np.mean((q > layer.q_range[0]) & (q < layer.q_range[1]) & (q != 0)))
    assert 0.2 < min(fires) and max(fires) < 0.8
    assert np.mean(inside) > 0.1 and exact > 50
