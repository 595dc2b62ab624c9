"""NIR files of our networks: read again, and by three frameworks; what a line cannot say."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsnn.model import data
from qsnn.model.description import (
    Convolution,
    Current,
    Description,
    FullyConnected,
    Readout,
    Skip,
    load,
)
from qsnn.model.graphs import Bits, GraphError, quantize, read, write_nir
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron, Pool
from qsnn.model.inference import infer
from qsnn.model.recordings import encode_beats, excerpt
from tests.frameworks import framework

pytest.importorskip("h5py", reason="NIR files need h5py: pip install 'qsnn-fpga[nir]'")
NETWORKS = Path(__file__).parents[1] / "model" / "networks"


def written(description, path, **options):
    write_nir(description, path)
    return read(path, **dict(reset="zero", compare=">", dt=1e-4) | options)


def pixels(description, count):
    """Images of a network's data set, as integers and as the floats that its file takes."""
    images = data.input_values(description, data.load("mnist", "test")[0][:count])
    floats = images / np.float32((1 << description.input_bits) - 1)
    if description.input_map:
        floats = floats.reshape(-1, *description.input_map).transpose(0, 3, 1, 2)
    return images, floats


@pytest.mark.parametrize("name, count, least", [
    ("mnist-128-b2", 300, 297), ("mnist-256-256-b8", 300, 297), ("mnist-conv-b2", 30, 30)])
def test_networks(name, count, least, tmp_path):
    """Labels of the floats, whose membranes nothing rounds, are nearly all those of the integers"""
    description = load(NETWORKS / f"{name}.qsnn")
    images, floats = pixels(description, count)
    graph = written(description, tmp_path / "net.nir")
    found = graph.run(floats, description.time_steps)
    assert (found.labels == infer(description, images).labels).sum() >= least
    assert all(np.allclose(node.threshold, 1, atol=1e-5) for node in graph.neurons[:1])
    # and the same bytes again
    first = (tmp_path / "net.nir").read_bytes()
    write_nir(description, tmp_path / "net.nir")
    assert (tmp_path / "net.nir").read_bytes() == first


@pytest.mark.parametrize("leak", [1.0, 0.5, 0.9375])
@pytest.mark.parametrize("drop", [None, 1.0])
def test_neurons(leak, drop, tmp_path):
    """A graph, its integers with wide membranes, their file, and the spikes of the graph again."""
    rng = np.random.default_rng(0)
    lif = Neuron(name="lif", leak=np.float64(leak), gain=np.float64(1), threshold=np.float64(1),
                 drop=drop and np.float64(drop))
    graph = Graph((20,), (
        Affine(name="fc", weight=rng.normal(size=(30, 20)) / 3, bias=rng.normal(size=30) / 9), lif,
        Affine(name="out", weight=rng.normal(size=(4, 30)), bias=rng.normal(size=4))))
    x = rng.integers(0, 16, (100, 20))
    description = quantize(graph, 8, x, input_bits=4, bits=Bits(8, membranes=8)).description
    again = written(description, tmp_path / "net.nir", reset="subtract" if drop else "zero")
    found, wanted = (one.run(x / 15, 8) for one in (again, graph))
    assert (found.spikes["lif_0"] != wanted.spikes["lif"]).mean() < 0.01
    assert (found.labels == wanted.labels).mean() > 0.93
    assert again.neurons[0].leak == pytest.approx(leak, abs=2e-6)


@pytest.mark.parametrize("kernel, stride, pool", [
    ((2, 2), (1, 1), (2, 2)), ((2, 3), (1, 2), (2, 1))])
def test_maps(tmp_path, kernel, stride, pool):
    """Maps, both pools, rows that were maps, and a number at the start of each."""
    rng = np.random.default_rng(1)
    lif = dict(leak=np.float64(0.5), gain=np.float64(1), threshold=np.float64(1))
    graph = Graph((2, 9, 7), (
        Conv(name="c0", weight=rng.normal(size=(5, 2, 3, 3)) / 2, bias=rng.normal(size=5) / 5,
             stride=(1, 1), padding=(2, 2)), Neuron(name="l0", **lif),
        Pool(name="p0", kind="max", size=(2, 2)),
        Conv(name="c1", weight=rng.normal(size=(6, 5, *kernel)) / 2, bias=np.zeros(6),
             stride=stride),
        Neuron(name="l1", **lif), Pool(name="p1", kind="mean", size=pool), Flatten(name="row"),
        Affine(name="out", weight=rng.normal(size=(4, 12)), bias=np.zeros(4))))
    x = rng.integers(0, 256, (60, 9 * 7 * 2))
    description = quantize(graph, 3, x, bits=Bits(8, membranes=8)).description
    maps = x.reshape(-1, 9, 7, 2).transpose(0, 3, 1, 2) / 255
    again = written(description, tmp_path / "net.nir")
    assert (again.run(maps, 3).labels == graph.run(maps, 3).labels).mean() > 0.9
    # and back: the pool of any spike is a maximum again
    assert quantize(again, 3, x, bits=Bits(8, membranes=8)).description.shape == description.shape


def layer(**changes):
    return FullyConnected(**dict(
        weights=np.ones((2, 3), np.int8), threshold=np.array([-50, 4]), bias=np.array([1, 1]),
        input_bits=1, membrane_bits=8, signed=True, shift=1, frac=1, leak=(1, 0)) | changes)


def test_always_and_recurrent(tmp_path):
    own = np.array([[1, -1], [-1, 1]], np.int8)
    description = Description(time_steps=0, layers=(layer(recurrent=own), Readout(
        weights=own, bias=np.zeros(2, np.int64), frac=0)))
    graph = written(description, tmp_path / "net.nir")
    x = np.random.default_rng(0).integers(0, 2, (9, 6, 3))
    spikes = graph.run(x).spikes["lif_0"]
    assert spikes[..., 0].all() and 0 < spikes[..., 1].mean() < 1
    wanted = infer(description, x, trace=True).spikes[0]
    assert (spikes == wanted).all() and graph.neurons[0].recurrent is not None


def stream(**changes):
    """Two neurons and a readout of them."""
    own = np.array([[1, -1], [-1, 1]], np.int8)
    return Description(time_steps=0, layers=(layer(**changes), Readout(
        weights=own, bias=np.zeros(2, np.int64), frac=0)))


def spikes_of(count, steps, inputs, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (count, steps, inputs))


def with_taps(taps=3, own=True):
    """Neurons whose membranes nothing rounds: their floats have their spikes."""
    rng = np.random.default_rng(4)
    return stream(weights=rng.choice([-1, 1], (2, 4 * taps)).astype(np.int8), taps=taps,
                  threshold=np.array([3, 1]), shift=1, bias=np.array([1, 1]),
                  recurrent=np.array([[1, -1], [1, 1]], np.int8) if own else None)


def with_current(own=False, rest=0, leak=(1, 1)):
    """Exact in the first two steps: what a current keeps then is a whole number."""
    current = Current(bits=8, leak=(3, 2), shift=2, bias=np.array([2, 6]))
    return stream(weights=np.array([[1, 1, -1], [1, 1, 1]], np.int8), leak=leak, shift=2, frac=2,
                  threshold=np.array([7, 7]), bias=np.array([2 + rest, 6 + rest]),
                  current=current,
                  recurrent=np.array([[-1, 1], [1, 1]], np.int8) if own else None)


@pytest.mark.parametrize("own", [False, True])
def test_taps(own, tmp_path):
    """Every spike of a layer whose inputs come from earlier steps too, and every label."""
    description = with_taps(own=own)
    graph, x = written(description, tmp_path / "net.nir"), spikes_of(40, 9, 4)
    found, wanted = graph.run(x), infer(description, x, trace=True)
    assert (found.spikes["line_0"] == np.stack([np.pad(x, ((0, 0), (tap, 0), (0, 0)))[:, :9]
                                                for tap in range(3)], 2).reshape(40, 9, 12)).all()
    assert (found.spikes["lif_0"] == wanted.spikes[0]).all()
    assert 0.1 < wanted.spikes[0].mean() < 0.9
    assert (found.labels == wanted.labels).all() and len(np.unique(wanted.labels)) == 2


def test_taps_behind_maps(tmp_path):
    """Columns of all taps are those of the map, whose channels come first in a file."""
    rng = np.random.default_rng(3)
    first = Convolution(weights=rng.choice([-1, 1], (2, 2, 2, 2)).astype(np.int8), height=4,
                        width=5, threshold=np.array([1, 3]), bias=np.array([1, 1]), input_bits=1,
                        membrane_bits=8, signed=True, shift=1, frac=1, leak=(1, 0), pool="max",
                        pool_size=(1, 2))
    second = layer(weights=rng.choice([-1, 1], (2, 2 * first.n_outputs)).astype(np.int8), taps=2,
                   threshold=np.array([3, 5]))
    description = Description(time_steps=0, layers=(first, second, Readout(
        weights=np.array([[1, -1], [-1, 1]], np.int8), bias=np.zeros(2, np.int64), frac=0)))
    x = spikes_of(30, 5, 4 * 5 * 2)
    graph = written(description, tmp_path / "net.nir")
    found = graph.run(np.moveaxis(x.reshape(30, 5, 4, 5, 2), -1, 2))
    wanted = infer(description, x, trace=True)
    assert (found.spikes["lif_1"] == wanted.spikes[1]).all() and wanted.spikes[1].any()
    assert (found.labels == wanted.labels).all()


@pytest.mark.parametrize("leak", [(1, 0), (1, 1)])
@pytest.mark.parametrize("rest", [0, 4, -4])
@pytest.mark.parametrize("own", [False, True])
def test_currents(own, rest, leak, tmp_path):
    """Every spike that no rounding has come before; rest: what goes to the membrane alone."""
    description = with_current(own, rest, leak)
    graph = written(description, tmp_path / "net.nir")
    x = spikes_of(60, 2, 3)
    wanted = infer(description, x, trace=True)
    assert (graph.run(x).spikes["lif_0"] == wanted.spikes[0]).all()
    assert 0.1 < wanted.spikes[0].mean() < 0.9
    neuron = graph.neurons[0]
    assert neuron.leak_in == pytest.approx(0.75) and neuron.gain_in == pytest.approx(1)
    assert (abs(neuron.v_leak) > 0.01).all() == (rest != 0)


def test_currents_that_were_quantized(tmp_path):
    """Labels of a network with currents of 8 bits, over many steps, again from its file."""
    rng = np.random.default_rng(0)
    lif = Neuron(name="lif", leak=np.float64(7 / 8), gain=np.float64(1), threshold=np.float64(1),
                 leak_in=np.float64(3 / 4), gain_in=np.float64(1))
    graph = Graph((20,), (
        Affine(name="fc", weight=rng.normal(size=(30, 20)) / 20, bias=rng.normal(size=30) / 40),
        lif, Affine(name="out", weight=rng.normal(size=(4, 30)), bias=rng.normal(size=4))))
    x = rng.integers(0, 16, (100, 20))
    description = quantize(graph, 8, x, input_bits=4, bits=Bits(8, membranes=8)).description
    again = written(description, tmp_path / "net.nir").run(x / 15, 8)
    assert (again.spikes["lif_0"] != graph.run(x / 15, 8).spikes["lif"]).mean() < 0.02
    assert (again.labels == infer(description, x).labels).mean() > 0.9


def test_heart_beats(tmp_path):
    """Two layers with many taps, in a file that a reader takes."""
    description = load(NETWORKS / "ecg-32t24-32t4-b2.qsnn")
    samples, intervals, _ = (part[:40] for part in excerpt())
    x = encode_beats(samples, intervals, np.zeros(40, int))
    graph = written(description, tmp_path / "net.nir")
    assert [node.name for node in graph.neurons] == ["line_0", "lif_0", "line_1", "lif_1"]
    assert (graph.run(x).labels == infer(description, x.reshape(40, -1)).labels).sum() >= 39


def test_wrong(tmp_path):
    wide = dict(weights=np.ones((2, 4 * 1025), np.int8), taps=1025 // 5)
    with pytest.raises(GraphError, match="^layer 0: 205 taps of 20 inputs, at most 4,096 in all "
                                         "can be said by spikes that are handed on: use fewer"):
        write_nir(stream(**wide), tmp_path / "net.nir")
    first = Convolution(weights=np.ones((1, 1, 1, 1), np.int8), height=2, width=2,
                        threshold=np.array([1]), bias=np.array([0]), input_bits=1, membrane_bits=2,
                        signed=False, shift=1, frac=0, pool="sum", pool_size=(2, 2))
    sums = Description(time_steps=0, layers=(
        first, layer(weights=np.ones((2, 2), np.int8), input_bits=3, taps=2),
        stream().readout))
    with pytest.raises(GraphError, match="^layer 1: sums of earlier steps cannot be said by spikes "
                                         "that are handed on: use max pooling before layers with"):
        write_nir(sums, tmp_path / "net.nir")
    again = replace(first, weights=np.ones((1, 1, 1, 1), np.int8), pool="none", pool_size=(1, 1))
    skips = Description(time_steps=1, layers=(again, again, replace(again, skip=Skip(
        source=0, stride=1, shift=0)), replace(stream().readout, weights=np.ones((2, 4), np.int8))))
    with pytest.raises(GraphError, match="^layer 2: a skip cannot be said by nodes in a line: only "
                                         "networks without one go out, a .qsnn file has it all$"):
        write_nir(skips, tmp_path / "net.nir")
    with pytest.raises(OSError, match="nowhere"):
        write_nir(load(NETWORKS / "mnist-128-b2.qsnn"), tmp_path / "nowhere" / "net.nir")
    assert list(tmp_path.iterdir()) == []


READERS = {
    "snntorch": ("snntorch.import_nir", lambda module, graph: module.import_from_nir(graph)),
    "spikingjelly": ("spikingjelly.activation_based.nir_exchange",
                     lambda module, graph: module.import_from_nir(graph, dt=1e-4)),
    "norse": ("norse.torch", lambda module, graph: module.from_nir(graph, dt=1e-4)),
}


@pytest.mark.parametrize("name, count", [("mnist-128-b2", 100), ("mnist-conv-b2", 20)])
@pytest.mark.parametrize("reader", READERS)
def test_frameworks(reader, name, count, tmp_path, capsys):
    """The scores of the interpreter in three frameworks, state passed on from step to step."""
    torch = pytest.importorskip("torch")
    home, convert = READERS[reader]
    nir, module = framework("nir", home)
    description = load(NETWORKS / f"{name}.qsnn")
    ours = written(description, tmp_path / "net.nir")
    floats = pixels(description, count)[1].astype(np.float32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # theirs
        net, state, total = convert(module, nir.read(tmp_path / "net.nir")), None, 0
        for _ in range(description.time_steps):
            output = net(torch.tensor(floats), *([state] if state is not None else []))
            output, state = output if isinstance(output, tuple) else (output, None)
            total = total + output
    assert (total.numpy() == ours.run(floats, description.time_steps).scores).all()
    assert state is not None


@pytest.mark.parametrize("reader, description", [
    ("spikingjelly", with_taps()), ("spikingjelly", with_taps(own=False)),
    ("spikingjelly", with_current()), ("spikingjelly", with_current(own=True)),
    ("spikingjelly", with_current(leak=(1, 0))),
    # its reader fails at spikes that return: nirtorch 2.6 has no state for them
    ("snntorch", with_current()), ("snntorch", with_current(leak=(1, 0)))])
def test_streams_in_frameworks(reader, description, tmp_path, capsys):
    """Currents, taps and spikes that return, step by step: the interpreter's scores."""
    torch = pytest.importorskip("torch")
    home, convert = READERS[reader]
    nir, module = framework("nir", home)
    ours = written(description, tmp_path / "net.nir")
    x = spikes_of(30, 7, description.n_in)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # theirs
        net, state, total = convert(module, nir.read(tmp_path / "net.nir")), None, 0
        for t in range(7):
            output = net(torch.tensor(x[:, t], dtype=torch.float32),
                         *([state] if state is not None else []))
            output, state = output if isinstance(output, tuple) else (output, None)
            total = total + output
    wanted = ours.run(x)
    assert state is not None and len(np.unique(wanted.labels)) == 2
    assert (total.numpy() == wanted.scores).all()
