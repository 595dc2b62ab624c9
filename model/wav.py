"""WAV files: plain numbers of 8, 16, 24 or 32 bits, or floats, of any rate and some channels.

The standard library reads neither floats nor the extensible header that most files of more than 16
bits or two channels have. Nothing is read before its size is known to be right.
"""

import struct
from dataclasses import dataclass

import numpy as np

from qsnn.model.arrays import DataError

__all__ = ["Wav", "read_wav"]

MAX_BYTES = 1 << 28  # of a file's sound
MAX_SECONDS = 60
RATES = 1000, 384_000
MAX_CHANNELS = 32
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
NO_SIZE = 0xFFFFFFFF  # of who wrote into a pipe, and did not know how long it would be
FLOAT_BITS = 24  # that a float of -1 .. 1 becomes
ABOVE = 1 + 2.0 ** -15  # a float that a sound of 16 bits cannot have
LOUDEST = 16  # a float beyond is of another scale, such as that of 16-bit numbers
NAMES = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 85: "MP3"}  # of what is compressed


@dataclass(frozen=True)
class Wav:
    """rate, samples a second; bits and channels; numbers: the sums of the channels, int64 [N], each
    channel in -2**(bits-1) .. 2**(bits-1)-1 (of floats as well); floats: whether they were, and
    their peak."""

    rate: int
    bits: int
    channels: int
    numbers: np.ndarray
    floats: bool = False
    peak: float = 0.0


def read_wav(path):
    """The :class:`Wav` of a file.

    Floats have 24 bits and are cut off at -1 and 1. Raises
    :class:`qsnn.model.arrays.DataError` with one sentence: what is no WAV file, is compressed, ends
    too early, is empty or longer than 60 s, has a rate out of 1,000 .. 384,000 or floats beyond 16.
    """
    try:
        with open(path, "rb") as file:
            form, size = _header(path, file)
            kind, channels, rate, width = _form(path, form)
            raw = file.read(min(size, MAX_BYTES + 1))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES >> 20} MiB of sound: cut it")
    if len(raw) != size and size != NO_SIZE:
        raise DataError(f"{path}: it ends after {len(raw):,} of {size:,} bytes of sound: copy or "
                        "record it again")
    count = len(raw) // (width * channels)
    if not 0 < count <= MAX_SECONDS * rate:
        raise DataError(f"{path}: {count / rate:g} seconds, more than 0 and at most {MAX_SECONDS} "
                        "are needed: cut it, or leave it out")
    raw, peak = raw[:count * width * channels], 0.0
    if kind == FLOAT:
        numbers, peak = _floats(path, raw, width)
    else:
        numbers = _numbers(raw, width)
    return Wav(rate, FLOAT_BITS if kind == FLOAT else 8 * width, channels,
               numbers.reshape(count, channels).sum(axis=1), kind == FLOAT, peak)


def _header(path, file):
    """The bytes of the format, and how many of sound follow at the place where the file stands."""
    def refused(why):
        return DataError(f"{path}: not a WAV file ({why}): make one of it, ffmpeg -i "
                         f"{path.name} new.wav")
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise refused(f"it begins with {head[:4]!r}" if head else "it is empty")
    form = None
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            if form is None:
                raise refused("it has no format")
            return form, size
        if name == b"fmt ":
            form = file.read(min(size, 64))
            if not 16 <= len(form) == min(size, 64):
                raise refused("it has no whole format")
            file.seek(max(0, size - 64) + size % 2, 1)
        else:
            file.seek(size + size % 2, 1)
    raise refused("it has no sound")


def _form(path, form):
    """Kind, channels, rate and bytes of a number."""
    kind, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack("<H", form[24:26])[0]
    width = block // channels if channels else 0
    if kind not in (PCM, FLOAT) or (8 * width not in ((8, 16, 24, 32), (32, 64))[kind == FLOAT]):
        what = NAMES.get(kind, f"format {kind}, {bits} bits")
        raise DataError(f"{path}: {what}, and plain numbers (PCM) of 8, 16, 24 or 32 bits are "
                        f"needed: ffmpeg -i {path.name} -c:a pcm_s16le new.wav")
    if not channels <= MAX_CHANNELS or block != width * channels:
        raise DataError(f"{path}: {channels} channels in {block} bytes, 1 to {MAX_CHANNELS} "
                        f"channels are needed: ffmpeg -i {path.name} -ac 1 new.wav")
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"{path}: {rate:,} samples a second, {RATES[0]:,} to {RATES[1]:,} are "
                        f"needed: ffmpeg -i {path.name} -ar 8000 new.wav")
    return kind, channels, rate, width


def _floats(path, raw, width):
    """int64 of all channels, one after the other, and the largest float."""
    values = np.frombuffer(raw, f"<f{width}").astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: NaN or infinity among its numbers: leave it out")
    peak = float(np.abs(values).max())
    if peak > LOUDEST:
        raise DataError(f"{path}: floats up to {peak:,.6g}, those of a sound lie in -1 .. 1: "
                        "divide them by what was their full scale, 16-bit numbers by 32768")
    return np.rint(np.clip(values, -1, 1) * ((1 << (FLOAT_BITS - 1)) - 1)).astype(np.int64), peak


def _numbers(raw, width):
    """int64 of all channels, one after the other."""
    if width == 1:  # the only ones without a sign
        return np.frombuffer(raw, np.uint8).astype(np.int64) - 128
    if width == 3:
        parts = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int64)
        found = parts @ np.array([1, 1 << 8, 1 << 16])
        return found - ((found >> 23) << 24)
    return np.frombuffer(raw, f"<i{width}").astype(np.int64)
