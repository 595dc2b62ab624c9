"""docs/neuron.md: what it has is what was measured, and what the estimate knows."""

import json
from types import SimpleNamespace

import pytest

from benchmarks import neuron
from qsnn.hw.board.toolchain import ToolError, find
from qsnn.hw.plan.cost import FAMILIES, neuron_logic

RESULTS = json.loads((neuron.DOCS / "neuron.json").read_text())


def test_page():
    assert (neuron.DOCS / "neuron.md").read_text() == neuron.page(RESULTS)


@pytest.mark.slow
def test_measured_again():
    """Leak 1/2 and reset to zero cost what they did; a longer leak is measured as it stands."""
    try:
        if f"Yosys {find('yosys').version}" != RESULTS["tools"]:
            pytest.skip(f"measured with {RESULTS['tools']}, here is {find('yosys').version}")
    except ToolError as error:
        pytest.fail(str(error))
    for name in ("1/2 zero 2", "15/16 subtract 4"):
        assert list(neuron.counts("ice40", neuron.variant_of(name))) == RESULTS["rows"]["ice40"][
            name]


@pytest.mark.parametrize("family", neuron.FAMILIES)
def test_estimate(family):
    """What a leak and a reset add to Q-SNN's neuron, within a fourth of the whole lane."""
    rows = RESULTS["rows"][family]

    def estimated(name):
        p = neuron.parameters(*neuron.variant_of(name))
        return neuron_logic(FAMILIES[family], SimpleNamespace(lanes=1), p)
    for name, (luts, _) in rows.items():
        usual = f"1/2 zero {name.split()[2]}"
        added = estimated(name) - estimated(usual)
        assert abs(added - (luts - rows[usual][0])) < luts / 4, name
