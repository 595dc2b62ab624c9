#!/usr/bin/env python3
"""Load a network's bitstream into a board with openFPGALoader.

Into the FPGA, until power is off, where the board can do that; else, or with --permanent, into
its flash. Examples:

  qsnn flash --board colorlight-i5 build/mnist-256-256-b2

  qsnn flash --board ulx3s-85f --permanent build/mnist-256-256-b2

  qsnn flash --board icebreaker --dry-run build/mine      print the command only
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.board.boards import BoardError, find_board
from qsnn.hw.board.loader import LoaderError, find_bitstream, load, load_command
from qsnn.hw.board.toolchain import ToolError, find
from qsnn.hw.emit.build import BuildError
from qsnn.hw.plan.folding import FoldingError
from qsnn.model.description import DescriptionError
from qsnn.scripts._app import App

app = App()


@app.command(help=__doc__)
def main(
    folder: Annotated[Path, typer.Argument(help="build folder of the network")],
    board: Annotated[str, typer.Option(help="icebreaker, ice40hx8k, colorlight-i5, ulx3s-85f or "
                                            "tang-nano-9k")],
    permanent: Annotated[bool, typer.Option("--permanent", help="into the flash")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the command and stop")] = False,
):
    try:
        target = find_board(board)
        bitstream = find_bitstream(folder, target)
        into_flash = permanent or not target.volatile
        if not dry_run and into_flash and not permanent:
            print(f"the {target.title} is loaded from its flash: this is permanent")
        command = load_command(find("openFPGALoader").path, target, bitstream, into_flash)
        print(shlex.join(command))
        if not dry_run:
            load(command, target)
    except (BoardError, BuildError, DescriptionError, FoldingError, LoaderError,
            ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if not dry_run:
        print(f"{bitstream.name} is in the {'flash' if into_flash else 'FPGA'}"
              f" of the {target.title}")


if __name__ == "__main__":
    app()
