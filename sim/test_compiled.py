"""Test sets through the emitted Verilog; and that a difference would be seen."""

import dataclasses
import json

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS, build, foldings_of, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import SerialFolding
from qsnn.model.data import load, quantize_pixels
from qsnn.model.description import Description
from qsnn.model.description import load as load_description
from qsnn.model.golden import infer
from qsnn.sim.compiled import simulate
from qsnn.sim.test_network import COMMITTED
from qsnn.sim.tools import SimulationError
from tests.digests import digests
from tests.networks import random_description, random_foldings, random_maps, random_pixels
from tests.whole import parts

# one of a shape: membranes of 2 and 8 bits, few neurons, many, maps of one channel and of three
SHAPES = ["cifar-10-conv-b2", "fashion-mnist-wide-b2", "mnist-128-b2", "mnist-256-256-b2",
          "mnist-256-256-b8", "mnist-conv-b2"]
SOME, MANY = 800_000, 8_000_000  # cycles of a test: as many images as they allow, or eight


@pytest.mark.parametrize("name, cycles", parts(COMMITTED, SOME, MANY, SHAPES))
def test_test_set(tmp_path, name, cycles):
    """A thousand images through fully connected networks, tens through convolutions.

    ``make whole``: all 10,000, some hundreds. All through convolutions: benchmarks/boards.py
    --stream.
    """
    measured = json.loads((NETWORKS / f"{name}.json").read_text())
    description = load_description(NETWORKS / f"{name}.qsnn")
    folder = build(description, choose_folding(description), name, tmp_path)
    facts, description = open_build(folder)
    pixels, labels = load(measured["recipe"]["dataset"], "test")
    assert len(pixels) == measured["test"]["images"] == 10_000
    count = min(len(pixels), max(8, int(cycles / facts["cycles_per_image"])))
    if cycles == MANY:
        assert count >= 30 and (count == 10_000 or description.input_map)
    pixels, labels = pixels[:count], labels[:count]
    outcome = simulate(folder, facts, description,
                       quantize_pixels(pixels, description.input_bits))
    assert not any(outcome.mismatches.values()), outcome.mismatches
    if count == 10_000:
        assert (outcome.labels == labels).sum() == measured["test"]["correct"]
    assert outcome.cycles_per_image == facts["cycles_per_image"]
    assert outcome.latency == facts["latency"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network in a build folder with images, and the images' outcome."""
    rng = np.random.default_rng(3)
    description = random_description(rng, widths=(12, 9, 7, 4), time_steps=3)
    folder = build(description, random_foldings(rng, description), "small",
                   tmp_path_factory.mktemp("compiled"))
    facts, description = open_build(folder)
    pixels = random_pixels(rng, description, 200)
    return folder, facts, description, pixels


def test_equal(small):
    outcome = simulate(*small)
    assert outcome.ok and list(outcome.mismatches) == [
        "labels", "scores", "framing", "layer 0 spikes", "layer 0 membranes",
        "layer 1 spikes", "layer 1 membranes"]


@pytest.mark.parametrize("layer, memory, wrong", [
    (0, "weights", "layer 0 membranes"), (0, "biases", "layer 0 membranes"),
    (1, "thresholds", "layer 1 spikes"), (2, "weights", "scores"), (2, "biases", "scores")])
def test_every_memory_image_is_used(small, layer, memory, wrong):
    """All bits of one memory are flipped: the Verilog itself stays as it is."""
    folder, facts, *_ = small
    entry = facts["layers"][layer]["memories"][memory]
    path = folder / entry["file"]
    good = path.read_text()
    words = [int(line, 16) ^ (1 << entry["width"]) - 1 for line in good.split()]
    try:
        path.write_text("".join(f"{word:x}\n" for word in words))
        outcome = simulate(*small)
    finally:
        path.write_text(good)
    assert not outcome.ok and outcome.mismatches[wrong]
    # what lies before the damage is as it should be
    assert not any(outcome.mismatches[f"layer {index} {kind}"]
                   for index in range(layer) for kind in ("spikes", "membranes"))


def test_one_bit(small):
    """One weight of the last layer: scores differ, and nothing before them."""
    folder, facts, *_ = small
    path = folder / facts["layers"][2]["memories"]["weights"]["file"]
    good = path.read_text()
    first, _, rest = good.partition("\n")
    try:
        path.write_text(f"{int(first, 16) ^ 1:x}\n{rest}")
        outcome = simulate(*small)
    finally:
        path.write_text(good)
    assert {name for name, count in outcome.mismatches.items() if count} - {"labels"} == {"scores"}


def test_many_time_steps(tmp_path):
    rng = np.random.default_rng(64)
    description = random_maps(rng, words="c3k3-p2-fc4", image=(6, 5, 1), time_steps=64)
    facts, description = open_build(
        build(description, choose_folding(description, cycles=3000), "steps", tmp_path))
    outcome = simulate(tmp_path / "steps", facts, description,
                       random_pixels(rng, description, 50))
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles_per_image == facts["cycles_per_image"]


def test_new_weights_need_no_new_verilog(small, tmp_path):
    """Another network of the same shape: only its memory images are copied over."""
    folder, facts, description, pixels = small
    rng = np.random.default_rng(4)
    layers = [dataclasses.replace(
        layer, weights=rng.choice(np.array([-1, 1], np.int8), size=layer.weights.shape),
        bias=layer.bias[::-1].copy()) for layer in description.layers]
    other = Description(time_steps=description.time_steps, layers=layers)
    stages = [(layer["pe"], layer["simd"]) for layer in facts["layers"]]
    pe, simd = (",".join(map(str, column)) for column in zip(*stages, strict=True))
    new = build(other, choose_folding(other, pe=pe, simd=simd), "small", tmp_path)
    assert digests(new)["qsnn_small.v"] == digests(folder)["qsnn_small.v"]
    old = {path: path.read_text() for path in (folder / "memory").iterdir()}
    try:
        for path in old:
            path.write_text((new / "memory" / path.name).read_text())
        outcome = simulate(folder, facts, other, pixels)
        stale = simulate(folder, facts, description, pixels)
    finally:
        for path, text in old.items():
            path.write_text(text)
    assert outcome.ok and not stale.ok
    assert not np.array_equal(infer(other, pixels).scores, infer(description, pixels).scores)


def test_waves(small, tmp_path):
    folder, facts, description, pixels = small
    outcome = simulate(folder, facts, description, pixels[:2], waves=tmp_path / "waves.vcd")
    assert outcome.ok and (tmp_path / "waves.vcd").stat().st_size > 1000


def test_broken_verilog(small, tmp_path):
    _, facts, description, pixels = small
    folder = build(description, [*map(lambda layer: choose_folding(description)[layer], range(3))],
                   "small", tmp_path)
    source = folder / "qsnn_small.v"
    source.write_text(source.read_text().replace("endmodule", "endmodul", 1))
    with pytest.raises(SimulationError, match="the compiler failed, see .*testbench.log"):
        simulate(folder, facts, description, pixels)


@pytest.mark.parametrize("seed", range(4))
def test_serial_layers(tmp_path, seed):
    """Layers that take all time steps at once, then layers that take them one after the other."""
    rng = np.random.default_rng(seed)
    if seed == 3:  # with weights of several bits
        description = random_maps(rng, words="fc9-fc7w2-fc5w4", image=(3, 4, 1))
    else:
        description = random_description(rng, widths=(12, 9, 7, 5, 4) if seed % 2 else (20, 13, 3))
    foldings = random_foldings(rng, description)
    parallel = int(rng.integers(1, len(foldings)))
    foldings[parallel:] = [
        SerialFolding(folding.pe, min(folding.simd, layer.n_in), bool(rng.integers(2)))
        for folding, layer in zip(foldings[parallel:], description.layers[parallel:], strict=True)]
    facts, description = open_build(build(description, foldings, "mixed", tmp_path))
    assert foldings_of(facts) == foldings and facts["at_most"]
    outcome = simulate(tmp_path / "mixed", facts, description,
                       random_pixels(rng, description, 100))
    assert outcome.ok, outcome.mismatches
    assert outcome.cycles_per_image <= facts["cycles_per_image"]
    assert outcome.latency <= facts["latency"]


def test_serial_committed(tmp_path):
    """The second layer and the readout of a committed network, one step after the other."""
    description = load_description(NETWORKS / "mnist-256-256-b2.qsnn")
    file = tmp_path / "folding.json"
    file.write_text('[{"pe": 16, "simd": 16}, {"pe": 16, "simd": 8, "serial": true}, '
                    '{"pe": 1, "simd": 8, "serial": true, "sparse": false}]')
    folder = build(description, choose_folding(description, file=file), "serial", tmp_path)
    facts, description = open_build(folder)
    pixels, labels = load("mnist", "test")
    outcome = simulate(folder, facts, description, pixels[:300])
    assert outcome.ok, outcome.mismatches
    assert (outcome.labels == labels[:300]).mean() > 0.95
