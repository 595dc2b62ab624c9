import dataclasses
import errno
import itertools
import os
import random
import threading
import tty

import numpy as np
import pytest
import serial

from qsnn.hw.link import driver
from qsnn.hw.link.driver import LONGEST, TRIES, WALK, Accelerator, LinkError
from qsnn.hw.link.protocol import (
    ERROR,
    REPLY,
    Frame,
    Hello,
    Request,
    Splitter,
    encode,
    encoded_bytes,
    pack_images,
)
from tests.device import Device, Line, Timed, damage

HELLO = Hello(input_bits=4, score_bytes=3, window=5, classes=4, pixels=3, beats=7, n_in=20,
              clock_khz=48_000, hash=bytes(range(16)))
NETWORK = HELLO.hash.hex() + "ff" * 16


def scores_of(payload):
    source = random.Random(payload)
    return [source.randrange(-1 << 23, 1 << 23) for _ in range(HELLO.classes)]


def result_of(payload):
    scores = scores_of(payload)
    return b"".join(score.to_bytes(3, "little", signed=True) for score in scores) + bytes(
        [scores.index(max(scores))])


def draw(count, seed=0):
    return np.random.default_rng(seed).integers(0, 16, size=(count, HELLO.n_in), dtype=np.uint8)


def device():
    return Device(HELLO, result_of)


MEMORIES = [("weights", 20, list(range(0, 1 << 20, 4001))),
            ("thresholds", 13, [5, 0, 8191, 77, 1]), ("biases", 8, [1, 2, 200])]
SIZES = [(3, 263), (2, 5), (1, 3)]
CONTENTS = [b"".join(word.to_bytes(size, "little") for word in words)
            for (_, _, words), (size, _) in zip(MEMORIES, SIZES, strict=True)]


def loadable(sizes=SIZES):
    hello = dataclasses.replace(HELLO, memories=len(sizes), word_bytes=max(sizes)[0])
    return Device(hello, result_of, sizes)


def check(images, labels, scores):
    expected = [scores_of(payload) for payload in pack_images(HELLO, images)]
    assert scores.tolist() == expected
    assert labels.tolist() == [row.index(max(row)) for row in expected]


def connect(line, **options):
    return Accelerator(line, name="PORT", **options)


def test_quiet_line():
    line = Line(device())
    with connect(line, network=NETWORK) as board:
        assert board.hello() == HELLO
        images, done = draw(600), []
        check(images, *board.infer(images, progress=done.append))
        assert done == list(range(1, 601)) and board.resent == 0 == line.silences
        assert board.status().good == 602 and board.status().bad == 0
        labels, scores = board.infer(images[:0])
        assert labels.shape == (0,) and scores.shape == (0, 4)


@pytest.mark.parametrize("rate", [0.02, 0.15])
def test_faults(rate):
    """Thousands of images over a line that damages what it carries, in both directions."""
    source = random.Random(rate)

    def noise(raw):
        return damage(source, raw) if raw and source.random() < rate else raw

    line = Line(device(), noise, noise)
    with connect(line) as board:
        images, done = draw(3000), []
        check(images, *board.infer(images, progress=done.append))
        assert done == list(range(1, 3001))
        assert board.resent > 3000 * rate
        sent = {(Request.INFER, payload) for payload in pack_images(HELLO, images)}
        assert {(kind, payload) for kind, _, payload in line.device.taken
                if kind == Request.INFER} == sent  # all of them, and nothing else
        assert line.device.bad > 0


class Slow(Line):
    """Answers one request whenever there is nothing to read."""

    def __init__(self, *args):
        super().__init__(*args)
        self.requests, self.most = [], 0

    def write(self, raw):
        self.requests.append(raw)
        self.most = max(self.most, len(self.requests))

    def read(self, size):
        while not self._bytes and self.requests:
            super().write(self.requests.pop(0))
        return super().read(max(size, self.in_waiting))


@pytest.mark.parametrize("kind", [Line, Slow])
def test_a_lost_request_is_sent_again_without_waiting(kind):
    """A later answer says that it is lost: no silence is needed, and once is enough."""
    lose = iter([False] * 4 + [True] + [False] * 100)
    line = kind(device(), lambda raw: b"" if next(lose) else raw)
    with connect(line) as board:
        check(draw(20), *board.infer(draw(20)))
        assert board.resent == 1 and line.silences == 0


def test_window():
    """So many requests are under way as the device says, and no more."""
    line = Slow(device())
    with connect(line) as board:
        check(draw(50), *board.infer(draw(50)))
    assert line.most == HELLO.window


def test_another_program_died():
    """Answers to its images are on their way, and the device has half a request of its own."""
    line = Line(device())
    payloads = pack_images(HELLO, draw(256, seed=9))
    for sequence, payload in enumerate(payloads):
        line.write(encode(Frame(Request.INFER, sequence, payload)))
    line.write(encode(Frame(Request.INFER, 7, payloads[0]))[:9])
    with connect(line) as board:
        check(draw(300), *board.infer(draw(300)))
    assert line.silences == 0  # the first request is not lost behind the half one


def test_second_answers_are_ignored():
    """Everything is sent twice by the line; sequence numbers come round."""
    line = Line(device(), lambda raw: raw * 2)
    with connect(line) as board:
        check(draw(600), *board.infer(draw(600)))


def answers(*frames):
    """A line that answers whatever is asked with these types and payloads, one each."""
    waiting = list(frames)
    splitter = Splitter(1000)

    class Fixed:
        def feed(self, raw):
            return b"".join(encode(Frame(*waiting.pop(0)(frame)))
                            for frame in splitter.feed(raw) if waiting)

    return Line(Fixed())


def greet(frame, hello=HELLO):
    return frame.type + REPLY, frame.sequence, hello.pack()


NO_ANSWER = ("PORT: no answer after {} tries: is it the right port and speed, and is the board "
             "configured?")


@pytest.mark.parametrize("line, sentence", [
    (answers(), NO_ANSWER.format(4)),
    (Line(device(), back=lambda raw: bytes(len(raw))), NO_ANSWER.format(4)),
    (answers(lambda f: (f.type + REPLY, f.sequence, b"\2" + bytes(40))),
     "PORT: not this accelerator: it speaks protocol version 02, not 01"),
    (answers(lambda f: (f.type + REPLY, f.sequence, b"\1")),
     "PORT: not this accelerator: its greeting has 1 bytes, not 39"),
    (answers(lambda f: (ERROR, f.sequence, b"\1")),
     "PORT: the board refuses a request (code 01): it was configured anew, or speaks another "
     "version of the protocol"),
    (answers(lambda f: greet(f, dataclasses.replace(HELLO, hash=bytes(16)))),
     f"PORT: the network on the board is {'00' * 16}, not {NETWORK[:32]}: configure the board "
     "with this build"),
])
def test_no_such_board(line, sentence):
    with pytest.raises(LinkError) as error:
        connect(line, network=NETWORK)
    assert str(error.value) == sentence


@pytest.mark.parametrize("answer, sentence", [
    (lambda f: (f.type + REPLY, f.sequence, bytes(12)),
     "PORT: a reply of 12 bytes, not 13: the board was configured anew, or breaks the protocol"),
    (lambda f: (ERROR, f.sequence, b"\2"),
     "PORT: the board refuses a request (code 02): it was configured anew, or speaks another "
     "version of the protocol"),
    (lambda f: (Request.STATUS + REPLY, f.sequence, bytes(4)), NO_ANSWER.format(TRIES)),
])
def test_wrong_answers(answer, sentence):
    board = connect(answers(greet, answer))
    with pytest.raises(LinkError) as error:
        board.infer(draw(1))
    assert str(error.value) == sentence


NOISE = random.Random(0)
DRIPS = 5000  # more than a host may wait for
FOREIGN = [encode(Frame(Request.HELLO + REPLY, sequence, HELLO.pack())) for sequence in range(256)]


def clocked(monkeypatch, line, **options):
    """An accelerator whose time is that of the line."""
    monkeypatch.setattr(driver.time, "monotonic", lambda: line.now)
    monkeypatch.setattr(driver.secrets, "randbelow", lambda limit: 0)
    return connect(line, **options)


@pytest.mark.parametrize("drip", [
    lambda: (NOISE.randbytes(1) for _ in range(DRIPS)),
    lambda: (NOISE.randbytes(200) for _ in range(DRIPS)),
    lambda: (b"\0" for _ in range(DRIPS)),
    lambda: (FOREIGN[number % 128 + 128] for number in range(DRIPS)),
    lambda: (encode(Frame(Request.INFER + REPLY, 1, bytes(13))) for _ in range(DRIPS)),
], ids=["noise", "babble", "zeros", "foreign numbers", "another type"])
@pytest.mark.parametrize("every", [0.2, 0.001])
def test_whatever_drips_is_no_answer(drip, every, monkeypatch):
    """A deadline by the clock: what comes without an end is as good as silence."""
    line = Timed(Device(HELLO, None), 1_000_000, drip=((every, raw) for raw in drip()))
    line.device.feed = lambda raw: b""  # nobody listens
    with pytest.raises(LinkError) as error:
        clocked(monkeypatch, line)
    assert str(error.value) == NO_ANSWER.format(4)
    patience = 0.3 + 20 * (encoded_bytes(0) + LONGEST) / 1e6
    assert 4 * patience <= line.now < 4 * (patience + every) + 1e-6


def test_drips_after_the_greeting(monkeypatch):
    """The same where a board was there, and a request of several is never answered."""
    line = Timed(device(), 1_000_000)
    board = clocked(monkeypatch, line)
    line.drip, begun = ((0.1, frame) for frame in 40 * FOREIGN[128:]), line.now
    line.device.feed = lambda raw: b""
    with pytest.raises(LinkError) as error:
        board.infer(draw(9))
    assert str(error.value) == NO_ANSWER.format(TRIES)
    assert TRIES * 0.3 <= line.now - begun < TRIES * 0.45


def test_a_dead_line_costs_its_timeouts(monkeypatch):
    """The time-out that the port is given is what the host waits for, and nothing else is."""
    for baud in (9_600, 1_000_000):
        line = Timed(Device(HELLO, None), baud)
        line.device.feed = lambda raw: b""
        with pytest.raises(LinkError, match="no answer after 4 tries"):
            clocked(monkeypatch, line, silence=0.05)
        patience = 0.05 + 20 * (encoded_bytes(0) + LONGEST) / baud
        assert line.timeouts == {patience} and line.now == pytest.approx(4 * patience)


def test_how_a_port_is_opened(monkeypatch):
    """It must take what is written in the time that all tries of a request have."""
    line, asked = Timed(device(), 1_000_000), []
    monkeypatch.setattr(driver.time, "monotonic", lambda: line.now)
    monkeypatch.setattr(driver.serial, "Serial",
                        lambda *args, **options: asked.append((args, options)) or line)
    Accelerator.open("/dev/ttyX", baud=57_600, silence=0.25).close()
    assert asked == [(("/dev/ttyX", 57_600), dict(write_timeout=TRIES * 0.25, exclusive=True))]


@pytest.mark.parametrize("baud", [1_200, 1_000_000])
def test_a_slow_line_is_not_silent(baud, monkeypatch):
    """Large images, small silence: bytes on their way out and back are waited for."""
    hello = dataclasses.replace(HELLO, n_in=900, beats=300)
    line = Timed(Device(hello, result_of), baud)
    board = clocked(monkeypatch, line, silence=0.01)
    images = np.random.default_rng(0).integers(0, 16, (6, 900), np.uint8)
    labels, _ = board.infer(images)
    assert labels.tolist() == [result_of(payload)[-1] for payload in pack_images(hello, images)]
    assert board.resent == 0 and line.now > 6 * 10 * 600 / baud


def test_a_slow_clock_is_not_silent(monkeypatch):
    """A CRC goes over all words of a memory, at the device's clock; its request says no length."""
    longest = max(map(len, CONTENTS))
    device = loadable()
    device.hello = dataclasses.replace(device.hello, clock_khz=1)
    line = Timed(device, 1_000_000)
    board = clocked(monkeypatch, line)
    line.work = lambda: longest * WALK / 1000
    assert board.differing(MEMORIES) == [0, 1, 2] and board.resent == 0
    assert line.now > 3 * longest * WALK / 1000 > 10


@pytest.mark.parametrize("label", [4, 255, 1])
def test_a_label_that_no_score_says(label):
    """Of no class, or of one whose score is not the largest."""
    raw = b"".join(score.to_bytes(3, "little", signed=True) for score in (5, -9, 7, 7))
    board = connect(answers(greet, lambda f: (f.type + REPLY, f.sequence, raw + bytes([label]))))
    with pytest.raises(LinkError) as error:
        board.infer(draw(1))
    assert str(error.value) == (
        f"PORT: a reply with the label {label}, where class 2 of 4 has the largest score: the "
        "board was configured anew, or breaks the protocol")


def test_the_largest_score_alone():
    """Where a reply has no room for 300; a label of two bytes, which is one of a class."""
    hello = dataclasses.replace(HELLO, classes=300)
    board = connect(Line(Device(hello, lambda payload: bytes.fromhex("feffff 2b01"))))
    labels, scores = board.infer(draw(3))
    assert labels.tolist() == [299] * 3 and scores.tolist() == [[-2]] * 3
    board = connect(Line(Device(hello, lambda payload: bytes.fromhex("feffff 2c01"))))
    with pytest.raises(LinkError, match="a reply with the label 300, where class 300 of 300"):
        board.infer(draw(1))


@pytest.mark.parametrize("images, sentence", [
    (draw(2)[:, :19], r"images must have shape \[N, 20\], not \[2, 19\]"),
    (draw(2)[0], r"images must have shape \[N, 20\], not \[20\]"),
    (draw(2) + 1, "pixels must be integers of 4 bits: 0 .. 15"),
    (draw(2).astype(int) - 1, "pixels must be integers of 4 bits: 0 .. 15"),
    (draw(2) / 2, "pixels must be integers of 4 bits: 0 .. 15")])
def test_no_images(images, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        connect(Line(device())).infer(images)


@pytest.mark.parametrize("rate", [0, 0.1])
def test_load(rate):
    """What differs is written, over a good line and over one that damages what it carries."""
    source = random.Random(rate)

    def noise(raw):
        return damage(source, raw) if raw and source.random() < rate else raw

    line = Line(loadable(), noise, noise)
    with connect(line) as board:
        done = []
        assert board.differing(MEMORIES) == [0, 1, 2]
        assert board.load(MEMORIES, progress=done.append) == [0, 1, 2]
        assert line.device.memories == CONTENTS
        assert done == list(range(1, 272)) and (board.resent > 0) == (rate > 0)
        assert board.differing(MEMORIES) == [] == board.load(MEMORIES)
        line.device.memories[1][3] ^= 1
        assert board.differing(MEMORIES) == [1]
        line.device.taken.clear()
        assert board.load(MEMORIES) == [1] and line.device.memories == CONTENTS
        assert {payload[0] for kind, _, payload in line.device.taken
                if kind == Request.WRITE} == {1}
        check(draw(5), *board.infer(draw(5)))


def test_words_under_way():
    line = Slow(loadable())
    with connect(line) as board:
        board.load(MEMORIES)
    assert line.device.memories == CONTENTS and 32 < line.most <= 64


def test_a_bit_that_is_lost_in_the_device():
    """It shows in the CRC; the memory is written again, and that is seen too."""
    class Weak(Device):
        def __init__(self, faults):
            super().__init__(loadable().hello, result_of, SIZES)
            self.faults = faults

        def _access(self, kind, index, rest):
            answer = super()._access(kind, index, rest)
            if (kind, index, rest[:2]) == (Request.WRITE, 1, b"\4\0") and self.faults:
                self.faults -= 1
                self.memories[1][8] ^= 0x10
            return answer

    device = Weak(1)
    assert connect(Line(device)).load(MEMORIES) == [0, 1, 2]
    assert device.memories == CONTENTS
    with pytest.raises(LinkError, match="^PORT: thresholds is not what was written: the board has "
                       "a network of another shape or folding; configure it anew$"):
        connect(Line(Weak(2))).load(MEMORIES)


@pytest.mark.parametrize("device, sentence", [
    (device(), "the memories of this board cannot be loaded: build it with --loadable"),
    (loadable(SIZES[:2]), "the board has 2 memories with words of 3 bytes, the network 3 of 3: it "
     "has another shape or folding"),
    (loadable([(4, 263), *SIZES[1:]]), "the board has 3 memories with words of 4 bytes, the "
     "network 3 of 3: it has another shape or folding"),
    (loadable([SIZES[0], (2, 4), SIZES[2]]), "thresholds is not what was written: the board has a "
     "network of another shape or folding; configure it anew")])
def test_memories_of_another_network(device, sentence):
    with pytest.raises(LinkError) as error:
        connect(Line(device)).load(MEMORIES)
    assert str(error.value) == f"PORT: {sentence}"


def test_wrong_answer_to_crc():
    hello = loadable().hello
    board = connect(answers(lambda f: greet(f, hello),
                            lambda f: (f.type + REPLY, f.sequence, bytes(3))))
    with pytest.raises(LinkError, match="^PORT: a reply of 3 bytes, not 4: the board was"):
        board.differing(MEMORIES)


@pytest.fixture
def terminal():
    """(descriptor of the device's end, to be closed; name of the port)."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)


def serve(master, count=None):
    """Put a device behind a terminal; pull the cable after so many pieces."""
    board = device()

    def work():
        try:
            for _ in itertools.repeat(None) if count is None else range(count):
                os.write(master, board.feed(os.read(master, 100)))
        except OSError:
            pass  # nobody has the port open any more
        os.close(master)

    threading.Thread(target=work, daemon=True).start()


def test_serial_port(terminal):
    """The same through the kernel and pyserial."""
    master, port = terminal
    serve(master)
    with Accelerator.open(port, network=NETWORK, silence=5) as board:
        check(draw(100), *board.infer(draw(100)))
        with pytest.raises(LinkError, match=f"^{port}: another program has this port open$"):
            Accelerator.open(port)


def test_cable_pulled(terminal):
    master, port = terminal
    serve(master, count=20)
    with pytest.raises(LinkError, match=f"^{port}: the connection is gone: is the cable still in"):
        with Accelerator.open(port, silence=1) as board:
            board.infer(draw(5000))


def test_no_answer(terminal):
    master, port = terminal
    with pytest.raises(LinkError, match=f"^{port}: no answer after 4 tries"):
        Accelerator.open(port, silence=0.02)
    os.close(master)


def test_port_takes_nothing(terminal, monkeypatch):
    """Nobody reads at the other end: the terminal is full some time."""
    master, port = terminal
    with pytest.raises(LinkError, match=f"^{port}: the port takes no more bytes$"):
        with serial.Serial(port, write_timeout=0.1) as line:
            monkeypatch.setattr(driver, "DELIMITER", bytes(1 << 20))
            Accelerator(line, name=port)
    os.close(master)


def test_no_port(tmp_path, monkeypatch):
    with pytest.raises(LinkError, match="^/dev/no-such-port: no such port; there is "):
        Accelerator.open("/dev/no-such-port")
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(LinkError, match=f"^{path}: not a serial port that can be used"):
        Accelerator.open(str(path))

    def refuse(*_, **__):
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(driver.serial, "Serial", refuse)
    with pytest.raises(LinkError, match="^/dev/ttyUSB0: no permission: add yourself to the group "
                                        "dialout and log in again$"):
        Accelerator.open("/dev/ttyUSB0")
