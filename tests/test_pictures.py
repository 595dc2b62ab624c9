"""What is taken, turned or refused of a user's arrays and pictures."""

from math import prod

import numpy as np
import pytest
from PIL import Image

from qsnn.model.data import DataError
from qsnn.model.meaning import Meaning
from qsnn.model.pictures import as_pixels, open_picture, read_pictures

RNG = np.random.default_rng(0)
TALL = RNG.integers(0, 120, (4, 6, 5, 3), np.uint8)  # N, height, width and channels
GREY = RNG.integers(0, 120, (4, 6, 5), np.uint8)
SQUARE = RNG.integers(0, 120, (8, 8), np.uint8)
SQUARE[0, 0] = 255  # a value that no rounding reaches by accident


def taken(images, n_in, image=None, **options):
    """Pixels, and what was said."""
    said = []
    return as_pixels(images, n_in, image, say=said.append, **options), said


def refused(*arguments, **options):
    with pytest.raises(DataError) as error:
        as_pixels(*arguments, say=pytest.fail, **options)
    return str(error.value).removeprefix("images: ")


@pytest.mark.parametrize("image", [(6, 5, 3), None])
@pytest.mark.parametrize("images, count", [
    (TALL, 4), (TALL[0], 1), (TALL.reshape(4, 90), 4), (TALL[0].ravel(), 1)])
def test_colour_as_it_is(images, count, image):
    pixels, said = taken(images, 90, image)
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, TALL.reshape(4, 90)[:count])
    assert said == []


@pytest.mark.parametrize("image", [(6, 5, 1), None])
@pytest.mark.parametrize("images, count", [
    (GREY, 4), (GREY[0], 1), (GREY[..., None], 4), (GREY[:, None], 4), (GREY.reshape(4, 30), 4)])
def test_grey_as_it_is(images, count, image):
    pixels, said = taken(images, 30, image)
    assert np.array_equal(pixels, GREY.reshape(4, 30)[:count])
    assert [line for line in said if "channels first" not in line] == []


@pytest.mark.parametrize("image", [(6, 5, 3), None])
@pytest.mark.parametrize("images, shape", [
    (np.moveaxis(TALL, 3, 1), "[4, 3, 6, 5]"), (np.moveaxis(TALL[0], 2, 0), "[3, 6, 5]")])
def test_channels_first_are_turned(images, shape, image):
    pixels, said = taken(images, 90, image)
    assert np.array_equal(pixels, TALL.reshape(4, 90)[:len(pixels)])
    assert said == [f"images: {shape} has channels first, as in PyTorch: turned"]


@pytest.mark.parametrize("shape, image, sentence", [
    ((4, 5, 6, 3), (6, 5, 3), "[4, 5, 6, 3] is not of images [N, 6, 5, 3]: rows and columns are "
                              "swapped, see numpy.swapaxes"),
    ((5, 6, 3), (6, 5, 3), "[5, 6, 3] is not of images [N, 6, 5, 3]: rows and columns are "
                           "swapped, see numpy.swapaxes"),
    ((4, 5, 6), (6, 5, 1), "[4, 5, 6] is not of images [N, 6, 5, 1]: rows and columns are "
                           "swapped, see numpy.swapaxes"),
    ((4, 3, 5, 6), (6, 5, 3), "[4, 3, 5, 6] is not of images [N, 6, 5, 3]"),
    ((4, 6, 5, 4), (6, 5, 3), "[4, 6, 5, 4] is not of images [N, 6, 5, 3]: 4 channels, leave out "
                              "alpha"),
    ((4, 6, 5, 3), (6, 5, 1), "[4, 6, 5, 3] is not of images [N, 6, 5, 1]: 3 channels"),
    ((4, 91), (6, 5, 3), "[4, 91] is not of images [N, 6, 5, 3]"),
    ((), (6, 5, 3), "[] is not of images [N, 6, 5, 3]"),
    ((4, 6, 6, 3), None, "[4, 6, 6, 3] is not of images [N, 90], nor of height, width and "
                         "channels that come to 90 pixels"),
    ((4, 9, 5, 2), None, "[4, 9, 5, 2] is not of images [N, 90], nor of height, width and "
                         "channels that come to 90 pixels")])
def test_other_shapes_are_refused(shape, image, sentence):
    n_in = np.prod(image) if image else 90
    assert refused(np.zeros(shape, np.uint8), n_in, image) == sentence


FLOATS = np.array([0, 0.25, 1 / 255, 1])


@pytest.mark.parametrize("values, expected, sentence", [
    (np.array([0, 2, 128, 255], np.int64), [0, 2, 128, 255], None),
    (np.array([0, 0, 0, 0], np.uint16), [0, 0, 0, 0], None),
    (np.array([0, 255, 256, 65535], np.uint16), [0, 0, 1, 255],
     "16-bit pixels, the leading 8 bits are taken"),
    (FLOATS, [0, 64, 1, 255], "floats of 0 .. 1, times 255"),
    (FLOATS.astype(np.float32), [0, 64, 1, 255], "floats of 0 .. 1, times 255"),
    (np.array([True, False] * 2), [255, 0] * 2, "True and False are pixels of 255 and 0")])
def test_values(values, expected, sentence):
    pixels, said = taken(values, 4)
    assert pixels.dtype == np.uint8 and pixels.tolist() == [expected]
    assert said == ([f"images: {sentence}"] if sentence else [])


@pytest.mark.parametrize("values, sentence", [
    ([0., 255.], "floats must lie in 0 .. 1, found 0 .. 255; give pixels of 0 .. 255 as uint8, and "
                 "undo a normalization"),
    ([-0.5, 0.5], "floats must lie in 0 .. 1, found -0.5 .. 0.5; give pixels of 0 .. 255 as uint8, "
                  "and undo a normalization"),
    ([0., np.nan], "floats must lie in 0 .. 1, found nan .. nan; give pixels of 0 .. 255 as uint8, "
                   "and undo a normalization"),
    (np.array([0, 255], np.uint16), "uint16 with nothing above 255: are these 8 bits or 16? Give "
                                    "8-bit pixels as uint8"),
    ([0, 256], "pixels must lie in 0 .. 255, found 0 .. 256"),
    ([-1, 5], "pixels must lie in 0 .. 255, found -1 .. 5"),
    ([0, 1], "integers of 0 and 1 alone, pixels are 0 .. 255: give them as bool, or times 255"),
    ([1j, 0], "pixels are numbers, not complex128")])
def test_other_values_are_refused(values, sentence):
    assert refused(np.array(values), 2) == sentence


def test_dark_on_bright():
    dark = 255 - GREY
    sentence = ("dark on bright, and networks know bright strokes on black: say --invert "
                "(invert=True) to turn them, or --as-is (invert=False)")
    assert refused(dark, 30) == f"4 of 4 images are {sentence}"
    assert refused(dark[0], 30, (6, 5, 1)) == f"it is {sentence}"
    assert refused(np.stack([GREY[0], dark[1]]), 30) == f"1 of 2 images are {sentence}"
    turned, said = taken(dark, 30, invert=True)
    assert np.array_equal(turned, GREY.reshape(4, 30)) and said == ["images: inverted"]
    assert np.array_equal(taken(dark, 30, invert=False)[0], dark.reshape(4, 30))
    # neither rows nor colours are looked at; a bright middle is what networks know
    assert len(taken(dark.reshape(4, 30), 30)[0]) == len(taken(255 - TALL, 90)[0]) == 4
    middle = GREY.copy()
    middle[:, 1:-1, 1:-1] = 255
    assert len(taken(middle, 30)[0]) == 4
    # all four sides count alike
    sides = np.zeros((20, 4), np.uint8)
    sides[:, [0, -1]] = 255
    assert refused(sides, 80) == refused(sides.T, 80) == f"it is {sentence}"


def read(folder, picture, n_in=64, image=None, name="a.png", **options):
    """Pixels of a picture's file, and what was said without the file's name."""
    path, said = folder / name, []
    exif = options.pop("exif", None)
    picture.save(path, **({"exif": exif} if exif else {}))
    pixels = read_pictures(path, n_in, image, say=said.append, **options)
    assert all(line.startswith(f"{path}: ") for line in said)
    return pixels, [line.removeprefix(f"{path}: ") for line in said]


def rgba(colour, alpha):
    return Image.fromarray(np.dstack([np.full((*alpha.shape, 3), colour, np.uint8), alpha]))


@pytest.mark.parametrize("picture, name, said", [
    (Image.fromarray(SQUARE), "a.png", []),
    (Image.fromarray(np.dstack([SQUARE] * 3)), "a.png", []),
    (rgba(255, SQUARE), "a.png", ["transparent, laid over black"]),
    (rgba(255, SQUARE).convert("LA"), "a.png", ["transparent, laid over black"]),
    (Image.fromarray((SQUARE / 255).astype(np.float32)), "a.tif", ["floats of 0 .. 1, times 255"]),
    (Image.fromarray(SQUARE.astype(np.uint16) * 257), "a.png",
     ["16-bit pixels, the leading 8 bits are taken"]),
    (Image.fromarray(SQUARE.astype(np.int32)), "a.tif", []),
    (Image.fromarray(SQUARE).convert("P"), "a.png", [])])
def test_a_picture_in_other_forms(picture, name, said, tmp_path):
    pixels, found = read(tmp_path, picture, name=name)
    assert np.array_equal(pixels, SQUARE.reshape(1, 64))
    assert found == said


def test_bits(tmp_path):
    pixels, said = read(tmp_path, Image.fromarray(SQUARE > 60).convert("1"))
    assert np.array_equal(pixels, (SQUARE > 60).reshape(1, 64) * 255) and said == []


def test_made_grey(tmp_path):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[2:6, 2:6] = (255, 0, 0)
    pixels, said = read(tmp_path, Image.fromarray(colours))
    assert said == ["made grey"] and set(pixels.ravel().tolist()) == {0, 76}  # 0.299 * 255


@pytest.mark.parametrize("colour", [0, 40])
def test_dark_strokes_on_nothing(colour, tmp_path):
    with pytest.raises(DataError, match="dark strokes on nothing, .*: lay it over white and say"):
        read(tmp_path, rgba(colour, SQUARE))


def test_exif(tmp_path):
    upright = Image.fromarray(np.kron(SQUARE, np.ones((8, 8), np.uint8))[:, :40])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    pixels, said = read(tmp_path, lying, 64 * 40, (64, 40, 1), "a.png", exif=exif)
    assert said == ["turned as its EXIF says"]
    assert np.array_equal(pixels.reshape(64, 40), np.asarray(upright))
    with pytest.raises(DataError, match="64 x 40 pixels, the network takes 40 x 64$"):
        read(tmp_path, lying, 64 * 40, (64, 40, 1))


def test_frames(tmp_path):
    path, said = tmp_path / "a.gif", []
    Image.fromarray(SQUARE).save(path, save_all=True, append_images=[Image.fromarray(SQUARE.T)])
    assert np.array_equal(read_pictures(path, 64, say=said.append)[0], SQUARE.ravel())
    assert said == [f"{path}: the first of 2 frames"]


def test_sizes(tmp_path):
    large = Image.fromarray(np.kron(SQUARE, np.ones((3, 3), np.uint8)))
    pixels, said = read(tmp_path, large)
    assert np.array_equal(pixels[0], SQUARE.ravel()) and said == ["resized from 24 x 24 to 8 x 8"]
    wide = Image.fromarray(GREY[0])
    assert np.array_equal(read(tmp_path, wide, 30)[0][0], GREY[0].ravel())
    for picture, arguments, sentence in (
            (wide, (64,), "5 x 6 pixels, the network takes 8 x 8, or square"),
            (wide, (30, (5, 6, 1)), "5 x 6 pixels, the network takes 6 x 5"),
            (Image.fromarray(SQUARE), (30, (5, 6, 1)), "8 x 8 pixels, the network takes 6 x 5"),
            (wide, (60, (5, 6, 2)), "a picture has 1 or 3 channels, the network takes 2: give an "
                                    ".npy")):
        with pytest.raises(DataError, match=f"a.png: {sentence}$"):
            read(tmp_path, picture, *arguments)


def test_colours_of_a_picture(tmp_path):
    picture = Image.fromarray(TALL[0])
    assert np.array_equal(read(tmp_path, picture, 90, (6, 5, 3))[0][0], TALL[0].ravel())
    square = RNG.integers(0, 256, (4, 4, 3), np.uint8)
    assert np.array_equal(read(tmp_path, Image.fromarray(square), 48)[0][0], square.ravel())


def test_files(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.moveaxis(TALL, 3, 1))
    assert np.array_equal(read_pictures(path, 90, say=list), TALL.reshape(4, 90))
    np.savez(tmp_path / "zip.npz", a=1)
    (tmp_path / "zip.npz").rename(path)
    for contents, sentence in ((None, "a zip of arrays; give one array as .npy"),
                               (b"no", r"not an array \(.*\)")):
        if contents:
            path.write_bytes(contents)
        with pytest.raises(DataError, match=f"a.npy: {sentence}$"):
            read_pictures(path, 90)
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"a.png: not a picture \("):
        read_pictures(tmp_path / "a.png", 90)
    with pytest.raises(DataError, match="b.png: no such file$"):
        read_pictures(tmp_path / "b.png", 90)


def test_not_files_of_pictures(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="folder.npy: a folder; name the pictures in it$"):
        read_pictures(tmp_path / "folder.npy", 90)
    for shape in ((0, 90), (0,), (3, 0)):
        with pytest.raises(DataError, match=r": \[.*\] has no pixels: give one image at least$"):
            as_pixels(np.zeros(shape, np.uint8), 90)


@pytest.mark.parametrize("suffix", ["png", "gif", "jpg", "tiff", "bmp", "webp"])
def test_any_damage_is_a_sentence(tmp_path, suffix):
    """Bytes that are changed or cut off anywhere: a picture, or a DataError."""
    rng, path = np.random.default_rng(2), tmp_path / f"a.{suffix}"
    Image.fromarray(SQUARE).save(path)
    good, refused = path.read_bytes(), 0
    for _ in range(150):
        raw = bytearray(good)
        for at in rng.integers(len(raw), size=rng.integers(1, 6)):
            raw[at] = rng.integers(256)
        path.write_bytes(raw[:rng.integers(1, len(raw) + 40)])
        try:
            read_pictures(path, 64, invert=False, say=list)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused


SMALL = Meaning(classes=("a", "b"), shape=(4, 8, 1), low=(-1.0,), high=(3.0,), ground=True)


def meant(images, meaning, **options):
    said = []
    return as_pixels(images, prod(meaning.shape), say=said.append, meaning=meaning, **options), said


def test_pixels_of_a_network_of_an_own_set():
    """Values are scaled as those of its training set were."""
    values = np.linspace(-1, 3, 32).reshape(1, 4, 8)
    pixels, said = meant(values, SMALL, invert=False)
    assert pixels.tolist() == SMALL.samples(values[..., None]).tolist() and said == []
    dark = SMALL.model_copy(update=dict(inverted=True))
    assert (meant(2 - values, dark, invert=False)[0] == pixels).all()
    assert (meant(2 - values, SMALL, invert=True)[0] == pixels).all()
    row = Meaning(classes=("a", "b"), shape=(2,), low=(0.0, 10.0), high=(1.0, 20.0))
    assert meant([[0.2, 20], [1, 10]], row)[0].tolist() == [[51, 255], [255, 0]]


def test_what_is_unlike_an_own_set_is_said():
    bright = np.full((2, 4, 8), 3.0)
    bright[0, [0, -1]] = bright[0, :, [0, -1]] = -1
    assert meant(bright, SMALL)[1] == [
        "images: 1 of 2 images look inverted beside the network's training set: --invert "
        "(invert=True) turns, --as-is (invert=False) says nothing"]
    assert meant(bright[:1], SMALL)[1] == [] == meant(bright, SMALL, invert=False)[1]
    assert meant(bright, SMALL.model_copy(update=dict(ground=False)))[1] == []
    assert meant(bright * 100, SMALL, invert=False)[1] == [
        "images: 100% of the values lie beyond those of the network's training set: are they "
        "scaled as those were?"]
    with pytest.raises(DataError, match="images: finite numbers are needed, as in the network's"):
        meant(bright * np.nan, SMALL)
    with pytest.raises(DataError, match="pixels must lie in 0 .. 255, .*, found -1 .. 3"):
        meant(bright, Meaning(classes=("a", "b"), shape=(4, 8, 1)))


def test_a_picture_for_an_own_set(tmp_path):
    """Its 8 bits are pixels already; any size is resized."""
    picture = np.arange(32, dtype=np.uint8).reshape(4, 8) * 3
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = read_pictures(tmp_path / "a.png", 32, meaning=SMALL)
    assert found.tolist() == [picture.ravel().tolist()]
    dark = SMALL.model_copy(update=dict(inverted=True, ground=False))
    assert (read_pictures(tmp_path / "a.png", 32, meaning=dark) == 255 - found).all()
    Image.fromarray(picture.repeat(2, 0).repeat(3, 1)).save(tmp_path / "b.png")
    said = []
    assert (read_pictures(tmp_path / "b.png", 32, meaning=SMALL, say=said.append) == found).all()
    assert said == [f"{tmp_path / 'b.png'}: resized from 24 x 8 to 8 x 4"]
    np.save(tmp_path / "a.npy", SMALL.low[0] + picture / 255 * 4)
    assert (read_pictures(tmp_path / "a.npy", 32, meaning=SMALL) == found).all()


@pytest.mark.parametrize("side", [9600, 14_000])  # Pillow warns of the first, refuses the second
def test_pictures_of_too_many_pixels(tmp_path, side):
    Image.new("1", (side, side)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="x.png: more than 4096 pixels wide or high: make it sma"):
        open_picture(tmp_path / "x.png", print)
