#!/usr/bin/env python3
"""Turn a network into Verilog and memory images.

Writes into build/<name>/: the Verilog, memory/*.hex, a JSON with ports, widths, folding, cycles
and memory layout, and report.txt, which is printed too. Examples:

  python scripts/build.py --bits 2                     the MNIST network with 2-bit membranes

  python scripts/build.py --model runs/mine/network.qsnn --name mine

  python scripts/build.py --bits 4 --cycles 200        four times as fast, four times as large

  python scripts/build.py --bits 2 --pe 16,8,1 --simd 16,16,4
"""

import _bootstrap  # noqa: F401, I001  first: it finds the packages of this repository

import sys
from pathlib import Path
from typing import Annotated

import typer

from hw.build import DEFAULT_CYCLES, BuildError, build, choose_folding, find_network
from hw.folding import FoldingError
from model.description import DescriptionError, load

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    bits: Annotated[int, typer.Option(help="membrane bits of the MNIST network: 2, 4 or 8")] = 2,
    model: Annotated[str, typer.Option(help="a .qsnn file, or a name in model/networks")] = "",
    name: Annotated[str, typer.Option(help="name of the build folder")] = "",
    out: Annotated[Path, typer.Option(help="where build folders go")] = Path("build"),
    cycles: Annotated[int, typer.Option(min=1, help="cycles an image to aim at")] = DEFAULT_CYCLES,
    pe: Annotated[str, typer.Option(help="neurons at once, one number a layer")] = "",
    simd: Annotated[str, typer.Option(help="synapses at once, one number a layer")] = "",
    folding: Annotated[Path | None, typer.Option(
        help='JSON file: a list of {"pe": 16, "simd": 16}, one a layer')] = None,
):
    try:
        path = find_network(model or f"mnist-256-256-b{bits}")
        name = name or (path.parent.name if path.stem == "network" else path.stem)
        if Path(name).name != name:
            raise BuildError(f"a name of a folder is needed, not {name!r}: say --name")
        description = load(path)
        foldings = choose_folding(description, pe=pe, simd=simd, file=folding, cycles=cycles)
        folder = build(description, foldings, name, out)
    except (BuildError, DescriptionError, FoldingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print((folder / "report.txt").read_text())
    print(f"written to {folder}/")


if __name__ == "__main__":
    app()
