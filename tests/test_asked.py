"""Recordings in files as the steps that a network takes, and a sentence for what is none."""

from types import SimpleNamespace

import numpy as np
import pytest

from qsnn.model.arrays import DataError
from qsnn.model.asked import of_shape, read_recordings
from qsnn.model.audio import FRAME, sound
from qsnn.model.meaning import Meaning, even_levels
from qsnn.sim.asked import recordings_of
from tests.test_wav import file_of

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(4, 5, 2)).round(3)  # recordings of 5 steps with 2 channels
OWN = Meaning(classes=("up", "down"), shape=(5, 2), low=(-1.0, -2.0), high=(1.0, 2.0),
              levels=even_levels(3), label="what")
SPIKES = Meaning(classes=("up", "down"), shape=(5, 2))
SOUNDS = Meaning(classes=("up", "down"), shape=(3, FRAME), encoder="spoken-digits")


def nothing(text):
    raise AssertionError(text)


def saved(path, values):
    np.save(path, values)
    return path


def written(path, rows, head=""):
    path.write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def test_arrays(tmp_path):
    """As the training set goes, one recording or several."""
    wanted = OWN.samples(VALUES).reshape(4, 5, 6)
    found, labels, values = read_recordings(saved(tmp_path / "a.npy", VALUES), 6, OWN)
    assert found.dtype == np.uint8 and (found == wanted).all() and labels is None
    assert (values == VALUES).all() and 0.2 < found.mean() < 0.8
    found, _, _ = read_recordings(saved(tmp_path / "b.npy", VALUES[1]), 6, OWN)
    assert (found == wanted[1:2]).all()


def test_tables(tmp_path):
    """A row a step is a recording; a row with all of them is one too, and may have its label."""
    wanted = OWN.samples(VALUES).reshape(4, 5, 6)
    found, labels, _ = read_recordings(written(tmp_path / "a.csv", VALUES[2], "x,y\n"), 6, OWN)
    assert (found == wanted[2:3]).all() and labels is None
    rows = VALUES.reshape(4, 10)
    found, labels, _ = read_recordings(written(tmp_path / "b.csv", rows), 6, OWN)
    assert (found == wanted).all() and labels is None
    named = [[*row, ("up", "down")[index % 2]] for index, row in enumerate(rows)]
    head = ",".join([f"x{index}" for index in range(10)] + ["what"]) + "\n"
    found, labels, _ = read_recordings(written(tmp_path / "c.csv", named, head), 6, OWN)
    assert (found == wanted).all() and labels.tolist() == [0, 1, 0, 1]


def test_recordings_of_a_network(tmp_path):
    """One or several, of the training's steps and channels."""
    one = np.zeros((3, 2))
    assert of_shape(one, (3, 2)).shape == of_shape([one], (3, 2)).shape == (1, 3, 2)
    for wrong in (np.zeros((2, 3)), np.zeros((4, 2, 3)), np.zeros(6), one * np.nan, [["a"]],
                  [[1, 2], [3]]):
        with pytest.raises(DataError, match="steps"):
            of_shape(wrong, (3, 2))


def test_spikes(tmp_path):
    """Of a network without a meaning, of any length; of one channel a row is enough."""
    spikes = RNG.integers(0, 2, (7, 3))
    found, _, _ = read_recordings(saved(tmp_path / "a.npy", spikes), 3)
    assert (found == spikes[None]).all()
    assert (read_recordings(written(tmp_path / "a.csv", spikes), 3)[0] == spikes[None]).all()
    found, _, _ = read_recordings(saved(tmp_path / "b.npy", spikes[:, 0]), 1)
    assert (found == spikes[None, :, :1]).all()


@pytest.mark.parametrize("length, said", [
    (480, None), (400, "0.05 s with silence behind them to 0.06 s"), (600, "cut to 0.06 s")])
def test_sounds(tmp_path, length, said):
    samples = RNG.integers(-9000, 9000, length)
    path, heard = file_of(tmp_path / "x.wav", samples, 16), []
    found, _, raw = read_recordings(path, 96, SOUNDS, say=heard.append)
    padded = np.zeros((1, 480), np.int16)
    padded[0, :length] = samples[:480]
    assert (found == sound(padded)).all() and (raw.reshape(1, 480) == padded).all()
    assert [said in text for text in heard] == [True] * (said is not None)


def test_what_is_unlike_the_training_set_is_said(tmp_path):
    heard = []
    read_recordings(saved(tmp_path / "a.npy", 100 * VALUES), 6, OWN, say=heard.append)
    assert len(heard) == 1 and "lie beyond those of the network's training set" in heard[0]


def test_for_the_verilog(tmp_path):
    """An encoder in the Verilog gets the sounds themselves; names are those of the files."""
    paths = [file_of(tmp_path / f"{name}.wav", RNG.integers(-9000, 9000, 480), 16) for name in "ab"]
    net = SimpleNamespace(n_in=96, meaning=SOUNDS)
    for encoder in ("", "spoken-digits"):
        names, found = recordings_of(dict(encoder=encoder), net, paths, "")
        assert names == ["a.wav", "b.wav"] and found.samples.shape == (2, 3, 96)
        assert found.labels is None and (found.raw is None) == (not encoder)
    assert (sound(found.raw[0]) == found.samples).all()
    with pytest.raises(DataError, match="has the encoder ecg in front, which takes the signals of"):
        recordings_of(dict(encoder="ecg"), net, paths, "")
    saved(tmp_path / "c.npy", np.ones((4, 3))), saved(tmp_path / "d.npy", np.ones((5, 3)))
    with pytest.raises(DataError, match="recordings of 4 and of 5 steps: ask about those of one"):
        recordings_of(dict(encoder=""), SimpleNamespace(n_in=3, meaning=None),
                      [tmp_path / "c.npy", tmp_path / "d.npy"], "")


@pytest.mark.parametrize("name, values, meaning, sentence", [
    ("a.npy", VALUES[:, :, :1], OWN, r"\[4, 5, 1\], and \[N, 5, 2\] is needed, N recordings of 5 "
                                     "steps with 2 channels: cut or pad the steps, swap axes"),
    ("a.npy", VALUES[0, :3], OWN, r"\[3, 2\], and \[N, 5, 2\] is needed"),
    ("a.npy", VALUES[:0], OWN, r"\[0, 5, 2\], and"),
    ("a.npy", VALUES, None, r"\[4, 5, 2\], and \[N, T, 6\] is needed, N recordings of T steps"),
    ("a.npy", VALUES, SPIKES, "spikes, 0 and 1, are needed, as in the network's training set"),
    ("a.npy", VALUES * np.nan, OWN, "finite numbers are needed"),
    ("a.npy", np.array(["a"]), OWN, "an array is of numbers, not <U1"),
    ("a.csv", VALUES[:, :, 0], OWN, "5 columns, the network takes 10 or 2"),
    ("a.csv", VALUES[0, :4], OWN, r"\[4, 2\], and \[N, 5, 2\] is needed"),
    ("a.npy", VALUES, SOUNDS, "the network takes sounds: give a .wav"),
])
def test_wrong(tmp_path, name, values, meaning, sentence):
    path = saved(tmp_path / name, values) if name == "a.npy" else written(tmp_path / name, values)
    with pytest.raises(DataError, match=f"{name}: {sentence}"):
        read_recordings(path, 6, meaning, say=nothing)


def test_wrong_files(tmp_path):
    path = file_of(tmp_path / "x.wav", [1, 2], 16)
    for meaning in (OWN, None):
        with pytest.raises(DataError, match="x.wav: a sound, and the network takes none: give a"):
            read_recordings(path, 6, meaning)
    with pytest.raises(DataError, match="no.npy: No such file or directory"):
        read_recordings(tmp_path / "no.npy", 6, OWN)
    with pytest.raises(DataError, match="x.mp3: a recording is a .npy, a .csv or, of a network of"):
        read_recordings(tmp_path / "x.mp3", 6, OWN)
    rows = [[*VALUES[0].ravel(), "left"]]
    head = ",".join([f"x{index}" for index in range(10)] + ["what"]) + "\n"
    with pytest.raises(DataError, match="it has the class 'left', which no sample to train on has"):
        read_recordings(written(tmp_path / "c.csv", rows, head), 6, OWN)
