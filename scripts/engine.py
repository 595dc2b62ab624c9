#!/usr/bin/env python3
"""Make the bitstream of a board's engine: once, for every network.

It takes Yosys and nextpnr, and up to an hour; qsnn doctor says whether they are there. What was
made is kept, and qsnn run finds it as long as the engine is the same. Examples:

  qsnn engine --board colorlight-i5

  qsnn engine --board ulx3s-85f --seeds 4        the best of four placements
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from qsnn.hw.board.boards import BoardError
from qsnn.hw.board.cores import FlowError
from qsnn.hw.board.engines import CACHE, build_engine, find_engine
from qsnn.hw.board.toolchain import ToolError
from qsnn.scripts._app import App

app = App()


@app.command(help=__doc__)
def main(
    board: Annotated[str, typer.Option(help="colorlight-i5 or ulx3s-85f")],
    seeds: Annotated[int, typer.Option(min=1, max=64, help="for place and route")] = 1,
    clock: Annotated[float, typer.Option(help="MHz; say the same to qsnn run")] = 0,
    cache: Annotated[Path, typer.Option(help="where engines are kept")] = CACHE,
):
    try:
        recipe = find_engine(board)
        recipe = replace(recipe, clock_hz=round(clock * 1e6)) if clock else recipe
        with Console(stderr=True).status("Verilog") as status:
            bitstream = build_engine(recipe, cache, seeds=seeds,
                                     show=lambda text: status.update(escape(text[:100])))
    except (BoardError, FlowError, ToolError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    result = json.loads((bitstream.parent / "result.json").read_text())
    fmax = result["fmax_mhz"]["best"]
    print(f"clock             {result['clock_mhz']:g} MHz, {fmax:g} were reached")
    for kind, (used, there) in result["used"].items():
        if there > 1:
            print(f"{kind:<16}{used:>8,} of {there:>8,}{used / there:>7.0%}")
    print(f"bitstream         {bitstream}")


if __name__ == "__main__":
    app()
