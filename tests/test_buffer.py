import numpy as np
import pytest

from qsnn.hw.core.buffer import ImageBuffer, ImageWriter, RowBuffer
from qsnn.hw.plan.window import Window
from tests.simulation import run

IMAGES = 12


def set_all(ctx, dut, **values):
    for name, value in values.items():
        ctx.set(getattr(dut, name), value)


def order(rng, words):
    """Passes over the words: their addresses. The last pass goes in order."""
    passes = [address for _ in range(rng.integers(3)) for address in rng.permutation(words)]
    return [*map(int, passes), *range(words)]


@pytest.mark.parametrize("write_rate", [1, 0.4])
@pytest.mark.parametrize("read_rate", [1, 0.2])
@pytest.mark.parametrize("words", [1, 2, 3, 5, 8])
def test_buffer(words, read_rate, write_rate):
    """Readers get the words of their image while the next ones are written, as soon as may be."""
    rng = np.random.default_rng(words)
    images = rng.integers(0, 1 << 16, size=(IMAGES, words)).tolist()
    dut = ImageBuffer(words=words, width=16)
    assert dut.latency == 2

    async def writer(ctx):
        for image in images:
            while not ctx.get(dut.room) or rng.random() >= write_rate:
                await ctx.tick()
            ctx.set(dut.take, 1)
            for index, word in enumerate(image):
                while rng.random() >= write_rate:  # what is not written does not matter
                    set_all(ctx, dut, write=0, data=0xdead, done=rng.integers(2).item())
                    await ctx.tick()
                    ctx.set(dut.take, 0)
                set_all(ctx, dut, write=1, data=word, done=index == words - 1)
                await ctx.tick()
                set_all(ctx, dut, take=0, write=0)

    async def reader(ctx):
        asked = [None]  # words that come after this cycle and the next

        async def cycle(word=None, **inputs):
            set_all(ctx, dut, **{"begin": 0, "release": 0} | inputs)
            asked.append(word)
            await ctx.tick()
            due = asked.pop(0)
            assert due is None or ctx.get(dut.word) == due

        begun = False
        for image in images:
            while not begun:
                begun = ctx.get(dut.available) and rng.random() < read_rate
                await cycle(begin=begun)
            addresses = order(rng, words)
            for index, address in enumerate(addresses):
                last_pass = len(addresses) - words
                while index < last_pass and rng.random() >= read_rate:
                    await cycle(address=rng.integers(words).item())
                # an image may begin in the cycle of the last word of the one before
                begun = (index == len(addresses) - 1 and ctx.get(dut.available)
                         and rng.random() < read_rate)
                await cycle(image[address], address=address, begin=begun,
                            release=index == last_pass)
        await cycle()

    async def credits(ctx):
        free, whole = 2, 0
        while True:
            assert ctx.get(dut.room) == (free > 0) and ctx.get(dut.available) == (whole > 0)
            free += ctx.get(dut.release) - ctx.get(dut.take)
            whole += (ctx.get(dut.write) & ctx.get(dut.done)) - ctx.get(dut.begin)
            await ctx.tick()

    run(dut, writer, reader, background=[credits])


def words_of(beats, *, width, lanes, ratio, elements):
    """Words of an image from its beats, element by element."""
    bits = [beat >> (lane * width) & (1 << width) - 1 for beat in beats for lane in range(lanes)]
    bits = bits[:elements]
    bits += [0] * (-len(bits) % (lanes * ratio))
    rows = np.array(bits, dtype=object).reshape(-1, lanes * ratio)
    return [sum(value << (index * width) for index, value in enumerate(row)) for row in rows]


@pytest.mark.parametrize("reserved", [False, True], ids=["ready", "reserved"])
@pytest.mark.parametrize("elements, width, lanes, ratio", [
    (1, 1, 1, 1), (8, 3, 2, 1), (7, 3, 3, 1), (5, 8, 4, 1), (4, 1, 1, 4), (6, 2, 1, 4),
    (12, 4, 2, 3), (10, 1, 2, 3), (3, 5, 1, 4), (2, 8, 3, 2), (7, 2, 2, 2)])
@pytest.mark.parametrize("pixels", [1, 3])
def test_writer(elements, width, lanes, ratio, reserved, pixels):
    """Beats become words, padding becomes zeros; credits are asked for once a row of pixels.

    Where nothing is reserved, words come a cycle later, and readiness is a register: it looks at
    the room behind a row's last beat, and again while there was none.
    """
    if ratio > 1 and not reserved:
        ratio = 1  # the first layer takes whole words
    rng = np.random.default_rng(elements)
    dut = ImageWriter(elements=elements, width=width, lanes=lanes, ratio=ratio, reserved=reserved,
                      pixels=pixels)
    beats = -(-elements // lanes)
    assert dut.beats == beats
    # ones beyond the elements: they must not come through
    rows = [[[int(word) | 1 << (width * lanes - 1)
              for word in rng.integers(0, 1 << width * lanes, size=beats)]
             for _ in range(pixels)] for _ in range(IMAGES)]
    written = []

    async def testbench(ctx):
        ready, first = False, True
        for index, beat, last, end in [
                (index, beat, index == beats - 1, index == beats - 1 and pixel == pixels - 1)
                for row in rows for pixel, image in enumerate(row)
                for index, beat in enumerate(image)]:
            transfer = False
            while not transfer:
                room, valid = (int(rng.integers(2)) for _ in range(2))
                ctx.set(dut.room, room)
                if beats * pixels == 1:
                    ready = room
                if not reserved:
                    assert ctx.get(dut.i.ready) == ready
                ctx.set(dut.i.payload, beat if valid else int(rng.integers(1 << width)))
                ctx.set(dut.i.valid, valid)
                transfer = valid and (ready or reserved)
                assert ctx.get(dut.take) == (not reserved and first and transfer)
                write = transfer and (last or index % ratio == ratio - 1)
                if reserved:
                    assert ctx.get(dut.write) == write
                if write and reserved:
                    written.append(ctx.get(dut.data))
                    assert ctx.get(dut.done) == end
                await ctx.tick()
                if not reserved:
                    assert ctx.get(dut.write) == write
                    if write:
                        written.append(ctx.get(dut.data))
                        assert ctx.get(dut.done) == end
                if first and not ready or transfer and end:
                    ready = room
            first = end

    run(dut, testbench)
    shape = dict(width=width, lanes=lanes, ratio=ratio, elements=elements)
    assert written == [word for row in rows for image in row for word in words_of(image, **shape)]


@pytest.mark.parametrize("ports", [1, 3])
@pytest.mark.parametrize("rates", [(1, 1), (0.3, 1), (1, 0.3)])
@pytest.mark.parametrize("shape", [
    dict(height=5, width=3, kernel=3, stride=1, padding=1, out_height=5, out_width=3),
    dict(height=6, width=2, kernel=2, stride=2, padding=0, out_height=3, out_width=1),
    dict(height=7, width=2, kernel=1, stride=3, padding=0, out_height=3, out_width=1),
    dict(height=8, width=3, kernel=3, stride=1, padding=1, out_height=8, out_width=2, pool_size=2)])
def test_rows(shape, rates, ports):
    """Each unit reads what it needs, whatever the writer does by then; blank words are 0."""
    rng = np.random.default_rng(ports)
    for name in {"kernel", "stride", "padding", "pool_size"} & shape.keys():
        shape = shape | {name: (shape[name],) * 2}
    window = Window(**{"channels": 1, "chunks": 2, "pool": "none", "pool_size": (1, 1)} | shape)
    images, words = 4, window.width * window.chunks
    rows = rng.integers(1, 1 << 16, size=(images * window.height, words)).tolist()
    dut = RowBuffer(window=window, rows=window.rows, width=16, ports=ports)
    written = [0]

    async def writer(ctx):
        for row in rows:
            while not ctx.get(dut.room) or rng.random() >= rates[0]:
                await ctx.tick()
            for index, word in enumerate(row):
                set_all(ctx, dut, take=index == 0, write=1, data=word, done=index == words - 1)
                await ctx.tick()
                set_all(ctx, dut, take=0, write=0)
            written[0] += 1
            await ctx.tick()

    async def reader(ctx):
        asked = [None]

        async def cycle(places=None, **inputs):
            set_all(ctx, dut, **{"begin": 0, "release": 0} | inputs)
            due = None
            if places is not None:
                blanks = rng.integers(0, 2, size=ports)
                ctx.set(dut.address, [place % dut.depth for place in places])
                ctx.set(dut.blank, sum(int(blank) << port for port, blank in enumerate(blanks)))
                due = [0 if blank else rows[place // words][place % words]
                       for place, blank in zip(places, blanks, strict=True)]
            asked.append(due)
            await ctx.tick()
            due = asked.pop(0)
            if due is not None:
                word = ctx.get(dut.word)
                assert [word >> 16 * port & 0xffff for port in range(ports)] == due

        for image in range(images):
            for first, last in zip((0, *window.freed), window.needed, strict=False):
                start, end = ((image * window.height + row) * words for row in (first, last))
                while not ctx.get(dut.available) or rng.random() >= rates[1]:
                    await cycle()
                await cycle(begin=1)
                for index in range(12):
                    places = [int(rng.integers(start, end)) for _ in range(ports)] \
                        if end > start else None
                    await cycle(places, release=index == 11)
        for _ in range(2):
            await cycle()

    run(dut, reader, background=[writer])
    assert written[0] == len(rows)
