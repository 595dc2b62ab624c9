"""Networks for streams, placed and routed, each stage verified: logic, RAM, Fmax, cycles.

    python -m benchmarks.streams                   all rows, half an hour
    python -m benchmarks.streams pendigits-up5k    one row; the others stay as they are

Writes docs/streams-boards.json and docs/streams-boards.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.activity import cycles_of, samples_of
from benchmarks.boards import logic, ram
from qsnn.hw.emit.build import foldings_of, open_build

DOCS = Path(__file__).parents[1] / "docs"
OUT = Path("build/boards")
COUNTED = 300  # test samples whose cycles are counted
# row: network, board, clock in MHz, PE and SIMD of the layers, encoder, samples that go
# through every stage
ROWS = {
    "pendigits-up5k": ("pendigits-128t4-64r-b2", "icebreaker", 12, [(8, 8), (8, 8), (2, 8)], "",
                       100),
    "spoken-up5k": ("spoken-digits-64t8-64t4-b2", "icebreaker", 12, [(8, 8), (8, 8), (2, 8)],
                    "spoken-digits", 1),
    "n-mnist-25f": ("n-mnist-128-64t4-b2", "colorlight-i5", 50, [(32, 2), (32, 2), (2, 32)], "",
                    10),
}
TEXT = """# Networks for streams on boards

Cores placed and routed with Yosys and nextpnr, one seed, without a host link; what drives their
pins is counted too, about 200 cells. Accuracies and tasks are in [streams.md](streams.md), the
ECG network is in [ecg.md](ecg.md).

{table}

- encoder: in gateware, before the network and counted with it
- cycles: of a step of the slowest layer, on average over test samples ({counted} or all); in
  brackets if every word had a spike, as in the dense network
- verified: test samples through each stage; labels, scores and the digests of all spikes and
  membranes are those of the golden model

Each row again: `python -m benchmarks.streams ROW`.
"""


def build(row):
    """Synthesize, place and route."""
    network, board, clock, pairs, encoder, *_ = ROWS[row]
    columns = [",".join(map(str, column)) for column in zip(*pairs, strict=True)]
    subprocess.run([sys.executable, "scripts/build.py", "--model", network, "--name", row, "--out",
                    str(OUT), "--pe", columns[0], "--simd", columns[1], "--board", board,
                    "--bitstream", "--bare", "--clock", str(clock),
                    *(["--encoder", encoder] if encoder else [])],
                   check=True, cwd=DOCS.parent)


def verify(row):
    """Send samples through every stage."""
    network, board, *_, samples = ROWS[row]
    measured = json.loads((DOCS.parent / f"model/networks/{network}.json").read_text())
    subprocess.run([sys.executable, "scripts/verify.py", OUT / row, "--board", board, "--dataset",
                    measured["recipe"]["dataset"], "--images", str(samples)],
                   check=True, cwd=DOCS.parent)


def measured(row):
    """What came of it."""
    network, board, *_ = ROWS[row]
    folder = OUT / row / board
    result, verified = (json.loads((folder / name).read_text())
                        for name in ("result.json", "verify.json"))
    facts, description = open_build(OUT / row)
    _, _, samples = samples_of(network, "test", COUNTED)
    return {"row": row, "network": network, "stages": verified["stages"],
            "samples": verified["images"],
            "cycles_per_step": cycles_of(description, foldings_of(facts), samples)[
                "cycles_per_step"], "dense": result["cycles_per_step"],
            **{key: result[key] for key in ("board", "shape", "folding", "fmax_mhz", "used",
                                            "parts", "tools", "description_sha256", "encoder")}}


def line(row):
    stages = ", ".join(stage["stage"] for stage in row["stages"])
    folding = ", ".join(f"{pe} x {simd}" for pe, simd, _ in row["folding"])
    return (f"| `{row['network']}` | {row['board']} | {row['encoder'] or '-'} | {folding} "
            f"| {logic(row):,} | {ram(row)} | {row['fmax_mhz']['median']:.1f} "
            f"| {row['cycles_per_step']:,.1f} ({row['dense']:,}) "
            f"| {stages} ({row['samples']} sample{'s' * (row['samples'] > 1)}) |")


def page(rows):
    head = ("network", "board", "encoder", "PE x SIMD", "logic", "RAM", "Fmax MHz", "cycles",
            "verified")
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(line, rows)]
    return TEXT.format(table="\n".join(table), counted=COUNTED)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    chosen = parser.parse_args().rows or list(ROWS)
    if wrong := set(chosen) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(wrong))}: there are {', '.join(ROWS)}")
    path = DOCS / "streams-boards.json"
    for row in chosen:
        build(row)
        verify(row)
        there = {old["row"]: old for old in (json.loads(path.read_text()) if path.exists() else [])}
        there[row] = measured(row)
        rows = [there[name] for name in ROWS if name in there]
        path.write_text(json.dumps(rows, indent=1) + "\n")
        (DOCS / "streams-boards.md").write_text(page(rows))


if __name__ == "__main__":
    main()
