"""Folders of WAV files: what is read, and a sentence for what is not."""

import wave

import numpy as np
import pytest

from qsnn.model.audio import FRAME, sound
from qsnn.model.data import DataError, find
from qsnn.model.meaning import Meaning
from qsnn.model.own import read_own
from qsnn.sim.workload import chosen, of_dataset
from tests.networks import random_description
from tests.streams import random_stream

RNG = np.random.default_rng(0)
LENGTHS = [321, 480, 100, 200, 480, 480, 330, 320]


def wav(path, samples, rate=8000, width=2, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())


@pytest.fixture
def folder(tmp_path):
    sounds = [RNG.integers(-9000, 9000, length) for length in LENGTHS]
    for index, samples in enumerate(sounds):
        part = "test" if index > 5 else "train"
        wav(tmp_path / part / ("up", "down")[index % 2] / f"{index}.wav", samples)
    return tmp_path, sounds


def test_sounds(folder):
    """Cut and padded to the longest one to train on, and encoded."""
    path, sounds = folder
    found = find(path)
    assert (found.shape, found.classes) == ((3, 96), ("down", "up"))
    assert found.meaning.shape == (3, FRAME) and found.meaning.encoder == "spoken-digits"
    samples, labels = found.load("test")
    assert labels.tolist() == [0, 1]
    padded = np.zeros((2, 480), np.int16)
    padded[0, :320], padded[1, :330] = sounds[7], sounds[6]
    assert (samples == sound(padded).reshape(2, -1)).all() and samples.any()
    assert "sounds of 3 steps of 20 ms, 6 for training, 2 for test, 2 classes" in found.said[0]


def test_sounds_for_a_network(folder):
    path, sounds = folder
    meaning = Meaning(classes=("down", "up"), shape=(2, FRAME), encoder="spoken-digits")
    found = read_own(path, meaning=meaning)
    assert (found.parts["test"][0].reshape(2, -1)[1] == sounds[6][:320]).all()
    with pytest.raises(DataError, match="sounds, and the network takes none"):
        read_own(path, meaning=Meaning(classes=("down", "up"), shape=(2, FRAME)))


def test_sounds_through_the_encoder(folder, monkeypatch):
    path, sounds = folder
    net = random_stream(np.random.default_rng(0), words=[(5, 1, True)])
    monkeypatch.setattr(type(net), "n_in", 96)
    monkeypatch.setattr(type(net), "classes", 2)
    for workload in (of_dataset(net, str(path), encoder="spoken-digits"),
                     chosen(net, str(path), 2, encoder="spoken-digits")):
        (raw,) = workload.raw
        assert raw.dtype == np.int16 and raw.shape == (2, 480)
        assert (workload.samples == sound(raw)).all()
    with pytest.raises(DataError, match="has nothing that the encoder of this Verilog takes, ecg"):
        of_dataset(net, str(path), encoder="ecg")


def test_a_network_for_images_takes_no_sounds(folder):
    net = random_description(np.random.default_rng(0), widths=(96, 3, 2))
    with pytest.raises(DataError, match="has 96 inputs and 2 classes, step by step, the "):
        of_dataset(net, str(folder[0]))


@pytest.mark.parametrize("samples, sentence", [
    ([], "a/x.wav: 0 seconds, more than 0 and at most 60 are needed"),
    (np.zeros(480_001), "a/x.wav: 60.0001 seconds, more than 0 and at most 60"),
])
def test_other_lengths(tmp_path, samples, sentence):
    wav(tmp_path / "a/x.wav", samples)
    wav(tmp_path / "b/y.wav", np.arange(400))
    with pytest.raises(DataError, match=sentence):
        find(tmp_path)


def test_what_was_done_is_said(tmp_path):
    """Files of any usual kind, and a line for each kind that was turned."""
    times = np.arange(24_000) / 48_000
    high = np.rint(9000 * np.sin(2 * np.pi * 440 * times))
    for part in ("train", "test"):
        wav(tmp_path / part / "a/x.wav", np.stack([high, high], 1).ravel(), 48_000, channels=2)
        wav(tmp_path / part / "a/y.wav", high, 48_000)
        wav(tmp_path / part / "b/x.wav", high[::6], 8000)
        wav(tmp_path / part / "b/y.wav", high[::6], 8000)
    (tmp_path / "test/a/z.txt").write_text("")
    found = read_own(tmp_path)
    assert found.parts["train"][0].shape == (4, 25, FRAME)
    stereo, slow = found.parts["test"][0][:2].reshape(2, -1)
    assert abs(stereo.astype(int) - slow)[50:-50].max() <= 9  # of 9000, what the filter ripples
    assert [text.strip() for text in found.said[1:]] == [
        f"{part}: 1 of 4 sounds: {what}48,000 samples a second become 8,000"
        for part in ("train", "test") for what in ("mean of 2 channels, ", "")] + [
        "test: 1 other files are left out"]


def test_too_many_sounds(tmp_path, monkeypatch):
    monkeypatch.setattr("qsnn.model.sounds.MAX_SAMPLES", 900)
    for name in ("a", "b", "c"):
        wav(tmp_path / name / "x.wav", np.arange(400))
    with pytest.raises(DataError, match="more than 900 samples in all"):
        find(tmp_path)
