"""Four sets in files, through train, build and simulate as a user does it.

    python -m benchmarks.own          all; minutes each
    python -m benchmarks.own ROW

Writes docs/own.json and prints the table of docs/your-data.md. The files lie below the folder in
QSNN_DATA, in ``small/``: ``mnist1d.npz`` and ``pendigits.npz`` with x_train, y_train, x_test and
y_test, ``ucr_uea.npz`` with NAME_train_x [N, channels, T], NAME_train_y and so on.
"""

import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np

import qsnn
from qsnn.model.reading import sides_of
from qsnn.sim.workload import of_dataset

DOCS = Path(__file__).parents[1] / "docs"
SIMULATED = 200  # test samples, at most
#: row -> title, file, how an array of samples is laid out, and options of ``qsnn train``.
ROWS = {
    "pendigits": ("UCI pen digits, rows of 16 numbers", "pendigits.npz",
                  lambda x: x.reshape(len(x), -1), "--hidden 128"),
    "gunpoint": ("UCR GunPoint, rows of 150", "GunPoint", lambda x: x[:, 0], "--hidden 64"),
    "basicmotions": ("UEA BasicMotions, 100 steps of 6 channels", "BasicMotions",
                     lambda x: x.transpose(0, 2, 1), "--stream --arch fc32t8-fc32t4"),
    "mnist1d": ("MNIST-1D, 40 steps", "mnist1d.npz", lambda x: x,
                "--stream --arch fc64t8-fc64t8"),
}
HEAD = ("| set | to train on | `qsnn train` | test | through the Verilog |\n"
        "|---|---|---|---|---|\n")


def arrays(file, layout):
    """The arrays of a set as ``qsnn train`` takes them."""
    folder = Path(os.environ["QSNN_DATA"]) / "small"
    if file.endswith(".npz"):
        found = np.load(folder / file)
        found = {name: found[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    else:
        archive = np.load(folder / "ucr_uea.npz")
        found = {f"{kind}_{split}": archive[f"{file}_{split}_{kind}"] for split in ("train", "test")
                 for kind in "xy"}
    return {name: layout(array) if name[0] == "x" else array for name, array in found.items()}


def options_of(text):
    """Options of a command as those of :func:`qsnn.train`."""
    words, options = shlex.split(text), {}
    while words:
        name = words.pop(0)[2:]
        options[name] = True if not words or words[0].startswith("--") else words.pop(0)
    kinds = {"hidden": lambda text: tuple(map(int, text.split(","))), "image": sides_of,
             "epochs": int}
    return {name: kinds.get(name, lambda value: value)(value) for name, value in options.items()}


def measure(row):
    """What came out, as it stands in the JSON."""
    _, file, layout, options = ROWS[row]
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / f"{row}.npz"
        found = arrays(file, layout)
        np.savez(path, **found)
        net = qsnn.train(path, out=Path(work) / "out", **options_of(options))
        samples = of_dataset(net.description, str(path), SIMULATED)
        outcome = qsnn.compile(net).simulate(samples)
        test, recipe = net.training["test"], net.training["recipe"]
        return {"train": len(found["x_train"]), "epochs": recipe["epochs"],
                "batch_size": recipe["batch_size"], "correct": test["correct"],
                "test": test["images"], "accuracy": test["accuracy"],
                "simulated": len(outcome.labels), "mismatches": sum(outcome.mismatches.values())}


def table(results):
    text = HEAD
    for row in (row for row in ROWS if row in results):
        (title, _, _, options), found = ROWS[row], results[row]
        text += (f"| {title} | {found['train']:,} | `{options}` | {found['accuracy']:.2f} % of "
                 f"{found['test']:,} | {found['simulated']}, {found['mismatches']} mismatches |\n")
    return text


def main(rows):
    path = DOCS / "own.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for row in rows or ROWS:
        results[row] = measure(row)
        path.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main(sys.argv[1:])
