"""Files that are whole or not there, and what is said where one cannot be written or read."""

import errno
import importlib
import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch

import qsnn
from qsnn.hw.board import toolchain
from qsnn.hw.emit.build import BuildError, build, find_network, open_build
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import FoldingError
from qsnn.model import description as descriptions
from qsnn.model.description import DescriptionError, load, save
from qsnn.model.files import NO_SPACE, said, write_whole
from qsnn.sim import tools
from tests.networks import random_description

ROOT = Path(__file__).resolve().parents[1]
Usage = namedtuple("Usage", "total used free")


def network(seed=0):
    return random_description(np.random.default_rng(seed), widths=(5, 4, 3))


def command(monkeypatch, capsys, name, *arguments):
    """Exit code and sentence of a command, in this process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the script's own is undone
    monkeypatch.syspath_prepend(ROOT / "scripts")
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(name).app(list(map(str, arguments)))
    return stop.value.code, capsys.readouterr().err


@pytest.fixture
def full(monkeypatch):
    """A disk that takes so many files more."""
    def fill(files):
        left, fdopen = [files], os.fdopen

        def open_full(handle, *arguments, **options):
            left[0] -= 1
            file = fdopen(handle, *arguments, **options)
            if left[0] < 0 and "w" in arguments[0]:
                def write(raw):
                    os.write(handle, raw[:5])  # what there was room for
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file = _Writer(file, write)
            return file
        monkeypatch.setattr(os, "fdopen", open_full)
    return fill


class _Writer:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_whole_or_not_at_all(tmp_path, full):
    write_whole(tmp_path / "a", b"old", 0o755)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    full(0)
    with pytest.raises(OSError) as caught:
        write_whole(tmp_path / "a", b"new and longer")
    assert said(caught.value) == f"{tmp_path / 'a'}: {NO_SPACE}"
    assert (tmp_path / "a").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="no file that could be replaced"):
            write_whole(tmp_path / name, b"x")
    assert (tmp_path / "pipe").is_fifo() and sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


@pytest.mark.parametrize("error, sentence", [
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"),
     "a/b: No such file or directory"),
    (OSError(errno.EDQUOT, "Disk quota exceeded", b"x"), f"x: {NO_SPACE}"),
    (OSError(errno.ENOSPC, "No space left on device"), NO_SPACE),
    (OSError("no words of the system"), "no words of the system")])
def test_said(error, sentence):
    assert said(error) == sentence


@pytest.mark.parametrize("files", [0, 4, 8, 11])  # of twelve
def test_full_disk(monkeypatch, capsys, tmp_path, full, files):
    """A build that ends in the middle is none, and one after it is."""
    save(network(), tmp_path / "small.qsnn")
    arguments = "--model", tmp_path / "small.qsnn", "--out", tmp_path / "out"
    with monkeypatch.context() as patch:
        full(files)
        code, errors = command(patch, capsys, "build", *arguments)
    assert code == 2 and errors.startswith(f"error: {tmp_path / 'out/small'}")
    assert errors.endswith(f": {NO_SPACE}\n") and errors.count("\n") == 1
    monkeypatch.undo()
    folder = tmp_path / "out/small"
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    with pytest.raises(BuildError, match="its build did not end"):
        open_build(folder)
    build(network(), choose_folding(network()), "small", tmp_path / "out")
    open_build(folder)


def test_tools_on_a_full_disk(monkeypatch, tmp_path):
    """Some go on with half a file, and say nothing."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10, 10, 0))
    with pytest.raises(toolchain.ToolError, match=f"^synthesis failed: {NO_SPACE}$"):
        toolchain.run([toolchain.Job("synthesis", ["true"], "log")], tmp_path)
    with pytest.raises(tools.SimulationError, match=f"^{tmp_path}: {NO_SPACE}$"):
        tools.run(["false"], dict(os.environ), tmp_path, tmp_path / "log")
    tools.run(["true"], dict(os.environ), tmp_path, tmp_path / "log")


def old(path):
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write, kind", [
    (lambda path: torch.save({"a": torch.zeros(3)}, path), "a zip archive, such as PyTorch's .pt"),
    (old, "a pickle, such as PyTorch's older .pt"),
    (lambda path: path.write_bytes(b"\x93NUMPY\x01\0v\0" + bytes(118)), "an array of NumPy"),
    (lambda path: path.write_text('{"a": 1}'), "JSON"),
    (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "an HDF5 file"),
    (lambda path: path.write_text("whatever this may be"), "not a network, or damaged")])
def test_other_files(monkeypatch, capsys, tmp_path, write, kind):
    path = tmp_path / "net.pt"
    write(path)
    with pytest.raises(DescriptionError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and kind in str(caught.value)
    assert str(caught.value).endswith(descriptions.OURS)
    code, errors = command(monkeypatch, capsys, "build", "--model", path, "--out", tmp_path / "o")
    assert (code, errors) == (2, f"error: {caught.value}\n") and not (tmp_path / "o").exists()


def test_a_folder_for_its_file(monkeypatch, capsys, tmp_path):
    with pytest.raises(BuildError, match=f"^{tmp_path}: a folder; name the .qsnn file in it$"):
        find_network(tmp_path)
    with pytest.raises(DescriptionError, match=f"^{tmp_path}: a folder; name the .qsnn file"):
        load(tmp_path)
    save(network(), tmp_path / "network.qsnn")
    with pytest.raises(BuildError, match=f"^{tmp_path}: a folder; name {tmp_path}/network.qsnn$"):
        qsnn.load(tmp_path)
    with pytest.raises(FoldingError, match=rf"^{tmp_path}: not a folding, .* \(Is a directory\)$"):
        choose_folding(network(), file=tmp_path)
    code, errors = command(monkeypatch, capsys, "build", "--model", tmp_path / "network.qsnn",
                           "--out", tmp_path / "network.qsnn")
    assert (code, errors) == (2, f"error: {tmp_path}/network.qsnn/{tmp_path.name}: "
                                 "Not a directory\n")


def test_no_memory(monkeypatch, capsys, tmp_path):
    def fail(*_):
        raise MemoryError
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(importlib.import_module("build"), "load", fail)
    assert command(monkeypatch, capsys, "build", "--out", tmp_path) == (
        2, "error: there is not enough memory\n")
