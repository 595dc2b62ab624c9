"""Graphs: the interpreter by hand, and what a graph refuses."""

import numpy as np
import pytest

from qsnn.model.graphs.graph import (
    Affine,
    Conv,
    Flatten,
    Graph,
    GraphError,
    Neuron,
    Pool,
    Threshold,
)


def neuron(**changes):
    return Neuron(**{"name": "lif", "leak": np.float64(0.5), "gain": np.float64(1),
                     "threshold": np.float64(1)} | changes)


def affine(weight=((1.0,),), name="fc", bias=None):
    weight = np.array(weight, float)
    return Affine(name=name, weight=weight, bias=np.zeros(len(weight)) if bias is None else bias)


def spikes(node, currents):
    return Graph((1,), (node,)).run(np.array(currents, float)[None, :, None]).outputs.ravel()


@pytest.mark.parametrize("changes, found", [
    (dict(), [0, 0, 1, 0, 0]),  # 0.5, 0.75, 1.375, 0, 1: not above the threshold
    (dict(inclusive=True), [0, 0, 1, 0, 1]),
    (dict(leak=np.float64(1)), [0, 0, 1, 0, 0]),
    (dict(drop=np.float64(1)), [0, 0, 1, 0, 1]),  # 0.375 stays: 0.1875, 1.09
    (dict(gain=np.float64(2)), [0, 1, 1, 0, 1]),
    (dict(v_leak=np.float64(1)), [0, 1, 1, 0, 1]),
    (dict(v_reset=np.float64(-2)), [0, 0, 1, 0, 0]),  # where it starts, too
    (dict(leak_in=np.float64(0.5), gain_in=np.float64(1)), [0, 0, 1, 0, 1]),
    (dict(recurrent=affine([[-2.0]])), [0, 0, 1, 0, 0]),
    (dict(recurrent=affine([[2.0]])), [0, 0, 1, 1, 1]),
])
def test_neuron(changes, found):
    assert spikes(neuron(**changes), [0.5, 0.5, 1, 0, 1]).tolist() == found


def test_layers():
    rng = np.random.default_rng(0)
    x = rng.random((3, 2, 5, 7))
    weight, bias = rng.normal(size=(4, 2, 3, 2)), rng.normal(size=4)
    conv = Conv(name="conv", weight=weight, bias=bias, stride=(2, 1), padding=(1, 0))
    y = Graph((2, 5, 7), (conv,)).run(x, 1, np.float64).outputs[:, 0]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    for (n, c, i, j), value in np.ndenumerate(y):
        window = padded[n, :, 2 * i:2 * i + 3, j:j + 2]
        assert value == pytest.approx((window * weight[c]).sum() + bias[c])
    assert y.shape == (3, 4, 3, 6)
    for kind in ("sum", "mean", "max"):
        pool = Pool(name="pool", kind=kind, size=(2, 3))
        found = Graph((4, 3, 6), (pool,)).run(y, 1, np.float64).outputs[:, 0]
        assert found.shape == (3, 4, 1, 2)
        assert found[1, 2, 0, 1] == pytest.approx(getattr(y[1, 2, :2, 3:], kind)())
    nodes = Flatten(name="row"), Threshold(name="any", level=np.float64(0.5))
    assert (Graph((2, 5, 7), nodes).run(x, 1).outputs[:, 0] == (x > 0.5).reshape(3, -1)).all()


def test_batches_are_one(monkeypatch):
    rng = np.random.default_rng(1)
    graph = Graph((4,), (affine(rng.normal(size=(6, 4))), neuron(drop=np.float64(1))))
    whole = graph.run(rng_x := rng.random((9, 5, 4)))
    monkeypatch.setattr("qsnn.model.graphs.graph.BATCH", 1)
    parts = graph.run(rng_x)
    assert (whole.outputs == parts.outputs).all() and whole.outputs.any()
    assert (whole.labels == parts.labels).all() and whole.spikes["lif"].shape == (9, 5, 6)


@pytest.mark.parametrize("inputs, nodes, sentence", [
    ((3,), (affine(),), "^fc: it takes 1 numbers in a row, not 3$"),
    ((1, 2, 2), (affine(),), "^fc: it takes 1 numbers in a row, not 1 x 2 x 2$"),
    ((1,), (), "^0 nodes: a network has 1 to 256$"),
    ((1,), (affine(), affine()), "^two nodes have one name$"),
    ((2, 2), (Flatten(name="row"),), r"^inputs of 2 x 2: they are a row \(n\) or a map"),
    ((2,), (neuron(leak=np.ones(3)),), "^lif: leak has shape 3, its neurons 2$"),
    ((2,), (neuron(threshold=np.array(np.nan)),), "^lif: threshold has numbers that are none$"),
    ((1, 3, 3), (Pool(name="pool", kind="sum", size=(4, 1)),), "^pool: a map of 1 x 3 x 3 is sm"),
    ((1, 1, 1), (Conv(name="conv", weight=np.ones((1, 1, 2, 2)), bias=np.ones(1)),),
     "^conv: a map of 1 x 1 x 1 is smaller than its kernel$"),
    ((2, 1, 1), (Conv(name="conv", weight=np.ones((1, 1, 1, 1)), bias=np.ones(1)),),
     "^conv: it takes a map of 1 channels, not 2 x 1 x 1$"),
    ((2,), (neuron(threshold=np.float64(-3)),), "^lif: a threshold that is not above where"),
    ((2,), (neuron(v_reset=np.float64(1)),), "^lif: a threshold that is not above where it resets"),
    ((2,), (neuron(drop=np.array([1, 0])),), "^lif: a threshold that is not above 0, by which it "),
    ((2,), (neuron(recurrent=affine([[1.0, 1.0]])),), "^fc: it must give as many numbers as lif"),
])
def test_wrong(inputs, nodes, sentence):
    with pytest.raises(GraphError, match=sentence):
        Graph(inputs, nodes)


def test_wrong_samples():
    graph = Graph((2,), (neuron(),))
    for x, steps in ((np.zeros((4, 3)), 2), (np.zeros((4, 2)), None), (np.zeros((0, 2)), 1)):
        with pytest.raises(GraphError, match="^inputs have shape"):
            graph.run(x, steps)
