"""Random graphs whose membranes have 24 bits: the integers have every spike of the floats.

No hardware has so many. It is the folding that is tested: leaks, gains, biases, resting potentials,
resets and thresholds of any size become integers without a loss, so what an import loses is what
its weights and its few bits of a membrane lose, and nothing else.
"""

import numpy as np
import pytest

from qsnn.model import layers
from qsnn.model.graphs import Bits, floats, integers, quantize, quantizing
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron, Pool
from qsnn.model.inference import infer

BITS, FRAC, REACH, STEPS, COUNT = 24, 28, 128, 6, 30
LEAKS = (1, 0), (1, 1), (3, 2), (15, 4), (61, 6), (251, 8)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Bits that only integers in memory have."""
    for module, name, value in (
            (layers, "MAX_MEMBRANE", BITS), (quantizing, "MAX_MEMBRANE", BITS),
            (floats, "CURRENT_BITS", BITS), (layers, "MAX_FRAC", FRAC),
            (integers, "MAX_FRAC", FRAC), (floats, "REACHES", (REACH,))):
        monkeypatch.setattr(module, name, value)
    # and ranges of many thresholds, so that nothing is cut off
    monkeypatch.setattr(floats, "steps_of", lambda gain, threshold, *others: [
        integers.steps_of(gain, REACH * threshold, *others)[0]])


def numbers(rng, shape, bits):
    """Odd numbers, the largest of them in each channel, times any scale of it."""
    high = (1 << bits) - 1
    found = 2 * rng.integers(0, high + 1, shape) - high
    found.reshape(len(found), -1)[:, 0] = high
    return found * rng.uniform(0.1, 2, (len(found), *[1] * (len(shape) - 1))) / high


def drawn(rng, name, channels, size, leak, current):
    """Neurons of which nothing is round, but their leaks, which hardware has exactly."""
    places = channels, *[1] * (size - 1)
    level, to = rng.uniform(0.5, 2, places), rng.uniform(-0.3, 0.3)
    facts = dict(name=name, leak=np.float64(leak[0] / 2 ** leak[1]), threshold=level,
                 gain=rng.uniform(0.3, 1.5, places), inclusive=bool(rng.integers(2)))
    if rng.integers(2):
        facts |= dict(v_reset=np.float64(to), v_leak=np.float64(rng.uniform(-0.3, 0.3)))
    else:
        facts |= dict(drop=rng.uniform(0.3, 1, places) * level)
    if current:
        facts |= dict(leak_in=rng.choice([0.5, 0.75, 7 / 8]), gain_in=rng.uniform(0.3, 1))
    return Neuron(**facts)


def rows(rng, leak, current, stream):
    nodes, n = [], 9
    for index, width in enumerate(rng.integers(4, 9, 2).tolist()):
        lif = drawn(rng, f"lif{index}", width, 1, leak, current)
        bits = int(rng.choice([1, 2, 4]))
        weight = numbers(rng, (width, n + width * stream), bits)
        if stream:
            own = Affine(name=f"own{index}", weight=weight[:, n:], bias=rng.normal(size=width) / 9)
            lif = Neuron(**vars(lif) | dict(recurrent=own))
        nodes += [Affine(name=f"fc{index}", weight=weight[:, :n], bias=rng.normal(size=width) / 5),
                  lif]
        n = width
    return Graph((9,), [*nodes, Affine(name="out", weight=numbers(rng, (1, n), 4),
                                       bias=np.zeros(1))])


def maps(rng, leak, current, stream):
    pool, across = str(rng.choice(["max", "sum", "mean"])), int(rng.integers(1, 3))
    return Graph((2, 6, 5), [
        Conv(name="conv", weight=numbers(rng, (3, 2, 3, 2), 2), bias=rng.normal(size=3) / 5,
             padding=(1, 1), stride=(1, across)),
        drawn(rng, "lif0", 3, 3, leak, current), Pool(name="pool", kind=pool, size=(2, 1)),
        Conv(name="next", weight=numbers(rng, (4, 3, 2, 2), 4), bias=rng.normal(size=4) / 5),
        drawn(rng, "lif1", 4, 3, leak, current), Flatten(name="row"),
        Affine(name="out", weight=numbers(rng, (1, 4 * 2 * (5, 2)[across - 1]), 4),
               bias=np.zeros(1))])


@pytest.mark.parametrize("current", [False, True], ids=["", "current"])
@pytest.mark.parametrize("stream", [False, True], ids=["image", "stream"])
@pytest.mark.parametrize("kind", [rows, maps])
@pytest.mark.parametrize("leak", LEAKS)
def test_wide(leak, kind, stream, current):
    rng = np.random.default_rng([*leak, stream, current])
    graph, places = kind(rng, leak, current, stream), 2 * (kind is maps)
    n_in = int(np.prod(graph.inputs))
    x = rng.integers(0, 2, (COUNT, STEPS * n_in if stream else n_in))
    found = quantize(graph, 0 if stream else STEPS, x, input_bits=1, scale=1.0, bits=Bits(
        4, membranes=BITS, signed=True, leak=leak))
    taken = x.reshape(COUNT, -1, *np.roll(graph.inputs, -1) if places else graph.inputs)
    taken = np.moveaxis(taken, -1, 2) if places else taken
    exact = graph.run(taken if stream else taken[:, 0], None if stream else STEPS, np.float64)
    assert [layer.membrane_bits for layer in found.description.hidden] == [BITS] * 2
    assert all(report.error < 1e-6 and not report.clipped for report in found.report.layers)
    result = infer(found.description, x, trace=True)
    for spikes, layer, wanted in zip(result.spikes, found.description.hidden,
                                     exact.spikes.values(), strict=True):
        if places:
            wanted = np.moveaxis(wanted, 2, -1)[:, :, :layer.out_height, :layer.out_width]
        assert (spikes == wanted.reshape(spikes.shape)).all()
    assert result.spikes[0].any() and not result.spikes[0].all()
