"""The reader of a flash at the model of its chip, compiled."""

import random
from dataclasses import replace

import pytest

from qsnn.hw.memory.chips import FLASHES
from qsnn.hw.memory.flash import FlashReader
from qsnn.sim.memory import FlashBench, compile_bench, flash_image, run_bench
from qsnn.sim.tools import SimulationError

WORDS, START, THERE = 5000, 1027, 1 << 16
CHIP = FLASHES["W25Q128JV"]
# all states that the chip can be left in
CASES = {
    "plain": (CHIP, {}, {}),
    "half": (CHIP, {"divide": 2}, {"START_QE": 1}),
    "late": (CHIP, {"late": 1}, {"START_DOWN": 1}),
    "reading": (CHIP, {}, {"START_CONTINUOUS": 1}),
    "half-late-gigadevice": (FLASHES["GD25Q16C"], {"divide": 2, "late": 1},
                             {"START_CONTINUOUS": 1, "START_QE": 1}),
}


def compile_reader(folder, case, **others):
    chip, options, parameters = CASES[case]
    reader = FlashReader(chip, clock_hz=48_000_000, **options)
    bench = FlashBench(reader, start=START, SIMULATED=THERE, **(parameters | others))
    (folder / "flash.hex").write_text(flash_image(1, WORDS, START, THERE))
    return reader, compile_bench(folder, "bench", bench, models=["flash.v"])


@pytest.fixture(scope="module", params=CASES)
def flash(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flash")
    reader, program = compile_reader(folder, request.param)
    return reader, lambda *commands: run_bench(program, "seed 1", *commands, folder=folder)


def test_busy(flash):
    """A word every 8 clocks; from image to image about 20 more."""
    reader, run = flash
    (_, cycles), = run(f"go {WORDS}", f"read {4 * WORDS} 0")
    assert 0 < cycles / reader.divide - 8 * 4 * WORDS < 3 * 26


@pytest.mark.parametrize("stalls", [30, 90, 95, 99])
def test_stalls(flash, stalls):
    flash[1](f"go {WORDS}", f"read {2000} {stalls}")


def test_lengths(flash):
    commands = []
    for length in (1, 2, 3, 17, 100):
        for stalls in (0, 50, 95):
            commands += [f"go {length}", f"read {3 * length + 40} {stalls}", "stop 1"]
    flash[1](*commands)


def test_restart_anywhere(flash):
    rng, commands = random.Random(5), []
    for _ in range(1500):
        length = rng.choice([1, 2, 5, 30, WORDS])
        commands += [f"go {length}", f"hold {rng.randrange(60)}",
                     f"read {rng.randrange(8)} {rng.choice([0, 0, 30])}",
                     f"hold {rng.randrange(20)}", f"stop {rng.choice([1, 1, 2, 40])}"]
    flash[1](*commands)


def test_wrap_of_the_chip(tmp_path):
    """Behind its last byte comes its first."""
    reader = FlashReader(replace(CHIP, size=THERE), clock_hz=48_000_000)
    start = THERE - 21
    program = compile_bench(tmp_path, "bench", FlashBench(reader, start=start, SIMULATED=THERE),
                            models=["flash.v"])
    (tmp_path / "flash.hex").write_text(flash_image(1, 50, start, THERE))
    run_bench(program, "seed 1", "go 50", "read 200 10", folder=tmp_path)


@pytest.mark.parametrize("wrong, message", [
    ({"DUMMY": 6}, r"word 0 is \w{8}, not"), ({"DUMMY": 2}, r"word 0 is \w{8}, not"),
    ({"CONTINUOUS": 1}, "a command that is not modelled|an address was cut short"),
    ({"RELEASE": 3_200_000, "START_DOWN": 1}, "not ready for a command"),
    ({"RESET": 30_200_000}, "not ready for a command"),
    ({"DESELECT": 350_000}, "not deselected for long enough"), ({"TSCK": 21_000}, "too fast"),
    ({"WRITE_STATUS": 1}, "a command that is not modelled")])
@pytest.mark.slow
def test_another_chip(tmp_path, wrong, message):
    """What does not fit is seen: the chip's figures, one of them changed."""
    _, program = compile_reader(tmp_path, "plain", **wrong)
    with pytest.raises(SimulationError, match=message):
        run_bench(program, "seed 1", "go 100", "read 300 0", folder=tmp_path)
