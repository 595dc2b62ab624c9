"""Imported networks through the Verilog: two of each framework, every spike that of the integers.

What a framework gave is compared with the graph in tests/test_nir.py and tests/test_torch_net.py.
"""

import numpy as np
import pytest

from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.model.graphs import Bits, from_torch, quantize, read
from qsnn.sim.workload import Workload, run
from tests.frameworks import framework
from tests.nir import folder, recording


def through(found, samples, path):
    description = found.description
    made = build(description, choose_folding(description), "imported", path)
    facts, description = open_build(made)
    outcome = run(made, facts, description, Workload(samples))
    assert outcome.ok and not any(outcome.mismatches.values()), outcome.mismatches
    assert 0 < found.report.layers[0].rate < 1  # it does something
    return description


@pytest.mark.parametrize("name, options, steps, leaks", [
    ("snntorch_fc_leak_half", dict(source="snntorch", reset="zero"), 4, {(1, 1)}),
    ("snntorch_fc_beta095", dict(source="snntorch"), 25, {(15, 4)}),
    ("spikingjelly_conv", dict(source="spikingjelly"), 2, {(1, 1)}),
    ("sinabs_if", dict(source="sinabs", reset="zero"), 8, {(1, 0)}),
    ("sinabs_lif", dict(source="sinabs", reset="zero", gain=1.0), 8, {(13, 4), (7, 3)}),
])
def test_files(name, options, steps, leaks, tmp_path):
    pytest.importorskip("h5py")
    path, arrays = recording(f"made_{name}")
    pixels = arrays["pixels"][:60]
    scale = float(arrays["pixel_scale"]) if "pixel_scale" in arrays else 1 / 255
    found = quantize(read(path, **options), steps, pixels, scale=scale)
    description = through(found, pixels[:6 if "conv" in name else 30], tmp_path)
    assert {layer.leak for layer in description.hidden} <= leaks


def test_file_with_currents(tmp_path):
    """Recurrent, with a second state of each neuron that decays, made by snnTorch's RSynaptic."""
    pytest.importorskip("h5py")
    path, arrays = recording("made_snntorch_cuba_recurrent")
    x = arrays["input_spikes"][:40].astype(int)
    found = quantize(read(path, source="snntorch"), 0, x.reshape(len(x), -1),
                     bits=Bits(8, membranes=8))
    description = through(found, x[:10], tmp_path)
    assert all(layer.current for layer in description.hidden)


def test_file_of_a_stream(tmp_path):
    """One neuron of the NIR paper, written by Norse: a leak of 123/128."""
    pytest.importorskip("h5py")
    traces = np.load(folder() / "public_lif_traces.npz")
    steps = (traces["norse"][:800, :1] > 0).astype(int)[None]
    found = quantize(read(folder() / "public_lif_norse.nir", "norse", dt=1e-4), 0,
                     steps.reshape(1, -1), bits=Bits(8, membranes=8))
    assert through(found, steps, tmp_path).layers[0].leak == (123, 7)


def norse():
    torch, module = framework("torch", "norse.torch")
    net = module.SequentialState(torch.nn.Linear(64, 20), module.LIFBoxCell(), torch.nn.Linear(
        20, 5), module.IAFCell())
    return net, 10.0


def spikingjelly():
    torch, neuron = framework("torch", "spikingjelly.activation_based.neuron")
    net = torch.nn.Sequential(torch.nn.Linear(64, 20), neuron.IFNode(v_reset=None),
                              torch.nn.Linear(20, 5), neuron.LIFNode(tau=4.0))
    return net, 4.0


@pytest.mark.parametrize("make", [norse, spikingjelly])
def test_models(make, tmp_path):
    net, scale = make()
    import torch
    pixels = np.random.default_rng(0).integers(0, 256, (60, 64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, 0.02, 0.1)
    graph = from_torch(net, (scale * pixels / 255).astype(np.float32))
    through(quantize(graph, 6, pixels, scale=scale / 255), pixels[:30], tmp_path)
