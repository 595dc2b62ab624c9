#!/usr/bin/env python3
"""Ask an accelerator for the labels of pictures, of recordings, or of samples of a data set.

The accelerator is a board at a serial port or at SPI, or its Verilog, simulated down to the pins of
that line. With a build folder, labels and scores are compared with the golden model; the exit
status is 1 if they differ. Where a host can load the memories (qsnn build --loadable), what
is in them is compared with the network, and loaded where it differs. Networks for streams have no
host link: their Verilog is simulated without one. Examples:

  qsnn infer --port /dev/ttyUSB1 seven.png four.png

  qsnn infer --port /dev/ttyUSB1 --build build/mnist-256-256-b2 --dataset mnist

  qsnn infer --port spi:/dev/spidev0.0@4000000 --dataset mnist

  qsnn infer --sim build/mnist-256-256-b2 --dataset mnist --images 20

  qsnn infer --sim build/mine rows.csv          of a network of your own data, see docs/your-data.md

  qsnn infer --sim build/words yes.wav          of one for streams: a .wav, .npy or .csv

  qsnn infer --port /dev/ttyUSB1 --build build/mine --model runs/new/network.qsnn
  --dataset mnist        the weights of a retrained network
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from qsnn.hw.emit.build import BuildError, contents, find_network, load_alike, open_build
from qsnn.hw.link.driver import BAUD, Accelerator, LinkError
from qsnn.hw.link.ports import SPI, line_speed
from qsnn.hw.link.protocol import encoded_bytes, memory_bytes
from qsnn.hw.plan.folding import FoldingError
from qsnn.model.data import DATASETS, DataError, find, load_images, quantize_pixels
from qsnn.model.description import DescriptionError
from qsnn.model.golden import infer
from qsnn.model.own import read_asked
from qsnn.model.pictures import as_pixels
from qsnn.scripts._app import App
from qsnn.sim.asked import recordings_of
from qsnn.sim.compiled import compile_model
from qsnn.sim.link import SILENCE, compile_link, open_simulated, simulated_port
from qsnn.sim.report import Bar
from qsnn.sim.tools import SimulationError
from qsnn.sim.workload import run

app = App()


class UsageError(Exception):
    """Options that do not go together."""


@app.command(help=__doc__)
def main(
    pictures: Annotated[list[Path] | None, typer.Argument(
        help="png, jpg, ..., .npy, or .csv with a row each; bright on black. For a stream .npy, "
             ".csv or .wav, see model/asked.py")] = None,
    invert: Annotated[bool | None, typer.Option(
        "--invert/--as-is", help="pictures that are dark on bright: turn them, or do not")] = None,
    port: Annotated[str, typer.Option(help="of the board: /dev/ttyUSB1, or "
                                           "spi:/dev/spidev0.0@4000000, with SCK in Hz")] = "",
    sim: Annotated[Path | None, typer.Option(help="simulate this build folder instead")] = None,
    link: Annotated[Literal["uart", "spi"], typer.Option(help="to simulate")] = "uart",
    build: Annotated[Path | None, typer.Option(
        help="build folder that the board must have been made from")] = None,
    model: Annotated[str, typer.Option(
        help="a .qsnn file of the same shape, in place of the build's network")] = "",
    baud: Annotated[int, typer.Option(min=1, help="speed of the port, bits/s")] = BAUD,
    dataset: Annotated[str, typer.Option(help="mnist, fashion-mnist, cifar-10 or digits; or an "
                                              "own one, of whose test part")] = "",
    images: Annotated[int, typer.Option(min=0, help="of the data set; 0: all")] = 20,
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
):
    try:
        if bool(port) == (sim is not None):
            raise UsageError("either --port or --sim is needed")
        if sim and build:
            raise UsageError("--sim names the build: leave out --build")
        if bool(pictures) == bool(dataset):
            raise UsageError("either pictures or a --dataset is needed")
        if model and not (sim or build):
            raise UsageError("--model needs the --build that the board has been made from")
        facts, built = open_build(sim or build) if sim or build else (None, None)
        if facts and facts["unit"] != "image":
            if not sim or model:
                raise BuildError(f"{sim or build} has no host link, it is for a stream: say --sim "
                                 f"{sim or build}" + ", without --model" * bool(model))
            if invert is not None:
                raise UsageError("--invert and --as-is are for pictures: leave them out")
            raise typer.Exit(_stream(sim, facts, built, pictures, dataset, images, data_dir))
        description = load_alike(find_network(model), built) if model else built
        # what is wrong with them shall not be said after minutes of compiling
        asked = (pictures, dataset, images or None, invert, data_dir)
        found = _samples(*asked, description.n_in, description.input_map,
                         description) if description else None
        with ExitStack() as stack:
            board = stack.enter_context(
                _simulate(stack, sim, facts, built, link) if sim
                else Accelerator.open(port, baud=baud))
            hello = board.hello()
            if description:
                _prepare(board, facts, description)
            elif hello.memories:
                print("the network is what was loaded last: --build compares and loads")
            names, pixels, truth = found or _samples(*asked, hello.n_in, None)
            pixels = quantize_pixels(pixels, hello.input_bits)
            start = time.monotonic()
            with Bar(len(pixels)) as bar:
                labels, scores = board.infer(pixels, progress=bar)
            seconds = time.monotonic() - start
            resent = board.resent
    except (BuildError, DataError, DescriptionError, FoldingError, LinkError, SimulationError,
            UsageError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None

    _print(names, labels, scores, truth, description, hello.classes)
    equal = True
    if description:
        result = infer(description, pixels)
        wanted = result.scores.max(axis=1, keepdims=True) if hello.brief else result.scores
        same = (labels == result.labels) & (scores == wanted).all(axis=1)
        equal = bool(same.all())
        print(f"golden model  {same.sum():,} of {len(labels):,} equal, label and scores")
    print(f"sent again    {resent:,}")
    rate, line = line_speed(SPI if sim and link == "spi" else port, baud)
    print(f"images/s      {rate / encoded_bytes(hello.infer_bytes):,.0f} as the line allows at "
          + line + ("" if sim else f", {len(labels) / seconds:,.0f} measured"))
    raise typer.Exit(0 if equal else 1)


def _print(names, labels, scores, truth, description, outputs):
    """A line for each sample, and how many labels are right."""
    width = max(map(len, names), default=0)
    meaning = description and description.meaning
    classes = meaning.classes if meaning else range(max(2, outputs))
    for name, label, row in zip(names, (classes[label] for label in labels), scores, strict=True):
        print(f"{name:<{width}}  label {label}  scores {' '.join(map(str, row))}")
    print()
    if truth is not None:
        print(f"right         {(labels == truth).sum():,} of {len(labels):,}")


def _stream(folder, facts, description, files, dataset, count, data_dir):
    """Recordings through the Verilog of a stream; the exit status."""
    names, samples = recordings_of(facts, description, files, dataset, count or None, data_dir)
    print(f"compiling {folder} ...", flush=True)
    compile_model(folder, facts)
    with Bar(len(names)) as bar:
        outcome = run(folder, facts, description, samples, progress=bar)
    _print(names, outcome.labels, outcome.scores, samples.labels, description, description.outputs)
    print(f"golden model  {(outcome.labels == outcome.expected).sum():,} of {len(names):,} labels, "
          + ("and every score, spike and membrane" if outcome.ok else "NOT EQUAL"))
    return 0 if outcome.ok else 1


def _simulate(stack, folder, facts, description, link):
    """An accelerator that is simulated."""
    print(f"compiling {folder} with its host link ...", flush=True)
    program = compile_link(folder, facts, description, link)
    port = stack.enter_context(simulated_port(program, link))
    return Accelerator(open_simulated(port, link), name=port, silence=SILENCE)


def _prepare(board, facts, description):
    """Make sure that the network on the board is this one."""
    if not board.hello().memories:
        board.require(description.hash)
        return
    memories = contents(facts, description)
    differing = board.differing(memories)
    if differing:
        start = time.monotonic()
        with Bar(sum(len(memories[index][2]) for index in differing), "words") as bar:
            board.load(memories, progress=bar)
        size = sum(len(memory_bytes(*memories[index][1:])) for index in differing)
        print(f"loaded        {size:,} bytes into {len(differing)} of {len(memories)} memories, "
              f"{size / (time.monotonic() - start):,.0f} bytes/s")


def _samples(files, dataset, count, invert, data_dir, n_in, image, description=None):
    """Names, pixels of 8 bits and labels, or None, of images in files or of a data set."""
    meaning = description and description.meaning
    if dataset and dataset not in DATASETS:
        found = find(dataset, meaning=meaning)
        if found.doubt:
            print(f"warning: {found.doubt}", file=sys.stderr)
        if found.inputs != n_in:
            raise DataError(f"{dataset} has {found.inputs} inputs, the network {n_in}")
        pixels, truth = found.load("test")
        pixels = pixels[:count]
    elif dataset:
        pixels, truth = load_images(dataset, "test", data_dir)
        pixels = as_pixels(pixels[:count], n_in, image, invert=False, name=dataset)
    if dataset:
        return [f"{dataset} {index}" for index in range(len(pixels))], pixels, truth[:count]
    parts = [read_asked(path, n_in, image, meaning, invert=invert) for path in files]
    names = [path.name if len(part) == 1 else f"{path.name}[{index}]"
             for path, (part, _) in zip(files, parts, strict=True) for index in range(len(part))]
    known = all(truth is not None for _, truth in parts)
    return (names, np.concatenate([part for part, _ in parts]),
            np.concatenate([truth for _, truth in parts]) if known else None)


if __name__ == "__main__":
    app()
