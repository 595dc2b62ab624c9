"""Somebody's own data: what is read, how it is taken, and a sentence for all that is not data."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qsnn.model import data, own, reading, tables
from qsnn.model.data import DataError, find, load
from qsnn.model.meaning import Meaning, even_levels
from qsnn.model.own import read_asked, read_own
from qsnn.model.reading import Reading, sides_of
from qsnn.scripts.build import recorded
from tests.networks import random_description
from tests.streams import random_stream

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 4
ROWS = RNG.normal(size=(40, 6)) * [1, 10, 100, 1e-3, 1, 1]
GREY = RNG.integers(0, 200, (40, 5, 7), dtype=np.uint8)
GREY[:, [0, -1]] = 0
GREY[:, :, [0, -1]] = 0
GREY[:, 2, 3] = 255


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def table(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def pictures(folder, images, labels):
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{index}.png")
    return folder


def test_split_of_its_own(tmp_path):
    """A fifth of each class, classes mixed; another one by another seed."""
    path = npz(tmp_path / "a.npz", x=ROWS, y=LABELS)
    found = read_own(path)
    (train, labels), (test, truth) = found.parts["train"], found.parts["test"]
    assert (len(train), len(test)) == (32, 8)
    assert np.bincount(truth).tolist() == [2] * 4
    assert sorted(map(tuple, np.concatenate([train, test]))) == sorted(map(tuple, ROWS))
    where = {tuple(row): label for row, label in zip(ROWS, LABELS, strict=True)}
    assert [where[tuple(row)] for row in train] == labels.tolist()
    assert [where[tuple(row)] for row in test] == truth.tolist()
    assert np.abs(np.diff(labels)).max() > 0 and len(set(labels[-8:])) > 1  # classes are mixed
    assert "8 samples, drawn with --split 0" in found.said[-1]
    other = read_own(path, Reading(split=1))
    assert other.parts["test"][0].tolist() != test.tolist()
    assert other.meaning.split == 1
    # a network remembers it
    again = read_own(path, meaning=other.meaning)
    assert again.parts["test"][0].tolist() == other.parts["test"][0].tolist()


def test_parts_that_are_there(tmp_path):
    path = npz(tmp_path / "a.npz", x_train=ROWS, y_train=LABELS, x_test=ROWS[:3],
               y_test=np.array([3, 0, 1], "u1"))
    samples, labels = load(str(path), "test")
    assert labels.tolist() == [3, 0, 1] and samples.shape == (3, 6)
    assert len(load(str(path), "train")[0]) == 40


@pytest.mark.parametrize("labels, classes", [
    (np.array([7, -1, 1000]), ("-1", "7", "1000")),  # by size, with gaps
    (np.array([1.0, 3.0, 2.0]), ("1", "2", "3")),
    (np.array([0.5, 2, 1]), ("0.5", "1.0", "2.0")),
    (np.array(["dog", "cat", "a bird"]), ("a bird", "cat", "dog")),
    (np.array([b"dog", b"cat", b"10"]), ("10", "cat", "dog")),
    (np.array([True, False, True]), ("False", "True")),
    (np.array([2 ** 53 + 1, 2 ** 53, 3]), ("3", "9007199254740992", "9007199254740993")),
])
def test_names(tmp_path, labels, classes):
    path = npz(tmp_path / "a.npz", x_train=ROWS[:6], y_train=np.tile(labels, 2), x_test=ROWS[:3],
               y_test=labels)
    found = find(path)
    assert found.classes == classes
    texts = [str(float(label)) if "0.5" in classes else label.decode() if isinstance(label, bytes)
             else str(label).removesuffix(".0") for label in labels.tolist()]
    assert [classes[label] for label in found.load("test")[1]] == texts


@pytest.mark.parametrize("values, options, shape", [
    (ROWS, {}, (6,)),
    (ROWS, dict(image=(2, 3)), (2, 3, 1)),
    (ROWS, dict(image=(1, 2)), (1, 2, 3)),
    (ROWS, dict(stream=True, levels=3), (6, 3)),
    (GREY, {}, (5, 7, 1)),
    (GREY, dict(stream=True, levels=2), (5, 14)),
    (GREY > 50, dict(stream=True), (5, 7)),
    (RNG.random((40, 5, 7, 3)).astype("f2"), {}, (5, 7, 3)),
    (ROWS.astype("f4"), {}, (6,)),
    (RNG.random((40, 3, 5, 7)), {}, (5, 7, 3)),
    (RNG.random((40, 1, 5, 7)) < 0.5, {}, (5, 7, 1)),
    (RNG.random((40, 4, 5, 7)), dict(stream=True, levels=1), (4, 35)),
])
def test_layouts(tmp_path, values, options, shape):
    found = find(npz(tmp_path / "a.npz", x=values, y=LABELS), reading=Reading(**options))
    assert found.shape == shape
    samples, labels = found.load("train")
    assert samples.shape == (32, np.prod(shape)) and samples.dtype == np.uint8
    assert samples.max() == (1 if found.stream else 255)


def test_what_was_taken_is_said(tmp_path):
    path = npz(tmp_path / "a.npz", x=RNG.random((40, 5, 7)), y=LABELS)
    assert find(path).said == (
        f"{path}: images of 5 x 7 x 1, 32 for training, 8 for test, 4 classes: 0, 1, 2, 3",
        "  taken as grey images of 5 x 7; for 5 steps of 7 channels say --stream",
        "  no test part: a fifth of each class is held out, 8 samples, drawn with --split 0")


def test_scale_is_that_of_the_training_part(tmp_path):
    path = npz(tmp_path / "a.npz", x_train=ROWS, y_train=LABELS, x_test=ROWS[:4] * 100,
               y_test=LABELS[:4])
    found = find(path)
    assert found.meaning.low == tuple(float(f"{low:.6g}") for low in ROWS.min(axis=0))
    assert found.meaning.high == tuple(float(f"{high:.6g}") for high in ROWS.max(axis=0))
    train, test = found.load("train")[0], found.load("test")[0]
    assert (train.min(axis=0) == 0).all() and (train.max(axis=0) == 255).all()
    assert np.isin(test, (0, 255)).mean() > 0.9


def test_pixels_of_8_bits_stay_what_they_are(tmp_path):
    path = npz(tmp_path / "a.npz", x_train=GREY, y_train=LABELS, x_test=GREY, y_test=LABELS)
    assert (load(str(path), "test")[0] == GREY.reshape(40, 35)).all()
    assert find(path).meaning.low == ()


def test_digits_are_the_digits(tmp_path):
    """A table of 0 .. 16 gives the pixels of the set that has a name."""
    images, labels = load("digits", "train")
    rows = np.rint(images[:300] / 255 * 16).astype(int)
    path = table(tmp_path / "a.csv", [[f"p{k}" for k in range(64)] + ["digit"], *(
        [*row, f"d{label}"] for row, label in zip(rows, labels, strict=False))])
    found = read_own(path, Reading(image=(8, 8), label="digit"))
    values, of = found.parts["train"]
    order = [rows.reshape(-1, 8, 8, 1).tolist().index(value.tolist()) for value in values]
    assert (found.load("train")[0] == images[order]).all()
    assert [found.meaning.classes[label] for label in of] == [f"d{labels[at]}" for at in order]
    assert found.meaning.ground and found.meaning.label == "digit"


def test_dark_on_bright(tmp_path):
    dark = npz(tmp_path / "dark.npz", x=255 - GREY, y=LABELS)
    bright = npz(tmp_path / "bright.npz", x=GREY, y=LABELS)
    assert (load(str(dark), "train")[0] == load(str(bright), "train")[0]).all()
    assert find(dark).meaning.inverted and find(dark).meaning.ground
    assert not find(bright).meaning.inverted and find(bright).meaning.ground
    assert any("all are turned" in text for text in find(dark).said)
    photos = npz(tmp_path / "photos.npz", x=RNG.integers(0, 256, (40, 5, 7)), y=LABELS)
    assert not find(photos).meaning.ground


def test_spikes_of_numbers(tmp_path):
    signal = np.tile(np.linspace(-1, 1, 256)[:, None], (8, 1, 2))
    path = npz(tmp_path / "a.npz", x_train=signal, y_train=LABELS[:8], x_test=signal[:1],
               y_test=[0])
    found = find(path, reading=Reading(stream=True, levels=4))
    spikes = found.load("test")[0].reshape(256, 2, 4)
    assert found.meaning.levels == (51, 102, 153, 204)
    assert (spikes[0] == 0).all() and (spikes[-1] == 1).all()
    assert (np.diff(spikes.astype(int), axis=0) >= 0).all()
    assert spikes[:, 0].sum(axis=0).tolist() == [205, 154, 103, 52]


@pytest.mark.parametrize("rows, options, columns", [
    ([["a", "b", "Class"], [1, 2, "x"], [3, 4, "y"]], {}, 2),
    ([["y", "b", "c"], ["x", 2, 1], ["y", 4, 3]], {}, 2),
    ([["0", "1", "target"], [1, 2, "x"], [3, 4, "y"]], {}, 2),
    ([["", "b", "label"], [0, 2, "x"], [1, 4, "y"]], {}, 1),  # pandas' index
    ([["a", "b", "kind"], [1, 2, "x"], [3, 4, "y"]], dict(label="kind"), 2),
    ([["a", "b", "kind"], [1, 2, "x"], [3, 4, "y"]], dict(label="-1"), 2),
    ([["x", 1, 2], ["y", 3, 4]], dict(label="0"), 2),
    ([[1.5, -2e3, "Iris-setosa"], [3, 4, "Iris-versicolor"], [], [" "]], dict(label="-1"), 2),
])
def test_tables(tmp_path, rows, options, columns):
    path = table(tmp_path / "a.csv", rows)
    found = tables.read_table(path, **options)
    assert found.values.shape == (2, columns) and found.values.dtype == np.float64
    assert len(set(found.labels)) == 2
    for between, name in (("\t", "a.tsv"), (";", "b.csv")):
        (tmp_path / name).write_text("\ufeff" + path.read_text().replace(",", between))
        again = tables.read_table(tmp_path / name, **options)
        assert (again.values == found.values).all() and again.labels == found.labels


def test_a_table_without_labels(tmp_path):
    """What a network is asked about need not have them."""
    rows = [["a", "b", "label"], [1, 2, "x"], [3, 4, "y"]]
    with_them = tables.read_table(table(tmp_path / "a.csv", rows), "label", columns=2)
    without = tables.read_table(table(tmp_path / "b.csv", [row[:2] for row in rows]), "label",
                                columns=2)
    assert (with_them.values == without.values).all()
    assert with_them.labels == ["x", "y"] and without.labels is None
    numbered = tables.read_table(table(tmp_path / "c.csv", [[1, 2], [3, 4]]), "0", columns=2)
    assert numbered.labels is None and numbered.values.tolist() == [[1, 2], [3, 4]]
    counted = tables.read_table(table(tmp_path / "d.csv", [[0, 1, 2], [1, 2, 3]]), columns=3)
    assert counted.values.tolist() == [[1, 2, 3]]  # pandas' names
    with pytest.raises(DataError, match="2 columns, the network takes 3"):
        tables.read_table(tmp_path / "b.csv", "label", columns=3)


def test_two_tables(tmp_path):
    head = ["a", "b", "y"]
    table(tmp_path / "train.csv", [head, [1, 2, "x"], [3, 4, "y"]])
    table(tmp_path / "test.csv", [head, [5, 6, "y"]])
    samples, labels = load(str(tmp_path), "test")
    assert labels.tolist() == [1] and samples.tolist() == [[255, 255]]


NAMED = [["height", "width", "kind"], *([index, 10 * index % 7, "ab"[index % 2]]
                                         for index in range(12))]


def permuted(rows, order):
    return [[row[at] for at in order] for row in rows]


def test_columns_go_by_their_names(tmp_path):
    """Another part, or what a network is asked about, may have them in another order."""
    table(tmp_path / "a.csv", NAMED)
    own = read_own(tmp_path / "a.csv", Reading(label="kind"))
    assert own.meaning.columns == ("height", "width")
    table(tmp_path / "b.csv", permuted(NAMED, [1, 2, 0]))
    again = read_own(tmp_path / "b.csv", meaning=own.meaning)
    for split in ("train", "test"):
        for values, others in zip(own.parts[split], again.parts[split], strict=True):
            assert (values == others).all()
    for name, order in (("c", [0, 1]), ("d", [1, 0]), ("e", [2, 1, 0])):
        table(tmp_path / f"{name}.csv", permuted(NAMED, order))
    asked = [read_asked(tmp_path / f"{name}.csv", 2, meaning=own.meaning, say=str)[0]
             for name in "cde"]
    assert (asked[0] == asked[1]).all() and (asked[0] == asked[2]).all()
    table(tmp_path / "f.csv", permuted(NAMED, [1, 0])[1:])  # without names: as they come
    bare, _ = read_asked(tmp_path / "f.csv", 2, meaning=own.meaning, say=str)
    assert (bare != asked[0]).any()
    both = tmp_path / "both"
    both.mkdir()
    table(both / "train.csv", NAMED)
    table(both / "test.csv", permuted(NAMED, [2, 1, 0]))
    found = read_own(both, Reading(label="kind"))
    assert (np.sort(found.parts["train"][0], 0) == np.sort(found.parts["test"][0], 0)).all()


@pytest.mark.parametrize("head, sentence", [
    (["height", "depth"], r"no column 'width': the columns are to be height, width, in whatever"),
    (["height", "height"], "no column 'width'")])
def test_other_columns(tmp_path, head, sentence):
    table(tmp_path / "a.csv", NAMED)
    meaning = read_own(tmp_path / "a.csv", Reading(label="kind")).meaning
    table(tmp_path / "b.csv", [head, [1, 2]])
    with pytest.raises(DataError, match=sentence):
        read_asked(tmp_path / "b.csv", 2, meaning=meaning)


def test_another_set_is_doubted(tmp_path):
    """Its held-out samples may be among those of the training; a test part of its own is one."""
    table(tmp_path / "a.csv", NAMED)
    meaning = read_own(tmp_path / "a.csv", Reading(label="kind")).meaning
    assert read_own(tmp_path / "a.csv", meaning=meaning).doubt == ""
    table(tmp_path / "a.csv", [*NAMED, [3, 4, "a"]])
    assert "is not what the network was trained with" in read_own(
        tmp_path / "a.csv", meaning=meaning).doubt
    x = np.arange(12.0).reshape(6, 2)
    npz(tmp_path / "b.npz", x_train=x, y_train=list("ababab"), x_test=x, y_test=list("ababab"))
    assert read_own(tmp_path / "b.npz", meaning=meaning).doubt == ""


def test_order_of_classes(tmp_path):
    npz(tmp_path / "a.npz", x=np.arange(12.0).reshape(6, 2), y=list("abcabc"))
    own = read_own(tmp_path / "a.npz", Reading(classes=("c", "a", "b")))
    plain = read_own(tmp_path / "a.npz")
    assert own.meaning.classes == ("c", "a", "b")
    assert (own.parts["train"][1] == (plain.parts["train"][1] + 1) % 3).all()
    for classes in (("a", "b"), ("a", "b", "c", "d"), ("a", "b", "b")):
        with pytest.raises(DataError, match="and there are a, b, c: name each once"):
            read_own(tmp_path / "a.npz", Reading(classes=classes))


def test_names_that_are_no_text_stay_apart(tmp_path):
    npz(tmp_path / "a.npz", x=np.arange(12.0).reshape(6, 2),
        y=np.array([b"\xff", b"\xfe", b"a"] * 2))
    assert len(read_own(tmp_path / "a.npz").meaning.classes) == 3


def test_the_odd_part_is_said(tmp_path):
    npz(tmp_path / "a.npz", x_train=np.ones((6, 4)) * np.arange(6)[:, None], y_train=[0, 1] * 3,
        x_test=np.ones((2, 3)), y_test=[0, 1])
    with pytest.raises(DataError, match="samples of 3, and of 4 are needed"):
        read_own(tmp_path / "a.npz")


def test_a_stray_sound(tmp_path):
    """Among pictures it is left out."""
    rng = np.random.default_rng(0)
    pictures(tmp_path / "set", rng.integers(0, 256, (8, 5, 5, 3), np.uint8), ["a", "b"] * 4)
    (tmp_path / "set" / "a" / "x.wav").write_bytes(b"RIFF")
    assert read_own(tmp_path / "set").meaning.shape == (5, 5, 3)


def test_a_picture_is_no_row(tmp_path):
    table(tmp_path / "a.csv", NAMED)
    meaning = read_own(tmp_path / "a.csv", Reading(label="kind")).meaning
    Image.fromarray(np.zeros((1, 2), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="a picture, and the network takes rows of 2 numbers"):
        read_asked(tmp_path / "a.png", 2, meaning=meaning)


def test_pictures_by_class(tmp_path):
    found = find(pictures(tmp_path / "a", GREY, LABELS))
    assert found.shape == (5, 7, 1) and found.classes == ("0", "1", "2", "3")
    values, labels = found.load("train")
    of = {image.tobytes(): label for image, label in zip(GREY, LABELS, strict=True)}
    assert [of[value.tobytes()] for value in values] == labels.tolist()
    colour = RNG.integers(0, 256, (40, 5, 7, 3), dtype=np.uint8)
    names = np.array(["cat", "dog"])[LABELS % 2]
    (tmp_path / "b").mkdir()
    for part, chosen in (("train", slice(30)), ("test", slice(30, 40))):
        pictures(tmp_path / "b" / part, colour[chosen], names[chosen])
    (tmp_path / "b/train/cat/notes.txt").write_text("x")
    found = find(tmp_path / "b")
    assert found.shape == (5, 7, 3) and found.classes == ("cat", "dog")
    assert len(found.load("test")[0]) == 10
    assert found.said[1:] == ("  1 other files are left out",)
    small = find(tmp_path / "b", reading=Reading(image=(2, 2)))
    assert small.shape == (2, 2, 3)
    assert find(tmp_path / "b", reading=Reading(image=(5, 7, 1))).shape == (5, 7, 1)


def test_a_set_for_a_network(tmp_path):
    """Its scale and classes are those of the network, whatever the set has."""
    first = find(npz(tmp_path / "a.npz", x=ROWS, y=LABELS))
    other = npz(tmp_path / "b.npz", x_train=ROWS[:8] * 2, y_train=[3, 1] * 4, x_test=ROWS[:2],
                y_test=[1, 3])
    found = find(other, meaning=first.meaning)
    assert found.meaning == first.meaning
    assert found.load("test")[1].tolist() == [1, 3]
    assert (found.load("test")[0] == first.meaning.samples(ROWS[:2])).all()
    with pytest.raises(DataError, match="train has the class '10', which no sample to tr"):
        find(npz(tmp_path / "c.npz", x=ROWS, y=LABELS + 9), meaning=first.meaning)
    with pytest.raises(DataError, match="samples of 5, and of 6 are needed"):
        find(npz(tmp_path / "d.npz", x=ROWS[:, 1:], y=LABELS), meaning=first.meaning)


def test_activity(tmp_path):
    """Samples to train on choose a folding of a stream."""
    stream = random_stream(np.random.default_rng(0), words=[(5, 1, True)])
    names = tuple(map(str, range(stream.classes)))
    stream = replace(stream, meaning=Meaning(
        classes=names, shape=(6, 1), low=(-1.0,), high=(1.0,), levels=even_levels(stream.n_in)))
    path = str(npz(tmp_path / "a.npz", x=ROWS, y=LABELS % 2))
    found, (train, _) = recorded(path, stream), find(path, meaning=stream.meaning).load("train")
    assert sorted(sample.tobytes() for sample in found) == sorted(
        sample.tobytes() for sample in train)
    with pytest.raises(DataError, match="--activity is of streams: images come whole"):
        recorded(path, random_description(np.random.default_rng(0)))


def bad(**changes):
    return dict(x=ROWS, y=LABELS) | changes


RAGGED = np.array([[1, 2], [3]], object)
HOLES = ROWS.copy()
HOLES[3, 2] = HOLES[5, 0] = np.nan


@pytest.mark.parametrize("arrays, sentence", [
    (bad(x=HOLES), "train: NaN, infinity or a number beyond 1e.100 in 2 of 40 samples, first in"),
    (bad(x=ROWS * 1e300), "train: NaN, infinity or a number beyond 1e.100 in 40 of 40 samples"),
    (bad(y=LABELS * 0), "all samples to train on are of one class, 0: there is nothing to tell"),
    (bad(x=ROWS * 0), "all values to train on are 0: there is nothing to learn"),
    (bad(x=RAGGED), "x: an array is of numbers, not object, a pickle that is not read: objects are "
                    "rows of different lengths"),
    (bad(y=RAGGED), "y: an array is of numbers, not object"),
    (bad(x=np.array(["a"] * 40)), "x is <U1: samples are numbers"),
    (bad(x=ROWS + 1j), "x is complex128: samples are numbers"),
    (bad(y=LABELS + 1j), "labels are complex128: give whole numbers or names"),
    (bad(y=LABELS[1:]), "train has 40 samples and 39 labels: give one label a sample"),
    (bad(y=np.eye(4)[LABELS]), r"labels of shape \[40, 4\]: one number or name a sample is needed"),
    (bad(y=np.where(LABELS, LABELS, np.nan)), "labels with NaN or infinity"),
    (bad(y=np.array(["a" * 41, "b"] * 20)), "names have 1 to 40 printable characters"),
    (bad(y=np.array(["1" * 41, "2"] * 20)), "names have 1 to 40 printable characters"),
    (bad(y=np.array(["a\n", "b"] * 20)), "names have 1 to 40 printable characters"),
    (bad(y=np.arange(40) // 39), "one sample of class 1, and a test part needs one too"),
    (bad(x=ROWS[:0], y=LABELS[:0]), r"train has no samples, \[0, 6\]"),
    (bad(x=np.zeros(40)), r"samples are \[N, n\], \[N, H, W\] or \[N, H, W, C\], not \[40\]"),
    (bad(x=np.zeros((40, 1, 2, 3, 4))), "samples are .*; streams .* with --stream"),
    (bad(x=np.zeros((40, 65537), bool)), "65,537 inputs, a network has at most 65,536"),
    (dict(x=np.zeros((2002, 1)), y=np.arange(2002) // 2), "1,001 classes, at most 1,000"),
    (dict(x=ROWS), "no array y: a set has x_train and y_train, .*; there is x"),
    (dict(images=ROWS), "no array x: a set has x_train and y_train, .*; there is images"),
    (dict(x_train=ROWS, y_train=LABELS, x_test=ROWS), "no array y_test"),
    (dict(x_train=ROWS, y_train=LABELS, x_test=ROWS, y_test=LABELS + 1),
     "test has the class '4', which no sample to train on has: there are 0, 1, 2, 3"),
    (dict(x_train=ROWS, y_train=LABELS, x_test=ROWS[:, 1:], y_test=LABELS),
     "samples of 5, and of 6 are needed, in both parts"),
])
def test_bad_arrays(tmp_path, arrays, sentence):
    with pytest.raises(DataError, match=sentence) as refused:
        find(npz(tmp_path / "a.npz", **arrays))
    assert str(refused.value).startswith(f"{tmp_path / 'a.npz'}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text, options, sentence", [
    ("a,b,label\n1,2,x\n3,4\n", {}, "line 3 has 2 cells, the first has 3: all rows are as long"),
    ("a,b,c\n1,2,x\n", {}, "no column of labels, named label, class, target, y: there are a, b,"),
    ("1,2,0\n3,4,1\n", {}, "no column of labels, whose first line has no names: say --label 0"),
    ("a,b,c\n1,2,x\n", dict(label="d"), "no column 'd': there are a, b, c"),
    ("1,2,0\n3,4,1\n", dict(label="7"), "no column '7': there are 0 to 2, which have no names"),
    ("y,class,b\n1,2,x\n", {}, "columns y, class may each be the labels: say --label NAME"),
    ("a,y\n,x\n", {}, "line 2, column a: an empty cell: fill it in"),
    ("a,y\nnan,x\n", {}, "line 2, column a: 'nan', which is no number: fill it in"),
    ("a,y\n1,x\ngood,y\n", {}, "line 3, column a: 'good', which is no number: leave out the col"),
    ('a;y\n"1,5";x\n', {}, "line 2, column a: '1,5', which is no number"),
    ("y\nx\nz\n", {}, "a column of labels and no other"),
    ("a,y\n", {}, "names of columns and no row below them"),
    ("\n \n", {}, "nothing inside"),
    ("a,y\n" + "1" * 200_000 + ",x\n", {}, "not a CSV"),
], ids=lambda value: str(value)[:20])
def test_bad_tables(tmp_path, text, options, sentence):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=f"a.csv: {sentence}"):
        find(tmp_path / "a.csv", reading=Reading(**options))


def test_bad_files(tmp_path, monkeypatch):
    def refused(path, sentence, **options):
        with pytest.raises(DataError, match=sentence):
            find(path, reading=Reading(**options))
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00a")
    refused(tmp_path / "a.csv", "a.csv: not a text: a table is a CSV in UTF-8")
    (tmp_path / "a.npz").write_bytes(b"PK none")
    refused(tmp_path / "a.npz", "a.npz: not an .npz of arrays")
    refused(tmp_path / "none.npz", "none.npz: no such file or folder; name an .npz, a .csv, or")
    (tmp_path / "a.mat").write_bytes(b"x")
    refused(tmp_path / "a.mat", "a.mat: a set is an .npz, a .csv, or a folder of pictures")
    monkeypatch.setattr(reading, "MAX_FILE", 100)
    npz(tmp_path / "b.npz", x=ROWS, y=LABELS)
    refused(tmp_path / "b.npz", "KiB, a set has at most 100 bytes: take fewer samples")
    for text, line in (('a,y\n1,2\n"3,4\n5,6\n', 3), ('a,y\n1,2\n3,"b', 3), ('a,"y\n1,2\n', 1)):
        (tmp_path / "c.csv").write_text(text)
        refused(tmp_path / "c.csv", f'c.csv: line {line}: a quote, ", that is not closed: close it')
    monkeypatch.setattr(tables, "MAX_FILE", 3)
    (tmp_path / "c.csv").write_text("a,y\n1,2\n")
    refused(tmp_path / "c.csv", "8 bytes, a table here has at most 3 bytes: take fewer rows")
    monkeypatch.setattr(tables, "MAX_FILE", 30)
    monkeypatch.setattr(tables, "MAX_CELLS", 1)
    (tmp_path / "c.csv").write_text("a,y\n1,2\n1,2\n")
    refused(tmp_path / "c.csv", "more than 1 cells")
    refused("nothing", "no data set 'nothing' .*; or name an .npz, a .csv or a folder of your own")
    npz(tmp_path / "d.npz", x=np.zeros((4, 4097, 1)), y=LABELS[:4] % 2)
    monkeypatch.setattr(reading, "MAX_FILE", 1 << 20)
    refused(tmp_path / "d.npz", "4,097 steps, at most 4,096: cut the streams", stream=True)


def test_bad_folders(tmp_path):
    def refused(folder, sentence, **options):
        with pytest.raises(DataError, match=sentence):
            find(folder, reading=Reading(**options))
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: no folders in it: give each class a folder with its name")
    pictures(tmp_path / "a", GREY[:8], LABELS[:8])
    (tmp_path / "a/none").mkdir()
    refused(tmp_path / "a", "a/none: nothing inside that is a png, jpg")
    (tmp_path / "a/none").rmdir()
    Image.fromarray(GREY[0].T).save(tmp_path / "a/2/z.png")
    refused(tmp_path / "a", "a/2/z.png has 5 x 7 pixels, .*a/0/0.png 7 x 5: pictures of one size")
    assert find(tmp_path / "a", reading=Reading(image=(4, 4))).shape == (4, 4, 1)
    (tmp_path / "a/2/z.png").write_bytes(b"no picture")
    refused(tmp_path / "a", "a/2/z.png: not a picture")


@pytest.mark.parametrize("options, sentence", [
    (dict(image=(3, 3)), "rows of 6 columns are no images of 3 x 3: leave out --image"),
    (dict(image=(2, 3, 3)), "rows of 6 columns are no images of 2 x 3 x 3"),
])
def test_images_that_are_none(tmp_path, options, sentence):
    with pytest.raises(DataError, match=sentence):
        find(npz(tmp_path / "a.npz", x=ROWS, y=LABELS), reading=Reading(**options))
    with pytest.raises(DataError, match="images of 5 x 7 x 1, not of .*: --image is for rows"):
        find(npz(tmp_path / "b.npz", x=GREY, y=LABELS), reading=Reading(**options))


def test_windows_of_a_sensor(tmp_path):
    """[N, W, C], or with a row, are maps of one row, turned from [N, C, W]; others are none."""
    x = np.random.default_rng(0).random((len(LABELS), 9, 2))
    for shape in ((len(x), 9, 2), (len(x), 1, 9, 2), (len(x), 18)):
        found = find(npz(tmp_path / "a.npz", x=x.reshape(shape), y=LABELS),
                     reading=Reading(image=(1, 9, 2)))
        assert found.image == (1, 9, 2) and found.inputs == 18
    wanted = found.load("train")[0]
    for turned in (x.swapaxes(1, 2), x.swapaxes(1, 2)[:, :, None]):
        found = find(npz(tmp_path / "a.npz", x=turned, y=LABELS), reading=Reading(image=(1, 9, 2)))
        assert found.image == (1, 9, 2) and (found.load("train")[0] == wanted).all()
        assert "  channels first, as in PyTorch: turned" in found.said
    for shape in ((len(x), 6, 3), (len(x), 2, 9, 1)):
        with pytest.raises(DataError, match="not of 1 x 2 x 9"):
            find(npz(tmp_path / "a.npz", x=x.reshape(shape), y=LABELS),
                 reading=Reading(image=(1, 2, 9)))


@pytest.mark.parametrize("options, sentence", [
    (dict(image=(3,)), "image must be height and width"),
    (dict(image=(0, 3)), "image must be height and width"),
    (dict(image=(3, 3), stream=True), "--image has images and --stream steps"),
    (dict(levels=0), "levels must be 1 to 64, not 0"),
    (dict(split=-1), "split must be 0 to"),
    (dict(label="a" * 41), "label must be the name or number of a column"),
])
def test_wrong_reading(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Reading(**options)


def test_sides():
    assert sides_of("") is None
    assert sides_of("28x28") == (28, 28)
    assert sides_of("32X30x3") == (32, 30, 3)
    for text in ("28", "28x", "axb", "-1x2", "1x2x3x4"):
        with pytest.raises(ValueError, match="--image takes sides such as 28x28 or 32x32x3, not"):
            sides_of(text)


def test_words_of_a_command():
    assert Reading().words == []
    assert Reading(label="my class", image=(8, 9), levels=4, split=2).words == [
        "--label='my class'", "--image 8x9", "--levels 4", "--split 2"]
    assert Reading(label="-1", stream=True).words == ["--label=-1", "--stream"]


def test_names_come_first(tmp_path, monkeypatch):
    """A folder that is called as a set that has a name is not that set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert find("digits").meaning is None
    assert [data.follows_size(name) for name in ("digits", "mnist", "ecg", "./digits", "a.csv")] \
        == [True, False, False, True, True]
    with pytest.raises(DataError, match="no folders in it"):
        find("./digits")


def test_fuzzed_archives(tmp_path):
    """Whatever bytes: a set, or a sentence."""
    file = io.BytesIO()
    np.savez(file, x=ROWS[:8], y=LABELS[:8] % 2)
    raw = np.frombuffer(file.getvalue(), np.uint8)
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = raw.copy()
        damaged[rng.integers(0, len(raw), 3)] = rng.integers(0, 256, 3)
        (tmp_path / "a.npz").write_bytes(damaged.tobytes())
        try:
            own.read_own(tmp_path / "a.npz")
        except DataError as error:
            assert "\n" not in str(error)
