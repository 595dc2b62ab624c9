"""A network from the golden model to its bitstream; and that one wrong bit is seen where it is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.cores import Options
from qsnn.hw.board.flow import implement
from qsnn.hw.board.toolchain import ToolError, find
from qsnn.hw.emit.build import build, foldings_of, open_build
from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.hw.plan.network import plan
from qsnn.model.golden import infer
from qsnn.model.streams import classify
from qsnn.sim.icebox import outputs_at_plls
from qsnn.sim.netlist import load_netlist, save_netlist, simulable
from qsnn.sim.stages import HERE, STAGES, _yosys, check
from qsnn.sim.tools import SimulationError, run
from qsnn.sim.workload import Workload
from tests.networks import random_description, random_maps, random_pixels
from tests.streams import random_stream

VERIFY = Path(__file__).parents[1] / "scripts" / "verify.py"
IMAGES = 210


def needs(*tools):
    """Skip where a tool is missing; CI has them all."""
    for tool in tools:
        try:
            find(tool)
        except ToolError as error:
            pytest.skip(str(error))


def make(out, board, foldings, description):
    """A build of a network whose classes all occur."""
    folder = build(description, foldings, "net", out)
    options = Options(BOARDS[board], BOARDS[board].core_hz, bare=True)
    implement(folder, description, foldings, options,
              command="test", say=lambda text: None)
    return folder


def fully_connected(seed, widths):
    return random_description(np.random.default_rng(seed), widths=widths, time_steps=2,
                              input_bits=2, membrane_bits=3)


def compare(folder, board, work, stages):
    facts, description = open_build(folder)
    pixels = random_pixels(np.random.default_rng(4), description, IMAGES)
    assert len(np.unique(pixels, axis=0)) >= 200
    result = infer(description, pixels, trace=True)
    assert len(np.unique(result.labels)) == description.classes
    bitstream = next((folder / board).glob("net.bi*"))
    return list(check(folder / board, BOARDS[board], facts, description,
                      plan(description, foldings_of(facts)), Workload(pixels), result,
                      bitstream=bitstream, stages=stages, work=work))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A network with block RAM, single-port RAM that is loaded first, and a PLL."""
    needs("yosys", "nextpnr-ice40", "icepack", "iceunpack")
    return make(tmp_path_factory.mktemp("stages"), "icebreaker",
                [Folding(4, 4), Folding(1, 4, spram=True)], fully_connected(475, (60, 32, 4)))


def test_every_stage_equals_the_golden_model(built, tmp_path):
    found = compare(built, "icebreaker", tmp_path, STAGES["ice40"])
    assert [comparison.stage for comparison in found] == ["rtl", "synth", "routed", "bitstream"]
    for comparison in found:
        assert comparison.ok, comparison
        assert list(comparison.mismatches) == ["labels", "scores", "framing", "layer 0"]
        assert comparison.digests == found[0].digests != [0]


def test_convolutions(tmp_path):
    """Two pixels at once, a pool, a skip. What leads to the bitstream is seen in it; the stages
    before it are in the first test."""
    needs("yosys", "nextpnr-ice40", "icepack", "iceunpack")
    description = random_maps(np.random.default_rng(22), words="c4k3-p2-c4k3-c4k3+0",
                              image=(8, 8, 1), time_steps=2, membrane_bits=3, input_bits=4,
                              classes=3)
    folder = make(tmp_path, "icebreaker", [
        Folding(4, 1, pixels=2), Folding(2, 4), Folding(4, 2), Folding(1, 4)], description)
    comparison, = compare(folder, "icebreaker", tmp_path / "work", ["bitstream"])
    assert comparison.stage == "bitstream" and comparison.ok, comparison
    assert len(set(comparison.digests)) == 3


def test_stream(tmp_path):
    """A network for streams that sleeps, with taps and recurrent weights, from the oscillator."""
    needs("yosys", "nextpnr-ice40", "icepack", "iceunpack")
    rng = np.random.default_rng(7)
    description = random_stream(rng, words=[(8, 2, True)])
    foldings = [SerialFolding(4, 4), SerialFolding(1, 4)]
    folder = build(description, foldings, "net", tmp_path)
    board = BOARDS["icebreaker"]
    implement(folder, description, foldings, Options(board, board.clock_hz, bare=True),
              command="test", say=lambda text: None)
    facts, description = open_build(folder)
    samples = (rng.random((IMAGES, 12, description.n_in)) < 0.3).astype(np.uint8)
    result = classify(description, samples, trace=True)
    assert all(0.02 < rate < 0.98 for rate in result.rates)
    assert len(np.unique(result.labels)) > 1
    found = list(check(
        folder / "icebreaker", board, facts, description, plan(description, foldings),
        Workload(samples), result, bitstream=folder / "icebreaker" / "net.bin",
        stages=["bitstream"], work=tmp_path / "work"))
    comparison, = found
    assert comparison.stage == "bitstream" and comparison.ok, comparison
    assert comparison.digests != [0]


def test_serial_layers_behind_parallel_ones(tmp_path):
    """An image's steps go through later layers one after the other, in every stage."""
    needs("yosys", "nextpnr-ice40", "icepack", "iceunpack")
    foldings = [Folding(4, 4), SerialFolding(2, 4), SerialFolding(1, 4, False)]
    folder = make(tmp_path, "icebreaker", foldings, fully_connected(35, (24, 12, 8, 3)))
    found = compare(folder, "icebreaker", tmp_path / "work", ["rtl", "bitstream"])
    assert [comparison.stage for comparison in found] == ["rtl", "bitstream"]
    for comparison in found:
        assert comparison.ok, comparison
        assert comparison.digests == found[0].digests != [0, 0]


def test_ecp5(tmp_path):
    """Block RAM, distributed RAM, carry chains and registers of all kinds."""
    needs("yosys", "nextpnr-ecp5", "ecppack")
    folder = make(tmp_path, "colorlight-i5", [Folding(8, 4), Folding(1, 8)],
                  fully_connected(43, (128, 32, 3)))
    found = compare(folder, "colorlight-i5", tmp_path / "work", ["synth", "routed"])
    for comparison in found:
        assert comparison.ok, comparison
    cells = json.loads((folder / "colorlight-i5" / "routed.json").read_text())
    kinds = {cell["type"] for cell in cells["modules"]["top"]["cells"].values()}
    assert {"DP16KD", "TRELLIS_RAMW", "EHXPLLL"} <= kinds


RAM = """module top (input clk, write, input [10:0] at, input [8:0] data, output reg [8:0] found);
reg [8:0] memory [0:2047];
integer k;
initial for (k = 0; k < 2048; k = k + 1) memory[k] = 5 * k;
always @(posedge clk) begin
    if (write) memory[at] <= data;
    found <= memory[at];
end
endmodule
"""
BENCH = """module bench;
reg clk = 0, write;
reg [10:0] at;
reg [8:0] data;
wire [8:0] expected, found;
integer k, wrong = 0, overwritten = 0;
reference reference (clk, write, at, data, expected);
top top (.clk(clk), .write(write), .at(at), .data(data), .found(found));
initial begin
    for (k = 0; k < 20000; k = k + 1) begin
        {write, data} = $random;
        at = $random & 2019;
        #1 clk = 1; #1 clk = 0;
        wrong = wrong + (expected !== found);
        overwritten = overwritten + write;
    end
    $display("%0d %0d", wrong, overwritten);
end
endmodule
"""


def test_block_ram_that_reads_what_it_overwrites(tmp_path):
    """Yosys asks for such RAM even where nobody looks; this one is looked at."""
    needs("yosys")
    (tmp_path / "ram.v").write_text(RAM)
    _yosys(tmp_path, "read_verilog ram.v; synth_ecp5 -top top -json netlist.json", "synthesis.log")
    netlist = load_netlist(tmp_path / "netlist.json")
    ram, = netlist["cells"].values()
    assert ram["type"] == "DP16KD" and ram["parameters"]["WRITEMODE_A"] == "READBEFOREWRITE"
    save_netlist(tmp_path / "simulable.json", simulable(netlist))
    _yosys(tmp_path, "read_json simulable.json; write_verilog -noattr stage.v", "verilog.log")
    (tmp_path / "bench.v").write_text(RAM.replace("module top", "module reference") + BENCH)
    run(["iverilog", "-g2012", "-s", "bench", "-o", "bench", "bench.v", "stage.v",
         str(HERE / "dp16kd.v")], None, tmp_path, tmp_path / "iverilog.log")
    done = subprocess.run(["vvp", "bench"], cwd=tmp_path, capture_output=True, text=True)
    wrong, overwritten = map(int, done.stdout.split())
    assert wrong == 0 and overwritten > 1000


def flip(value):
    """The lowest bit that is not x, as the JSON of a netlist has it."""
    index = max(value.rfind("0"), value.rfind("1"))
    return value[:index] + "10"[int(value[index])] + value[index + 1:]


def damage_netlist(path):
    netlist = json.loads(path.read_text())
    cell = next(cell for name, cell in sorted(netlist["modules"]["top"]["cells"].items())
                if "layer0.weights" in name and "INIT_0" in cell["parameters"])
    cell["parameters"]["INIT_0"] = flip(cell["parameters"]["INIT_0"])
    path.write_text(json.dumps(netlist))


def damage_bitstream(path):
    """The lowest bit of the fullest block RAM, which has the weights."""
    asc = path.with_name("damaged.asc")
    subprocess.run([find("iceunpack").path, path.name, asc.name], cwd=path.parent, check=True)
    parts = asc.read_text().split("\n.")
    index = max((index for index, part in enumerate(parts) if part.startswith("ram_data")),
                key=lambda index: sum(int(row, 16).bit_count() for row in parts[index].split()[3:]))
    head, first, rest = parts[index].split("\n", 2)
    parts[index] = f"{head}\n{int(first, 16) ^ 1:0{len(first)}x}\n{rest}"
    asc.write_text("\n.".join(parts))
    subprocess.run([find("icepack").path, asc.name, path.name], cwd=path.parent, check=True)


def damage_image(path):
    first, _, rest = path.read_text().partition("\n")
    path.write_text(f"{int(first, 16) ^ 1:x}\n{rest}")


@pytest.mark.parametrize("stage, file, damage", [
    ("rtl", "memory/net_layer0_weights.hex", damage_image),
    ("synth", "netlist.json", damage_netlist),
    ("routed", "routed.json", damage_netlist),
    ("bitstream", "net.bin", damage_bitstream)])
def test_one_bit_is_seen(built, tmp_path, stage, file, damage):
    """Each stage has its own files, and nothing else: the others go on as if nothing were."""
    folder = tmp_path / "net"
    shutil.copytree(built, folder)
    damage(folder / "icebreaker" / file)
    comparison, = compare(folder, "icebreaker", tmp_path / "work", [stage])
    assert not comparison.ok and comparison.mismatches["layer 0"], comparison


def test_outputs_at_the_pads_of_plls():
    """icebox_vlog leaves them out and takes the port for an input; true inputs stay."""
    text = """module top (input clk, output led, input ready);
wire n1;
// (16, 0, 'io_1/D_OUT_0')
wire n2;
// (0, 16, 'io_1/D_IN_0')
endmodule
"""
    pads = "set_io clk 0 16 1\nset_io ready 16 0 1\nset_io led 1 33 0\n"
    assert outputs_at_plls(text, pads) == text.replace("input ready", "output ready").replace(
        "endmodule", "assign ready = n1;\nendmodule")


def test_pads_with_registers_are_refused():
    pad = {"type": "SB_IO", "parameters": {"PIN_TYPE": "010101"},
           "connections": {"PACKAGE_PIN": [3], "D_IN_0": [4], "D_OUT_0": []}}
    top = {"ports": {"clk": {"bits": [2]}}, "cells": {"pad": pad}, "netnames": {}}
    with pytest.raises(SimulationError, match="^pad pad has a register or an enable$"):
        simulable(top)


def verify(*arguments):
    return subprocess.run([sys.executable, VERIFY, *arguments], capture_output=True, text=True)


def test_script(built):
    done = verify(built, "--board", "icebreaker", "--stages", "rtl", "--images", "20",
                  "--dataset", "random")
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout.splitlines()[1].split()[:5] == ["rtl", "20", "0", "0", "0"]
    result = json.loads((built / "icebreaker" / "verify.json").read_text())
    assert result["images"] == 20 and result["stages"][0]["mismatches"]["labels"] == 0
    assert str(built.parent) not in json.dumps(result)


@pytest.mark.parametrize("arguments, message", [
    (["--board", "x"], "error: no board 'x': there are "),
    (["--board", "ice40hx8k"], "nothing was built for ice40hx8k; run qsnn build with "
                               "--board ice40hx8k --bitstream --bare"),
    (["--board", "icebreaker", "--stages", "rtl,fit"], "error: no stage 'fit' on the iCEBreaker"),
    (["--board", "icebreaker", "--dataset", "mnist"], "error: "),
    (["--board", "icebreaker"], "says which data it is for; say --dataset random"),
])
def test_script_says_what_is_wrong(built, arguments, message):
    done = verify(built, *arguments)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done
