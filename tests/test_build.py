"""scripts/build.py as a user runs it, and the build folders of qsnn.hw.emit.build."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.emit import build as builds
from qsnn.hw.emit import manifest
from qsnn.hw.emit.artefacts import artefacts
from qsnn.hw.emit.build import NETWORKS, BuildError, build, find_network, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import Folding, FoldingError, default_folding
from qsnn.hw.plan.images import read_hex
from qsnn.model.description import Description, save
from tests.digests import digest, digests
from tests.networks import random_description
from tests.test_load import retrained

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "build.py"
ROWS = [{"pe": 2, "simd": 5}, {"pe": 3, "simd": 2}, {"pe": 1, "simd": 4}]
NOT_A_FOLDING = ': not a folding, a list of {"pe": 16, "simd": 16} for each layer'


def network(seed=0, widths=(5, 4, 6, 3)):
    return random_description(np.random.default_rng(seed), widths=widths)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A build folder that is there to be copied."""
    return build(network(), default_folding(network(), 800), "net", tmp_path_factory.mktemp("net"))


@pytest.fixture
def folder(net, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(net, tmp_path / "net")


@pytest.fixture(scope="module")
def other():
    """Another network, and its files."""
    description = network(seed=1)
    return description, artefacts(description, default_folding(description, 800), "net")


@pytest.fixture
def work(tmp_path):
    """A user's folder with a small network."""
    folder = tmp_path / "work"
    folder.mkdir()
    save(network(), folder / "small.qsnn")
    return folder


@pytest.fixture
def run(tmp_path, work):
    """The script in that folder, on a machine without torch."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "torch.py").write_text("raise SystemExit('torch was imported')\n")

    def start(*arguments):
        return subprocess.run(
            [sys.executable, SCRIPT, *arguments], cwd=work, capture_output=True, text=True,
            timeout=300, env=os.environ | {"PYTHONPATH": str(tmp_path / "modules"),
                                           "PYTHONWARNINGS": "error", "COLUMNS": "100"})

    return start


def test_build(run, work):
    done = run("--model", "small.qsnn")
    folder = work / "build" / "small"
    report = (folder / "report.txt").read_text()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{report}\nwritten to build/small/\n"
    expected = artefacts(network(), default_folding(network(), 800), "small")
    found = digests(folder)
    listed = json.loads((folder / "manifest.json").read_text())
    whole = found.pop("manifest.json")
    assert listed["files"] == found
    expected = {name: digest(text) for name, text in expected.items()}
    assert found == {"network.qsnn": digest(network().tobytes()),
                     "network.png": found["network.png"], **expected}

    again = run("--model", "small.qsnn", "--out", "again")
    rest = digests(work / "again" / "small")
    assert again.returncode == 0 and rest == found | {"manifest.json": whole}


def test_folding_file(run, work):
    (work / "folding.json").write_text(json.dumps(ROWS))
    done = run("--model", "small.qsnn", "--folding", "folding.json", "--name", "by file")
    assert (done.returncode, done.stderr) == (0, "")
    facts, description = open_build(work / "build" / "by file")
    assert [(layer["pe"], layer["simd"]) for layer in facts["layers"]] == [(2, 5), (3, 2), (1, 4)]
    assert facts["top"] == "by_file" and description.hash == network().hash
    assert "by file: 5-4-6-3, " in done.stdout

    same = run("--model", "small.qsnn", "--pe", "2,3,1", "--simd", "5,2,4", "--name", "by file",
               "--out", "options")
    assert same.returncode == 0
    assert digests(work / "options") == digests(work / "build")


def test_committed_network(run, work):
    done = run("--bits", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mnist-256-256-b2: 784-256-256-10, 4 time steps")
    assert "cycles per image  784\n" in done.stdout
    assert (work / "build/mnist-256-256-b2/mnist_256_256_b2.v").is_file()


def test_name_of_a_trained_network(run, work):
    """Where the file is called network, the folder around it has the name."""
    (work / "network.qsnn").write_bytes((work / "small.qsnn").read_bytes())
    assert run("--model", "network.qsnn", "--out", "out").returncode == 0
    assert [path.name for path in (work / "out").iterdir()] == ["work"]


def test_help(run, work):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--bits", "--model", "--name", "--out", "--cycles", "--pe", "--simd",
                   "--folding"):
        assert option in done.stdout
    assert "qsnn build --bits 2" in done.stdout


def refused(run, work, *arguments):
    """The sentence; nothing may be written."""
    before = digests(work)
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert digests(work) == before and not (work / "build").exists()
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("arguments, sentence", [
    (["--pe", "0,1,1"], "layer 0: PE must be 1 to 4 (it has 4 neurons), not 0"),
    (["--pe", "1,2"], "--pe needs 3 numbers, one a layer, not 2"),
    (["--simd", "1,two,3"], "--simd takes whole numbers with commas, not '1,two,3'"),
    (["--folding", "small.qsnn"], f"small.qsnn{NOT_A_FOLDING} ("),
    (["--name", "a/b"], "a name of a folder is needed, of letters, digits and _ . + -, not 'a/b'"),
    (["--name", ".."], "a name of a folder is needed, of letters, digits and _ . + -, not '..'"),
    (["--name", 'a"b'], "a name of a folder is needed, of letters, digits and _ . + -, not 'a"),
    (["--out", "small.qsnn"], "small.qsnn/small: Not a directory")])
def test_refused(run, work, arguments, sentence):
    assert refused(run, work, "--model", "small.qsnn", *arguments).startswith(sentence)


def test_no_such_network(run, work):
    assert refused(run, work, "--bits", "3").startswith(
        "mnist-256-256-b3: neither a file nor one of the networks that come along: ")


def test_damaged_network(run, work):
    whole = (work / "small.qsnn").read_bytes()
    (work / "small.qsnn").write_bytes(whole[:-1])
    assert refused(run, work, "--model", "small.qsnn").startswith(
        "small.qsnn: not a readable description (")


def test_find_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_network("mnist-128-b2") == NETWORKS / "mnist-128-b2.qsnn"
    Path("here").write_bytes(b"")
    assert find_network("here") == Path("here")
    for name in (".", str(tmp_path)):
        with pytest.raises(BuildError, match=": a folder; name the .qsnn file in it$"):
            find_network(name)
    for name in ("", "nothing", "a/b"):
        with pytest.raises(BuildError) as caught:
            find_network(name)
        assert str(caught.value).startswith(f"{name}: neither a file nor ")
        assert "mnist-128-b2, mnist-256-256-b2" in str(caught.value)


def test_choose_folding():
    default = default_folding(network(), 800)
    assert choose_folding(network()) == default
    assert choose_folding(network(), cycles=3) == default_folding(network(), 3) != default
    assert choose_folding(network(), pe="1, 2,3") == [
        Folding(pe, folding.simd) for pe, folding in zip((1, 2, 3), default, strict=True)]
    assert choose_folding(network(), simd="5,4,3") == [
        Folding(folding.pe, simd) for simd, folding in zip((5, 4, 3), default, strict=True)]
    assert choose_folding(network(), pe="1,2,3", simd="5,4,3", pixels="4,1,1") == [
        Folding(1, 5, pixels=4), Folding(2, 4), Folding(3, 3)]


def test_folding_files(tmp_path):
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(ROWS))
    assert choose_folding(network(), file=file) == [Folding(**row) for row in ROWS]
    with pytest.raises(FoldingError, match="place of --pe, .* and --serial: give one of them$"):
        choose_folding(network(), file=file, simd="1,1,1")
    file.write_text(json.dumps([ROWS[0] | {"pixels": 4}, *ROWS[1:]]))
    assert [folding.pixels for folding in choose_folding(network(), file=file)] == [4, 1, 1]


@pytest.mark.parametrize("raw", [
    b"", b"[", b"{}x", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b'[{"pe": 1, "simd": 2}',
    b"null", b"3", b'"ab"', b"{}", b'{"pe": 1, "simd": 2}', b"[1, 2, 3]", b"[[1, 2]]", b'["pe"]',
    b'[{"pe": 1}]', b'[{"pe": 1, "simd": 2, "lanes": 3}]', b'[{"pe": 1, "a\\nb": 2}]', b"[{}]",
    b"[null]"])
def test_broken_folding_files(tmp_path, raw):
    file = tmp_path / "folding.json"
    file.write_bytes(raw)
    with pytest.raises(FoldingError) as caught:
        choose_folding(network(), file=file)
    assert str(caught.value).startswith(f"{file}{NOT_A_FOLDING}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("pe", ['"2"', "2.0", "true", "null", "[2]", "NaN", "1e999", "-1"])
def test_folding_files_with_other_types(tmp_path, pe):
    """They are read, and the plan says what is wrong before anything is written."""
    file = tmp_path / "folding.json"
    file.write_text(json.dumps(ROWS).replace('"pe": 2', f'"pe": {pe}'))
    with pytest.raises(ValueError, match="^layer 0: PE must be 1 to 4 .it has 4 neurons., not "):
        build(network(), choose_folding(network(), file=file), "name", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_build_again(tmp_path):
    """A smaller network in the place of a larger one leaves no memory image behind."""
    build(network(), default_folding(network(), 800), "net", tmp_path)
    small = network(widths=(3, 2, 2))
    folder = build(small, default_folding(small, 800), "net", tmp_path)
    fresh = build(small, default_folding(small, 800), "net", tmp_path / "fresh")
    assert digests(folder) == digests(fresh)
    assert open_build(folder)[1].hash == small.hash


def test_open_build_refuses(folder, tmp_path):
    with pytest.raises(BuildError, match="nothing: not a build folder; run qsnn build$"):
        open_build(tmp_path / "nothing")
    for file in ("network.qsnn", "net.json", "net.v", "memory/net_layer0_weights.hex", "lint.vlt"):
        good = (folder / file).read_bytes()
        (folder / file).write_bytes(good[:-1])
        with pytest.raises(BuildError, match=f"{file} is not the file that was built; run qsnn"):
            open_build(folder)
        (folder / file).unlink()
        with pytest.raises(BuildError, match=f"{file}: No such file or directory; run qsnn build$"):
            open_build(folder)
        (folder / file).write_bytes(good)
        assert open_build(folder)[1].hash == network().hash
    (folder / "memory/net_layer0_weights.hex").write_text("0")
    open_build(folder, images=False)
    (folder / "manifest.json").unlink()
    with pytest.raises(BuildError, match="net: not a build folder, or its build did not end; run"):
        open_build(folder)


@pytest.mark.parametrize("left", range(15))
def test_a_build_that_does_not_end(folder, other, tmp_path, monkeypatch, left):
    """Killed between any two files, over a build of another network: it is not taken for whole."""
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 15
    write, written = manifest.write_whole, []
    other, files = other
    monkeypatch.setattr(builds, "artefacts", lambda *_, **__: dict(files))

    def until(path, raw):
        if len(written) == left:
            raise KeyboardInterrupt
        written.append(path)
        write(path, raw)

    monkeypatch.setattr(manifest, "write_whole", until)
    with pytest.raises(KeyboardInterrupt):
        build(other, default_folding(other, 800), "net", tmp_path)
    with pytest.raises(BuildError, match="or its build did not end"):
        open_build(folder)
    # and once more, whole
    monkeypatch.setattr(manifest, "write_whole", write)
    folder = build(other, default_folding(other, 800), "net", tmp_path)
    assert open_build(folder)[1].hash == other.hash


def test_two_builds_at_once(tmp_path, monkeypatch):
    write, refused = manifest.write_whole, []

    def meanwhile(path, raw):
        monkeypatch.setattr(manifest, "write_whole", write)
        with pytest.raises(BuildError, match="another build writes into .*net: wait for it"):
            build(network(seed=1), default_folding(network(), 800), "net", tmp_path)
        refused.append(path)
        write(path, raw)

    monkeypatch.setattr(manifest, "write_whole", meanwhile)
    folder = build(network(), default_folding(network(), 800), "net", tmp_path)
    assert len(refused) == 1 and open_build(folder)[1].hash == network().hash


def test_a_folder_that_moves(folder, tmp_path):
    """Under another name and below a space: it is the same build."""
    facts, _ = open_build(folder)
    moved = tmp_path / "so me" / "where"
    moved.parent.mkdir()
    folder.rename(moved)
    assert open_build(moved)[0] == facts


def rewritten(folder, file, raw):
    """A build folder with another file, of which its manifest has the hash."""
    (folder / file).write_bytes(raw)
    listed = json.loads((folder / "manifest.json").read_text())
    listed["files"][file] = hashlib.sha256(raw).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(listed))


def changed(facts, *path, value=None):
    """The JSON with another value at a place, or without it."""
    facts = json.loads(json.dumps(facts))
    place = facts
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(facts).encode()


@pytest.mark.parametrize("path, value", [
    (("layers",), None), (("layers",), 3), (("layers", 0, "pe"), "2"), (("layers", 0, "pe"), 2.0),
    (("layers", 0, "pe"), -1), (("layers", 0, "pe"), 999), (("layers", 0, "schedule"), "serial"),
    (("layers", 0, "schedule"), "both"), (("layers", 1, "memories"), {}),
    (("layers", 0, "memories", "weights", "file"), "../../x"), (("layers", 2), None),
    (("layers", 0, "cycles"), 1), (("ports",), []), (("ports", "i_payload"), None),
    (("ports", "o_payload", "fields"), None), (("ports", "o_payload", "fields", "last"), None),
    (("ports", "i_payload", "width"), True), (("top",), "a b"), (("top",), 7),
    (("unit",), "step"), (("time_steps",), 10 ** 30), (("format",), 2), (("more",), "x"),
    (("cycles_per_image",), None), (("description_sha256",), "x")])
def test_damaged_facts(folder, path, value):
    """Whatever is wrong with the JSON, the answer is a sentence, although its hash is right."""
    facts, _ = open_build(folder)
    rewritten(folder, "net.json", changed(facts, *path, value=value))
    with pytest.raises(BuildError, match=r"net.json: damaged( at [\w/.]+)?; run qsnn build$"):
        open_build(folder)


@pytest.mark.parametrize("raw", [
    b"", b"{", b"[]", b"3", b"null", b"[" * 100_000, b'{"format": 1}', b"\xff", b"9" * 5000,
    b'{"format": 1, "facts": "net.json", "files": {}}',
    b'{"format": 1, "facts": "no.json", "files": {"net.v": "' + b"0" * 64 + b'"}}',
    b'{"format": 1, "facts": "net.json", "files": {"../net.json": "' + b"0" * 64 + b'"}}',
    b'{"format": 1, "facts": "net.json", "files": {"/etc/passwd": "' + b"0" * 64 + b'"}}'])
def test_damaged_manifests(folder, raw):
    for file in ("manifest.json", "net.json"):
        good = (folder / "manifest.json").read_bytes()
        if file == "manifest.json":
            (folder / file).write_bytes(raw)
        else:
            rewritten(folder, file, raw)
        with pytest.raises(BuildError, match=f"{file}: damaged( at [\\w/.]+)?; run qsnn build$"):
            open_build(folder)
        (folder / "manifest.json").write_bytes(good)


def test_loadable(run, work):
    """The Verilog has the port, and the memories are what the files hold, in its order."""
    done = run("--model", "small.qsnn", "--loadable")
    assert (done.returncode, done.stderr) == (0, "")
    folder = work / "build" / "small"
    facts, description = open_build(folder)
    found = builds.contents(facts, description)
    assert [name for name, *_ in found] == facts["memories"] and len(found) == 8
    for name, width, words in found:
        text = (folder / "memory" / f"{facts['top']}_{name}.hex").read_text()
        assert read_hex(text, width, len(words)) == words
    assert "load_write" in (folder / "qsnn_small.v").read_text()


def test_load_alike(tmp_path):
    """Other integers are welcome, another circuit is not."""
    ours, path = network(), tmp_path / "other.qsnn"
    other = retrained(np.random.default_rng(7), ours)
    save(other, path)
    assert builds.load_alike(path, ours).hash == other.hash != ours.hash
    hidden, *rest = ours.layers
    for changed, difference in (
            (dict(time_steps=ours.time_steps % 8 + 1), "time_steps is "),
            (dict(layers=[dataclasses.replace(hidden, shift=hidden.shift + 1), *rest]),
             f"shift of layer 0 is {hidden.shift + 1}, not {hidden.shift};")):
        save(Description(**{"time_steps": ours.time_steps, "layers": ours.layers} | changed), path)
        with pytest.raises(BuildError, match=f"other.qsnn needs another circuit than the build: "
                                             f"{difference}"):
            builds.load_alike(path, ours)


def test_too_deep_to_be_loaded(tmp_path):
    deep = network(widths=(1100, 64, 3))
    with pytest.raises(FoldingError, match="^layer 0: 70400 words of weights cannot be loaded, "
                                           "65536 can: take a larger PE or SIMD$"):
        build(deep, [Folding(1, 1), Folding(1, 1)], "deep", tmp_path, loadable=True)
    assert not list(tmp_path.iterdir())
    build(deep, [Folding(1, 1), Folding(1, 1)], "deep", tmp_path)
