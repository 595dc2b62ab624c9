#!/usr/bin/env python3
"""Import a network that was made elsewhere: a NIR file, or a model of PyTorch.

  qsnn import net.nir --from snntorch --time-steps 25 --dataset mnist --out runs/mine

  qsnn import net.py:make --time-steps 25 --dataset mnist --out runs/mine

net.py:make executes your file and calls its function make, which returns the trained model, a
torch.nn.Module of snnTorch, SpikingJelly, Norse or Sinabs, and perhaps a sample that it takes
beside it. A NIR file does not say how neurons reset and whether they fire at their threshold:
--from says who wrote it, --reset, --compare and --dt what that leaves open.

Nothing is trained. What has weights of 1 or 2 bits wants some epochs more: the checkpoint beside
the network begins them, and the command is printed.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import json
import sys
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import typer

from qsnn.model.config import NETWORK, RESULT
from qsnn.model.data import DataError, find
from qsnn.model.description import DescriptionError, save
from qsnn.model.files import write_whole
from qsnn.model.graphs import Bits, GraphError, quantize
from qsnn.model.graphs.loading import calibration, graph_of, laid_out, measured
from qsnn.model.leak import leak_of
from qsnn.model.reading import Reading, names_of, sides_of
from qsnn.scripts._app import App
from qsnn.scripts._reading import Classes, Label, Levels, Split, Stream

REPORT = "import.json"
LEAST = 1e-6

app = App()


@app.command(help=__doc__)
def main(
    source: Annotated[str, typer.Argument(help="a .nir file, or FILE.py:FUNCTION")],
    written_by: Annotated[Literal["snntorch", "spikingjelly", "norse", "sinabs", "qsnn"] | None,
                          typer.Option("--from", help="who wrote a NIR file")] = None,
    time_steps: Annotated[int | None, typer.Option(
        min=1, max=64, help="T: how often an image is shown; streams have their own steps")] = None,
    dataset: Annotated[str, typer.Option(
        help="what the network was trained on: a name, or an own file, see qsnn train")] = "mnist",
    label: Label = "",
    classes: Classes = "",
    image: Annotated[str, typer.Option(
        help="of an own set: height x width, perhaps x channels, as qsnn train has it; of the "
             "network's map where it is not given")] = "",
    stream: Stream = False,
    levels: Levels = Reading.levels,
    split: Split = 0,
    weights: Annotated[int, typer.Option(help="bits of hidden layers' weights: 1, 2, 4, 8")] = 4,
    first: Annotated[int | None, typer.Option(
        help="of the first layer's; as --weights, or 8 where those have 1 or 2")] = None,
    last: Annotated[int | None, typer.Option(help="of the last layer's; likewise")] = None,
    bits: Annotated[int, typer.Option(min=2, max=8, help="bits of a membrane")] = 4,
    signed: Annotated[bool | None, typer.Option(
        "--signed/--unsigned", help="whether membranes may be negative; chosen if not given"
    )] = None,
    leak: Annotated[str, typer.Option(
        help="of all layers, in place of the nearest: 1 (none), 1/2, 15/16, ..")] = "",
    reset: Annotated[Literal["zero", "subtract", "delayed"] | None, typer.Option(
        help="of a NIR file's neurons; delayed: subtraction, a step later")] = None,
    compare: Annotated[Literal[">", ">="] | None, typer.Option(
        help="of a NIR file's neurons: whether they fire at their threshold")] = None,
    dt: Annotated[float | None, typer.Option(help="seconds of a step of a NIR file")] = None,
    gain: Annotated[float | None, typer.Option(
        help="what a NIR file's neurons multiply their sums by, in place of what it says")] = None,
    input_bits: Annotated[int, typer.Option(
        min=1, max=8, help="leading bits of a pixel that the network sees")] = 8,
    mean: Annotated[float, typer.Option(
        help="what was taken from pixels of 0 to 1 before training")] = 0.0,
    std: Annotated[float, typer.Option(help="and what the rest was divided by")] = 1.0,
    samples: Annotated[int, typer.Option(
        min=1, help="training samples that choices are made on")] = 300,
    images: Annotated[int, typer.Option(
        min=1, help="test samples that the accuracy is of")] = 1000,
    out: Annotated[Path | None, typer.Option(help="folder of the results; default: "
                                                  "runs/<name>")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
):
    try:
        given = Bits(weights, first, last, bits, signed, leak_of(leak) if leak else None)
        if not LEAST < std < 1 / LEAST or not abs(mean) < 1 / LEAST:
            raise GraphError(f"--mean {mean:g} and --std {std:g} are those of no pixels of 0 to 1")
        out = out or Path("runs") / Path(source.replace(".py:", "-")).stem
        if (out / RESULT).exists():
            raise GraphError(f"{out} holds a training: choose another --out")
        found = find(dataset, data_dir, Reading(label, sides_of(image), stream, levels, split,
                                                   names_of(classes)))
        if time_steps is None and not found.stream:
            raise GraphError("give --time-steps: how often an image is shown to this network")
        chosen, what = calibration(found, samples)
        scale, offset = (1.0, 0.0) if found.stream else (
            1 / ((1 << input_bits) - 1) / std, -mean / std)
        graph = graph_of(source, found, chosen[0], scale, offset, source=written_by, reset=reset,
                         compare=compare, dt=dt, gain=gain, input_bits=input_bits)
        again = laid_out(found, graph)
        told = found.said
        if again is not found:  # how the file's axes were taken first is not so
            told = [*(text for text in told if "taken as" not in text), *again.said]
            found, chosen = again, calibration(again, samples)[0]
        print("\n".join(told), end="\n" * bool(told))
        outputs, known = prod(graph.shapes[-1]), len(found.classes)
        if (outputs, known) != (1, 2) and (outputs < known or found.meaning and outputs != known):
            raise GraphError(f"the network has {outputs} outputs, and {dataset} {known} classes: "
                             "choose the set that it was trained with")
        if found.meaning and not classes and not found.classes[0].lstrip("-").isdecimal():
            print("  outputs are taken to be the classes in this order; if they are not, give "
                  "theirs with --classes")
        x = chosen[0] if found.stream else chosen[0] >> (8 - input_bits)
        result = quantize(graph, 0 if found.stream else time_steps, x, chosen[1], bits=given,
                          input_bits=input_bits, scale=scale, offset=offset)
        if found.meaning:
            result = replace(result, description=replace(result.description, meaning=found.meaning))
        out.mkdir(parents=True, exist_ok=True)
        print(f"chosen on {what}")
        print(result.report)
        accuracy = measured(graph, result.description, found, images, scale, offset)
        print("accuracy of {samples:,} test samples: floats {floats:.2f} %, integers "
              "{integers:.2f} %".format(**accuracy))
        save(result.description, out / NETWORK)
        write_whole(out / REPORT, (json.dumps(
            {"source": source, "report": result.report.asdict(), "test": accuracy}, indent=1)
            + "\n").encode())
        print(f"{result.description.shape}, written to {out}")
        _start(result, x, found, out)
    except (GraphError, DataError, DescriptionError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


def _start(result, x, found, out):
    """Write the checkpoint, where there is PyTorch and training has such a network."""
    try:
        from qsnn.model.graphs.start import save_start, training_command
        from qsnn.model.training import CHECKPOINT
    except ModuleNotFoundError:
        print("no checkpoint: it needs PyTorch, pip install 'qsnn-fpga[train]'")
        return
    try:
        config = save_start(result, x.reshape(len(x), -1), found.name, out / CHECKPOINT,
                            found.reading)
    except ValueError as error:
        print(f"no checkpoint: {error}")
        return
    print("to train it further: "
          + training_command(config, found.name, out, out.with_name(f"{out.name}-trained"),
                             found.reading))


if __name__ == "__main__":
    app()
