#!/usr/bin/env python3
"""Turn a network into Verilog and memory images.

Writes into build/<name>/: the Verilog, memory/*.hex, a JSON with ports, widths, folding, cycles
and memory layout, and report.txt, which is printed too. Examples:

  qsnn build --bits 2                     the MNIST network with 2-bit membranes

  qsnn build --model runs/mine/network.qsnn --name mine

  qsnn build --bits 4 --cycles 200        four times as fast, four times as large

  qsnn build --bits 2 --pe 16,8,1 --simd 16,16,4

  qsnn build --bits 2 --board colorlight-i5 --bitstream --seeds 4

  qsnn build --bits 2 --board colorlight-i5 --fit

  qsnn build --bits 2 --board colorlight-i5 --target-fps 100000 --clock 60

  qsnn build --model mnist-128-b2 --board icebreaker --fit --bitstream --link spi

A network for streams has cycles a step in place of cycles an image, and:

  qsnn build --model ecg-32t24-32t4-b2 --encoder ecg --pe 8,8,1 --simd 8,8,8

  qsnn build --model ecg-32t24-32t4-b2 --activity ecg --units 64

With --bitstream it also writes build/<name>/<board>/: the bitstream, the routed design, logs,
result.json and report.txt. --doctor says which tools that takes and where they are.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from qsnn.hw.board.boards import BoardError, find_board
from qsnn.hw.board.choose import choose
from qsnn.hw.board.cores import FlowError, Options
from qsnn.hw.board.filling import FillError
from qsnn.hw.board.fit import FitError, found_text
from qsnn.hw.board.flow import implement
from qsnn.hw.board.toolchain import ToolError
from qsnn.hw.emit.build import BuildError, build, find_network
from qsnn.hw.plan.folding import FoldingError
from qsnn.model.data import DATASETS, DataError, load_steps
from qsnn.model.description import DescriptionError, load
from qsnn.scripts._app import App
from qsnn.scripts.doctor import main as doctor
from qsnn.sim.workload import of_dataset

RECORDED = 100  # samples whose activity chooses a folding

app = App()


@app.command(help=__doc__)
def main(
    bits: Annotated[int, typer.Option(help="membrane bits of the MNIST network: 2, 4 or 8")] = 2,
    model: Annotated[str, typer.Option(help="a .qsnn file, or a name in model/networks")] = "",
    name: Annotated[str, typer.Option(help="name of the build folder")] = "",
    out: Annotated[Path, typer.Option(help="where build folders go")] = Path("build"),
    cycles: Annotated[int, typer.Option(min=0, help="cycles an image to aim at; 0: 800, or more "
                                                    "for convolutions; of a stream, at most so "
                                                    "many a step if all inputs spike; 0: "
                                                    "any")] = 0,
    pe: Annotated[str, typer.Option(help="neurons at once, one number a layer")] = "",
    simd: Annotated[str, typer.Option(help="synapses at once, one number a layer")] = "",
    pixels: Annotated[str, typer.Option(
        help="positions of a convolution at once, one number a layer; 1 elsewhere, and where PE "
             "is not all channels")] = "",
    folding: Annotated[Path | None, typer.Option(
        help='JSON file: a list of {"pe": 16, "simd": 16}, one a layer; "pixels" may be '
             'there, or "serial": true for one step after the other, and "sparse" of such a '
             'layer or a stream')] = None,
    serial: Annotated[int | None, typer.Option(min=1, help="the first layer that takes the time "
                                               "steps of an image one after the other; none if "
                                               "not given")] = None,
    dense: Annotated[bool, typer.Option("--dense", help="serial layers read all words of "
                                        "inputs, those without a spike too")] = False,
    activity: Annotated[str, typer.Option(help="a data set, or an own one, whose spikes choose PE, "
                                               "SIMD and sparsity of a stream, see --units")] = "",
    units: Annotated[int, typer.Option(min=1, help="PE x SIMD of a layer, at most, with "
                                                   "--activity")] = 64,
    events: Annotated[bool, typer.Option("--events", help="a stream comes as events, words with "
                                         "their index, and not as frames")] = False,
    encoder: Annotated[str, typer.Option(help="what turns a signal into a stream's steps, in the "
                                              "Verilog too: ecg or spoken-digits")] = "",
    board: Annotated[str, typer.Option(help="icebreaker, ice40hx8k, colorlight-i5, ulx3s-85f or "
                                            "tang-nano-9k")] = "",
    fit: Annotated[bool, typer.Option("--fit", help="the fastest folding that fits the "
                                                    "board")] = False,
    target_fps: Annotated[int, typer.Option(min=0, help="the smallest folding with so many "
                                                        "images/s")] = 0,
    bitstream: Annotated[bool, typer.Option("--bitstream", help="place, route and pack for the "
                                                                "board")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=64, help="of place and route; the fastest is "
                                                           "kept")] = 1,
    clock: Annotated[float, typer.Option(help="of the core in MHz; 0: the board's default")] = 0,
    baud: Annotated[int, typer.Option(min=1, help="of the serial port")] = 1_000_000,
    link: Annotated[Literal["uart", "spi"], typer.Option(help="what the host is at")] = "uart",
    bare: Annotated[bool, typer.Option("--bare", help="a few pins in place of the host link: "
                                                      "measures the core")] = False,
    loadable: Annotated[bool, typer.Option("--loadable", help="a host can load other weights "
                                                              "while it runs")] = False,
    patchable: Annotated[bool, typer.Option(
        "--patchable", help="qsnn patch can put other weights into the bitstream")] = False,
    tools: Annotated[bool, typer.Option("--doctor", help="list the tools and stop")] = False,
):
    if tools:
        doctor()
    try:
        if patchable and not bitstream:
            raise BuildError("--patchable needs --bitstream: the Verilog reads its contents anyway")
        if bare and loadable:
            raise BuildError("--bare has no host link to load weights with: leave out --loadable")
        if bare and link != "uart":
            raise BuildError(f"--bare has no host link: leave out --link {link}")
        if clock and not 1 <= clock <= 1000:
            raise BuildError(f"--clock takes 1 to 1000 MHz, not {clock:g}")
        for option, given in (("bitstream", bitstream), ("clock", clock), ("bare", bare),
                              ("seeds", seeds != 1), ("link", link != "uart"),
                              ("baud", baud != 1_000_000)):
            if given and not board:
                raise BuildError(f"--{option} needs a --board")
        target = find_board(board) if board else None
        path = find_network(model or f"mnist-256-256-b{bits}")
        name = name or (path.resolve().parent.name if path.stem == "network" else path.stem)
        description = load(path)
        hz = round(clock * 1e6) or (target.core_hz if target else 0)
        samples = recorded(activity, description) if activity else None
        with Console(stderr=True).status("looking for a folding: a minute, for a large network"):
            foldings, found = choose(
                description, board=target, hz=hz, fit=fit, fps=target_fps, samples=samples,
                units=units, serial=serial, pe=pe, simd=simd, pixels=pixels, dense=dense,
                file=folding, cycles=cycles, estimate=dict(
                    bare=bare, loadable=loadable, patchable=patchable, link=link, encoder=encoder))
        folder = build(description, foldings, name, out, loadable=loadable, events=events,
                       encoder=encoder)
        if bitstream:
            options = Options(target, hz, baud, seeds, bare,
                              loadable, patchable, link, encoder)
            folder = place(folder, description, foldings, options)
    except (BoardError, BuildError, DataError, DescriptionError, FillError, FitError, FlowError,
            FoldingError, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print((folder / "report.txt").read_text())
    if found:
        print(f"{found_text(found, target, hz)}\n")
    print(f"written to {folder}/")


def recorded(dataset, description):
    """Training samples of a data set for streams, [N, T, n_in]."""
    if dataset in DATASETS:
        samples, _ = load_steps(dataset, "train", description.n_in)
    elif description.stream:
        samples = of_dataset(description, dataset, split="train").samples
    else:
        raise DataError("--activity is of streams: images come whole")
    return samples[np.sort(np.random.default_rng(0).permutation(len(samples))[:RECORDED])]


def place(folder, description, foldings, options):
    """Make the bitstream; the last line of the tool at work is on the screen meanwhile."""
    command = shlex.join(["qsnn", "build", *sys.argv[1:]])
    with Console(stderr=True).status("") as status:
        def show(text):
            status.update(escape(text[:100]))
        implement(folder, description, foldings, options, command=command, show=show)
    return folder / options.board.name


if __name__ == "__main__":
    app()
