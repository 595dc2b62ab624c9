"""CIFAR-10 from its release and from arrays; everything else is refused with a sentence."""

import hashlib
import io
import tarfile
import tracemalloc

import numpy as np
import pytest

from qsnn.model import cifar, data
from qsnn.model.data import DataError, load


@pytest.fixture
def small(monkeypatch):
    """A set with 3 images a batch that counts as the published one: {split: (images, labels)}."""
    rng = np.random.default_rng(0)
    sets = {split: (rng.integers(0, 256, size=(3 * len(names), 3, 32, 32), dtype=np.uint8),
                    rng.integers(0, 10, size=3 * len(names), dtype=np.uint8))
            for split, names in cifar.BATCHES.items()}
    monkeypatch.setattr(cifar, "SHA256", {
        split: tuple(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays)
        for split, arrays in sets.items()})
    return sets


def release(sets, leave_out=""):
    """A .tar.gz as the release is one."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for split, (images, labels) in sets.items():
            rows = np.column_stack([labels, images.reshape(len(images), -1)])
            for index, name in enumerate(cifar.BATCHES[split]):
                if name != leave_out:
                    contents = rows[3 * index:3 * index + 3].tobytes()
                    member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                    member.size = len(contents)
                    archive.addfile(member, io.BytesIO(contents))
    return raw.getvalue()


def arrays(sets, **changes):
    raw = io.BytesIO()
    np.savez(raw, **{f"{name}_{split}": array for split, pair in sets.items()
                     for name, array in zip("xy", pair, strict=True)} | changes)
    return raw.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only place that is searched; no mirror answers."""
    monkeypatch.setattr(data, "_folders", lambda data_dir: [tmp_path])
    monkeypatch.setattr(data, "MIRRORS", {name: () for name in data.DATASETS})
    return tmp_path


@pytest.mark.parametrize("file, make", [("cifar-10-binary.tar.gz", release),
                                        ("cifar10.npz", arrays)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_load(small, folder, file, make, split):
    """The channels of a pixel come side by side."""
    (folder / "cifar-10").mkdir()
    (folder / "cifar-10" / file).write_bytes(make(small))
    images, labels = load("cifar-10", split)
    maps, expected = small[split]
    assert images.dtype == np.uint8 and images.shape == (len(maps), 3072)
    np.testing.assert_array_equal(images.reshape(-1, 32, 32, 3), maps.transpose(0, 2, 3, 1))
    assert labels.dtype == np.int64 and labels.tolist() == expected.tolist()


@pytest.mark.parametrize("spoil, sentence", [
    (lambda sets: release(sets)[:-2000], "not CIFAR-10"),
    (lambda sets: release(sets, leave_out="test_batch.bin"), "not CIFAR-10"),
    (lambda sets: b"PK\x03\x04 and no archive", "not CIFAR-10"),
    (lambda sets: b"", "not CIFAR-10"),
    (lambda sets: arrays(sets, x_test=sets["test"][0] ^ 1),
     "not the published file: the SHA-256 of its test pixels is "),
    (lambda sets: arrays(sets, y_test=sets["test"][1] ^ 1),
     "not the published file: the SHA-256 of its test labels is "),
    (lambda sets: arrays(sets, x_test=np.array([object()] * 3)), "not CIFAR-10"),
])
def test_refused(small, folder, spoil, sentence):
    (folder / "cifar10.npz").write_bytes(spoil(small))
    with pytest.raises(DataError, match=f"cifar10.npz: {sentence}"):
        load("cifar-10", "test")


def test_a_bomb_is_not_read(small, folder):
    """What has another hash is compared in pieces; it never becomes an array."""
    (folder / "cifar10.npz").write_bytes(packed(x_test=np.zeros((1 << 16, 3, 32, 32), np.uint8)))
    tracemalloc.start()
    with pytest.raises(DataError, match="the SHA-256 of its test pixels is "):
        load("cifar-10", "test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # of 192 MiB


def packed(**of):
    raw = io.BytesIO()
    np.savez_compressed(raw, **of)
    return raw.getvalue()
