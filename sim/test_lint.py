"""The emitted Verilog under both linters, all warnings on: what is waived stands in lint.vlt."""

import subprocess

import numpy as np
import pytest

from hw.build import NETWORKS, choose_folding
from hw.emit import artefacts
from hw.folding import Folding
from model.description import load
from sim.test_network import COMMITTED
from sim.tools import need, verilator_environment
from tests.networks import random_description, random_foldings

RANDOM = 8


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


def test_single_port_ram(tmp_path):
    description = random_description(np.random.default_rng(0), widths=(24, 9, 4))
    write(tmp_path, description, [Folding(9, 12, spram=True), Folding(2, 3)])
    assert lint(tmp_path) == [(0, ""), (0, "")]


@pytest.mark.parametrize("name", COMMITTED)
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
