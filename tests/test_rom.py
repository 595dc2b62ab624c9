# amaranth: UnusedElaboratable=no
import random
from pathlib import Path

import pytest
from amaranth.back import rtlil

from qsnn.hw import core
from qsnn.hw.core.rom import LoadPort, Rom, word_bytes
from tests.simulation import waveform


@pytest.mark.parametrize("width", [1, 7, 300])
@pytest.mark.parametrize("depth", [1, 2, 3, 8, 13])
def test_words(depth, width):
    """A word each cycle, two cycles after its address."""
    draw = random.Random(depth)
    init = [draw.getrandbits(width) for _ in range(depth)]
    init[draw.randrange(depth)] = (1 << width) - 1
    addresses = [*range(depth), *(draw.randrange(depth) for _ in range(40)), depth - 1, 0]
    dut = Rom(width=width, init=init)
    assert len(dut.address) == max(1, (depth - 1).bit_length())
    assert dut.latency == 2
    seen = [word for word, in waveform(dut, [{"address": a} for a in addresses], "word")]
    assert seen[2:] == [init[address] for address in addresses[:-2]]


def test_file():
    """With the name of a file the contents stay out of the circuit."""
    text = rtlil.convert(Rom(width=19, init=[0x5a5a5] * 5, file="layer0_weights.hex"))
    cell = text[text.index("cell \\qsnn_rom"):]
    for parameter, value in (("WIDTH", "19"), ("DEPTH", "5"), ("ADDRESS", "3"),
                             ("FILE", '"layer0_weights.hex"')):
        assert f"parameter \\{parameter} {value}\n" in cell
        assert f"parameter {parameter} =" in (Path(core.__file__).parent / "rom.v").read_text()
    assert "$mem" not in text and "$meminit" not in text
    for port in ("clk", "address", "word"):
        assert f"connect \\{port} " in cell


@pytest.mark.parametrize("width", [1, 7, 8, 9, 20, 64])
def test_load(width):
    """Bytes are written one by one, and read back; words follow."""
    draw = random.Random(width)
    depth, size = 5, word_bytes(width)
    old, new = ([draw.getrandbits(width) for _ in range(depth)] for _ in range(2))
    dut = Rom(width=width, init=old, loadable=True)
    places = [(at, column) for at in range(depth) for column in range(size)]
    rows = [{"load.at": at, "load.column": column, "load.data": new[at] >> 8 * column & 255,
             "load.write": 1} for at, column in draw.sample(places, len(places))]
    written = len(rows)
    rest = LoadPort.latency + 1
    rows += [{"load.write": 0, "load.hold": 1, "load.at": at, "load.column": column,
              "address": draw.randrange(depth)} for at, column in places for _ in range(rest)]
    rows += [{"load.hold": 0, "address": at} for at in range(depth)] + [{}] * 2
    seen = waveform(dut, rows, "load.byte", "word")
    assert [row[0] for row in seen[written + rest - 1:][:rest * len(places):rest]] == [
        new[at] >> 8 * column & 255 for at, column in places]
    assert [row[1] for row in seen[-depth:]] == new


def test_load_touches_no_other_byte():
    dut = Rom(width=20, init=[0xabcde, 0x12345], loadable=True)
    rows = [{"load.at": 0, "load.column": 1, "load.data": 0x99, "load.write": 1, "address": 0},
            {"load.write": 0}, {"address": 1}, {}, {}]
    words = [word for word, in waveform(dut, rows, "word")]
    assert words[3] == 0xa99de and words[4] == 0x12345


@pytest.mark.parametrize("options", [dict(width=65, init=[0] * 4, loadable=True),
                                     dict(width=8, init=[0] * 16385, loadable=True),
                                     dict(width=8, init=[0] * 4)])
def test_no_single_port_ram(options):
    with pytest.raises(ValueError, match="cannot be a single-port RAM"):
        Rom(**options, spram=True)
