"""NIR files of our networks: read again, and by three frameworks; what a line cannot say."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from qsnn.model import data
from qsnn.model.description import Current, Description, FullyConnected, Readout, load
from qsnn.model.graphs import Bits, GraphError, quantize, read, write_nir
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Graph, Neuron, Pool
from qsnn.model.inference import infer
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


def test_wrong(tmp_path):
    taps = Description(time_steps=0, layers=(
        layer(weights=np.ones((2, 6), np.int8), taps=2), Readout(
            weights=np.ones((2, 2), np.int8), bias=np.zeros(2, np.int64), frac=0)))
    with pytest.raises(GraphError, match="^layer 0: inputs of earlier steps cannot be said"):
        write_nir(taps, tmp_path / "net.nir")
    blank = np.zeros(2, np.int64)
    decays = Description(time_steps=1, layers=(
        layer(weights=np.ones((2, 3), np.int8),
              current=Current(bits=4, leak=(1, 1), shift=2, bias=blank)),
        Readout(weights=np.ones((2, 2), np.int8), bias=blank, frac=0)))
    with pytest.raises(GraphError, match="^layer 0: a current that decays is not written to NIR"):
        write_nir(decays, tmp_path / "net.nir")
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
