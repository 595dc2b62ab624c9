"""Which data set is meant where nobody says it, and what a set of one's own gives."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS, build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.model.data import DataError, quantize_pixels
from qsnn.model.description import load
from qsnn.model.meaning import Meaning, even_levels
from qsnn.sim.pictures import draw
from qsnn.sim.report import table
from qsnn.sim.workload import Workload, chosen, dataset_of, of_dataset
from tests.networks import random_description
from tests.streams import random_stream


@pytest.mark.parametrize("network, dataset", [
    ("mnist-128-b2", "mnist"), ("fashion-mnist-conv-b2", "fashion-mnist"),
    ("n-mnist-128-64t4-b2", "n-mnist"), ("ecg-32t24-32t4-b2", "ecg")])
def test_a_network_that_comes_along(network, dataset):
    """Whatever its folder is called."""
    for folder in ("mine", "digits-7"):
        assert dataset_of(load(NETWORKS / f"{network}.qsnn"), Path(folder)) == dataset


@pytest.mark.parametrize("folder, dataset", [
    ("mnist-16-b2", "mnist"), ("runs/fashion-mnist", "fashion-mnist"), ("n-mnist-3", "n-mnist"),
    ("digits-", "digits")])
def test_a_name(folder, dataset):
    assert dataset_of(random_description(np.random.default_rng(0)), Path(folder)) == dataset


@pytest.mark.parametrize("folder", ["mnistify", "mine-mnist", "mnist/mine", "cifar"])
def test_no_guess(folder):
    net = random_description(np.random.default_rng(0), widths=(784, 3, 10))
    with pytest.raises(DataError, match=f"^{folder}: neither its network nor its name says which "
                       "data it is for; say --dataset mnist or --dataset fashion-mnist or "
                       "--dataset random$"):
        dataset_of(net, Path(folder))


def test_no_guess_of_a_stream():
    net = random_stream(np.random.default_rng(0), words=[(5, 1, True)])
    with pytest.raises(DataError, match="data it is for; say --dataset random$"):
        dataset_of(net, Path("mine"))


ROWS, LABELS = np.random.default_rng(0).normal(size=(20, 6)), np.arange(20) % 2 * 7


def own(tmp_path, net, shape, **facts):
    """A network whose inputs and classes mean something, and a set with other numbers."""
    classes = ("0", "7", *map(chr, range(97, 123)))[:net.classes]
    meaning = Meaning(classes=classes, shape=shape, low=(-1.0,), high=(1.0,), **facts)
    np.savez(tmp_path / "a.npz", x=ROWS, y=LABELS)
    return replace(net, meaning=meaning), str(tmp_path / "a.npz")


def test_an_own_set(tmp_path):
    """The test part, scaled and named as the network has learned it."""
    net, path = own(tmp_path, random_description(np.random.default_rng(0), widths=(6, 3, 2)), (6,))
    found, rest = of_dataset(net, path, 3), of_dataset(net, path, split="train")
    assert (len(found.samples), len(rest.samples)) == (3, 16)
    for workload in (found, rest):
        for sample, label in zip(workload.samples, workload.labels, strict=True):
            pixels = quantize_pixels(net.meaning.samples(ROWS), net.input_bits)
            same = (pixels == sample).all(axis=1)
            assert (LABELS[same] == 7 * label).all() and same.sum() == 1
    assert (chosen(net, path, 4).labels == [0, 1, 0, 1]).all()
    with pytest.raises(DataError, match="^mnist: its network is of somebody's own data: say "):
        dataset_of(net, Path("mnist"))


def test_an_own_stream(tmp_path):
    stream = random_stream(np.random.default_rng(0), words=[(5, 1, True)])
    net, path = own(tmp_path, stream, (6, 1), levels=even_levels(stream.n_in))
    found = of_dataset(net, path)
    assert stream.n_in > 2
    assert found.samples.shape == (4, 6, stream.n_in) and found.samples.max() == 1
    assert (np.diff(found.samples.astype(int), axis=2) <= 0).all()


@pytest.mark.parametrize("widths, encoder, sentence", [
    ((5, 3, 2), "", "a.npz has 6 inputs and 2 classes, the network 5 and 2$"),
    ((6, 3, 2), "ecg", "has nothing that the encoder of this Verilog takes, ecg: build without"),
])
def test_another_own_set(tmp_path, widths, encoder, sentence):
    net, path = own(tmp_path, random_description(np.random.default_rng(0), widths=(6, 3, 2)), (6,))
    other = random_description(np.random.default_rng(0), widths=widths)
    with pytest.raises(DataError, match=sentence):
        of_dataset(other, path, encoder=encoder)


def test_names_in_what_is_said(tmp_path):
    net = random_description(np.random.default_rng(0), widths=(6, 3, 2))
    net = replace(net, meaning=Meaning(classes=("cat", "big dog"), shape=(6,)))
    folder = build(net, choose_folding(net), "mine", tmp_path)
    facts, again = open_build(folder)
    assert again.meaning == net.meaning and facts["classes"] == ["cat", "big dog"]
    assert "classes 0 cat, 1 big dog\n" in (folder / "report.txt").read_text()
    samples = Workload(np.zeros((4, 6), int), np.array([0, 1, 1, 1]))
    labels = np.array([0, 1, 0, 1])
    outcome = SimpleNamespace(labels=labels, expected=labels, mismatches={}, ok=True,
                              rows=lambda facts: [])
    text = table(again, facts, samples.labels, outcome)
    assert re.search("^  cat +1 of 1$", text, re.M) and re.search("^  big dog +2 of 3$", text, re.M)


@pytest.mark.filterwarnings("error")
def test_names_are_drawn_as_they_are(tmp_path):
    """They are no formulas, and a letter that the font has not is no warning."""
    rng = np.random.default_rng(0)
    net = random_description(rng, widths=(6, 3, 2))
    net = replace(net, meaning=Meaning(classes=("$\\frac{$", "\u732b"), shape=(6,)))
    workload = Workload(rng.integers(0, 2, (9, 6)).astype(np.uint8), np.arange(9) % 2)
    paths = draw(tmp_path, net, workload, SimpleNamespace(labels=np.zeros(9, int)))
    assert all(path.stat().st_size for path in paths) and len(paths) == 3
    assert matplotlib.rcParams["text.parse_math"]  # axes of others have formulas
