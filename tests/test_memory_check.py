# amaranth: UnusedElaboratable=no
"""No word of an image that is not whole goes through, and every word of one that is."""

import random
from zlib import crc32

import pytest
from amaranth.hdl import Assert, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from qsnn.hw.memory.check import HEADER, ImageCheck, seal
from qsnn.hw.memory.sdram import COUNT_BITS
from tests.simulation import run

MAGIC, VERSION, MOST = 0x51534E4E, 7, 40
EMPTY = 0xFFFFFFFF  # what an erased flash gives


def draw(seed, count=9):
    rng = random.Random(seed)
    return seal([rng.getrandbits(32) for _ in range(count)], magic=MAGIC, version=VERSION)


class Source(wiring.Component):
    """A source as those of hw/memory are, over a memory that the test writes."""

    length: In(COUNT_BITS)
    go: In(1)
    o: Out(stream.Signature(32))
    gap: In(1)

    def __init__(self):
        super().__init__()
        self.memory = Memory(shape=32, depth=64, init=[])

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        port, at = self.memory.read_port(domain="comb"), Signal(COUNT_BITS)
        m.d.comb += [port.addr.eq(at), self.o.payload.eq(port.data),
                     self.o.valid.eq(self.go & ~self.gap)]
        length, going = Signal(COUNT_BITS), Signal()
        m.d.sync += [length.eq(self.length), going.eq(self.go)]
        m.d.sync += Assert(~going | ~self.go | (length == self.length), "the length rests")
        with m.If(~self.go):
            m.d.sync += at.eq(0)
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(at == self.length - 1):
                m.d.sync += at.eq(0)
        return m


class Bench(wiring.Component):
    """A source and a check whose CRC takes so many bits a cycle."""

    present: In(1)
    go: In(1)
    gap: In(1)
    o: Out(stream.Signature(32))
    checked: Out(1)
    good: Out(1)
    bad: Out(1)

    def __init__(self, bits):
        super().__init__()
        self.bits = bits

    def elaborate(self, platform):
        m = Module()
        m.submodules.source = self.source = source = Source()
        m.submodules.check = self.check = check = ImageCheck(magic=MAGIC, version=VERSION,
                                                             most=MOST, bits=self.bits)
        wiring.connect(m, source.o, check.i)
        wiring.connect(m, check.o, wiring.flipped(self.o))
        m.d.comb += [source.length.eq(check.length), source.go.eq(check.read),
                     source.gap.eq(self.gap), check.present.eq(self.present),
                     check.go.eq(self.go), self.checked.eq(check.checked),
                     self.good.eq(check.good), self.bad.eq(check.bad)]
        return m


def judge(images, seed=None, take=0, bits=32):
    """(good, words that come) of each image; ``seed``: gaps of the source and stalls."""
    dut, found, chance = Bench(bits), [], random.Random(seed)

    async def testbench(ctx):
        for image in images:
            for index, word in enumerate((image + 64 * [EMPTY])[:64]):
                ctx.set(dut.source.memory.data[index], word)
            words = []
            ctx.set(dut.present, 1)
            ctx.set(dut.go, 1)
            for _ in range(4000):
                ctx.set(dut.gap, seed is not None and chance.random() < 0.4)
                ctx.set(dut.o.ready, seed is None or chance.random() < 0.6)
                assert ctx.get(dut.checked) == ctx.get(dut.good) + ctx.get(dut.bad)
                if ctx.get(dut.o.valid):
                    assert ctx.get(dut.good)
                    if ctx.get(dut.o.ready):
                        words.append(ctx.get(dut.o.payload))
                done = ctx.get(dut.bad) or ctx.get(dut.good) and len(words) >= take
                await ctx.tick()
                if done:
                    break
            if ctx.get(dut.good):
                assert ctx.get(dut.check.crc) == image[image[2] - 1]
            found.append((ctx.get(dut.good), words))
            ctx.set(dut.present, 0)
            await ctx.tick()
            assert not ctx.get(dut.checked) and not ctx.get(dut.o.valid)

    run(dut, testbench, cycles=200_000)
    return found


@pytest.mark.parametrize("seed, bits", [(None, 32), (1, 32), (2, 32), (None, 4), (3, 8), (4, 16)])
def test_good(seed, bits):
    """All words but the CRC, again and again; lengths from the shortest to the longest."""
    images = [draw(count, count) for count in (0, 1, 2, 9, MOST - HEADER - 1)]
    for image, (good, words) in zip(images, judge(images, seed, take=100, bits=bits), strict=True):
        passes = 1 + 100 // (len(image) - 1)
        assert good and words[:100] == (passes * image[:-1])[:100]


@pytest.mark.parametrize("bits", [32, 8])
def test_every_flipped_bit(bits):
    image = draw(3)
    flipped = []
    for bit in range(32 * len(image)):
        flipped.append(list(image))
        flipped[-1][bit // 32] ^= 1 << bit % 32
    assert judge(flipped, bits=bits) == [(0, [])] * 32 * len(image)


def test_power_cut_while_loading():
    """One image takes another's place, from the first word on: the old one, none, the new one.

    Word by word over the old one, and over erased words.
    """
    for old_count, new_count in ((9, 9), (9, 12), (12, 9)):
        old, new = draw(4, old_count), draw(5, new_count)
        for behind in (old, [EMPTY] * len(old)):
            cut = [new[:index] + behind[index:] for index in range(len(new) + 1)]
            expected = [image[:len(new)] == new or image == old for image in cut]
            assert not any(expected[HEADER + 1:-1]) and expected[-1]
            assert [good for good, _ in judge(cut)] == expected


@pytest.mark.parametrize("index, word", [
    (0, MAGIC ^ 1 << 31), (1, VERSION + 1), (2, 0), (2, 3), (2, MOST + 1), (2, 1 << 24 | 13),
    (2, EMPTY), (2, 12), (2, 14)])
def test_header(index, word):
    """Refused from the header alone, whatever the CRC says."""
    image = draw(6)
    image[index] = word
    image[-1] = crc32(b"".join(part.to_bytes(4, "little") for part in image[:-1]))
    assert judge([image]) == [(0, [])]


def test_empty():
    assert judge([[EMPTY] * 64, [0] * 64]) == [(0, [])] * 2


def test_restart():
    """A new image, and the consumer that ends in the middle."""
    first, second = draw(7), draw(8, 3)
    assert [words[:5] for _, words in judge([first, second, first], take=5)] == [
        first[:5], second[:5], first[:5]]


@pytest.mark.parametrize("kwargs, message", [
    (dict(magic=1 << 32), "^the magic number is a word of 32 bits, not 4294967296$"),
    (dict(version=-1), "^the version is a word of 32 bits, not -1$"),
    (dict(bits=7), "^the CRC takes 4, 8, 16 or 32 bits a cycle, not 7$"),
    (dict(most=3), "^the longest image has 4 to 16777215 words, not 3$"),
])
def test_wrong(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ImageCheck(**(dict(magic=MAGIC, version=VERSION, most=MOST) | kwargs))
