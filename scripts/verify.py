#!/usr/bin/env python3
"""Hold every stage from Verilog to the bitstream to the golden model, with one set of images.

Needs a build with --bare, whose pins let images in and scores and digests out. The exit status is
1 if a label, a score, a spike or a membrane of any stage differs. The result is also written to
verify.json beside the bitstream. Example:

  python scripts/build.py --model mnist-128-b2 --board icebreaker --fit --bitstream --bare

  python scripts/verify.py build/mnist-128-b2 --board icebreaker
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from qsnn.hw.board.boards import BoardError, find_board
from qsnn.hw.board.toolchain import ToolError
from qsnn.hw.emit.build import BuildError, folding_rows, foldings_of, open_build
from qsnn.hw.plan.folding import FoldingError, plan
from qsnn.hw.plan.serial import serial_plan
from qsnn.model.audio import sound
from qsnn.model.data import DATASETS, DataError, load, load_sounds, load_steps, quantize_pixels
from qsnn.model.description import DescriptionError
from qsnn.model.golden import infer
from qsnn.model.recordings import encode_beats, excerpt
from qsnn.sim.stages import STAGES, check, check_stream
from qsnn.sim.steps import pack_beats, pack_sounds, pack_steps
from qsnn.sim.tools import SimulationError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
RANDOM = "random"


@app.command(help=__doc__)
def main(
    folder: Path,
    board: Annotated[str, typer.Option(help="which of the build's boards")],
    images: Annotated[int, typer.Option(min=1, help="how many; all classes alike")] = 200,
    stages: Annotated[str, typer.Option(help="some of rtl,synth,routed,bitstream; empty: all that "
                                             "the board's family has")] = "",
    dataset: Annotated[str, typer.Option(help=f"{', '.join(DATASETS)} or {RANDOM}; by the "
                                                "folder's name if not given")] = "",
    seed: Annotated[int, typer.Option(help="for random images")] = 0,
    keep: Annotated[Path | None, typer.Option(help="new folder for all that is made on the "
                                                   "way")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="where the data sets are")] = None,
):
    try:
        target = find_board(board)
        facts, description = open_build(folder)
        built = open_result(folder, target, facts)
        chosen = choose_stages(target, stages)
        dataset = dataset or next((d for d in DATASETS if folder.name.startswith(d)), RANDOM)
        if description.stream:
            layout, compare = serial_plan(description, foldings_of(facts)), check_stream
            sent, samples = choose_samples(facts, built, description, dataset, images, seed,
                                           data_dir)
        else:
            layout, compare = plan(description, foldings_of(facts)), check
            sent = samples = choose_images(description, dataset, images, seed, data_dir)
        result = infer(description, samples, trace=True)
        with tempfile.TemporaryDirectory() as temporary, Console(stderr=True).status("") as status:
            print(f"{'stage':<12}{'images':>8}{'labels':>9}{'scores':>9}{'digests':>9}"
                  f"{'seconds':>10}")
            found = []
            for comparison in compare(
                    folder / board, target, facts, description, layout, sent, result,
                    bitstream=folder / board / built["bitstream"]["file"], stages=chosen,
                    work=keep or Path(temporary),
                    progress=lambda stage, done: status.update(f"{stage}: {done} images")):
                print(row(comparison), flush=True)
                found.append(comparison)
        ok = all(comparison.ok for comparison in found)
        write(folder / board / "verify.json", built, found, dataset=dataset, images=images,
              seed=seed if dataset == RANDOM else None, classes=np.unique(result.labels).size)
    except (BoardError, BuildError, DataError, DescriptionError, FoldingError, SimulationError,
            ToolError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("mismatches with the golden model: none" if ok else "NOT EQUAL to the golden model")
    raise typer.Exit(0 if ok else 1)


def open_result(folder, board, facts):
    """What qsnn.hw.board.flow wrote of a build for a board, if it can be checked."""
    remedy = f"run scripts/build.py with --board {board.name} --bitstream --bare"
    try:
        built = json.loads((folder / board.name / "result.json").read_text())
    except OSError:
        raise BuildError(f"{folder}: nothing was built for {board.name}; {remedy}") from None
    if (built["description_sha256"], built["folding"]) != (
            facts["description_sha256"], folding_rows(facts)):
        raise BuildError(f"{folder / board.name} is of another network or folding; {remedy}")
    if built["core"] != "bare network":
        raise BuildError(f"{folder / board.name} has the host link, not pins for a check; {remedy}")
    return built


def choose_stages(board, text):
    """Those of the text, in order; all that the family has, if it is empty."""
    known = STAGES.get(board.family, ())
    if not known:
        raise SimulationError(f"there are no models to simulate the {board.title} with")
    wrong = [word for word in text.split(",") if text and word not in known]
    if wrong:
        raise SimulationError(f"no stage {wrong[0]!r} on the {board.title}: there are "
                              f"{', '.join(known)}")
    return [stage for stage in known if not text or stage in text.split(",")]


def choose_images(description, dataset, count, seed, data_dir):
    """Distinct images [count, n_in], classes in turn where they are known."""
    if dataset == RANDOM:
        rng = np.random.default_rng(seed)
        return rng.integers(0, 1 << description.input_bits, size=(count, description.n_in))
    pixels, labels = load(dataset, "test", data_dir)
    pixels = quantize_pixels(pixels, description.input_bits)
    distinct = np.sort(np.unique(pixels, axis=0, return_index=True)[1])
    turn = np.zeros(len(distinct), np.int64)  # how many of its class come before an image
    for label in range(description.classes):
        turn[labels[distinct] == label] = np.arange((labels[distinct] == label).sum())
    order = distinct[np.lexsort((labels[distinct], turn))]
    if len(order) < count:
        raise DataError(f"{dataset} has {len(order)} distinct test images, not {count}")
    return pixels[order[:count]]


def choose_samples(facts, built, description, dataset, count, seed, data_dir):
    """What goes into a network for streams, and its samples as the golden model takes them."""
    facts = facts | {"encoder": built["encoder"]}
    if facts["encoder"] == "spoken-digits":
        samples = load_sounds("test", data_dir)[0][:count]
        signal, steps = pack_sounds(facts, samples), sound(samples)
    elif facts["encoder"]:
        samples, intervals, _ = (part[:count] for part in excerpt())
        records = np.zeros(len(samples), np.int64)
        steps = encode_beats(samples, intervals, records)
        signal = pack_beats(facts, samples, intervals, records)
    else:
        if dataset == RANDOM:
            rng = np.random.default_rng(seed)
            steps = (rng.random((count, 20, description.n_in)) < 0.2).astype(np.uint8)
        else:
            steps = load_steps(dataset, "test", description.n_in, data_dir)[0][:count]
        last = np.tile(np.arange(steps.shape[1]) == steps.shape[1] - 1, len(steps))
        signal, _ = pack_steps(facts, steps.reshape(-1, description.n_in), last, last)
    if len(steps) < count:
        raise DataError(f"there are {len(steps)} samples, not {count}")
    return signal, steps.reshape(count, -1)


def row(comparison):
    """A line of the table."""
    counts = dict(comparison.mismatches)
    labels, scores = counts.pop("labels"), counts.pop("scores") + counts.pop("framing")
    return (f"{comparison.stage:<12}{comparison.images:>8,}{labels:>9,}{scores:>9,}"
            f"{sum(counts.values()):>9,}{comparison.seconds:>10.1f}")


def write(path, built, found, **facts):
    """verify.json: what was compared with what, and how it went."""
    result = {
        "format": 1, **facts, "network": built["network"], "shape": built["shape"],
        "board": built["board"], "build": built["command"],
        "seed_of_place_and_route": built["seed"],
        "description_sha256": built["description_sha256"],
        "bitstream_sha256": built["bitstream"]["sha256"], "tools": built["tools"],
        "stages": [{"stage": comparison.stage, "mismatches": comparison.mismatches,
                    "digests": [f"{digest:08x}" for digest in comparison.digests],
                    "seconds": comparison.seconds} for comparison in found],
    }
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    app()
