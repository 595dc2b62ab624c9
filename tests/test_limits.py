"""docs/description.md names the limits that the code has, all of them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open

from qsnn.hw.emit.build import NETWORKS, check_loadable
from qsnn.hw.plan.folding import Folding, FoldingError
from qsnn.hw.plan.network import plan
from qsnn.model import description, layers
from qsnn.model.description import (
    Convolution,
    Current,
    Description,
    DescriptionError,
    FullyConnected,
    Readout,
    Skip,
    load,
)
from tests.networks import random_description, random_maps

PAGE = (Path(__file__).parents[1] / "docs/description.md").read_text()
MODULES = {"description": description, "layers": layers}
INTERNAL = {"MAX_SENTENCE"}  # of what is printed


def test_constants():
    rows = dict(re.findall(r"^\|.*\| (\d+) \| `(\w+\.\w+)` \|$", PAGE, re.MULTILINE) and [
        (name, int(value)) for value, name in re.findall(
            r"^\|.*\| (\d+) \| `(\w+\.\w+)` \|$", PAGE, re.MULTILINE)])
    there = {f"{layers.__name__.rpartition('.')[2]}.{name}": value
             for name, value in vars(layers).items() if re.match("MAX_|MIN_", name)}
    there |= {f"description.{name}": value for name, value in vars(description).items()
              if re.match("MAX_|MIN_", name) and not hasattr(layers, name)
              and name not in INTERNAL}
    assert rows == there


@pytest.mark.parametrize("field", ["time_steps", "input_bits", "membrane_bits", "shift"])
def test_fields(field):
    low, high = map(int, re.search(rf"^\| `{field}`.*\| (\d+) \.\. (\d+) \|$", PAGE,
                                   re.MULTILINE).groups())
    net = random_description(np.random.default_rng(0), widths=(3, 2, 2), time_steps=1)
    hidden, last = net.layers
    zeros = np.zeros(2, int)

    def make(value):
        if field == "time_steps":
            window = layers.Readout.window_of(value)
            return replace(net, time_steps=value, layers=[hidden, replace(last, window=window)])
        return replace(net, layers=[replace(hidden, threshold=zeros, bias=zeros, **{field: value}),
                                    last])
    make(low), make(high)
    for value in (low - 1, high + 1):
        if (field, value) != ("time_steps", 0):  # a stream
            with pytest.raises(DescriptionError, match=f"{field} must be"):
                make(value)


def test_bits_of_weights():
    assert ", ".join(map(str, layers.WEIGHT_BITS)) in re.search(
        r"^\| `weight_bits` \| (.*) \|$", PAGE, re.MULTILINE)[1]
    assert "pool` (`none`, `max` or `sum`)" in PAGE and layers.POOLS == ("none", "max", "sum")


def test_skips():
    """Each sentence of the page about skips, on a network that has one."""
    net = random_maps(np.random.default_rng(1), words="c4k3-c4k3-c4k3+0", image=(5, 5, 1))
    *before, last = net.layers
    index = next(i for i, layer in enumerate(before) if layer.skip)
    for skip in (Skip(source=index - 1, stride=1, shift=0), Skip(source=index, stride=1, shift=0)):
        with pytest.raises(DescriptionError, match="must come from a layer before layer"):
            Description(time_steps=net.time_steps, layers=[
                *before[:index], replace(before[index], skip=skip), *before[index + 1:], last])
    with pytest.raises(DescriptionError, match="shift of a skip must be 0 .. 12"):
        Skip(source=0, stride=1, shift=13)
    assert "shift 0 to 12" in PAGE
    with pytest.raises(DescriptionError, match="layer 0 cannot have a skip"):
        Description(time_steps=net.time_steps, layers=[
            replace(before[0], input_bits=1, threshold=np.zeros(4, int), bias=np.zeros(4, int),
                    skip=Skip(source=0, stride=1, shift=0)), *before[1:], last])


def test_header():
    """The example is that of the file, and its tensors those of the table."""
    shown = json.loads(re.search(r"^```\n(\{.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1])
    with safe_open(NETWORKS / "mnist-128-b2.qsnn", "numpy") as file:
        assert json.loads(file.metadata()["qsnn"]) == shown
        weights = file.get_tensor("0.weights")
    net = load(NETWORKS / "mnist-128-b2.qsnn").layers[0]
    assert (weights[5, 2] >> 3 & 1) * 2 - 1 == net.weights[5, 2 * 8 + 3]


def test_order_of_a_window():
    """Channel, column, row; and the lowest bit first."""
    weights = np.ones((1, 2, 2, 3), int)
    weights[0, 1, 0, 2] = -1
    layer = Convolution(weights=weights, threshold=np.zeros(1, int), bias=np.zeros(1, int),
                        input_bits=1, membrane_bits=2, signed=False, shift=1, frac=0, height=4,
                        width=4)
    assert np.flatnonzero(~layer.planes[0, 0]) == [(1 * 2 + 0) * 3 + 2]


def test_tensors():
    """Each tensor of a file is in the table."""
    named = set(re.findall(r"^\| `N\.(\w+)`", PAGE, re.MULTILINE))
    source = Path(description.__file__).read_text()
    subtracts = SimpleNamespace(kind="convolution", reset="subtract", current=True)
    assert named == {*re.findall(r'f"\{index\}\.(\w+)"', source),
                     *description.parameter_names(subtracts)}


def test_memories_that_a_host_counts():
    """Thresholds, biases and weights of many layers are more than a greeting has a byte for."""
    layer = FullyConnected(weights=np.ones((2, 2), int), threshold=np.zeros(2, int),
                           bias=np.zeros(2, int), bias_fired=np.zeros(2, int), reset="subtract",
                           current=Current(bits=2, leak=(1, 1), shift=1, bias=np.zeros(2, int)),
                           input_bits=1, membrane_bits=2, signed=False, shift=1, frac=0)
    last = Readout(weights=np.ones((2, 2), int), bias=np.zeros(2, int), frac=0)

    def loadable(layers):
        net = description.Description(time_steps=1, layers=[layer] * layers + [last])
        check_loadable(plan(net, [Folding(1, 1)] * (layers + 1)), True)
    loadable(50)
    with pytest.raises(FoldingError, match="257 memories, a host loads at most 255"):
        loadable(51)
