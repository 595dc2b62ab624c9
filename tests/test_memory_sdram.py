# amaranth: UnusedElaboratable=no
"""What data sheets are worth in cycles, what a controller refuses; see sim/test_memory_sdram.py."""

from dataclasses import replace

import pytest

from qsnn.hw.memory.chips import SDRAMS
from qsnn.hw.memory.sdram import Command, SdramController

CHIP = SDRAMS["EM638325"]


@pytest.mark.parametrize("kwargs, message", [
    (dict(clock_hz=150_000_000), "^the EM638325 runs at 142 MHz at most, not at 150 MHz$"),
    (dict(clock_hz=120_000_000, cas=2),
     "^the CAS latency of the EM638325 at 120 MHz is 3 to 3, not 2$"),
    (dict(clock_hz=60_000_000, cas=4), "^the CAS latency of the EM638325 at 60 MHz is 2 to 3, "
     "not 4$"),
    (dict(clock_hz=60_000_000, late=2), "^late is 0 or 1, not 2$"),
    (dict(clock_hz=60_000_000, depth=8), "^the depth is 16 words at least, not 8$"),
])
def test_wrong(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SdramController(CHIP, **kwargs)


def test_cycles():
    """Rounded up, and nothing more: 20 ns at 50 MHz are one cycle."""
    assert [CHIP.cycles(ns, 50_000_000) for ns in (0, 1, 20, 20.001, 40, 41)] == [1, 1, 1, 2, 2, 3]
    assert CHIP.cycles(21, 100_000_000) == 3 and CHIP.cycles(63, 60_000_000) == 4
    assert CHIP.write_recovery(60_000_000) == CHIP.mode_cycles(10_000_000) == 2
    assert replace(CHIP, twr_ns=30).write_recovery(100_000_000) == 3
    assert CHIP.refresh_cycles(100_000_000) == 781 and CHIP.refresh_cycles(64_000_000) == 500


def test_chips():
    sizes = {name: (chip.words, chip.address_bits) for name, chip in SDRAMS.items()}
    assert sizes == {"AS4C32M16SB": (1 << 24, 13), "MT48LC16M16A2": (1 << 23, 13),
                     "EM638325": (1 << 21, 11)}
    assert [CHIP.cas(hz) for hz in (100_000_000, 100_000_001)] == [2, 3]


def test_latency():
    core = SdramController(CHIP, clock_hz=100_000_000, cas=3, late=1)
    assert core.latency == 5 and core.beats == 1
    assert Command.NONE.value == 7  # an idle bus: all of RAS, CAS and WE high
