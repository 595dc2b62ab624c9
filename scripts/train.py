#!/usr/bin/env python3
"""Train a network, turn it into integers and measure those on the whole test set.

Without options it trains 784-256-256-10 with membranes of 2 bits on MNIST: minutes on one core.

Writes into --out: network.qsnn, the integers, all that the hardware is built from; result.json,
the accuracy of these integers; log.csv and curve.png, its epochs; network.safetensors, the
quantized torch network; and checkpoint.safetensors. Ctrl-C stops; the same command continues after
the last whole epoch.
Everything runs on one thread: the same command gives the same bits.

Convolutions are named by --arch, whose words model/architecture.py explains:

  qsnn train --dataset mnist --arch c16k3-p2-c32k3-p2-fc64 --time-steps 2

Data of your own, see docs/your-data.md, is a file or a folder; the way of the training then
follows its size:

  qsnn train --dataset mine.csv --label species

  qsnn train --dataset pictures --image 32x32 --arch c16k3-p2-c32k3-p2-fc64

Streams of spikes, see model/recordings.py, have layers that see earlier steps, and recurrent ones:

  qsnn train --dataset pendigits --arch fc128t4-fc64r --epochs 20

On a GPU for ten minutes and no longer, and measured on another machine:

  qsnn train --dataset cifar-10 --arch vgg-11 --device cuda --compiled --time-limit 600 --no-measure

  qsnn train --finish runs/FOLDER

Choose hyper-parameters with --validation, on images held out of the training set.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from qsnn.model.config import (
    CHECKPOINT,
    Config,
    Recipe,
    TrainingError,
    config_for,
    default_folder,
    recipe_for,
)
from qsnn.model.data import DataError, find, follows_size
from qsnn.model.reading import Reading, names_of, sides_of
from qsnn.scripts._app import App
from qsnn.scripts._reading import Classes, Label, Levels, Split, Stream

SHOWN = 20  # classes

app = App()


@app.command(help=__doc__)
def main(
    dataset: Annotated[str, typer.Option(
        help="mnist, fashion-mnist, cifar-10 or digits; as streams ecg, spoken-digits, pendigits "
             "or n-mnist; or an own .npz, .csv or folder of pictures by class")] = "mnist",
    label: Label = "",
    classes: Classes = "",
    image: Annotated[str, typer.Option(
        help="of an own set: height x width, perhaps x channels, of images that come as rows, "
             "28x28 or 24x32x3; pictures are resized to them")] = "",
    stream: Stream = False,
    levels: Levels = Reading.levels,
    split: Split = 0,
    hidden: Annotated[str, typer.Option(
        help="widths of fully connected hidden layers, first to last; 256,256 if neither this nor "
             "--arch is there")] = "",
    arch: Annotated[str, typer.Option(
        help="hidden layers as words, in place of --hidden: c16k3 is a convolution with 16 "
             "channels and kernels of 3 x 3, c16k1x5 of 1 x 5, p2 and a2 pool, r64 is a residual "
             "block, fc64 is fully connected, in a stream fc64t8 with 8 taps and fc64r recurrent; "
             "or vgg-11 or resnet-19")] = "",
    bits: Annotated[int, typer.Option(min=2, max=8, help="bits of a membrane")] = 2,
    time_steps: Annotated[int | None, typer.Option(
        min=1, max=64, help="T: how often an image is shown; 4 if not given")] = None,
    input_bits: Annotated[int | None, typer.Option(
        min=1, max=8,
        help="leading bits of a pixel that the network sees; 8 if not given")] = None,
    signed: Annotated[bool, typer.Option(
        "--signed", help="membranes may fall below 0, with half the range on each side")] = False,
    leak: Annotated[str, typer.Option(
        help="what stays of a membrane from a time step to the next: 1 (no leak), 1/2, 3/4, "
             "15/16, ..; 1,1/2 gives each hidden layer its own")] = Config.leak,
    reset: Annotated[Literal["zero", "subtract"], typer.Option(
        help="a neuron that fires goes to zero, or keeps what it has beyond its threshold"
    )] = Config.reset,
    current: Annotated[str, typer.Option(
        help="what stays of a second state before the membrane, 7/8 for example (CubaLIF); "
             "7/8,none gives each hidden layer its own")] = Config.current,
    readout_leak: Annotated[str, typer.Option(
        help="what stays of a class's total from a time step to the next, as --leak: the last "
             "membrane of a neuron that does not fire is its score")] = Config.readout_leak,
    standardize: Annotated[bool, typer.Option(
        help="weight half of WS-DR: balanced signs in each channel")] = True,
    rate_weight: Annotated[float, typer.Option(
        help="spike half of WS-DR: weight of (firing rate - 1/2)^2 in the loss; 0: off")] = 0.0,
    epochs: Annotated[int | None, typer.Option(
        help=f"times that every image is shown; {Recipe.epochs}, of small and own sets by their "
             "size")] = None,
    batch_size: Annotated[int | None, typer.Option(
        help=f"images of a step; {Recipe.batch_size}, or by the size likewise")] = None,
    lr: Annotated[float, typer.Option(
        help="largest learning rate of Adam; it warms up, then falls to 0")] = Recipe.lr,
    warmup: Annotated[int | None, typer.Option(
        help=f"steps until it is reached; {Recipe.warmup}, or by the size likewise")] = None,
    shift: Annotated[int | None, typer.Option(
        help="images are moved by up to so many pixels each way, streams without maps by steps; "
             f"0: not; {Recipe.shift}, of own rows and streams 0")] = None,
    warp: Annotated[float, typer.Option(
        help="images are scaled, sheared and turned by up to this fraction")] = Recipe.warp,
    flip: Annotated[bool, typer.Option(
        "--flip", help="images are mirrored, left to right, by chance")] = False,
    erase: Annotated[int, typer.Option(
        help="side of a square that is erased from each image; 0: none")] = Recipe.erase,
    mix: Annotated[float, typer.Option(
        help="part of the images that get a rectangle of another one, and so much of its label"
    )] = Recipe.mix,
    drop: Annotated[float, typer.Option(
        help="part of the spikes of a stream that are left out, at random")] = Recipe.drop,
    smoothing: Annotated[float, typer.Option(
        help="part of a label that is spread over all classes")] = Recipe.smoothing,
    balance: Annotated[float, typer.Option(
        help="0: a class is shown as often as it occurs, 1: as often as the others")] = 0.0,
    plain: Annotated[float, typer.Option(
        help="last part of the epochs, in which images are shown as they are")] = Recipe.plain,
    draws: Annotated[int, typer.Option(
        help="samples of an epoch, drawn at random; 0: as many as there are")] = 0,
    whole_norms: Annotated[bool | None, typer.Option(
        "--whole-norms/--running-norms", help="batch norms have the statistics of all samples at "
        "the end, or what ran along from 75 % on; the first of small and own sets")] = None,
    one_output: Annotated[bool, typer.Option(
        "--one-output", help="of two classes: one score, whose sign tells them apart")] = False,
    last_bits: Annotated[int, typer.Option(
        help="bits of the output layer's weights: 1, 2, 4 or 8")] = 1,
    last_code: Annotated[Literal["odd", "integer"], typer.Option(
        help="which numbers these are; of hidden layers the words say so, fc64w4i is integers of "
             "4 bits, -7 to 7; imported ones may be -8 too")] = Config.last_code,
    threads: Annotated[int, typer.Option(
        min=1, max=1024, help="of PyTorch; another number gives other bits")] = 1,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(
        help="where PyTorch trains")] = "cpu",
    compiled: Annotated[bool, typer.Option(
        "--compiled", help="compile the neurons (torch.compile): three times as fast for "
                           "convolutions, needs g++")] = False,
    start: Annotated[str, typer.Option(
        help="folder of another training with the same layers: its network is the first one "
             "here; bits, time steps and images may be others")] = "",
    teacher: Annotated[str, typer.Option(
        help="folder of a training of another network for the same images, which this one is to "
             "follow; a float network of --rectified, for example")] = "",
    rectified: Annotated[bool, typer.Option(
        "--rectified", help="float weights and rectified sums: a teacher")] = False,
    time_limit: Annotated[float | None, typer.Option(
        help="seconds; there are as many epochs as fit, and the schedules end with them")] = None,
    measure: Annotated[bool, typer.Option(
        help="measure the integers at the end; without, do so later with --finish")] = True,
    tensorboard: Annotated[bool, typer.Option(
        "--tensorboard", help="a log for TensorBoard too; log.csv is there anyway")] = False,
    finish: Annotated[Path | None, typer.Option(
        help="only measure what --no-measure left in this folder")] = None,
    like: Annotated[str, typer.Option(
        help="build folder or network whose circuit the new weights shall fit: the membrane steps "
             "are its own")] = "",
    lean: Annotated[str, typer.Option(
        help="whole numbers with commas, one a class: added to their scores behind the training, "
             "in quarters of a spike; choose them on data that is held out")] = "",
    validation: Annotated[int, typer.Option(
        help="the last so many training images are held out and measured too")] = 0,
    seed: Annotated[int, typer.Option(help="of everything random")] = 0,
    out: Annotated[Path | None, typer.Option(
        help="folder of the results; default: runs/<dataset>-<hidden>-b<bits>")] = None,
    data_dir: Annotated[Path | None, typer.Option(
        help="the only folder of the data; without, those of model/data.py are searched")] = None,
):
    try:
        if finish is not None:
            from qsnn.model.measure import finish as finished
            _end(finished(finish, data_dir), finish)
            return
        found = find(dataset, data_dir, Reading(label, sides_of(image), stream, levels, split,
                                                   names_of(classes)))
        print("\n".join(found.said), end="\n" * bool(found.said))
        config = config_for(found, hidden=_widths(hidden) if hidden else (), arch=arch, bits=bits,
                            time_steps=time_steps, input_bits=input_bits, last_bits=last_bits,
                            last_code=last_code, signed=signed, standardize=standardize,
                            rate_weight=rate_weight, rectified=rectified, leak=leak, reset=reset,
                            current=current, readout_leak=readout_leak,
                            one_output=one_output)
        recipe = recipe_for(
            found, validation=validation, epochs=epochs, batch_size=batch_size, lr=lr,
            warmup=warmup, shift=shift, warp=warp, flip=flip, erase=erase, mix=mix,
            smoothing=smoothing, compiled=compiled, balance=balance, draws=draws, drop=drop,
            plain=plain, whole_norms=whole_norms,
            teacher=teacher and str(Path(teacher)), start=start and str(Path(start)),
            like=like and str(Path(like)), lean=lean, seed=seed)
        out = out or default_folder(dataset, config)
        import torch  # seconds, which --help and wrong options do not take

        from qsnn.model.experiment import run
        torch.set_num_threads(threads)
        if like:
            from qsnn.hw.emit.build import network_of
            from qsnn.model.export import pinned
            config = pinned(config, network_of(like), like)
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("this PyTorch sees no GPU: leave out --device")
        if follows_size(dataset):
            print(f"{recipe.epochs} epochs, batches of {recipe.batch_size}, {recipe.warmup} steps "
                  f"of warm-up, moved by {recipe.shift}: by the size of the set, where not given")
        with _Report(recipe.epochs) as report:
            result = run(config, recipe, out, data_dir, report, device, time_limit, measure, found,
                         tensorboard)
            report.update(report.bar, completed=result["recipe"]["epochs"])
        _end(result, out)
    except (DataError, TrainingError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped; the same command continues after the last whole epoch"
            if out and (out / CHECKPOINT).exists() else
            "stopped before the first epoch was whole; the same command begins anew") from None


def _end(result, out):
    """What was measured, if it was, and whether it is equal."""
    if "equality" not in result:
        for name in ("validation", "test"):
            if name in result:
                print(f"torch, {name}: {result[name]['accuracy']:.2f} %")
    else:
        _print(result)
    print(f"written to {out}")
    if not result.get("equality", {"equal": True})["equal"]:
        print("error: torch and the integers differ, see result.json", file=sys.stderr)
        raise typer.Exit(1)


def _widths(text):
    try:
        return tuple(int(width) for width in text.replace("-", ",").split(","))
    except ValueError:
        raise ValueError(f"--hidden takes widths such as 256,256, not {text!r}") from None


class _Report(Progress):
    """A bar over the epochs and a line for each."""

    def __init__(self, epochs):
        super().__init__("epoch", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                         console=Console(highlight=False))
        self.bar = self.add_task("", total=epochs)

    def __call__(self, epoch):
        rates = " ".join(f"{rate:.3f}" for rate in epoch.rates)
        self.console.print(f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy "
                           f"{100 * epoch.accuracy:.2f} %, firing rates {rates}")
        self.update(self.bar, completed=epoch.number, total=epoch.total)


def _print(result):
    for name in ("validation", "test"):
        if name in result:
            found = result[name]
            rates = " ".join(f"{rate:.3f}" for rate in found["rates"])
            print(f"integers of {result['shape']}, {name}: {found['accuracy']:.2f} % "
                  f"({found['correct']} of {found['images']}), firing rates {rates}")
            for of in list(found.get("sensitivity", {}))[:SHOWN]:
                print(f"  {of}: sensitivity {found['sensitivity'][of]:.2f} %, precision "
                      f"{found['precision'][of]:.2f} %")
    equality = result["equality"]
    print(f"torch and integers on {equality['images']} test images: "
          f"{sum(equality['spikes'])} spikes, {sum(equality['membranes'])} membranes and "
          f"{equality['sums']} sums differ")


if __name__ == "__main__":
    app()
