"""Graphs as integers: exact where nothing rounds, the arithmetic by hand, what cannot be."""

from types import SimpleNamespace

import numpy as np
import pytest

from qsnn.model.graphs import Bits, GraphError, quantize, quantizing, read
from qsnn.model.graphs.floats import Floats
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron, Pool, Threshold
from qsnn.model.graphs.integers import codes_of, is_binary, leaks, odd_numbers
from qsnn.model.graphs.loading import measured
from qsnn.model.inference import infer
from tests.nir import folder, recording


def neuron(name="lif", **changes):
    return Neuron(**{"name": name, "leak": np.float64(1), "gain": np.float64(1),
                     "threshold": np.float64(90)} | changes)


def odd(rng, shape, bits):
    """Odd numbers whose largest is in every channel."""
    high = (1 << bits) - 1
    numbers = 2 * rng.integers(0, high + 1, shape) - high
    numbers.reshape(len(numbers), -1)[:, 0] = high
    return numbers.astype(float)


def affine(name, weight, bias=None):
    return Affine(name=name, weight=weight, bias=np.zeros(len(weight)) if bias is None else bias)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("soft", [False, True])
def test_exact_rows(seed, soft):
    """Weights that are odd numbers, no leak, whole thresholds: nothing rounds."""
    rng = np.random.default_rng(seed)
    bits = int(rng.choice([1, 2, 4]))
    nodes, n = [], 12
    for index, width in enumerate((9, 7)):
        scale = 2.0 ** rng.integers(-9, 2)
        level = scale * rng.integers(2, 9 << bits, width) / (index + 1)
        nodes += [affine(f"fc{index}", scale * odd(rng, (width, n), bits),
                         scale * rng.integers(-2, 4, width)),
                  neuron(f"lif{index}", threshold=level, inclusive=bool(seed % 2),
                         drop=level if soft else None)]
        n = width
    graph = Graph((12,), [*nodes, affine("out", odd(rng, (3, n), 1), np.array([0, 1, -1]))])
    x = rng.integers(0, 2, (60, 12))
    found = quantize(graph, 3, x, input_bits=1, scale=1.0,
                     bits=Bits(bits, first=bits, last=1, membranes=8, signed=True))
    exact = graph.run(x, 3, np.float64)
    result = infer(found.description, x, trace=True)
    for layer, spikes, report in zip(exact.spikes.values(), result.spikes, found.report.layers,
                                     strict=True):
        assert (layer == spikes).all() and report.differ == 0
        assert report.error == 0
    assert (exact.scores * 4 == result.scores).all() and exact.spikes["lif1"].any()
    assert found.report.same_labels == 60


def by_hand(layer, sums, gain, constant, leak, level, drop, inclusive):
    """Spikes [N, T, n] of neurons in floats whose membranes alone are rounded as the layer's."""
    step, v, found = gain * 2.0 ** (layer.shift - layer.frac), 0.0, []
    for now in np.moveaxis(sums, 1, 0):
        v = leak * v + gain * now + constant
        fired = v >= level if inclusive else v > level
        v = np.where(fired, 0 if drop is None else v - drop, v)
        v = np.clip(np.floor(v / step + 0.5), *layer.q_range) * step
        found.append(fired)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("leak, m_k", [(1, (1, 0)), (0.5, (1, 1)), (0.75, (3, 2)),
                                       (61 / 64, (61, 6))])
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_by_hand(leak, m_k, inclusive, soft, monkeypatch):
    """Every fold at once: gain, bias, v_leak, v_reset, threshold; all numbers are dyadic."""
    monkeypatch.setattr(quantizing, "RAISED", ())
    rng = np.random.default_rng(m_k[1])
    weight, bias = odd(rng, (8, 10), 4) / 64, rng.integers(-20, 60, 8) / 64
    level, to, rest = rng.integers(0, 50, 8) / 64, -0.25, 0.5
    drop = level / 2 if soft else None
    lif = neuron(leak=np.float64(leak), gain=np.float64(0.5), threshold=level, drop=drop,
                 v_leak=np.float64(rest), v_reset=np.float64(to), inclusive=inclusive)
    graph = Graph((10,), (affine("fc", weight, bias), lif))
    x = rng.integers(0, 2, (50, 10))
    found = quantize(graph, 9, x, input_bits=1, scale=1.0, bits=Bits(4, first=4, leak=m_k))
    layer = found.description.layers[0]
    sums = np.repeat((x @ layer.weights.T)[:, None], 9, axis=1)
    wanted = by_hand(layer, sums, 0.5 / 64, 0.5 * bias + (1 - leak) * (rest - to), leak,
                     level - to, drop, inclusive)
    spikes = infer(found.description, x, trace=True).spikes[0]
    assert (spikes == wanted).all() and 0.05 < spikes.mean() < 0.95
    assert found.report.layers[0].taken == m_k and layer.reset == ("subtract" if soft else "zero")


def random_maps(rng, kind):
    weight = odd(rng, (4, 2, 3, 3), 2) / 8
    pool = Pool(name="pool", kind=kind, size=(2, 2))
    nodes = [Conv(name="conv", weight=weight, bias=rng.integers(-1, 2, 4) / 8, padding=(1, 1)),
             neuron("one", threshold=np.array([4, 5, 3, 4.0])[:, None, None] / 8), pool]
    if kind == "any":
        nodes[-1:] = [Pool(name="pool", kind="sum", size=(2, 2)),
                      Threshold(name="any", level=np.float64(0.5))]
    return [*nodes, Flatten(name="row"), affine("fc", odd(rng, (5, 4 * 3 * 4), 2) / 8),
            neuron("two", threshold=np.float64(2))]


@pytest.mark.parametrize("kind", ["sum", "mean", "max", "any"])
def test_exact_maps(kind):
    """Channels go to the end, in maps and in rows that were maps; pools of all kinds."""
    rng = np.random.default_rng(3)
    graph = Graph((2, 7, 9), random_maps(rng, kind))
    x = rng.integers(0, 2, (40, 7 * 9 * 2))  # rows, columns, channels: as data sets are
    found = quantize(graph, 2, x, input_bits=1, scale=1.0, bits=Bits(2, 2, 2, membranes=8))
    maps = x.reshape(-1, 7, 9, 2).transpose(0, 3, 1, 2)
    exact = graph.run(maps, 2, np.float64)
    assert [report.differ for report in found.report.layers] == [0, 0]
    result = infer(found.description, x, trace=True)
    assert (result.spikes[1] == exact.spikes["two"]).all() and result.spikes[1].any()
    # a last layer that fires is counted: twice its spikes, less all of them
    counts = exact.scores
    assert (result.scores == 2 * counts - counts.sum(axis=1, keepdims=True)).all()
    assert (result.labels == exact.labels).all()
    assert found.description.shape == {
        "sum": "7x9x2-c4k3w2-a2-fc5w2-5", "mean": "7x9x2-c4k3w2-a2-fc5w2-5",
        "max": "7x9x2-c4k3w2-p2-fc5w2-5", "any": "7x9x2-c4k3w2-p2-fc5w2-5"}[kind]


def test_exact_map_stream():
    """Steps that are maps, for an event camera; and the accuracy of both, which is the same."""
    rng = np.random.default_rng(29)
    graph = Graph((2, 7, 9), random_maps(rng, "sum"))
    x = (rng.random((30, 6 * 7 * 9 * 2)) < rng.random((30, 1))).astype(np.uint8)
    found = quantize(graph, 0, x, scale=1.0, bits=Bits(2, 2, 2, membranes=8))
    exact = graph.run(x.reshape(30, 6, 7, 9, 2).transpose(0, 1, 4, 2, 3), None, np.float64)
    result = infer(found.description, x, trace=True)
    assert (result.spikes[1] == exact.spikes["two"]).all() and result.spikes[1].any()
    assert found.description.stream and len(np.unique(exact.labels)) > 2
    labels = np.where(np.arange(30) < 12, exact.labels, -1)
    both = measured(graph, found.description, SimpleNamespace(load=lambda split: (x, labels)), 30,
                    1.0, 0.0)
    assert both == {"samples": 30, "floats": 40.0, "integers": 40.0, "same": 30}


def test_exact_rectangles():
    """Kernels, strides, paddings and pools with other columns than rows."""
    rng = np.random.default_rng(5)
    graph = Graph((2, 7, 9), [
        Conv(name="conv", weight=odd(rng, (4, 2, 1, 3), 2) / 8, bias=rng.integers(-1, 2, 4) / 8,
             stride=(1, 2), padding=(0, 1)),
        neuron("one", threshold=np.array([4, 5, 3, 4.0])[:, None, None] / 8),
        Pool(name="pool", kind="sum", size=(2, 1)), Flatten(name="row"),
        affine("fc", odd(rng, (5, 4 * 3 * 5), 2) / 8), neuron("two", threshold=np.float64(2))])
    x = rng.integers(0, 2, (40, 7 * 9 * 2))
    found = quantize(graph, 2, x, input_bits=1, scale=1.0, bits=Bits(2, 2, 2, membranes=8))
    exact = graph.run(x.reshape(-1, 7, 9, 2).transpose(0, 3, 1, 2), 2, np.float64)
    result = infer(found.description, x, trace=True)
    assert (result.spikes[1] == exact.spikes["two"]).all() and result.spikes[1].any()
    assert found.description.shape == "7x9x2-c4k1x3s1x2w2-a2x1-fc5w2-5"


@pytest.mark.parametrize("kernel, pool, shape", [
    ((3, 3), (2, 2), "8x8x1-c3k4s2p1w8-4"), ((3, 1), (2, 4), "8x8x1-c3k4s2x4p1x0w8-4")])
def test_pool_before_neurons(kernel, pool, shape):
    """The mean of a convolution is a convolution with a larger kernel and stride."""
    rng = np.random.default_rng(0)
    conv = Conv(name="conv", weight=rng.normal(size=(3, 1, *kernel)), bias=rng.normal(size=3),
                padding=(1, kernel[1] // 2))
    nodes = [conv, Pool(name="pool", kind="mean", size=pool),
             neuron(threshold=np.float64(0.7), leak=np.float64(0.5)), Flatten(name="row"),
             affine("fc", rng.normal(size=(4, 3 * 64 // np.prod(pool))))]
    graph = Graph((1, 8, 8), nodes)
    x = rng.integers(0, 256, (50, 64))
    found = quantize(graph, 4, x, bits=Bits(8, membranes=8))
    assert found.description.shape == shape
    assert found.report.layers[0].differ < 0.02 * found.report.layers[0].spikes
    assert found.report.same_labels >= 48


def test_recurrent_stream():
    rng = np.random.default_rng(2)
    own = affine("own", odd(rng, (6, 6), 4) / 16, rng.integers(-2, 2, 6) / 16)
    graph = Graph((8,), (affine("fc", odd(rng, (6, 8), 4) / 16), neuron(
        threshold=np.float64(80 / 16), recurrent=own), affine("out", odd(rng, (2, 6), 1))))
    x = rng.integers(0, 2, (30, 5 * 8))
    found = quantize(graph, 0, x, bits=Bits(4, first=4, last=1, membranes=8))
    exact = graph.run(x.reshape(30, 5, 8))
    result = infer(found.description, x, trace=True)
    assert (result.spikes[0] == exact.spikes["lif"]).all() and exact.spikes["lif"].any()
    assert found.description.shape == "8-fc6w4r-2" and found.report.layers[0].differ == 0


def test_offset():
    """Pixels that were normalised: the offset goes into the bias, and not with padding."""
    rng = np.random.default_rng(5)
    graph = Graph((16,), (affine("fc", rng.normal(size=(8, 16))), neuron(
        threshold=np.float64(1), leak=np.float64(0.5)), affine("out", rng.normal(size=(3, 8)))))
    x = rng.integers(0, 256, (80, 16))
    found = quantize(graph, 4, x, bits=Bits(8, membranes=8), scale=1 / 255 / 0.3, offset=-1.2)
    assert found.report.layers[0].differ < 0.01 * found.report.layers[0].spikes
    assert (infer(found.description, x).labels == graph.run(
        x / 255 / 0.3 - 1.2, 4).labels).mean() > 0.95
    padded = Graph((2, 7, 9), random_maps(rng, "sum"))
    with pytest.raises(GraphError, match="^conv: zeros around a map whose pixels have an offset"):
        quantize(padded, 2, rng.integers(0, 2, (4, 126)), input_bits=1, scale=1.0, offset=-1.0)


def test_channels_without_weights():
    weight = np.array([[1.0, -1], [0, 0], [0, 0]])
    graph = Graph((2,), (affine("fc", weight, np.array([0, 2.0, 0.5])), neuron(
        threshold=np.float64(1), leak=np.float64(0.5))))
    found = quantize(graph, 3, np.array([[0, 0], [1, 0], [0, 1]]), input_bits=1)
    spikes = infer(found.description, np.array([[1, 1]]), trace=True).spikes[0]
    assert spikes[0, :, 1].all() and not spikes[0, :, 2].any()
    assert "warning: 1 of 3 channels: each always fires" in str(found.report)
    assert "warning: 1 of 3 channels: each never fires" in str(found.report)


def test_one_class():
    for last in ([], [affine("out", np.array([[1.0]]), np.array([-0.5]))]):
        graph = Graph((2,), (affine("fc", np.array([[1.0, -1]])), neuron(
            threshold=np.float64(0.5)), *last))
        x = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        found = quantize(graph, 1, x, np.array([0, 1, 0, 0]), input_bits=1)
        assert infer(found.description, x).labels.tolist() == [0, 1, 0, 0]
        assert found.report.correct == (4, 4) and "integers 100.00 %" in str(found.report)


def test_numbers():
    assert leaks(0.5) == [(1, 1)] and leaks(1) == [(1, 0)] and leaks(0.75) == [(3, 2)]
    assert leaks(0.95) == [(15, 4), (61, 6), (243, 8)] and leaks(0.0)[0] == (1, 1)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 400))
    errors = []
    for bits in (1, 2, 4, 8):
        numbers, scales = odd_numbers(weights, bits)
        assert (numbers % 2 == 1).all() and abs(numbers).max() < 1 << bits
        errors.append(((weights - scales[:, None] * numbers) ** 2).mean())
    # a normal variable: 1 bit keeps 2 / pi of the variance, Max's quantizers of 4 levels 88 %
    assert errors[0] == pytest.approx(1 - 2 / np.pi, abs=0.03) and errors[1] < 0.125
    assert errors[2] < 0.02 and errors[3] < 2e-4
    assert is_binary(np.array([[0.5, -0.5], [2, 2]])) and not is_binary(
        np.array([[1.0, 2], [1, 1]]))
    assert not is_binary(np.zeros((1, 2)))


def tiny(**changes):
    return Graph((2,), (affine("fc", np.array([[1.0, 2], [3, 4]])), neuron(**changes)))


@pytest.mark.parametrize("nodes, sentence", [
    ([neuron()], "^lif: Neuron where a linear layer or a convolution is needed"),
    ([affine("a", np.ones((2, 2))), affine("b", np.ones((2, 2)))], "^b: Affine after a, where "),
    ([Flatten(name="row")], "^there is no layer$"),
    ([affine("a", np.ones((2, 2)))], "^a network has a layer of neurons before"),
])
def test_wrong_rows(nodes, sentence):
    with pytest.raises(GraphError, match=sentence):
        quantize(Graph((2,), nodes), 2, np.zeros((3, 2), int))


@pytest.mark.parametrize("nodes, sentence", [
    ([Pool(name="pool", kind="max", size=(2, 2)), neuron()], "^pool: max pooling before the n"),
    ([neuron(), Pool(name="pool", kind="mean", size=(2, 1))], None),
    ([neuron(threshold=np.arange(1.0, 65).reshape(1, 8, 8))], "^lif: threshold differs within "),
    ([neuron(), Pool(name="pool", kind="sum", size=(2, 2)), Threshold(
        name="many", level=np.float64(2))], "^many: a Threshold that is not 'any spike"),
    ([neuron(gain=np.float64(-1))], "^lif: a gain that is not above 0$"),
    ([neuron(), Pool(name="pool", kind="sum", size=(1, 1))], None),
])
def test_wrong_maps(nodes, sentence):
    conv = Conv(name="conv", weight=np.ones((1, 1, 1, 1)), bias=np.ones(1))
    shape = Graph((1, 8, 8), (conv, *nodes)).shapes[-1]
    nodes = (conv, *nodes, Flatten(name="row"), affine("out", np.ones((2, int(np.prod(shape))))))
    if sentence is None:
        quantize(Graph((1, 8, 8), nodes), 2, np.zeros((3, 64), int))
        return
    with pytest.raises(GraphError, match=sentence):
        quantize(Graph((1, 8, 8), nodes), 2, np.zeros((3, 64), int))


@pytest.mark.parametrize("name, options, steps, labels", [
    ("norse_cuba", dict(source="norse"), 16, 99),
    ("snntorch_cuba_recurrent", dict(source="snntorch"), 0, 98)])
def test_currents(name, options, steps, labels):
    """CubaLIF, recurrent too: the labels of the floats, whose leaks are not powers of two."""
    pytest.importorskip("h5py")
    path, arrays = recording(f"made_{name}")
    x = arrays["pixels"] if steps else arrays["input_spikes"].astype(int)
    found = quantize(read(path, **options), steps, x.reshape(len(x), -1),
                     bits=Bits(8, membranes=8), scale=float(arrays.get("pixel_scale", 1)))
    assert found.report.same_labels >= labels
    for layer, report in zip(found.description.hidden, found.report.layers, strict=True):
        m, k = layer.current.leak
        assert abs(m / 2 ** k - report.current[0]) < 1 / 50
        assert report.differ < 0.03 * report.spikes
    assert "as 13/16, current " in str(found.report)


def test_current_without_rounding():
    """Where leaks are exact, and steps fine enough, integers are the floats'."""
    rng = np.random.default_rng(1)
    weights = 2.0 * rng.integers(0, 2, (6, 5)) - 1
    nodes = (affine("in", weights), neuron(leak=np.float64(0.5), leak_in=np.float64(0.5),
                                           gain_in=np.float64(1), threshold=np.float64(8.0),
                                           inclusive=True),
             affine("out", 2.0 * rng.integers(0, 2, (3, 6)) - 1))
    x = rng.integers(0, 2, (40, 5))
    graph = Graph((5,), nodes)
    found = quantize(graph, 3, x, bits=Bits(1, membranes=8, signed=True), input_bits=1, scale=1.0)
    assert found.report.layers[0].differ == 0 and found.report.layers[0].current[1] == (1, 1)


@pytest.mark.parametrize("changes, arguments, sentence", [
    (dict(recurrent=affine("own", np.ones((2, 2)))), {}, "^lif: spikes that return to their layer"),
    ({}, dict(time_steps=65), "^time steps must be 1 to 64, or 0 for a stream, not 65$"),
    ({}, dict(time_steps=None), "^time steps must be 1 to 64, or 0 for a stream, not None$"),
    ({}, dict(inputs=np.zeros((3, 3), int)), "^the network takes 2 numbers, samples have 3$"),
    ({}, dict(inputs=np.zeros((3, 2))), "^inputs must be integers, not float64$"),
    ({}, dict(inputs=np.full((3, 2), 256)), r"^inputs must lie in 0 \.\. 255$"),
    ({}, dict(inputs=np.full((3, 2), 2), time_steps=0), r"^inputs must lie in 0 \.\. 1$"),
    ({}, dict(input_bits=9), "^input_bits must be 1 to 8, not 9$"),
    ({}, dict(scale=0.0), "^scale must be above 0, and offset a number$"),
    ({}, dict(scale=0.5, time_steps=0), "^spikes of a stream are 0 and 1"),
])
def test_wrong(changes, arguments, sentence):
    with pytest.raises(GraphError, match=sentence):
        quantize(tiny(**changes), **dict(time_steps=2, inputs=np.zeros((3, 2), int)) | arguments)


@pytest.mark.parametrize("changes, sentence", [
    (dict(weights=3), "^weights: weights have 1, 2, 4 or 8 bits, not 3$"),
    (dict(first=16), "^first: weights have 1, 2, 4 or 8 bits, not 16$"),
    (dict(membranes=1), "^membranes have 2 to 8 bits, not 1$"),
])
def test_wrong_bits(changes, sentence):
    with pytest.raises(GraphError, match=sentence):
        Bits(**changes)


@pytest.mark.parametrize("name, options, steps, bits, least", [
    ("snntorch_fc_leak_half", dict(source="snntorch", reset="zero"), 4, Bits(), 195),
    ("snntorch_fc_leak_half", dict(source="snntorch", reset="zero"), 4, Bits(8, membranes=8), 198),
    ("snntorch_fc_beta095", dict(source="snntorch"), 25, Bits(8, membranes=8), 197),
    ("snntorch_fc_beta095", dict(source="snntorch"), 25, Bits(), 190),
    ("spikingjelly_conv", dict(source="spikingjelly"), 4, Bits(), 58),
    ("sinabs_if", dict(source="sinabs", reset="zero"), 8, Bits(8, membranes=8), 98),
    ("sinabs_lif", dict(source="sinabs", reset="zero", gain=1.0), 8, Bits(), 97),
])
def test_recordings(name, options, steps, bits, least):
    """Labels that stay those of the float network, of 200, 60 or 100 samples."""
    pytest.importorskip("h5py")
    path, arrays = recording(f"made_{name}")
    scale = float(arrays["pixel_scale"]) if "pixel_scale" in arrays else 1 / 255
    found = quantize(read(path, **options), steps, arrays["pixels"], arrays["labels"], bits=bits,
                     scale=scale)
    assert found.report.same_labels >= least, found.report
    assert found.description.time_steps == steps


def inhibited(count):
    """Neurons whose membranes fall far below 0 and then rise, their samples, 20 steps each, and
    weights of which 4 bits lose some."""
    rng = np.random.default_rng(0)
    weight = rng.normal(np.repeat([-0.2, 0.2], 20), 0.15, (24, 40))
    graph = Graph((40,), (affine("fc", weight), neuron(threshold=np.float64(1.0)),
                          affine("out", rng.normal(size=(3, 24)))))
    rates = np.zeros((20, 40))
    rates[:10, :20], rates[10:, 20:] = 0.18, 0.4
    return graph, (rng.random((count, 20, 40)) < rates).astype(int)


def test_ranges_and_thresholds_make_up_for_what_is_lost(monkeypatch):
    """Spikes of samples that nothing was chosen by: nearer to the floats' with what is tried."""
    monkeypatch.setattr(Floats, "follow", lambda *inputs: False)
    graph, x = inhibited(200)
    exact = graph.run(x[100:]).spikes["lif"].sum(axis=1, dtype=int)
    off, clipped = {}, {}
    for name, changes in (("both", {}), ("thresholds", dict(MAX_WIDER=0)),
                          ("ranges", dict(RAISED=())), ("none", dict(MAX_WIDER=0, RAISED=()))):
        with monkeypatch.context() as patch:
            for key, value in changes.items():
                patch.setattr(quantizing, key, value)
            found = quantize(graph, 0, x[:100].reshape(100, -1), bits=Bits(4, membranes=8))
        counts = infer(found.description, x[100:], trace=True).spikes[0].sum(axis=1, dtype=int)
        off[name], clipped[name] = abs(counts - exact).sum(), found.report.layers[0].clipped
    assert off["ranges"] < 0.9 * off["none"] and clipped["ranges"] < 0.5 * clipped["none"]
    assert off["thresholds"] < 0.9 * off["none"] and off["both"] < off["ranges"]


def test_few_samples_do_not_tune(monkeypatch):
    """Thresholds that fit a few samples fit nothing else."""
    monkeypatch.setattr(Floats, "follow", lambda *inputs: False)
    graph, x = inhibited(60)
    thresholds = []
    for count, raised in ((19, quantizing.RAISED), (19, ()), (60, quantizing.RAISED), (60, ())):
        monkeypatch.setattr(quantizing, "RAISED", raised)
        found = quantize(graph, 0, x[:count].reshape(count, -1), bits=Bits(4, membranes=8))
        thresholds.append(found.description.layers[0].threshold)
    assert (thresholds[0] == thresholds[1]).all() and (thresholds[2] != thresholds[3]).any()


def test_trace():
    """One neuron of the NIR paper as a stream: 123/128 for 0.96, the spikes that Sinabs has."""
    pytest.importorskip("h5py")
    path = folder() / "public_lif_norse.nir"
    traces = np.load(path.parent / "public_lif_traces.npz")
    x = (traces["norse"][:, :1] > 0).astype(int).reshape(1, -1)
    found = quantize(read(path, "norse", dt=1e-4), 0, x, bits=Bits(8, membranes=8))
    spikes = infer(found.description, x, trace=True).spikes[0][0, :, 0]
    assert np.flatnonzero(spikes).tolist() == np.flatnonzero(traces["sinabs"][:, 2]).tolist()
    assert found.report.layers[0].taken == (123, 7)


@pytest.mark.parametrize("bits, given", [(4, 4), (2, 4), (8, 8), (4, 8)])
def test_integers_stay(bits, given):
    """Weights of a layer that was trained with integers, each channel with a scale: none changes,
    and no more bits than they need."""
    rng = np.random.default_rng(bits)
    high = (1 << bits - 1) - 1

    def drawn(shape):
        numbers = rng.integers(-high, high + 1, shape)
        numbers[:, 0], numbers[:, 1] = high, 0
        return numbers
    first, second, last = drawn((9, 30)), drawn((8, 9)), drawn((3, 8))
    scales = rng.uniform(0.01, 0.2, 9)[:, None].astype(np.float32)
    graph = Graph((30,), (
        affine("fc1", np.float32(first) * scales), neuron("lif1", threshold=9 * scales[:, 0]),
        affine("fc2", np.float32(0.3) * second), neuron("lif2", threshold=np.float64(0.9)),
        affine("out", np.float32(0.7) * last)))
    x = rng.integers(0, 2, (60, 30))
    found = quantize(graph, 4, x, input_bits=1, scale=1.0, bits=Bits(given, membranes=8))
    for layer, numbers in zip(found.description.layers, (first, second, last), strict=True):
        assert (layer.weights == numbers).all()
        assert (layer.weight_bits, layer.weight_code) == (bits, "integer")
    text = str(found.report)
    assert text.count(f"weights of {bits} bits, integers (kept exactly, scales ") == 2
    assert f"out: readout, weights of {bits} bits, integers (kept exactly)" in text
    # one that is between two of them, and all are odd numbers again
    graph.nodes[0].weight[3, 4] += 0.4371 * scales[3, 0]
    layer = quantize(graph, 4, x, input_bits=1, scale=1.0, bits=Bits(given)).description.layers[0]
    assert (layer.weight_bits, layer.weight_code) == (given, "odd")


def test_codes():
    """Fewest bits, and odd numbers where these lose nothing either."""
    for weights, bits, wanted in (
            ([[3, -1, 1, 3], [6, 2, -2, -6]], 2, (2, "odd")), ([[1, 0, -1, 1]], 4, (2, "integer")),
            ([[15, -7, 3, 5]], 8, (8, "odd")), ([[5, -7, 3, 7]], 4, (4, "integer")),
            ([[-8, 7, 3, 2]], 4, (4, "integer")), ([[8, -7, 3, 2]], 4, (4, "odd")),
            ([[8, -7, 3, 2]], 8, (8, "integer")), ([[0, 0, 0, 0], [5, 0, 0, 1]], 4, (4, "integer")),
            ([[1, np.pi, 2, 3]], 8, (8, "odd"))):
        assert codes_of(0.37 * np.array(weights, float), bits) == [wanted]
    assert codes_of(np.array([[1.0, -1], [2, 2]]), 4) == [(1, "odd"), (4, "odd")]
