from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from qsnn.model.description import DescriptionError, load, save
from qsnn.model.meaning import Meaning, even_levels, scale_of
from tests.test_description import hidden, network, readout

IMAGE = Meaning(classes=("no", "yes"), shape=(2, 2, 1), low=(10.0,), high=(20.0,))


def test_scale():
    values = np.array([5, 10, 15, 20, 21, 12.02]).reshape(3, 2)
    row = Meaning(classes=("no", "yes"), shape=(2,), low=(10.0,), high=(20.0,))
    assert row.samples(values).tolist() == [[0, 0], [128, 255], [255, 52]]  # 127.5 to even, 51.51
    assert row.samples(values).dtype == np.uint8


def test_scale_of_a_column():
    values = np.array([[0, -1, 7], [16, 1, 7]])
    low, high = scale_of(values, columns=True)
    assert (low, high) == ((0, -1, 7), (16, 1, 7))
    row = Meaning(classes=("a", "b"), shape=(3,), low=low, high=high)
    # a column that never changed says nothing, whatever comes later
    assert row.samples(np.array([[8, 0.5, 1e9], [-1, np.inf, -1e9]])).tolist() == [
        [128, 191, 0], [0, 255, 0]]


def test_scale_leaves_out_what_is_rare():
    values = np.concatenate([np.linspace(0, 1, 10_000), [1e6, -1e6]]).reshape(-1, 1, 1)
    (low,), (high,) = scale_of(values, columns=False)
    assert 0 <= low < 0.002 and 0.998 < high <= 1


def test_pieces_are_the_whole(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 3, 4))
    stream = Meaning(classes=("a", "b"), shape=(3, 4), low=(-1.0,), high=(1.0,), levels=(50, 200))
    whole = stream.samples(values)
    monkeypatch.setattr("qsnn.model.meaning.PIECE", 7 * 12)
    assert (stream.samples(values) == whole).all()


def test_polarity():
    turned = IMAGE.model_copy(update={"inverted": True})
    values = np.array([[[[0], [10]], [[20], [15]]]])
    assert turned.samples(values).tolist() == [[255, 255, 0, 127]]


def test_levels():
    stream = Meaning(classes=("a", "b"), shape=(2, 2), low=(0.0, 0.0), high=(1.0, 10.0),
                     levels=(64, 128))
    assert stream.inputs == 4
    assert stream.samples(np.array([[[0.2, 10], [0.6, 3]]])).tolist() == [[0, 0, 1, 1, 1, 1, 1, 0]]
    assert even_levels(3) == (64, 128, 191)


def test_spikes_are_taken_as_they_are():
    stream = Meaning(classes=("a", "b"), shape=(2, 3))
    spikes = np.array([[[True, False, False], [False, True, True]]])
    assert stream.samples(spikes).tolist() == [[1, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("changes, sentence", [
    (dict(classes=("a", "a")), "two classes have one name"),
    (dict(classes=("a",)), "at least 2 items"),
    (dict(classes=("a", "b\x1b[2J")), "printable"),
    (dict(classes=("a", "")), "at least 1 character"),
    (dict(classes=("a", "b" * 41)), "at most 40 characters"),
    (dict(low=(0.0, 0.0)), "low and high must be none, one, or one a column"),
    (dict(low=(0.0,) * 3, high=(1.0,) * 3), "low and high must be none, one, or one a column"),
    (dict(low=(30.0,)), "low must not be above high"),
    (dict(low=(float("nan"),)), "finite number"),
    (dict(levels=(3,)), "levels rise, and are of a stream"),
    (dict(shape=(2, 2), levels=(3, 3)), "levels rise, and are of a stream"),
    (dict(shape=(0, 2, 1)), "greater than or equal to 1"),
    (dict(unknown=1), "Extra inputs are not permitted"),
])
def test_wrong(changes, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Meaning(**dict(classes=("no", "yes"), shape=(2, 2, 1), low=(10.0,), high=(20.0,)) | changes)


NAMES = Meaning(classes=("cat", "Hündin", "3"), shape=(3,), low=(0.1,) * 3, high=(2.5e-7 + 1,) * 3,
                label="animal", split=3)


def test_in_a_description(tmp_path):
    net = network(meaning=NAMES)
    save(net, tmp_path / "net.qsnn")
    again = load(tmp_path / "net.qsnn")
    assert again.meaning == NAMES
    assert again.tobytes() == net.tobytes()
    assert net.hash != network().hash


def test_without_one_the_bytes_are_as_ever():
    assert b"meaning" not in network().tobytes()
    assert replace(network(meaning=NAMES), meaning=None).tobytes() == network().tobytes()


@pytest.mark.parametrize("changes", [dict(classes=("a", "b")), dict(shape=(4,)),
                                     dict(shape=(1, 3))])
def test_of_another_network(changes):
    wrong = Meaning(**dict(classes=("a", "b", "c"), shape=(3,)) | changes)
    with pytest.raises(DescriptionError, match="its meaning is that of another network"):
        network(meaning=wrong)


def test_the_largest_one_has_room(tmp_path):
    """A thousand names and 2,048 scales, and none of them short."""
    low, high = scale_of(np.random.default_rng(0).normal(size=(4, 2048)) * -1e-100, columns=True)
    names = tuple(f"{k:040}" for k in range(1000))
    net = network(meaning=Meaning(classes=names, shape=(2048,), low=low, high=high), layers=(
        hidden(weights=np.ones((2, 2048), int), input_bits=8),
        readout(weights=np.ones((1000, 2), int), bias=np.zeros(1000, int))))
    save(net, tmp_path / "net.qsnn")
    assert load(tmp_path / "net.qsnn").meaning == net.meaning
