"""How far the estimate of qsnn.hw.plan.estimate is from what the tools find: synthesized and
packed designs.

    python -m benchmarks.estimate            all rows, about half an hour
    python -m benchmarks.estimate mnist-128  rows whose name begins so; the others stay
    python -m benchmarks.estimate again      all estimates, but no measurement

Writes docs/estimate.json and docs/estimate.md. Logic is what nextpnr places: routing changes
nothing of it. Networks of a shape are random, those with a name are trained.
"""

import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.commands import synthesis
from qsnn.hw.board.cores import Options, make_core, memory_images
from qsnn.hw.board.flow import synthesize, write_sources
from qsnn.hw.board.toolchain import Job, ToolError, find, run
from qsnn.hw.board.top import BoardTop
from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.network import plan
from qsnn.model.description import load
from qsnn.model.leak import leak_of
from tests.networks import random_description, random_maps
from tests.streams import random_map_stream

DOCS = Path(__file__).parents[1] / "docs"
PLACE = {"ice40": ["--package", "sg48", "--pcf-allow-unconstrained", "--pcf"],
         "ecp5": ["--package", "CABGA381", "--lpf-allow-unconstrained", "--lpf"]}
LOGIC = {"ICESTORM_LC", "TRELLIS_COMB"}
RAM = {"ICESTORM_RAM", "DP16KD"}
# network, or its widths, T, bits of membranes and pixels; PE, SIMD and, for several, pixels; core.
# The first were there when the estimate's numbers were fitted, the others came later
FITTED = [
    ("64-32-10 T4 b2 p8", "4,1 4,4", "bare"),
    ("mnist-128-b2", "16,1 8,4", "bare"),
    ("mnist-128-b2", "8,1 16,8", "bare"),
    ("100-40-30-10 T8 b4 p1", "8,6,2 10,8,6", "bare"),
    ("60-50-10 T1 b8 p4", "10,2 6,10", "bare"),
    ("49-20-6 T6 b5 p2", "5,3 7,4", "bare"),
    ("64-32-10 T4 b2 p8", "4,1 4,4", "link"),
    ("64-32-10 T4 b2 p8", "4,1 4,4", "loadable"),
    ("40-24-12-5 T3 b3 p4", "6,4,1 8,6,4", "bare"),
]
LATER = [
    ("128-64-10 T8 b2 p1", "8,2 16,8", "bare"),
    ("196-48-10 T2 b6 p8", "12,2 14,12", "link"),
    ("mnist-128-b2", "4,1 14,2", "loadable"),
    ("16x16x1-c8k3-p2-c16k3-p2-fc32-10 T2 b2 p8", "8,4,2,1 1,8,8,2", "bare"),
    ("16x16x1-c8k3-p2-c16k3-p2-fc32-10 T2 b2 p8", "8,16,2,1 1,4,8,2 4,2,1,1", "bare"),
    ("12x12x3-c8k3w8-a2-c12k3-10 T3 b4 p8", "4,6,1 3,4,12", "bare"),
    ("10x14x1-c8k3-r8-r12s2-10 T2 b3 p4", "8,4,4,6,6,1 1,8,8,4,4,6", "link"),
]
ROWS = {f"{name}, {folding}, {core}, {board}": (name, folding, core, board, index < len(FITTED))
        for board in ("icebreaker", "colorlight-i5")
        for index, (name, folding, core) in enumerate(FITTED + LATER)}
ROWS |= {f"{name}, {folding}, {core}, {board}": (name, folding, core, board, False)
         for name, folding, core, board in [
             ("mnist-128-b2", "15,2 8,1 spram", "loadable", "icebreaker"),
             ("784-256-10 T4 b2 p8", "12,1 8,4 spram", "bare", "icebreaker"),
             ("mnist-256-256-b4", "16,8,1 16,16,4", "link", "colorlight-i5"),
             ("mnist-256-256-b2", "24,12,2 18,12,6", "link", "colorlight-i5")]}
# time-serial layers: networks for streams, with their encoder or not, and layers behind others
SERIAL = [
    ("pendigits-128t4-64r-b2", "8,8,2 8,8,8", "bare"),
    ("pendigits-128t4-64r-b2", "2,4,1 16,4,4", "bare"),
    ("ecg-32t24-32t4-b2", "8,8,1 8,8,8", "bare"),
    ("ecg-32t24-32t4-b2", "1,1,1 8,8,8", "bare"),
    ("ecg-32t24-32t4-b4", "4,4,1 8,16,8 encoder=ecg", "link"),
    ("spoken-digits-64t8-64t4-b2", "8,8,2 8,8,8 encoder=spoken-digits", "bare"),
    ("mnist-128-b2", "8,1 16,8 serial=1", "link"),
    ("100-40-30-10 T8 b4 p1", "8,6,2 10,8,6 serial=1", "bare"),
]
ROWS |= {f"{name}, {folding}, {core}, {board}": (name, folding, core, board, True)
         for board in ("icebreaker", "colorlight-i5") for name, folding, core in SERIAL}
# streams with weights of several bits, and with convolutions
STREAMS = [
    ("24-fc32w4t4-fc24w4-5 stream", "8,8,2 8,8,8", "bare"),
    ("16x16x2-c8k3-a2-c8k3-p2-fc16w4-5 stream", "8,8,4,1 2,8,4,8", "bare"),
    ("16x12x2-c8k5s2w4-c8k3w4-a2-12-5 stream", "4,8,2,1 2,4,8,4", "bare"),
]
ROWS |= {f"{name}, {folding}, {core}, {board}": (name, folding, core, board, False)
         for board in ("icebreaker", "colorlight-i5") for name, folding, core in STREAMS}
# the same networks with weights that are odd numbers and integers, with and without a leak of the
# readout
CODED = [
    *((f"16x16x1-c8k3{code}-p2-c16k3{code}-p2-fc32{code}-10 T2 b2 p8", "8,4,2,1 1,8,8,2", "bare")
      for code in ("w2", "w2i", "w4", "w4i")),
    *((f"49-20-6 T6 b5 p2{leak}", "5,3 7,4", "bare") for leak in ("", " 1/2", " 15/16")),
]
ROWS |= {f"{name}, {folding}, {core}, {board}": (name, folding, core, board, False)
         for board in ("icebreaker", "colorlight-i5") for name, folding, core in CODED
         if f"{name}, {folding}, {core}, {board}" not in ROWS}
TEXT = """# Estimate and measurement

What `hw/plan/estimate.py` says before synthesis and what the tools find: `python -m
benchmarks.estimate` ({tools}).
Logic is ICESTORM_LC of an iCE40 or TRELLIS_COMB of an ECP5 after packing, RAM is ICESTORM_RAM or
DP16KD. PE and SIMD are those of the layers, and pixels where there is a third list; "spram" has the
first layer's weights in single-port RAM, "serial=1" has layers from 1 on serial, "encoder" says
what stands before a stream. Networks given as widths, T, bits of membranes and of
pixels are random, and so are those given as words of `model/architecture.py`; "stream" is of steps.
Words of layers that end in w4 have weights that are odd numbers, in w4i integers of 4 bits; a leak
at the end is that of the readout.
Rows with a star were
used to fit the numbers in `hw/plan/estimate.py`.

{table}

{summary}
"""


def network(name):
    """A trained network, or a random one of the shape in the name."""
    if " " not in name:
        return load(NETWORKS / f"{name}.qsnn")
    shape, *numbers = name.split()
    if numbers == ["stream"]:
        inputs, *words, classes = shape.split("-")
        return random_map_stream(np.random.default_rng(1), words, tuple(
            map(int, inputs.split("x"))), int(classes))
    if "/" in numbers[-1]:
        whole = network(name.rpartition(" ")[0])
        return replace(whole, layers=[*whole.layers[:-1], replace(
            whole.layers[-1], leak=leak_of(numbers[-1]))])
    steps, membrane_bits, input_bits = (int(number[1:]) for number in numbers)
    widths = shape.split("-")
    if "x" in widths[0]:
        return random_maps(np.random.default_rng(1), words=widths[1:-1], classes=int(widths[-1]),
                           image=tuple(map(int, widths[0].split("x"))), time_steps=steps,
                           membrane_bits=membrane_bits, input_bits=input_bits)
    return random_description(np.random.default_rng(1), widths=widths,
                              time_steps=steps, membrane_bits=membrane_bits,
                              input_bits=input_bits, signed=False)


def measure(name, folding, core, board, fitted, *, cells=None):
    """Estimate, synthesize and pack a design; ``cells``: logic and RAM that are known."""
    board, description = BOARDS[board], network(name)
    pe, simd, *rest = folding.split()
    words = dict(word.split("=") for word in rest if "=" in word)
    foldings = choose_folding(
        description, pe=pe, simd=simd, pixels=next((word for word in rest if "," in word), None),
        serial=int(words["serial"]) if "serial" in words else None)
    if "spram" in rest:
        foldings[0] = replace(foldings[0], spram=True)
    options = dict(bare=core == "bare", loadable=core == "loadable",
                   encoder=words.get("encoder", ""))
    expected = estimate(board, plan(description, foldings), **options)
    if cells is None:
        design = make_core(description, foldings, board.core_hz,
                           Options(board, board.core_hz, **options), "top")
        Path("build").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir="build") as work:
            counts = pack(Path(work), board, design)
        cells = [sum(counts[kind] for kind in kinds) for kinds in (LOGIC, RAM)]
    return {"network": name, "folding": folding, "core": core, "board": board.name,
            "fitted": fitted,
            "logic": [expected.logic, cells[0]], "blocks": [expected.blocks, cells[1]]}


def pack(work, board, design):
    """Kinds of cells of the packed design, counted."""
    write_sources(work, design, BoardTop(board, design, board.core_hz), memory_images(design))
    synthesize(work, f"read_verilog -DQSNN_{board.family.upper()} top.v", synthesis(board))
    run([Job("packing", [find(f"nextpnr-{board.family}").path, f"--{board.device}",
                         *PLACE[board.family], board.constraints.name, "--json", "netlist.json",
                         "--pack-only", "--write", "packed.json"], "packing.log")], work)
    cells = json.loads((work / "packed.json").read_text())["modules"]["top"]["cells"]
    return Counter(cell["type"] for cell in cells.values())


def error(row):
    return row["logic"][0] / row["logic"][1] - 1


def table(rows):
    lines = ["| network | PE and SIMD | core | board | logic, estimated | measured | error "
             "| RAM, estimated | measured |", "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        logic, blocks = row["logic"], row["blocks"]
        lines.append(f"| {row['network']}{' *' * row['fitted']} | {row['folding']} | {row['core']} "
                     f"| {row['board']} | {logic[0]:,} | {logic[1]:,} | {error(row):+.1%} "
                     f"| {blocks[0]} | {blocks[1]} |")
    return "\n".join(lines)


def summary(rows):
    exact = sum(row["blocks"][0] == row["blocks"][1] for row in rows)
    new = [row for row in rows if not row["fitted"]]
    worst = max(rows, key=lambda row: abs(error(row)))
    return (f"Block RAMs are exact in {exact} of {len(rows)} rows. Logic is off by "
            f"{np.mean([abs(error(row)) for row in rows]):.1%} on average"
            + (f", by {np.mean([abs(error(row)) for row in new]):.1%} in rows without a star"
               if new else "") + f", by {abs(error(worst)):.1%} at most.")


def main():
    again = sys.argv[1:] == ["again"]
    wanted = list(ROWS) if again else [
        row for row in ROWS if row.startswith(tuple(sys.argv[1:]) or "")]
    if not wanted:
        sys.exit("error: no such row: they begin " + ", ".join(sorted(
            {repr(row.split(",")[0]) for row in ROWS})))
    path = DOCS / "estimate.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    versions = {name: find(name).version for name in ("yosys", "nextpnr-ice40", "nextpnr-ecp5")}
    for name in wanted:
        if again and name not in rows:
            continue
        known = rows[name] if again else None
        try:
            rows[name] = measure(*ROWS[name],
                                 cells=known and [known["logic"][1], known["blocks"][1]])
        except ToolError as error:  # ABC of Yosys 0.70 dies on some netlists, whatever it is asked
            rows.pop(name, None)
            print(f"{name}: left out, {error}", flush=True)
        rows = {row: rows[row] for row in ROWS if row in rows}
        path.write_text(json.dumps({"tools": versions, "rows": rows}, indent=1) + "\n")
        (DOCS / "estimate.md").write_text(TEXT.format(
            tools=", ".join(f"{tool} {version}" for tool, version in versions.items()),
            table=table(rows.values()), summary=summary(rows.values())))
        if name in rows:
            print(f"{name}: {rows[name]['logic']}, {rows[name]['blocks']}", flush=True)


if __name__ == "__main__":
    main()
