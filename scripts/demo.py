#!/usr/bin/env python3
"""The whole way in one command: build the 2-bit MNIST network, run its Verilog on 10,000 images.

The Verilog is compared with the golden model, every spike and membrane; pictures are written into
the build folder.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.emit.build import BuildError, build, find_network, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import FoldingError
from qsnn.model.data import DataError
from qsnn.model.description import DescriptionError
from qsnn.model.description import load as load_description
from qsnn.model.files import write_whole
from qsnn.scripts._app import App
from qsnn.sim.compiled import compile_model
from qsnn.sim.report import Bar, table
from qsnn.sim.tools import SimulationError
from qsnn.sim.workload import of_dataset, run

app = App()


@app.command(help=__doc__)
def main(
    bits: Annotated[int, typer.Option(help="membrane bits: 2, 4 or 8")] = 2,
    images: Annotated[int, typer.Option(min=0, help="the first so many; 0: all")] = 0,
    out: Annotated[Path, typer.Option(help="where build folders go")] = Path("build"),
):
    start = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - start:5.1f} s] {text}", flush=True)

    try:
        name = f"mnist-256-256-b{bits}"
        description = load_description(find_network(name))
        say("network to Verilog (the first run compiles Yosys, up to a minute)")
        folder = build(description, choose_folding(description), name, out)
        facts, description = open_build(folder)
        workload = of_dataset(description, "mnist", images or None)
        say("Verilog to a program (Verilator and g++, half a minute)")
        compile_model(folder, facts)
        say(f"{len(workload.samples):,} images through the Verilog, and the golden model")
        with Bar(len(workload.samples)) as bar:
            outcome = run(folder, facts, description, workload, progress=bar)
        say("pictures")
        from qsnn.sim.pictures import draw  # slow to import, wanted at the end only
        paths = draw(folder, description, workload, outcome)
    except (BuildError, DataError, DescriptionError, FoldingError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    text = table(description, facts, workload.labels, outcome)
    write_whole(folder / "result.txt", (text + "\n").encode())
    print(f"\n{text}\n")
    print("\n".join(str(path) for path in [folder / "report.txt", *paths]))
    raise typer.Exit(0 if outcome.ok else 1)


if __name__ == "__main__":
    app()
