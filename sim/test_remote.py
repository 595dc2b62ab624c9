"""Networks over the line into the emitted engine, a checking model of its memory at the pins."""

import dataclasses
import random
import zlib
from contextlib import closing, contextmanager

import numpy as np
import pytest
import serial

from qsnn.hw.emit.build import NETWORKS
from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineError, EngineShape
from qsnn.hw.link.driver import Accelerator, LinkError
from qsnn.hw.link.programs import BLOCK, Running, State, load_payloads, start_payload
from qsnn.hw.link.protocol import (
    DELIMITER,
    ERROR,
    REPLY,
    Code,
    Frame,
    Request,
    Splitter,
    Status,
    encode,
)
from qsnn.hw.link.remote import RemoteEngine
from qsnn.hw.memory.chips import SDRAMS
from qsnn.model import golden
from qsnn.model.description import load
from qsnn.sim.link import open_simulated, simulated_port
from qsnn.sim.remote import compile_remote, open_remote
from tests.device import damage
from tests.networks import random_description, random_maps, random_pixels

SHAPE = EngineShape(pe=8, simd=16, beat=4, steps=4, map_words=1024, slab_words=256, scores=400)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return compile_remote(tmp_path_factory.mktemp("remote"), SHAPE, SDRAMS["EM638325"],
                          clock_hz=60_000_000)


@contextmanager
def board(engine):
    with simulated_port(engine) as port, open_remote(port) as found:
        yield found


def program(seed, *, batch=1, **options):
    """Of a network without convolutions, or with, where ``words`` are given."""
    rng = np.random.default_rng(seed)
    make = random_maps if "words" in options else random_description
    for _ in range(20):
        try:
            return compile_program(make(rng, **options), SHAPE, batch)
        except EngineError as error:
            why = error  # drawn again
    raise why


LARGE = compile_program(load(NETWORKS / "mnist-128-b2.qsnn"), SHAPE)  # 3,781 words
SMALL = program(1, widths=(20, 9, 3), time_steps=4)
MANY = program(2, widths=(30, 12, 90), time_steps=4, batch=3)  # of the scores only the largest
MAPS = program(3, words=["c4k3", "p2", "c9k3", "fc5"], image=(8, 8, 1), time_steps=2, batch=4)
ONE = program(4, words=["c4k3", "fc7"], image=(4, 6, 2), time_steps=1, batch=8)


def check(board, program, count, seed=0):
    """Ask, and compare every score with the golden model."""
    description = program.description
    pixels = random_pixels(np.random.default_rng(seed), description, count).astype(np.uint8)
    labels, scores = board.infer(pixels)
    expected = golden.infer(description, pixels)
    wanted = expected.scores
    if board.running.brief:
        wanted = wanted.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(scores, wanted)
    np.testing.assert_array_equal(labels, expected.labels)


def test_one_network_after_the_other(engine):
    """Other sizes, batches of one to eight, one and two and four images side by side in the lanes.

    Numbers of images that fill no batch; the same network again needs no loading.
    """
    with board(engine) as device:
        assert not device.running.good and device.hello().shape == SHAPE.version
        done = []
        for each, count in ((LARGE, 5), (SMALL, 9), (MAPS, 10), (MANY, 8), (ONE, 3), (SMALL, 1)):
            assert device.load(each.words, each.batch, progress=done.append) > 0
            assert done[-1] == len(each.words)
            assert device.running == Running(
                State.GOOD, each.batch, int(each.words[-1]), each.description.n_in,
                each.description.outputs)
            check(device, each, count)
            assert device.load(each.words, each.batch) == 0
            check(device, each, each.batch, seed=1)
        assert device.resent == 0
        assert device.status().bad == device.status().overruns == 0


def test_a_chip_of_16_bits(tmp_path):
    """A word is two of its own; data are taken a cycle late."""
    engine = compile_remote(tmp_path, SHAPE, SDRAMS["AS4C32M16SB"], clock_hz=75_000_000, late=1)
    with board(engine) as device:
        for each, count in ((LARGE, 3), (MAPS, 5)):
            device.load(each.words, each.batch)
            check(device, each, count)
        assert device.resent == 0


def test_another_host_finds_what_runs(engine):
    with simulated_port(engine) as port:
        with open_remote(port) as first:
            first.load(MAPS.words, MAPS.batch)
        with open_remote(port) as second:
            assert second.load(MAPS.words, MAPS.batch) == 0
            check(second, MAPS, 6)
        with pytest.raises(LinkError, match="not this accelerator: it speaks protocol version 02"):
            Accelerator(open_simulated(port, "uart"), name="PORT")


class Noisy(serial.Serial):
    """A port whose bytes are damaged on their way, in both directions."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.random = random.Random(0)

    def write(self, raw):
        super().write(damage(self.random, raw) if self.random.random() < 0.1 else raw)

    def read(self, size=1):
        raw = super().read(size)
        # nothing at all would be a silence
        return (raw and self.random.random() < 0.02 and damage(self.random, raw)) or raw


def test_noisy_line(engine):
    """Bytes are lost, changed and doubled; all that is answered is right."""
    with simulated_port(engine) as port:
        with closing(Noisy(port, exclusive=True)) as line:
            device = RemoteEngine(line, name=port, silence=3.0)
            for each, count in ((LARGE, 20), (MAPS, 42), (ONE, 19)):
                device.load(each.words, each.batch)
                check(device, each, count)
            assert device.resent > 20
        with open_remote(port) as device:
            status = device.status()
            assert status.bad > 10
            check(device, ONE, 9)
            assert device.resent == 0


class Raw:
    """Frames as they are given, and all that comes back."""

    def __init__(self, port):
        self.line = serial.Serial(port, exclusive=True, timeout=20)
        self.splitter, self.number = Splitter(300), 0

    def send(self, kind, payload=b""):
        self.number += 1
        self.line.write(encode(Frame(kind, self.number % 256, payload)))

    def frames(self, count):
        found = []
        while len(found) < count:
            raw = self.line.read(max(1, self.line.in_waiting))
            assert raw, "no answer"
            found += self.splitter.feed(raw)
        return found

    def ask(self, kind, payload=b""):
        self.send(kind, payload)
        frame, = self.frames(1)
        assert frame.sequence == self.number % 256
        return frame

    def load(self, *payloads):
        return [int.from_bytes(self.ask(Request.LOAD, payload).payload, "little")
                for payload in payloads]

    def start(self, words, batch=1):
        return Running.unpack(self.ask(Request.START, start_payload(words, batch)).payload)


@contextmanager
def raw(engine):
    with simulated_port(engine) as port, closing((found := Raw(port)).line):
        found.line.write(DELIMITER)
        yield found


NOTHING = Frame(ERROR, 0, bytes([Code.NO_PROGRAM]))


def refused(device, program):
    """It answers no image."""
    frame = device.ask(Request.INFER, bytes(program.description.n_in))
    return dataclasses.replace(frame, sequence=0) == NOTHING


def test_blocks(engine):
    """Twice, too late, too early, with another network's offset: each answer says what is in."""
    first, second, third, *rest = load_payloads(LARGE.words)
    with raw(engine) as device:
        assert device.load(second, first, first, third, second, first, second, second, third,
                           *rest)[:9] == [0, 64, 64, 64, 128, 64, 128, 128, 192]
        assert device.start(LARGE.words).good
        # while it runs nothing is added to it, and it runs on
        at = len(LARGE.words).to_bytes(3, "little")
        assert device.load(at + bytes(4), third) == [len(LARGE.words)] * 2
        assert device.start(LARGE.words).good
        assert device.load(first) == [64] and refused(device, LARGE)


@pytest.mark.parametrize("size", [0, 3, 4, 6, 8, 3 + 4 * BLOCK + 4])
def test_odd_blocks(engine, size):
    with raw(engine) as device:
        frame = device.ask(Request.LOAD, bytes(size))
        assert (frame.type, frame.payload) == (ERROR, bytes([Code.WRONG_LENGTH]))
        assert device.ask(Request.INFER, bytes(9)).payload == bytes([Code.NO_PROGRAM])
        assert device.load(load_payloads(SMALL.words)[0]) == [min(BLOCK, len(SMALL.words))]


def test_power_cut(engine):
    """While another network is loaded the power fails; or the host, and it is not whole."""
    half = load_payloads(SMALL.words)[:-1]
    with raw(engine) as device:
        device.load(*load_payloads(LARGE.words))
        assert device.start(LARGE.words).good
        device.load(*half)
        # all of it is asked for, what there is, and what there was
        for words in (SMALL.words, LARGE.words):
            assert device.start(words).state == State.NONE and refused(device, SMALL)
        assert device.start(SMALL.words[:BLOCK * len(half)]).state == State.BAD
        assert refused(device, SMALL) and refused(device, LARGE)
    with raw(engine) as device:
        for words in (SMALL.words, LARGE.words, []):
            assert device.start(words).state == State.NONE and refused(device, SMALL)
        device.load(*load_payloads(SMALL.words))
        assert device.start(SMALL.words).good


def sealed(words):
    return np.append(words[:-1], np.uint32(zlib.crc32(words[:-1].tobytes())))


@pytest.mark.parametrize("word, mended", [(1, True), (0, True), (-1, False), (40, False)])
def test_wrong_programs(engine, word, mended):
    """For another engine, no program, and one bit that is wrong: not a single answer."""
    words = SMALL.words.copy()
    words[word] ^= 1 << 5
    words = sealed(words) if mended else words
    with raw(engine) as device:
        device.load(*load_payloads(words))
        assert device.start(words).state == State.BAD and refused(device, SMALL)
        device.load(*load_payloads(SMALL.words))
        assert device.start(SMALL.words).good and not refused(device, SMALL)


def test_what_the_host_refuses(engine):
    words = SMALL.words.copy()
    words[1] ^= 1
    other = dataclasses.replace(SHAPE, map_words=2048)
    with board(engine) as device:
        device.load(LARGE.words)
        for wrong, sentence in (
                (sealed(words), f"PORT: the program is for the engine {int(words[1]):08x}, on the "
                 f"board is {SHAPE.version:08x}: compile the network for this board, or load .*"),
                (compile_program(SMALL.description, other).words, "PORT: the program is for .*"),
                (SMALL.words[:-1], "this is no whole program: write it again with qsnn program")):
            with pytest.raises(LinkError, match=f"^{sentence}$".replace("PORT", device._name)):
                device.load(wrong)
        check(device, LARGE, 2)  # which runs on
        with pytest.raises(ValueError, match=r"^images must have shape \[N, 784\], not \[1, 9\]$"):
            device.infer(np.zeros((1, 9), np.uint8))


def test_wrong_length(engine):
    """An image of another network, in a batch that was begun: it is said, and nothing is mixed."""
    with simulated_port(engine) as port:
        with open_remote(port) as device:
            device.load(MAPS.words, MAPS.batch)
        with closing(Raw(port).line) as line:
            device = Raw.__new__(Raw)
            device.line, device.splitter, device.number = line, Splitter(300), 7
            for size in (63, 65, 0, 400):
                device.send(Request.INFER, bytes(64))
                frame = device.ask(Request.INFER, bytes(size))
                assert (frame.type, frame.payload) == (ERROR, bytes([Code.WRONG_LENGTH]))
        with open_remote(port) as device:
            check(device, MAPS, 4)


def test_batches_that_end_early(engine):
    """Images without an answer are lost with whatever is asked for; the next batch is whole."""
    description = MAPS.description
    pixels = random_pixels(np.random.default_rng(5), description, 7).astype(np.uint8)
    expected = golden.infer(description, pixels)
    with raw(engine) as device:
        device.load(*load_payloads(MAPS.words))
        running = device.start(MAPS.words, MAPS.batch)
        for lost, kind in enumerate((Request.STATUS, Request.HELLO, Request.STATUS), 1):
            for image in pixels[:lost]:
                device.send(Request.INFER, image.tobytes())
            assert device.ask(kind).type == kind + REPLY
            for image in pixels[lost:lost + 4]:
                device.send(Request.INFER, image.tobytes())
            found = [running.result(frame.payload) for frame in device.frames(4)]
            assert [scores for _, scores in found] == expected.scores[lost:lost + 4].tolist()
        status = Status.unpack(device.ask(Request.STATUS).payload)
        assert (status.bad, status.overruns) == (0, 0)
