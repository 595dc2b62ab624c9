"""The emitted Verilog of random networks."""

import numpy as np
import pytest

from hw.folding import default_folding
from sim.runner import simulate
from tests.networks import random_description, random_pixels


@pytest.mark.smoke
@pytest.mark.parametrize("seed", [3])
def test_network(tmp_path, seed):
    rng = np.random.default_rng(seed)
    description = random_description(rng)
    simulate(tmp_path, description, default_folding(description, 8),
             random_pixels(rng, description, 6))
