"""WAV files of all usual kinds against numbers that are known, and a sentence for what is not."""

import struct

import numpy as np
import pytest

from qsnn.model.arrays import DataError
from qsnn.model.sounds import RATE, read_sound
from qsnn.model.wav import read_wav

RNG = np.random.default_rng(0)
NUMBERS = {bits: RNG.integers(-1 << (bits - 1), 1 << (bits - 1), (50, 2)) for bits in
           (8, 16, 24, 32)}
RATES = [1000, 6000, 7999, 8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]


def file_of(path, numbers, bits, rate=RATE, kind=1, extensible=False, others=b"", **fields):
    """A WAV file, written byte by byte: numbers [N] or [N, channels]."""
    numbers = np.asarray(numbers)
    channels, width = (1 if numbers.ndim == 1 else numbers.shape[1]), bits // 8
    if kind == 3:
        raw = numbers.astype(f"<f{width}").tobytes()
    else:
        shifted = numbers.astype(np.int64) + (128 if bits == 8 else 0)
        raw = b"".join(int(number).to_bytes(width, "little", signed=bits > 8)
                       for number in shifted.ravel())
    facts = dict(kind=kind, channels=channels, rate=rate, block=channels * width, bits=bits,
                 size=len(raw)) | fields
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else facts["kind"], facts["channels"],
                       facts["rate"], 0, facts["block"], facts["bits"])
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 3, facts["kind"]) + bytes(14)
    body = b"fmt " + struct.pack("<I", len(form)) + form + others
    body += b"data" + struct.pack("<I", facts["size"]) + raw
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    return path


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_bits(tmp_path, bits, extensible):
    path = file_of(tmp_path / "x.wav", NUMBERS[bits], bits, 8000, extensible=extensible)
    wav = read_wav(path)
    assert (wav.rate, wav.bits, wav.channels) == (8000, bits, 2)
    assert (wav.numbers == NUMBERS[bits].sum(axis=1)).all()
    samples, done = read_sound(path)
    # halves go up, and a mean never leaves its range
    wanted = np.floor(NUMBERS[bits].astype(object).sum(axis=1) * (2 ** 16 // 2) / 2 ** bits + 0.5)
    assert samples.dtype == np.int16 and (samples == np.minimum(wanted, 32767).astype(int)).all()
    assert done == f"{bits} bits become 16, " * (bits != 16) + "mean of 2 channels"


def test_nothing_is_done_where_nothing_must(tmp_path):
    samples, done = read_sound(file_of(tmp_path / "x.wav", NUMBERS[16][:, 0], 16))
    assert (samples == NUMBERS[16][:, 0]).all() and done == ""


@pytest.mark.parametrize("bits", [32, 64])
def test_floats(tmp_path, bits):
    values = [0, 0.5, -1, 1, 7, -7, 1e-4]
    samples, done = read_sound(file_of(tmp_path / "x.wav", values, bits, kind=3))
    assert samples.tolist() == [0, 16384, -32768, 32767, 32767, -32768, 3]
    assert done == "floats become 16 bits, what is beyond -1 .. 1 is cut off, divide by the peak"
    assert read_sound(file_of(tmp_path / "x.wav", [0, -1, 1], bits, kind=3))[1] == (
        "floats become 16 bits")


@pytest.mark.parametrize("rate", RATES)
def test_rates(tmp_path, rate):
    """A tone of 200 Hz is the same tone, sample by sample; a constant stays; lengths follow."""
    def tone(rate, count):
        return 20_000 * np.sin(2 * np.pi * 200 * np.arange(count) / rate)
    path = file_of(tmp_path / "x.wav", np.rint(tone(rate, rate // 2 + 1)), 16, rate)
    samples, done = read_sound(path)
    assert len(samples) == -(-(rate // 2 + 1) * 8000 // rate)
    inner = slice(400, -400)  # the ends are cut off, and so less sharp
    assert abs(samples - tone(8000, len(samples)))[inner].max() <= 2
    constant, _ = read_sound(file_of(tmp_path / "y.wav", np.full(rate, -77), 16, rate))
    assert (constant[inner] == -77).all()
    assert (done == "") == (rate == 8000)


@pytest.mark.parametrize("rate", [16_000, 44_100, 192_000])
@pytest.mark.parametrize("above", [4500, 6000, 7900])
def test_tones_that_8000_samples_cannot_have(tmp_path, rate, above):
    """They vanish, and are no other tones."""
    tone = 20_000 * np.sin(2 * np.pi * above * np.arange(rate // 2) / rate)
    samples, _ = read_sound(file_of(tmp_path / "x.wav", np.rint(tone), 16, rate))
    assert abs(samples.astype(int))[400:-400].max() <= 20


def test_other_chunks_and_unknown_sizes(tmp_path):
    numbers = NUMBERS[16][:, 0]
    path = file_of(tmp_path / "x.wav", numbers, 16, others=b"LIST\x03\x00\x00\x00abc\x00",
                   size=0xFFFFFFFF)
    assert (read_wav(path).numbers == numbers).all()


@pytest.mark.parametrize("facts, sentence", [
    (dict(kind=2), r"ADPCM, and plain numbers \(PCM\) of 8, 16, 24 or 32 bits are needed: ffmpeg "),
    (dict(kind=85), "MP3, and plain"),
    (dict(kind=99), "format 99, 16 bits, and plain"),
    (dict(kind=3), "format 3, 16 bits, and plain"),
    (dict(channels=0), "format 1, 16 bits, and plain"),
    (dict(block=3), "2 channels in 3 bytes, 1 to 32 channels are needed: ffmpeg -i x.wav -ac 1 ne"),
    (dict(channels=40, block=80), "40 channels in 80 bytes, 1 to 32 channels are needed"),
    (dict(rate=0), "0 samples a second, 1,000 to 384,000 are needed: ffmpeg -i x.wav -ar 8000 n"),
    (dict(rate=500_000), "500,000 samples a second, 1,000 to 384,000 are needed"),
    (dict(size=201), "it ends after 200 of 201 bytes of sound: copy or record it again"),
    (dict(size=1 << 31), "it ends after 200 of 2,147,483,648 bytes of sound"),
])
def test_refused(tmp_path, facts, sentence):
    path = file_of(tmp_path / "x.wav", NUMBERS[16], 16, **dict(block=4) | facts)
    with pytest.raises(DataError, match=f"x.wav: {sentence}") as refused:
        read_sound(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("raw, why", [
    (b"", "it is empty"), (b"RIFF", "it begins with b'RIFF'"), (b"ID3" * 9, "it begins with b'ID"),
    (b"RIFF\0\0\0\0WAVE", "it has no sound"),
    (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "it has no format"),
    (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0abc", "it has no whole format"),
])
def test_damaged(tmp_path, raw, why):
    (tmp_path / "x.wav").write_bytes(raw)
    with pytest.raises(DataError, match=rf"x.wav: not a WAV file \({why}.*\): make one of it, ff"):
        read_sound(tmp_path / "x.wav")


def test_too_much(tmp_path, monkeypatch):
    path = file_of(tmp_path / "x.wav", NUMBERS[16], 16, size=0xFFFFFFFF)
    monkeypatch.setattr("qsnn.model.wav.MAX_BYTES", 199)
    with pytest.raises(DataError, match="x.wav: more than 0 MiB of sound: cut it"):
        read_sound(path)


def test_numbers_that_are_none(tmp_path):
    with pytest.raises(DataError, match="x.wav: NaN or infinity among its numbers: leave it out"):
        read_sound(file_of(tmp_path / "x.wav", [0, np.nan], 32, kind=3))
    with pytest.raises(DataError, match=r"x.wav: floats up to 20,000, those of a sound lie in -1 "
                       ".. 1: divide them by .* scale, 16-bit numbers by 32768$"):
        read_sound(file_of(tmp_path / "x.wav", [0.5, -20_000], 32, kind=3))
    with pytest.raises(DataError, match="y.wav: No such file or directory"):
        read_sound(tmp_path / "y.wav")
