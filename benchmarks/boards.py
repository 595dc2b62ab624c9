"""The fastest and the smallest networks on each board: placed, routed, several seeds.

    python -m benchmarks.boards              all rows, hours for the largest
    python -m benchmarks.boards up5k-fast    one row; the others stay as they are

Writes docs/boards.json and docs/boards.md. The core is measured without a host link, which has
its own limits: pixels come over a few pins, scores and digests of all spikes and membranes leave
over others. Images a second are Fmax of the routed design (median of the seeds) by the cycles of
an image, which simulation confirms.
"""

import json
import subprocess
import sys
from pathlib import Path

from hw.build import NETWORKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUT = Path("build/boards")
# row: network, board, clock in MHz, seeds, PE and SIMD of each layer, layer in single-port RAM
ROWS = {
    "up5k-fast": ("mnist-128-b2", "icebreaker", 48, 3, [(16, 8), (1, 4)], 0),
    "up5k-wide": ("mnist-256-b2", "icebreaker", 40, 3, [(12, 8), (1, 4)], 0),
    "up5k-small": ("mnist-128-b2", "icebreaker", 40, 3, [(1, 8), (1, 1)], 0),
    "25f": ("mnist-256-256-b2", "colorlight-i5", 110, 3, [(32, 16), (8, 24), (1, 8)], None),
    "85f": ("mnist-256-256-b2", "ulx3s-85f", 100, 1, [(128, 16), (44, 16), (1, 44)], None),
    "85f-small": ("mnist-128-b2", "ulx3s-85f", 125, 3, [(8, 8), (1, 4)], None),
}
TEXT = """# Boards

Cores placed and routed with Yosys and nextpnr, without a host link; what drives their pins is
counted, and is the part `input and link`. T = 4, 2-bit membranes, 8-bit pixels, binary weights;
accuracy is that of the integers on the 10,000 test images. Fmax is the median of the seeds, in
brackets the lowest one; images/s are Fmax by cycles. Every row: `python -m benchmarks.boards ROW`.

{table}
"""


def measure(row):
    """Build a row and return what it came to."""
    network, board, clock, seeds, pairs, spram = ROWS[row]
    OUT.mkdir(parents=True, exist_ok=True)
    folding = OUT / f"{row}.json"
    folding.write_text(json.dumps([{"pe": pe, "simd": simd, "spram": index == spram}
                                   for index, (pe, simd) in enumerate(pairs)]))
    subprocess.run([sys.executable, "scripts/build.py", "--model", network, "--name", row,
                    "--folding", folding, "--out", OUT, "--board", board, "--bitstream", "--bare",
                    "--clock", str(clock), "--seeds", str(seeds)], check=True, cwd=ROOT)
    result = json.loads((OUT / row / board / "result.json").read_text())
    trained = json.loads((NETWORKS / f"{network}.json").read_text())
    return {"row": row, "network": network, "accuracy": trained["test"]["accuracy"],
            **{key: result[key] for key in (
                "board", "shape", "folding", "cycles_per_image", "fmax_mhz", "used", "parts",
                "critical_path", "tools", "description_sha256")}}


def table(rows):
    lines = ["| row | board | network | accuracy | PE x SIMD | logic | RAM blocks | Fmax, MHz "
             "| cycles | images/s |", "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        fmax = row["fmax_mhz"]
        used = row["used"]
        logic = next(used[name][0] for name in ("ICESTORM_LC", "TRELLIS_COMB") if name in used)
        ram = " + ".join(f"{used[name][0]} {label}" for name, label in (
            ("ICESTORM_RAM", "EBR"), ("ICESTORM_SPRAM", "SPRAM"), ("DP16KD", "DP16KD"))
            if used.get(name, [0])[0])
        lines.append(
            f"| `{row['row']}` | {row['board']} | {row['shape']} | {row['accuracy']:.2f} % "
            f"| {', '.join(f'{pe} x {simd}' for pe, simd in row['folding'])} | {logic:,} | {ram} "
            f"| {fmax['median']:.1f} ({fmax['minimum']:.1f}) | {row['cycles_per_image']:g} "
            f"| {fmax['median'] * 1e6 / row['cycles_per_image']:,.0f} |")
    return "\n".join(lines)


def main():
    wanted = sys.argv[1:] or list(ROWS)
    for row in wanted:
        if row not in ROWS:
            sys.exit(f"error: no row {row!r}: there are {', '.join(ROWS)}")
    path = DOCS / "boards.json"
    rows = {row["row"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for row in wanted:
        rows[row] = measure(row)
        ordered = [rows[name] for name in ROWS if name in rows]
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        (DOCS / "boards.md").write_text(TEXT.format(table=table(ordered)))


if __name__ == "__main__":
    main()
