"""The ECG network on an iCE40UP5K: routed, every stage checked, all test beats through its Verilog.

    python -m benchmarks.ecg             build, verify, stream; half an hour
    python -m benchmarks.ecg --stream    the beats alone; the rest stays as it is

Writes docs/ecg.json and docs/ecg.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from qsnn.hw.emit.build import foldings_of, open_build
from qsnn.hw.plan.activity import activity, step_counts
from qsnn.hw.plan.network import plan
from qsnn.model.data import load_beats
from qsnn.model.recordings import TASKS, encode_beats
from qsnn.sim.beats import pack_heartbeats
from qsnn.sim.steps import simulate_steps

ROOT = Path(__file__).parents[1]
NETWORK, BOARD = "ecg-32t24-32t4-b2", "icebreaker"
OUT = Path("build/boards")
FOLDING = "--pe", "8,8,1", "--simd", "8,8,8"
CLOCK = 12  # MHz: the board's oscillator, without a PLL
BEATS = 100
RATE = 90  # steps a second, of two samples
CHUNK = 5000  # beats whose words are counted at once
TEXT = """# The ECG network on an iCE40UP5K

`{network}` ({shape}, {membranes}-bit membranes, {weights:,} bits of weights) with its encoder:
samples of 180 Hz go in, decisions come out. Patients of the test were never seen in training (DS1
and DS2 of de Chazal 2004). On an iCEBreaker, from its oscillator of {clock} MHz:

| | |
|---|---|
| logic cells | {logic:,} of {logic_all:,}, {around:,} of them encoder, pins and digests |
| block RAMs | {ram} of {ram_all} |
| Fmax | {fmax:g} MHz |
| cycles a step, mean and most of all test beats | {mean:,.0f}, {most:,} |
| lowest clock that keeps up, every step at its worst, 180 samples/s | {lowest:.1f} kHz |
| the same at 360 samples/s | {double:.1f} kHz |
| idle at {clock} MHz | {idle:.2f} % of all cycles; the registers stand still then |
| {beats} beats through RTL, netlist, routed netlist and bitstream | {stages} |
| all {count:,} test beats, {steps:,} steps, through the Verilog | {mismatches} mismatches |
| accuracy of the Verilog | {accuracy:.2f} % |

| class | sensitivity | precision |
|---|---|---|
{classes}

A mismatch is a label, a score, or a checksum or digest of all spikes or membranes of a layer. A
step is gone through by one layer after the other; its cycles are those of all layers and of the
encoder. Made by `python -m benchmarks.ecg`.
"""


def build():
    """Synthesize, place, route, and send beats through every stage; what came of it."""
    script = [sys.executable, "scripts/build.py", "--model", NETWORK, "--name", NETWORK, "--out",
              str(OUT), "--encoder", "ecg", *FOLDING, "--board", BOARD, "--bitstream", "--bare",
              "--clock", str(CLOCK)]
    subprocess.run(script, check=True, cwd=ROOT)
    subprocess.run([sys.executable, "scripts/verify.py", OUT / NETWORK, "--board", BOARD,
                    "--images", str(BEATS)], check=True, cwd=ROOT)
    folder = OUT / NETWORK / BOARD
    result, verified = (json.loads((folder / name).read_text())
                        for name in ("result.json", "verify.json"))
    return {"result": {key: result[key] for key in (
                "board", "shape", "folding", "clock_mhz", "fmax_mhz", "used", "parts", "tools",
                "description_sha256", "encoder")}, "stages": verified["stages"]}


def stream():
    """All test beats through the Verilog; and the cycles that a step takes."""
    folder = OUT / NETWORK
    facts, description = open_build(folder)
    samples, intervals, records, labels = load_beats("test")
    x = encode_beats(samples, intervals, records)
    count, length, inputs = x.shape
    last = np.arange(count * length) % length == length - 1
    outcome = simulate_steps(folder, facts, description, x.reshape(-1, inputs), last, last,
                             signal=pack_heartbeats(facts, samples, intervals, records))
    stages = plan(description, foldings_of(facts)).stages
    cycles = []
    for start in range(0, count, CHUNK):
        counts = step_counts(stages, *activity(description, x[start:start + CHUNK]))
        cycles.append(sum(stage.step_cycles(words)
                          for stage, words in zip(stages, counts, strict=True)))
    words = stages[0].in_words
    # of the encoder: two for the sum and the crossings, a word a cycle; then the list is whole
    cycles = np.concatenate(cycles) + 3 + words
    confusion = np.zeros((len(TASKS["ecg"].classes),) * 2, int)
    np.add.at(confusion, (labels, outcome.labels), 1)
    return {"beats": count, "steps": outcome.steps, "mismatches": outcome.mismatches,
            "verilog_cycles": outcome.cycles, "correct": int((outcome.labels == labels).sum()),
            "confusion": confusion.tolist(), "membrane_bits": description.hidden[0].membrane_bits,
            "weight_bits": description.weight_bits, "rates": outcome.rates,
            "reads": outcome.reads, "mean_cycles": round(float(cycles.mean()), 1),
            "most_cycles": int(cycles.max())}


def markdown(document):
    result, found = document["result"], document["stream"]
    confusion = np.array(found["confusion"])
    right, there, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    rows = [f"| {name} | {100 * right[k] / max(1, there[k]):.2f} % of {there[k]:,} "
            f"| {100 * right[k] / max(1, said[k]):.2f} % |"
            for k, name in enumerate(TASKS["ecg"].classes)]
    wrong = [sum(stage["mismatches"].values()) for stage in document["stages"]]
    logic, ram = result["used"]["ICESTORM_LC"], result["used"]["ICESTORM_RAM"]
    return TEXT.format(
        network=NETWORK, shape=result["shape"], membranes=found["membrane_bits"],
        weights=found["weight_bits"], clock=CLOCK, logic=logic[0], logic_all=logic[1],
        around=result["parts"]["input and link"]["logic"], ram=ram[0], ram_all=ram[1],
        fmax=result["fmax_mhz"]["median"], mean=found["mean_cycles"], most=found["most_cycles"],
        lowest=found["most_cycles"] * RATE / 1000,
        idle=100 * (1 - found["mean_cycles"] * RATE / (CLOCK * 1e6)), beats=BEATS,
        stages=f"{', '.join(map(str, wrong))} mismatches", count=found["beats"],
        steps=found["steps"], mismatches=sum(found["mismatches"].values()),
        double=2 * found["most_cycles"] * RATE / 1000,
        accuracy=100 * found["correct"] / found["beats"], classes="\n".join(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", action="store_true", help="the beats alone")
    path = ROOT / "docs" / "ecg.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    if not parser.parse_args().stream:
        document |= build()
        path.write_text(json.dumps(document, indent=1) + "\n")
    document["stream"] = stream()
    path.write_text(json.dumps(document, indent=1) + "\n")
    (ROOT / "docs" / "ecg.md").write_text(markdown(document))


if __name__ == "__main__":
    main()
