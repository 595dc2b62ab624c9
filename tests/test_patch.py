"""Patched bitstreams: the bits of the new network are in them, and nothing else has changed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from amaranth.utils import ceil_log2

from qsnn.hw.board import filling
from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.cores import FlowError, Options
from qsnn.hw.board.filling import FillError, fill, placeholders, with_contents
from qsnn.hw.board.flow import implement
from qsnn.hw.board.toolchain import find
from qsnn.hw.emit.build import build, contents, foldings_of, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.network import plan
from qsnn.model.description import save
from tests.digests import digest, digests
from tests.networks import random_description
from tests.test_load import retrained

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "patch.py"
SHAPE = dict(pe="4,1", simd="4,4")
BOARD = BOARDS["icebreaker"]


def network(shape=(128, 32, 3)):
    return random_description(np.random.default_rng(2), widths=shape, time_steps=2, input_bits=1,
                              membrane_bits=3)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A build folder with a bitstream, and a network of the same shape."""
    out, description = tmp_path_factory.mktemp("patch"), network()
    foldings = choose_folding(description, **SHAPE)
    folder = build(description, foldings, "net", out)
    implement(folder, description, foldings, Options(BOARD, 24_000_000, patchable=True),
              command="test", say=lambda text: None)
    other = retrained(np.random.default_rng(5), description)
    save(other, out / "other.qsnn")
    save(network((128, 32, 4)), out / "wide.qsnn")
    return folder, other


def patch(*options):
    return subprocess.run([sys.executable, SCRIPT, *map(str, options)], capture_output=True,
                          text=True, timeout=300)


def unpacked(folder, bitstream):
    """The text of a bitstream: sections with their names."""
    iceunpack = find("iceunpack").path
    text = subprocess.run([iceunpack, bitstream], cwd=folder, capture_output=True, text=True,
                          check=True).stdout
    return {name: lines for name, _, lines in (
        section.partition("\n") for section in text.split("\n."))}


def block_columns(lines):
    """The 16 columns of a block RAM, 256 bits each, from the words of 256 bits in it."""
    bits = sum(line << 256 * k for k, line in enumerate(lines))
    return [sum((bits >> 16 * row + column & 1) << row for row in range(256))
            for column in range(16)]


def image_columns(width, words):
    """The same of a memory image, in an order of its own; Yosys has another one.

    Words of 8 bits and less are side by side in a row.
    """
    step = 16 >> ceil_log2(width)
    found = [sum((word >> bit & 1) << row for row, word in enumerate(words[first::step]))
             for first in range(step) for bit in range(width)]
    return found + [0] * (16 - len(found))


def images(place, description, network):
    """Memory images of a network in the place of another one, those of one block RAM each."""
    facts, _ = open_build(place.parent)
    found = [(width, words) for _, width, words in contents(facts, network)]
    words = bytes(int(line, 16) for line in (place / "memory/hello.hex").read_text().split())
    found.append((8, [*words.replace(*(bytes.fromhex(either.hash)[:16]
                                       for either in (description, network)))]))
    columns = [image_columns(*image) for image in found]
    assert all(len(column) == 16 for column in columns)
    return columns


def test_patched(built):
    folder, other = built
    place = folder / "icebreaker"
    facts, description = open_build(folder)
    before = digests(folder)
    done = patch(folder, "--board", "icebreaker", "--model", folder.parent / "other.qsnn")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"written to {place}/patched.bin in ")
    after = digests(folder)
    assert after.pop("icebreaker/patched.bin") != before["icebreaker/net.bin"]
    assert after == before

    old, new = unpacked(place, "net.bin"), unpacked(place, "patched.bin")
    assert old.keys() == new.keys()
    changed = {name for name in old if old[name] != new[name]}
    memories = len(contents(facts, description)) + 1
    assert len(changed) == memories and all(name.startswith("ram_data ") for name in changed)
    blocks = [[block_columns([int(line, 16) for line in sections[name].split()[:16]])
               for sections in (old, new)] for name in changed]
    expected = zip(images(place, description, description), images(place, description, other),
                   strict=True)
    # what a column has become: no two memories share all their columns
    assert sorted(sorted(zip(*block, strict=True)) for block in blocks) == sorted(
        sorted(zip(*pair, strict=True)) for pair in expected)

    # back again: the bytes that the build gave
    out = folder.parent / "again.bin"
    done = patch(folder, "--board", "icebreaker", "--model", folder / "network.qsnn", "--out", out)
    assert done.returncode == 0 and digest(out.read_bytes()) == before["icebreaker/net.bin"]


def test_the_estimate_knows(built):
    """Every memory that is patched takes block RAM, however small: what --fit counts with."""
    folder, _ = built
    facts, description = open_build(folder)
    whole = plan(description, foldings_of(facts))
    used, _ = json.loads((folder / "icebreaker/result.json").read_text())["used"]["ICESTORM_RAM"]
    assert estimate(BOARD, whole, patchable=True).blocks == used
    assert estimate(BOARD, whole).blocks < used


def test_netlists_have_the_contents(built):
    """Those that are kept, for simulations: the weights, not marks or placeholders."""
    folder, _ = built
    name, width, words = contents(*open_build(folder))[0]
    ram = f"core.network.{name.replace('_', '.')}.rom.memory.0.0"
    for file, cell in (("netlist.json", ram), ("routed.json", f"{ram}_RAM")):
        cells = json.loads((folder / "icebreaker" / file).read_text())["modules"]["top"]["cells"]
        init = [int(cells[cell]["parameters"][f"INIT_{k:X}"], 2) for k in range(16)]
        assert sorted(block_columns(init)) == sorted(image_columns(width, words))
    file = f"memory/{folder.name}_{name}.hex"
    assert (folder / "icebreaker" / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize("change, options, sentence", [
    ({}, ["{out}/no", "--board", "icebreaker"], "{out}/no: not a build folder; run qsnn build"),
    ({}, ["{net}", "--board", "x"], "no board 'x': there are .*"),
    ({}, ["{net}", "--board", "ulx3s-85f"], "{net} has no bitstream for the ULX3S 85F that can be "
     "patched: run qsnn build --board ulx3s-85f --bitstream --patchable"),
    ({}, ["{net}", "--board", "icebreaker", "--model", "{out}/wide.qsnn"], "{out}/wide.qsnn needs "
     "another circuit than the build: shape is 128-32-4, not 128-32-3; run qsnn build, or "
     "train it with --like"),
    ({}, ["{net}", "--board", "icebreaker", "--model", "no"], "no: neither a file nor .*"),
    ({}, ["{net}", "--board", "icebreaker", "--out", "{out}/no/x"], "{out}/no/x cannot "
     "be written: not a file in a folder that is there"),
    ({"patchable": False}, ["{net}", "--board", "icebreaker"], "the bitstream in {net}/icebreaker "
     "was not made to be patched: run qsnn build .*"),
    ({"folding": [[2, 4], [1, 4]]}, ["{net}", "--board", "icebreaker"], "the bitstream in "
     "{net}/icebreaker is of another build than {net}: run qsnn build .*"),
    ({"description_sha256": "0" * 64}, ["{net}", "--board", "icebreaker"], "the bitstream in "
     "{net}/icebreaker is of another build than {net}: run qsnn build .*"),
    ({"description_sha256": 0}, ["{net}", "--board", "icebreaker"], "{net} has no bitstream for "
     "the iCEBreaker 1.0 that can be patched: run qsnn build .*"),
    ({"tools": {"yosys": "0.1"}}, ["{net}", "--board", "icebreaker"], "the bitstream in "
     "{net}/icebreaker was made with Yosys 0.1, this is .*: run qsnn build .*")])
def test_refused(built, change, options, sentence):
    folder, _ = built
    names = {"out": folder.parent, "net": folder}
    path = folder / "icebreaker/result.json"
    result = path.read_text()
    before = digests(folder.parent)
    options = [option.format(**names) for option in options]
    if "--model" not in options:
        options += ["--model", folder.parent / "other.qsnn"]
    try:
        path.write_text(json.dumps(json.loads(result) | change))
        done = patch(*options)
    finally:
        path.write_text(result)
    assert done.returncode == 2
    assert re.fullmatch(f"error: {sentence.format(**names)}\n", done.stderr), done.stderr
    assert digests(folder.parent) == before


def test_gowin_cannot_be_patched(tmp_path):
    description = network()
    with pytest.raises(FlowError, match="^bitstreams of the Tang Nano 9K cannot be patched: leave "
                                        "out --patchable$"):
        implement(tmp_path, description, choose_folding(description, **SHAPE),
                  Options(BOARDS["tang-nano-9k"], 27_000_000, patchable=True))


def test_placeholders():
    """They follow from shapes alone, and no bit of a word is the same in all words."""
    images = {"a.hex": (13, [0] * 2), "b.hex": (300, [7] * 9), "c.hex": (13, [1] * 2)}
    found = placeholders(images)
    assert found == placeholders({name: (width, [1] * len(words))
                                  for name, (width, words) in images.items()})
    assert found["a.hex"] != found["c.hex"]
    for name, (width, words) in found.items():
        assert (width, len(words)) == (images[name][0], len(images[name][1]))
        assert np.bitwise_or.reduce(np.array(words, object)) == (1 << width) - 1
        assert np.bitwise_and.reduce(np.array(words, object)) == 0
    assert placeholders({"d.hex": (4, [1])})["d.hex"][0] == 4


def test_with_contents():
    images = dict.fromkeys(["a.hex", "b.hex", "c.hex"])
    assert list(with_contents(images, {"b.hex"})) == ["a.hex", "c.hex"]


def test_fill():
    """A section that is not there, or twice, is no place to put anything."""
    rams = {name: {f"INITVAL_{k:02X}": f"{fields << 20 * 15:0320b}" for k in range(64)}
            for name, fields in (("one", 0x3aaaa), ("two", 0x155))}
    marks = {name: filling._mark(name, init) for name, init in rams.items()}
    text = "".join(f".bram_init {name}\n{filling._ecp5(mark)}" for name, mark in marks.items())
    filled = fill(text, "ecp5", rams)
    assert filled.count("0aa 1d5\n") == 64 == filled.count("155 000\n")
    assert len(filled) == len(text)
    for wrong in (text[:-20], text * 2):
        with pytest.raises(FillError, match="^the block RAM (one|two) is not in the template$"):
            fill(wrong, "ecp5", rams)


def test_memory_that_is_none(tmp_path):
    cell = {"type": "$mem_v2", "attributes": {}, "parameters": {"INIT": "10"}}
    coarse = {"modules": {"top": {"cells": {"a": cell}}}}
    (tmp_path / "coarse.json").write_text(json.dumps(coarse))
    filling._take_memories(tmp_path, {"a.hex": (1, [0, 1])})
    (tmp_path / "coarse.json").write_text(json.dumps(coarse))
    with pytest.raises(FillError, match="^b.hex is no memory after synthesis, so the bitstream "
                                        "cannot be patched: leave out --patchable"):
        filling._take_memories(tmp_path, {"b.hex": (1, [1, 1])})
