# amaranth: UnusedElaboratable=no
"""The commands for engines, on a small one."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from qsnn.hw.board.engines import ENGINES
from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineShape
from qsnn.model.description import save
from qsnn.scripts import program, run
from tests.networks import random_maps

SMALL = EngineShape(pe=8, simd=16, beat=4, map_words=1024, slab_words=256)
BOARD = "colorlight-i5"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def ask(monkeypatch, tmp_path, cache):
    """Run a command; gives its exit status and what it says."""
    monkeypatch.setitem(ENGINES, BOARD, replace(ENGINES[BOARD], shape=SMALL))
    monkeypatch.chdir(tmp_path)

    def command(app, *arguments):
        kept = ["--cache", str(cache)] if app is run else []
        done = CliRunner().invoke(app.app, [*map(str, arguments), *kept])
        return done.exit_code, done.output
    return command


@pytest.fixture
def network(tmp_path):
    """For the digits, two of them at once."""
    description = random_maps(np.random.default_rng(2), words=["c4k3", "p2", "fc10"],
                              image=(8, 8, 1), time_steps=2, classes=10)
    save(description, tmp_path / "digits.qsnn")
    return description


def test_run(ask, network):
    code, said = ask(run, "digits.qsnn", "--board", BOARD, "--sim", "--images", 5,
                     "--dataset", "digits")
    assert code == 0, said
    assert re.search(r"^network .*T = 2: a program of [\d,]+ bytes, 2 images at once$", said, re.M)
    assert re.search(r"^engine +[\d,]+ images/s estimated: ", said, re.M)
    assert re.search(r"^loaded +in \d+\.\d s of simulation$", said, re.M)
    assert re.search(r"^right +\d of 5$", said, re.M)
    assert "golden model  5 of 5 equal, label and scores\n" in said
    assert "sent again 0\n" in said


def test_estimate(ask, network):
    code, said = ask(run, "digits.qsnn", "--board", BOARD, "--batch", 4)
    assert code == 0 and "4 images at once" in said and "compiling" not in said


def test_program(ask, network, tmp_path):
    code, said = ask(program, "digits.qsnn", "--board", BOARD, "--out", "digits.bin")
    assert code == 0, said
    raw = (tmp_path / "digits.bin").read_bytes()
    assert raw == compile_program(network, SMALL, 2).tobytes()
    assert (f"written       {len(raw):,} bytes to digits.bin, for the engine {SMALL.version:08x}, "
            f"2 images at once, CRC {int.from_bytes(raw[-4:], 'little'):08x}\n") in said
    code, again = ask(program, "digits.qsnn", "--board", BOARD, "--out", "again.bin", "--picture",
                      "time.png")
    assert (code, again.replace("again.bin", "digits.bin")) == (0, said)
    with Image.open(tmp_path / "time.png") as drawn:
        assert drawn.size[0] > 800
    rows = re.findall(r"^\d .+ (\d+)%\s+(\d+)%$", said, re.M)
    assert len(rows) == len(network.layers) and all(0 < int(a) <= 100 for row in rows for a in row)


@pytest.mark.parametrize("options, sentence", [
    (["digits.qsnn", "--board", "icebreaker"], "there is no engine for the icebreaker: there are "
     "colorlight-i5, ulx3s-85f"),
    (["no", "--board", BOARD], "no: neither a file nor one of .*"),
    (["digits.qsnn", "--board", BOARD, "--port", "x", "--sim"],
     "either --port or --sim, not both"),
    (["digits.qsnn", "--board", BOARD, "--port", "/dev/no"], "/dev/no: no such port; there is .*"),
    (["digits.qsnn", "--board", BOARD, "--sim", "--dataset", "mnist"],
     r"mnist: .* is not of images \[N, 8, 8, 1\]"),
    (["mnist-wide", "--board", BOARD], "mnist-wide: neither .*"),
    (["cifar-10-conv-b2", "--board", BOARD], "the maps of a batch need .*")])
def test_refused(ask, network, options, sentence):
    if "--port" in options and "--sim" not in options:
        options = [*options, "--dataset", "digits"]
    code, said = ask(run, *options)
    assert code == 2
    assert re.fullmatch(f"error: {sentence}", said.splitlines()[-1]), said
    if options[0] != "digits.qsnn" or "--batch" in options:
        code, said = ask(program, options[0], *options[1:], "--out", "x.bin")
        assert code == 2 and "error: " in said
