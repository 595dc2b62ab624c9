"""qsnn build with networks for streams, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.emit.build import foldings_of, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import FoldingError, SerialFolding
from qsnn.model.description import save
from tests.digests import digests
from tests.networks import random_description
from tests.streams import random_stream

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "build.py"


@pytest.fixture
def work(tmp_path):
    """A folder with a small network for streams and one for images."""
    rng = np.random.default_rng(0)
    save(random_stream(rng, words=[(8, 2, True), (5, 1, False)]), tmp_path / "stream.qsnn")
    save(random_description(rng, widths=(5, 4, 6, 3)), tmp_path / "images.qsnn")
    return tmp_path


def run(work, *arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], cwd=work, capture_output=True,
                          text=True, timeout=300, env=os.environ | {"PYTHONWARNINGS": "error",
                                                                    "COLUMNS": "100"})


def test_build(work):
    found = run(work, "--model", "stream.qsnn", "--pe", "4,1,1", "--simd", "2,4,1")
    assert (found.returncode, found.stderr) == (0, "")
    assert "a stream of steps" in found.stdout and "cycles a step" in found.stdout
    facts, description = open_build(work / "build" / "stream")
    assert foldings_of(facts) == [SerialFolding(4, 2), SerialFolding(1, 4), SerialFolding(1, 1)]
    assert facts["unit"] == "step" and not facts["events"] and facts["encoder"] == ""
    fields = facts["ports"]["i_payload"]["fields"]
    assert fields["word"]["width"] == 2 and {"emit", "clear"} < fields.keys()
    for index, layer in enumerate(facts["layers"]):
        for entry in layer["memories"].values():
            assert (work / "build" / "stream" / entry["file"]).is_file(), index
    # again, the same bytes
    before = digests(work / "build")
    assert run(work, "--model", "stream.qsnn", "--pe", "4,1,1",
               "--simd", "2,4,1").returncode == 0
    assert digests(work / "build") == before


def test_dense_and_events(work):
    assert run(work, "--model", "stream.qsnn", "--dense", "--cycles", "40").returncode == 0
    facts, _ = open_build(work / "build" / "stream")
    assert not any(folding.sparse for folding in foldings_of(facts))
    assert run(work, "--model", "stream.qsnn", "--events").returncode == 0
    facts, _ = open_build(work / "build" / "stream")
    assert {"index", "end"} < facts["ports"]["i_payload"]["fields"].keys()


@pytest.mark.parametrize("arguments, sentence", [
    (["--model", "images.qsnn", "--dense"], "--dense is for layers that are serial"),
    (["--model", "images.qsnn", "--encoder", "ecg"], "are for networks of streams"),
    (["--model", "stream.qsnn", "--pixels", "1,1,1"], "--pixels is for convolutions"),
    (["--model", "stream.qsnn", "--serial", "1"], "all layers of a stream are serial"),
    (["--model", "stream.qsnn", "--loadable"], "memories of serial layers cannot be loaded"),
    (["--model", "stream.qsnn", "--pe", "9,1,1"], "layer 0 has 8 neurons: PE 9 is more"),
    (["--model", "stream.qsnn", "--pe", "1,1"], "--pe needs 3 numbers"),
    (["--model", "stream.qsnn", "--encoder", "ear"], "no encoder 'ear': there is ecg"),
    (["--model", "stream.qsnn", "--encoder", "ecg"], "gives 30 spikes a step, the network takes"),
    (["--model", "stream.qsnn", "--activity", "ecg"], "ecg: no recordings with"),
    (["--model", "stream.qsnn", "--fit"], "--fit and --target-fps need a --board"),
    (["--model", "images.qsnn", "--folding", "serial.json", "--loadable"],
     "memories of serial layers cannot be loaded"),
    (["--model", "images.qsnn", "--folding", "first.json"], "layer 0 cannot be serial"),
    (["--model", "images.qsnn", "--folding", "wrong.json"],
     "'sparse' is not for layers that are time-parallel"),
])
def test_refused(work, arguments, sentence):
    rows = [{"pe": 1, "simd": 1}, {"pe": 1, "simd": 1, "serial": True},
            {"pe": 1, "simd": 1, "serial": True}]
    (work / "serial.json").write_text(json.dumps(rows))
    (work / "first.json").write_text(json.dumps([rows[1]] * 3))
    (work / "wrong.json").write_text(json.dumps([rows[0] | {"sparse": True}, *rows[1:]]))
    found = run(work, *arguments)
    assert (found.returncode, found.stdout) == (2, ""), found.stderr
    assert found.stderr.startswith("error: ") and found.stderr.count("\n") == 1
    assert sentence in found.stderr
    assert not (work / "build").exists()


def test_folding_files(work):
    description = random_stream(np.random.default_rng(0), words=[(8, 1, False)])
    file = work / "folding.json"
    file.write_text('[{"pe": 2, "simd": 4, "sparse": false}, {"pe": 1, "simd": 2}]')
    assert choose_folding(description, file=file) == [SerialFolding(2, 4, False),
                                                     SerialFolding(1, 2, True)]
    with pytest.raises(FoldingError, match="takes the place"):
        choose_folding(description, file=file, dense=True)
    file.write_text('[{"pe": 2, "simd": 4, "pixels": 1}, {"pe": 1, "simd": 2}]')
    with pytest.raises(FoldingError, match="not a folding"):
        choose_folding(description, file=file)
    images = random_description(np.random.default_rng(0), widths=(5, 4, 3))
    file.write_text('[{"pe": 2, "simd": 4}, {"pe": 1, "simd": 2, "serial": true}]')
    assert choose_folding(images, file=file)[1] == SerialFolding(1, 2, True)


@pytest.mark.parametrize("arguments, sentence", [
    (["--sim", "build/stream", "--dataset", "mnist"], "mnist: no recordings with"),
    (["--build", "build/stream", "--port", "/dev/null", "a.npy"],
     "build/stream has no host link, it is for a stream: say --sim build/stream\n"),
    (["--sim", "build/stream", "--model", "stream.qsnn", "a.npy"],
     "for a stream: say --sim build/stream, without --model\n"),
    (["--sim", "build/stream", "--invert", "a.npy"],
     "--invert and --as-is are for pictures: leave them out\n"),
    (["--sim", "build/stream", "a.npy"], "a.npy: No such file"),
    (["--sim", "build/stream", "a.png"], "a.png: a recording is a .npy, a .csv or, of a network "),
])
def test_infer_refuses(work, arguments, sentence):
    assert run(work, "--model", "stream.qsnn").returncode == 0
    found = subprocess.run([sys.executable, SCRIPT.parent / "infer.py", *arguments], cwd=work,
                           capture_output=True, text=True, timeout=300)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: ") and sentence in found.stderr
    assert found.stderr.count("\n") == 1
