"""What is a membrane worth? Small networks that differ in what their neurons remember.

    python -m benchmarks.membranes             all tasks, half an hour of one core
    python -m benchmarks.membranes TASK...     some; the others stay as they are

Trains each network twice, on one thread, and measures its integers on data that it was not trained
with; that without membranes, which no hardware has, in torch. Writes docs/membranes.json, .md and
.svg after every task.
"""

import argparse
import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from qsnn.model import data
from qsnn.model.config import Config, Recipe, config_for
from qsnn.model.experiment import versions
from qsnn.model.export import fold
from qsnn.model.files import write_whole
from qsnn.model.inference import infer
from qsnn.model.measure import by_class
from qsnn.model.qsnn import integrate
from qsnn.model.recordings import HELD_OUT
from qsnn.model.recordings import TASKS as RECORDINGS
from qsnn.model.training import Training

DOCS = Path(__file__).parents[1] / "docs"
SEEDS = 2
SYMBOLS, LINES, NOISE = 4, 4, 0.1  # of a delayed match
MATCHES = 6000, 2000  # samples to train and to measure with
DELAYS = 0, 2, 4


TEXT = """# What is a membrane worth?

Small networks that differ in what their neurons remember, each trained twice, with two seeds: what
differs no more than the two is chance. Weights have 1 bit. Accuracies are lower than those of the
networks in `model/networks`, which are larger and were trained longer; what counts here are
differences.

![Percent of each network, a dot a seed](membranes.svg)

- *no membrane*: each step begins at 0, so a hidden neuron sees that step and nothing before. The
  readout still adds over all steps. No hardware has it; it is measured in torch, all else as
  integers.
- *2 bits* and more: the default neuron. Half of the membrane stays, and it is not below 0.
- *signed* (`--signed`): it may be below 0, so what was seen can also hold a neuron back.
- *15/16 stays*, *all stays* (`--leak`): it forgets slower, or not at all.
- *4 taps* (`fc64t4`): a neuron sees the inputs of the three steps before too, with weights of their
  own. *recurrent* (`fc64r`): it sees all spikes of its layer of the step before.

Remembered are the bits that hidden layers keep from one step to the next: membranes, inputs of
earlier steps, own spikes.

## A delayed match

A symbol of four, some steps of noise, a symbol again: is it the same? This cannot be done without
memory, and a readout that adds is none that helps: 50 % is a guess. 18-fc64-fc32-2, 6,000 samples
to train with and 2,000 others to measure with, both made by the program; percent of seed 0 and 1.

{match}

## Digits of a pen

32-fc64-10: the pen's eight points, one a step; the test set.

{pendigits}

## Spoken digits

96-fc64-10: 50 steps of 20 ms; the test set, 300 recordings, where one standard error is 2.6 points.

{spoken_digits}

## Heart beats

30-fc64-5: 40 steps a beat. Mean of the sensitivities of N, S and V, of the four patients of DS1
that are held out; three short epochs. The rhythm is in the inputs: their encoder has a memory of
its own.

{ecg}

## A static image

MNIST, 784-64-10. The image is the same at every step, so there is nothing to remember; a membrane
adds up what one step rounds away. T = 1 has no membrane at all: it is a binary network. The test
set, where one standard error is 0.23 points. Larger networks say the same:
[Ablation](ablation.md).

{image}

## When a spiking network earns its place

**Not with static images.** The second time step is worth 0.7 points, further ones and further bits
nothing that can be told from chance. A network with T = 1 is a binary one and has most of what
there is to have; T = 2 is the rest.

**Not where the inputs and the readout remember already.** Heart beats whose rhythm is encoded are
told apart by what occurs, hardly by its order: a membrane is worth a point at most.

**A little in other streams**, for very few bits: 1 to 5 points for pens and speech with 64 x 2 bits
and no weight more. Further bits give the default neuron nothing: it loses half of its membrane at
each step, and after two steps none of them is left. Below 0 is worth 3 points on the pen, nothing
on speech.

**Not in place of taps, where order decides.** A membrane adds earlier steps up with the weights of
the present one. Four taps, with three to four times the weights, give 23 points on the pen and 17
on speech, the best membranes 5 and 6; and with taps a membrane gives nothing more. So the networks
for streams that come along have taps.

**Where something has to be kept**, the default neuron cannot do it: it fails the delayed match even
without a delay. A signed membrane of 8 bits that loses 1/16 a step can, for a step or two; taps and
recurrent spikes do it better. Taps have it as far as they reach, and not at all beyond. With four
steps between, nothing here learned more than a trace of it. Recurrent networks learn least surely:
see the two seeds of speech, and the heart, where this training was too short for them.

What makes a network of spikes cheap is that inputs and outputs are single bits and that words
without a spike are not read ([Activity](activity.md)), with membranes or without. A membrane is a
memory that costs next to nothing and gives a little. It earns its place where inputs come in steps
and a few points count; it replaces neither taps nor recurrence, and T does not replace width.

Made with PyTorch {torch} by `python -m benchmarks.membranes`; the numbers are in
[membranes.json](membranes.json).
"""


@dataclass(frozen=True)
class Study:
    """Networks for a task, one of them the base, and how they are trained.

    config   of the base
    recipe   of all
    changes  name on the page -> what differs from the base; ``forgets``: nothing stays in a
             membrane from a step to the next one
    load     -> pixels or spikes and labels to train with, and those to measure with
    measure  labels found, and those that are true -> percent
    """

    title: str
    config: Config
    recipe: Recipe
    changes: dict
    load: object
    measure: object = field(default=lambda found, labels: 100 * float((found == labels).mean()))


MEMBRANES = {
    "no membrane": {"forgets": True},
    "2 bits": {},
    "3 bits": {"membrane_bits": 3},
    "4 bits": {"membrane_bits": 4},
    "8 bits": {"membrane_bits": 8},
    "2 bits, signed": {"signed": True},
    "8 bits, signed, 15/16 stays": {"membrane_bits": 8, "signed": True, "leak": "15/16"},
}
OTHER_MEMORY = {
    "4 taps, no membrane": {"hidden": ("fc64t4",), "forgets": True},
    "4 taps, 2 bits": {"hidden": ("fc64t4",)},
    "recurrent, 2 bits": {"hidden": ("fc64r",)},
}
MATCHED = {name: MEMBRANES[name] for name in ("no membrane", "2 bits", "2 bits, signed")} | {
    "8 bits, signed": {"membrane_bits": 8, "signed": True},
    "8 bits, signed, 15/16 stays": MEMBRANES["8 bits, signed, 15/16 stays"],
    "8 bits, signed, all stays": {"membrane_bits": 8, "signed": True, "leak": "1"},
    "4 taps, no membrane": {"hidden": ("fc64t4", "fc32"), "forgets": True},
    "recurrent, 2 bits, signed": {"hidden": ("fc64r", "fc32"), "signed": True},
}


def matches(delay):
    """A delayed match: a symbol, a delay, a symbol. Is it the same one?

    A symbol is one of 4, each with 4 lines of its own that spike with a chance of 0.9 while it is
    shown; otherwise, and all other lines, with 0.1. A line more says that the first symbol is
    shown, and one that the second is.
    """
    def load():
        return tuple(_matches(np.random.default_rng((delay, part)), count, delay)
                     for part, count in enumerate(MATCHES))
    return load


def _matches(rng, count, delay):
    labels = rng.integers(0, 2, count)
    first = rng.integers(0, SYMBOLS, count)
    second = (first + (1 - labels) * rng.integers(1, SYMBOLS, count)) % SYMBOLS
    chance = np.full((count, delay + 2, SYMBOLS, LINES), NOISE)
    chance[np.arange(count), 0, first] = chance[np.arange(count), -1, second] = 1 - NOISE
    spikes = (rng.random(chance.shape) < chance).reshape(count, delay + 2, SYMBOLS * LINES)
    shown = np.zeros((count, delay + 2, 2), bool)
    shown[:, 0, 0] = shown[:, -1, 1] = True
    samples = np.concatenate([spikes, shown], axis=2).astype(np.uint8)
    return samples.reshape(count, -1), labels


def tested(dataset):
    def load():
        return tuple(data.load(dataset, split) for split in ("train", "test"))
    return load


def held_out():
    """Beats of DS1 alone: those of the patients that are held out come last."""
    samples, labels = data.load("ecg", "train")
    count = int(np.isin(data.load_beats("train")[2], HELD_OUT).sum())
    return (samples[:-count], labels[:-count]), (samples[-count:], labels[-count:])


def mean_sensitivity(found, labels):
    """Of N, S and V: most beats are N, and to say so of all would be right too often."""
    sensitivity = by_class(found, labels, RECORDINGS["ecg"].classes)["sensitivity"]
    return float(np.mean([sensitivity[name] for name in "NSV"]))


def _stream(dataset, title, recipe, load, **others):
    return Study(title, config_for(dataset, arch="fc64"), Recipe(dataset=dataset, **recipe),
                 MEMBRANES | OTHER_MEMORY, load, **others)


def _match(delay):
    config = Config(inputs=SYMBOLS * LINES + 2, hidden=("fc64", "fc32"), classes=2, input_bits=1,
                    time_steps=delay + 2, stream=True)
    recipe = Recipe(dataset="delayed match", epochs=12, batch_size=64, shift=0, draws=4000)
    return Study(f"Delayed match, {delay} steps between, {SYMBOLS * LINES + 2}-fc64-fc32-2",
                 config, recipe, MATCHED, matches(delay))


STUDIES = {
    "image": Study(
        "MNIST, 784-64-10", Config(hidden=(64,)), Recipe(epochs=8, draws=15_000),
        {"T = 1: no membrane": {"time_steps": 1}, "T = 2, 2 bits": {"time_steps": 2},
         "T = 4, 2 bits": {}, "T = 8, 2 bits": {"time_steps": 8},
         "T = 4, 3 bits": {"membrane_bits": 3}, "T = 4, 4 bits": {"membrane_bits": 4},
         "T = 4, 8 bits": {"membrane_bits": 8}, "T = 4, 2 bits, all stays": {"leak": "1"}},
        tested("mnist")),
    "ecg": _stream("ecg", "Heart beats, 30-fc64-5", dict(
        epochs=3, batch_size=128, draws=7680, smoothing=0.05, balance=0.4, drop=0.1), held_out,
        measure=mean_sensitivity),
    "spoken-digits": _stream("spoken-digits", "Spoken digits, 96-fc64-10", dict(
        epochs=24, batch_size=64, drop=0.1), tested("spoken-digits")),
    "pendigits": _stream("pendigits", "Digits of a pen, 32-fc64-10", dict(
        epochs=10, batch_size=64, shift=0, drop=0.05), tested("pendigits")),
} | {f"match-{delay}": _match(delay) for delay in DELAYS}


def forget(net):
    """Take the membranes of a network away: of each step it sees that step, and nothing before."""
    def neurons(current, steps, step, low, high, dtype, *neuron):
        return integrate(current, steps, torch.zeros_like, dtype)
    for layer in net.hidden:
        layer.neurons = neurons


def train(study, change, seed, train_with, measured_with):
    """Percent of a variant."""
    change = dict(change)
    forgets = change.pop("forgets", False)
    training = Training(replace(study.config, **change), replace(study.recipe, seed=seed))
    if forgets:
        forget(training.net)
    for _ in training.epochs(*train_with):
        pass
    net = training.net.double().eval()
    samples, labels = measured_with
    return study.measure(_found(net, samples) if forgets else infer(fold(net), samples).labels,
                         labels)


@torch.no_grad()
def _found(net, samples):
    return torch.cat([net(part.double())[0].mean(0).argmax(1)
                      for part in torch.tensor(samples).split(1000)]).numpy()


def measure(name):
    """The rows of a task: name and percent of each seed."""
    study = STUDIES[name]
    sets, rows = study.load(), []
    for of, change in study.changes.items():
        rows.append({"name": of, "percent": [
            round(train(study, change, seed, *sets), 2) for seed in range(SEEDS)]})
        print(f"{name}: {of}: {rows[-1]['percent']}", flush=True)
    return {"title": study.title, "rows": rows}


def remembered(config, forgets=False):
    """Bits that the hidden layers of a network keep from one step to the next."""
    bits = 0
    for layer in config.layers if config.time_steps > 1 else ():
        bits += 0 if forgets else layer.channels * config.membrane_bits
        bits += (layer.taps - 1) * layer.inputs[0] + layer.channels * layer.recurrent
    return bits


def _size(study, name):
    """Two cells: bits of weights, bits remembered."""
    change = dict(study.changes[name])
    forgets = change.pop("forgets", False)
    config = replace(study.config, **change)
    return f"{config.weight_bits:,} | {remembered(config, forgets):,}"


def markdown(document):
    tasks, head = document["tasks"], "| | weights, bits | remembered, bits | "
    matched = {name: task for name, task in tasks.items() if name.startswith("match-")}
    parts = {}
    for name in tasks.keys() - matched.keys():
        lines = [head + "seed 0 | seed 1 |", "|---|---|---|---|---|"]
        lines += [f"| {row['name']} | {_size(STUDIES[name], row['name'])} | " + " | ".join(
            f"{value:.1f}" for value in row["percent"]) + " |" for row in tasks[name]["rows"]]
        parts[name.replace("-", "_")] = "\n".join(lines)
    delays = [f"{name.removeprefix('match-')} between" for name in matched]
    lines = [head + " | ".join(delays) + " |", "|---" * (len(delays) + 3) + "|"]
    for rows in zip(*(task["rows"] for task in matched.values()), strict=True):
        name = rows[0]["name"]
        lines.append(f"| {name} | {_size(STUDIES[next(iter(matched))], name)} | " + " | ".join(
            ", ".join(f"{value:.1f}" for value in row["percent"]) for row in rows) + " |")
    return TEXT.format(**parts, match="\n".join(lines), torch=document["versions"]["torch"])


def draw(document):
    """The bytes of an SVG: a panel a task, a dot a seed."""
    import matplotlib  # slow to import, wanted here only

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams |= {"svg.hashsalt": "membranes", "svg.fonttype": "none"}
    tasks = list(document["tasks"].values())
    figure, axes = plt.subplots(-(-len(tasks) // 2), 2, figsize=(11, 11), layout="constrained")
    for ax in axes.flat[len(tasks):]:
        ax.set_axis_off()
    for ax, task in zip(axes.flat, tasks, strict=False):
        rows = task["rows"][::-1]
        for place, row in enumerate(rows):
            ax.plot(row["percent"], [place] * len(row["percent"]), "o", color="#1f5fa8", alpha=0.6)
        ax.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
        ax.set_title(task["title"], fontsize=9)
        ax.grid(axis="x", color="#dddddd")
        ax.set_xlabel("%", fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return picture.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(STUDIES))
    chosen = parser.parse_args().tasks
    wrong = [name for name in chosen if name not in STUDIES]
    if wrong:
        parser.error(f"no task {wrong[0]!r}: there are {', '.join(STUDIES)}")
    torch.set_num_threads(1)
    path = DOCS / "membranes.json"
    before = json.loads(path.read_text())["tasks"] if path.exists() else {}
    for name in chosen or STUDIES:
        before[name] = measure(name)
        document = {"versions": versions(),
                    "tasks": {name: before[name] for name in STUDIES if name in before}}
        write_whole(path, (json.dumps(document, indent=1) + "\n").encode())
    if len(document["tasks"]) == len(STUDIES):
        write_whole(DOCS / "membranes.svg", draw(document))
        write_whole(DOCS / "membranes.md", markdown(document).encode())


if __name__ == "__main__":
    main()
