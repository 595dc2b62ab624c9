"""docs/streams.md says what was measured, of every committed network for streams."""

import json
from pathlib import Path

import pytest

from qsnn.model.description import load

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = [path for path in sorted((ROOT / "model/networks").glob("*.qsnn")) if load(path).stream]
PAGE = (ROOT / "docs/streams.md").read_text()


def synapses(description):
    return sum(layer.weights.size + (0 if getattr(layer, "recurrent", None) is None
                                     else layer.recurrent.size) for layer in description.layers)


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_rows(path):
    description, result = load(path), json.loads(path.with_suffix(".json").read_text())
    test, config = result["test"], result["config"]
    assert (f"| `{path.stem}` | {config['time_steps']} x {config['inputs']} | "
            f"{synapses(description):,} | {test['accuracy']:.2f} ({test['correct']:,} of "
            f"{test['images']:,}) | ") in PAGE
    assert f" | {', '.join(f'{rate:.2f}' for rate in test['rates'])} |\n" in PAGE
    if result["recipe"]["dataset"] == "ecg":
        for name in ("sensitivity", "precision"):
            row = " | ".join(f"{test[name][of]:.1f}" for of in "NSVFQ")
            assert f"| `{path.stem}` | {name} | {row} |" in PAGE


def test_membranes():
    study = json.loads((ROOT / "docs/streams.json").read_text())
    rows = study["membranes"]
    assert len(rows) == 8
    for row in rows:
        assert f"--bits {row['bits']} " in row["command"]
        assert f"| {row['dataset']} | {row['bits']} | {row['accuracy']:.2f} | " in PAGE
    for row in study["second_seed"]:
        assert f"--bits {row['bits']} " in row["command"] and "--seed 1 " in row["command"]
        assert f"{row['accuracy']:.2f} % with" in PAGE
