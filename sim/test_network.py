"""The emitted Verilog of random networks and of the committed ones, every integer, in cocotb."""

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding
from qsnn.model.data import load, quantize_pixels
from qsnn.model.description import load as load_description
from qsnn.sim.runner import simulate
from tests.networks import (
    INTEGERS,
    LEAKY,
    integer_network,
    leaky_network,
    random_description,
    random_pixels,
    random_small,
    random_small_maps,
)
from tests.whole import some_of

RANDOM = 10
MAPS = 9
SMOKE = 4  # of the random networks, for the second simulator too
IMAGES = 6
COMMITTED = sorted(path.stem for path in NETWORKS.glob("*.qsnn")
                   if not load_description(path).stream)
# convolutions would take cocotb hours: sim/test_compiled.py has them
ROWS = [name for name in COMMITTED if not load_description(NETWORKS / f"{name}.qsnn").input_map]


@pytest.mark.parametrize("seed", [
    pytest.param(seed, marks=[pytest.mark.smoke] if seed < SMOKE else [])
    for seed in range(RANDOM)])
def test_random(folder, waves, seed):
    rng = np.random.default_rng(seed)
    description, foldings = random_small(rng)
    pixels = random_pixels(rng, description, IMAGES)
    simulate(folder, description, foldings, pixels, waves=waves)


@pytest.mark.parametrize("seed", [
    pytest.param(seed, marks=[pytest.mark.smoke] if seed in (4, 6, 8) else [])
    for seed in range(MAPS)])
def test_maps(folder, waves, seed):
    """Convolutions, pools, skips, weights of several bits."""
    rng = np.random.default_rng(seed)
    description, foldings = random_small_maps(rng, latency=1500)
    pixels = random_pixels(rng, description, IMAGES)
    simulate(folder, description, foldings, pixels, waves=waves)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(folder, waves, name):
    """Weights that are all integers, not the odd ones alone: pixels, sums of spikes, positions."""
    rng = np.random.default_rng(1)
    description, foldings = integer_network(rng, name)
    simulate(folder, description, foldings, random_pixels(rng, description, IMAGES), waves=waves)


@pytest.mark.parametrize("name", LEAKY)
def test_leaky_readout(folder, waves, name):
    rng = np.random.default_rng(2)
    description, foldings = leaky_network(rng, name)
    simulate(folder, description, foldings, random_pixels(rng, description, IMAGES), waves=waves)


@pytest.mark.smoke
def test_single_port_ram(folder, waves):
    """Weights of an iCE40UP5K: 64 bits of a word there, 44 in block RAM."""
    rng = np.random.default_rng(0)
    description = random_description(rng, widths=(24, 9, 4))
    foldings = [Folding(9, 12, spram=True), Folding(2, 3)]
    pixels = random_pixels(rng, description, IMAGES)
    simulate(folder, description, foldings, pixels, waves=waves)


@pytest.mark.parametrize("name", some_of(ROWS, ["mnist-128-b2", "mnist-256-256-b8"]))
def test_committed(folder, waves, name):
    description = load_description(NETWORKS / f"{name}.qsnn")
    # any images do, and every machine has these
    pixels, _ = load("mnist", "test")
    pixels = quantize_pixels(pixels[:IMAGES], description.input_bits)
    simulate(folder, description, choose_folding(description), pixels, waves=waves)
