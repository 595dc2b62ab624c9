"""Memory controllers at the models of their chips, compiled: millions of words."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from qsnn.hw.memory.chips import SDRAMS
from qsnn.hw.memory.sdram import SdramController
from qsnn.sim.memory import SdramBench, compile_bench, run_bench
from qsnn.sim.tools import SimulationError

BITS = 18  # of a place that is simulated


@dataclass(frozen=True)
class Compiled:
    controller: SdramController
    program: Path

    def run(self, *commands):
        return run_bench(self.program, *commands)

    @property
    def row(self):
        """Words of a row."""
        return (1 << self.controller.chip.column_bits) // self.controller.beats


# the chip's clock turned over, or nearly that of the core: data come half a cycle later or more
CASES = {
    "x32-60": ("EM638325", 60, 0, None), "x32-80": ("EM638325", 80, 1, 3),
    "x32-100": ("EM638325", 100, 1, None), "x16-60": ("AS4C32M16SB", 60, 0, 3),
    "x16-80": ("MT48LC16M16A2", 80, 1, None), "x16-100": ("AS4C32M16SB", 100, 1, None),
}


SLOW = ("x32-80", "x16-60", "x16-80")


@pytest.fixture(scope="module", params=[
    pytest.param(case, marks=[pytest.mark.slow] if case in SLOW else []) for case in CASES])
def sdram(request, tmp_path_factory):
    """A controller and its chip, in which a refresh is never as much as an interval late."""
    name, mhz, late, cas = CASES[request.param]
    core = SdramController(SDRAMS[name], clock_hz=mhz * 1_000_000, late=late, cas=cas)
    bench = SdramBench(core, late=late, SIMULATED_BITS=BITS, POSTPONED=2)
    return Compiled(core, compile_bench(tmp_path_factory.mktemp("sdram"), "bench", bench))


def test_busy(sdram):
    """A million words; the consumer always ready: 96.5 of 100 cycles carry data."""
    count = 1_000_000
    (words, cycles), = sdram.run("seed 1", "write 60000 0", "go 60000", f"read {count} 0")
    assert words == count and 0.965 < count * sdram.controller.beats / cycles < 0.985


@pytest.mark.parametrize("stalls", [1, 20, 50, 90, 99])
def test_stalls(sdram, stalls):
    sdram.run("seed 2", "write 5000 0", "go 5000", f"read 50000 {stalls}")


def test_lengths(sdram):
    """Images of one word, of a row and of several, and one more and one less; wrap and wrap."""
    commands, row = ["seed 3", f"write {5 * sdram.row} 0"], sdram.row
    for length in (1, 2, 3, row - 1, row, row + 1, 2 * row, 3 * row + 1, 4 * row - 1, 4 * row,
                   4 * row + 1, 5 * row):
        for stalls in (0, 40):
            commands += [f"go {length}", f"read {5 * max(length, 50) + 7} {stalls}", "stop 1"]
    sdram.run(*commands)



def test_wrap_costs_little(sdram):
    """From the last word to the first: a row in another bank is open by then."""
    row = sdram.row
    cycles = {}
    for length in (2 * row, 4 * row + row // 2, 64 * row):
        (_, cycles[length]), = sdram.run("seed 4", f"write {length} 0", f"go {length}",
                                         f"read {64 * row} 0")
    beats = 64 * row * sdram.controller.beats
    assert cycles[2 * row] < 1.04 * beats and cycles[64 * row] < 1.04 * beats
    assert cycles[4 * row + row // 2] < 1.05 * beats  # it wraps in the bank where it begins


def test_restart_anywhere(sdram):
    """Reading ends at every phase of a row and of the refresh, for one cycle or more."""
    rng, commands = random.Random(5), ["seed 5", "write 3000 0"]
    for _ in range(1500):
        length = rng.choice([1, 2, 100, 1000, 3000])
        commands += [f"go {length}", f"hold {rng.choice([0, 9, rng.randrange(200)])}",
                     f"read {rng.randrange(1, 300)} {rng.choice([0, 0, 30])}",
                     f"stop {rng.choice([1, 1, 2, rng.randrange(1, 60)])}"]
    sdram.run(*commands)


def test_refresh_goes_on(sdram):
    """Whatever the consumer and the writer do; at every phase of them."""
    commands = ["seed 6", "write 100 0", "hold 5000", "write 2000 95", "go 2100", "hold 20000"]
    for hold in range(0, 1000, 7):
        commands += ["read 1 0", f"hold {hold}"]
    commands += ["stop 20000", "go 2100", "read 5000 98", "stop 1"]
    sdram.run(*commands)


def test_fill(sdram):
    """Words that come at any pace; more of them behind what was read; another image."""
    commands = ["seed 7", "write 700 60", "go 700", "read 2000 10", "stop 1", "write 500 0",
                "go 1200", "read 3000 0", "stop 3", "seed 8", "rewind", "write 900 30", "go 900",
                "read 3000 0", "stop 2", "rewind", "seed 9", "write 10 0", "stop 1", "rewind",
                "write 40 0", "go 40", "read 100 0", "stop 50", "seed 10",
                "rewind", "write 1 0", "go 1", "read 9 0"]
    sdram.run(*commands)


def test_a_wrong_word_is_seen(sdram):
    with pytest.raises(SimulationError, match=r"word 77 is \w{8}, not \w{8}"):
        sdram.run("seed 1", "write 100 0", "flip 77 1024", "go 100", "read 100 0")


def test_never_written_is_seen(sdram):
    with pytest.raises(SimulationError, match="a place is read that was not written"):
        sdram.run("seed 1", "write 100 0", "go 101", "read 101 0")


# cycles of the controller
LIMITS = {"TRCD": 3, "TRP": 3, "TRAS": 5, "TRFC": 7, "TWR": 2}


@pytest.mark.slow
def test_no_cycle_to_spare(tmp_path):
    """With a time one cycle longer, the same commands break its rule: the controller's are exact.

    Or shorter by one cycle in the controller. tRC follows from the others, tRRD is less than tRCD,
    and nothing is there to do as soon as the mode is set.
    """
    core = SdramController(SDRAMS["EM638325"], clock_hz=100_000_000, late=1)
    stricter = [{name: 10_000 * cycles + 1000} for name, cycles in LIMITS.items()]
    stricter += [{"REFRESH": core.chip.refresh_cycles(100_000_000) * 10_000 - 30_000},
                 {"PAUSE": 200_100_000}]
    bench = SdramBench(core, late=1, SIMULATED_BITS=13, POSTPONED=2, stricter=stricter)
    program = compile_bench(tmp_path, "bench", bench)
    result = run_bench(program, "seed 1", "write 3000 0", "go 3000", "read 10000 0", "stop 2",
                       "go 1", "read 100 0", "hold 900000", "complaints")
    missed = [limit for bit, limit in enumerate(stricter) if not result[-1][1] >> bit & 1]
    assert missed == []
