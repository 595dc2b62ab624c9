#!/usr/bin/env python3
"""Put a retrained network of the same shape into a bitstream, without place and route.

qsnn train --like makes one. The build must have been made with --patchable; only what is in its
memories changes. Examples:

  qsnn build --model runs/mine/network.qsnn --name mine --board icebreaker
  --bitstream --patchable

  qsnn patch build/mine --board icebreaker --model runs/new/network.qsnn
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.board.boards import BoardError, find_board
from qsnn.hw.board.filling import FillError
from qsnn.hw.board.patch import PatchError, patch
from qsnn.hw.board.toolchain import ToolError
from qsnn.hw.emit.build import BuildError, find_network
from qsnn.hw.plan.folding import FoldingError
from qsnn.model.description import DescriptionError
from qsnn.scripts._app import App

app = App()


@app.command(help=__doc__)
def main(
    folder: Annotated[Path, typer.Argument(help="build folder of the bitstream")],
    board: Annotated[str, typer.Option(help="icebreaker, ice40hx8k, colorlight-i5 or ulx3s-85f")],
    model: Annotated[str, typer.Option(help="a .qsnn file, or a name in model/networks")],
    out: Annotated[Path | None, typer.Option(
        help="the new bitstream; beside the build's own if not given")] = None,
):
    start = time.monotonic()
    try:
        path = patch(folder, find_board(board), find_network(model), out)
    except (BoardError, BuildError, DescriptionError, FillError, FoldingError, PatchError,
            ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(f"written to {path} in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    app()
