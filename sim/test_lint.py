"""The emitted Verilog under both linters, all warnings on: what is waived stands in lint.vlt."""

import subprocess

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from qsnn.hw.emit.artefacts import artefacts, to_verilog
from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.model.description import load
from qsnn.sim.test_network import COMMITTED
from qsnn.sim.tools import need, verilator_environment
from tests.networks import random_description, random_foldings, random_small_maps
from tests.streams import random_folded, random_map_stream, random_serial, random_stream
from tests.whole import some_of

RANDOM = 4
# one of a shape: maps, words of many bits, membranes of 8 bits
SHAPES = ["cifar-10-conv-b2", "fashion-mnist-wide-b2", "mnist-256-256-b8"]


def write(folder, description, foldings):
    (folder / "memory").mkdir()
    for file, text in artefacts(description, foldings, "net").items():
        (folder / file).write_text(text)


def lint(folder):
    """Status and output of each linter."""
    need("iverilog")
    runs = [subprocess.run(command, cwd=folder, env=environment, text=True, timeout=300,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for command, environment in (
                (["verilator", "--lint-only", "-Wall", "--quiet", "lint.vlt", "net.v"],
                 verilator_environment()),
                (["iverilog", "-Wall", "-g2005", "-o", "/dev/null", "-s", "net", "net.v"], None))]
    return [(run.returncode, run.stdout) for run in runs]


@pytest.mark.parametrize("seed", range(RANDOM))
def test_random(tmp_path, seed):
    rng = np.random.default_rng(seed)
    description = random_description(rng)
    write(tmp_path, description, random_foldings(rng, description))
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("seed", range(RANDOM))
def test_streams(tmp_path, seed):
    rng = np.random.default_rng(seed)
    description = random_stream(rng)
    foldings = random_serial(rng, description)
    (tmp_path / "memory").mkdir()
    for file, text in artefacts(description, foldings, "net",
                                       events=foldings[0].sparse and seed % 2 == 1).items():
        (tmp_path / file).write_text(text)
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("seed", [1, 2])
def test_stream_maps(tmp_path, seed):
    """One of a single position, one of a single output."""
    rng = np.random.default_rng(seed)
    description = random_map_stream(rng)
    write(tmp_path, description, random_folded(rng, description))
    assert lint(tmp_path) == [(0, ""), (0, "")]


def test_encoders(tmp_path):
    description = load(NETWORKS / "ecg-32t24-32t4-b2.qsnn")
    (tmp_path / "memory").mkdir()
    for file, text in artefacts(description, choose_folding(description), "net",
                                       encoder="ecg").items():
        (tmp_path / file).write_text(text)
    assert lint(tmp_path) == [(0, ""), (0, "")]


def test_serial_layers(tmp_path):
    rng = np.random.default_rng(0)
    description = random_description(rng, widths=(12, 9, 7, 4))
    write(tmp_path, description, [Folding(4, 3), SerialFolding(3, 4), SerialFolding(2, 3, False)])
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("seed", range(RANDOM))
def test_maps(tmp_path, seed):
    rng = np.random.default_rng(seed)
    description, foldings = random_small_maps(rng, latency=2500)
    write(tmp_path, description, foldings)
    assert lint(tmp_path) == [(0, ""), (0, "")]


def test_single_port_ram(tmp_path):
    description = random_description(np.random.default_rng(0), widths=(24, 9, 4))
    write(tmp_path, description, [Folding(9, 12, spram=True), Folding(2, 3)])
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("name", some_of(COMMITTED, SHAPES))
def test_committed(tmp_path, name):
    description = load(NETWORKS / f"{name}.qsnn")
    write(tmp_path, description, choose_folding(description))
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("found, change, status", [
    # a width that does not fit, in the module that people wrote
    ("reg [WIDTH-1:0] read;", "reg [WIDTH:0] read;", (True, False)),
    # a name that nobody drives
    ("word <= read;", "word <= raed;", (True, True)),
])
def test_lint_sees(tmp_path, found, change, status):
    rng = np.random.default_rng(0)
    description = random_description(rng)
    write(tmp_path, description, random_foldings(rng, description))
    text = (tmp_path / "net.v").read_text()
    assert found in text
    (tmp_path / "net.v").write_text(text.replace(found, change))
    assert tuple(code != 0 for code, _ in lint(tmp_path)) == status


class Quiet(wiring.Component):
    """A default that only a register selects, which keeps its initial value."""

    chosen: Out(4)

    def elaborate(self, _platform):
        m = Module()
        unit = Signal(2, init=1)
        m.d.comb += self.chosen.eq(9)
        with m.Switch(unit):
            with m.Case(0):
                m.d.comb += self.chosen.eq(3)
        with m.If(self.chosen == 3):
            m.d.sync += unit.eq(2)
        return m


@pytest.mark.smoke
@pytest.mark.parametrize("standard", ["-g2005", "-g2012"])
def test_starts_without_an_event(tmp_path, standard):
    """No value is x because nothing has changed yet, in either version of the language."""
    need("iverilog")
    (tmp_path / "t.v").write_text(to_verilog(Quiet(), "quiet") + """
module t;
  wire [3:0] chosen;
  quiet dut (.clk(1'b0), .rst(1'b0), .chosen(chosen));
  initial #10 $display("%b", chosen);
endmodule
""")
    subprocess.run(["iverilog", standard, "-s", "t", "-o", "t", "t.v"], cwd=tmp_path, check=True)
    found = subprocess.run(["vvp", "t"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout == "1001\n"
