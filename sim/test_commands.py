"""scripts/demo.py and scripts/simulate.py, as a user runs them."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.emit.build import NETWORKS, build, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.model.description import load
from qsnn.model.inference import infer
from qsnn.model.meaning import Meaning
from tests.digests import digests
from tests.networks import random_description
from tests.streams import random_stream, recorded

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
STREAM = "pendigits-128t4-64r-b2"


def run(folder, script, *arguments):
    return subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)], cwd=folder,
                          text=True, capture_output=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a build for images of the digits, and one of a stream."""
    folder = tmp_path_factory.mktemp("commands")
    rng = np.random.default_rng(2)
    digits = random_description(rng, widths=(64, 9, 10), time_steps=2, input_bits=4)
    build(digits, choose_folding(digits), "digits", folder)
    stream = random_stream(rng, words=[(5, 1, True)])
    build(stream, choose_folding(stream), "stream", folder)
    build(digits, choose_folding(digits), "mine", folder)
    return folder


def test_demo(tmp_path):
    found = run(tmp_path, "demo.py", "--images", 20)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    assert "equal: every label, score, spike and membrane" in found.stdout
    assert "cycles per image          784 (planned 784)" in found.stdout
    folder = tmp_path / "build" / "mnist-256-256-b2"
    assert (folder / "result.txt").read_text().strip() in found.stdout
    named = [tmp_path / line for line in found.stdout.split("\n\n")[-1].split()]
    assert len(named) >= 4 and all(path.is_file() for path in named), named


def test_simulate(work):
    found = run(work, "simulate.py", "digits", "--images", 30, "--waves", "waves.vcd")
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    assert "samples                   30" in found.stdout
    assert "equal: every label, score, spike and membrane" in found.stdout
    assert (work / "waves.vcd").stat().st_size > 1000


def test_waves_over_another_file(work):
    before = digests(work / "digits")
    found = run(work, "simulate.py", "digits", "--images", 2, "--waves", "digits/network.qsnn")
    assert (found.returncode, found.stderr) == (
        2, "error: digits/network.qsnn is there and holds no waves: name another file\n")
    assert digests(work / "digits") == before


def test_random_samples(work):
    found = run(work, "simulate.py", "mine", "--dataset", "random", "--images", 7)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    assert "samples                   7\n" in found.stdout and "accuracy" not in found.stdout
    assert "equal: every label, score, spike and membrane" in found.stdout


def test_not_equal(work):
    """A weight of the Verilog's memory image is another one: the exit status says so."""
    facts, _ = open_build(work / "digits")
    path = work / "digits" / facts["layers"][1]["memories"]["weights"]["file"]
    good = path.read_text()
    first, _, rest = good.partition("\n")
    try:
        path.write_text(f"{int(first, 16) ^ 1:x}\n{rest}")
        found = run(work, "simulate.py", "digits", "--images", 30)
    finally:
        path.write_text(good)
    assert found.returncode == 1 and "NOT EQUAL" in found.stdout, found.stderr


def test_simulate_stream(tmp_path):
    _, labels = recorded("pendigits")
    description = load(NETWORKS / f"{STREAM}.qsnn")
    build(description, choose_folding(description), STREAM, tmp_path)
    found = run(tmp_path, "simulate.py", STREAM, "--images", 40)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    assert "samples                   40\n" in found.stdout and len(labels) > 40
    assert "steps                     320\n" in found.stdout
    assert "equal: every label, score, spike and membrane" in found.stdout


@pytest.mark.parametrize("named", [False, True])
def test_infer_stream(work, named):
    """Recordings in files, through the Verilog: the labels of the golden model, by name."""
    stream = open_build(work / "stream")[1]
    names = tuple(f"kind {label}" for label in range(stream.classes))
    if named:
        stream = replace(stream, meaning=Meaning(classes=names, shape=(6, stream.n_in)))
        build(stream, choose_folding(stream), "named", work)
    x = np.random.default_rng(1).integers(0, 2, (12, 6, stream.n_in))
    np.save(work / "one.npy", x[0])
    np.save(work / "more.npy", x[1:])
    wanted = golden_labels(stream, x)
    assert len(set(wanted)) > 1
    found = run(work, "infer.py", "--sim", "named" if named else "stream", "one.npy", "more.npy")
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    shown = re.findall(r"^(\S+) +label (.*)  scores", found.stdout, re.M)
    assert shown == [(file, names[label] if named else str(label)) for file, label in zip(
        ["one.npy", *(f"more.npy[{index}]" for index in range(11))], wanted, strict=True)]
    assert "golden model  12 of 12 labels, and every score, spike and membrane\n" in found.stdout


def golden_labels(description, x):
    return infer(description, x.reshape(len(x), -1)).labels.tolist()


def test_infer_samples_of_a_set(tmp_path):
    description = load(NETWORKS / f"{STREAM}.qsnn")
    build(description, choose_folding(description), STREAM, tmp_path)
    _, labels = recorded("pendigits")
    found = run(tmp_path, "infer.py", "--sim", STREAM, "--dataset", "pendigits", "--images", 9)
    assert (found.returncode, found.stderr) == (0, ""), found.stderr
    assert re.search(r"^pendigits 8  label \d  scores ", found.stdout, re.M)
    assert re.search(r"^right         [89] of 9$", found.stdout, re.M) and len(labels) > 9


@pytest.mark.parametrize("arguments, sentence", [
    (["nowhere"], "nowhere"),
    (["digits", "--dataset", "letters"], "letters"),
    (["digits", "--dataset", "mnist"], "mnist: [10000, 28, 28, 1] is not of images [N, 64]"),
    (["stream", "--dataset", "digits"], "digits: no recordings with"),
    (["digits", "--data-dir", "nowhere"], "nowhere"),
    (["mine"], "mine: neither its network nor its name says which data it is for; say "
               "--dataset digits or --dataset random"),
    (["stream"], "which data it is for; say --dataset random"),
    (["mine", "--dataset", "random", "--pictures"], "random samples have none"),
])
def test_refused(work, arguments, sentence):
    found = run(work, "simulate.py", *arguments)
    assert found.returncode == 2 and found.stderr.startswith("error: "), found.stdout
    assert found.stderr.count("\n") == 1 and sentence in found.stderr
