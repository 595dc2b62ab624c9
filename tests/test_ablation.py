import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ablation
from qsnn.model.qsnn import Config

DOCS = Path(__file__).resolve().parents[1] / "docs"


def fake(trained):
    """An experiment whose accuracy tells which one it was."""
    def run(config, recipe, out, data_dir, report):
        trained.append((config, recipe, out.name))
        found = {"images": 10_000, "accuracy": 97 + len(trained) / 50}
        if config.has_integers:
            found["rates"] = [0.2, 0.25]
        return {"config": config.asdict(), "validation": found,
                "test": found | {"accuracy": found["accuracy"] + 1}}
    return run


@pytest.mark.parametrize("dataset", ["mnist", "cifar-10"])
def test_studies(monkeypatch, tmp_path, dataset):
    """Each variant differs from the base in what its name says, and can be trained."""
    trained, study = [], ablation.STUDIES[dataset]
    monkeypatch.setattr(ablation, "run", fake(trained))
    with pytest.raises(SystemExit) as stop:
        ablation.app(["--docs", str(tmp_path), "--out", str(tmp_path), "--dataset", dataset])
    assert stop.value.code == 0
    assert [config for config, *_ in trained] == [study.config] * 2 + [
        replace(study.config, **change) for change in study.changes.values()]
    assert {recipe.dataset for _, recipe, _ in trained} == {dataset}
    assert len({name for *_, name in trained}) == len(trained)
    document = json.loads((tmp_path / f"{study.page}.json").read_text())
    assert (tmp_path / f"{study.page}.md").read_text() == ablation._markdown(study, document)


def test_table(monkeypatch, tmp_path):
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
    assert document["command"] == "python -m benchmarks.ablation --dataset mnist --epochs 7"
    assert [row["config"] for row in document["rows"]] == [
        json.loads(json.dumps(config.asdict())) for config, _, _ in trained]


@pytest.mark.parametrize("dataset", ["mnist", "cifar-10"])
def test_committed_table(dataset):
    """The page is what the script makes of the committed numbers."""
    study = ablation.STUDIES[dataset]
    document = json.loads((DOCS / f"{study.page}.json").read_text())
    assert (DOCS / f"{study.page}.md").read_text() == ablation._markdown(study, document)
    assert [row["name"] for row in document["rows"]][2:] == list(study.changes)


def test_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        ablation.app(["--data-dir", str(tmp_path / "none"), "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (f"error: {tmp_path / 'none'}: no such folder; name the one "
                                       "that holds the data\n")
    with pytest.raises(SystemExit):
        ablation.app(["--dataset", "digits"])
    assert capsys.readouterr().err == ("error: --dataset must be mnist or cifar-10, not "
                                       "'digits'\n")
