"""An engine with an SDRAM's controller and a chip that checks every command: answers, and none."""

from dataclasses import replace

import numpy as np
import pytest

from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineShape
from qsnn.hw.memory.chips import SDRAMS
from qsnn.hw.memory.crossing import MemoryClock
from qsnn.hw.memory.sdram import SdramController
from qsnn.sim.engine import compile_engine, run_engine
from qsnn.sim.test_engine import random_program
from qsnn.sim.tools import SimulationError
from tests.networks import random_description, random_pixels

SHAPE = EngineShape(pe=8, simd=16, beat=4, steps=2, map_words=512, slab_words=256)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    controller = SdramController(SDRAMS["AS4C32M16SB"], clock_hz=75_000_000)
    return compile_engine(SHAPE, tmp_path_factory.mktemp("engine"), controller)


def test_random_networks(engine):
    """Refreshes, rows and the wrap behind the last word come whenever they come."""
    rng = np.random.default_rng(11)
    for seed in range(8):
        program = random_program(rng, SHAPE)
        pixels = random_pixels(rng, program.description, 4 * program.batch)
        outcome = run_engine(engine, program, pixels, seed=seed, stalls=int(rng.choice([0, 128])))
        assert outcome.ok, (seed, program.description.shape, outcome.mismatches)


def test_memory_binds(engine):
    """A word in two cycles, less what rows and refreshes take: what is said before synthesis."""
    rng = np.random.default_rng(12)
    description = random_description(rng, widths=(60, 200, 200, 10), time_steps=2)
    program = compile_program(description, SHAPE)
    outcome = run_engine(engine, program, random_pixels(rng, description, 6), trace=False)
    assert outcome.ok
    cycles = program.time(rate=0.5).cycles
    assert cycles <= outcome.last_pace <= 1.1 * cycles


def test_one_wrong_bit_is_no_answer(engine):
    rng = np.random.default_rng(13)
    program = random_program(rng, SHAPE)
    pixels = random_pixels(rng, program.description, program.batch)
    for _ in range(12):
        words = program.words.copy()
        words[rng.integers(len(words))] ^= np.uint32(1 << int(rng.integers(32)))
        with pytest.raises(SimulationError, match="refused"):
            run_engine(engine, replace(program, words=words), pixels)


def test_another_engine_s_program(engine):
    rng = np.random.default_rng(14)
    description = random_description(rng, widths=(20, 9, 3), time_steps=2)
    program = compile_program(description, replace(SHAPE, map_words=1024))
    with pytest.raises(SimulationError, match="refused"):
        run_engine(engine, program, random_pixels(rng, description, 1))


@pytest.mark.parametrize("memory_hz", [133_000_000, 61_000_000])
def test_two_clocks(memory_hz, tmp_path):
    """A memory with a clock of its own, faster or slower than the engine's."""
    controller = MemoryClock(SdramController(SDRAMS["AS4C32M16SB"], clock_hz=memory_hz))
    engine = compile_engine(SHAPE, tmp_path, controller, core_hz=75_000_000)
    rng = np.random.default_rng(15)
    for seed in range(6):
        program = random_program(rng, SHAPE)
        pixels = random_pixels(rng, program.description, 4 * program.batch)
        outcome = run_engine(engine, program, pixels, seed=seed, stalls=int(rng.choice([0, 128])))
        assert outcome.ok, (seed, program.description.shape, outcome.mismatches)
    words = program.words.copy()
    words[-3] ^= np.uint32(1)
    with pytest.raises(SimulationError, match="refused"):
        run_engine(engine, replace(program, words=words), pixels)
