"""One experiment: train, and have the integers measured, see :mod:`qsnn.model.measure`."""

import hashlib
import json
import platform
import shlex
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from qsnn.model import data
from qsnn.model.config import NET, NETWORK, RESULT, TrainingError
from qsnn.model.files import alone, write_whole
from qsnn.model.log import Log
from qsnn.model.training import CHECKPOINT, Training
from qsnn.model.weights import save_net

__all__ = ["run"]


MAX_LIMIT = 10 ** 9  # s
CHECKPOINT_SHARE = 0.05  # of the time may go into checkpoints
QUICK = 0.5  # seconds; a checkpoint that takes less is written after each epoch


def run(config, recipe, out, data_dir=None, report=lambda epoch: None, device="cpu",
        limit=None, measured=True, found=None, tensorboard=False):
    """Train into the folder ``out``, continuing what is there, and return the result.

    report    gets every :class:`~qsnn.model.training.Epoch`
    limit     seconds; there are as many epochs as fit into them, at most those of the recipe
    measured  whether the integers are measured. If not, the test images are not read, and
              :func:`qsnn.model.measure.finish` measures, on this machine or on another one
    found     what :func:`qsnn.model.data.find` gave for the data set of the recipe, if it is known
    tensorboard  whether it gets a log, beside :mod:`qsnn.model.log`

    The test images are used once, at the end. Raises :class:`~qsnn.model.data.DataError` and
    :class:`~qsnn.model.training.TrainingError`.
    """
    # everything that can be refused is, before hours of training
    if limit is not None and not 0 < limit < MAX_LIMIT:
        raise TrainingError(f"a limit of {limit} seconds: choose one above 0 and below {MAX_LIMIT}")
    found = found or data.find(recipe.dataset, data_dir, recipe.reading)
    _check_set(config, found)
    _check_way(config, recipe, found)
    images, labels = found.load("train")
    test = found.load("test") if measured else None
    if recipe.lean and len(recipe.offsets) != config.classes:
        raise TrainingError(f"lean has {len(recipe.offsets)} numbers, and there are "
                            f"{config.classes} classes: give one to each")
    if recipe.validation >= len(images):
        raise TrainingError(f"only {len(images)} images to train on, {recipe.validation} of them "
                            "cannot be held out: choose a smaller --validation")
    out = Path(out)
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with alone(out, TrainingError(f"another training writes into {out}: wait for it, or choose "
                                      "another --out")):
            training = Training.start(config, recipe, out / CHECKPOINT, device)
            log = Log(out, training.done, tensorboard)

            def seen(epoch):
                log(epoch)
                report(epoch)
            return _run(training, out, found, images, labels, test, seen, limit)
    except json.JSONDecodeError:
        raise TrainingError(f"{out / RESULT} is damaged: delete it") from None
    except OSError as error:
        raise TrainingError(f"{out}: {error.strerror}; choose another --out") from None
    finally:
        if new:
            with suppress(OSError):  # there is something in it
                out.rmdir()


def _run(training, out, found, images, labels, test, report, limit):
    """What :func:`run` does once nothing is to be refused; ``test`` is None: not measured."""
    config, recipe, device = training.config, training.recipe, training.device
    before = _commands_before(recipe)
    if test is None and training.done == training.total and (out / RESULT).exists():
        return json.loads((out / RESULT).read_text())  # what is known stays known
    kept = len(images) - recipe.validation
    pixels = data.input_values(config, images)
    _train(training, pixels[:kept], labels[:kept], out, report, limit)
    done = replace(recipe, epochs=training.done)
    result = before | {"command": command(config, done, device), "config": config.asdict(),
                       "recipe": asdict(done), "versions": versions()}
    if limit is not None:
        result["time_limit"] = limit  # the schedules followed the clock: not to be repeated
    for name in (RESULT, NETWORK, NET):  # of another training, which was here before
        (out / name).unlink(missing_ok=True)
    # in float64 torch and the integers agree to the last spike
    net = training.net.run_on("cpu").double().eval()
    if recipe.lean:
        from qsnn.model.export import lean
        lean(net, recipe.offsets)
    if config.has_integers:
        save_net(net, out / NET)
        if test is None:  # what is measured elsewhere shall be this network
            result["net_sha256"] = hashlib.sha256((out / NET).read_bytes()).hexdigest()
    if test is not None:
        # not before: a machine that only trains need not have what descriptions are read with
        from qsnn.model.measure import measure
        result |= measure(net, {"validation": (images[kept:], labels[kept:]),
                                "test": test}, out, found)
    write_whole(out / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    return result


def _train(training, pixels, labels, out, report, limit):
    """Run the epochs; checkpoints of large networks do not take more than some of the time."""
    spent, last = 0.0, time.monotonic()
    for epoch in training.epochs(pixels, labels, limit):
        now = time.monotonic()
        if (spent < QUICK or now - last > spent / CHECKPOINT_SHARE
                or training.done == training.total):
            training.save(out / CHECKPOINT)
            last = time.monotonic()
            spent = last - now
        report(epoch)


def _check_set(config, found):
    """Whether the network takes what the data set gives."""
    if config.stream != found.stream:
        kinds = ("images", "streams of spikes")
        raise TrainingError(f"{found.name} has {kinds[found.stream]}, the network takes "
                            f"{kinds[config.stream]}")
    if config.stream:
        has = *found.shape, len(found.classes)
        takes = config.time_steps, config.inputs, config.labels
        if has != takes:
            raise TrainingError("{} has {} steps of {} inputs and {} classes, the network {}, {} "
                                "and {}".format(found.name, *has, *takes))
    elif found.inputs != config.inputs:
        raise TrainingError(f"images of {found.name} have {found.inputs} pixels, the network "
                            f"{config.inputs} inputs")
    elif len(found.classes) > config.labels:
        raise TrainingError(f"{found.name} has {len(found.classes)} classes, the network "
                            f"{config.labels}")


def _check_way(config, recipe, found):
    """Whether samples of an own set can be changed as the recipe says."""
    changes = [name for name in ("shift", "warp", "flip", "erase", "mix") if getattr(recipe, name)]
    if config.stream:
        changes = [name for name in changes if name != "shift"]
    if changes and not found.image:
        raise TrainingError(f"{found.name} has {'streams' if config.stream else 'rows'}, and "
                            f"{changes[0]} changes images: leave out --{changes[0]}")
    if recipe.drop and not config.stream:
        raise TrainingError(f"drop leaves out spikes, and {found.name} has none: leave out --drop")


def _commands_before(recipe):
    """The commands of the trainings that this one needs, if they are known, first to last."""
    before = []
    for folder in filter(None, (recipe.teacher, recipe.start)):
        try:
            other = json.loads((Path(folder) / RESULT).read_text())
            before += [*other.get("commands_before", []), other["command"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            before.append("unknown")
    return {"commands_before": before} if before else {}


def command(config, recipe, device="cpu"):
    """The command that trains this network, with the options that are not the default."""
    words = ["qsnn train", f"--dataset {shlex.quote(recipe.dataset)}",
             f"--arch {'-'.join(map(str, config.hidden))}" if config.image or config.stream else
             f"--hidden {','.join(map(str, config.hidden))}", f"--bits {config.membrane_bits}",
             f"--epochs {recipe.epochs}", f"--seed {recipe.seed}"]
    options = {"time_steps": config, "input_bits": config, "rate_weight": config,
               "validation": recipe, "batch_size": recipe, "lr": recipe, "warmup": recipe,
               "shift": recipe,
               "warp": recipe, "smoothing": recipe, "erase": recipe, "mix": recipe,
               "last_bits": config, "balance": recipe, "draws": recipe, "leak": config,
               "reset": config, "current": config,
               "drop": recipe, "plain": recipe, "teacher": recipe, "start": recipe, "like": recipe,
               "lean": recipe}
    given = {"time_steps", "input_bits"} if config.stream else set()  # by the data set
    small = data.follows_size(recipe.dataset)
    follow = {"batch_size", "warmup", "shift"} if small else set()
    for name, where in options.items():
        value = getattr(where, name)
        if (value != getattr(type(where), name) or name in follow) and name not in given:
            words.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    flags = {"flip": recipe.flip, "compiled": recipe.compiled, "signed": config.signed,
             "one-output": config.classes == 1,
             "whole-norms": recipe.whole_norms and not small,
             "running-norms": small and not recipe.whole_norms,
             "no-standardize": not config.standardize, "rectified": config.rectified,
             "device cuda": device != "cpu"}
    words += [f"--{name}" for name, on in flags.items() if on]
    words += recipe.reading.words
    return " ".join(words)


def versions():
    return {"python": platform.python_version(), "numpy": np.__version__,
            "torch": torch.__version__}
