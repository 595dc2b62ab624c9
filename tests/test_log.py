import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from qsnn.model import experiment
from qsnn.model.config import Config, Recipe, TrainingError
from qsnn.model.log import CURVE, LOG, Log, draw_curve
from qsnn.model.training import Epoch

EPOCHS = [Epoch(number, 3, 1 / number, 0.3 * number, (0.25, 0.5)) for number in (1, 2, 3)]
TEXT = """epoch,loss,accuracy,rate_0,rate_1
1,1.000000,30.0000,0.2500,0.5000
2,0.500000,60.0000,0.2500,0.5000
3,0.333333,90.0000,0.2500,0.5000
"""


def written(folder, epochs, done=0, **options):
    log = Log(folder, done, **options)
    for epoch in epochs:
        log(epoch)
    return (folder / LOG).read_text()


def test_lines(tmp_path):
    assert written(tmp_path, EPOCHS) == TEXT
    assert written(tmp_path, EPOCHS[2:], done=2) == TEXT  # what was there behind a checkpoint goes
    assert written(tmp_path, EPOCHS[:2]) == TEXT[:TEXT.index("3,")]  # a new one begins anew


@pytest.mark.parametrize("damage", [b"", b"\xff", b"epoch\nx\n", b"a,b\n1,2\n", b"epoch"])
def test_damage_stops_no_training(tmp_path, damage):
    (tmp_path / LOG).write_bytes(damage)
    draw_curve(tmp_path, "a title")
    assert written(tmp_path, EPOCHS[2:], done=2).splitlines()[1:] == [TEXT.splitlines()[3]]


def test_curve(tmp_path):
    draw_curve(tmp_path, "a title")  # nothing to draw
    assert not (tmp_path / CURVE).exists()
    written(tmp_path, EPOCHS)
    draw_curve(tmp_path, "a title")
    first = (tmp_path / CURVE).read_bytes()
    assert first[:4] == b"\x89PNG"
    draw_curve(tmp_path, "a title")
    assert (tmp_path / CURVE).read_bytes() == first


def test_tensorboard(tmp_path, monkeypatch):
    """It gets the numbers of the file, and continues behind what is done."""
    got, made = [], []

    class Writer:
        def __init__(self, folder, purge_step):
            made.append((folder, purge_step))

        def add_scalar(self, *scalar):
            got.append(scalar)

        def flush(self):
            pass
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard",
                        SimpleNamespace(SummaryWriter=Writer))
    written(tmp_path, EPOCHS[:1], done=4, tensorboard=True)
    assert made == [(tmp_path / "tensorboard", 5)]
    assert got == [("loss", 1.0, 1), ("accuracy", 30.0, 1), ("rate_0", 0.25, 1), ("rate_1", 0.5, 1)]


def test_without_tensorboard(tmp_path, monkeypatch):
    """One sentence, before an epoch is trained."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match="^--tensorboard needs its package: pip install "):
        experiment.run(Config(inputs=64, hidden=(4,)), Recipe(dataset="digits", epochs=1), tmp_path,
                       tensorboard=True)
    assert not (tmp_path / LOG).exists()


def test_log_of_an_experiment(tmp_path):
    recipe = Recipe(dataset="digits", epochs=2)
    seen = []
    experiment.run(Config(inputs=64, hidden=(4, 3)), recipe, tmp_path, report=seen.append)
    lines = (tmp_path / LOG).read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [str(epoch.number), f"{epoch.loss:.6f}"] for epoch in seen]
    assert (tmp_path / CURVE).exists()
    before = (tmp_path / LOG).read_bytes()
    experiment.run(Config(inputs=64, hidden=(4, 3)), replace(recipe), tmp_path)  # it has ended
    assert (tmp_path / LOG).read_bytes() == before
