"""Reports of nextpnr, taken apart."""

from qsnn.hw.board.routed import critical_path, fmax_mhz, parts


def step(kind, cell, ns):
    return {"type": kind, "delay": ns, "to": {"cell": cell, "port": "D"}}


def test_path_between_clock_edges():
    """Paths from and to pins don't set the frequency, however long; neighbours are one step."""
    pin = {"from": "<async>", "to": "posedge clk", "path": [step("routing", "core.rx_SB_IO", 99)]}
    out = {"from": "posedge clk", "to": "<async>", "path": [step("routing", "core.tx_SB_IO", 98)]}
    short = {"from": "posedge clk", "to": "posedge clk", "path": [step("logic", "core.a", 1)]}
    long = {"from": "posedge clk", "to": "posedge clk", "path": [
        step("clk-to-q", "core.network.layer0.sum_SB_DFF_Q_1", 0.5),
        step("routing", "core.network.layer0.neurons.$3_SB_LUT4_O", 1.25),
        step("logic", "core.network.layer0.neurons.$4_SB_LUT4_O_2", 0.5),
        step("routing", "$nextpnr_ICESTORM_LC_9", 0.25)]}
    assert critical_path({"critical_paths": [pin, short, long, out]}) == {
        "ns": 2.5, "logic_ns": 1.0,
        "steps": [["network.layer0.sum", 0.5], ["network.layer0.neurons", 2.0]]}
    assert critical_path({"critical_paths": [pin]}) == {"ns": 0, "logic_ns": 0.0, "steps": []}


def test_slowest_clock():
    def found(**clocks):
        return {"fmax": {name: {"achieved": achieved, "constraint": constraint}
                         for name, (achieved, constraint) in clocks.items()}}
    assert fmax_mhz(found(a=(80.126, 60), b=(70.5, 60)), 60.0) == 70.5
    assert fmax_mhz(found(a=(80.126, 59.99)), 60.0) == 80.13
    # a memory of twice the clock, which is what binds, and which does not
    assert fmax_mhz(found(core=(80.0, 60), memory=(132.0, 120)), 60) == 66
    assert fmax_mhz(found(core=(63.0, 60), memory=(132.0, 120)), 60) == 63


def test_parts():
    cells = {
        "core.network.layer0.a_LUT4_Z": ("TRELLIS_COMB", {"A": [1], "F": [2]}),
        "core.network.layer1.b_TRELLIS_FF_Q": ("TRELLIS_FF", {"Q": [3], "CLK": [9]}),
        "$nextpnr_CCU2C_1$COMB0": ("TRELLIS_COMB", {"FCO": [4], "A": [9]}),
        "$nextpnr_CCU2C_1$COMB1": ("TRELLIS_COMB", {"FCI": [4], "FCO": [2]}),
        "core.link.c_LUT4_Z": ("TRELLIS_COMB", {"CLK": [9]}),
        "core.network.layer0.m": ("DP16KD", {"CLK": [9]}),
        "waited_LUT4_Z": ("TRELLIS_COMB", {"CLK": [9]}),
        "$lonely": ("TRELLIS_COMB", {"A": [9]}),
        "led$tr_io": ("TRELLIS_IO", {}),
    }
    cells = {name: {"type": kind, "parameters": {}, "connections": pins}
             for name, (kind, pins) in cells.items()}
    assert parts({"modules": {"top": {"cells": cells}}}) == {
        "layer0": {"logic": 3, "registers": 0, "ram": 1},
        "layer1": {"logic": 0, "registers": 1, "ram": 0},
        "input and link": {"logic": 1, "registers": 0, "ram": 0},
        "clock and reset": {"logic": 2, "registers": 0, "ram": 0}}
