"""Files of NumPy, whole and damaged: arrays, or one sentence."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from qsnn.model.arrays import ArrayError, Arrays, read_npy

RNG = np.random.default_rng(0)
ARRAYS = [RNG.integers(-9, 9, (3, 4, 5)), np.asfortranarray(RNG.random((4, 6))), np.array(7, "u1"),
          np.zeros((0, 3), "<f4"), np.array([True, False]), RNG.random(3).astype(">f8")]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(contents, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, raw in contents.items():
            packed.writestr(name, raw)
    return file.getvalue()


def from_npy(tmp_path, raw):
    (tmp_path / "a.npy").write_bytes(raw)
    return read_npy(tmp_path / "a.npy")


def header(text, version=b"\1\0", data=b""):
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode() + data


@pytest.mark.parametrize("array", ARRAYS, ids=range(len(ARRAYS)))
def test_arrays(tmp_path, array):
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, a=array, b=array)
        arrays = Arrays(file.getvalue())
        assert arrays.header("a") == (array.dtype, array.shape)
        assert b"".join(arrays.pieces("a")) == array.tobytes(
            "F" if array.flags.fnc else "C")
        for found in (arrays["b"], from_npy(tmp_path, npy(array))):
            assert found.dtype == array.dtype and found.flags.writeable
            np.testing.assert_array_equal(found, array, strict=True)


GOOD = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"


@pytest.mark.parametrize("raw, sentence", [
    (b"", "not an array"),
    (npy(np.arange(3))[:9], "not an array"),
    (npy(np.arange(3))[:-1], "23 bytes, but its header says int64 [3]"),
    (npy(np.arange(3)) + b".", "25 bytes, but its header says int64 [3]"),
    (npy(np.array(["a"])), "an array is of numbers, not <U1"),
    (npy(np.zeros(2, "i4,i4")), "an array is of numbers, not [('f0', '<i4'), ('f1', '<i4')]"),
    (header(GOOD, b"\3\0"), "an .npy file of version 3.0"),
    (header(GOOD.replace("3,", "1 << 60,")), "not an array"),
    (header(GOOD.replace("3,", f"{1 << 60}, {1 << 60}")), "0 bytes, but its header says uint8 ["),
    (header(GOOD.replace("3,", "-1, -3"), data=b"..."), "3 bytes, but its header says uint8 [-1"),
    (header(GOOD.replace("|u1", "|O")), "an array is of numbers, not object"),
    (header(GOOD.replace("|u1", "no type")), "not an array"),
    (header(GOOD.replace("(3,)", "3")), "not an array"),
    (header(GOOD.replace("(3,)", "'\\d'")), "not an array"),
    (header("(" * 200), "not an array"), (header("(" * 9999), "not an array"),
    (header("{'a'"), "not an array"), (header("[]"), "not an array"), (header(" "), "not an array"),
], ids=range(19))
def test_damaged_npy(tmp_path, raw, sentence):
    for read in (lambda: from_npy(tmp_path, raw), lambda: Arrays(npz({"a.npy": raw}))["a"],
                 lambda: Arrays(npz({"a.npy": raw})).header("a")):
        with pytest.raises(ArrayError) as error:
            read()
        found = str(error.value).removeprefix("a: ").replace(".npz of arrays", "array")
        assert found.startswith(sentence)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("spoil, sentence", [
    (lambda raw: b"", "not an .npz of arrays"),
    (lambda raw: raw[:-30], "not an .npz of arrays"),
    (lambda raw: raw[:60] + bytes([raw[60] ^ 255]) + raw[61:], "a: not an .npz of arrays"),
    (lambda raw: npz({"a.npy": npy(ARRAYS[0])}, zipfile.ZIP_LZMA), "a is compressed in a way that"),
    (lambda raw: npz({"a.npy": npy(ARRAYS[0])}, zipfile.ZIP_BZIP2), "a is compressed in a way"),
    (lambda raw: npz({"b.npy": b""}), "no array a inside"),
    (lambda raw: npz({str(name): b"" for name in range(1001)}), "more than 1000 files inside"),
], ids=range(7))
def test_damaged_npz(spoil, sentence):
    with pytest.raises(ArrayError) as error:
        _ = Arrays(spoil(npz({"a.npy": npy(ARRAYS[0])})))["a"]
    assert str(error.value).startswith(sentence)


def test_any_damage_is_a_sentence(tmp_path):
    """Bytes that are changed, left out or put in anywhere: arrays, or an ArrayError."""
    rng, outcomes = np.random.default_rng(1), set()
    plain, packed = npy(ARRAYS[0]), npz({"a.npy": npy(ARRAYS[0]), "b.npy": npy(ARRAYS[1])})
    for _ in range(1500):
        for raw, read in ((plain, lambda raw: from_npy(tmp_path, raw)),
                          (packed, lambda raw: Arrays(raw)["a"])):
            raw, at = bytearray(raw), int(rng.integers(len(raw)))
            for _ in range(rng.integers(1, 4)):
                raw[rng.integers(len(raw))] = rng.integers(256)
            raw[at:at + int(rng.integers(0, 9))] = rng.bytes(int(rng.integers(0, 9)))
            try:
                read(bytes(raw))
                outcomes.add("array")
            except ArrayError as error:
                outcomes.add(str(error).removeprefix("a: ")[:12])
    assert {"array", "not an array", "not an .npz "} <= outcomes


def test_a_bomb_is_not_unpacked():
    """Neither what is too large, nor what is not asked for."""
    raw = npz({"a.npy": npy(np.zeros(1 << 25, "u1")), "b.npy": npy(ARRAYS[0])})
    tracemalloc.start()
    arrays = Arrays(raw)
    assert arrays.header("a") == (np.uint8, (1 << 25,))
    assert sum(map(len, arrays.pieces("a"))) == 1 << 25
    np.testing.assert_array_equal(arrays["b"], ARRAYS[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 23
