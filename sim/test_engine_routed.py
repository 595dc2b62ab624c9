"""A small engine, placed and routed: its netlist runs programs as its Verilog does."""

import numpy as np
import pytest

from qsnn.hw.engine.shape import EngineShape
from qsnn.sim.engine import run_engine
from qsnn.sim.routed import compile_routed, route_engine
from qsnn.sim.test_engine import random_program
from tests.networks import random_pixels

SHAPE = EngineShape(pe=8, simd=16, beat=4, steps=2, map_words=512, slab_words=256)


@pytest.mark.whole  # five minutes of place and route, four of the compiler
@pytest.mark.timeout(3600)
def test_routed_netlist(tmp_path):
    report = route_engine(SHAPE, tmp_path)
    assert report["utilization"]["DP16KD"]["used"] == 11
    engine, rng = compile_routed(SHAPE, tmp_path), np.random.default_rng(0)
    for _ in range(8):
        program = random_program(rng, SHAPE)
        pixels = random_pixels(rng, program.description, 2 * program.batch)
        outcome = run_engine(engine, program, pixels)
        assert outcome.ok, (program.description.shape, outcome.mismatches)
    program.words[-2] ^= 1 << 7  # the comparison can fail
    assert not run_engine(engine, program, random_pixels(
        rng, program.description, 16 * program.batch)).ok
