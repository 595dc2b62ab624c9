"""A trained network becomes integers; these are measured, and compared with torch."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from qsnn.model import data
from qsnn.model.config import NET, NETWORK, RESULT, Config, Recipe, TrainingError
from qsnn.model.description import save as save_description
from qsnn.model.equality import compare
from qsnn.model.export import fold
from qsnn.model.files import write_whole
from qsnn.model.inference import infer
from qsnn.model.log import draw_curve
from qsnn.model.qsnn import paired
from qsnn.model.weights import load_net

__all__ = ["by_class", "finish", "measure", "work"]

# products of float64, half an hour of one core: of networks that are larger than a chip, torch is
# compared on so many of the first test images as this allows, and the result says on how many
MAX_COMPARED = 22 * 10 ** 11


def finish(out, data_dir=None):
    """Measure the network that :func:`qsnn.model.experiment.run` left in the folder ``out`` without
    being ``measured``, and return its result."""
    out = Path(out)
    try:
        result = json.loads((out / RESULT).read_text())
        recipe = Recipe(**result["recipe"])
        if not Config(**result["config"]).has_integers:
            raise TrainingError(f"{out} has a network without integers: a teacher, or for ablation")
        if result.pop("net_sha256") != hashlib.sha256((out / NET).read_bytes()).hexdigest():
            raise TrainingError(f"{out / NET} is not the network that {out / RESULT} is about")
        net = load_net(out / NET)
        if replace(Config(**result["config"]), standardize=False) != net.config:
            raise ValueError("another network")
    except OSError as error:
        raise TrainingError(f"{error.filename}: {error.strerror}; name the folder of a "
                            "training") from None
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError):
        raise TrainingError(f"{out} does not hold what qsnn train --no-measure leaves: name the "
                            "folder of such a training") from None
    found = data.find(recipe.dataset, data_dir, recipe.reading)
    images, labels = found.load("train")
    kept = len(images) - recipe.validation
    if kept < 1:
        raise TrainingError(f"{out / RESULT} holds out {recipe.validation} of {len(images)} images")
    sets = {"validation": (images[kept:], labels[kept:]),
            "test": found.load("test")}
    result |= measure(net, sets, out, found)
    write_whole(out / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    return result


def measure(net, sets, out, dataset):
    """Fold a trained network, write it to ``out``, and measure its integers on images and labels.
    The curve of its training is drawn there too.

    net      on the CPU, in ``eval()`` and ``float64``. A network for ablation alone has no
             integers: torch is measured instead
    dataset  a :class:`qsnn.model.data.Dataset`. What it means goes into the description; streams
             and own sets are measured by class too
    """
    draw_curve(Path(out), f"{dataset.name}: {'-'.join(map(str, net.config.hidden))}")
    if not net.config.has_integers:
        return {name: _accuracy(_float_labels(net, images), labels)
                for name, (images, labels) in sets.items() if len(labels)}
    description = replace(fold(net), meaning=dataset.meaning)
    save_description(description, out / NETWORK)
    result = {"shape": description.shape, "sha256": description.hash}
    for name, (images, labels) in sets.items():
        if len(labels):
            found = infer(description, data.input_values(description, images))
            result[name] = _accuracy(found.labels, labels) | {
                "rates": [round(rate, 4) for rate in found.rates]}
            if dataset.stream or dataset.meaning:
                result[name] |= by_class(found.labels, labels, dataset.classes)
    some = max(1, MAX_COMPARED // work(description))
    pixels = data.input_values(description, sets["test"][0][:some])
    comparison = compare(net, description, pixels)
    result["equality"] = asdict(comparison) | {"equal": comparison.equal}
    return result


def work(description):
    """Products of weights and inputs that an image takes, or a step of a stream."""
    return max(1, description.time_steps) * sum(
        layer.n_out * layer.weights[0].size for layer in description.hidden)


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
def _float_labels(net, images):
    pixels = torch.tensor(data.input_values(net.config, images), dtype=torch.float64)
    return torch.cat([paired(net(batch)[0].mean(0)).argmax(1)
                      for batch in pixels.split(1000)]).numpy()
