"""Netlists before and after mapping: every cell that is wrong is found, nothing else is."""

import copy

import numpy as np
import pytest

import qsnn.hw.board.flow
from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.commands import MAPPED, UNMAPPED, steps, synthesis, unmapped
from qsnn.hw.board.cores import Options
from qsnn.hw.board.flow import implement
from qsnn.hw.board.mapping import MappingError, differing, load
from qsnn.hw.board.toolchain import Job, ToolError, find, run
from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
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


@pytest.fixture(scope="module", params=["colorlight-i5", "icebreaker"])
def netlists(request, tmp_path_factory):
    """A circuit with gates, carry chains and registers: before its mapping, and after it."""
    work = tmp_path_factory.mktemp("mapping")
    (work / "top.v").write_text(SOURCE)
    command = synthesis(BOARDS[request.param])
    yosys = find("yosys").path
    run([Job("mapping", [yosys, "-p", f"read_verilog top.v; {commands}"], f"{index}.log")
         for index, commands in enumerate([unmapped(command), steps(command, compared=True)])],
        work)
    return load(work / UNMAPPED), load(work / MAPPED)


def is_lut(cell):
    return cell["type"] in ("LUT4", "SB_LUT4")


def is_register(cell):
    return cell["type"].startswith(("TRELLIS_FF", "SB_DFF"))


def is_carry(cell):
    return cell["type"] in ("CCU2C", "SB_CARRY")


def test_equal(netlists):
    before, after = netlists
    for kind in (is_lut, is_register, is_carry):
        assert any(map(kind, after["cells"].values()))
    assert any(cell["type"].startswith("$_") for cell in before["cells"].values())
    assert differing(before, after) == [] == differing(after, after)


def test_every_wrong_cell_is_found(netlists):
    """A bit of each table that is used; an input of each register and carry, from elsewhere."""
    before, good = netlists
    found, read = 0, {bit for cell in good["cells"].values() for pin, bits in
                      cell["connections"].items() if cell["port_directions"][pin] == "input"
                      for bit in bits}
    for name, cell in good["cells"].items():
        after = copy.deepcopy(good)
        changed = after["cells"][name]
        pins = changed["connections"]
        if is_lut(cell):
            table = "INIT" if "INIT" in changed["parameters"] else "LUT_INIT"
            # an input that is always high uses a half of the table only
            row = sum(1 << place for place, pin in enumerate(
                "ABCD" if "A" in pins else ("I0", "I1", "I2", "I3")) if pins.get(pin) == ["1"])
            changed["parameters"][table] = f"{int(changed['parameters'][table], 2) ^ 1 << row:016b}"
        elif is_register(cell):
            pins["DI" if "DI" in pins else "D"] = good["ports"]["s"]["bits"][:1]
        elif is_carry(cell) and read.intersection(pins.get("COUT", pins.get("CO"))):
            pins["A0" if "A0" in pins else "I0"] = good["ports"]["s"]["bits"][:1]
        else:
            continue
        found += 1
        assert differing(before, after), name
    assert found > 60


def test_mixed_up_chains(netlists):
    """What abc9 was seen to do: what comes out of one chain goes where another belongs."""
    before, good = netlists
    after = copy.deepcopy(good)
    chain = [cell["connections"] for cell in after["cells"].values() if is_carry(cell)]
    pin = "S0" if "S0" in chain[0] else "CO"
    chain[0][pin], chain[-1][pin] = chain[-1][pin], chain[0][pin]
    assert differing(before, after)


def test_what_cannot_be_compared(netlists):
    before, good = netlists
    after = copy.deepcopy(good)
    after["cells"]["another"] = next(filter(is_register, good["cells"].values()))
    with pytest.raises(MappingError, match="a new another"):
        differing(before, after)
    after = copy.deepcopy(good)
    pins = next(filter(is_lut, after["cells"].values()))["connections"]
    pins["A" if "A" in pins else "I0"] = pins["Z" if "Z" in pins else "O"]
    with pytest.raises(MappingError, match="depends on itself"):
        differing(before, after)


@pytest.mark.slow
def test_flow_asks_again(tmp_path, monkeypatch):
    """Another circuit is made once more with what is left, and refused where nothing is."""
    description = random_description(np.random.default_rng(0), widths=(6, 4, 3))
    foldings = choose_folding(description)
    folder = build(description, foldings, "net", tmp_path)
    board, said, wrong = BOARDS["colorlight-i5"], [], [True]
    monkeypatch.setattr(qsnn.hw.board.flow, "differing", lambda before, after: wrong.pop() *
                        ["register"] if wrong else [])
    options = Options(board, board.clock_hz, bare=True)
    result = implement(folder, description, foldings, options, say=said.append)
    assert any("another circuit" in line and "wide multiplexers" in line for line in said), said
    assert "nowidelut" not in result["synthesis"]
    assert not [path for path in (folder / board.name).iterdir() if "mapped" in path.name]
    wrong += [True] * 3
    with pytest.raises(ToolError, match="another circuit"):
        implement(folder, description, foldings, options, say=said.append)
    assert open_build(folder) and (folder / board.name / "result.json").is_file()
