"""A readout whose totals leak: by hand, in streams, in files, trained, imported and written."""

from dataclasses import replace

import numpy as np
import pytest

from qsnn.model import golden, streams
from qsnn.model.alike import difference
from qsnn.model.config import Config
from qsnn.model.description import DescriptionError, Readout, load, save
from qsnn.model.graphs import Bits, GraphError, quantize, read, write_nir
from qsnn.model.graphs.graph import Affine, Graph, Leak, Neuron
from qsnn.model.inference import infer
from tests.frameworks import framework
from tests.networks import LEAKS, LEAKY, leaky_network, random_pixels, with_leaky_readout
from tests.streams import random_stream

LOSSY = sorted(set(LEAKS) - {(1, 0)})


def by_hand(readout, sums):
    """Totals of Python's integers, whatever their size: sums [T][outputs]."""
    m, k = readout.leak
    limit = readout.window * -readout.sum_range[0] << readout.frac
    totals = [0] * readout.n_out
    for now in sums:
        totals = [max(-limit, min(limit, (2 * total * m + 2 ** k) // 2 ** (k + 1)
                                  + int(s) * 2 ** readout.frac))
                  for total, s in zip(totals, now, strict=True)]
    return totals


@pytest.mark.parametrize("name", LEAKY)
def test_images(name):
    rng = np.random.default_rng(3)
    description, _ = leaky_network(rng, name)
    pixels, readout = random_pixels(rng, description, 20), description.readout
    result = infer(description, pixels, trace=True)
    for spikes, scores in zip(result.spikes[-1], result.scores, strict=True):
        sums = spikes.astype(int) @ readout.weights.T.astype(int)
        assert (np.array(by_hand(readout, sums)) + readout.bias == scores).all()
    # none leaks: the sums
    plain = infer(with_leaky_readout(description, (1, 0)), pixels)
    sums = result.spikes[-1].sum(axis=1).astype(int) @ readout.weights.T.astype(int)
    assert ((sums << readout.frac) + readout.bias == plain.scores).all()
    assert name in ("leaky-one", "leaky-all") or (plain.scores != result.scores).any()


@pytest.mark.parametrize("leak", LOSSY)
def test_a_total_of_an_image_never_saturates(leak):
    """Rounding moves none away from 0: so hardware for images need not look."""
    readout = Readout(weights=np.ones((1, 3), int), bias=np.zeros(1, int), frac=2, leak=leak)
    totals = np.arange(-400, 401)
    stays = golden.total_step(replace(readout, window=64), totals[:, None],
                              np.zeros((801, 1), int))[:, 0]
    assert (abs(stays) <= abs(totals)).all()


@pytest.mark.parametrize("leak", LOSSY)
def test_streams(leak):
    """Emit reads a total and leaves it; clear begins anew; in two parts it is the same."""
    rng = np.random.default_rng(1)
    description = with_leaky_readout(random_stream(rng, words=[(9, 1, False)]), leak)
    steps = (rng.random((3, 40, description.n_in)) < 0.4).astype(np.uint8)
    found = streams.run(description, steps, emit=range(40), clear=[17], trace=True)
    readout = description.readout
    sums = found.spikes[-1].astype(int) @ readout.weights.T.astype(int)
    for sample in range(3):
        for t in range(40):
            since = sums[sample, 18 if t > 17 else 0:t + 1]
            assert (np.array(by_hand(readout, since)) + readout.bias
                    == found.scores[sample, t]).all()
    first = streams.run(description, steps[:, :25], clear=[17])
    second = streams.run(description, steps[:, 25:], emit=range(15), state=first.state)
    assert (second.scores == found.scores[:, 25:]).all()


def test_a_file(tmp_path):
    description, _ = leaky_network(np.random.default_rng(0), "leaky")
    save(description, tmp_path / "net.qsnn")
    assert load(tmp_path / "net.qsnn").readout.leak == (15, 4)
    assert difference(description, with_leaky_readout(description, (7, 3))) == (
        f"leak of layer {len(description.hidden)} is (15, 4), not (7, 3)")
    for leak in ((2, 1), (1, 9), 0.5):
        with pytest.raises(DescriptionError, match="^leak of a readout must be "):
            with_leaky_readout(description, leak)


@pytest.mark.parametrize("seed, leak", [
    *enumerate(["1/2", "15/16", "3/4", "61/64", "255/256", "1"])])
def test_trained(seed, leak):
    """Torch's sums through the rule give the integers' scores, and its labels are nearly theirs."""
    torch = pytest.importorskip("torch")
    from qsnn.model.equality import compare
    from qsnn.model.export import fold
    from qsnn.model.qsnn import paired
    from tests.test_export import images, random_net
    net = random_net(seed, readout_leak=leak, time_steps=9, classes=5)
    description = fold(net)
    assert description.readout.leaky == (leak != "1")
    pixels = images(np.random.default_rng(seed), net.config, 200)
    assert compare(net, description, pixels.numpy().astype(int)).equal
    with torch.no_grad():
        logits = paired(net(pixels)[0].mean(0)).numpy()
    scores = infer(description, pixels.numpy().astype(int)).scores
    unit = np.exp(net.log_scale.item()) / 2 ** description.readout.frac / sum(
        eval(leak) ** np.arange(9.0))  # noqa: S307  a fraction of the list above
    # half a unit for a bias, and for each step, of which some stays
    assert (abs(scores * unit - logits) <= 6 * unit).all()


def test_wrong_config():
    with pytest.raises(ValueError, match="^a leak of '2'"):
        Config(readout_leak="2")


def graph(rng, leak, gain=1.0, rest=0.0, classes=4):
    lif = Neuron(name="lif", leak=np.float64(0.5), gain=np.float64(1), threshold=np.float64(2))
    return Graph((20,), (
        Affine(name="fc", weight=rng.normal(size=(15, 20)), bias=np.zeros(15)), lif,
        Affine(name="out", weight=rng.normal(size=(classes, 15)), bias=rng.normal(size=classes)),
        Leak(name="li", leak=np.float64(leak), gain=np.float64(gain), rest=np.float64(rest))))


@pytest.mark.parametrize("leak, taken", [(0.5, (1, 1)), (0.9, (115, 7)), (61 / 64, (61, 6))])
def test_quantized(leak, taken):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (200, 20))
    made = graph(rng, leak, gain=0.3, rest=0.2)
    found = quantize(made, 12, x, input_bits=1, scale=1.0, bits=Bits(8, membranes=8))
    assert found.description.readout.leak == taken
    assert found.report.same_labels >= 195
    text = f"% lost), leak {leak:.4g} as {taken[0]}/{2 ** taken[1]}\n"
    assert "\nout: readout, weights of 8 bits (" in str(found.report) and text in str(found.report)
    floats, scores = made.run(x, 12).scores, infer(found.description, x).scores
    assert np.corrcoef(floats.ravel(), scores.ravel())[0, 1] > 0.998


def test_refused():
    rng = np.random.default_rng(0)
    made = graph(rng, 0.5)
    with pytest.raises(GraphError, match="^li: neurons that never fire can only be the last ones$"):
        Graph((20,), (*made.nodes, Affine(name="more", weight=np.ones((2, 4)), bias=np.zeros(2))))
    several = replace(made.nodes[-1], leak=np.array([0.5, 0.5, 0.25, 0.5]))
    with pytest.raises(GraphError, match="^li: its classes leak by different parts"):
        quantize(Graph((20,), (*made.nodes[:-1], several)), 3, np.zeros((5, 20), int),
                 input_bits=1, scale=1.0)


@pytest.mark.parametrize("leak", [(1, 1), (15, 4), (61, 6)])
def test_nir(tmp_path, leak):
    """Written as an LI and read again: the same labels, and the same leak."""
    pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    description = quantize(graph(rng, leak[0] / 2 ** leak[1]), 12, rng.integers(0, 2, (50, 20)),
                           input_bits=1, scale=1.0, bits=Bits(4, membranes=8)).description
    write_nir(description, tmp_path / "net.nir")
    again = read(tmp_path / "net.nir", reset="zero", compare=">", dt=1e-4)
    assert isinstance(again.nodes[-1], Leak)
    assert again.nodes[-1].leak == pytest.approx(leak[0] / 2 ** leak[1])
    assert again.nodes[-1].gain == pytest.approx(1)
    x = rng.integers(0, 2, (200, 20))
    assert (again.run(x, 12).labels == infer(description, x).labels).mean() > 0.97


def test_snntorch():
    """The membrane of a last Leaky that never resets."""
    torch, snn = pytest.importorskip("torch"), framework("snntorch")
    from qsnn.model.graphs import from_torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif1 = torch.nn.Linear(20, 30), snn.Leaky(beta=0.5)
            self.fc2 = torch.nn.Linear(30, 4)
            self.li = snn.Leaky(beta=0.9, reset_mechanism="none")

        def forward(self, x):
            first, last = self.lif1.init_leaky(), self.li.init_leaky()
            for _ in range(10):
                spikes, first = self.lif1(self.fc1(x), first)
                _, last = self.li(self.fc2(spikes), last)
            return last

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = Net(), 3 * torch.rand(16, 20)
        found = from_torch(net, x)
        with torch.no_grad():
            wanted = net(x).numpy()
    assert isinstance(found.nodes[-1], Leak)
    assert found.run(x.numpy(), 10).scores == pytest.approx(wanted, rel=1e-4, abs=1e-4)
