import random
import zlib
from dataclasses import replace

import numpy as np
import pytest
from cobs import cobs

from qsnn.hw.link.protocol import (
    DELIMITER,
    OVERHEAD,
    Frame,
    Hello,
    Request,
    Splitter,
    Status,
    decode,
    encode,
    encoded_bytes,
    pack_images,
    unpack_result,
)
from tests.device import Device, damage, uncobs

HELLO = Hello(input_bits=8, score_bytes=2, window=8, classes=10, pixels=4, beats=10, n_in=37,
              clock_khz=48_000, hash=bytes(range(16)))
FRAMES = 100_000


def draw(source, size):
    """Payloads with many zeros, none, and anything in between."""
    zeros = source.random()
    return bytes(0 if source.random() < zeros else source.randrange(256) for _ in range(size))


@pytest.mark.parametrize("size", [0, 1, 247, 248, 249, 250, 501, 502, 503, 800])
def test_round_trip(size):
    source = random.Random(size)
    for payload in (bytes(size), b"\xff" * size, draw(source, size), draw(source, size)):
        frame = Frame(source.randrange(256), source.randrange(256), payload)
        raw = encode(frame)
        assert raw.index(DELIMITER) == len(raw) - 1 < encoded_bytes(size)
        assert decode(raw[:-1]) == frame
        body = uncobs(raw[:-1])
        assert body[:2] == bytes([frame.type, frame.sequence]) and body[2:-4] == payload
        assert int.from_bytes(body[-4:], "little") == zlib.crc32(body[:-4])


def test_bytes_of_a_frame():
    """What the docstring says, byte by byte."""
    assert encode(Frame(1, 0)) == bytes.fromhex("02 01 05") + zlib.crc32(b"\1\0").to_bytes(
        4, "little") + DELIMITER


@pytest.mark.parametrize("body", [b"", b"\1"])
def test_too_short(body):
    """The CRC of nothing and of a lone type can be right: still no frame."""
    raw = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little"))
    assert decode(raw) is None
    device = Device(HELLO, lambda payload: payload)
    assert device.feed(raw + DELIMITER) == b"" and device.bad == 1 and not device.taken


@pytest.mark.parametrize("receiver", ["host", "device"])
def test_faults(receiver):
    """What a receiver takes was sent, and every good frame behind a delimiter is taken.

    Three frames of four are damaged in one to three ways, the fourth is not.
    """
    source = random.Random(receiver)
    splitter = Splitter(100)
    device = Device(HELLO, lambda payload: bytes(HELLO.result_bytes))

    def feed(raw):
        if receiver == "host":
            return splitter.feed(raw)
        device.taken.clear()
        device.feed(raw)
        return [Frame(*taken) for taken in device.taken]

    refused = 0
    payloads = [draw(source, size) for size in (0, 0, 6, 40, 40, 40) for _ in range(10)]
    for _ in range(FRAMES // 2):
        frames = [Frame(source.randrange(5), source.randrange(256), source.choice(payloads))
                  for _ in range(4)]
        damaged = [damage(source, encode(frame)) for frame in frames[:3]]
        # what a fault left of the delimiters is behind it: from there on all is well
        taken = feed(b"".join(damaged) + DELIMITER + encode(frames[3]))
        assert set(taken) <= set(frames)
        assert taken[-1] == frames[3]
        refused += 4 - len(taken)
    assert refused > FRAMES


def test_splitter_pieces():
    """Frames do not depend on how the stream is cut."""
    source = random.Random(1)
    frames = [Frame(source.randrange(256), source.randrange(256), draw(source, size))
              for size in range(40)]
    stream = b"junk\0\0" + b"".join(map(encode, frames))
    splitter, found = Splitter(60), []
    while stream:
        size = source.randrange(1, 30)
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == frames and splitter.bad == 1


def test_splitter_is_bounded():
    splitter = Splitter(60)
    for _ in range(100):
        assert splitter.feed(b"\1" * 50) == []
        assert len(splitter._rest) <= 60
    frame = Frame(1, 2, b"abc")
    assert splitter.feed(DELIMITER + encode(frame)) == [frame]
    assert splitter.bad == 1
    assert splitter.feed(encode(Frame(1, 2, bytes(60)))) == [] and splitter.bad == 2


def test_hello():
    assert Hello.unpack(HELLO.pack()) == HELLO
    assert len(HELLO.pack()) == 39
    assert HELLO.infer_bytes == 40 and HELLO.result_bytes == 21
    assert Status(0x1234, 5, 255).pack() == bytes.fromhex("3412 05 ff")
    assert Status.unpack(bytes.fromhex("3412 05 ff")) == Status(0x1234, 5, 255)


@pytest.mark.parametrize("payload, sentence", [
    (b"", "it speaks protocol version none, not 01"),
    (b"\2" + bytes(99), "it speaks protocol version 02, not 01"),
    (b"\1" + bytes(34), "its greeting has 35 bytes, not 39"),
    (b"\1" + bytes(38), "its greeting makes no sense")])
def test_no_hello(payload, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Hello.unpack(payload)


@pytest.mark.parametrize("fields", [
    dict(input_bits=0), dict(input_bits=9), dict(score_bytes=0), dict(score_bytes=9),
    dict(window=0), dict(classes=0), dict(n_in=0), dict(pixels=0), dict(pixels=38, beats=1),
    dict(beats=9), dict(beats=11), dict(beats=(1 << 32) - 1)])
def test_a_greeting_without_sense(fields):
    """Among them what a host has no room for: a score of 9 bytes."""
    good = Hello(input_bits=8, score_bytes=2, window=4, classes=10, pixels=4, beats=10, n_in=37,
                 clock_khz=1, hash=bytes(16))
    assert Hello.unpack(good.pack()) == good
    with pytest.raises(ValueError, match="^its greeting makes no sense$"):
        Hello.unpack(replace(good, **fields).pack())


@pytest.mark.parametrize("bits, pixels, n_in", [(8, 4, 37), (3, 5, 37), (1, 16, 16), (5, 1, 9)])
def test_pack_images(bits, pixels, n_in):
    """Against the definition: pixel 0 in the lowest bits of a beat of whole bytes."""
    rng = np.random.default_rng(bits)
    beats = -(-n_in // pixels)
    hello = Hello(input_bits=bits, score_bytes=1, window=1, classes=2, pixels=pixels, beats=beats,
                  n_in=n_in, clock_khz=1, hash=bytes(16))
    images = rng.integers(0, 1 << bits, size=(3, n_in), dtype=np.uint8)
    for image, payload in zip(images, pack_images(hello, images), strict=True):
        expected = b""
        for start in range(0, n_in, pixels):
            beat = sum(int(pixel) << bits * k for k, pixel in enumerate(
                image[start:start + pixels]))
            expected += beat.to_bytes(hello.beat_bytes, "little")
        assert payload == expected and len(payload) == hello.infer_bytes


def test_unpack_result():
    hello = Hello(input_bits=1, score_bytes=3, window=1, classes=2, pixels=1, beats=1, n_in=1,
                  clock_khz=1, hash=bytes(16))
    assert unpack_result(hello, bytes.fromhex("feffff 010080 01")) == (1, [-2, -0x7FFFFF])
    # with 82 classes 246 bytes and the label, with one more the largest score and two bytes of it
    most, brief = replace(hello, classes=82), replace(hello, classes=83)
    assert (most.brief, most.scores, most.result_bytes) == (False, 82, 247)
    assert (brief.brief, brief.scores, brief.result_bytes) == (True, 1, 5)
    assert unpack_result(most, bytes(246) + b"\x51") == (81, [0] * 82)
    assert unpack_result(brief, bytes.fromhex("feffff 5200")) == (82, [-2])
    many = Hello.unpack(replace(hello, classes=60_000).pack())
    assert unpack_result(many, bytes.fromhex("000080 5fea")) == (59_999, [-0x800000])


def test_overhead():
    assert len(uncobs(encode(Frame(Request.HELLO, 7))[:-1])) == OVERHEAD
