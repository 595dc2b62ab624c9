"""The fastest and the smallest networks on each board: placed, routed, several seeds, verified.

    python -m benchmarks.boards              all rows, an hour for the largest
    python -m benchmarks.boards up5k-fast    one row; the others stay as they are
    python -m benchmarks.boards --verify up5k-fast    the build that is there, without a new one
    python -m benchmarks.boards --stream up5k-conv    its Verilog, with all test images

Writes docs/boards.json and docs/boards.md. The core is measured without a host link, which has
its own limits: pixels come over a few pins, scores and digests of all spikes and membranes leave
over others. Images a second are Fmax of the routed design (median of the seeds) by the cycles of
an image, which simulation confirms.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from qsnn.hw.board.boards import find_board
from qsnn.hw.emit.build import NETWORKS, BuildError, folding_rows, open_build
from qsnn.hw.plan.blocks import SPRAM_WIDTH
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.network import plan
from qsnn.model import data
from qsnn.model.description import load
from qsnn.sim.compiled import simulate
from qsnn.sim.stages import STAGES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OUT = Path("build/boards")
IMAGES = 200
# netlists of convolutions take many seconds an image
FEWER = {"25f-conv": 50, "85f-conv": 10, "85f-wide": 4}
IDENTITY = "description_sha256", "folding"
# row: network, board, clock in MHz, seeds, PE and SIMD (and pixels) of each layer, layer in
# single-port RAM, and what keeps it from being faster
ROWS = {
    "up5k-fast": ("mnist-128-b2", "icebreaker", 48, 3, [(16, 8), (1, 4)], 0,
                  "3,000 cells were the aim"),
    "up5k-wide": ("mnist-256-b2", "icebreaker", 40, 3, [(16, 6), (2, 1)], 0, "RAM to hold weights"),
    "up5k-small": ("mnist-128-b2", "icebreaker", 40, 3, [(1, 8), (1, 1)], 0, "meant to be small"),
    "hx8k": ("mnist-128-b2", "ice40hx8k", 60, 3, [(26, 8), (5, 4)], None, "RAM to hold weights"),
    "25f": ("mnist-256-256-b2", "colorlight-i5", 110, 3, [(32, 18), (8, 32), (1, 8)], None,
            "60 % of the logic: more is slower to route"),
    "85f": ("mnist-256-256-b2", "ulx3s-85f", 100, 1, [(64, 32), (32, 32), (2, 16)], None,
            "time to place and route"),
    "85f-small": ("mnist-128-b2", "ulx3s-85f", 125, 3, [(8, 8), (1, 4)], None, "meant to be small"),
    "up5k-conv": ("mnist-conv-b2", "icebreaker", 48, 3,
                  [(8, 1), (4, 16), (8, 7), (1, 3), (1, 1)], None, "RAM and logic"),
    "25f-conv": ("fashion-mnist-conv-b2", "colorlight-i5", 90, 1,
                 [(32, 1, 4), (22, 16), (8, 14), (1, 36), (1, 2)], None, "logic"),
    "85f-conv": ("cifar-10-conv-b2", "ulx3s-85f", 80, 1,
                 [(64, 3, 2), (8, 64), (12, 44), (5, 66), (1, 3)], None, "time to place and route"),
    "85f-wide": ("cifar-10-wide-b2", "ulx3s-85f", 80, 1,
                 [(64, 3, 2), (26, 16), (6, 66), (6, 129), (19, 13), (16, 19), (1, 1)], None,
                 "RAM to hold weights"),
    "tang": ("mnist-128-b2", "tang-nano-9k", 54, 3, [(8, 8), (1, 4)], None, "meant to be small"),
}
TEXT = """# Boards

Cores placed and routed with Yosys and nextpnr, without a host link; what drives their pins is
counted too, about 200 cells. 2-bit membranes, 8-bit pixels, binary weights but where the shape says
`w8` and in the output layer of `25f-conv`, of 8 bits. T is 4 of the fully connected networks, 2 of
those with convolutions.

{table}

- accuracy: of the integers on the 10,000 test images of the network's data set
- PE x SIMD: and x pixels, where a convolution computes several positions at once
- logic: ICESTORM_LC or TRELLIS_COMB of nextpnr, LUT4s of a Gowin; a cell is one of them
- Fmax: of the routed design, the median of the seeds, in brackets the lowest and how many
- cycles: of an image where they follow each other, which simulation confirms; images/s are Fmax by
  cycles. A serial line at 1 Mbaud carries 126 images/s of 784 bytes, SPI at 4 MHz 627: with those
  hosts the line is the limit, on every board
- layers in use: bits of weights that neurons meet, as a part of PE x SIMD x pixels x cycles of each
  layer
- RAM read: bits of weights that a cycle reads, of all that the device's RAMs can read
- verified: {images} distinct test images back to back through each stage, or as many as stand in
  brackets; labels, scores and the digests of all spikes and membranes are those of the golden
  model. Of a Gowin's cells there are no models to simulate. Where a number of images follows, so
  many went through the Verilog of just this row (`python -m benchmarks.boards --stream ROW`), with
  every spike and membrane as it should be; the Verilog of the other networks met its test set
  elsewhere, see `sim/test_compiled.py`

Tools: {tools}.

Every row: `python -m benchmarks.boards ROW`; what it found stands in [boards.json](boards.json).

Spiker+'s own RTL of a 784-128-10 network (arXiv 2401.01141; T = 100, 6-bit weights, 8-bit
membranes) came to 20,633 LUT4, 44.5 MHz and 92,566 simulated cycles with the same tools on the same
FPGA, {spiker:.3f} images/s a cell; `85f-small` gives {small:.1f}, {times:,.0f} times as many.

Cycles of an MNIST image, of those that state them: Spiker+ 92,566 (93.85 %), snn-fpga (arXiv
2507.07284) 52,000 (0.52 ms at 100 MHz, its processor included; no accuracy stated), tinyODIN's own
RTL 264,734 for ten steps of 50 spikes. Here: `up5k-conv` {conv:,.0f} with 99.00 % on an FPGA that
none of them fits, `85f` 100 with 98.58 %.
"""
SPIKER = 44.5e6 / 92_566 / 20_633  # images/s a cell


def build(row, verilog_only=False):
    """Synthesize, place, route and pack a row."""
    network, board, clock, seeds, pairs, spram, _ = ROWS[row]
    OUT.mkdir(parents=True, exist_ok=True)
    folding = OUT / f"{row}.json"
    folding.write_text(json.dumps([
        {"pe": pe, "simd": simd, "pixels": (*pixels, 1)[0], "spram": index == spram}
        for index, (pe, simd, *pixels) in enumerate(pairs)]))
    command = [sys.executable, "scripts/build.py", "--model", network, "--name", row,
               "--folding", folding, "--out", OUT]
    if not verilog_only:
        command += ["--board", board, "--bitstream", "--bare", "--clock", str(clock),
                    "--seeds", str(seeds)]
    subprocess.run(command, check=True, cwd=ROOT)


def is_built(row):
    """Whether the build folder of a row has its network and folding."""
    network, _, _, _, pairs, *_ = ROWS[row]
    try:
        facts, description = open_build(OUT / row)
    except BuildError:
        return False
    return description.hash == load(NETWORKS / f"{network}.qsnn").hash and folding_rows(facts) == [
        [pe, simd, (*pixels, 1)[0]] for pe, simd, *pixels in pairs]


def trained(network):
    """What is known of a network's training."""
    return json.loads((NETWORKS / f"{network}.json").read_text())


def measured(row):
    """What a row that is built came to."""
    network, board = ROWS[row][:2]
    result = json.loads((OUT / row / board / "result.json").read_text())
    facts, _ = open_build(OUT / row)
    return {"row": row, "network": network, "accuracy": trained(network)["test"]["accuracy"],
            "latency": facts["latency"],
            **{key: result[key] for key in (
                "board", "shape", "folding", "cycles_per_image", "fmax_mhz", "used", "parts",
                "critical_path", "tools", "description_sha256")}}


def verify(row):
    """Send images through every stage of a row that is built; what came of it."""
    network, board = ROWS[row][:2]
    subprocess.run([sys.executable, "scripts/verify.py", OUT / row, "--board", board, "--dataset",
                    trained(network)["recipe"]["dataset"], "--images",
                    str(FEWER.get(row, IMAGES))], check=True, cwd=ROOT)
    return json.loads((OUT / row / board / "verify.json").read_text())


def stream(row, images):
    """Send test images through the Verilog of a row, built if it is not; what came of it."""
    if not is_built(row):
        build(row, verilog_only=True)
    facts, description = open_build(OUT / row)
    pixels, labels = data.load(trained(ROWS[row][0])["recipe"]["dataset"], "test")
    pixels, labels = pixels[:images], labels[:images]
    outcome = simulate(OUT / row, facts, description,
                       data.quantize_pixels(pixels, description.input_bits))
    return {"images": len(pixels), "correct": int((outcome.labels == labels).sum()),
            "cycles_per_image": outcome.cycles_per_image, "mismatches": outcome.mismatches}


def bandwidth(row):
    """Bits of weights that a cycle reads, of all that the RAMs could give; in per cent."""
    board = find_board(row["board"])
    read = sum(pe * simd for pe, simd, _ in row["folding"])
    return 100 * read / (board.ram_blocks * board.ram_width + SPRAM_WIDTH * (board.spram_bits > 0))


def in_use(row):
    """Utilisation in per cent of each :class:`qsnn.hw.plan.layers.PlannedLayer`."""
    description = load(NETWORKS / f"{row['network']}.qsnn")
    spram = ROWS[row["row"]][5]
    layers = plan(description, [Folding(pe, simd, index == spram, pixels) for index, (
        pe, simd, pixels) in enumerate(row["folding"])]).layers
    return [100 * planned.utilisation for planned in layers]


def folding_text(numbers):
    """PE x SIMD, and x pixels if they are several."""
    return " x ".join(map(str, numbers[:2] if numbers[2] == 1 else numbers))


def logic(row):
    return next(row["used"][name][0] for name in ("ICESTORM_LC", "TRELLIS_COMB", "LUT4")
                if name in row["used"])


def ram(row):
    """Block RAMs in use, with the names of their kinds."""
    kinds = {"ICESTORM_RAM": "EBR", "ICESTORM_SPRAM": "SPRAM", "DP16KD": "DP16KD",
             "BSRAM": "BSRAM"}
    return " + ".join(f"{row['used'][kind][0]} {label}" for kind, label in kinds.items()
                      if row["used"].get(kind, [0])[0])


def rate(row):
    """Images/s of the core."""
    return row["fmax_mhz"]["median"] * 1e6 / row["cycles_per_image"]


def table(rows):
    lines = ["| row | board | network | accuracy | PE x SIMD | logic | RAM blocks | Fmax, MHz "
             "| cycles | layers in use | images/s | images/s a cell | latency, us | RAM read "
             "| limited by | verified |", "|---" * 16 + "|"]
    for row in rows:
        fmax = row["fmax_mhz"]
        equal = [stage["stage"] for stage in row.get("verified", {"stages": []})["stages"]
                 if not any(stage["mismatches"].values())]
        if equal and row["verified"]["images"] != IMAGES:
            equal[-1] += f" ({row['verified']['images']} images)"
        if "streamed" in row and not any(row["streamed"]["mismatches"].values()):
            equal.append(f"{row['streamed']['images']:,} images")
        lines.append(
            f"| `{row['row']}` | {row['board']} | {row['shape']} | {row['accuracy']:.2f} % "
            f"| {', '.join(map(folding_text, row['folding']))} "
            f"| {logic(row):,} | {ram(row)} "
            f"| {fmax['median']:.1f} ({fmax['minimum']:.1f} of {len(fmax['seeds'])}) "
            f"| {row['cycles_per_image']:g} "
            f"| {', '.join(f'{part:.0f}' for part in in_use(row))} % | {rate(row):,.0f} "
            f"| {rate(row) / logic(row):.2f} | {row['latency'] / fmax['median']:.0f} "
            f"| {bandwidth(row):.0f} % | {ROWS[row['row']][-1]} | {', '.join(equal) or 'not'} |")
    return "\n".join(lines)


def short_line(row):
    """A row as README.md has it."""
    return (f"| `{row['row']}` | {row['board']} | {row['shape']} | {row['accuracy']:.2f} % "
            f"| {logic(row):,} | {ram(row)} | {row['fmax_mhz']['median']:.1f} "
            f"| {row['cycles_per_image']:g} | {rate(row):,.0f} |")


def page(rows):
    small = next((row for row in rows if row["row"] == "85f-small"), rows[0])
    tools = {f"{tool} {version}" for row in rows for tool, version in row["tools"].items()}
    each = rate(small) / logic(small)
    return TEXT.format(table=table(rows), tools=", ".join(sorted(tools)), images=IMAGES,
                       spiker=SPIKER, small=each, times=each / SPIKER,
                       conv=next(row["cycles_per_image"] for row in rows
                                 if row["row"] == "up5k-conv"))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--verify", action="store_true", help="what is built, without building it")
    parser.add_argument("--stream", action="store_true", help="test images through its Verilog")
    parser.add_argument("--images", type=int, default=10_000, help="of those, the first")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            sys.exit(f"error: no row {row!r}: there are {', '.join(ROWS)}")
    for row in options.rows or ROWS:
        if options.stream:
            write(row, {"streamed": stream(row, options.images)})
            continue
        if not options.verify:
            build(row)
        result = measured(row)
        if find_board(ROWS[row][1]).family in STAGES:
            result["verified"] = verify(row)
        write(row, result)


def write(row, result):
    """Put what was found of a row into the documents."""
    path = DOCS / "boards.json"
    # read only now: another row may have been measured meanwhile
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = {known["row"]: known for known in rows}
    old = rows.get(row, {})
    if any(old.get(key) != result.get(key, old.get(key)) for key in IDENTITY):
        old = {}  # what went through another Verilog says nothing of this one
    rows[row] = old | result
    ordered = [rows[name] for name in ROWS if name in rows]
    path.write_text(json.dumps(ordered, indent=1) + "\n")
    (DOCS / "boards.md").write_text(page(ordered))


if __name__ == "__main__":
    main()
