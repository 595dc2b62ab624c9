"""Estimates of logic and RAM: rules of Yosys by hand, and the committed measurements."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.estimate import ROWS, measure
from qsnn.hw.board.toolchain import find
from qsnn.hw.plan.blocks import Memory, place
from qsnn.hw.plan.cost import FAMILIES, tree_logic

TABLE = json.loads((Path(__file__).parents[1] / "docs" / "estimate.json").read_text())["rows"]


@pytest.mark.parametrize("family, width, depth, blocks", [
    ("ice40", 16, 256, 1), ("ice40", 17, 256, 2), ("ice40", 2, 2048, 1), ("ice40", 1, 4096, 1),
    ("ice40", 128, 784, 32), ("ice40", 64, 226, 4), ("ice40", 16, 6272, 26),
    ("ice40", 4, 320, 1), ("ice40", 4, 260, 0), ("ecp5", 36, 512, 1), ("ecp5", 37, 512, 2),
    ("ecp5", 256, 784, 15), ("ecp5", 9, 2048, 1), ("ecp5", 16, 128, 0)])
def test_rom_blocks(family, width, depth, blocks):
    assert place(family, Memory(width, depth)).blocks == blocks


@pytest.mark.parametrize("family, memory, blocks, units", [
    # a write enable for each byte takes nine bits of an ECP5's
    ("ecp5", Memory(16, 1024, True, True), 1, 1), ("ecp5", Memory(18, 1024, True), 1, 1),
    ("ecp5", Memory(18, 1024, True, True), 2, 2), ("ecp5", Memory(32, 32, True), 0, 16),
    ("ecp5", Memory(16, 64, True), 0, 16), ("ice40", Memory(8, 64, True), 1, 1),
    ("ice40", Memory(8, 8, True), 0, 0), ("ice40", Memory(4, 19, True, checked=True), 0, 0),
    ("ice40", Memory(4, 19, True), 1, 1), ("ice40", Memory(0, 100), 0, 0)])
def test_written_memories(family, memory, blocks, units):
    placed = place(family, memory)
    assert (placed.blocks, placed.units) == (blocks, units)


@pytest.mark.parametrize("leaves, leaf_bits, shared, ice40, ecp5", [
    # counted in packed netlists
    (4, 9, 0, 2 * 11 + 12, 2 * 14 + 16), (8, 9, 0, 4 * 11 + 2 * 12 + 13, 4 * 14 + 2 * 16 + 16),
    (16, 1, 4, 44, 42), (4, 1, 0, 7, 7), (1, 1, 0, 1, 1), (1, 9, 0, 0, 0)])
def test_trees(leaves, leaf_bits, shared, ice40, ecp5):
    assert tree_logic(FAMILIES["ice40"], leaves, leaf_bits, shared) == ice40
    assert tree_logic(FAMILIES["ecp5"], leaves, leaf_bits, shared) == ecp5


@pytest.mark.parametrize("row", TABLE)
def test_measured(row):
    """Logic within 10 %, block RAMs exact; the table is that of today's estimate."""
    entry = TABLE[row]
    (logic, measured), (blocks, exact) = entry["logic"], entry["blocks"]
    assert measure(*ROWS[row], cells=[measured, exact]) == entry
    assert 0.9 * measured <= logic <= 1.1 * measured
    assert blocks == exact


def test_enough_is_measured():
    for board in ("icebreaker", "colorlight-i5"):
        rows = [row for row in TABLE.values() if row["board"] == board]
        assert len(rows) >= 12 and sum(not row["fitted"] for row in rows) >= 3


@pytest.mark.parametrize("script, width, depth", [
    ("synth_ice40", 20, 300), ("synth_ice40", 4, 260), ("synth_ecp5", 40, 520)])
def test_yosys_agrees(tmp_path, script, width, depth):
    """A memory of random words, in Yosys itself."""
    yosys = find("yosys").path
    words = [pow(3, index + 1, 1 << width | 1) for index in range(depth)]
    (tmp_path / "words.hex").write_text("".join(
        f"{word % (1 << width):x}\n" for word in words))
    (tmp_path / "rom.v").write_text(f"""
module top(input clk, input [12:0] a, output reg [{width - 1}:0] q);
  reg [{width - 1}:0] m [0:{depth - 1}];
  initial $readmemh("words.hex", m);
  always @(posedge clk) q <= m[a];
endmodule""")
    done = subprocess.run([yosys, "-q", "-p", f"read_verilog rom.v; {script} -top top; "
                           "write_json cells.json"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    cells = json.loads((tmp_path / "cells.json").read_text())["modules"]["top"]["cells"].values()
    found = sum(cell["type"] in ("SB_RAM40_4K", "DP16KD") for cell in cells)
    assert found == place(script.removeprefix("synth_"), Memory(width, depth)).blocks
