import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil

from qsnn.hw.emit.artefacts import LINT, artefacts, module_name, report
from qsnn.hw.network import Network
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.images import read_hex
from qsnn.hw.plan.network import plan
from tests.digests import digest
from tests.networks import random_description

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (7, 6, 4, 3)
FOLDINGS = [Folding(4, 3), Folding(2, 4), Folding(2, 2)]  # with padding
EMIT = """
import json
from tests.test_emit import FOLDINGS, artefacts, network
print(json.dumps(artefacts(network(), FOLDINGS, "net")))
"""


def network(seed=3):
    return random_description(np.random.default_rng(seed), widths=WIDTHS, time_steps=3,
                              input_bits=2, membrane_bits=3)


@pytest.fixture(scope="module")
def files():
    return artefacts(network(), FOLDINGS, "net")


def by_hash(files):
    return {name: digest(text) for name, text in files.items()}


def test_same_bytes_in_every_run(files):
    for seed in ("0", "1"):
        done = subprocess.run([sys.executable, "-c", EMIT], stdout=subprocess.PIPE, cwd=ROOT,
                              env=os.environ | {"PYTHONHASHSEED": seed}, timeout=300, check=True)
        assert by_hash(json.loads(done.stdout)) == by_hash(files)


def test_weights_are_not_in_the_verilog(files):
    """Networks of one shape share their Verilog; their integers are in the memory images."""
    a = network()
    layers = [replace(layer, weights=-layer.weights, bias=0 * layer.bias)
              for layer in a.layers]
    layers[:2] = [replace(layer, threshold=0 * layer.threshold) for layer in layers[:2]]
    limit = layers[2].bias_limit(4, layers[2].frac)
    layers[2] = replace(layers[2], bias=[limit, -limit, 0])
    others = artefacts(replace(a, layers=layers), FOLDINGS, "net")
    assert files.keys() == others.keys()
    assert digest(files["net.v"]) == digest(others["net.v"])
    memories = [name for name in files if name.startswith("memory/")]
    assert len(memories) == 3 + 3 + 2
    for name in memories:
        assert files[name] != others[name] and len(files[name]) == len(others[name])


def test_no_multiplier(files):
    cells = set(re.findall(r"cell \$(\w+)", rtlil.convert(Network(network(), FOLDINGS))))
    assert "add" in cells
    assert not cells & {"mul", "div", "mod", "pow", "divfloor", "modfloor", "macc"}
    source = files["net.v"].partition("\nmodule net_")[0]  # parameters are multiplied there
    source = re.sub(r"/\*.*?\*/|\(\*.*?\*\)", "", source)
    assert " + " in source and not re.search(r" [*/%] ", source)


def test_self_contained(files):
    """Every module that is used is there, once; nothing of this machine is."""
    source = files["net.v"]
    modules = re.findall(r"^module (\\\S+|\w+)", source, re.MULTILINE)
    assert len(modules) == len(set(modules)) and modules[0] == "net"
    assert {"net_rom", "net_accumulator"} <= set(modules)
    assert set(re.findall(r"^ +(net_\w+) ", source, re.MULTILINE)) <= set(modules)
    # every module begins with the top's name: another network's have others
    assert all(re.match(r"\\?net\b|net_", module) for module in modules)
    assert not any(str(ROOT) in text for text in files.values())
    for name in files:
        if name.startswith("memory/"):
            assert f'"{name.removeprefix("memory/")}"' in source
    assert files["lint.vlt"] == LINT


def test_facts(files):
    description = network()
    expected = plan(description, FOLDINGS)
    facts = json.loads(files["net.json"])
    assert facts["top"] == "net" and facts["shape"] == "7-6-4-3" and facts["time_steps"] == 3
    assert facts["latency"] == expected.latency
    assert facts["cycles_per_image"] == expected.cycles
    assert facts["description_sha256"] == description.hash
    assert facts["verilog_sha256"] == hashlib.sha256(files["net.v"].encode()).hexdigest()

    header = re.search(r"module net #\(.*?\) \((.*?)\);(.*?)\n\n", files["net.v"] + "\n\n",
                       re.DOTALL)
    for name, port in facts["ports"].items():
        width = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert f"{port['direction']} {width}{name};" in header[2]
    assert len(header[1].split(",")) == len(facts["ports"])
    assert facts["ports"]["i_payload"] == {
        "width": 6, "direction": "input", "pixel_bits": 2, "pixels": 3, "beats_per_image": 3}
    output = facts["ports"]["o_payload"]
    assert output["beats_per_result"] == 3
    end = 0
    for field in ("score", "label", "last"):
        assert output["fields"][field]["offset"] == end
        end += output["fields"][field]["width"]
    assert end == output["width"]
    assert [output["fields"][name]["signed"] for name in ("score", "label", "last")] == [
        True, False, False]

    for layer, stage, folding, found in zip(description.layers, expected.stages, FOLDINGS,
                                            facts["layers"], strict=True):
        assert (found["kind"], found["inputs"], found["neurons"]) == (
            layer.kind, layer.n_in, layer.n_out)
        assert (found["pe"], found["simd"]) == (folding.pe, folding.simd)
        for name in ("words", "groups", "lanes"):
            assert found[name] == getattr(stage, name)
        assert found["cycles"] == stage.image_cycles
        assert found["padded_neurons"] == stage.groups * folding.pe
        assert found["padded_inputs"] == stage.words * folding.simd
        assert found["utilisation"] == round(
            layer.n_in * layer.n_out / (folding.pe * folding.simd * stage.image_cycles), 4)
        assert found["buffer_bits"] == 2 * found["padded_inputs"] * stage.bits * stage.steps
        for memory in found["memories"].values():
            assert len(read_hex(files[memory["file"]], memory["width"], memory["depth"]))
        assert found["memories"]["weights"]["width"] == folding.pe * folding.simd
        assert found["memories"]["biases"]["width"] == found["bias"]["width"] * stage.lanes
        if not stage.readout:
            assert (found["membrane_bits"], found["signed"], found["shift"], found["frac"]) == (
                layer.membrane_bits, layer.signed, layer.shift, layer.frac)
            assert (found["memories"]["thresholds"]["width"]
                    == found["threshold"]["width"] * stage.lanes)


def test_report(files):
    facts = json.loads(files["net.json"])
    text = files["report.txt"]
    assert report("net", facts) == text
    lines = text.splitlines()
    assert lines[0] == "net: 7-6-4-3, 3 time steps, top module net"
    assert lines[1] == f"description {network().hash[:16]}"
    assert f"cycles per image  {facts['cycles_per_image']:g}" in lines
    assert f"latency           {facts['latency']} cycles" in lines
    assert f"images/s          {50e6 / facts['cycles_per_image']:,.0f} at 50 MHz" in lines
    rows = [line.split() for line in lines[-4:]]
    columns = "inputs", "neurons", "pe", "simd", "pixels", "cycles"
    assert [row[:7] for row in rows[:3]] == [
        [str(index), *(str(layer[key]) for key in columns)]
        for index, layer in enumerate(facts["layers"])]
    for row, layer in zip(rows, facts["layers"], strict=False):
        sizes = {name: memory["width"] * memory["depth"]
                 for name, memory in layer["memories"].items()}
        assert row[7] == f"{layer['utilisation']:.0%}"
        assert [int(word) for word in row[8:]] == [
            sizes["weights"], sum(sizes.values()) - sizes["weights"], layer["buffer_bits"]]
    assert [int(word) for word in rows[3][1:]] == [
        sum(int(row[column]) for row in rows[:3]) for column in (8, 9, 10)]


@pytest.mark.parametrize("name, module", [
    ("mine", "mine"), ("mnist-256-256-b2", "mnist_256_256_b2"), ("Net_1", "Net_1"),
    ("2 x net", "qsnn_2_x_net"), ("_net", "qsnn__net"), ("", "qsnn_"), ("größe", "gr__e"),
    ("ü", "qsnn__"), ("a.b$c", "a_b_c"), ("..", "qsnn___"),
    # names of the modules that are written by hand
    ("wire", "qsnn_wire"), ("Entity", "qsnn_Entity"), ("clk", "qsnn_clk"), ("wired", "wired"),
    ("qsnn_rom", "qsnn_qsnn_rom"), ("qsnn-rom", "qsnn_qsnn_rom"), ("qsnn", "qsnn")])
def test_module_name(name, module):
    assert module_name(name) == module
