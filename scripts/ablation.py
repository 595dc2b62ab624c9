#!/usr/bin/env python3
"""What each part of the method is worth: one change at a time, on 784-256-256-10 and MNIST.

Trains every variant for a few epochs on 50,000 images, measures its integers on the 10,000 held
out and on the test set, and writes docs/ablation.json and docs/ablation.md. Ctrl-C stops; the same
command continues.
"""

import _bootstrap  # noqa: I001  first: it finds the packages of this repository

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from model.data import DataError
from model.experiment import run, versions
from model.files import write_whole
from model.qsnn import Config
from model.training import Recipe, TrainingError

HELD_OUT = 10_000
SEEDS = 2  # of the base: how much of a difference is chance
CHANGES = {
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
}
TEXT = """# Ablation

One change at a time on 784-256-256-10: binary weights, membranes of 2 bits, T = 4, weights
standardised, no firing-rate term. {epochs} epochs on the first 50,000 training images of MNIST, far
fewer than the networks in `model/networks` had, so all numbers are lower than theirs. Accuracy is
that of the integer model (of torch for the float membrane) on the 10,000 training images held out
and, apart, on the 10,000 test images.

Chance: the two seeds of the base differ by {noise:.2f} points held out, and one standard error of
an accuracy of 98 % on 10,000 images is 0.14. Smaller differences say nothing. The difference is to
the mean of the seeds, held out.

{table}

Made by `python scripts/ablation.py` with PyTorch {torch}; the numbers are in
[ablation.json](ablation.json).
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    epochs: Annotated[int, typer.Option(help="times that every image is shown")] = 10,
    out: Annotated[Path, typer.Option(help="folder of the trainings")] = Path("runs/ablation"),
    docs: Annotated[Path, typer.Option(help="folder of the table")] = _bootstrap.ROOT / "docs",
    data_dir: Annotated[Path | None, typer.Option(help="folder of the data")] = None,
):
    torch.set_num_threads(1)
    try:
        recipe = Recipe(validation=HELD_OUT, epochs=epochs)
        rows = [_measure(f"base, seed {seed}", Config(), replace(recipe, seed=seed), out, data_dir)
                for seed in range(SEEDS)]
        rows += [_measure(name, replace(Config(), **change), recipe, out, data_dir)
                 for name, change in CHANGES.items()]
        docs.mkdir(parents=True, exist_ok=True)
        write_whole(docs / "ablation.json", _json(recipe, rows))
        write_whole(docs / "ablation.md", _markdown(epochs, rows, versions()["torch"]).encode())
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


def _json(recipe, rows):
    document = {"command": f"python scripts/ablation.py --epochs {recipe.epochs}",
                "versions": versions(), "rows": rows}
    return (json.dumps(document, indent=1) + "\n").encode()


def _markdown(epochs, rows, torch_version):
    base = [row["validation"]["accuracy"] for row in rows[:SEEDS]]
    lines = ["| change | held out % | difference | test % | firing rates |",
             "|---|---|---|---|---|"]
    for row in rows:
        held_out, test = row["validation"]["accuracy"], row["test"]["accuracy"]
        rates = ", ".join(f"{rate:.2f}" for rate in row["validation"].get("rates", ()))
        difference = round(held_out - sum(base) / len(base), 2) + 0.0  # no -0.00
        lines.append(f"| {row['name']} | {held_out:.2f} | {difference:+.2f} | {test:.2f} "
                     f"| {rates} |")
    return TEXT.format(epochs=epochs, noise=max(base) - min(base), table="\n".join(lines),
                       torch=torch_version)


if __name__ == "__main__":
    app()
