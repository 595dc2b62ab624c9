"""Which data set is meant where nobody says it."""

from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS
from qsnn.model.data import DataError
from qsnn.model.description import load
from qsnn.sim.workload import dataset_of
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
