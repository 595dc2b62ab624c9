"""What activity costs: cycles, reads and toggles of the networks for streams, on real recordings.

    python -m benchmarks.activity              all networks and the sweep, some minutes
    python -m benchmarks.activity NETWORK...   some; the others stay as they are

Writes docs/activity.json and docs/activity.md. Cycles are those of the plan, which the Verilog is
held to with some of the samples, in every row; a difference of any spike ends the program.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path

import numpy as np

from qsnn.hw.emit.build import NETWORKS, build, open_build
from qsnn.hw.plan.activity import activity, choose_for_activity, step_counts
from qsnn.hw.plan.folding import SerialFolding
from qsnn.hw.plan.network import plan
from qsnn.model import data
from qsnn.model.description import load
from qsnn.sim.steps import simulate_steps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
UNITS = 64  # PE x SIMD of a layer
CHOSEN_BY = 100  # training samples whose activity chooses the folding
COUNTED = 500  # test samples whose words are counted
SIMULATED = 20  # test samples that go through the Verilog
WATCHED = 60  # steps of those whose toggles are counted, a sample at least
SWEEP = 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8  # of the recorded firing rate
TEXT = """# Streams: work follows activity

Networks for streams on their test samples. A sparse layer reads the words of inputs that have a
spike; the dense one beside it has the same PE and SIMD and reads all. Both give the same spikes:
{simulated} samples of each row went through the Verilog of both, every spike, membrane and score
is golden's and the cycles are those planned. Layers work side by side, so cycles a step are those
of the slowest layer, step by step. PE and SIMD were chosen by the generator, at most {units}
synapses a layer and cycle, from the activity of {chosen} training samples (`hw/plan/activity.py`);
a layer that would leave out less than a tenth of its words is dense.

{tasks}

- firing rate: of the input, then of the hidden layers
- words read: of the first layer's, on average a step
- toggles: bits of all signals of the Verilog that change in a step, clock and resets left out

## Where skipping stops paying

`{swept}`, its folding kept, and recorded spikes left out at random or random ones added, so that
its input fires at a part or a multiple of its own rate:

{sweep}

A list of words costs no cycle, so a sparse layer is never slower than the dense one; it costs the
list's memory and some logic. What it saves ends where nearly every word has a spike: {crossover}.
The generator counts words, not spikes: with real recordings spikes lie side by side, and more words
are empty than the rate alone would leave.

Made by `python -m benchmarks.activity`.
"""


def samples_of(name, split, count):
    """The first samples [N, T, n_in] that a committed network is for."""
    facts = json.loads((NETWORKS / f"{name}.json").read_text())
    description = load(NETWORKS / f"{name}.qsnn")
    samples, _ = data.load_steps(facts["recipe"]["dataset"], split, description.n_in)
    # all classes and patients: not the first ones
    chosen = np.random.default_rng(0).permutation(len(samples))[:count]
    return facts, description, samples[np.sort(chosen)]


def cycles_of(description, foldings, samples):
    """Cycles a step of the whole network, of the slowest layer, words read and all of each layer.

    The network takes samples one after the other, its source never waits.
    """
    stages = plan(description, foldings).stages
    counts = step_counts(stages, *activity(description, samples))
    each = np.stack([stage.step_cycles(count) for stage, count in zip(stages, counts, strict=True)])
    return {"cycles_per_step": round(float(each.max(axis=0).mean()), 1),
            "layers": [round(float(row.mean()), 1) for row in each],
            "reads": [[round(float(count.mean()), 2), stage.words]
                      for stage, count in zip(stages, counts, strict=True)]}


class Verilog:
    """The Verilog of a network and a folding, built once."""

    def __init__(self, description, foldings, folder):
        self.description = description
        self.folder = build(description, foldings, "stream", folder)
        self.facts, _ = open_build(self.folder)

    def cycles(self, samples):
        """Cycles a step on some samples, which are compared with the golden model."""
        outcome = _simulate(self.folder, self.facts, self.description, samples)
        return round(outcome.cycles / outcome.steps, 1)

    def toggles(self, samples):
        """Bits that change in a step."""
        waves = self.folder / "waves.vcd"
        few = samples[:max(1, WATCHED // samples.shape[1])]
        steps = _simulate(self.folder, self.facts, self.description, few, waves=waves).steps
        return round(toggles(waves) / steps)


def _simulate(folder, facts, description, samples, waves=None):
    count, length, inputs = samples.shape
    last = np.arange(count * length) % length == length - 1
    outcome = simulate_steps(folder, facts, description, samples.reshape(-1, inputs), last, last,
                             waves=waves and waves.resolve())
    if not outcome.ok or outcome.cycles != outcome.planned:
        raise SystemExit(f"error: the Verilog differs: {outcome.mismatches}, {outcome.cycles} "
                         f"cycles, planned {outcome.planned}")
    return outcome


def toggles(path):
    """Bits that change in a VCD, but for clock and reset; aliases of a signal count once."""
    values, left_out, total = {}, set(), 0
    with open(path) as file:
        for line in file:
            declared = re.match(r"\s*\$var\s+\S+\s+\d+\s+(\S+)\s+(\S+)", line)
            if declared:
                if declared[2] in ("clk", "rst"):
                    left_out.add(declared[1])
                continue
            if line[:1] in "01":
                value, code = line[0], line[1:].strip()
            elif line[:1] == "b":
                value, code = line[1:].split()
            else:
                continue
            number = int(value, 2)
            if code in values and code not in left_out:
                total += (number ^ values[code]).bit_count()
            values[code] = number
    return total


def dense(foldings):
    return [SerialFolding(folding.pe, folding.simd, False) for folding in foldings]


def measure(name):
    """A row of the table."""
    facts, description, chosen_by = samples_of(name, "train", CHOSEN_BY)
    _, _, samples = samples_of(name, "test", COUNTED)
    foldings = choose_for_activity(description, chosen_by, UNITS)
    rates = [float(samples.mean()), *facts["test"]["rates"]]
    row = {"network": name, "shape": description.shape, "rates": [round(r, 4) for r in rates],
           "accuracy": facts["test"]["accuracy"], "weight_bits": description.weight_bits,
           "membrane_bits": description.hidden[0].membrane_bits,
           "folding": [[f.pe, f.simd, f.sparse] for f in foldings]}
    for kind, used in (("sparse", foldings), ("dense", dense(foldings))):
        with tempfile.TemporaryDirectory() as temporary:
            core = Verilog(description, used, temporary)
            row[kind] = cycles_of(description, used, samples) | {
                "verilog_cycles_per_step": core.cycles(samples[:SIMULATED]),
                "toggles_per_step": core.toggles(samples)}
    print(f"{name}: {row['sparse']['cycles_per_step']} cycles a step, dense "
          f"{row['dense']['cycles_per_step']}", flush=True)
    return row


def sweep(name):
    """Cycles and toggles of a network at a part and at multiples of its input's firing rate."""
    _, description, chosen_by = samples_of(name, "train", CHOSEN_BY)
    _, _, samples = samples_of(name, "test", SIMULATED)
    foldings = choose_for_activity(description, chosen_by, UNITS)
    foldings = [SerialFolding(f.pe, f.simd, True) for f in foldings]
    rng, rows, own = np.random.default_rng(0), [], float(samples.mean())
    with tempfile.TemporaryDirectory() as temporary:
        cores = {kind: (used, Verilog(description, used, Path(temporary) / kind))
                 for kind, used in (("sparse", foldings), ("dense", dense(foldings)))}
        rows = [_swept(description, cores, samples, part, own, rng) for part in SWEEP]
    return {"network": name, "rows": rows}


def _swept(description, cores, samples, part, own, rng):
    """A row of the sweep."""
    kept = rng.random(samples.shape) < min(part, 1)
    added = rng.random(samples.shape) < max(0, part - 1) * own / (1 - own)
    changed = (samples & kept) | added.astype(np.uint8)
    row = {"part": part, "rate": round(float(changed.mean()), 4)}
    for kind, (used, core) in cores.items():
        row[kind] = cycles_of(description, used, changed) | {
            "toggles_per_step": core.toggles(changed)}
    print(f"at {part:g} of its rate: {row['sparse']['layers'][0]} cycles, dense "
          f"{row['dense']['layers'][0]}", flush=True)
    return row


def markdown(document):
    rows = document["networks"]
    lines = ["| network | shape | accuracy | membranes | weights | firing rate | PE x SIMD | words "
             "read | cycles a step | dense | times | toggles | dense |", "|---" * 13 + "|"]
    for row in rows:
        foldings = ", ".join(f"{pe} x {simd}" + "" * sparse + " dense" * (not sparse)
                             for pe, simd, sparse in row["folding"])
        a, b = row["sparse"], row["dense"]
        lines.append(
            f"| `{row['network']}` | {row['shape']} | {row['accuracy']:.2f} % "
            f"| {row['membrane_bits']} bits | {row['weight_bits'] / 1000:.0f} kbit "
            f"| {', '.join(f'{rate:.3f}' for rate in row['rates'])} | {foldings} "
            f"| {a['reads'][0][0]:.1f} of {a['reads'][0][1]} | {a['cycles_per_step']:,.1f} "
            f"| {b['cycles_per_step']:,.1f} | {b['cycles_per_step'] / a['cycles_per_step']:.1f} "
            f"| {a['toggles_per_step']:,} | {b['toggles_per_step']:,} |")
    swept = document["sweep"]
    table = ["| firing rate | words read | cycles of layer 0 | dense | toggles a step | dense |",
             "|---" * 6 + "|"]
    simd = rows[[row["network"] for row in rows].index(swept["network"])]["folding"][0][1]
    own = 1 - 0.1 ** (1 / simd)
    crossover = (f"not in this table; for spikes at random\nat a rate of {own:.2f} "
                 f"with its words of {simd}, at {1 - 0.1 ** (1 / 8):.2f} with words of 8, at "
                 f"{1 - 0.1 ** (1 / 32):.2f} with words of 32")
    for row in swept["rows"]:
        a, b = row["sparse"], row["dense"]
        table.append(f"| {row['rate']:.4f} | {a['reads'][0][0]:.1f} of {a['reads'][0][1]} "
                     f"| {a['layers'][0]:,.1f} | {b['layers'][0]:,.1f} "
                     f"| {a['toggles_per_step']:,} "
                     f"| {b['toggles_per_step']:,} |")
        if a["reads"][0][0] > 0.9 * a["reads"][0][1] and crossover.startswith("not"):
            crossover = (f"here at a firing rate of about {row['rate']:.2f}, where less than a "
                         "tenth of the words are empty")
    return TEXT.format(simulated=SIMULATED, units=UNITS, chosen=CHOSEN_BY, tasks="\n".join(lines),
                       swept=swept["network"], sweep="\n".join(table), crossover=crossover)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names in model/networks")
    chosen = parser.parse_args().networks
    names = sorted(path.stem for path in NETWORKS.glob("*.qsnn") if load(path).stream)
    wrong = [name for name in chosen if name not in names]
    if wrong:
        parser.error(f"no network for streams {wrong[0]!r}: there are {', '.join(names)}")
    path = DOCS / "activity.json"
    before = json.loads(path.read_text()) if path.exists() else {"networks": [], "sweep": None}
    rows = {row["network"]: row for row in before["networks"]}
    for name in chosen or names:
        rows[name] = measure(name)
    swept = next((name for name in names if name.startswith("n-mnist")), names[0])
    if not chosen or swept in chosen or not before["sweep"]:
        before["sweep"] = sweep(swept)
    document = {"networks": [rows[name] for name in names if name in rows],
                "sweep": before["sweep"]}
    path.write_text(json.dumps(document, indent=1) + "\n")
    (DOCS / "activity.md").write_text(markdown(document))


if __name__ == "__main__":
    main()
