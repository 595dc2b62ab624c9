# amaranth: UnusedElaboratable=no
"""WRITE and CRC: a host puts other weights into a running network, byte by byte."""

import zlib
from itertools import pairwise

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring

from qsnn.hw.core.rom import word_bytes
from qsnn.hw.link import protocol
from qsnn.hw.link.host import HostLink, inbox_depth
from qsnn.hw.link.protocol import REPLY, Code, Frame, Hello, Request, Splitter, encode
from qsnn.hw.network import Network
from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.line import CHECK
from qsnn.hw.plan.network import plan
from qsnn.model import golden
from tests.networks import random_description, random_pixels
from tests.simulation import run
from tests.test_load import retrained

SPACING = CHECK + 1
FOLDINGS = [Folding(4, 20, spram=True), Folding(2, 3)]  # 80 bits a word: in two memories


class Device:
    """A link with a network, without a line."""

    def __init__(self, description):
        self.network = network = Network(description, FOLDINGS, loadable=True)
        stage = network.plan.stages[0]
        sizes = [memory[2:] for memory in network.memories]
        self.hello = Hello(
            input_bits=stage.bits, score_bytes=-(-len(network.o.p.score) // 8), window=1,
            classes=description.outputs, pixels=stage.simd, beats=stage.words,
            n_in=description.n_in, memories=len(sizes), clock_khz=1000, hash=bytes(16),
            word_bytes=max(word_bytes(width) for width, _ in sizes))
        depth = inbox_depth(self.hello, latency=network.plan.latency, byte_cycles=SPACING)
        self.link = HostLink(self.hello, network.o.signature, depth=depth, sizes=sizes)

    def ask(self, frames):
        """The replies to frames, each sent when the one before it is answered."""
        m = Module()
        m.submodules.network, m.submodules.link = network, link = self.network, self.link
        wiring.connect(m, link.image, network.i)
        wiring.connect(m, network.o, link.result)
        wiring.connect(m, link.load, network.load)
        answer = []

        async def send(ctx):
            for frame in frames:
                for byte in encode(frame):
                    ctx.set(link.i.payload.data, byte)
                    ctx.set(link.i.valid, 1)
                    await ctx.tick()
                    ctx.set(link.i.valid, 0)
                    await ctx.tick().repeat(SPACING - 1)
                while ctx.get(link.busy):
                    await ctx.tick()

        async def receive(ctx):
            ctx.set(link.o.ready, 1)
            async for _, _, valid, byte in ctx.tick().sample(link.o.valid, link.o.payload):
                if valid:
                    answer.append(byte)

        run(m, send, background=[receive], cycles=60_000)
        return Splitter(1000).feed(bytes(answer))


def requests(hello, tables):
    """WRITE of every word of every memory, then the CRC of each."""
    memories = [memory for table in tables for memory in table.values()]
    writes = [bytes([index]) + at.to_bytes(2, "little") + word.to_bytes(hello.word_bytes, "little")
              for index, (_, words) in enumerate(memories) for at, word in enumerate(words)]
    return ([Frame(Request.WRITE, k % 256, payload) for k, payload in enumerate(writes)]
            + [Frame(Request.CRC, 7, bytes([index])) for index in range(len(memories))]), [
                zlib.crc32(protocol.memory_bytes(*memory)) for memory in memories]


def test_other_weights():
    rng = np.random.default_rng(1)
    description = random_description(rng, widths=(20, 7, 3), time_steps=2, input_bits=2)
    other = retrained(rng, description)
    images = random_pixels(rng, description, 4).astype(np.uint8)
    device = Device(description)
    infer = [Frame(Request.INFER, 1, payload)
             for payload in protocol.pack_images(device.hello, images)]
    writes, crcs = requests(device.hello, plan(other, FOLDINGS).tables)
    old, old_crcs = requests(device.hello, device.network.plan.tables)
    count = len(crcs)
    assert old_crcs != crcs and device.hello.memories == count
    none = Frame(Request.CRC, 3, bytes([count]))
    short = Frame(Request.WRITE, 3, writes[0].payload[:-1])
    replies = device.ask([*old[-count:], *infer, *writes, none, short, *infer])

    before, results = replies[:count], replies[count:count + len(images)]
    written = replies[count + len(images):-len(images) - 2]
    assert [int.from_bytes(reply.payload, "little") for reply in before] == old_crcs
    check(device.hello, results, description, images)
    assert [(reply.type, reply.sequence) for reply in written] == [
        (frame.type + REPLY, frame.sequence) for frame in writes]
    assert {reply.payload for reply in written[:-count]} == {b"\0"}
    assert [int.from_bytes(reply.payload, "little") for reply in written[-count:]] == crcs
    assert [reply.payload for reply in replies[-len(images) - 2:-len(images)]] == [
        bytes([Code.NO_MEMORY]), bytes([Code.WRONG_LENGTH])]
    check(device.hello, replies[-len(images):], other, images)


def check(hello, results, description, images):
    expected = golden.infer(description, images)
    found = [protocol.unpack_result(hello, result.payload) for result in results]
    assert [label for label, _ in found] == expected.labels.tolist()
    assert [scores for _, scores in found] == expected.scores.tolist()


def test_networks_differ():
    """What test_other_weights tells apart."""
    rng = np.random.default_rng(1)
    description = random_description(rng, widths=(20, 7, 3), time_steps=2, input_bits=2)
    other = retrained(rng, description)
    images = random_pixels(rng, description, 4)
    scores = [golden.infer(network, images).scores.tolist() for network in (description, other)]
    assert all(a != b for a, b in pairwise(scores))
