#!/usr/bin/env python3
"""Write the program that a board's engine runs for a network, as a file.

It is what qsnn run sends, and what lies in a flash: words of 32 bits, the low byte first, with a
length in front and a CRC behind. Example:

  qsnn program mnist-256-256-b2 --board colorlight-i5 --out mnist.bin
  qsnn program vgg.qsnn --board ulx3s-85f --batch 16 --out vgg.bin --picture vgg.png
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.board.boards import BoardError
from qsnn.hw.board.engines import find_engine
from qsnn.hw.board.running import program_for, rates
from qsnn.hw.emit.build import BuildError, find_network
from qsnn.hw.engine.picture import draw_time
from qsnn.hw.engine.shape import EngineError
from qsnn.model.description import DescriptionError, load
from qsnn.model.files import write_whole
from qsnn.scripts._app import App

app = App()


@app.command(help=__doc__)
def main(
    network: Annotated[str, typer.Argument(help="a .qsnn file, or a network that comes along")],
    board: Annotated[str, typer.Option(help="colorlight-i5 or ulx3s-85f")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    picture: Annotated[Path | None, typer.Option(
        help="a .png of it: which layer works when, array and memory")] = None,
    batch: Annotated[int, typer.Option(min=0, max=16, help="images at once; 0: those "
                                                           "that share its lanes")] = 0,
):
    try:
        recipe = find_engine(board)
        description = load(find_network(network))
        program = program_for(description, recipe, batch)
    except (BoardError, BuildError, DescriptionError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    write_whole(out, program.tobytes())
    if picture:
        write_whole(picture, draw_time(program, recipe.rate, recipe.hz))
    print(f"{'layer':<24}{'groups':>7}{'positions':>11}{'bytes':>12}{'cycles':>11}{'array':>7}"
          f"{'memory':>8}")
    for index, (layer, (cycles, array, memory)) in enumerate(zip(
            program.layers, program.time(recipe.rate).layers, strict=True)):
        print(f"{f'{index} {layer.kind}':<24}{layer.groups:>7,}{layer.positions:>11,}"
              f"{4 * layer.words(recipe.shape):>12,}{cycles:>11,.0f}{array:>7.0%}{memory:>8.0%}")
    print(rates(program, recipe).text)
    print(f"written       {4 * len(program.words):,} bytes to {out}, for the engine "
          f"{recipe.shape.version:08x}, {program.batch} "
          f"{'image' if program.batch == 1 else 'images'} at once, CRC {program.words[-1]:08x}")


if __name__ == "__main__":
    app()
