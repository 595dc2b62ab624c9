"""Graphs that others published, and networks of four frameworks: what importing them gives.

    python -m benchmarks.graphs             all that QSNN_DATA/nir has, some minutes
    python -m benchmarks.graphs FILE...     some; the others stay as they are

Writes docs/import.json and the table of docs/import.md. Bits are chosen on samples of the training
part where there is one; some samples of each go through the Verilog, and a difference of any spike
ends the program.
"""

import argparse
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np

from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.model import data
from qsnn.model.encoders import events
from qsnn.model.graphs import Bits, GraphError, quantize, read
from qsnn.model.inference import infer
from qsnn.sim.workload import Workload, run

DOCS = Path(__file__).parents[1] / "docs"
HEADING = "## What was imported\n"
SIMULATED = {"image": 20, "stream": 2}  # samples through the Verilog
STEPS = 800  # of a stream
BITS = {"8 and 8": Bits(8, membranes=8), "4 and 8": Bits(membranes=8),
        "4 and 4": Bits()}  # of weights and of membranes
SNN, SINABS = dict(source="snntorch"), dict(source="sinabs", reset="zero")


def mnist(arrays):
    x, labels = data.load("mnist", "train")
    tests = data.load("mnist", "test")
    return (x[:200], labels[:200]), (tests[0][:500], tests[1][:500]), 1 / 255


def digits(arrays):
    """The samples of the recording: one half to choose by, the other to measure."""
    return *_halves(arrays["pixels"], arrays["labels"]), float(arrays["pixel_scale"])


def _halves(x, labels):
    half = len(x) // 2
    return (x[:half], labels[:half]), (x[half:], labels[half:])


def camera(ticks, steps, chosen, count=100):
    """Digits before an event camera, in steps of so many microseconds."""
    def load(arrays):
        raw = np.load(Path(os.environ["QSNN_DATA"]) / "nmnist_small" / "nmnist_small.npz")

        def part(split, count):
            ends = raw[f"{split}_offset"].astype(int)
            spikes = [events(*(raw[f"{split}_{name}"][first:end] for name in
                               ("x", "y", "p", "t_us")), height=34, width=34, ticks=ticks,
                             steps=steps)
                      for first, end in zip(ends[:count], ends[1:count + 1], strict=True)]
            return np.stack(spikes).reshape(count, -1), raw[f"{split}_label"][:count].astype(int)
        return part("train", chosen), part("test", count), None
    return load


def rows_of_digits(arrays):
    """The recording of a stream, likewise."""
    labels = arrays["labels"]
    return *_halves(arrays["input_spikes"].reshape(len(labels), -1).astype(int), labels), None


def braille(arrays):
    """Spikes at random: what these networks saw is in no public file."""
    x = (np.random.default_rng(0).random((120, 100 * 12)) < 0.15).astype(int)
    return (x[:60], None), (x[60:], None), None


def trace(arrays):
    path = Path(os.environ["QSNN_DATA"]) / "nir" / "public_lif_traces.npz"
    x = (np.load(path)["norse"][:, :1] > 0).astype(int).reshape(1, -1)
    return (x, None), (x, None), None


ROWS = {  # file, a word where a file has two rows -> options of the reader, T, samples
    "public_lif_norse": (dict(source="norse", dt=1e-4), 0, trace),
    "public_lif_rockpool": (dict(dt=1e-4, reset="zero", compare=">="), 0, trace),
    "public_nmnist_cnn_sinabs 10 ms": (SINABS | dict(compare=">"), 0, camera(10_000, 30, 60)),
    "public_nmnist_cnn_sinabs 1 ms": (SINABS | dict(compare=">"), 0, camera(1000, 300, 40)),
    "public_braille_bias_zero": (SNN | dict(reset="zero"), 0, braille),
    "public_braille_bias_zero_subgraph": (SNN | dict(reset="zero"), 0, braille),
    "public_braille_bias_zero_subgraph_invalid": (SNN, 0, braille),
    "public_braille_nobias_subtract": (SNN | dict(reset="subtract"), 0, braille),
    "public_braille_nobias_subtract_subgraph": (SNN | dict(reset="subtract"), 0, braille),
    "made_snntorch_fc_leak_half": (SNN | dict(reset="zero"), 4, mnist),
    "made_snntorch_fc_beta095": (SNN, 25, mnist),
    "made_snntorch_cuba_recurrent": (SNN, 0, rows_of_digits),
    "made_spikingjelly_conv": (dict(source="spikingjelly"), 4, mnist),
    "made_norse_cuba": (dict(source="norse"), 16, digits),
    "made_sinabs_if": (SINABS, 8, digits),
    "made_sinabs_lif": (SINABS | dict(gain=1.0), 8, digits),
}


def measure(name):
    """The row of a file: what it became, or the sentence that refused it."""
    options, steps, load = ROWS[name]
    folder = Path(os.environ["QSNN_DATA"]) / "nir"
    path = folder / f"{name.split()[0]}.nir"
    row = {"row": name}
    try:
        graph = read(path, **options)
        arrays = np.load(path.with_suffix(".npz")) if path.with_suffix(".npz").exists() else None
        (x, labels), (tests, right), scale = load(arrays)
        row |= {"samples": len(tests), "bits": {}}
        for words, bits in BITS.items():
            found = quantize(graph, steps, x, labels, bits=bits, scale=scale)
            row["shape"] = found.description.shape
            row["bits"][words] = _compared(graph, found, tests, right, scale)
        row["verilog"] = _verilog(found.description, tests)
    except GraphError as error:
        return {"row": name, "refused": str(error).replace(f"{path}: ", "")}
    return row


def _compared(graph, found, tests, right, scale):
    description = found.description
    floats = tests * (scale or 1)
    if description.stream:
        floats = floats.reshape(len(tests), -1, *(description.input_map or graph.inputs))
        floats = np.moveaxis(floats, -1, 2) if description.input_map else floats
    elif description.input_map:
        floats = np.moveaxis(floats.reshape(-1, *description.input_map), -1, 1)
    own = np.concatenate([graph.run(floats[start:start + 20], description.time_steps or None).labels
                          for start in range(0, len(floats), 20)])
    labels = np.concatenate([infer(description, tests[start:start + 20]).labels
                             for start in range(0, len(tests), 20)])
    result = {"same": int((own == labels).sum()),
              "leaks": [layer.taken for layer in found.report.layers],
              "differ": sum(layer.differ for layer in found.report.layers)
              / sum(layer.spikes for layer in found.report.layers)}
    if right is not None:
        result |= {"floats": float((own == right).mean()),
                   "integers": float((labels == right).mean())}
    return result


def _verilog(description, tests):
    """How many spikes went through the Verilog: all equal, or the program ends."""
    samples = tests[:SIMULATED["stream" if description.stream else "image"]]
    if description.stream:
        samples = samples.reshape(len(samples), -1, description.n_in)[:, :STEPS]
    with tempfile.TemporaryDirectory() as folder:
        made = build(description, choose_folding(description), "graph", folder)
        facts, description = open_build(made)
        outcome = run(made, facts, description, Workload(samples))
    if not outcome.ok:
        raise SystemExit(f"error: the Verilog differs: {outcome.mismatches}")
    steps = samples.shape[1] if description.stream else description.time_steps
    return len(samples) * steps * sum(layer.n_out for layer in description.hidden)


def table(rows):
    """The table of the page."""
    lines = ["| graph | network | leaks | floats | 8 and 8 bits | 4 and 8 bits | 4 and 4 bits | "
             "labels kept | spikes in Verilog |", "|---|---|---|---|---|---|---|---|---|"]
    refused = []
    for row in rows:
        if "refused" in row:
            refused.append(f"- `{row['row']}`: {row['refused']}")
            continue
        eight, wide, four = (row["bits"][words] for words in BITS)
        leaks = ", ".join(dict.fromkeys(f"{m}/{2 ** k}" if k else "none"
                                        for m, k in eight["leaks"]))
        accuracy = [f"{100 * one[name]:.1f} %" if name in one else "-" for one, name in (
            (eight, "floats"), (eight, "integers"), (wide, "integers"), (four, "integers"))]
        lines.append(f"| `{row['row']}` | {row['shape']} | {leaks} | {' | '.join(accuracy)} | "
                     f"{eight['same']}, {wide['same']}, {four['same']} of {row['samples']:,} | "
                     f"{row['verilog']:,}: equal |")
    return "\n".join([*lines, "", "Refused, each with its sentence:", "", *refused, ""])


def page(text, rows):
    """The page's text with the table in its section."""
    return re.sub(rf"({re.escape(HEADING)}.*?\n\n)\| graph \|.*?(?=\n## |\Z)",
                  lambda match: match[1] + table(rows), text, flags=re.DOTALL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    wanted = parser.parse_args().rows or list(ROWS)
    path = DOCS / "import.json"
    known = {row["row"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for name in wanted:
        known[name] = measure(name)
        print(json.dumps(known[name]), flush=True)
        rows = [known[row] for row in ROWS if row in known]
        path.write_text(json.dumps(rows, indent=1) + "\n")
    (DOCS / "import.md").write_text(page((DOCS / "import.md").read_text(), rows))


if __name__ == "__main__":
    main()
