"""Trainings on streams of spikes: what moves and what is drawn, by class, and the command."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qsnn.model import experiment
from qsnn.model.augment import augment, draw_balanced, shift_steps
from qsnn.model.config import config_for
from qsnn.model.data import load
from qsnn.model.description import load as load_description
from qsnn.model.equality import compare
from qsnn.model.inference import infer
from qsnn.model.log import CURVE, LOG
from qsnn.model.measure import by_class
from qsnn.model.qsnn import Config
from qsnn.model.recordings import TASKS
from qsnn.model.training import (
    CHECKPOINT,
    Recipe,
    Training,
    TrainingError,
)
from qsnn.model.weights import load_net
from tests.digests import digests

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Config(inputs=32, hidden=("fc12t3", "fc8r"), classes=10, input_bits=1, time_steps=8,
                membrane_bits=3, stream=True)
RECIPE = Recipe(dataset="pendigits", epochs=3, batch_size=16, shift=0, drop=0.1, balance=0.5,
                draws=96, seed=3, lr=2e-2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Strokes whose label is where they begin, one class of them rare."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 160), ("test", 60)):
        points = rng.integers(0, 101, (count, 8, 2)).astype(np.uint8)
        points[:count // 2, 0, 0] //= 2
        arrays |= {f"x_{split}": points, f"y_{split}": (points[:, 0, 0] // 34).astype(np.uint8)}
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "pendigits.npz", **arrays)
    return folder


@pytest.mark.parametrize("limit", [1, 3, 9])
def test_shift_steps(limit):
    generator = torch.Generator().manual_seed(0)
    samples = torch.arange(1.0, 1 + 40 * 5 * 3).reshape(40, 15)
    moved = shift_steps(samples, limit, generator, 5).reshape(40, 5, 3)
    seen = set()
    for before, after in zip(samples.reshape(40, 5, 3), moved, strict=True):
        fits = [move for move in range(-limit, limit + 1) if all(
            torch.equal(after[t], before[t - move] if 0 <= t - move < 5 else torch.zeros(3))
            for t in range(5))]
        assert fits
        seen.update(fits)
    assert len(seen) > limit and min(seen) < 0 < max(seen)


def test_maps_move_as_one():
    """All steps of a sample of n-mnist move alike, and both polarities."""
    task = TASKS["n-mnist"]
    config = Config(inputs=task.inputs, hidden=(4,), classes=10, input_bits=1, time_steps=30,
                    stream=True)
    recipe = Recipe(dataset="n-mnist", shift=2)
    maps = torch.zeros(6, 30, 34, 34, 2)
    for step in range(30):
        maps[:, step, 10 + step % 5, 20, step % 2] = 1
    moved = augment(maps.flatten(1), config, recipe, torch.Generator().manual_seed(1))
    places = set()
    for sample in moved.reshape(maps.shape):
        at = sample.nonzero()
        move = (at[0, 1] - 10).item(), (at[0, 2] - 20).item()
        assert torch.equal(sample, maps[0].roll(move, (1, 2)))
        places.add(move)
    assert len(places) > 2 and all(abs(part) <= 2 for place in places for part in place)


def test_drop():
    spikes = torch.ones(50, 256)
    left = augment(spikes, CONFIG, replace(RECIPE, drop=0.25), torch.Generator().manual_seed(0))
    assert left.unique().tolist() == [0, 1] and 0.7 < left.mean() < 0.8


@pytest.mark.parametrize("balance, shares", [(0, (0.9, 0.1)), (0.5, (0.75, 0.25)), (1, (0.5, 0.5))])
def test_balance(balance, shares):
    labels = torch.tensor([0, 2, 0, 0, 0, 0, 0, 0, 0, 0])
    drawn = draw_balanced(labels, balance, 20_000, torch.Generator().manual_seed(0))
    found = torch.bincount(labels[drawn], minlength=3) / 20_000
    assert torch.allclose(found, torch.tensor([shares[0], 0, shares[1]]), atol=0.02)


def test_experiment(tmp_path, folder):
    """An interrupted training too; torch and the integers agree on every sample."""
    result = experiment.run(CONFIG, RECIPE, tmp_path / "whole", folder)
    training = Training(CONFIG, RECIPE)
    running = training.epochs(*load("pendigits", "train", folder))
    next(running)
    (tmp_path / "parts").mkdir()
    training.save(tmp_path / "parts" / CHECKPOINT)
    assert experiment.run(CONFIG, RECIPE, tmp_path / "parts", folder) == result
    whole, parts = digests(tmp_path / "whole"), digests(tmp_path / "parts")
    assert {name for name in whole if whole[name] != parts[name]} == {LOG, CURVE}  # of one epoch

    assert result["equality"] == {"images": 60, "spikes": (0, 0), "membranes": (0, 0), "sums": 0,
                                  "equal": True}
    description = load_description(tmp_path / "whole/network.qsnn")
    assert description.stream and result["shape"] == description.shape
    samples, labels = load("pendigits", "test", folder)
    assert compare(load_net(tmp_path / "whole/network.safetensors"), description, samples).equal
    found = infer(description, samples).labels
    test = result["test"]
    assert test["correct"] == int((found == labels).sum()) and len(test["confusion"]) == 10
    assert test["confusion"][1][2] == int(((labels == 1) & (found == 2)).sum())
    assert list(test["sensitivity"]) == list("0123456789")
    assert result["command"] == (
        "qsnn train --dataset pendigits --arch fc12t3-fc8r --bits 3 --epochs 3 "
        "--seed 3 --batch-size 16 --lr 0.02 --shift 0 --balance 0.5 --draws 96 --drop 0.1")
    json.dumps(result)


def test_other_neurons(tmp_path, folder):
    """Leak, reset and a current, recurrent neurons among them: learned, equal, in the command."""
    config = replace(CONFIG, leak="15/16,3/4", reset="subtract", current="7/8,1/2")
    result = experiment.run(config, RECIPE, tmp_path, folder)
    assert result["equality"]["equal"]
    assert " --leak 15/16,3/4 --reset subtract --current 7/8,1/2" in result["command"]
    layers = load_description(tmp_path / "network.qsnn").hidden
    assert [(layer.leak, layer.reset, layer.current.leak) for layer in layers] == [
        ((15, 4), "subtract", (7, 3)), ((3, 2), "subtract", (1, 1))]
    assert min(result["test"]["rates"]) > 0


def test_lean(tmp_path, folder):
    """It moves the scores by whole numbers, and nothing else; torch has it too."""
    offsets = 0, 9, -31, 400, 0, 1, 0, 0, -2, 7
    text = ",".join(map(str, offsets))
    result = experiment.run(CONFIG, replace(RECIPE, epochs=1, lean=text), tmp_path / "lean", folder)
    experiment.run(CONFIG, replace(RECIPE, epochs=1), tmp_path / "plain", folder)
    lean, plain = (load_description(tmp_path / name / "network.qsnn") for name in ("lean", "plain"))
    assert (lean.readout.bias - plain.readout.bias).tolist() == list(offsets)
    for one, other in zip(lean.hidden, plain.hidden, strict=True):
        for name in ("weights", "threshold", "bias"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert result["equality"]["equal"] and result["command"].endswith(f" --lean {text}")
    with pytest.raises(TrainingError, match="^lean has 2 numbers, and there are 10 classes: give "
                                            "one to each$"):
        experiment.run(CONFIG, replace(RECIPE, lean="0,1"), tmp_path / "wrong", folder)


def test_by_class():
    found, labels = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert by_class(found, labels, "abc") == {
        "sensitivity": {"a": 66.67, "b": 66.67, "c": 0.0},
        "precision": {"a": 66.67, "b": 66.67, "c": 0.0},
        "f1": {"a": 66.67, "b": 66.67, "c": 0.0}, "macro_f1": 66.67,
        "confusion": [[2, 1, 0], [1, 2, 0], [0, 0, 0]]}


@pytest.mark.parametrize("config, recipe, sentence", [
    (replace(CONFIG, time_steps=9), {}, "pendigits has 8 steps of 32 inputs and 10 classes, the "
                                        "network 9, 32 and 10"),
    (Config(inputs=256), {}, "pendigits has streams of spikes, the network takes images"),
    (CONFIG, {"dataset": "digits", "drop": 0.0}, "digits has images, the network takes streams of "
                                                 "spikes"),
])
def test_other_networks(tmp_path, folder, config, recipe, sentence):
    with pytest.raises(TrainingError, match=f"^{sentence}$"):
        experiment.run(config, replace(RECIPE, **recipe), tmp_path,
                       None if "dataset" in recipe else folder)  # digits come along


@pytest.mark.parametrize("fields, sentence", [
    (dict(dataset="mnist", drop=0.1), "drop leaves out spikes, and mnist has images"),
    (dict(dataset="ecg", mix=0.5), "warp, flip, erase and mix change images, and ecg has streams "
                                   "of spikes"),
    (dict(balance=1.5), "balance must be 0 to 1, not 1.5"),
    (dict(lean="0,x"), "lean must be whole numbers with commas, one a class, not '0,x'"),
    (dict(draws=-1), "draws must be 0 to 100000000, not -1"),
    (dict(dataset="ecg", drop=1.0), "drop must be at least 0 and below 1, not 1.0")])
def test_wrong_recipes(fields, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Recipe(**fields)


@pytest.fixture
def main(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script's own is undone
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("train").app


@pytest.mark.parametrize("arguments, sentence", [
    (["--time-steps", "4"], "error: pendigits has streams of spikes: leave out --time-steps"),
    (["--input-bits", "8"], "error: pendigits has streams of spikes: leave out --input-bits"),
    (["--arch", "c4k3"], "error: layer 0 (c4k3): a convolution needs images with height, width "),
    (["--warp", "0.1"], "error: warp, flip, erase and mix change images, and pendigits has "),
    (["--dataset", "digits", "--arch", "fc8t4"], "error: layer 0 sees earlier steps: only a "),
    (["--draws", "8"], "error: a batch of 256 images, but only 8 to train on: choose a smaller ")])
def test_refused(tmp_path, folder, monkeypatch, capsys, main, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["--dataset", "pendigits", "--data-dir", str(folder), *arguments])
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith(sentence) and errors.count("\n") == 1


def test_command(tmp_path, folder, monkeypatch, capsys, main):
    """What a result names trains that result."""
    words = experiment.command(CONFIG, RECIPE).split()[2:]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*words, "--data-dir", str(folder)])
    assert stop.value.code == 0
    result = json.loads((tmp_path / "runs/pendigits-fc12t3-fc8r-b3/result.json").read_text())
    assert Config(**result["config"]) == CONFIG and Recipe(**result["recipe"]) == RECIPE
    assert "  9: sensitivity 0.00 %, precision 0.00 %" in capsys.readouterr().out


def test_maps_of_a_data_set():
    """Words that begin with a convolution take its steps as pictures, others as rows."""
    config = config_for("n-mnist", arch="c4k5s2p1w4-a2-12t2")
    assert config.image == (34, 34, 2) and config.layers[1].inputs == (8 * 8 * 4,)
    assert config_for("n-mnist", arch="fc12t2").image is None
