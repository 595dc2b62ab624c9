# amaranth: UnusedElaboratable=no
import itertools
import random
import zlib
from collections import deque

import numpy as np
import pytest
from amaranth.hdl import signed
from amaranth.lib import data, stream
from amaranth.sim import Simulator
from cobs import cobs

from qsnn.hw.link import protocol
from qsnn.hw.link.accelerator import AcceleratorCore
from qsnn.hw.link.frames import CobsDecoder, Crc32
from qsnn.hw.link.host import HostLink, inbox_depth, window
from qsnn.hw.link.protocol import (
    ERROR,
    REPLY,
    Code,
    Frame,
    Hello,
    Request,
    Splitter,
    Status,
    encode,
    encoded_bytes,
)
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.line import CHECK
from qsnn.model import golden
from tests.device import Device, damage, uncobs
from tests.networks import random_description, random_pixels
from tests.uart import line, read_line

SPACING = CHECK + 1  # cycles of a byte that the link keeps up with


def greeting(*, bits=3, pixels=4, n_in=18, score_bytes=2, classes=3):
    return Hello(input_bits=bits, score_bytes=score_bytes, window=2, classes=classes,
                 pixels=pixels, beats=-(-n_in // pixels), n_in=n_in, clock_khz=12_000,
                 hash=bytes(range(0, 256, 16)))


HELLO = greeting()


def scores_of(hello, payload):
    """Scores that depend on every byte, of both signs, and with zero bytes in them."""
    spread = 8 * hello.score_bytes - 1
    mixed = [zlib.crc32(payload, c) for c in range(hello.classes)]
    return [(m & ((1 << spread) - 1)) - (1 << spread - 1) if m % 3 else m % 2 for m in mixed]


def result_of(hello, payload):
    scores = scores_of(hello, payload)
    label = scores.index(max(scores))
    if hello.brief:
        return max(scores).to_bytes(hello.score_bytes, "little", signed=True) + label.to_bytes(
            2, "little")
    return b"".join(score.to_bytes(hello.score_bytes, "little", signed=True)
                    for score in scores) + bytes([label])


class Bench:
    """A host link with a network that takes ``latency`` cycles, and the bytes that it sends."""

    def __init__(self, hello=HELLO, *, depth=64, latency=20, stall=0.0, hold=0):
        self.hello, self.latency, self.stall, self.hold = hello, latency, stall, hold
        self.random = random.Random(0)
        self.images, self.replies = [], b""
        self.dut = HostLink(hello, stream.Signature(data.StructLayout({
            "score": signed(8 * hello.score_bytes - 1), "label": range(hello.classes),
            "last": 1})), depth=depth)

    def run(self, levels):
        """Send bytes, each as (cycles to wait, byte, bad); returns all that comes back."""
        async def cycles(ctx):
            await self._cycles(ctx, iter(levels))

        simulate(self.dut, cycles)
        return self.replies

    def _may(self):
        return self.random.random() >= self.stall

    async def _cycles(self, ctx, levels):
        dut, beats, results = self.dut, [], deque()
        wait, quiet, cycle, done = 0, 0, 0, 0
        coming = next(levels)
        while coming or quiet < 3:
            send = coming is not None and wait == coming[0]
            if send:
                ctx.set(dut.i.p, {"data": coming[1], "bad": coming[2]})
                wait, coming = 0, next(levels, None)
            else:
                wait += 1
            ctx.set(dut.i.valid, send)
            ctx.set(dut.o.ready, cycle >= self.hold and self._may())
            ctx.set(dut.image.ready, not results and self._may())
            if results and cycle >= done and (ctx.get(dut.result.valid) or self._may()):
                ctx.set(dut.result.p, results[0])
                ctx.set(dut.result.valid, 1)
            else:
                ctx.set(dut.result.valid, 0)

            if ctx.get(dut.o.valid & dut.o.ready):
                self.replies += bytes([ctx.get(dut.o.payload)])
            if ctx.get(dut.result.valid & dut.result.ready):
                results.popleft()
            if ctx.get(dut.image.valid & dut.image.ready):
                beats.append(ctx.get(dut.image.payload))
            if len(beats) == self.hello.beats:
                self.images.append(beats)
                results.extend(self._results(beats))
                beats, done = [], cycle + self.latency
            await ctx.tick()
            quiet = 0 if ctx.get(dut.busy) else quiet + 1
            cycle += 1
            assert cycle < 40_000, "it does not come to rest"

    def _results(self, beats):
        payload = b"".join(beat.to_bytes(self.hello.beat_bytes, "little") for beat in beats)
        scores = scores_of(self.hello, payload)
        return [{"score": score, "label": scores.index(max(scores[:k + 1])),
                 "last": k == self.hello.classes - 1} for k, score in enumerate(scores)]


def paced(raw, spacing=SPACING):
    return [(spacing - 1, byte, 0) for byte in raw]


def model(hello=HELLO):
    return Device(hello, lambda payload: result_of(hello, payload))


def frames_of(raw):
    splitter = Splitter(256)
    frames = splitter.feed(raw)
    assert splitter.bad == 0 and (not raw or raw[-1] == 0)
    return frames


def beats(hello, source):
    """The payload of an image whose unused bits are zero."""
    images = np.array([[source.randrange(1 << hello.input_bits) if source.random() < 0.6 else 0
                        for _ in range(hello.n_in)]], np.uint8)
    return protocol.pack_images(hello, images)[0]


@pytest.mark.parametrize("hello", [
    HELLO, greeting(bits=8, pixels=1, n_in=5, score_bytes=1), greeting(bits=1, pixels=16, n_in=40),
    greeting(bits=8, pixels=6, n_in=12, score_bytes=3, classes=13),
    greeting(bits=5, pixels=1, n_in=1, classes=2, score_bytes=4),
    greeting(bits=8, pixels=1, n_in=5, score_bytes=1, classes=300)],
    ids=lambda hello: f"{hello.pixels}x{hello.input_bits}")
@pytest.mark.parametrize("stall", [0, 0.7])
def test_requests(hello, stall):
    """Every request of every shape, without gaps between the frames."""
    source = random.Random(hello.n_in)
    payloads = [beats(hello, source) for _ in range(4)]
    stream = b"".join(encode(frame) for frame in [
        Frame(Request.STATUS, 0), Frame(Request.HELLO, 255), Frame(Request.INFER, 7, payloads[0]),
        Frame(Request.INFER, 8, payloads[1]), Frame(Request.STATUS, 9),
        *(Frame(Request.INFER, 0, payload) for payload in payloads[2:])])
    bench = Bench(hello, depth=512, stall=stall)
    assert bench.run(paced(stream)) == model(hello).feed(stream)
    assert bench.images == [
        [int.from_bytes(payload[k:k + hello.beat_bytes], "little")
         for k in range(0, len(payload), hello.beat_bytes)] for payload in payloads]


def test_as_fast_as_bytes_can_come():
    """A byte every second cycle, while the queue has room; then all of it is worked through."""
    source = random.Random(5)
    stream = b"".join(encode(Frame(Request.INFER, k, beats(HELLO, source))) for k in range(3))
    assert 50 < len(stream) <= 64
    assert Bench().run(paced(stream, 2)) == model().feed(stream)


@pytest.mark.parametrize("seed", range(4))
def test_faults(seed):
    """Damaged frames among good ones: bit for bit what the model of a device answers."""
    source = random.Random(seed)
    stream = b""
    for number in range(40):
        frame = Frame(*source.choice([
            (Request.INFER, number, beats(HELLO, source)), (Request.HELLO, number),
            (Request.STATUS, number), (source.randrange(256), number, source.randbytes(3)),
            (Request.INFER, number, source.randbytes(source.randrange(20)))]))
        raw = encode(frame)
        stream += damage(source, raw) if source.random() < 0.6 else raw
        stream += source.choice([b"", b"", b"\0", b"\0\0"])
    stream += b"\0" + encode(Frame(Request.STATUS, 99))
    device = model()
    expected = device.feed(stream)
    assert device.bad > 8 and len(device.taken) > 10
    assert Bench(depth=256).run(paced(stream)) == expected


def with_crc(body):
    return cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"


@pytest.mark.parametrize("raw, answer", [
    (encode(Frame(0, 5)), Frame(ERROR, 5, bytes([Code.UNKNOWN_TYPE]))),
    (encode(Frame(0xFF, 0, b"abc")), Frame(ERROR, 0, bytes([Code.UNKNOWN_TYPE]))),
    (encode(Frame(0x81, 5)), Frame(ERROR, 5, bytes([Code.UNKNOWN_TYPE]))),
    (encode(Frame(Request.HELLO + 4, 5)), Frame(ERROR, 5, bytes([Code.UNKNOWN_TYPE]))),
    (encode(Frame(Request.HELLO, 5, b"\0")), Frame(ERROR, 5, bytes([Code.WRONG_LENGTH]))),
    (encode(Frame(Request.STATUS, 5, bytes(10))), Frame(ERROR, 5, bytes([Code.WRONG_LENGTH]))),
    (encode(Frame(Request.INFER, 5)), Frame(ERROR, 5, bytes([Code.WRONG_LENGTH]))),
    (encode(Frame(Request.INFER, 5, bytes(HELLO.infer_bytes - 1))),
     Frame(ERROR, 5, bytes([Code.WRONG_LENGTH]))),
    (encode(Frame(Request.INFER, 5, bytes(HELLO.infer_bytes + 1))), None),  # too long
    (encode(Frame(Request.INFER, 5, bytes(300))), None),
    (b"\1" * 200 + b"\0", None),
    (b"\xff" * 300 + b"\0", None),
    (with_crc(b""), None), (with_crc(b"\1"), None),  # too short
    (encode(Frame(Request.HELLO, 5))[:-1] + b"\5\0", None),  # ends within a block
    (encode(Frame(Request.HELLO, 5))[:-3] + b"\0", None),
    (b"\1\0", None),
], ids=itertools.count())
def test_odd_frames(raw, answer):
    """One answer or none, a count, and the next frame is as good as ever."""
    stream = raw + encode(Frame(Request.STATUS, 6))
    status = Status(2, 0, 0) if answer else Status(1, 1, 0)
    expected = [answer] if answer else []
    assert frames_of(Bench().run(paced(stream))) == [
        *expected, Frame(Request.STATUS + REPLY, 6, status.pack())]
    assert model().feed(stream) == b"".join(map(encode, expected)) + encode(
        Frame(Request.STATUS + REPLY, 6, status.pack()))


def test_empty_frames():
    stream = bytes(5) + encode(Frame(Request.STATUS, 6)) + bytes(3)
    assert frames_of(Bench().run(paced(stream))) == [
        Frame(Request.STATUS + REPLY, 6, Status(1, 0, 0).pack())]


def test_empty_frames_take_no_room():
    """While the queue is full to the last byte, they displace nothing and do not count as lost."""
    source = random.Random(5)
    sent = [Frame(Request.INFER, k, beats(HELLO, source)) for k in range(5)]
    sent.append(Frame(Request.STATUS, 5, b"ab"))
    raw = b"".join(map(encode, sent))
    assert len(raw) == 2 * 18 + 64  # two are done when the outbox is full
    last = encode(Frame(Request.STATUS, 9))
    levels = [*paced(raw), *paced(bytes(100)), (6000, last[0], 0), *paced(last[1:])]
    *answers, status = frames_of(Bench(depth=64, hold=5000).run(levels))
    assert [frame.sequence for frame in answers] == [0, 1, 2, 3, 4, 5]
    assert Status.unpack(status.payload) == Status(7, 0, 0)


@pytest.mark.parametrize("at", [0, 1, 9, -2, -1])
def test_bad_byte(at):
    """A byte with a framing error, whatever its bits are, ends its frame: even if they are right.

    The delimiter itself may be bad (-1): then the frame behind it is lost too.
    """
    raw = encode(Frame(Request.INFER, 1, beats(HELLO, random.Random(1))))
    levels = paced(raw)
    levels[at] = (*levels[at][:2], 1)
    levels += paced(encode(Frame(Request.HELLO, 2)) + encode(Frame(Request.STATUS, 3)))
    hello, status = Frame(Request.HELLO + REPLY, 2, HELLO.pack()), Frame(
        Request.STATUS + REPLY, 3, Status(1 + (at != -1), 1 if at else 0, 0).pack())
    if at == -1:
        # all of the first frame came, and the delimiter that ends it is the one after the next
        frames = frames_of(Bench().run(levels))
        assert [frame.sequence for frame in frames] == [1, 3]
    else:
        assert frames_of(Bench().run(levels)) == [hello, status]


def test_stalled_replies():
    """Nobody reads the replies for long: results wait, and come complete and in order."""
    source = random.Random(2)
    stream = b"".join(encode(Frame(Request.INFER, k, beats(HELLO, source))) for k in range(6))
    bench = Bench(depth=256, hold=4000)
    assert bench.run(paced(stream)) == model().feed(stream)


@pytest.mark.parametrize("seed", range(3))
def test_overflow(seed):
    """More than the queue holds: whole requests are dropped, none is changed, and it is said."""
    source = random.Random(seed)
    sent = [Frame(Request.INFER, k, beats(HELLO, source)) for k in range(12)]
    bench = Bench(hold=5000)
    levels = paced(b"".join(map(encode, sent)))
    # by then, all that was kept is answered
    levels += [(6000, 0, 0), *paced(encode(Frame(Request.STATUS, 200)))]
    *answers, status = frames_of(bench.run(levels))
    taken = [sent[frame.sequence] for frame in answers]
    assert [frame.payload for frame in answers] == [
        result_of(HELLO, frame.payload) for frame in taken]
    assert 3 <= len(taken) < 9 and taken == sorted(taken, key=lambda frame: frame.sequence)
    counters = Status.unpack(status.payload)
    assert counters.good == len(taken) + 1 and counters.overruns >= 1


def test_full_queue_waits_for_a_delimiter():
    """Behind an overflow only whole frames are kept: the rest of a cut one takes no room."""
    source = random.Random(3)
    sent = [Frame(Request.INFER, k, beats(HELLO, source)) for k in range(40)]
    bench = Bench(latency=1500, depth=64)  # always too slow
    late = [(3000, 0, 0)]  # ends what the last overflow left
    answers = frames_of(bench.run(paced(b"".join(map(encode, sent))) + late))
    assert 7 <= len(answers) < 20  # 4 if the rests were kept
    for frame in answers:
        assert frame.payload == result_of(HELLO, sent[frame.sequence].payload)


def test_queue_is_deep_enough():
    """With the depth and window that are promised, a host that never waits loses nothing."""
    hello = greeting(bits=8, pixels=2, n_in=40)
    latency = 900
    depth = inbox_depth(hello, latency=latency, byte_cycles=50)
    assert window(hello, depth, latency=latency, byte_cycles=50) == 8
    source = random.Random(4)
    stream = b"".join(encode(Frame(Request.INFER, k, beats(hello, source))) for k in range(6))
    bench = Bench(hello, depth=depth, latency=latency)
    assert bench.run(paced(stream, 50)) == model(hello).feed(stream)


def test_window_where_results_are_longer_than_images():
    hello = greeting(bits=1, pixels=1, n_in=8, classes=50)
    times = dict(latency=10, byte_cycles=100)
    assert window(hello, inbox_depth(hello, **times), **times) == 4
    assert window(hello, 256, **times) == 8 and window(hello, 16, **times) == 1


def test_window_where_the_network_is_slower_than_the_line():
    """An image every 100 bytes, each for 48 cycles: 2400 to check and use it, 1900 to spare."""
    hello = greeting(bits=8, pixels=1, n_in=92, classes=2)
    assert encoded_bytes(hello.infer_bytes) == 100
    limit = 48 * 100 - 16 * 100 - (8 * 100 + 2 * 92 + 16 * (5 + 6) + 100)
    for latency, expected in ((limit, 8), (limit + 1, 2)):
        assert window(hello, 256, latency=latency, byte_cycles=48) == expected


def test_refusals():
    result = stream.Signature(data.StructLayout({"score": signed(8), "label": 7, "last": 1}))
    with pytest.raises(ValueError, match="^1 to 65535 scores of at least a byte, not 65536 of 3$"):
        HostLink(greeting(classes=65536, score_bytes=3), result, depth=64)
    with pytest.raises(ValueError, match="^a queue of 16 bytes cannot hold an image of 18$"):
        HostLink(HELLO, result, depth=16)


def backwards(register, start):
    """The four bytes that take the CRC register from ``start`` to this."""
    for _ in range(32):
        register = (register ^ Crc32.POLYNOMIAL) << 1 | 1 if register >> 31 else register << 1
        register &= 0xFFFFFFFF
    return (register ^ start).to_bytes(4, "little")


def test_crc():
    """The CRC of zlib, and that only the right one is good."""
    dut, source = Crc32(), random.Random(0)

    async def testbench(ctx):
        async def feed(raw):
            ctx.set(dut.shift, 1)
            for byte in raw:
                for bit in range(8):
                    ctx.set(dut.bit, byte >> bit & 1)
                    await ctx.tick()
            ctx.set(dut.shift, 0)
            await ctx.tick()

        for size in (0, 1, 5, 20):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            body = source.randbytes(size)
            await feed(body)
            crc = zlib.crc32(body)
            assert ctx.get(dut.low) == ~crc & 0xFF
            await feed(crc.to_bytes(4, "little"))
            assert ctx.get(dut.good)
            await feed(b"\0")
            assert not ctx.get(dut.good)
        for bit in range(32):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            await feed(backwards(Crc32.RESIDUE ^ 1 << bit, 0xFFFFFFFF))
            assert not ctx.get(dut.good)

    simulate(dut, testbench)


def test_cobs():
    """Against the decoder of the model, blocks of all lengths with it."""
    source = random.Random(0)
    dut = CobsDecoder()

    async def testbench(ctx):
        async def rest(byte):
            """The outputs for a byte; then go on behind it."""
            ctx.set(dut.byte, byte)
            await ctx.tick().repeat(2)
            found = ctx.get(dut.inside), ctx.get(dut.valid), ctx.get(dut.end)
            ctx.set(dut.step, 1)
            await ctx.tick()
            ctx.set(dut.step, 0)
            return found

        for size in (0, 1, 5, 253, 254, 255, 508, 600):
            for body in (source.randbytes(size), bytes(size), b"\7" * size):
                decoded = bytearray()
                raw = cobs.encode(body)
                for byte in raw:
                    inside, valid, end = await rest(byte)
                    assert not end
                    if valid:
                        decoded.append(byte if inside else 0)
                assert await rest(0) == (0, 0, 1)
                assert decoded == body == uncobs(raw)

    simulate(dut, testbench)


def simulate(dut, *testbenches):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("drift", [-0.025, 0.025])
def test_core(drift):
    """A network at its pins: greeting, images and counters, by a host that is off by 2.5 %."""
    rng = np.random.default_rng(5)
    description = random_description(rng, widths=(12, 6, 3), time_steps=2, input_bits=4)
    core = AcceleratorCore(description, [Folding(3, 5), Folding(1, 2)],
                           clock_hz=10_000_000, baud=1_000_000)
    images = random_pixels(rng, description, 5).astype(np.uint8)
    requests = [Frame(Request.HELLO, 1), *(
        Frame(Request.INFER, k, payload)
        for k, payload in enumerate(protocol.pack_images(core.hello, images), 2)),
        Frame(Request.STATUS, 9)]
    divisor = core.transport.divisor
    bit = divisor * (1 + drift)
    levels = deque(line(encode(requests[0]), bit, phase=0.5))
    levels += [1] * 450 * divisor  # the greeting is longer than the queue of this network
    levels += line(b"".join(map(encode, requests[1:])), bit)
    tx, busy = [], []

    async def drive(ctx):
        after = 0
        while levels or after < 12 * divisor:
            ctx.set(core.rx, levels.popleft() if levels else 1)
            tx.append(ctx.get(core.tx))
            busy.append(ctx.get(core.busy))
            after = 0 if busy[-1] else after + 1
            await ctx.tick()

    simulate(core, drive)

    hello, *results, status = frames_of(bytes(read_line(tx, divisor)))
    assert Hello.unpack(hello.payload) == core.hello
    assert core.hello.hash == bytes.fromhex(description.hash)[:16]
    assert core.hello.n_in == 12 and core.hello.input_bits == 4 and core.hello.classes == 3
    assert core.hello.clock_khz == 10_000
    expected = golden.infer(description, images)
    answers = [protocol.unpack_result(core.hello, result.payload) for result in results]
    assert [label for label, _ in answers] == expected.labels.tolist()
    assert [scores for _, scores in answers] == expected.scores.tolist()
    assert Status.unpack(status.payload) == Status(7, 0, 0)
    assert not busy[0] and any(busy) and not busy[-1]
