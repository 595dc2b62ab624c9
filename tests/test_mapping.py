"""Netlists before and after mapping: every cell that is wrong is found, nothing else is."""

import copy

import numpy as np
import pytest

import hw.flow
from hw.boards import BOARDS
from hw.build import build, choose_folding, open_build
from hw.commands import MAPPED, UNMAPPED, steps, synthesis, unmapped
from hw.flow import Options, implement
from hw.mapping import MappingError, differing, load
from hw.toolchain import Job, ToolError, find, run
from tests.networks import random_description

SOURCE = """module top (input clk, input [9:0] a, b, input [2:0] s, output reg [9:0] total, q);
reg [9:0] x, y;
always @(posedge clk) begin
    x <= s[0] ? a : b; y <= a ^ (b & {10{s[1]}});
    total <= s[2] ? total + x : x - y;
    q <= x < y ? {x[3:0] | y[9:6], y[5:0]} : x & ~y;
end
endmodule
"""


@pytest.fixture(scope="module")
def netlists(tmp_path_factory):
    """A circuit with gates, carry chains and registers: before its mapping, and after it."""
    work = tmp_path_factory.mktemp("mapping")
    (work / "top.v").write_text(SOURCE)
    command = synthesis(BOARDS["colorlight-i5"])
    yosys = find("yosys").path
    run([Job("mapping", [yosys, "-p", f"read_verilog top.v; {commands}"], f"{index}.log")
         for index, commands in enumerate([unmapped(command), steps(command, compared=True)])],
        work)
    return load(work / UNMAPPED), load(work / MAPPED)


def test_equal(netlists):
    before, after = netlists
    kinds = {cell["type"] for cell in after["cells"].values()}
    assert {"LUT4", "CCU2C", "TRELLIS_FF"} <= kinds
    assert any(cell["type"].startswith("$_") for cell in before["cells"].values())
    assert differing(before, after) == [] == differing(after, after)


def test_every_wrong_cell_is_found(netlists):
    """A bit of each table that is used; and each input of a register, from somewhere else."""
    before, good = netlists
    found = 0
    for name, cell in good["cells"].items():
        after = copy.deepcopy(good)
        changed = after["cells"][name]
        if cell["type"] == "LUT4":
            init = changed["parameters"]["INIT"]
            # with open inputs a part of the table alone is used: that of zeros
            changed["parameters"]["INIT"] = init[:-1] + "10"[int(init[-1])]
        elif cell["type"] == "TRELLIS_FF":
            changed["connections"]["DI"] = good["ports"]["s"]["bits"][:1]
        elif cell["type"] == "CCU2C":
            changed["connections"]["A0"] = good["ports"]["s"]["bits"][:1]
        else:
            continue
        found += 1
        assert differing(before, after), name
    assert found > 60


def test_mixed_up_chains(netlists):
    """What abc9 was seen to do: the sums of one chain go where those of another belong."""
    before, good = netlists
    after = copy.deepcopy(good)
    chain = [cell for cell in after["cells"].values() if cell["type"] == "CCU2C"]
    first, last = chain[0]["connections"], chain[-1]["connections"]
    first["S0"], last["S0"] = last["S0"], first["S0"]
    assert differing(before, after)


def test_what_cannot_be_compared(netlists):
    before, good = netlists
    after = copy.deepcopy(good)
    after["cells"]["another"] = next(
        cell for cell in good["cells"].values() if cell["type"] == "TRELLIS_FF")
    with pytest.raises(MappingError, match="a new another"):
        differing(before, after)
    after = copy.deepcopy(good)
    lut = next(cell for cell in after["cells"].values() if cell["type"] == "LUT4")
    lut["connections"]["A"] = lut["connections"]["Z"]
    with pytest.raises(MappingError, match="depends on itself"):
        differing(before, after)


def test_flow_asks_again(tmp_path, monkeypatch):
    """Another circuit is made once more with what is left, and refused where nothing is."""
    description = random_description(np.random.default_rng(0), widths=(6, 4, 3))
    foldings = choose_folding(description)
    folder = build(description, foldings, "net", tmp_path)
    board, said, wrong = BOARDS["colorlight-i5"], [], [True]
    monkeypatch.setattr(hw.flow, "differing", lambda before, after: wrong.pop() * ["register"]
                        if wrong else [])
    options = Options(board, board.clock_hz, bare=True)
    result = implement(folder, description, foldings, options, say=said.append)
    assert any("another circuit" in line and "wide multiplexers" in line for line in said), said
    assert "nowidelut" not in result["synthesis"]
    assert not [path for path in (folder / board.name).iterdir() if "mapped" in path.name]
    wrong += [True] * 3
    with pytest.raises(ToolError, match="another circuit"):
        implement(folder, description, foldings, options, say=said.append)
    assert open_build(folder) and (folder / board.name / "result.json").is_file()
