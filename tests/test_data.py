import gzip
import hashlib
import io
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from qsnn.model import data
from qsnn.model.data import DataError, load, load_beats, load_steps, quantize_pixels

IMAGES, LABELS = data.FILES["test"]


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def draw(seed, count=5):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, size=(count, 28, 28), dtype=np.uint8),
            rng.integers(0, 10, size=count, dtype=np.uint8))


def md5(raw):
    return hashlib.md5(raw).hexdigest()


def write(folder, images, labels, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in ((IMAGES, images), (LABELS, labels)):
        raw = idx(array) if array.dtype == np.uint8 else array.tobytes()
        path = folder / file.replace(".gz", suffix)
        path.write_bytes(gzip.compress(raw) if suffix else raw)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The five folders, all empty, and a mnist whose test set is ``draw(0)``; no mirror answers."""
    for name in ("home", "system", "packaged", "given", "variable"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QSNN_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(data, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(data, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(data, "MIRRORS", {name: () for name in data.DATASETS})
    monkeypatch.setitem(data.MD5, ("mnist", "test"), tuple(md5(idx(a)) for a in draw(0)))
    return tmp_path


@pytest.fixture
def mirror(places, monkeypatch):
    """Contents by path, served on 127.0.0.1 as the mirrors /a/ and then /b/; and the requests."""
    contents, requests = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            raw = contents.get(self.path)
            self.send_response(200 if raw is not None else 404)
            # a mirror that stops in the middle promises more than it sends
            self.send_header("Content-Length", str(len(raw or b"") + 9 * ("/cut" in self.path)))
            self.end_headers()
            self.wfile.write(raw or b"")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(data, "MIRRORS", {name: (f"{base}/a/", f"{base}/b/")
                                              for name in data.DATASETS})
        yield contents, requests
        server.shutdown()
        thread.join()


def assert_loaded(seed, data_dir=None):
    images, labels = load("mnist", "test", data_dir)
    expected = draw(seed)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(images, expected[0].reshape(-1, 784))
    np.testing.assert_array_equal(labels, expected[1])


def test_packaged_mnist(monkeypatch, tmp_path):
    """The real test images, with nothing else on the machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("QSNN_DATA", raising=False)
    monkeypatch.setattr(data, "MIRRORS", {"mnist": ()})
    images, labels = load("mnist", "test")
    assert images.shape == (10000, 784) and (images.min(), images.max()) == (0, 255)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("folder", [
    "given", "given/mnist", "variable", "variable/mnist", "home/.cache/qsnn/mnist",
    "home/.cache/qsnn", "system/mnist", "packaged/mnist"])
def test_found(places, folder, suffix):
    write(places / folder, *draw(0), suffix)
    assert_loaded(0, places / "given" if folder.startswith("given") else None)


FOLDERS = ["variable/mnist", "variable", "home/.cache/qsnn/mnist", "system/mnist", "packaged/mnist"]


def test_order_of_folders(places):
    for seed, folder in enumerate(FOLDERS):
        write(places / folder, *draw(seed))
    for seed in range(len(FOLDERS)):
        published = tuple(md5(idx(a)) for a in draw(seed))
        data.MD5["mnist", "test"] = published
        assert_loaded(seed)


def test_first_folder_wins(places, monkeypatch):
    monkeypatch.setattr(data, "_check_md5", lambda raw, md5: None)
    for seed, folder in enumerate(["packaged", "system/mnist", "home/.cache/qsnn", "variable",
                                   "variable/mnist"]):
        write(places / folder, *draw(seed))
        assert_loaded(seed)
    for seed, folder in enumerate(["given", "given/mnist"], 10):
        write(places / folder, *draw(seed))
        assert_loaded(seed, places / "given")


def test_another_file_of_the_same_name_is_passed_over(places):
    write(places / "variable", *draw(1))
    write(places / "system/mnist", *draw(0))
    assert_loaded(0)


@pytest.mark.parametrize("contents", [None, 1])
def test_a_named_folder_is_the_only_one(places, mirror, contents):
    """What is missing or refused there is not taken from elsewhere, nor downloaded."""
    given = places / "given"
    if contents is not None:
        write(given, *draw(contents))
    for folder in FOLDERS:
        write(places / folder, *draw(0))
    serve(mirror[0], "a", *draw(0))
    with pytest.raises(DataError) as error:
        load("mnist", "test", given)
    refused = (f"{given / IMAGES}: not the published file: its MD5 is {md5(idx(draw(1)[0]))}, not "
               f"{md5(idx(draw(0)[0]))}; " if contents else "")
    assert str(error.value) == (
        f"mnist: no {IMAGES} in {given}; {refused}put the file into this folder, or leave out "
        "--data-dir: others are searched then")
    assert mirror[1] == []


@pytest.mark.parametrize("read", [load, lambda dataset, split, data_dir: load_steps(
    dataset, split, 30, data_dir), lambda _, split, data_dir: load_beats(split, data_dir)])
def test_a_named_folder_is_the_only_one_for_streams(places, read):
    with pytest.raises(DataError, match=(
            f"^ecg: no mitbih_beats_180.npz in {places / 'given'}; there is no download: make .*, "
            "put it into this folder, or leave out --data-dir: others are searched then$")):
        read("ecg", "test", places / "given")


def test_nothing_found(places):
    with pytest.raises(DataError) as error:
        load("mnist", "test")
    folders = ", ".join(str(places / name) for name in (
        "variable", "home/.cache/qsnn", "system", "packaged"))
    assert str(error.value) == (
        f"mnist: no {IMAGES} in {folders}; the download failed (no mirror); put the file into one "
        "of these folders, or name its folder with --data-dir or QSNN_DATA")
    with pytest.raises(DataError, match="; apt install dataset-fashion-mnist, or put the file"):
        load("fashion-mnist", "train")


def test_damaged_file_is_named(places):
    write(places / "given", *draw(1))
    found, published = md5(idx(draw(1)[0])), md5(idx(draw(0)[0]))
    with pytest.raises(DataError) as error:
        load("mnist", "test", places / "given")
    assert (f"; {places / 'given' / IMAGES}: not the published file: its MD5 is {found}, not "
            f"{published};") in str(error.value)


@pytest.mark.parametrize("raw, sentence", [
    (b"", "not an IDX file of bytes"),
    (b"\0\0\x08", "not an IDX file of bytes"),
    (b"\0\0\x08\0", "not an IDX file of bytes"),
    (b"\0\0\x09\x01\0\0\0\x01.", "not an IDX file of bytes"),
    (b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01", "not an IDX file of bytes"),
    (b"\0\0\x08\x01\0\0\0\x02.", "1 bytes, but its header says (2,)"),
    (b"\0\0\x08\x01\0\0\0\x01..", "2 bytes, but its header says (1,)"),
    (b"\0\0\x08\x04" + b"\xff" * 16,
     "0 bytes, but its header says (4294967295, 4294967295, 4294967295, 4294967295)"),
], ids=range(8))
def test_malformed_idx(places, raw, sentence):
    (places / "given" / IMAGES).write_bytes(raw)
    data.MD5["mnist", "test"] = (md5(raw), "")
    with pytest.raises(DataError) as error:
        load("mnist", "test", places / "given")
    assert f"; {places / 'given' / IMAGES}: {sentence};" in str(error.value)


@pytest.mark.parametrize("raw, sentence", [
    (gzip.compress(b"." * 1000)[:-9], "a .gz file that is cut off or has more than 1000 bytes"),
    (gzip.compress(b"." * 2000), "a .gz file that is cut off or has more than 1000 bytes"),
    (b"\x1f\x8b" + b"." * 20, "not a readable .gz file"),
    (b"." * 1001, "more than 1000 bytes"),
], ids=["cut", "large", "garbage", "plain"])
def test_malformed_gz(places, monkeypatch, raw, sentence):
    monkeypatch.setattr(data, "MAX_FILE", 1000)
    (places / "given" / IMAGES).write_bytes(raw)
    with pytest.raises(DataError) as error:
        load("mnist", "test", places / "given")
    assert f"; {places / 'given' / IMAGES}: {sentence}" in str(error.value)


def test_a_bomb_is_not_unpacked(places):
    bomb = gzip.compress(bytes(data.MAX_FILE + 1))
    (places / "given" / IMAGES).write_bytes(bomb)
    with pytest.raises(DataError, match="cut off or has more than 256 MiB inside"):
        load("mnist", "test", places / "given")


def test_wrong_arguments(places):
    with pytest.raises(DataError, match="^no data set 'cifar' with a split 'test': there are "
                                        "mnist, fashion-mnist, digits, cifar-10, ecg, "
                                        ".*n-mnist, each with train and test; or name an "):
        load("cifar", "test")
    with pytest.raises(DataError, match="^no data set 'mnist' with a split 'all': there are"):
        load("mnist", "all")
    with pytest.raises(DataError, match="/none: no such folder; name the one that holds the data$"):
        load("mnist", "test", places / "none")


def serve(contents, mirror, images, labels):
    for file, array in ((IMAGES, images), (LABELS, labels)):
        contents[f"/{mirror}/{file}"] = gzip.compress(idx(array))


def test_download(places, mirror):
    contents, requests = mirror
    serve(contents, "a", *draw(0))
    assert_loaded(0)
    assert requests == [f"/a/{IMAGES}", f"/a/{LABELS}"]
    cache = places / "home/.cache/qsnn/mnist"
    assert {path.name for path in cache.iterdir()} == {IMAGES, LABELS}
    contents.clear()
    assert_loaded(0)  # from the cache
    assert len(requests) == 2


def test_download_from_the_next_mirror(places, mirror):
    contents, requests = mirror
    serve(contents, "a", *draw(1))  # not what was published
    contents.pop(f"/a/{LABELS}")
    serve(contents, "b", *draw(0))
    assert_loaded(0)
    assert requests == [f"/a/{IMAGES}", f"/b/{IMAGES}", f"/a/{LABELS}", f"/b/{LABELS}"]


def test_failed_downloads_leave_nothing(places, mirror, monkeypatch):
    contents, _ = mirror
    serve(contents, "a", *draw(1))
    contents[f"/cut/{IMAGES}"] = gzip.compress(idx(draw(0)[0]))[:-4]
    base = data.MIRRORS["mnist"][0].removesuffix("a/")
    monkeypatch.setitem(data.MIRRORS, "mnist", (f"{base}a/", f"{base}b/", f"{base}cut/",
                                                "http://127.0.0.1:1/"))
    with pytest.raises(DataError) as error:
        load("mnist", "test")
    sentence = str(error.value)
    assert f"the download failed ({base}a/: not the published file" in sentence
    assert f"{base}b/: Not Found" in sentence
    assert f"{base}cut/: " in sentence
    assert "http://127.0.0.1:1/: Connection refused" in sentence and "[Errno" not in sentence
    assert not [path for path in (places / "home").rglob("*") if path.is_file()]


def test_download_without_a_cache(places, mirror):
    serve(mirror[0], "a", *draw(0))
    (places / "home/.cache").write_text("not a folder")
    assert_loaded(0)


@pytest.fixture
def digits(places, monkeypatch):
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.integers(0, 17, (1797, 64)), rng.integers(0, 10, 1797)])
    table = table.astype(np.uint8)
    monkeypatch.setattr(data, "DIGITS_MD5", md5(table.tobytes()))
    return table


def as_text(table):
    return "".join(",".join(map(str, row)) + "\n" for row in table).encode()


def as_npz(table):
    file = io.BytesIO()
    np.savez(file, x=table[:, :64].reshape(-1, 8, 8), y=table[:, 64])
    return file.getvalue()


@pytest.mark.parametrize("where, raw", [
    ("given/optdigits.tes", as_text), ("given/small/sklearn_digits.npz", as_npz),
    ("home/.cache/qsnn/digits/digits.npz", as_npz)], ids=range(3))
def test_digits(places, digits, where, raw):
    (places / where).parent.mkdir(parents=True, exist_ok=True)
    (places / where).write_bytes(raw(digits))
    assert_digits(digits, places / "given" if where.startswith("given") else None)


def test_digits_download(places, digits, mirror):
    contents, requests = mirror
    contents["/a/optdigits.tes"] = as_text(digits)
    assert_digits(digits)
    assert_digits(digits)
    assert requests == ["/a/optdigits.tes"]


def assert_digits(table, data_dir=None):
    keys = [hashlib.sha256(b"digits %d" % index).hexdigest() for index in range(1797)]
    order = np.argsort(keys)
    scaled = np.floor(table[:, :64] * (255 / 16) + 0.5)
    for split, rows in (("train", order[:1437]), ("test", order[1437:])):
        images, labels = load("digits", split, data_dir)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        np.testing.assert_array_equal(images, scaled[rows])
        np.testing.assert_array_equal(labels, table[rows, 64])


@pytest.mark.parametrize("raw", [
    b"", b"PK", b"PK\x03\x04" + b"." * 100, b"1,2\n1\n", b"a,b\n", b"1,2,3\n", b"300,1\n",
    as_npz(np.zeros((1797, 65), np.uint8)), as_npz(np.zeros((3, 65), np.uint8))], ids=range(9))
def test_malformed_digits(places, raw):
    (places / "given/digits.npz").write_bytes(raw)
    with pytest.raises(DataError, match="digits.npz: not the (digits|published file)"):
        load("digits", "test", places / "given")


@pytest.mark.parametrize("make, sentence", [
    (lambda: as_npz(np.zeros((1 << 20, 65), np.uint8)),
     "not the digits .x has .1048576, 8, 8. numbers, it must have 115008"),
    (lambda: b"1," * (1 << 20), "not the digits .a text of 2097152 bytes")], ids=["npz", "text"])
def test_a_bomb_of_digits_is_not_read(places, make, sentence):
    (places / "given/digits.npz").write_bytes(raw := make())
    tracemalloc.start()
    with pytest.raises(DataError, match=sentence):
        load("digits", "test", places / "given")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(raw) + (4 << 20)


def test_quantize_pixels():
    pixels = np.arange(256, dtype=np.uint8)
    for bits in range(1, 9):
        quantized = quantize_pixels(pixels, bits)
        assert quantized.dtype == np.uint8
        assert quantized.tolist() == [pixel * 2 ** bits // 256 for pixel in range(256)]
