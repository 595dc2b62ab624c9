"""Torch and the golden model on test images, for every committed network.

Of networks with convolutions some images; as many as there are: ``make whole``.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from qsnn.model import data, golden
from qsnn.model.description import Description, load
from qsnn.model.equality import compare, trace
from qsnn.model.experiment import command
from qsnn.model.export import fold
from qsnn.model.inference import infer
from qsnn.model.measure import MAX_COMPARED, by_class, work
from qsnn.model.qsnn import Config
from qsnn.model.recordings import TASKS
from qsnn.model.training import Recipe
from qsnn.model.weights import load_net, save_net
from tests.streams import recorded
from tests.test_export import images, random_maps_net, random_net
from tests.whole import parts

torch.set_num_threads(1)

SAMPLES = 500  # of streams; their training compared all
MAPS = 100  # images through convolutions, each has thousands of neurons; of large ones fewer
FOLDER = Path(data.__file__).parent / "networks"
NETWORKS = sorted(FOLDER.glob("*.qsnn"))


@cache
def result_of(path):
    return json.loads(path.with_suffix(".json").read_text())


@cache
def test_set(dataset, input_bits):
    pixels, labels = recorded(dataset)
    return pixels if dataset in TASKS else data.quantize_pixels(pixels, input_bits), labels


test_set.__test__ = False


def maps_of(description):
    """Images of a test of a network with convolutions: some seconds of work."""
    return min(MAPS, max(4, 2 * 10 ** 10 // work(description)))


def network_parameters(test):
    """Networks, and whether the whole test set goes through them: hours of convolutions."""
    maps = {path.stem: load(path).input_map is not None for path in NETWORKS}
    return pytest.mark.parametrize("name, whole", [
        *(pytest.param(name, True, id=name) for name, large in maps.items() if not large),
        *parts([name for name, large in maps.items() if large], False, True)])(test)


def test_networks_are_there():
    assert "mnist-256-256-b2" in [path.stem for path in NETWORKS]
    for path in NETWORKS:
        bits = sum(layer.weights.size * layer.weight_bits for layer in load(path).layers)
        assert path.with_suffix(".safetensors").stat().st_size <= 1.1 * bits / 8 + 40_000


@network_parameters
def test_every_spike_and_membrane(name, whole):
    path = FOLDER / f"{name}.qsnn"
    description, net = load(path), load_net(path.with_suffix(".safetensors"))
    pixels, labels = test_set(result_of(path)["recipe"]["dataset"], description.input_bits)
    assert description.stream or len(pixels) == 10_000
    count = min(len(pixels), SAMPLES if description.stream else len(pixels) if whole else
                maps_of(description))
    comparison = compare(net, description, pixels[:count])
    zeros = (0,) * len(description.hidden)
    assert (comparison.images, comparison.spikes, comparison.membranes, comparison.sums) == (
        count, zeros, zeros, 0)
    assert comparison.equal
    assert fold(net).hash == description.hash


@network_parameters
def test_result(name, whole):
    """The numbers beside a network are those that its integers give; close to them, of some."""
    path = FOLDER / f"{name}.qsnn"
    description, result = load(path), result_of(path)
    pixels, labels = test_set(result["recipe"]["dataset"], description.input_bits)
    expected, count = result["test"], len(labels)
    if not whole:
        some = maps_of(description)
        pixels, labels = pixels[:some], labels[:some]
    found = infer(description, pixels)
    correct = int((found.labels == labels).sum())
    if whole:
        measured = {"images": count, "correct": correct,
                    "accuracy": round(100 * correct / count, 4),
                    "rates": [round(rate, 4) for rate in found.rates]}
        if description.stream:
            measured |= by_class(found.labels, labels, TASKS[result["recipe"]["dataset"]].classes)
        assert expected == measured
    else:
        share = expected["correct"] / count
        assert expected["images"] == count and expected["accuracy"] == round(100 * share, 4)
        assert abs(correct - share * some) < 3 * (some * share * (1 - share)) ** 0.5
        assert found.rates == pytest.approx(expected["rates"], rel=0.1 * (MAPS / some) ** 0.5)
    assert result["equality"]["images"] == min(count, MAX_COMPARED // work(description))
    assert result["equality"]["equal"]
    assert (result["sha256"], result["shape"]) == (description.hash, description.shape)
    config, recipe = Config(**result["config"]), Recipe(**result["recipe"])
    assert load_net(path.with_suffix(".safetensors")).config == replace(config, standardize=False)
    device = "cuda" if result["command"].endswith(" --device cuda") else "cpu"
    assert result["command"] == command(config, recipe, device)


def changed(description, index, **values):
    layers = list(description.layers)
    layers[index] = replace(layers[index], **values)
    return Description(time_steps=description.time_steps, layers=layers)


@pytest.fixture
def pair():
    net = random_net(3, inputs=20, hidden=(24, 16), classes=5, time_steps=4, membrane_bits=4)
    pixels = images(np.random.default_rng(0), net.config, 2500).numpy().astype(int)
    return net, fold(net), pixels


def test_differences_are_counted(pair):
    """Against the golden model of a network that differs in one number."""
    net, description, pixels = pair
    assert compare(net, description, pixels).equal
    layer = description.hidden[1]
    for name in ("threshold", "bias"):
        values = getattr(layer, name).copy()
        neuron = 5
        values[neuron] += 3 * 2 ** layer.frac
        other = changed(description, 1, **{name: values})
        good, bad = (golden.infer(d, pixels, trace=True) for d in (description, other))
        comparison = compare(net, other, pixels)
        assert comparison.spikes == (0, int((good.spikes[1] != bad.spikes[1]).sum()))
        assert comparison.membranes == (0, int((good.membranes[1] != bad.membranes[1]).sum()))
        assert comparison.sums == int((good.scores != bad.scores).sum())
        assert comparison.images == 2500
        assert sum(comparison.membranes) and not comparison.equal


def test_a_sum_alone(pair):
    net, description, pixels = pair
    weights = description.readout.weights.copy()
    spikes = golden.infer(description, pixels, trace=True).spikes[1]
    neuron = int(spikes.sum(axis=(0, 1)).argmax())
    weights[2, neuron] *= -1
    fired = spikes[:, :, neuron].any(axis=1)
    comparison = compare(net, changed(description, 2, weights=weights), pixels)
    assert (comparison.spikes, comparison.membranes) == ((0, 0), (0, 0))
    assert comparison.sums == int(fired.sum()) > 0
    assert not comparison.equal


def test_trace_leaves_nothing_behind(pair):
    net, _, pixels = pair
    first, second = (trace(net, pixels[:10]) for _ in range(2))
    for a, b in zip(first[0] + first[1], second[0] + second[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(layer.trace is None and not layer._forward_hooks for layer in net.hidden)


@pytest.mark.parametrize("make", [random_net, random_maps_net])
@pytest.mark.parametrize("seed", range(10))
def test_saved_network(tmp_path, make, seed):
    """What is kept of a network is enough for every bit of its forward pass."""
    net = make(seed)
    save_net(net, tmp_path / "net.safetensors")
    loaded = load_net(tmp_path / "net.safetensors")
    pixels = images(np.random.default_rng(seed), net.config, 100)
    with torch.no_grad():
        assert torch.equal(net(pixels)[0], loaded(pixels)[0])
    assert fold(loaded).hash == fold(net).hash
    assert not loaded.training and loaded.bias.dtype == torch.float64
