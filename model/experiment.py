"""One experiment: train, fold into integers, measure the integers, compare them with torch."""

import json
import platform
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from qsnn.model import data
from qsnn.model.alike import difference, steps_of
from qsnn.model.config import RESULT, TrainingError
from qsnn.model.description import save as save_description
from qsnn.model.equality import compare, save_net
from qsnn.model.export import fold
from qsnn.model.files import write_whole
from qsnn.model.inference import infer
from qsnn.model.qsnn import QSNN
from qsnn.model.recordings import TASKS
from qsnn.model.training import CHECKPOINT, Training

__all__ = ["RESULT", "pinned", "run"]


def run(config, recipe, out, data_dir=None, report=lambda epoch: None, device="cpu"):
    """Train into the folder ``out``, continuing what is there, and return the result.

    ``report`` gets every :class:`~qsnn.model.training.Epoch`. The test images are used once, at the
    end. Raises :class:`~qsnn.model.data.DataError` and :class:`~qsnn.model.training.TrainingError`.
    """
    # everything that can be refused is, before hours of training
    images, labels = data.load(recipe.dataset, "train", data_dir)
    test = data.load(recipe.dataset, "test", data_dir)
    _check_stream(config, recipe)
    if not config.stream and images.shape[1] != config.inputs:
        raise TrainingError(f"images of {recipe.dataset} have {images.shape[1]} pixels, the "
                            f"network {config.inputs} inputs")
    if recipe.validation >= len(images):
        raise TrainingError(f"only {len(images)} images to train on, {recipe.validation} of them "
                            "cannot be held out: choose a smaller --validation")
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        training = Training.start(config, recipe, out / CHECKPOINT, device)
        before = _commands_before(recipe)
        kept = len(images) - recipe.validation
        pixels = data.input_values(recipe.dataset, images, config.input_bits)
        for epoch in training.epochs(pixels[:kept], labels[:kept]):
            training.save(out / CHECKPOINT)
            report(epoch)
        result = before | {"command": command(config, recipe), "config": config.asdict(),
                  "recipe": asdict(recipe), "versions": versions()}
        result |= measure(training.net.cpu(), {"validation": (images[kept:], labels[kept:]),
                                         "test": test}, out, recipe.dataset)
        write_whole(out / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    except OSError as error:
        raise TrainingError(f"{out}: {error.strerror}; choose another --out") from None
    return result


def pinned(config, description, name):
    """The :class:`~qsnn.model.config.Config` of a training whose network fits the circuit of this.

    Raises :class:`~qsnn.model.config.TrainingError` where nothing but weights would not do.
    """
    steps = steps_of(description)
    if None in steps:
        raise TrainingError(f"{name}: layer {steps.index(None)} has units that training does not "
                            "make; choose another --like")
    if len(steps) == len(config.layers):  # else the shape is what differs
        config = replace(config, steps=steps)
    with torch.random.fork_rng(devices=[]):
        found = difference(fold(QSNN(config).eval()), description)
    if found:
        raise TrainingError(f"this training would not fit the circuit of {name}: {found}; train "
                            "what it has, or leave out --like")
    return config


def _check_stream(config, recipe):
    """Whether the network takes what the data set gives, as far as streams are concerned."""
    task = TASKS.get(recipe.dataset)
    if config.stream != (task is not None):
        kinds = ("images", "streams of spikes")
        raise TrainingError(f"{recipe.dataset} has {kinds[task is not None]}, the network takes "
                            f"{kinds[config.stream]}")
    if task is None:
        return
    has = task.steps, task.inputs, len(task.classes)
    takes = config.time_steps, config.inputs, config.classes
    if has != takes:
        raise TrainingError("{} has {} steps of {} inputs and {} classes, the network {}, {} "
                            "and {}".format(recipe.dataset, *has, *takes))


def _commands_before(recipe):
    """The commands of the trainings that this one began with, if they are known, first to last."""
    if not recipe.start:
        return {}
    try:
        other = json.loads((Path(recipe.start) / RESULT).read_text())
        return {"commands_before": [*other.get("commands_before", []), other["command"]]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"commands_before": ["unknown"]}


def command(config, recipe):
    """The command that trains this network, with the options that are not the default."""
    words = ["qsnn train", f"--dataset {recipe.dataset}",
             f"--arch {'-'.join(map(str, config.hidden))}" if config.image or config.stream else
             f"--hidden {','.join(map(str, config.hidden))}", f"--bits {config.membrane_bits}",
             f"--epochs {recipe.epochs}", f"--seed {recipe.seed}"]
    options = {"time_steps": config, "input_bits": config, "rate_weight": config,
               "validation": recipe, "batch_size": recipe, "lr": recipe, "shift": recipe,
               "warp": recipe, "smoothing": recipe, "erase": recipe, "last_bits": config,
               "balance": recipe, "draws": recipe,
               "drop": recipe, "start": recipe, "like": recipe}
    given = {"time_steps", "input_bits"} if config.stream else set()  # by the data set
    for name, where in options.items():
        value = getattr(where, name)
        if value != getattr(type(where), name) and name not in given:
            words.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    flags = {"flip": recipe.flip, "compiled": recipe.compiled, "signed": config.signed,
             "no-standardize": not config.standardize}
    words += [f"--{name}" for name, on in flags.items() if on]
    return " ".join(words)


def versions():
    return {"python": platform.python_version(), "numpy": np.__version__,
            "torch": torch.__version__}


def measure(net, sets, out, dataset=None):
    """Fold a trained network, write it to ``out``, and measure its integers on images and labels.

    A network for ablation alone has no integers: torch is measured instead. dataset: its name;
    streams are measured by class too.
    """
    net.compile_neurons(False)
    net = net.double().eval()  # in float64 torch and the integers agree to the last spike
    if not net.config.has_integers:
        return {name: _accuracy(_float_labels(net, images, dataset), labels)
                for name, (images, labels) in sets.items() if len(labels)}
    description = fold(net)
    save_description(description, out / "network.qsnn")
    save_net(net, out / "network.safetensors")
    result = {"shape": description.shape, "sha256": description.hash}
    for name, (images, labels) in sets.items():
        if len(labels):
            found = infer(description, data.input_values(
                dataset, images, description.input_bits))
            result[name] = _accuracy(found.labels, labels) | {
                "rates": [round(rate, 4) for rate in found.rates]}
            if dataset in TASKS:
                result[name] |= by_class(found.labels, labels, TASKS[dataset].classes)
    pixels = data.input_values(dataset, sets["test"][0], description.input_bits)
    comparison = compare(net, description, pixels)
    result["equality"] = asdict(comparison) | {"equal": comparison.equal}
    return result


def _accuracy(found, labels):
    correct = int((found == labels).sum())
    return {"images": len(labels), "correct": correct,
            "accuracy": round(100 * correct / len(labels), 4)}


def by_class(found, labels, names):
    """What a result says of each class, in percent; of a class that nothing is, 0.

    sensitivity  of the samples of a class, those that are found
    precision    of those that are found to be of a class, those that are
    f1           harmonic mean of both; macro_f1: the mean over the classes that have samples
    confusion    rows: what samples are, columns: what they are found to be
    """
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (labels, found), 1)
    hits, there = np.diag(confusion), confusion.sum(axis=1)
    named = confusion.sum(axis=0)
    f1 = 100 * 2 * hits / np.maximum(there + named, 1)

    def percent(part):
        return dict(zip(names, np.round(part, 2).tolist(), strict=True))
    return {"sensitivity": percent(100 * hits / np.maximum(there, 1)),
            "precision": percent(100 * hits / np.maximum(named, 1)), "f1": percent(f1),
            "macro_f1": round(float(f1[there > 0].mean()), 2), "confusion": confusion.tolist()}


@torch.no_grad()
def _float_labels(net, images, dataset):
    pixels = torch.tensor(data.input_values(dataset, images, net.config.input_bits),
                          dtype=torch.float64)
    return torch.cat([net(batch)[0].mean(0).argmax(1) for batch in pixels.split(1000)]).numpy()
