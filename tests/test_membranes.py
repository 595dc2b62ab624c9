"""What the page on membranes says was measured, and the networks without membranes are that."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import membranes
from benchmarks.membranes import DOCS, SEEDS, STUDIES, SYMBOLS, matches, remembered
from qsnn.model.config import Config
from qsnn.model.qsnn import QSNN


def test_committed_page():
    document = json.loads((DOCS / "membranes.json").read_text())
    assert (DOCS / "membranes.md").read_text() == membranes.markdown(document)
    assert list(document["tasks"]) == list(STUDIES)
    for name, task in document["tasks"].items():
        assert [row["name"] for row in task["rows"]] == list(STUDIES[name].changes)
        assert {len(row["percent"]) for row in task["rows"]} == {SEEDS}
        for row in task["rows"]:
            assert row["name"] in (DOCS / "membranes.svg").read_text()


@pytest.mark.parametrize("forgets", [True, False])
def test_forgets(forgets):
    """What came before does not change a step of a network without membranes."""
    torch.manual_seed(0)
    net = QSNN(replace(STUDIES["match-2"].config, membrane_bits=8)).eval()
    if forgets:
        membranes.forget(net)
    x = torch.randint(0, 2, (50, 4, 18)).float()
    before = x.clone()
    before[:, :3] = 1 - x[:, :3]
    with torch.no_grad():
        logits, others = (net(samples.flatten(1))[0] for samples in (x, before))
    assert torch.equal(logits[3], others[3]) == forgets
    assert not torch.equal(logits[2], others[2])


@pytest.mark.parametrize("delay", membranes.DELAYS)
def test_matches(delay):
    """Labels say whether both symbols are the same; neither of them alone tells anything."""
    train, test = matches(delay)()
    assert [len(part[1]) for part in (train, test)] == list(membranes.MATCHES)
    assert not np.array_equal(train[0][:2000], test[0])
    samples, labels = train
    steps = samples.reshape(len(labels), delay + 2, -1)
    assert (steps[:, 0, -2] == 1).all() and (steps[:, -1, -1] == 1).all()
    assert steps[..., -2:].sum() == 2 * len(labels)
    lines = steps[..., :-2].reshape(len(labels), delay + 2, SYMBOLS, -1).sum(axis=3)
    first, last = lines[:, 0].argmax(axis=1), lines[:, -1].argmax(axis=1)
    assert ((first == last) == labels).mean() > 0.97
    for symbol in range(SYMBOLS):
        assert abs(labels[first == symbol].mean() - 0.5) < 0.06
        assert abs(labels[last == symbol].mean() - 0.5) < 0.06


def test_remembered():
    stream = dict(inputs=10, classes=2, input_bits=1, time_steps=5, stream=True)
    assert remembered(Config(hidden=("fc8",), **stream)) == 16
    assert remembered(Config(hidden=("fc8t4", "fc4r"), membrane_bits=8, **stream)) == 64 + 30 + 36
    assert remembered(Config(hidden=("fc8t4",), **stream), forgets=True) == 30
    assert remembered(Config(time_steps=1)) == 0 and remembered(Config()) == 1024


def test_wrong_task(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["membranes", "nothing"])
    with pytest.raises(SystemExit):
        membranes.main()
    assert "no task 'nothing': there are image, ecg" in capsys.readouterr().err
