"""Streams of somebody's own, watched: names of classes on the page and in the terminal."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.model import streams
from qsnn.model.audio import FRAME
from qsnn.model.data import DataError
from qsnn.model.meaning import Meaning, even_levels
from qsnn.sim.live import LiveCore
from qsnn.sim.page import Hub, hello
from qsnn.sim.player import Golden, Player, summary
from qsnn.sim.shown import own_recording, with_names
from qsnn.sim.terminal import TerminalView
from tests.streams import random_stream
from tests.test_sounds import wav

SCRIPT = Path(__file__).parents[1] / "scripts" / "stream.py"
NAMES = "a <b>walk</b>", "run", "stand"
RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(20, 6, 2))


def network(channels=2, **facts):
    """Random, for steps of some channels, and what its inputs and classes mean."""
    for seed in range(99):
        net = random_stream(np.random.default_rng(seed), words=[(5, 2, True), (4, 1, False)])
        if net.classes == len(NAMES) and net.n_in % channels == 0 and net.n_in > channels:
            break
    levels = even_levels(net.n_in // channels)
    return replace(net, meaning=Meaning(classes=NAMES, shape=(6, channels), levels=levels,
                                        low=(-2.0,), high=(2.0,)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a set, a network for it and its build."""
    folder, net = tmp_path_factory.mktemp("shown"), network()
    np.savez(folder / "set.npz", x_train=VALUES, y_train=np.array(NAMES)[np.arange(20) % 3],
             x_test=VALUES[:7], y_test=np.array(NAMES)[np.arange(7) % 3])
    (folder / "network.qsnn").write_bytes(net.tobytes())
    return folder, build(net, choose_folding(net), "own", folder), net


def test_numbers(made):
    folder, _, net = made
    found = own_recording(str(folder / "set.npz"), net)
    assert found.classes == NAMES and found.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (found.encoded == net.meaning.samples(VALUES[:7]).reshape(7, 6, net.n_in)).all()
    assert (found.samples == np.rint(net.meaning.pixels(VALUES[:7]).mean(axis=2))).all()
    assert [count for _, count in found.inputs] == [net.n_in // 2] * 2
    begin, end = found.pace()
    assert end - begin == pytest.approx(6 / 20) and (begin[1:] > end[:-1]).all()


def test_spikes(tmp_path):
    net = replace(network(), meaning=None)
    spikes = RNG.integers(0, 2, (9, 6, net.n_in))
    np.savez(tmp_path / "set.npz", x=spikes, y=np.arange(9) % 3)
    net = replace(net, meaning=Meaning(classes=("0", "1", "2"), shape=(6, net.n_in)))
    found = own_recording(str(tmp_path / "set.npz"), net)
    assert found.encoded.shape == (3, 6, net.n_in) and found.samples.shape == (3, 6)
    assert (found.samples == np.rint(255 * found.encoded.mean(axis=2))).all()


def test_sounds(tmp_path):
    for name in ("down", "up"):
        for index in range(2):
            wav(tmp_path / name / f"{index}.wav", RNG.integers(-9000, 9000, 480))
    net = SimpleNamespace(meaning=Meaning(classes=("down", "up"), shape=(3, FRAME),
                                          encoder="spoken-digits"))
    found = own_recording(str(tmp_path), net)
    assert found.encoded.shape == (2, 3, 96) and found.samples.shape == (2, 24)
    begin, end = found.pace()
    assert end - begin == pytest.approx(3 * 0.02)


def test_names(made):
    """Through the core, step by step: names in the table, for the page and in the terminal."""
    folder, built, net = made
    recording = own_recording(str(folder / "set.npz"), net)
    facts, net = open_build(built)
    with LiveCore(built, facts) as core, open(os.devnull, "w") as nowhere:
        console = Console(width=130, height=40, force_terminal=True, file=nowhere)
        player = Player(core, recording, Golden(net, recording), speed=0)
        hub = Hub(hello(net, recording, speed=0, clock=1e6), player.totals)
        with TerminalView(net, recording, player.totals, speed=0, clock=1e6,
                          console=console) as view:
            for event in player.play():
                view.put(event, player.now)
                hub.put(event, player.now)
        with console.capture() as captured:
            console.print(view.picture())
    totals = player.totals
    assert totals.mismatches == 0 and totals.beats == 7 and totals.compared > 500
    labels = streams.classify(net, recording.encoded).labels
    assert totals.right == (labels == recording.labels).sum()
    lines = Text.from_ansi(captured.get()).plain.splitlines()
    text = "\n".join(lines)
    assert "Own data through a simulated core" in text and "cardiologist" not in text
    assert all(name[:12] in text for name in NAMES) and "recordings" in text
    assert max(map(len, lines)) <= 130
    shown = summary(net, recording, totals, 1e6)
    assert all(f"\n  {name}" in shown for name in NAMES) and "\nrecordings            7, " in shown
    said = json.loads(next(hub.events()).decode().partition("data: ")[2])
    assert said["classes"] == list(NAMES) and said["judge"] == "label"
    assert said["what"] == "recording" and said["title"] == "Own data"


def test_names_are_no_markup():
    """Where names go into the page as HTML, which is at three places, they do so as text."""
    page = (SCRIPT.parents[1] / "sim" / "page.js").read_text()
    assert all(use in page for use in (
        "`${safe(name)}</span>", "</i>${safe(said)}`", "safe(`${short(latest.truth)} ${className("))


def test_names_of_another_order(made):
    """Of a stream that comes along: labels are those of the same names."""
    folder, _, net = made
    recording = own_recording(str(folder / "set.npz"), net)
    turned = replace(net, meaning=net.meaning.model_copy(update=dict(classes=NAMES[::-1])))
    found = with_names(recording, turned, "net")
    assert found.classes == NAMES[::-1] and found.labels.tolist() == [2, 1, 0, 2, 1, 0, 2]
    assert with_names(recording, replace(net, meaning=None), "net") is recording
    other = replace(net, meaning=net.meaning.model_copy(update=dict(classes=("x", "y", "z"))))
    with pytest.raises(DataError, match="^net: its classes are x, y, z, those of this stream a <b>"
                                        "walk</b>, run, stand: take another --model, or train"):
        with_names(recording, other, "net")


def script(folder, *arguments):
    found = subprocess.run([sys.executable, SCRIPT, *arguments], cwd=folder, text=True,
                           capture_output=True, timeout=300)
    return found.returncode, found.stdout, found.stderr


def test_command(made):
    folder = made[0]
    code, output, errors = script(folder, "--sim", "set.npz", "--model", "network.qsnn", "--speed",
                                  "0", "--beats", "3", "--terminal")
    assert (code, errors) == (0, ""), errors
    assert "\nrecordings            3, 18 steps\n" in output and "\n  run  " in output
    assert output.endswith("equal: every input, spike, membrane and score\n")


@pytest.mark.parametrize("arguments, sentence", [
    (["--sim", "set.npz"], "--sim set.npz: say --model with the network that was trained on it"),
    (["--sim", "set.npz", "--model", "mnist-128-b2"], "is no stream whose layers are all rows of"),
    (["--sim", "no.npz", "--model", "network.qsnn"], "no.npz: no such file or folder"),
    (["--sim", "set.npz", "--model", "network.qsnn", "--record", "100"],
     "--record is a patient of --sim ecg: leave it out"),
    (["--sim", "rows.npz", "--model", "pendigits-128t4-64r-b2"], "rows.npz: images and rows are no "
                                                                 "stream: run qsnn infer"),
])
def test_refused(made, arguments, sentence):
    np.savez(made[0] / "rows.npz", x=RNG.normal(size=(9, 4)), y=np.arange(9) % 2)
    code, output, errors = script(made[0], *arguments)
    assert (code, output) == (2, "") and errors.startswith("error: ") and sentence in errors
    assert errors.count("\n") == 1
