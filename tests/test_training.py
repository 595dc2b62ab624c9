"""Tiny trainings: determinism, continuing after an interruption, and what the command refuses."""

import importlib
import json
import math
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qsnn.model import data, experiment, golden
from qsnn.model.architecture import NAMED
from qsnn.model.augment import erase_squares, flip_images, mix_images, shift_images
from qsnn.model.config import RESULT
from qsnn.model.description import load
from qsnn.model.equality import compare
from qsnn.model.export import fold
from qsnn.model.qsnn import QSNN, Config
from qsnn.model.training import (
    CHECKPOINT,
    Recipe,
    Training,
    TrainingError,
    fast_products,
)
from qsnn.model.weights import load_net
from tests.digests import digests

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parents[1]
CONFIG = Config(inputs=16, hidden=(12, 9), classes=3, time_steps=3, input_bits=4)
RECIPE = Recipe(epochs=5, batch_size=8, lr=2e-2, seed=3)


def task(count=60):
    """Images of 4 x 4 pixels whose label is the brightest of three corners."""
    pixels = np.random.default_rng(0).integers(0, 16, size=(count, 16))
    return pixels, pixels[:, [0, 3, 12]].argmax(axis=1)


def state(training):
    adam = [value for part in training.optimizer.state.values() for value in part.values()]
    return [*training.net.state_dict().values(), *adam]


def assert_same(a, b):
    assert a.done == b.done and len(state(a)) == len(state(b)) > 20
    for x, y in zip(state(a), state(b), strict=True):
        assert x.dtype == y.dtype and torch.equal(x, y)


def trained(recipe=RECIPE, config=CONFIG):
    training = Training(config, recipe)
    return training, list(training.epochs(*task()))


def test_epochs_are_counted_and_measured():
    _, epochs = trained()
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    for epoch in epochs:
        assert epoch.loss > 0 and 0 < epoch.accuracy < 1
        assert len(epoch.rates) == 2 and all(0 < rate < 1 for rate in epoch.rates)


def test_deterministic():
    torch.manual_seed(1)
    first = trained()
    torch.manual_seed(2)  # what others draw does not matter
    second = trained()
    assert first[1] == second[1]
    assert_same(first[0], second[0])


def test_own_random_numbers():
    """A training leaves the random numbers of its caller alone."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_no_number(monkeypatch):
    monkeypatch.setattr(QSNN, "loss", lambda net, *others: (
        net.bias.sum() * float("nan"), torch.zeros(RECIPE.batch_size, 3), torch.zeros(2)))
    with pytest.raises(TrainingError, match="^the loss of epoch 1 is nan: .* a smaller --lr$"):
        trained()


def test_seeds_differ():
    assert trained()[1] != trained(replace(RECIPE, seed=4))[1]


@pytest.mark.parametrize("stop", range(1, 5))
def test_continues_bit_for_bit(tmp_path, stop):
    """Stopped in the epoch after the last checkpoint, whatever was frozen by then."""
    whole, epochs = trained()
    training = Training(CONFIG, RECIPE)
    running = training.epochs(*task())
    for _ in range(stop):
        next(running)
    training.save(tmp_path / "c")
    next(running)  # lost
    again = Training.start(CONFIG, RECIPE, tmp_path / "c")
    assert again.done == stop
    assert list(again.epochs(*task())) == epochs[stop:]
    assert_same(again, whole)


def test_checkpoints_are_the_same_bytes(tmp_path):
    for name in "ab":
        trained()[0].save(tmp_path / name)
    Training.load(tmp_path / "a").save(tmp_path / "c")
    found = digests(tmp_path)
    assert list(found) == ["a", "b", "c"] and len(set(found.values())) == 1


def test_finished_training_has_no_more_epochs(tmp_path):
    training, _ = trained()
    training.save(tmp_path / "c")
    assert list(Training.load(tmp_path / "c").epochs(*task())) == []


@pytest.mark.parametrize("values, sentence", [
    (dict(lr=0.5), "with lr 0.02, not 0.5: choose another --out or delete it$"),
    (dict(epochs=6), "with epochs 5, not 6"), (dict(seed=0), "with seed 3, not 0"),
    (dict(dataset="digits"), "with dataset mnist, not digits"),
    (dict(validation=1), "with validation 0, not 1"),
    (dict(hidden=(12, 8)), r"with hidden \(12, 9\), not \(12, 8\)"),
    (dict(time_steps=4), "with time_steps 3, not 4"),
    (dict(standardize=False), "with standardize True, not False"),
    (dict(start="a"), "with start none, not a"),
])
def test_another_training_is_refused(tmp_path, values, sentence):
    trained()[0].save(tmp_path / "c")
    recipe = {name: value for name, value in values.items() if hasattr(RECIPE, name)}
    config = {name: value for name, value in values.items() if name not in recipe}
    with pytest.raises(TrainingError, match=f"^{tmp_path} holds a training {sentence}"):
        Training.start(replace(CONFIG, **config), replace(RECIPE, **recipe), tmp_path / "c")


def test_begins_with_another_network(tmp_path):
    """Its weights and statistics, at another number of time steps and bits; no moments."""
    first, _ = trained()
    first.save(tmp_path / CHECKPOINT)
    recipe = replace(RECIPE, start=str(tmp_path), lr=1e-3)
    config = replace(CONFIG, time_steps=5, membrane_bits=3)
    training = Training.start(config, recipe, tmp_path / "new")
    assert training.done == 0 and not training.optimizer.state
    assert all(torch.equal(training.net.state_dict()[name], value)
               for name, value in first.net.state_dict().items())
    losses = [epoch.loss for epoch in training.epochs(*task())]
    assert losses[0] < trained(config=config)[1][0].loss
    training.save(tmp_path / "new")
    (tmp_path / CHECKPOINT).unlink()  # what continues needs it no more
    assert Training.start(config, recipe, tmp_path / "new").done == 5


def test_begins_with_other_weights(tmp_path):
    """Weights of 8 bits are larger than those of 1 bit, and the logits are not."""
    first, _ = trained()
    first.save(tmp_path / CHECKPOINT)
    training = Training.start(replace(CONFIG, last_bits=8), replace(RECIPE, start=str(tmp_path)),
                              tmp_path / "new")
    pixels = torch.tensor(task()[0]).float()
    sizes = []
    for net in (first.net, training.net):
        net.eval()
        with torch.no_grad():
            sizes.append((net(pixels)[0] - net.bias).abs().mean().item())
    assert 0.3 < sizes[1] / sizes[0] < 1.5


@pytest.mark.parametrize("change", [
    dict(hidden=(12, 8)), dict(hidden=(12, 9, 4)), dict(classes=4), dict(inputs=15)])
def test_other_networks_cannot_begin(tmp_path, change):
    trained()[0].save(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match=f"^{tmp_path} holds another network, 16-12-9-3, and "
                                            r"this one is [\d-]+: choose another --start$"):
        Training.start(replace(CONFIG, **change), replace(RECIPE, start=str(tmp_path)),
                       tmp_path / "new")


@pytest.mark.parametrize("words, fits", [
    ("c4k3-p2-c4k3", True), ("c4k3w8-p2-c4k3w2", True), ("c4k3-a2-c4k3", False),
    ("c4k3p1-p2-c4k3p2", False), ("c4k3s2-c4k3", False)])
def test_maps_that_begin(tmp_path, words, fits):
    """Tensors of one size are not enough: pools, strides and paddings must be the same."""
    config = Config(inputs=64, image=(8, 8, 1), hidden=("c4k3", "p2", "c4k3"), classes=3)
    training = Training(config, replace(RECIPE, epochs=1))
    pixels = np.random.default_rng(0).integers(0, 256, size=(8, 64))
    list(training.epochs(pixels, np.arange(8) % 3))
    training.save(tmp_path / CHECKPOINT)
    other, recipe = replace(config, hidden=words.split("-")), replace(RECIPE, start=str(tmp_path))
    if fits:
        assert Training.start(other, recipe, tmp_path / "new").config == other
    else:
        with pytest.raises(TrainingError, match="holds another network, 8x8x1-c4k3-p2-c4k3-3, "
                           f"and this one is 8x8x1-{words}-3: choose another --start$"):
            Training.start(other, recipe, tmp_path / "new")


def test_other_sides_cannot_begin(tmp_path):
    """As many pixels in another order: both are named, and the option that says so."""
    config = Config(inputs=64, image=(1, 16, 4), hidden=("c4k1x3",), classes=3)
    training = Training(config, replace(RECIPE, epochs=1))
    list(training.epochs(np.random.default_rng(0).integers(0, 256, (8, 64)), np.arange(8) % 3))
    training.save(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match="another network, 1x16x4-c4k1x3-3, and this one is "
                       "4x16x1-c4k1x3-3: choose another --start, or give --image 1x16x4$"):
        Training.start(replace(config, image=(4, 16, 1)), replace(RECIPE, start=str(tmp_path)),
                       tmp_path / "new")


@pytest.mark.parametrize("damage, sentence", [
    (lambda path: None, "checkpoint.safetensors is not there: choose another --start$"),
    (lambda path: path.write_bytes(b"x"), "is not a checkpoint of this version: choose another")])
def test_what_cannot_begin(tmp_path, damage, sentence):
    damage(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match=sentence):
        Training.start(CONFIG, replace(RECIPE, start=str(tmp_path)), tmp_path / "new")
    with pytest.raises(TrainingError, match="x: File name too long; choose another --start$"):
        Training.start(CONFIG, replace(RECIPE, start="x" * 300), tmp_path / "new")


def damaged_checkpoints():
    training = trained()[0]
    tensors = {name: value for name, value in training.net.state_dict().items()}
    header = {"config": CONFIG.asdict(), "recipe": {"epochs": 2}, "done": 1}

    def with_header(path, text):
        save_file(tensors, path, metadata={"training": text})

    yield "empty", lambda path: path.write_bytes(b"")
    yield "garbage", lambda path: path.write_bytes(b"garbage" * 10)
    yield "cut", lambda path: (training.save(path),
                               path.write_bytes(path.read_bytes()[:-100]))
    yield "another file", lambda path: save_file(tensors, path)
    yield "no JSON", lambda path: with_header(path, "{")
    yield "no recipe", lambda path: with_header(path, '{"config": {}}')
    yield "wrong field", lambda path: with_header(path, json.dumps(header | {"recipe": {"x": 1}}))
    yield "wrong value", lambda path: with_header(path, json.dumps(
        header | {"config": CONFIG.asdict() | {"time_steps": 65}}))
    yield "no moments", lambda path: with_header(path, json.dumps(header))
    yield "wrong shape", lambda path: trained()[0].save(path) or path.write_bytes(
            path.read_bytes().replace(b'"classes\\": 3', b'"classes\\": 4'))
    yield "folder", lambda path: path.mkdir()


DAMAGES = list(damaged_checkpoints())


@pytest.mark.parametrize("name, damage", DAMAGES, ids=[name for name, _ in DAMAGES])
def test_damaged_checkpoint(tmp_path, name, damage):
    damage(tmp_path / "c")
    with pytest.raises(TrainingError, match=f"^{tmp_path / 'c'}: not a checkpoint of this version "
                                            r"\((?s:.)*\); delete it to start anew$"):
        Training.start(CONFIG, RECIPE, tmp_path / "c")


@pytest.mark.parametrize("values, sentence", [
    (dict(epochs=0), "^epochs must be 1 to 100000000, not 0$"),
    (dict(batch_size=1), "^batch_size must be 2 to 100000000, not 1$"),
    (dict(validation=-1), "^validation must be 0 to 100000000, not -1$"),
    (dict(shift=-1), "^shift must be 0 to 1000, not -1$"),
    (dict(seed=-1), "^seed must be 0 to 1000000000000, not -1$"),
    (dict(lr=0.0), "^lr must be between 0 and 1, not 0.0$"),
    (dict(lr=float("nan")), "^lr must be between 0 and 1, not nan$"),
])
def test_wrong_recipe(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Recipe(**values)


@pytest.mark.parametrize("kind", [Config, Recipe])
def test_numbers_are_in_a_range(kind):
    """No field takes NaN, infinity, a number beyond all use, or what is of another type."""
    for field in fields(kind):
        wrong = {float: [math.nan, math.inf, -math.inf, -1, 1e30, "1", None, True],
                 int: [math.nan, math.inf, -1, 10 ** 30, 2.0, "2", None, True],
                 bool: [1, "yes", None], str: [1, None, math.nan]}.get(
                     field.type, [7, 7.0, "7", True])
        for value in wrong:
            with pytest.raises(ValueError, match=rf"^{field.name} must be .*, not "):
                kind(**{field.name: value})


@pytest.mark.parametrize("name", [field.name for kind in (Config, Recipe) for field in fields(kind)
                                  if field.type is float])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_as_an_option(monkeypatch, tmp_path, capsys, name, value):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("train").app(
            [*COMMAND, f"--{name.replace('_', '-')}={value}", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2 and not (tmp_path / "out").exists()
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {name} must be ") and errors.endswith(f", not {value}\n")


def test_schedules(monkeypatch):
    """What is frozen when, how sharp the gradient is, and the learning rate."""
    training = Training(CONFIG, replace(RECIPE, epochs=20))
    shifted, lr = [], []
    monkeypatch.setattr("qsnn.model.augment.shift_images", lambda x, limit, generator, image: (
        shifted.append(training.done), x)[1])
    for epoch in training.epochs(*task()):
        layer = training.net.hidden[0]
        done = epoch.number - 1
        assert layer.log_step_frozen == (done >= 8)
        assert layer.norm.training == (done < 15)
        assert layer.synapses.sharpness.item() == pytest.approx(0.1 * 100 ** (done / 19))
        lr.append(training.optimizer.param_groups[0]["lr"])
    assert sorted(set(shifted)) == list(range(16))
    assert lr[0] == pytest.approx(2e-2 * 7 / 200, rel=1e-2)  # 7 steps of 200
    assert lr[-1] < 2e-2 * 1e-3


def motions(count, seed=0):
    """Windows of 60 samples of four sensors, which swing at one of four speeds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    angle = 2 * np.pi / 60 * np.array([2, 4, 7, 11])[labels][:, None, None] * np.arange(60)[:, None]
    swing = 60 * rng.uniform(0.5, 1.5, (count, 1, 4))
    values = swing * np.sin(angle + rng.uniform(0, 2 * np.pi, (count, 1, 4)))
    values += rng.normal(128, 8, values.shape)
    return np.clip(values, 0, 255).astype(np.uint8).reshape(count, -1), labels


MOTIONS = Config(inputs=240, image=(1, 60, 4), classes=4, membrane_bits=2,
                 hidden=("c8k1x5s1x2", "p1x2", "c16k1x5", "p1x2", "fc32"))
FEW = Recipe(epochs=60, batch_size=16, warmup=12, shift=0)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("at_once", [512, 15])
def test_norms_of_all_samples(whole, at_once, monkeypatch):
    """Means and variances of the sums of all samples, of each layer behind those before it."""
    monkeypatch.setattr("qsnn.model.training.WHOLE", at_once)  # 15: the last part has one
    pixels, labels = motions(31)
    training = Training(MOTIONS, replace(FEW, epochs=4, whole_norms=whole))
    for epoch in training.epochs(pixels, labels):
        assert training.net.hidden[0].norm.training == (epoch.number < 4)
    found = []
    for layer in training.net.hidden:
        layer.run = lambda *args, layer=layer, run=layer.run: (found.append(
            (layer.norm, args[0].double().movedim(1, -1).flatten(0, -2))), run(*args))[1]
    with torch.no_grad():
        training.net.eval()(torch.tensor(pixels[:31 - (at_once == 15)]).float())
    near = [torch.allclose(norm.running_mean.double(), sums.mean(0), rtol=1e-3, atol=1e-2)
            and torch.allclose(norm.running_var.double(), sums.var(0), rtol=0.08, atol=1e-2)
            for norm, sums in found]
    assert near == [whole] * 3 and found[0][0].momentum == 0.1


def test_small_sets_keep_what_they_have_learned():
    """Of 32 windows, two steps an epoch: what the integers give, on these and on others."""
    seen, others, right = motions(32), motions(200, seed=1), {}
    for whole in (False, True):
        for seed in range(3):
            training = Training(MOTIONS, replace(FEW, whole_norms=whole, seed=seed))
            list(training.epochs(*seen))
            net = fold(training.net.double().eval())
            right.setdefault(whole, []).append([
                (golden.infer(net, x).labels == y).mean() for x, y in (seen, others)])
    running, whole = (np.mean(right[way], axis=0) for way in (False, True))
    assert whole[0] > 0.95 and (whole > running + 0.05).all(), right


def test_shift_images():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(500, 25) + 1
    moved = shift_images(images, 2, rng).view(-1, 5, 5)
    seen = set()
    for image, result in zip(images.view(-1, 5, 5), moved, strict=True):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        offsets = [(y, x) for y in range(5) for x in range(5)
                   if torch.equal(padded[y:y + 5, x:x + 5], result)]
        assert len(offsets) == 1
        seen |= set(offsets)
    assert len(seen) == 25
    assert torch.equal(shift_images(images, 0, rng), images)


IMAGE = (4, 6, 3)  # height, width and channels: nothing is square


def maps(count):
    return torch.rand(count, 72, generator=torch.Generator().manual_seed(1)) + 1


@pytest.mark.parametrize("image", [(1, 9, 1), (9, 1, 1)])
def test_a_strip_is_moved_along_itself(image):
    strip = torch.arange(1.0, 10).repeat(50, 1)
    moved = shift_images(strip, 1, torch.Generator().manual_seed(0), image)
    assert {tuple(row[:3].tolist()) for row in moved} == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}


def test_shifted_maps():
    """All channels of an image move together; the sides may differ."""
    rng = torch.Generator().manual_seed(0)
    images, seen = maps(300), set()
    for image, result in zip(images.view(-1, *IMAGE), shift_images(images, 1, rng, IMAGE).view(
            -1, *IMAGE), strict=True):
        padded = torch.nn.functional.pad(image, (0, 0, 1, 1, 1, 1))
        found = [(y, x) for y in range(3) for x in range(3)
                 if torch.equal(padded[y:y + 4, x:x + 6], result)]
        assert len(found) == 1
        seen |= set(found)
    assert len(seen) == 9


def test_flipped_maps():
    images = maps(400)
    flipped = flip_images(images, torch.Generator().manual_seed(0), IMAGE)
    mirrored = images.view(-1, *IMAGE).flip(2).reshape(400, -1)
    chosen = (flipped == mirrored).all(1)
    assert torch.equal(flipped[~chosen], images[~chosen])
    assert 160 < chosen.sum() < 240


@pytest.mark.parametrize("side", [1, 2, 3])
def test_erased_squares(side):
    """One square in all channels, whole or cut by the edge; its centre may be any pixel."""
    images, areas = maps(500), set()
    erased = erase_squares(images, side, torch.Generator().manual_seed(0), IMAGE)
    for image, result in zip(images.view(-1, *IMAGE), erased.view(-1, *IMAGE), strict=True):
        gone = (result == 0).all(2)
        assert torch.equal(result[~gone], image[~gone])
        rows, columns = torch.nonzero(gone).T
        height, width = (int(axis.max() - axis.min()) + 1 for axis in (rows, columns))
        assert gone.sum() == height * width and max(height, width) <= side
        areas.add((height, width))
    assert (side, side) in areas and len(areas) == (1 if side == 1 else 4)


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_mixed_images(part):
    """One rectangle of one other image, and a label has what the pixels have."""
    count = 400
    images = torch.arange(1.0, count + 1)[:, None].expand(count, 72)
    own = torch.eye(count)
    mixed, shares = mix_images(images, own, part, torch.Generator().manual_seed(0), IMAGE)
    changed, sides = 0, set()
    for index, (image, share) in enumerate(zip(mixed.view(-1, *IMAGE), shares, strict=True)):
        assert (image == image[:, :, :1]).all()
        foreign = image[:, :, 0] != index + 1
        rows, columns = torch.nonzero(foreign).T
        expected = own[index]
        if len(rows):
            (other,) = set(image[:, :, 0][foreign].tolist())
            part_of_it = foreign.float().mean()
            expected = expected * (1 - part_of_it) + own[int(other) - 1] * part_of_it
            sides.add(tuple(int(axis.max() - axis.min()) + 1 for axis in (rows, columns)))
            assert len(rows) == math.prod(int(axis.max() - axis.min()) + 1
                                          for axis in (rows, columns))
            changed += 1
        assert torch.allclose(share, expected)
    assert changed == 0 if part == 0 else 0.5 * part < changed / count <= part + 0.08
    assert part == 0 or {(1, 1), (3, 5), (1, 3)} <= sides


def test_what_is_mixed_trains(tmp_path):
    """With a teacher and without one, with one score for two classes, to the integers."""
    pixels, labels = halves()
    for classes in (1, 2):
        config = Config(inputs=64, hidden=("c4k3", "fc16"), classes=classes, image=(8, 8, 1))
        recipe = Recipe(epochs=12, batch_size=32, lr=1e-2, shift=0, mix=0.5, plain=0.5)
        training = Training(config, recipe)
        *_, last = training.epochs(pixels, labels)
        assert last.accuracy > 0.9
        training.save(tmp_path / CHECKPOINT)
        taught = Training.start(config, replace(recipe, teacher=str(tmp_path), seed=1),
                                tmp_path / "none", "cpu")
        *_, last = taught.epochs(pixels, labels)
        assert last.accuracy > 0.9


def test_fast_products_are_exact_forward():
    """Weights, spikes and pixels have 8 significant bits at most; what was set is set again."""
    torch.manual_seed(0)
    setting = torch.backends.mkldnn.conv
    before = setting.fp32_precision
    x = torch.randint(0, 256, (4, 16, 9, 9)).float().contiguous(memory_format=torch.channels_last)
    weight = torch.where(torch.randn(32, 16, 3, 3) > 0, 1.0, -1.0)
    exact = torch.nn.functional.conv2d(x.double(), weight.double(), padding=1)
    with fast_products(True):
        assert setting.fp32_precision == "bf16"
        found = torch.nn.functional.conv2d(x, weight, padding=1)
    assert torch.equal(found.double(), exact)
    assert setting.fp32_precision == before
    with fast_products(False):
        assert setting.fp32_precision == before


def halves():
    """Images of 8 x 8, and which half of each is brighter."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, size=(512, 8, 8))
    labels = rng.integers(0, 2, size=512)
    images[np.arange(512), :, :4] += 150 * (1 - labels)[:, None, None]
    images[np.arange(512), :, 4:] += 150 * labels[:, None, None]
    return images.reshape(512, -1), labels


MAPS = Config(inputs=64, image=(8, 8, 1), hidden=("c8k3", "p2", "c8k3", "c8k3+0", "fc8"), classes=2,
              time_steps=2)
BRIGHT = Recipe(epochs=8, batch_size=32, lr=1e-2, shift=0, erase=1)


def test_maps_learn():
    """Convolutions and a pool find the brighter half."""
    *_, last = Training(MAPS, BRIGHT).epochs(*halves())
    assert last.accuracy > 0.95


# the compiler of PyTorch warns of what PyTorch does
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled():
    """Neurons of maps and of a row, compiled, learn as those that are not."""
    config = replace(MAPS, hidden=("c4k3", "p2", "fc4"))  # each layer takes seconds to compile
    torch._dynamo.reset()
    compiled = torch._dynamo.utils.counters["stats"]
    compiled.clear()
    losses = []
    for on in (False, True):
        assert not compiled["unique_graphs"]
        epoch, = Training(config, replace(BRIGHT, epochs=1, compiled=on)).epochs(*halves())
        losses.append(epoch.loss)
    assert compiled["unique_graphs"] >= 2
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize("name", NAMED)
def test_a_step_of_the_networks_of_the_paper(name):
    """Too large to train here; a step moves all their weights, and they become integers."""
    config = Config(inputs=3072, image=(32, 32, 3), hidden=NAMED[name].split("-"), last_bits=8,
                    time_steps=1)
    training = Training(config, Recipe(dataset="cifar-10", epochs=1, batch_size=2, shift=4,
                                       flip=True))
    before = [parameter.clone() for parameter in training.net.parameters()]
    rng = np.random.default_rng(0)
    epoch, = training.epochs(rng.integers(0, 256, size=(4, 3072)), rng.integers(0, 10, size=4))
    assert np.isfinite(epoch.loss)
    moved = [not torch.equal(a, b) for a, b in zip(before, training.net.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    description = fold(training.net.double().eval())
    assert (description.classes, description.readout.weight_bits) == (10, 8)
    assert description.shape.startswith("32x32x3-c")


# The whole experiment and its command, on the digits that are in the repository

DIGITS = Config(inputs=64, hidden=(16,), input_bits=4)
SHORT = Recipe(dataset="digits", epochs=4, batch_size=128, validation=100)


def test_experiment(tmp_path):
    reported = []
    result = experiment.run(DIGITS, SHORT, tmp_path / "a", report=reported.append)
    assert [epoch.number for epoch in reported] == [1, 2, 3, 4]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "checkpoint.safetensors", "network.qsnn", "network.safetensors", "result.json", "log.csv",
        "curve.png"}
    assert json.loads((tmp_path / "a/result.json").read_text()) == json.loads(json.dumps(result))

    description = load(tmp_path / "a/network.qsnn")
    images, labels = data.load("digits", "test")
    train_images, train_labels = data.load("digits", "train")
    for name, x, y in (("test", images, labels),
                       ("validation", train_images[-100:], train_labels[-100:])):
        found = golden.infer(description, x >> 4)
        correct = int((found.labels == y).sum())
        assert result[name] == {"images": len(y), "correct": correct,
                                "accuracy": round(100 * correct / len(y), 4),
                                "rates": [round(rate, 4) for rate in found.rates]}
    assert result["equality"] == {"images": 360, "spikes": (0,), "membranes": (0,), "sums": 0,
                                  "equal": True}
    assert compare(load_net(tmp_path / "a/network.safetensors"), description, images >> 4).equal
    assert (result["shape"], result["sha256"]) == ("64-16-10", description.hash)

    # the images held out were not trained on
    training = Training(DIGITS, SHORT)
    assert list(training.epochs(train_images[:-100] >> 4, train_labels[:-100])) == reported
    assert_same(training, Training.load(tmp_path / "a/checkpoint.safetensors"))


def test_experiment_with_maps(tmp_path):
    config = Config(inputs=64, image=(8, 8, 1), hidden=("c6k3w2", "p2", "r6", "fc12"),
                    time_steps=2, last_bits=4)
    result = experiment.run(config, replace(SHORT, flip=True), tmp_path)
    assert result["command"] == (
        "qsnn train --dataset digits --arch c6k3w2-p2-r6-fc12 --bits 2 --epochs 4 "
        "--seed 0 --time-steps 2 --validation 100 --batch-size 128 --warmup 200 --shift 1 "
        "--last-bits 4 --flip --running-norms")
    assert result["shape"] == "8x8x1-c6k3w2-p2-c6k3-c6k3+0-fc12-10"
    assert result["equality"]["equal"]
    assert fold(load_net(tmp_path / "network.safetensors")).hash == result["sha256"]


def test_experiment_gives_the_same_bytes(tmp_path):
    for name in "ab":
        experiment.run(DIGITS, SHORT, tmp_path / name)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert str(ROOT).encode() not in path.read_bytes()


def test_float_membranes_are_measured_with_torch(tmp_path):
    result = experiment.run(replace(DIGITS, membrane_bits=0), SHORT, tmp_path)
    assert not (tmp_path / "network.qsnn").exists()
    net = Training.load(tmp_path / "checkpoint.safetensors").net.eval().double()
    images, labels = data.load("digits", "test")
    with torch.no_grad():
        found = net(torch.tensor(images >> 4, dtype=torch.float64))[0].mean(0).argmax(1).numpy()
    assert result["test"]["correct"] == int((found == labels).sum())


COMMAND = ["--dataset", "digits", "--hidden", "16", "--batch-size", "128", "--input-bits", "4"]


def test_commands_before(tmp_path):
    """A network that began with another one says how that was trained, and so on."""
    commands = []
    for index, before in enumerate([None, 0, 1]):
        start = "" if before is None else str(tmp_path / str(before))
        recipe = replace(SHORT, epochs=1, start=start)
        result = experiment.run(DIGITS, recipe, tmp_path / str(index))
        assert result.get("commands_before", []) == commands
        assert (f"--start {start}" in result["command"]) == bool(start)
        commands.append(result["command"])
    (tmp_path / "2" / RESULT).write_text("{")
    result = experiment.run(DIGITS, replace(SHORT, epochs=1, start=str(tmp_path / "2")),
                            tmp_path / "3")
    assert result["commands_before"] == ["unknown"]


def test_other_samples_are_not_trained_on(tmp_path):
    """A training that continues has the samples that it began with."""
    pixels, labels = halves()
    config = Config(inputs=64, hidden=(16,), classes=2)
    recipe = Recipe(epochs=3, batch_size=32)
    training = Training(config, recipe)
    next(training.epochs(pixels, labels))
    training.save(tmp_path / CHECKPOINT)
    for changed in ((pixels[::-1], labels), (pixels, 1 - labels)):
        with pytest.raises(TrainingError, match="not those that this training began with"):
            next(Training.load(tmp_path / CHECKPOINT).epochs(*changed))
    assert next(Training.load(tmp_path / CHECKPOINT).epochs(pixels, labels)).number == 2


def test_interrupted_before_an_epoch(tmp_path):
    """What is not there is not promised."""
    command = [sys.executable, ROOT / "scripts/train.py", "--dataset", "digits", "--hidden",
               "2048,2048", "--time-steps", "64", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, preexec_fn=lambda: signal.signal(
                              signal.SIGINT, signal.default_int_handler)) as process:
        assert "epochs, batches of" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors == "stopped before the first epoch was whole; the same command begins anew\n"


def test_interrupted_command(tmp_path):
    """Ctrl-C, the same command again, and the files are those of a training in one go."""
    arguments = [*COMMAND, "--epochs", "60", "--validation", "100"]
    command = [sys.executable, ROOT / "scripts/train.py", *arguments, "--out", "out"]
    # a shell's background job ignores Ctrl-C, and so would what it starts
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, preexec_fn=lambda: signal.signal(
                              signal.SIGINT, signal.default_int_handler)) as process:
        assert process.stdout.readline().startswith("60 epochs, batches of 128, 60 steps of warm-")
        assert process.stdout.readline().startswith("epoch 1: loss ")
        assert process.stdout.readline().startswith("epoch 2: loss ")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors == "stopped; the same command continues after the last whole epoch\n"
    assert not (tmp_path / "out/result.json").exists()
    stopped = Training.load(tmp_path / "out/checkpoint.safetensors").done
    assert 2 <= stopped < 60

    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (again.returncode, again.stderr) == (0, "")
    lines = again.stdout.splitlines()
    assert lines[1].startswith(f"epoch {stopped + 1}: loss ")
    assert "torch and integers on 360 test images: 0 spikes, 0 membranes and 0 sums differ" in lines

    recipe = replace(SHORT, epochs=60, warmup=60, whole_norms=True)
    experiment.run(DIGITS, recipe, tmp_path / "whole")
    assert digests(tmp_path / "whole") == digests(tmp_path / "out")
    result = json.loads((tmp_path / "whole/result.json").read_text())
    assert result["command"] == (
        "qsnn train --dataset digits --hidden 16 --bits 2 --epochs 60 --seed 0 "
        "--input-bits 4 --validation 100 --batch-size 128 --warmup 60 --shift 1")
    assert result["test"]["accuracy"] > 70


def test_every_option_is_in_the_command():
    config = Config(hidden=(3, 4), membrane_bits=5, time_steps=2, input_bits=3, signed=True,
                    standardize=False, rate_weight=0.5)
    recipe = Recipe(dataset="fashion-mnist", validation=7, epochs=9, batch_size=11, lr=0.25,
                    shift=2, seed=13)
    assert experiment.command(config, recipe) == (
        "qsnn train --dataset fashion-mnist --hidden 3,4 --bits 5 --epochs 9 "
        "--seed 13 --time-steps 2 --input-bits 3 --rate-weight 0.5 --validation 7 --batch-size 11 "
        "--lr 0.25 --shift 2 --signed --no-standardize")


def test_options_reach_the_training(tmp_path):
    """The command that a result names gives that result's configuration."""
    config = Config(inputs=64, hidden=(3, 4), membrane_bits=5, time_steps=2, input_bits=3,
                    signed=True, standardize=False, rate_weight=0.5)
    recipe = Recipe(dataset="digits", validation=7, epochs=1, batch_size=11, lr=0.25, shift=2,
                    seed=13)
    words = experiment.command(config, recipe).split()
    done = subprocess.run([sys.executable, "-m", "qsnn.scripts.cli", *words[1:]], cwd=tmp_path,
                          capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads((tmp_path / "runs/digits-3-4-b5/result.json").read_text())
    assert Config(**result["config"]) == config
    assert Recipe(**result["recipe"]) == recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    experiment.run(DIGITS, replace(SHORT, validation=0), out)
    return out


@pytest.mark.parametrize("arguments, sentence", [
    (["--dataset", "cifar"], "error: no data set 'cifar' with a split 'train': there are mnist, "),
    (["--arch", "c4k3", "--hidden", "8"],
     "error: --arch takes the place of --hidden: give one of them"),
    (["--hidden", "8.8"], "error: --hidden takes widths such as 256,256, not '8.8'"),
    (["--hidden", "0"], "error: layer 0 (0): 1 to 65536 neurons or channels, not 0"),
    (["--epochs", "0"], "error: epochs must be 1 to 100000000, not 0"),
    (["--rate-weight", "-1"], "error: rate_weight must be 0 to 1000, not -1.0"),
    (["--batch-size", "2000"], "error: a batch of 2000 images, but only 1437 to train on: choose a"
                               " smaller --batch-size"),
    (["--validation", "1437"], "error: only 1437 images to train on, 1437 of them cannot be held "
                               "out: choose a smaller --validation"),
    (["--data-dir", "none"], "error: none: no such folder; name the one that holds the data"),
    (["--out", "FINISHED", "--epochs", "5"], "error: FINISHED holds a training with epochs 4, not "
                                             "5: choose another --out or delete it"),
    (["--out", "/dev/null/a"], "error: /dev/null/a: Not a directory; choose another --out"),
])
def test_refused(tmp_path, finished, monkeypatch, capsys, arguments,
                 sentence):
    """One line, exit code 2; in this process, a new one takes seconds."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script's own is undone
    monkeypatch.syspath_prepend(ROOT / "scripts")
    main = importlib.import_module("train").app
    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("FINISHED", str(finished)) for word in arguments]
    with pytest.raises(SystemExit) as stop:
        main(COMMAND + arguments)
    output, errors = capsys.readouterr()
    assert stop.value.code == 2
    assert errors.startswith(sentence.replace("FINISHED", str(finished)))
    assert errors.count("\n") == 1
