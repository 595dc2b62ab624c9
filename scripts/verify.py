#!/usr/bin/env python3
"""Hold every stage from Verilog to the bitstream to the golden model, with one set of images.

Needs a build with --bare, whose pins let images in and scores and digests out. The exit status is
1 if a label, a score, a spike or a membrane of any stage differs. The result is also written to
verify.json beside the bitstream. Example:

  qsnn build --model mnist-128-b2 --board icebreaker --fit --bitstream --bare

  qsnn verify build/mnist-128-b2 --board icebreaker
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
from qsnn.hw.board.result import is_of, read_result
from qsnn.hw.board.toolchain import ToolError
from qsnn.hw.emit.build import BuildError, foldings_of, open_build
from qsnn.hw.plan.folding import FoldingError
from qsnn.hw.plan.network import plan
from qsnn.model.data import DATASETS, DataError
from qsnn.model.description import DescriptionError
from qsnn.model.files import write_whole
from qsnn.model.inference import infer
from qsnn.scripts._app import App
from qsnn.sim.stages import STAGES, check
from qsnn.sim.tools import SimulationError
from qsnn.sim.workload import RANDOM, chosen, dataset_of

app = App()


@app.command(help=__doc__)
def main(
    folder: Path,
    board: Annotated[str, typer.Option(help="which of the build's boards")],
    images: Annotated[int, typer.Option(min=1, help="how many; all classes alike")] = 200,
    stages: Annotated[str, typer.Option(help="some of rtl,synth,routed,bitstream; empty: all that "
                                             "the board's family has")] = "",
    dataset: Annotated[str, typer.Option(help=f"{', '.join(DATASETS)} or {RANDOM}, or an own file; "
                                                "if not given, that of a network that comes "
                                                "along, or of the folder's name")] = "",
    seed: Annotated[int, typer.Option(help="for random images")] = 0,
    keep: Annotated[Path | None, typer.Option(help="new folder for all that is made on the "
                                                   "way")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
):
    try:
        target = find_board(board)
        facts, description = open_build(folder)
        built = open_result(folder, target, facts)
        stages_chosen = choose_stages(target, stages)
        dataset = dataset or dataset_of(description, folder)
        samples = chosen(description, dataset, images, encoder=facts["encoder"], seed=seed,
                         data_dir=data_dir)
        layout = plan(description, foldings_of(facts))
        result = infer(description, samples.samples, trace=True)
        with tempfile.TemporaryDirectory() as temporary, Console(stderr=True).status("") as status:
            print(f"{'stage':<12}{'images':>8}{'labels':>9}{'scores':>9}{'digests':>9}"
                  f"{'seconds':>10}")
            found = []
            for comparison in check(
                    folder / board, target, facts, description, layout, samples, result,
                    bitstream=folder / board / built["bitstream"]["file"], stages=stages_chosen,
                    work=keep or Path(temporary),
                    progress=lambda stage, done: status.update(f"{stage}: {done} images")):
                print(row(comparison), flush=True)
                found.append(comparison)
        ok = all(comparison.ok for comparison in found)
        write(folder / board / "verify.json", built, found, dataset=dataset, images=images,
              seed=seed if dataset == RANDOM else None, classes=np.unique(result.labels).size)
    except (BoardError, BuildError, DataError, DescriptionError, FoldingError, SimulationError,
            ToolError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("mismatches with the golden model: none" if ok else "NOT EQUAL to the golden model")
    raise typer.Exit(0 if ok else 1)


def open_result(folder, board, facts):
    """What qsnn.hw.board.flow wrote of a build for a board, if it can be checked."""
    remedy = f"run qsnn build with --board {board.name} --bitstream --bare"
    try:
        built = read_result(folder / board.name)
    except OSError:
        raise BuildError(f"{folder}: nothing was built for {board.name}; {remedy}") from None
    if not is_of(built, facts):
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
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    app()
