"""What a neuron costs, by its leak, its reset and the bits of its membrane.

    python -m benchmarks.neuron

Writes docs/neuron.json and docs/neuron.md, in about three minutes. A lane of
qsnn.hw.core.neuron.NeuronUnit is synthesized on its own: 13-bit sums, signed membranes.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.commands import steps, synthesis
from qsnn.hw.board.toolchain import Job, find, run
from qsnn.hw.core.neuron import NeuronUnit
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.plan.parameters import NeuronParameters
from qsnn.model.leak import leak_of, leak_text

DOCS = Path(__file__).parents[1] / "docs"
LEAKS = [(1, 1), (1, 0), (3, 2), (15, 4), (61, 6), (255, 8)]
RESETS = ("zero", "subtract")
BITS = (2, 4, 8)
SHIFT = 8
MAPPERS = {"ice40": "abc -dress -lut 4; ice40_wrapcarry -unwrap; techmap -map +/ice40/ff_map.v; "
                    "clean; opt_lut -tech ice40", "ecp5": "abc -dress -lut 4; clean"}
SUM_MAX = (1 << 13) - 1
FAMILIES = {"ice40": "icebreaker", "ecp5": "colorlight-i5"}
LUTS = {"SB_LUT4": 1, "LUT4": 1, "CCU2C": 2}  # two LUTs are in a carry of an ECP5
TEXT = """# What a neuron costs

LUTs and flip-flops of a lane, that is of one neuron a cycle, by what stays of a membrane, by reset
and by bits of the membrane: `python -m benchmarks.neuron` ({tools}; 13-bit sums, signed
membranes). 1/2 and zero are Q-SNN's neuron, and the default. Of up to 4 bits the product with the
leak is a table, beyond them sums; there is no multiplier. A reset by subtraction has one more
integer a neuron in a memory.

What is around it, by rows of [Estimate and measurement](estimate.md) that differ in nothing else:
weights that are integers (`w4i`) in place of odd numbers (`w4`) take 7 to 9 % more logic of a
network on an iCE40 or ECP5, since the sum of the inputs is counted once more; a readout of 6
classes whose totals leak, by 1/2 or 15/16, takes 123 to 277 LUTs more.
"""


def parameters(leak, reset, bits):
    return NeuronParameters(sum_max=SUM_MAX, bits=bits, signed=True, shift=SHIFT, frac=0, leak=leak,
                            subtracts=reset == "subtract")


def counts(family, variant):
    """LUTs and flip-flops of a lane of (leak, reset, bits)."""
    # the older ABC: the newer one dies on some of them, see hw.board.commands.remedies
    command = steps(synthesis(BOARDS[FAMILIES[family]]), MAPPERS[family])
    unit = NeuronUnit(lanes=1, parameters=parameters(*variant), time_steps=4)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        (work / "top.v").write_text(to_verilog(unit, "top"))
        run([Job("synthesis", [find("yosys").path, "-p", f"read_verilog top.v; {command}"],
                 "synthesis.log")], work)
        return _cells(work / "netlist.json")


def _cells(netlist):
    cells = Counter(cell["type"] for cell in json.loads(
        netlist.read_text())["modules"]["top"]["cells"].values())
    return (sum(LUTS.get(kind, 0) * count for kind, count in cells.items()),
            sum(count for kind, count in cells.items()
                if kind.startswith(("SB_DFF", "TRELLIS_FF"))))


def page(results):
    text = TEXT.format(tools=results["tools"])
    for family, rows in results["rows"].items():
        text += f"\n## {family}\n\n| stays | reset | " + " | ".join(
            f"{bits} bits" for bits in BITS) + " |\n|---|---|" + "---|" * len(BITS) + "\n"
        for leak in LEAKS:
            for reset in RESETS:
                cells = [rows[f"{leak_text(leak)} {reset} {bits}"] for bits in BITS]
                text += f"| {leak_text(leak)} | {reset} | " + " | ".join(
                    f"{luts} / {flip_flops}" for luts, flip_flops in cells) + " |\n"
    return text


def variant_of(name):
    leak, reset, bits = name.split()
    return leak_of(leak), reset, int(bits)


def main():
    names = [f"{leak_text(leak)} {reset} {bits}" for leak in LEAKS for reset in RESETS
             for bits in BITS]
    results = {"tools": f"Yosys {find('yosys').version}", "rows": {
        family: {name: counts(family, variant_of(name)) for name in names}
        for family in FAMILIES}}
    (DOCS / "neuron.json").write_text(json.dumps(results, indent=1) + "\n")
    (DOCS / "neuron.md").write_text(page(results))


if __name__ == "__main__":
    main()
