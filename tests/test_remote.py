"""The driver of an engine, against a model of one that shares no code with it."""

import random
import re
import struct

import numpy as np
import pytest

from qsnn.hw.link.driver import LinkError
from qsnn.hw.link.programs import (
    BLOCK_BYTES,
    MOST_SCORES,
    EngineHello,
    Running,
    load_payloads,
    start_payload,
)
from qsnn.hw.link.protocol import MAX_REPLY, Request, encoded_bytes
from qsnn.hw.link.remote import BLOCKS, RemoteEngine
from qsnn.hw.memory.check import seal
from tests.device import EngineDevice, Line, damage

SHAPE = 0x1234_5678
HELLO = EngineHello(shape=SHAPE, most=5000, image_bytes=300, scores=400, queue=1024,
                    clock_khz=60_000, running=Running(0, 0, 0, 0, 0))
OUTPUTS = 4
N_IN = 20


def program(words, seed=0, n_in=N_IN, shape=SHAPE):
    source = random.Random(seed)
    body = [n_in - 1, *(source.randrange(1 << 32) for _ in range(words - 5))]
    return np.array(seal(body, magic=1, version=shape), "<u4")


def scores_of(image, outputs):
    source = random.Random(image)
    return [source.randrange(-1 << 31, 1 << 31) for _ in range(outputs)]


def device(outputs=OUTPUTS, **options):
    def infer(image):
        scores = scores_of(image, outputs)
        label = scores.index(max(scores))
        told = [max(scores)] if outputs > 61 else scores
        return struct.pack(f"<{len(told)}iH", *told, label)
    return EngineDevice(HELLO, infer, outputs, **options)


def connect(line):
    return RemoteEngine(line, name="PORT")


def ask(board, count, outputs=OUTPUTS, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, N_IN), np.uint8)
    done = []
    labels, scores = board.infer(images, progress=done.append)
    expected = np.array([scores_of(image.tobytes(), outputs) for image in images], np.int64)
    expected = expected.reshape(count, outputs)
    assert labels.tolist() == expected.argmax(axis=1).tolist()
    assert scores.tolist() == (expected.max(axis=1, keepdims=True).tolist()
                               if outputs > 61 else expected.tolist())
    assert done == list(range(1, count + 1))


def test_greeting():
    """Byte by byte."""
    hello = EngineHello(shape=0x04030201, most=5, image_bytes=6, scores=7, queue=8, clock_khz=9,
                        running=Running(1, 2, 0x0D0C0B0A, 3, 4))
    assert hello.pack() == bytes.fromhex(
        "02 01020304 05000000 06000000 0700 08000000 09000000 01 02 0a0b0c0d 03000000 0400")
    assert EngineHello.unpack(hello.pack()) == hello


@pytest.mark.parametrize("raw, sentence", [
    (b"", "it speaks protocol version none, not 02"),
    (b"\1" + bytes(38), "it holds one network, and is no engine"),
    (b"\3" + bytes(34), "it speaks protocol version 03, not 02"),
    (b"\2" + bytes(33), "its greeting has 34 bytes, not 35"),
    (b"\2" + bytes(34), "its greeting makes no sense"),
    (HELLO.fixed + b"\4" + bytes(11), "what it says of its program makes no sense"),
    (HELLO.fixed + b"\1\1" + bytes(10), "what it says of its program makes no sense")])
def test_no_greeting(raw, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        EngineHello.unpack(raw)


def test_payloads():
    words = np.arange(130, dtype=np.uint32)
    first, second, third = load_payloads(words)
    assert (len(first), len(second), len(third)) == (259, 259, 11) and BLOCK_BYTES == 259
    assert first[:11] == bytes.fromhex("000000 00000000 01000000")
    assert second[:7] == bytes.fromhex("400000 40000000") and third[:7] == bytes.fromhex(
        "800000 80000000")
    assert start_payload(words, 3) == bytes.fromhex("820000 03")


def test_results():
    running = Running(1, 1, 0, 1, 3)
    assert running.result_bytes == 14 and running.result(struct.pack("<iiiH", 5, -6, 7, 2)) == (
        2, [5, -6, 7])
    most, brief = Running(1, 1, 0, 1, MOST_SCORES), Running(1, 1, 0, 1, MOST_SCORES + 1)
    assert most.result_bytes <= MAX_REPLY < most.result_bytes + 4
    assert (most.brief, brief.brief, brief.result_bytes) == (False, True, 6)


def test_window():
    """A batch, and what the queue has room for, but for one image."""
    def window(n_in, batch):
        running = Running(1, batch, 0, n_in, 1)
        return EngineHello(SHAPE, 9, 300, 9, 1024, 9, running).window
    assert encoded_bytes(300) == 309
    assert [window(300, 1), window(300, 4), window(9, 2), window(1000, 16)] == [3, 6, 10, 16]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("outputs", [2, 61, 62, 200])
def test_quiet_line(batch, outputs):
    with connect(Line(device(outputs))) as board:
        done = []
        words = program(1000)
        assert board.load(words, batch, progress=done.append) > 0
        assert done == [*range(64, 1000, 64), 1000]
        assert board.holds(words, batch) and not board.holds(words, batch + 1)
        for count in (1, 4, 0, 9, 300):
            ask(board, count, outputs)
        assert board.resent == 0
        assert board.load(words, batch) == 0


@pytest.mark.parametrize("seed", range(6))
def test_faults(seed):
    """Lost, changed, doubled bytes in both directions, and frames that come twice."""
    source = random.Random(seed)

    def bad(raw):
        chance = source.random()
        return raw + raw if chance < 0.03 else damage(source, raw) if chance < 0.15 else raw

    line = Line(device(), bad, bad)
    board = connect(line)
    for round_, batch in enumerate((1, 3, 4, 16)):
        words = program(source.choice([5, 64, 65, 700, 3000]), round_)
        board.load(words, batch)
        assert line.device.memory == words.tobytes()
        ask(board, source.choice([1, 7, 60]), seed=round_)
    assert board.resent > 5


def test_blocks_under_way():
    """Behind a lost block no more is sent than was under way, and that once."""
    sent = []

    def there(raw):
        sent.append(raw)
        return b"" if len(sent) == 10 else raw

    board = connect(Line(device(), there))
    words = program(4000)
    board.load(words)
    loads = len(load_payloads(words))
    assert loads < len(sent) <= loads + 2 * BLOCKS + 3


@pytest.mark.parametrize("words, sentence", [
    (program(100, shape=SHAPE + 1), "PORT: the program is for the engine 12345679, on the board is "
     "12345678: compile the network for this board, or load the bitstream of its engine again"),
    (program(5001), "PORT: the program has 5,001 words, the memory of the board 5,000"),
    (program(100)[:-1], "this is no whole program: write it again with qsnn program"),
    (np.zeros(0, "<u4"), "this is no whole program: write it again with qsnn program")])
def test_refused_programs(words, sentence):
    """Before anything is dropped on the board."""
    board = connect(Line(device()))
    board.load(program(200))
    with pytest.raises(LinkError, match=f"^{re.escape(sentence)}$"):
        board.load(words)
    ask(board, 3)


def test_a_memory_that_loses_bits():
    line = Line(device(lame=lambda memory: memory[:50] + bytes([memory[50] ^ 8]) + memory[51:]))
    board = connect(line)
    with pytest.raises(LinkError, match="^PORT: the memory of the board does not hold what was "
                                        r"written \(bad\): try a slower clock, or another board$"):
        board.load(program(100))
    with pytest.raises(LinkError, match="^PORT: no network is loaded: load one first$"):
        board.infer(np.zeros((1, N_IN), np.uint8))


def test_a_memory_that_takes_nothing():
    made = device()
    answer = made._answer
    made._answer = lambda kind, payload: bytes(4) if kind == Request.LOAD else answer(kind, payload)
    with pytest.raises(LinkError, match="^PORT: it takes no more than 0 of 100 words: its memory "
                                        "does not answer, or another program writes too$"):
        connect(Line(made)).load(program(100))


@pytest.mark.parametrize("images, sentence", [
    (np.zeros((2, 19), np.uint8), "images must have shape [N, 20], not [2, 19]"),
    (np.zeros(20, np.uint8), "images must have shape [N, 20], not [20]"),
    (np.full((1, 20), 256), "pixels must be integers of 8 bits: 0 .. 255"),
    (np.zeros((1, 20)), "pixels must be integers of 8 bits: 0 .. 255")])
def test_no_images(images, sentence):
    board = connect(Line(device()))
    board.load(program(10))
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        board.infer(images)


def test_another_program_came():
    line = Line(device())
    board = connect(line)
    board.load(program(100))
    other = connect(line)
    assert other.running == board.running
    other.load(program(70, 1))
    with pytest.raises(LinkError, match="^PORT: another network runs there by now: load this one "
                                        "again$"):
        ask(board, 1)
    line.device.running = None
    with pytest.raises(LinkError, match="^PORT: another network runs there by now: "):
        ask(other, 1)


def test_a_label_that_no_score_says():
    made = device()
    infer = made.infer
    made.infer = lambda image: infer(image)[:-2] + b"\3\0"
    board = connect(Line(made))
    board.load(program(100))
    with pytest.raises(LinkError, match="a reply with the label 3, where class . of 4 has the"):
        ask(board, 5)
