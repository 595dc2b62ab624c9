#!/usr/bin/env python3
"""Run a network on a board's engine: one bitstream for all networks, no synthesis.

The network becomes a program, which goes over the serial line into the board's memory: a matter of
seconds. Then the board is asked for test images; labels and scores are compared with the golden
model, and the exit status is 1 if they differ. If the board has no engine yet, the one that was
made by qsnn engine is loaded first. Without --port and --sim it is only said how fast it would be.
Examples:

  qsnn run mnist-256-256-b2 --board colorlight-i5                   an estimate

  qsnn run mnist-256-256-b2 --board ulx3s-85f --port /dev/ttyUSB0

  qsnn run runs/mine/network.qsnn --board ulx3s-85f --port /dev/ttyUSB0 --dataset cifar-10

  qsnn run mnist-conv-b2 --board colorlight-i5 --sim --images 8     the engine's Verilog, and a
  model of the memory chip, in place of a board
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from qsnn.hw.board.boards import BoardError
from qsnn.hw.board.engines import CACHE, find_engine
from qsnn.hw.board.loader import LoaderError
from qsnn.hw.board.running import attach, program_for, rates
from qsnn.hw.board.toolchain import ToolError
from qsnn.hw.emit.build import BuildError, find_network
from qsnn.hw.engine.shape import EngineError
from qsnn.hw.link.driver import LinkError
from qsnn.model.data import DataError
from qsnn.model.description import DescriptionError, load
from qsnn.model.golden import infer
from qsnn.scripts._app import App
from qsnn.sim.link import simulated_port
from qsnn.sim.remote import compile_remote, open_remote
from qsnn.sim.report import Bar
from qsnn.sim.tools import SimulationError
from qsnn.sim.workload import dataset_of, of_dataset

app = App()


@app.command(help=__doc__)
def main(
    network: Annotated[str, typer.Argument(help="a .qsnn file, or a network that comes along")],
    board: Annotated[str, typer.Option(help="colorlight-i5 or ulx3s-85f")],
    port: Annotated[str, typer.Option(help="of the board: /dev/ttyUSB0")] = "",
    sim: Annotated[bool, typer.Option("--sim", help="simulate the engine; the first time it is "
                                                    "compiled, some minutes")] = False,
    images: Annotated[int, typer.Option(min=0, help="test images; 0: all")] = 20,
    batch: Annotated[int, typer.Option(min=0, max=16, help="images at once; 0: those "
                                                           "that share its lanes")] = 0,
    dataset: Annotated[str, typer.Option(help="if not given, the one it was trained for")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
    clock: Annotated[float, typer.Option(help="of the engine, MHz, if another one was made")] = 0,
    cache: Annotated[Path, typer.Option(help="where engines are kept")] = CACHE,
):
    try:
        if port and sim:
            raise LinkError("either --port or --sim, not both")
        recipe = find_engine(board)
        recipe = replace(recipe, clock_hz=round(clock * 1e6)) if clock else recipe
        path = find_network(network)
        description = load(path)
        program = program_for(description, recipe, batch)
        print(f"network       {description.shape}, T = {description.time_steps}: a program of "
              f"{4 * len(program.words):,} bytes, {program.batch} "
              f"{'image' if program.batch == 1 else 'images'} at once")
        print(rates(program, recipe).text, flush=True)
        if not (port or sim):
            return
        workload = of_dataset(description, dataset or dataset_of(description, path.parent),
                              images or None, data_dir=data_dir)
        with ExitStack() as stack:
            device = stack.enter_context(_simulated(stack, recipe, cache) if sim
                                         else attach(recipe, port, cache))
            with Bar(len(program.words), "words") as bar:
                seconds = device.load(program.words, program.batch, progress=bar)
            start = time.monotonic()
            with Bar(len(workload.samples), "images") as bar:
                labels, scores = device.infer(workload.samples, progress=bar)
            asked, resent, brief = time.monotonic() - start, device.resent, device.running.brief
    except (BoardError, BuildError, DataError, DescriptionError, EngineError, LinkError,
            LoaderError, SimulationError, ToolError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    where = " of simulation" if sim else ""
    print(f"loaded        in {seconds:.1f} s{where}" if seconds else "loaded        it was there")
    if workload.labels is not None:
        print(f"right         {(labels == workload.labels).sum():,} of {len(labels):,}")
    result = infer(description, workload.samples)
    wanted = result.scores.max(axis=1, keepdims=True) if brief else result.scores
    same = (labels == result.labels) & (scores == wanted).all(axis=1)
    print(f"golden model  {same.sum():,} of {len(labels):,} equal, label and scores")
    print(f"images/s      {len(labels) / asked:,.1f} measured{where}; sent again {resent:,}")
    raise typer.Exit(0 if same.all() else 1)


def _simulated(stack, recipe, cache):
    print(f"compiling the engine of the {recipe.target.title}, if it is not there yet ...",
          flush=True)
    simulated = compile_remote(cache / "simulation", recipe.shape, recipe.chip,
                               clock_hz=recipe.clocks[0],
                               late=recipe.late, memory_hz=recipe.clocks[1])
    return open_remote(stack.enter_context(simulated_port(simulated)))


if __name__ == "__main__":
    app()
