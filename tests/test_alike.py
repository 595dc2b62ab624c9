"""New weights for an old circuit: membrane steps that a training takes over, what must agree."""

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import qsnn
from qsnn.hw.emit.artefacts import artefacts
from qsnn.hw.emit.build import BuildError, build, load_alike, network_of
from qsnn.hw.plan.choice import choose_folding
from qsnn.model import experiment
from qsnn.model.alike import circuit, difference, steps_of
from qsnn.model.config import Config, Recipe, TrainingError
from qsnn.model.description import Description, load, save
from qsnn.model.export import fold, pinned
from qsnn.model.training import CHECKPOINT, Training
from tests.networks import random_description, random_maps
from tests.streams import random_stream

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Config(inputs=64, hidden=(16, 12), input_bits=4, time_steps=2)
# trainings whose steps differ
FIRST = Recipe(dataset="digits", epochs=2, batch_size=64)
SECOND = replace(FIRST, seed=1, lr=0.5, epochs=4)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    experiment.run(CONFIG, FIRST, folder)
    return load(folder / "network.qsnn")


def verilog(description):
    texts = artefacts(description, choose_folding(description), "net",
                      loadable=not description.stream)
    return texts["net.v"]


def test_new_weights_fit(tmp_path, first):
    experiment.run(CONFIG, SECOND, tmp_path / "free")
    free = load(tmp_path / "free/network.qsnn")
    with pytest.raises(BuildError, match=r"shift of layer . is ., not .; run qsnn build, or train "
                                         "it with --like$"):
        load_alike(tmp_path / "free/network.qsnn", first)

    config = pinned(CONFIG, first, "first")
    assert config.steps == steps_of(first) != steps_of(free)
    result = experiment.run(config, SECOND, tmp_path / "like")
    assert result["equality"]["equal"] and result["test"]["accuracy"] > 30
    other = load_alike(tmp_path / "like/network.qsnn", first)
    assert other.hash not in (first.hash, free.hash)
    assert verilog(other) == verilog(first) != verilog(free)


def test_it_continues(tmp_path, first):
    """The checkpoint has the numbers: the network that they came from may be gone."""
    config = pinned(CONFIG, first, "first")
    pixels, labels = np.random.default_rng(0).integers(0, 16, (128, 64)), np.arange(128) % 10
    whole = Training.start(config, SECOND, tmp_path / "none")
    list(whole.epochs(pixels, labels))
    halves = Training.start(config, SECOND, tmp_path / CHECKPOINT)
    next(halves.epochs(pixels, labels))
    halves.save(tmp_path / CHECKPOINT)
    halves = Training.start(config, SECOND, tmp_path / CHECKPOINT)
    list(halves.epochs(pixels, labels))
    assert fold(halves.net.eval()).hash == fold(whole.net.eval()).hash
    assert steps_of(fold(halves.net)) == steps_of(first)
    with pytest.raises(TrainingError, match=r"holds a training with steps \(.*\), not \(\): "):
        Training.start(CONFIG, SECOND, tmp_path / CHECKPOINT)


def test_it_begins_with_another_one(tmp_path, first):
    """Its weights, and not its steps."""
    free = Training.start(CONFIG, SECOND, tmp_path / "none")
    next(free.epochs(np.zeros((64, 64)), np.arange(64) % 10))
    for layer in free.net.hidden:
        layer.log_step.fill_(9)
    free.save(tmp_path / CHECKPOINT)
    config = pinned(CONFIG, first, "first")
    training = Training.start(config, replace(SECOND, start=str(tmp_path)), tmp_path / "new")
    assert steps_of(fold(training.net.eval())) == steps_of(first)
    assert torch.equal(training.net.output.weight, free.net.output.weight)


@pytest.mark.parametrize("change, sentence", [
    (dict(hidden=(16, 13)), "shape is 64-16-13-10, not 64-16-12-10"),
    (dict(hidden=(16,)), "shape is 64-16-10, not 64-16-12-10"),
    (dict(time_steps=3), "time_steps is 3, not 2"),
    (dict(input_bits=8), "input_bits of layer 0 is 8, not 4"),
    (dict(membrane_bits=3), "membrane_bits of layer 0 is 3, not 2"),
    (dict(signed=True), "signed of layer 0 is True, not False"),
    (dict(last_bits=2), "weight_bits of layer 2 is 2, not 1")])
def test_another_circuit(first, change, sentence):
    """All that decides is compared before the training."""
    with pytest.raises(TrainingError, match="^this training would not fit the circuit of net: "
                                            f"{sentence}; train what it has, or leave out --like"):
        pinned(replace(CONFIG, **change), first, "net")


def test_units_that_no_training_makes():
    rng = np.random.default_rng(0)
    net = random_description(rng, widths=(5, 4, 3))
    net = Description(time_steps=net.time_steps, layers=[
        replace(net.layers[0], shift=3, frac=2, threshold=np.zeros(4, int),
                bias=np.zeros(4, int)), net.layers[1]])
    assert steps_of(net) == (None,)
    with pytest.raises(TrainingError, match="^net: layer 0 has units that training does not make"):
        pinned(Config(inputs=5, hidden=(4,), classes=3), net, "net")


@pytest.mark.parametrize("steps", [(3,), (3, 3, 3), (3, 25), (-8, 3), (3.0, 3), (True, 3),
                                   (None, 3)])
def test_wrong_steps(steps):
    with pytest.raises(ValueError, match="^steps must be a number of -7 to 24 for each hidden "):
        replace(CONFIG, steps=steps)
    with pytest.raises(ValueError, match="^steps must be"):
        replace(CONFIG, steps=(3, 3), membrane_bits=0)


@pytest.mark.parametrize("make", [
    lambda rng: random_description(rng),
    lambda rng: random_maps(rng),
    lambda rng: random_stream(rng, words=[(5, 1, True)])])
def test_every_number_of_the_circuit(make):
    """What is not in the list may differ, and the Verilog is the same."""
    ours = make(np.random.default_rng(3))
    layers = [replace(layer, bias=layer.bias[::-1].copy(), weights=layer.weights[::-1])
              for layer in ours.layers]
    other = Description(time_steps=ours.time_steps, layers=layers)
    assert difference(other, ours) is None and verilog(other) == verilog(ours)
    assert circuit(ours) == circuit(other)


def test_window_of_a_stream():
    """How long a readout's sums fit is a width."""
    ours = random_stream(np.random.default_rng(3), words=[(5, 1, False)])
    *hidden, last = ours.layers
    other = Description(time_steps=0, layers=[*hidden, replace(last, window=4 * last.window)])
    index = len(hidden)
    assert difference(other, ours) == (f"window of layer {index} is {4 * last.window}, "
                                       f"not {last.window}")


def test_command(tmp_path, first):
    """--like takes a build folder or a network; what it says is written down."""
    build(first, choose_folding(first), "old", tmp_path)
    save(first, tmp_path / "old.qsnn")
    assert network_of(tmp_path / "old").hash == network_of(tmp_path / "old.qsnn").hash
    command = ["--dataset", "digits", "--hidden", "16,12", "--input-bits", "4", "--time-steps",
               "2", "--epochs", "1", "--seed", "9"]
    done = subprocess.run(
        [sys.executable, "-m", "qsnn.scripts.cli", "train", *command, "--like", "old", "--out",
         "new"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    load_alike(tmp_path / "new/network.qsnn", first)
    assert '--like old"' in (tmp_path / "new/result.json").read_text()
    net = qsnn.train("digits", hidden=(16, 12), input_bits=4, time_steps=2, epochs=1, seed=9,
                     like=str(tmp_path / "old.qsnn"), out=tmp_path / "api",
                     report=lambda epoch: None)
    assert net.description.hash == load(tmp_path / "new/network.qsnn").hash


@pytest.mark.parametrize("like, sentence", [
    ("mnist-128-b2", "this training would not fit the circuit of mnist-128-b2: shape is 64-16-10, "
                     "not 784-128-10; "),
    ("nowhere", "nowhere: neither a file nor one of the networks that come along")])
def test_refused(monkeypatch, capsys, tmp_path, like, sentence):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("train").app(["--dataset", "digits", "--hidden", "16", "--like",
                                              like, "--out", str(tmp_path / "out")])
    errors = capsys.readouterr().err
    assert stop.value.code == 2 and errors.startswith(f"error: {sentence}")
    assert errors.count("\n") == 1 and not (tmp_path / "out").exists()
