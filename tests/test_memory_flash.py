# amaranth: UnusedElaboratable=no
"""What a reader of flash refuses; see sim/test_memory_flash.py."""

import pytest

from qsnn.hw.memory.chips import FLASHES
from qsnn.hw.memory.flash import FlashReader


@pytest.mark.parametrize("kwargs, message", [
    (dict(divide=3), "^the clock is divided by 1 or 2, not 3$"),
    (dict(late=-1), "^late is 0 or 1, not -1$"),
    (dict(clock_hz=140_000_000), "^the W25Q128JV runs at 133 MHz at most, not at 140 MHz$"),
    (dict(clock_hz=270_000_000, divide=2),
     "^the W25Q128JV runs at 133 MHz at most, not at 135 MHz$"),
])
def test_wrong(kwargs, message):
    with pytest.raises(ValueError, match=message):
        FlashReader(FLASHES["W25Q128JV"], **(dict(clock_hz=48_000_000) | kwargs))
