#!/usr/bin/env python3
"""Write a network as floats that other tools read.

  qsnn export mnist-128-b2 --nir mine.nir

A NIR file has no membranes of few bits: the .qsnn file is what hardware is built of, and travels
beside it. Inputs are pixels of 0 to 1, the sums of the last node over all steps are the scores.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.emit.build import BuildError, network_of
from qsnn.model.description import DescriptionError
from qsnn.model.graphs import GraphError, write_nir
from qsnn.scripts._app import App

app = App()
OURS = (".qsnn", ".safetensors", ".json")


@app.command(help=__doc__)
def main(
    network: Annotated[str, typer.Argument(
        help="a network that comes along, a .qsnn file or a build folder")],
    nir: Annotated[Path, typer.Option(help="the file to write")],
):
    try:
        description = network_of(network)
        if nir.suffix in OURS:
            raise GraphError(f"{nir}: a NIR file is written, and {nir.suffix} is what networks of "
                             f"ours end with: say --nir {nir.with_suffix('.nir').name}")
        write_nir(description, nir)
    except (BuildError, DescriptionError, GraphError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    steps = description.time_steps
    print(f"{description.shape} written to {nir}: steps of 1e-4 s, "
          f"{f'{steps} of them an image' if steps else 'a stream'}; neurons reset "
          f"{'by subtraction' if description.hidden[0].reset == 'subtract' else 'to zero'} and "
          "fire above their threshold")
    print(f"read it again with qsnn import {nir} --from qsnn"
          + " --reset subtract" * (description.hidden[0].reset == "subtract")
          + f" --time-steps {steps}" * bool(steps) + " --dataset ...")


if __name__ == "__main__":
    app()
