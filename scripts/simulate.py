#!/usr/bin/env python3
"""Stream a test set through the Verilog of a build folder and compare it with the golden model.

The Verilog is compiled by Verilator. Labels, class scores and checksums of all spikes and
membranes must be equal; the exit status is 1 if they are not. Example:

  python scripts/simulate.py build/mnist-256-256-b2
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from qsnn.hw.emit.build import BuildError, open_build
from qsnn.model.data import (
    DATASETS,
    DataError,
    load,
    load_beats,
    load_sounds,
    load_steps,
    quantize_pixels,
)
from qsnn.model.description import DescriptionError
from qsnn.model.golden import infer
from qsnn.sim.compiled import compile_model, simulate
from qsnn.sim.report import Bar, steps_table, table
from qsnn.sim.steps import pack_beats, pack_sounds, simulate_steps
from qsnn.sim.tools import SimulationError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    folder: Path,
    dataset: Annotated[str, typer.Option(help=f"{', '.join(DATASETS)}; by the folder's "
                                                "name if not given")] = "",
    images: Annotated[int, typer.Option(min=0, help="the first so many; 0: all")] = 0,
    pictures: Annotated[bool, typer.Option("--pictures", help="draw spikes, confusion matrix and "
                                                              "firing rates")] = False,
    waves: Annotated[Path | None, typer.Option(help="write a VCD (use few images)")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="where the data sets are")] = None,
):
    try:
        facts, description = open_build(folder)
        if description.stream and pictures:
            raise BuildError("--pictures are of images: scripts/stream.py shows streams")
        dataset = dataset or next((d for d in DATASETS if folder.name.startswith(d)), "mnist")
        if description.stream:
            samples, labels = load_steps(dataset, "test", description.n_in, data_dir)
            samples, labels = samples[:images or None], labels[:images or None]
            signal = _signal(facts, len(labels), data_dir)
            outcome = _stream(folder, facts, description, samples, signal, waves)
            print(steps_table(description, facts, labels, outcome))
            raise typer.Exit(0 if outcome.ok else 1)
        pixels, labels = load(dataset, "test", data_dir)
        pixels, labels = pixels[:images or None], labels[:images or None]
        pixels = quantize_pixels(pixels, description.input_bits)
        result = infer(description, pixels, trace=True)
        print(f"compiling {folder} ...", flush=True)
        compile_model(folder, facts, waves=waves is not None)
        print(f"streaming {len(pixels):,} images of {dataset} ...", flush=True)
        with Bar(len(pixels)) as bar:
            outcome = simulate(folder, facts, description, pixels, waves=waves, result=result,
                               progress=bar)
    except (BuildError, DataError, DescriptionError, SimulationError, ValueError,
            OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(table(description, facts, labels, result, outcome))
    if waves is not None:
        print(f"waves: {waves}")
    if pictures:
        from qsnn.sim.pictures import draw  # slow to import
        for path in draw(folder, description, pixels, labels, result, outcome):
            print(path)
    raise typer.Exit(0 if outcome.ok else 1)


def _signal(facts, count, data_dir):
    """The first test samples as the encoder in the Verilog takes them; None where there is none."""
    if not facts["encoder"]:
        return None
    raw, pack = {"ecg": (load_beats, pack_beats),
                 "spoken-digits": (load_sounds, pack_sounds)}[facts["encoder"]]
    *samples, _ = raw("test", data_dir)
    return pack(facts, *(part[:count] for part in samples))


def _stream(folder, facts, description, samples, signal, waves):
    """Send samples [N, T, n_in] through the Verilog, each with a result and a clear behind it."""
    steps = samples.shape[1]
    last = np.tile(np.arange(steps) == steps - 1, len(samples))
    print(f"compiling {folder} ...", flush=True)
    compile_model(folder, facts, waves=waves is not None)
    print(f"streaming {len(samples):,} samples of {steps} steps ...", flush=True)
    with Bar(len(samples)) as bar:
        return simulate_steps(folder, facts, description,
                              samples.reshape(-1, description.n_in), last, last,
                              signal=signal, waves=waves, progress=bar)


if __name__ == "__main__":
    app()
