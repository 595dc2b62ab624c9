"""What long trainings on a GPU need, as far as a CPU can show it.

A limit of time, a teacher, spikes of 16 bits, one compiled loop, and a measurement elsewhere.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from qsnn.model import experiment, training
from qsnn.model.config import NET, RESULT, Config, Recipe, TrainingError, config_for
from qsnn.model.experiment import command
from qsnn.model.export import fold
from qsnn.model.measure import finish
from qsnn.model.qsnn import QSNN, integrate_quantized
from qsnn.model.training import CHECKPOINT, Training
from tests.test_training import CONFIG, DIGITS, MAPS, RECIPE, SHORT, halves, task

torch.set_num_threads(1)


class Clock:
    """Stands for the time: each reading is ``seconds`` after the last one."""

    def __init__(self, *seconds):
        self.now, self.seconds = 0.0, list(seconds)

    def monotonic(self):
        self.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return self.now


def limited(monkeypatch, limit, *seconds, epochs=1000):
    monkeypatch.setattr(training, "time", Clock(*seconds))
    training_ = Training(CONFIG, replace(RECIPE, epochs=epochs))
    return training_, list(training_.epochs(*task(), limit))


@pytest.mark.parametrize("seconds, fit", [
    ((1.0,), range(57, 60)), ((0.0, 30.0, 1.0), range(28, 31)), ((20.0,), [3]), ((25.0,), [2]),
    ((40.0,), [1])])
def test_time_limit(monkeypatch, seconds, fit):
    """So many epochs as fit into a minute: also after a first one that compiles for half of it."""
    done, epochs = limited(monkeypatch, 60, *seconds)
    assert len(epochs) == done.done == done.total and done.done in fit
    assert epochs[-1].total == done.total and epochs[0].total == (1000 if len(epochs) > 1 else 1)
    assert done.optimizer.param_groups[0]["lr"] < 1e-2 * RECIPE.lr or len(epochs) <= 3
    assert done.net.hidden[0].log_step_frozen == (len(epochs) > 3)


def test_slower_later(monkeypatch):
    """Epochs that take ten times as long from the twentieth on: fewer of them, and in time."""
    done, epochs = limited(monkeypatch, 60, *[1.0] * 20, 10.0)
    assert 22 <= len(epochs) <= 25 and training.time.now <= 70


def test_time_enough(monkeypatch):
    done, epochs = limited(monkeypatch, 1e6, 1.0, epochs=7)
    assert len(epochs) == 7


def test_limit_continues(monkeypatch, tmp_path):
    """What a checkpoint holds is the fitted schedule."""
    monkeypatch.setattr(training, "time", Clock(1.0))
    whole = Training(CONFIG, replace(RECIPE, epochs=1000))
    running = whole.epochs(*task(), 20)
    for _ in range(12):
        next(running)
    whole.save(tmp_path / "c")
    again = Training.load(tmp_path / "c")
    assert again.total == whole.total < 21
    longer = list(again.epochs(*task(), 1000))  # steps are frozen: there are no more epochs now
    assert longer[-1].number == whole.total
    without = Training.load(tmp_path / "c")
    next(without.epochs(*task()))
    assert without.total == 1000


def test_the_command_of_a_limited_training(monkeypatch, tmp_path):
    """It names the epochs that there were."""
    monkeypatch.setattr(training, "time", Clock(1.0))
    result = experiment.run(DIGITS, replace(SHORT, epochs=500), tmp_path / "a", limit=8,
                            measured=False)
    done = result["recipe"]["epochs"]
    assert 3 < done < 9 and f" --epochs {done} " in result["command"]
    assert "--device" not in result["command"] and result["time_limit"] == 8
    again = experiment.run(DIGITS, replace(SHORT, epochs=done), tmp_path / "b", measured=False)
    assert again["command"] == result["command"]


@pytest.mark.parametrize("plain, last", [(0.0, 9), (0.2, 7), (0.5, 4)])
def test_plain(monkeypatch, plain, last):
    changed = []
    run = Training(CONFIG, replace(RECIPE, epochs=10, plain=plain))
    monkeypatch.setattr(training, "augment", lambda x, *others: (changed.append(run.done), x)[1])
    list(run.epochs(*task()))
    assert max(changed) == last and min(changed) == 0


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan"), 1e308])
def test_no_limit(tmp_path, limit):
    with pytest.raises(TrainingError, match="seconds: choose one above 0 and below"):
        experiment.run(DIGITS, SHORT, tmp_path, limit=limit)


def test_two_in_one_folder(tmp_path):
    """The second one is refused while the first one runs, and not after."""
    def report(epoch):
        with pytest.raises(TrainingError, match="another training writes into .*: wait for it"):
            experiment.run(DIGITS, SHORT, tmp_path)
    experiment.run(DIGITS, replace(SHORT, epochs=1), tmp_path, report=report, measured=False)
    with pytest.raises(TrainingError, match="holds a training with epochs 1"):
        experiment.run(DIGITS, SHORT, tmp_path)


def test_nothing_of_another_training_stays(tmp_path):
    """A folder whose checkpoint was deleted holds no network beside another one's result."""
    experiment.run(DIGITS, SHORT, tmp_path)
    before = experiment.run(DIGITS, SHORT, tmp_path, measured=False)  # it is finished, and known
    assert "test" in before and (tmp_path / "network.qsnn").exists()
    (tmp_path / CHECKPOINT).unlink()
    after = experiment.run(DIGITS, replace(SHORT, seed=9), tmp_path, measured=False)
    assert "test" not in after and not (tmp_path / "network.qsnn").exists()


@pytest.mark.parametrize("change", [
    dict(done=-5), dict(done=7), dict(done="1"), dict(done=1.0), dict(total=0), dict(total=9),
    dict(done=float("inf"))])
def test_a_checkpoint_of_no_epoch(tmp_path, change):
    run = Training(CONFIG, RECIPE)
    next(run.epochs(*task()))
    run.save(tmp_path / "c")
    tensors = load_file(tmp_path / "c")
    header = {"config": CONFIG.asdict(), "recipe": asdict(RECIPE), "done": 1, "total": 5} | change
    save_file(tensors, tmp_path / "c", metadata={"training": json.dumps(header)})
    with pytest.raises(TrainingError, match="not a checkpoint of this version"):
        Training.load(tmp_path / "c")


def test_moments_of_another_shape(tmp_path):
    run = Training(CONFIG, RECIPE)
    next(run.epochs(*task()))
    run.save(tmp_path / "c")
    tensors = load_file(tmp_path / "c")
    tensors["adam.exp_avg.bias"] = torch.zeros(99)
    header = {"config": CONFIG.asdict(), "recipe": asdict(RECIPE), "done": 1}
    save_file(tensors, tmp_path / "c", metadata={"training": json.dumps(header)})
    with pytest.raises(TrainingError, match="adam.exp_avg.bias has another shape"):
        Training.load(tmp_path / "c")


def test_measured_later(tmp_path):
    """Trained here, measured there, from two small files: as if it had been one machine."""
    whole = experiment.run(DIGITS, SHORT, tmp_path / "whole")
    parts = experiment.run(DIGITS, SHORT, tmp_path / "parts", measured=False)
    assert "test" not in parts and not (tmp_path / "parts/network.qsnn").exists()
    there = tmp_path / "there"
    there.mkdir()
    for name in (RESULT, NET):
        (there / name).write_bytes((tmp_path / "parts" / name).read_bytes())
    assert json.dumps(finish(there)) == json.dumps(whole)
    for name in ("network.qsnn", NET, RESULT):
        assert (there / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("damage, sentence", [
    (lambda folder: (folder / RESULT).unlink(), "result.json: No such file or directory; name the"),
    (lambda folder: (folder / NET).write_bytes(b"x"), f"{NET} is not the network that .* is about"),
    (lambda folder: (folder / RESULT).write_text("{}"), "does not hold what qsnn train --no-meas"),
    (lambda folder: (folder / RESULT).write_text("[]"), "does not hold what qsnn train --no-meas"),
    (lambda folder: (folder / RESULT).write_text("[" * 10_000), "does not hold what qsnn train"),
])
def test_what_cannot_be_finished(tmp_path, damage, sentence):
    experiment.run(DIGITS, replace(SHORT, epochs=1), tmp_path, measured=False)
    damage(tmp_path)
    with pytest.raises(TrainingError, match=sentence):
        finish(tmp_path)


RECTIFIED = Config(inputs=64, image=(8, 8, 1), hidden=("c8k3", "p2", "r8", "fc8"), classes=2,
                   time_steps=1, rectified=True)
QUICK = Recipe(epochs=6, batch_size=32, lr=1e-2, shift=0, smoothing=0.1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Folder of a float network that knows the brighter half."""
    folder = tmp_path_factory.mktemp("teacher")
    run = Training(RECTIFIED, QUICK)
    *_, last = run.epochs(*halves())
    assert last.accuracy > 0.95
    run.save(folder / CHECKPOINT)
    return folder


def test_a_teacher_is_followed(teacher):
    """A student that is told nothing but noise as labels learns what its teacher knows."""
    pixels, labels = halves()
    noise = np.random.default_rng(1).integers(0, 2, size=len(labels))
    right = {}
    for name in ("", str(teacher)):
        student = Training.start(MAPS, replace(QUICK, teacher=name), teacher / "none")
        list(student.epochs(pixels, noise))
        with torch.no_grad():
            found = student.net.eval()(torch.tensor(pixels).float())[0].mean(0).argmax(1)
        right[name] = (found.numpy() == labels).mean()
    assert right[""] < 0.75 and right[str(teacher)] > 0.9


def test_a_teacher_stays_as_it_is(teacher):
    student = Training.start(MAPS, replace(QUICK, epochs=1, teacher=str(teacher)), teacher / "none")
    before = {name: value.clone() for name, value in student.teacher.state_dict().items()}
    list(student.epochs(*halves()))
    assert all(torch.equal(before[name], value)
               for name, value in student.teacher.state_dict().items())


def test_another_teacher_in_its_place(teacher, tmp_path):
    """A training that goes on listens to whom it has listened to."""
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / CHECKPOINT).write_bytes((teacher / CHECKPOINT).read_bytes())
    recipe = replace(QUICK, epochs=2, teacher=str(folder))
    student = Training.start(MAPS, recipe, tmp_path / "c")
    next(student.epochs(*halves()))
    student.save(tmp_path / "c")
    assert Training.start(MAPS, recipe, tmp_path / "c").done == 1
    other = Training(RECTIFIED, QUICK)
    next(other.epochs(*halves()))
    other.save(folder / CHECKPOINT)
    with pytest.raises(TrainingError, match="holds another network than when this training began"):
        Training.start(MAPS, recipe, tmp_path / "c")


@pytest.mark.parametrize("change, sentence", [
    (dict(classes=3), "has 2 classes, this one 3: choose another --teacher"),
    (dict(input_bits=4), "has 8 input of bits|has 8 input bits, this one 4"),
    (dict(inputs=128, image=(8, 16, 1)), "has 64 inputs, this one 128")])
def test_a_teacher_of_other_images(teacher, change, sentence):
    with pytest.raises(TrainingError, match=sentence):
        Training.start(replace(MAPS, **change), replace(QUICK, teacher=str(teacher)),
                       teacher / "none")


def test_no_teacher_there(tmp_path):
    with pytest.raises(TrainingError, match="is not there: choose another --teacher$"):
        Training.start(MAPS, replace(QUICK, teacher=str(tmp_path)), tmp_path / "none")


def test_rectified():
    assert not RECTIFIED.has_integers
    weights = [layer.synapses.integer_weight() for layer in QSNN(RECTIFIED).hidden]
    assert all(len(w.unique()) > 10 for w in weights)
    with pytest.raises(ValueError, match="time_steps must be 1, not 2$"):
        replace(RECTIFIED, time_steps=2)
    config = config_for("cifar-10", arch="c8k3-p4", rectified=True)
    assert config.time_steps == 1
    assert command(config, QUICK, "cuda").endswith(" --rectified --device cuda")


def test_a_rectified_experiment(tmp_path):
    """It is measured in floats, and leaves no integers."""
    config = replace(DIGITS, rectified=True, time_steps=1)
    result = experiment.run(config, replace(SHORT, epochs=30), tmp_path)
    assert result["test"]["accuracy"] > 60 and "equality" not in result
    assert not (tmp_path / NET).exists() and not (tmp_path / "network.qsnn").exists()
    student = experiment.run(DIGITS, replace(SHORT, epochs=1, teacher=str(tmp_path)),
                             tmp_path / "student")
    assert student["commands_before"] == [result["command"]]
    assert f"--teacher {tmp_path}" in student["command"]


@pytest.mark.parametrize("config", [
    CONFIG, MAPS, replace(MAPS, hidden=("c4k3w8", "c4k3", "r6s2", "a2", "fc5w2"), last_bits=4),
    Config(inputs=32, hidden=("fc12t3", "fc8r"), input_bits=1, time_steps=8, stream=True)])
def test_bits_of_weights(monkeypatch, config):
    """A training is refused what the description of its network would be refused afterwards."""
    bits = fold(QSNN(config).eval()).weight_bits
    assert config.weight_bits == bits
    monkeypatch.setattr("qsnn.model.config.MAX_WEIGHTS", bits - 1)
    with pytest.raises(ValueError, match=f"^{bits:,} bits of weights, a network has at most"):
        replace(config)


WORDS = ("c8k3w8", "p2", "c8k3", "r8", "c8k3s2", "fc8")


def passes(change):
    """Loss, logits and gradients of a network after ``change``."""
    torch.manual_seed(0)
    net = QSNN(replace(MAPS, hidden=WORDS, time_steps=3))
    change(net)
    pixels, labels = (torch.tensor(part[:64]) for part in halves())
    loss, logits, rates = net.loss(pixels.float(), labels)
    loss.backward()
    return net, loss, logits, rates


def short(net):
    for layer in net.hidden:
        layer.spike_dtype = torch.bfloat16


def test_spikes_of_16_bits():
    """Forward they are exact, sums too; gradients lose a little."""
    exact, other = passes(lambda net: None), passes(short)
    for a, b in zip(exact[1:], other[1:], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(exact[0].parameters(), other[0].parameters(), strict=True):
        assert (a.grad - b.grad).norm() <= 0.03 * a.grad.norm()
    assert any(not torch.equal(a.grad, b.grad) for a, b in
               zip(exact[0].parameters(), other[0].parameters(), strict=True))


# the compiler of PyTorch warns of what PyTorch does
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_one_compiled_loop():
    """All layers share it, as on a GPU, and it does what is not compiled does."""
    torch._dynamo.reset()
    counted = torch._dynamo.utils.counters["stats"]
    counted.clear()
    loop = torch.compile(integrate_quantized, dynamic=True)

    def compiled(net):
        for layer in net.hidden:
            layer.neurons = loop
    exact, other = passes(lambda net: None), passes(compiled)
    assert 1 <= counted["unique_graphs"] < len(exact[0].hidden)
    for a, b in zip(exact[1:], other[1:], strict=True):
        assert torch.equal(a, b)


def test_back_on_the_cpu():
    """What a network was set to for a GPU is undone before its integers are made."""
    net = QSNN(MAPS)
    short(net)
    net.run_on("cpu")
    assert all(layer.spike_dtype is None for layer in net.hidden)
