"""What each part of the method is worth: one change at a time.

Trains every variant for a few epochs, all but 10,000 of the training images shown to it, measures
its integers on those 10,000 and on the test set, and writes a table: of 784-256-256-10 on MNIST
docs/ablation.md and .json; of convolutions on CIFAR-10, with --dataset cifar-10,
docs/ablation-cifar-10.md and .json. Ctrl-C stops; the same command continues.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from qsnn.model.data import DataError
from qsnn.model.experiment import run, versions
from qsnn.model.files import write_whole
from qsnn.model.qsnn import Config
from qsnn.model.training import Recipe, TrainingError

DOCS = Path(__file__).parents[1] / "docs"
HELD_OUT = 10_000
SEEDS = 2  # of the base: how much of a difference is chance


@dataclass(frozen=True)
class Study:
    """A network and its training, what is changed in it, and how both are called on the page."""

    title: str
    config: Config
    recipe: Recipe
    changes: dict
    page: str


STUDIES = {
    "mnist": Study(
        title="784-256-256-10 and MNIST", config=Config(), recipe=Recipe(epochs=10),
        page="ablation", changes={
            "no standardisation of weights": {"standardize": False},
            "firing-rate term, lambda 0.1": {"rate_weight": 0.1},
            "firing-rate term, lambda 1": {"rate_weight": 1.0},
            "membrane of 3 bits": {"membrane_bits": 3},
            "membrane of 4 bits": {"membrane_bits": 4},
            "membrane of 8 bits": {"membrane_bits": 8},
            "float membrane": {"membrane_bits": 0},
            "signed membrane": {"signed": True},
            "T = 1": {"time_steps": 1},
            "T = 2": {"time_steps": 2},
            "T = 8": {"time_steps": 8},
        }),
    "cifar-10": Study(
        title="32x32x3-c16k3w8-p2-c32k3-p2-c64k3-p2-10 and CIFAR-10",
        config=Config(inputs=3072, image=(32, 32, 3), time_steps=2,
                      hidden=("c16k3w8", "p2", "c32k3", "p2", "c64k3", "p2")),
        recipe=Recipe(dataset="cifar-10", epochs=5, shift=2, flip=True, compiled=True),
        page="ablation-cifar-10", changes={
            "no standardisation of weights": {"standardize": False},
            "the paper's quantizer, 2 bits": {"dynamic": True},
            "membrane of 4 bits": {"membrane_bits": 4},
            "the paper's quantizer, 4 bits": {"dynamic": True, "membrane_bits": 4},
            "membrane of 8 bits": {"membrane_bits": 8},
            "the paper's quantizer, 8 bits": {"dynamic": True, "membrane_bits": 8},
            "firing-rate term, lambda 0.1": {"rate_weight": 0.1},
        }),
}
TEXT = """# Ablation: {title}

One change at a time: 1-bit weights but where a layer's word says otherwise, membranes of 2 bits,
T = {steps}, weights standardised, no firing-rate term. {epochs} epochs on all training images but
10,000, far fewer than the networks in `model/networks` had, so all numbers are lower than theirs.
Accuracy is that of the integers on the 10,000 training images held out and, apart, on the 10,000
test images; of torch where there are no integers, with float membranes and with the paper's
quantizer, which divides by the largest membrane of the batch.

Chance: the two seeds of the base differ by {noise:.2f} points held out, and one standard error of
its accuracy on 10,000 images is {error:.2f}. Smaller differences say nothing. The difference is to
the mean of the seeds, held out.

{table}

Made with PyTorch {torch} by `{command}`;
the numbers are in [{page}.json]({page}.json).
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    dataset: Annotated[str, typer.Option(help="mnist or cifar-10")] = "mnist",
    epochs: Annotated[int, typer.Option(min=0, help="times that every image is shown; 0: 10 on "
                                                    "MNIST, 5 on CIFAR-10")] = 0,
    out: Annotated[Path | None, typer.Option(help="folder of the trainings; default: "
                                                  "runs/<page>")] = None,
    docs: Annotated[Path, typer.Option(help="folder of the table")] = DOCS,
    data_dir: Annotated[Path | None, typer.Option(help="folder of the data")] = None,
):
    torch.set_num_threads(1)
    try:
        if dataset not in STUDIES:
            raise ValueError(f"--dataset must be {' or '.join(STUDIES)}, not {dataset!r}")
        study = STUDIES[dataset]
        out = out or Path("runs") / study.page
        recipe = replace(study.recipe, validation=HELD_OUT, epochs=epochs or study.recipe.epochs)
        rows = [_measure(f"base, seed {seed}", study.config, replace(recipe, seed=seed), out,
                         data_dir) for seed in range(SEEDS)]
        rows += [_measure(name, replace(study.config, **change), recipe, out, data_dir)
                 for name, change in study.changes.items()]
        document = {"command": f"python -m benchmarks.ablation --dataset {dataset} "
                               f"--epochs {recipe.epochs}", "epochs": recipe.epochs,
                    "versions": versions(), "rows": rows}
        docs.mkdir(parents=True, exist_ok=True)
        write_whole(docs / f"{study.page}.json", (json.dumps(document, indent=1) + "\n").encode())
        write_whole(docs / f"{study.page}.md", _markdown(study, document).encode())
    except (DataError, TrainingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("stopped; the same command continues after the last whole epoch", file=sys.stderr)
        raise typer.Exit(130) from None


def _measure(name, config, recipe, out, data_dir):
    """Train a variant, or continue it, and return its row of the table."""
    folder = out / "".join(c if c.isalnum() else "-" for c in name)
    result = run(config, recipe, folder, data_dir, lambda epoch: print(
        f"{name}: epoch {epoch.number}, accuracy {100 * epoch.accuracy:.2f} %", flush=True))
    row = {"name": name, "seed": recipe.seed, "config": result["config"]}
    row |= {split: result[split] for split in ("validation", "test")}
    print(f"{name}: held out {row['validation']['accuracy']:.2f} %, "
          f"test {row['test']['accuracy']:.2f} %", flush=True)
    return row


def _markdown(study, document):
    rows = document["rows"]
    base = [row["validation"]["accuracy"] for row in rows[:SEEDS]]
    mean = sum(base) / len(base)
    lines = ["| change | held out % | difference | test % | firing rates |",
             "|---|---|---|---|---|"]
    for row in rows:
        held_out, test = row["validation"]["accuracy"], row["test"]["accuracy"]
        rates = ", ".join(f"{rate:.2f}" for rate in row["validation"].get("rates", ()))
        difference = round(held_out - mean, 2) + 0.0  # no -0.00
        lines.append(f"| {row['name']} | {held_out:.2f} | {difference:+.2f} | {test:.2f} "
                     f"| {rates} |")
    return TEXT.format(title=study.title, steps=study.config.time_steps, page=study.page,
                       epochs=document["epochs"], noise=max(base) - min(base),
                       error=(mean * (100 - mean) / HELD_OUT) ** 0.5, table="\n".join(lines),
                       command=document["command"], torch=document["versions"]["torch"])


if __name__ == "__main__":
    app()
