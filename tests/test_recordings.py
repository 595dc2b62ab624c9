"""Files of recordings: what is read of them, and the sentences that refuse others."""

import io
import pickle

import numpy as np
import pytest

from qsnn.model import audio, data
from qsnn.model.data import DataError, load, load_sounds
from qsnn.model.encoders import Rhythm, Usual, crossings, events, pairs, thermometer
from qsnn.model.recordings import HELD_OUT, TASKS, encode_beats, excerpt

SPLITS = ("train", "test")


def packed(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of data, and nothing else on the machine."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("QSNN_DATA", raising=False)
    monkeypatch.setattr(data, "SYSTEM", tmp_path / "system")
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


def write(folder, dataset, arrays):
    where = folder / TASKS[dataset].folder
    where.mkdir(exist_ok=True)
    (where / TASKS[dataset].file).write_bytes(packed(arrays))


def beats(rng, records):
    """Arrays of heart beats of these records, one a number."""
    count = len(records)
    return {"x": rng.integers(0, 2048, (count, 128)).astype(np.int16),
            "y": rng.integers(0, 5, count).astype(np.uint8),
            "rec": np.array(records, np.uint16),
            "rr": rng.integers(0, 700, (count, 2)).astype(np.uint16)}


def ecg(rng):
    parts = dict(train=beats(rng, [101, 101, 106, 106, 106, 112, 118, 230]),
                 test=beats(rng, [100, 103, 103]))
    return {f"{name}_{split}": array for split in SPLITS for name, array in parts[split].items()}


def spoken(rng, lengths=(3000, 200, 9000, 160, 0)):
    count = len(lengths)
    return {"audio": rng.integers(-32768, 32768, sum(lengths)).astype(np.int16),
            "offset": np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32),
            "label": rng.integers(0, 10, count).astype(np.uint8),
            "index": np.array([7, 20, 0, 11, 3], np.uint8)[:count],
            "is_test": np.array([0, 0, 1, 0, 1], bool)[:count]}


def camera(rng, counts=(40, 0, 30)):
    arrays = {}
    for split in SPLITS:
        total = sum(counts)
        for name, high in (("x", 34), ("y", 34), ("p", 2)):
            arrays[f"{split}_{name}"] = rng.integers(0, high, total).astype(np.uint8)
        arrays[f"{split}_t_us"] = rng.integers(0, 330_000, total).astype(np.uint32)
        arrays[f"{split}_offset"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        arrays[f"{split}_label"] = rng.integers(0, 10, len(counts)).astype(np.uint8)
    return arrays


def pen(rng):
    return {f"{name}_{split}": array for split in SPLITS for name, array in (
        ("x", rng.integers(0, 101, (6, 8, 2)).astype(np.uint8)),
        ("y", rng.integers(0, 10, 6).astype(np.uint8)))}


FILES = {"ecg": ecg, "spoken-digits": spoken, "n-mnist": camera, "pendigits": pen}


def loaded(folder, dataset, arrays, split="train"):
    write(folder, dataset, arrays)
    spikes, labels = load(dataset, split, folder)
    task = TASKS[dataset]
    assert (spikes.dtype, labels.dtype) == (np.uint8, np.int64)
    assert spikes.shape == (len(labels), task.steps * task.inputs) and spikes.max() == 1
    return spikes.reshape(-1, task.steps, task.inputs), labels


@pytest.mark.parametrize("dataset", TASKS)
def test_every_task_is_here(dataset):
    assert set(TASKS) == set(FILES) and dataset in data.DATASETS
    task = TASKS[dataset]
    assert task.map is None or np.prod(task.map) == task.inputs


def test_ecg(folder):
    arrays = ecg(np.random.default_rng(0))
    assert {106, 118} <= set(HELD_OUT) and not {101, 112, 230} & set(HELD_OUT)
    order = [0, 1, 5, 7, 2, 3, 4, 6]  # those of 106 and 118 last
    spikes, labels = loaded(folder, "ecg", arrays)
    assert labels.tolist() == arrays["y_train"][order].tolist()
    for record in (101, 106, 112, 118, 230):
        of = np.flatnonzero(arrays["rec_train"] == record)
        steps = pairs(arrays["x_train"][of, 16:96])
        usual = Usual(levels=(32, 64, 128, 256))(steps)
        rhythm, before = Rhythm(), np.zeros(6, np.uint8)
        for beat, which in enumerate(of):
            now = rhythm(arrays["rr_train"][which, 0])
            crossed = crossings(steps[beat:beat + 1], shift=3, levels=(1, 2, 4, 8, 16))[0]
            found = spikes[order.index(which)]
            np.testing.assert_array_equal(found[:, :10], crossed)
            np.testing.assert_array_equal(found[:, 10:18], usual[beat])
            assert (found[:, 18:24] == now).all() and (found[:, 24:] == before).all()
            before = now
    spikes, labels = load("ecg", "test", folder)
    assert labels.tolist() == arrays["y_test"].tolist()
    np.testing.assert_array_equal(spikes.reshape(3, 40, 30), encode_beats(
        arrays["x_test"], arrays["rr_test"][:, 0], arrays["rec_test"]))


def test_excerpt():
    """The packaged beats are of DS2, and can be encoded."""
    samples, intervals, labels = excerpt()
    assert (samples.dtype, samples.shape) == (np.int16, (1000, 128))
    assert np.bincount(labels, minlength=5).tolist() == [705, 6, 288, 1, 0]
    spikes = encode_beats(samples, intervals, np.full(1000, 200))
    assert spikes.shape == (1000, 40, 30) and 0.05 < spikes.mean() < 0.2


def test_spoken_digits(folder):
    arrays = spoken(np.random.default_rng(0))
    for split, order in (("train", [1, 3, 0]), ("test", [2, 4])):
        spikes, labels = loaded(folder, "spoken-digits", arrays, split)
        assert labels.tolist() == arrays["label"][order].tolist()
        for found, which in zip(spikes, order, strict=True):
            samples = np.zeros((1, 8000), np.int16)
            part = arrays["audio"][arrays["offset"][which]:arrays["offset"][which + 1]][:8000]
            samples[0, :len(part)] = part
            np.testing.assert_array_equal(found, audio.sound(samples)[0])


def test_sounds(folder):
    """What an encoder takes gives the steps that are loaded, with their labels."""
    arrays = spoken(np.random.default_rng(1))
    for split in SPLITS:
        spikes, labels = loaded(folder, "spoken-digits", arrays, split)
        samples, same = load_sounds(split, folder)
        assert (samples.dtype, samples.shape) == (np.int16, (len(labels), 8000))
        assert same.dtype == np.int64 and same.tolist() == labels.tolist()
        np.testing.assert_array_equal(audio.sound(samples), spikes)
    write(folder, "spoken-digits", arrays | {"offset": np.arange(6, dtype=np.uint32)})
    with pytest.raises(DataError, match="must be 6 numbers that rise from 0 to"):
        load_sounds("test", folder)


def test_camera(folder):
    arrays = camera(np.random.default_rng(0))
    for split in SPLITS:
        spikes, labels = loaded(folder, "n-mnist", arrays, split)
        assert labels.tolist() == arrays[f"{split}_label"].tolist()
        assert not spikes[1].any()
        for found, part in ((spikes[0], slice(0, 40)), (spikes[2], slice(40, 70))):
            np.testing.assert_array_equal(found, events(
                *(arrays[f"{split}_{name}"][part] for name in ("x", "y", "p", "t_us")),
                height=34, width=34, ticks=10_000, steps=30))


def test_pen(folder):
    arrays = pen(np.random.default_rng(0))
    for split in SPLITS:
        spikes, labels = loaded(folder, "pendigits", arrays, split)
        assert labels.tolist() == arrays[f"y_{split}"].tolist()
        for coordinate in (0, 1):
            np.testing.assert_array_equal(
                spikes[:, :, 16 * coordinate:16 * coordinate + 16],
                thermometer(arrays[f"x_{split}"][:, :, coordinate], range(6, 100, 6)))


def test_nothing_found(folder):
    with pytest.raises(DataError) as error:
        load("pendigits", "test", folder)
    assert str(error.value).startswith(f"pendigits: no pendigits.npz in {folder}; ")
    assert str(error.value).endswith(
        "; there is no download: make pendigits.npz with the arrays x_train uint8 [n_train, 8, 2], "
        "y_train uint8 [n_train], x_test uint8 [n_test, 8, 2], y_test uint8 [n_test], put it into "
        "this folder, or leave out --data-dir: others are searched then")


@pytest.mark.parametrize("dataset, change, sentence", [
    ("pendigits", {"x_train": None}, "no array x_train inside"),
    ("pendigits", {"x_test": np.zeros((6, 8), np.uint8)},
     "x_test is uint8 [6, 8], it must be uint8 [n_test, 8, 2]"),
    ("pendigits", {"x_test": np.zeros((6, 8, 2))},
     "x_test is float64 [6, 8, 2], it must be uint8 [n_test, 8, 2]"),
    ("pendigits", {"y_train": np.zeros(7, np.uint8)},
     "y_train is uint8 [7], it must be uint8 [n_train]"),
    ("pendigits", {"y_train": np.full(6, 10, np.uint8)}, "a label of 10, but there are 10 classes"),
    ("ecg", {"y_train": np.full(8, 5, np.uint8)}, "a label of 5, but there are 5 classes"),
    ("spoken-digits", {"offset": np.arange(6, dtype=np.uint32)},
     "offset must be 6 numbers that rise from 0 to 12360"),
    ("spoken-digits", {"offset": np.zeros(0, np.uint32)},
     "offset must be 6 numbers that rise from 0 to 12360"),
    ("n-mnist", {"train_offset": np.array([0, 50, 40, 70], np.uint32)},
     "train_offset must be 4 numbers that rise from 0 to 70"),
    ("n-mnist", {"train_x": np.full(70, 34, np.uint8)}, "x of an event must be 0 .. 33"),
])
def test_other_arrays(folder, dataset, change, sentence):
    arrays = FILES[dataset](np.random.default_rng(0)) | change
    write(folder, dataset, {name: array for name, array in arrays.items() if array is not None})
    path = folder / TASKS[dataset].folder / TASKS[dataset].file
    with pytest.raises(DataError) as error:
        load(dataset, "train", folder)
    assert f"; {path}: {sentence}; there is no download" in str(error.value)


@pytest.mark.parametrize("raw", [b"", b"PK", b"PK\x03\x04" + b"." * 100,
                                 pickle.dumps([1]), packed({"x_train": [None]})], ids=range(5))
def test_malformed(folder, raw):
    (folder / "pendigits.npz").write_bytes(raw)
    with pytest.raises(DataError, match="pendigits.npz: (not an .npz of arrays|no array|x_train)"):
        load("pendigits", "test", folder)


def test_a_bomb_is_not_unpacked(folder, monkeypatch):
    monkeypatch.setattr("qsnn.model.arrays.MAX_BYTES", 100)
    write(folder, "pendigits", pen(np.random.default_rng(0)))
    with pytest.raises(DataError, match=r"\w+ has [\d.]+ (bytes|KiB), an array at most "
                                        "100 bytes: take fewer samples, or smaller"):
        load("pendigits", "test", folder)
