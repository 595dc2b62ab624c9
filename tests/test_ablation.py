import importlib
import json
import sys
from pathlib import Path

import pytest

from model.qsnn import Config

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
DOCS = SCRIPTS.parent / "docs"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script's own is undone
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("ablation")


def fake(trained):
    """An experiment whose accuracy tells which one it was."""
    def run(config, recipe, out, data_dir, report):
        trained.append((config, recipe, out.name))
        found = {"images": 10_000, "accuracy": 97 + len(trained) / 50}
        if config.membrane_bits:
            found["rates"] = [0.2, 0.25]
        return {"config": config.asdict(), "validation": found,
                "test": found | {"accuracy": found["accuracy"] + 1}}
    return run


def test_table(ablation, monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(ablation, "run", fake(trained))
    with pytest.raises(SystemExit) as stop:
        ablation.app(["--docs", str(tmp_path), "--out", str(tmp_path), "--epochs", "7"])
    assert stop.value.code == 0
    assert all(recipe.epochs == 7 and recipe.validation == 10_000 for _, recipe, _ in trained)
    assert [recipe.seed for _, recipe, _ in trained] == [0, 1] + [0] * (len(trained) - 2)
    assert len({name for _, _, name in trained}) == len(trained)
    assert trained[0][0] == trained[1][0] == Config()
    for config, _, _ in trained[2:]:  # one change each
        base = Config().asdict()
        assert sum(base[name] != value for name, value in config.asdict().items()) == 1

    text = (tmp_path / "ablation.md").read_text()
    assert "| base, seed 0 | 97.02 | -0.01 | 98.02 | 0.20, 0.25 |" in text
    assert "| base, seed 1 | 97.04 | +0.01 | 98.04 | 0.20, 0.25 |" in text
    assert "| no standardisation of weights | 97.06 | +0.03 | 98.06 | 0.20, 0.25 |" in text
    assert "| float membrane | 97.18 | +0.15 | 98.18 |  |" in text
    assert "differ by 0.02 points" in text and "7 epochs" in text
    document = json.loads((tmp_path / "ablation.json").read_text())
    assert document["command"] == "python scripts/ablation.py --epochs 7"
    assert [row["config"] for row in document["rows"]] == [
        json.loads(json.dumps(config.asdict())) for config, _, _ in trained]


def test_committed_table(ablation):
    """The page is what the script makes of the committed numbers."""
    document = json.loads((DOCS / "ablation.json").read_text())
    epochs = int(document["command"].split()[-1])
    torch = document["versions"]["torch"]
    assert (DOCS / "ablation.md").read_text() == ablation._markdown(epochs, document["rows"], torch)


def test_refused(ablation, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        ablation.app(["--data-dir", str(tmp_path / "none"), "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (f"error: {tmp_path / 'none'}: no such folder; name the one "
                                       "that holds the data\n")
