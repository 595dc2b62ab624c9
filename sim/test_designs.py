"""The emitted Verilog in designs of other people."""

import subprocess

import numpy as np
import pytest

from qsnn.hw.board.toolchain import ToolError, find
from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.sim.tools import need, verilator_environment
from tests.networks import random_description

TOP = """
module pair (input clk, input rst);
    one {one}first (.clk(clk), .rst(rst));
    two {two}second (.clk(clk), .rst(rst));
endmodule
module bench;
    reg clk = 0;
    pair both (.clk(clk), .rst(1'b0));
    initial begin
        $display("%h %h", both.first.layer0.weights.rom.memory[0],
                 both.second.layer0.weights.rom.memory[0]);
        $finish;
    end
endmodule
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Builds of two networks of one shape, and the first words of their weights."""
    folder, words = tmp_path_factory.mktemp("two"), []
    for seed, name in enumerate(("one", "two")):
        description = random_description(np.random.default_rng(seed), widths=(16, 8, 3),
                                         time_steps=2)
        built = build(description, choose_folding(description), name, folder)
        facts, _ = open_build(built)
        image = built / facts["layers"][0]["memories"]["weights"]["file"]
        words.append(image.read_text().split()[0])
    assert words[0] != words[1]
    return folder, words


def together(folder):
    """All memory images in one folder."""
    (folder / "memory").mkdir(exist_ok=True)
    for image in folder.glob("*/memory/*.hex"):
        (folder / "memory" / image.name).write_bytes(image.read_bytes())


def simulated(folder, text, *options):
    """What Icarus says of a bench and both networks."""
    need("iverilog")
    (folder / "design.v").write_text(text)
    sources = [folder / "one" / "one.v", folder / "two" / "two.v", folder / "design.v"]
    subprocess.run(["iverilog", "-g2005", "-Wall", "-s", "bench", *options, "-o",
                    folder / "design", *sources], check=True, cwd=folder)
    return subprocess.run([folder / "design"], cwd=folder, capture_output=True, text=True,
                          check=True).stdout.split()


def test_each_reads_its_own_folder(two):
    """The folder is a parameter of each top."""
    folder, words = two
    text = TOP.format(**{name: f'#(.MEMORY_DIR("{name}/memory")) ' for name in ("one", "two")})
    assert simulated(folder, text) == words


def test_one_folder_for_both(two):
    """Names of memory images begin with the top's: a macro, or no word at all, will do."""
    folder, words = two
    together(folder)
    text = TOP.format(one="", two="")
    assert simulated(folder, text) == words
    assert simulated(folder, text, f'-DQSNN_MEMORY_DIR="{folder}/memory"') == words


def test_other_tools_read_both(two):
    """Yosys, without -defer, and Verilator: no module is there twice."""
    folder, _ = two
    together(folder)
    (folder / "design.v").write_text(TOP.format(one="", two="").partition("module bench")[0])
    sources = ["one/one.v", "two/two.v", "design.v"]
    subprocess.run(["verilator", "--lint-only", "-Wno-fatal", "-Wno-lint", "--top-module", "pair",
                    *sources], cwd=folder, env=verilator_environment(), check=True)
    try:
        yosys = find("yosys").path
    except ToolError as error:
        pytest.skip(str(error))
    for top, files in (("one", sources[:1]), ("pair", sources)):
        subprocess.run([yosys, "-q", "-p", f"read_verilog {' '.join(files)}; hierarchy -check -top "
                        f"{top}; proc"], cwd=folder, check=True)


def test_ports_are_words_of_vhdl(two):
    """No two underscores in a row, none at an end."""
    facts, _ = open_build(two[0] / "one")
    for port in facts["ports"]:
        assert "__" not in port and port.strip("_") == port, port
