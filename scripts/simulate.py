#!/usr/bin/env python3
"""Stream a test set through the Verilog of a build folder and compare it with the golden model.

The Verilog is compiled by Verilator. Labels, class scores and checksums of all spikes and
membranes must be equal; the exit status is 1 if they are not. Example:

  qsnn simulate build/mnist-256-256-b2
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.emit.build import BuildError, open_build
from qsnn.model.data import DATASETS, DataError
from qsnn.model.description import DescriptionError
from qsnn.scripts._app import App
from qsnn.sim.compiled import compile_model
from qsnn.sim.report import Bar, table
from qsnn.sim.tools import SimulationError
from qsnn.sim.workload import RANDOM, dataset_of, of_dataset, run

app = App()


@app.command(help=__doc__)
def main(
    folder: Path,
    dataset: Annotated[str, typer.Option(help=f"{', '.join(DATASETS)} or {RANDOM}, or an own file; "
                                                "if not given, that of a network that comes "
                                                "along, or of the folder's name")] = "",
    images: Annotated[int, typer.Option(min=0, help="the first so many; 0: all")] = 0,
    pictures: Annotated[bool, typer.Option("--pictures", help="draw spikes, confusion matrix and "
                                                              "firing rates")] = False,
    waves: Annotated[Path | None, typer.Option(help="write a VCD (use few images)")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
):
    try:
        # whatever the memory images are now: that is what is compared
        facts, description = open_build(folder, images=False)
        dataset = dataset or dataset_of(description, folder)
        samples = of_dataset(description, dataset, images or None, encoder=facts["encoder"],
                             data_dir=data_dir)
        if pictures and samples.labels is None:
            raise DataError("--pictures shows classes: random samples have none")
        if waves is not None and waves.is_file() and waves.stat().st_size:
            with waves.open("rb") as file:
                if file.read(1) != b"$":
                    raise DataError(f"{waves} is there and holds no waves: name another file")
        print(f"compiling {folder} ...", flush=True)
        compile_model(folder, facts, waves=waves)
        print(f"streaming {len(samples.samples):,} samples of {dataset} ...", flush=True)
        with Bar(len(samples.samples)) as bar:
            outcome = run(folder, facts, description, samples, waves=waves, progress=bar)
    except (BuildError, DataError, DescriptionError, SimulationError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(table(description, facts, samples.labels, outcome))
    if waves is not None:
        print(f"waves: {waves}")
    if pictures:
        from qsnn.sim.pictures import draw  # slow to import
        for path in draw(folder, description, samples, outcome):
            print(path)
    raise typer.Exit(0 if outcome.ok else 1)


if __name__ == "__main__":
    app()
