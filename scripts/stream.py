#!/usr/bin/env python3
"""Watch a network work: a recording, live, through the simulated core.

The network is built, its Verilog compiled by Verilator, and a recording played through it at its
own pace. A page in a browser on this machine shows signal, spikes, membranes and decisions as they
come; with --terminal the terminal does. Each step is compared with the golden model, every input,
spike, membrane and score: the exit status is 1 if anything differed. Examples:

  qsnn stream --sim ecg                 says where the page is

  qsnn stream --sim ecg --speed 4 --loop

  qsnn stream --sim ecg --terminal

  qsnn stream --sim ecg --beats 100 --speed 0       only a table

  qsnn stream --sim mine.npz --model runs/mine/network.qsnn       the test part of your own stream

What there is: ecg, heart beats of a patient that no network was trained with, in the five classes
of AAMI. The core gets samples and encodes them itself. --record takes another patient, where the
data set is on this machine. --clock is the clock of which busy and idle shares are given: the
simulation counts cycles, and has none. Ctrl-C ends it.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import hashlib
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from qsnn import hw
from qsnn.hw.emit.build import BuildError, build, find_network, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import FoldingError
from qsnn.model import recordings
from qsnn.model.data import DataError, load_beats
from qsnn.model.description import DescriptionError, load
from qsnn.model.encoders import Rhythm
from qsnn.model.reading import is_own
from qsnn.scripts._app import App
from qsnn.sim.live import LiveCore, compile_live
from qsnn.sim.page import Hub, PageServer, hello
from qsnn.sim.player import Golden, Player, Recording, summary
from qsnn.sim.shown import own_recording, with_names
from qsnn.sim.terminal import TerminalView
from qsnn.sim.tools import SimulationError

PORT = 8000

app = App()


class UsageError(Exception):
    """Options that cannot be."""


def ecg(record, data_dir):
    """Beats of a patient, those that come along or all of a record, and their encoding."""
    task = recordings.TASKS["ecg"]
    if record:
        samples, intervals, records, labels = load_beats("test", data_dir)
        chosen = records == record
        if not chosen.any():
            raise UsageError(f"--record {record}: the data set has "
                             f"{', '.join(map(str, np.unique(records)))} for test")
        samples, intervals, labels = (part[chosen] for part in (samples, intervals, labels))
    else:
        samples, intervals, labels = recordings.excerpt()
        record = recordings.EXCERPT.stem.rpartition("-")[2]
    early, late = len(Rhythm.EARLY), len(Rhythm.LATE)
    inputs = [("signal rises", len(recordings.CROSSED)), ("signal falls", len(recordings.CROSSED)),
              ("above mean", len(recordings.UNUSUAL)), ("below mean", len(recordings.UNUSUAL)),
              ("early", early), ("late", late), ("before early", early), ("before late", late)]
    return Recording(
        name=f"MIT-BIH record {record}", samples=samples, intervals=intervals, labels=labels,
        classes=task.classes, inputs=tuple(inputs), seen=recordings.BEAT,
        encoded=recordings.encode_beats(samples, intervals, np.zeros(len(samples), int)))


@dataclass(frozen=True)
class Show:
    """Something to watch.

    network    name of a committed one
    encoder    of :mod:`qsnn.hw.serial.encoders`
    recording  gives a :class:`qsnn.sim.player.Recording`, of --record and --data-dir
    """

    network: str
    encoder: str
    recording: Callable


SHOWS = {"ecg": Show("ecg-32t24-32t4-b2", "ecg", ecg)}


def _own(path, model):
    """A user's own stream, of which the network has the rest."""
    if not model:
        raise UsageError(f"--sim {path}: say --model with the network that was trained on it")
    description = load(find_network(model))
    if not description.stream or any(layer.kind == "convolution" for layer in description.hidden):
        raise UsageError(f"{model}: {description.shape} is no stream whose layers are all rows of "
                         "neurons, which is what can be watched: run qsnn simulate")
    return Show(model, "", lambda record, data_dir: own_recording(path, description))


@app.command(help=__doc__)
def main(
    sim: Annotated[str, typer.Option(help="what to simulate: " + ", ".join(SHOWS) + ", or an own "
                                          "file or folder of streams, with its --model")],
    model: Annotated[str, typer.Option(help="a .qsnn file, or a name in model/networks, in place "
                                            "of the network that comes along")] = "",
    record: Annotated[int, typer.Option(min=0, help="of the data set, all of it; 0: the beats that "
                                                    "come along")] = 0,
    speed: Annotated[float, typer.Option(help="of the recording; 0: as fast as it "
                                                     "goes")] = 1.0,
    clock: Annotated[float, typer.Option(help="MHz that the shares of busy and idle cycles are "
                                              "for")] = 12.0,
    beats: Annotated[int, typer.Option(min=0, help="stop after so many; 0: at the end of the "
                                                   "recording")] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="begin anew at the end of the "
                                                      "recording")] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="draw here, without a page")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help=f"of the page; 0: {PORT}, or a free "
                                                             "one where that is in use")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="the only folder of the data")] = None,
    out: Annotated[Path, typer.Option(help="where build folders go")] = Path("build"),
):
    try:
        if sim not in SHOWS and not is_own(sim):
            raise UsageError(f"--sim {sim}: there is {', '.join(SHOWS)}, or a file of your own")
        if sim not in SHOWS and record:
            raise UsageError("--record is a patient of --sim ecg: leave it out")
        if data_dir and not record:
            raise UsageError("--data-dir has the data of a --record: without one, beats that come "
                             "along are shown")
        if not 0.001 <= clock <= 1000:
            raise UsageError(f"--clock takes 0.001 to 1000 MHz, not {clock:g}")
        if not 0 <= speed <= 1000:
            raise UsageError(f"--speed takes 0 to 1000 times that of the recording, not {speed:g}")
        hz, show = clock * 1e6, SHOWS.get(sim) or _own(sim, model)
        recording = show.recording(record, data_dir)
        path = find_network(model or show.network)
        description = load(path)
        _check(path, description, recording)
        recording = with_names(recording, description, path)
        name = path.resolve().parent.name if path.stem == "network" else path.stem
        folder = _build(description, show.encoder, f"{name}-live", out)
        facts, description = open_build(folder)
        print(f"compiling {folder} ...", flush=True)
        compile_live(folder, facts)
        with ExitStack() as stack:
            core = stack.enter_context(LiveCore(folder, facts))
            player = Player(core, recording, Golden(description, recording), speed=speed,
                            beats=beats, repeat=loop)
            if terminal:
                view = stack.enter_context(TerminalView(
                    description, recording, player.totals, speed=speed, clock=hz))
            else:
                view = Hub(hello(description, recording, speed=speed, clock=hz),
                           player.totals)
                server = stack.enter_context(_serve(port, view))
                print(f"watch it at {server.address}   (Ctrl-C ends it)", flush=True)
            try:
                ended = _play(player, view)
            except SimulationError as error:
                view.finish(f"The simulation has failed: {error}")
                raise
            view.finish(_last_words(player.totals, ended, recording.what))
    except (BuildError, DataError, DescriptionError, FoldingError, SimulationError, UsageError,
            ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print("\n" + summary(description, recording, player.totals, hz))
    raise typer.Exit(1 if player.totals.mismatches else 0)


def _check(path, description, recording):
    inputs, classes = recording.encoded.shape[2], len(recording.classes)
    if (description.time_steps, description.n_in, description.classes) != (0, inputs, classes):
        raise UsageError(f"{path}: {description.shape} is not a network for this stream, which has "
                         f"{inputs} inputs a step and {classes} classes; take another --model")


def _build(description, encoder, name, out):
    """The build folder of the network; built only where it, or what builds it, has changed."""
    foldings = choose_folding(description)
    sources = sorted(Path(hw.__file__).parent.rglob("*.[pv]*"))
    key = hashlib.sha256(b"".join([
        description.tobytes(), repr((foldings, encoder)).encode(),
        *(path.read_bytes() for path in sources if path.suffix in (".py", ".v"))])).hexdigest()
    folder = Path(out) / name
    stamp = folder / "stream.stamp"
    try:
        open_build(folder)
        if stamp.read_text() == key:
            return folder
    except (BuildError, DescriptionError, OSError):
        pass  # there is none, or another one: it is built anew
    print(f"building {folder} ...", flush=True)
    folder = build(description, foldings, name, out, encoder=encoder)
    stamp.write_text(key)
    return folder


def _serve(port, hub):
    """A server that runs."""
    for number in [port] if port else [PORT, 0]:
        try:
            server = PageServer(number, hub)
        except OSError as error:
            failed = error
        else:
            server.start()
            return server
    raise UsageError(f"--port {port} cannot be used ({failed.strerror}); give another one, or none "
                     "for a free one")


def _play(player, view):
    """Play until the end, or until Ctrl-C or a kill; whether it was the end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for event in player.play():
            view.put(event, player.now)
    except KeyboardInterrupt:
        return False
    return True


def _last_words(totals, ended, what):
    equal = "everything was equal to the golden model" if not totals.mismatches else \
        f"{totals.mismatches:,} values differ from the golden model"
    return (f"The stream {'has ended' if ended else 'was stopped'}: {totals.beats:,} {what}s, "
            f"{totals.right:,} right, {equal}.")


if __name__ == "__main__":
    app()
