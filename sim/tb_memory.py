"""Testbench of an SDRAM with a check in front: images that are whole, and others."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from qsnn.hw.memory.check import seal

MAGIC, VERSION = 0x51534E4E, 1


async def begin(dut):
    for name in ("present", "go", "rewind", "data_valid", "word_ready"):
        dut[name].value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0


async def load(dut, words):
    """Write an image over the last one, and say that it is there; whether it is good."""
    dut.present.value = 0
    dut.go.value = 0
    await ClockCycles(dut.clk, 200)  # what was read closes
    dut.rewind.value = 1
    await RisingEdge(dut.clk)
    dut.rewind.value = 0
    for word in words:
        dut.data.value = word
        dut.data_valid.value = 1
        await RisingEdge(dut.clk)
        while not dut.data_ready.value:
            await RisingEdge(dut.clk)
    dut.data_valid.value = 0
    dut.present.value = 1
    dut.go.value = 1
    while not (dut.good.value or dut.bad.value):
        await RisingEdge(dut.clk)
        assert not dut.word_valid.value or dut.good.value
    assert dut.good.value != dut.bad.value
    return bool(dut.good.value)


async def take(dut, count, chance):
    words = []
    while len(words) < count:
        dut.word_ready.value = chance.random() < 0.7
        await RisingEdge(dut.clk)
        if dut.word_ready.value and dut.word_valid.value:
            words.append(int(dut.word.value))
    dut.word_ready.value = 0
    return words


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def images(dut):
    """Whole images come again and again; of the others no word comes, and the next one is whole."""
    chance = random.Random(1)
    await begin(dut)
    for count in (300, 0, 700):
        image = seal([chance.getrandbits(32) for _ in range(count)], magic=MAGIC, version=VERSION)
        broken = list(image)
        broken[chance.randrange(len(image))] ^= 1 << chance.randrange(32)
        assert not await load(dut, broken)
        await ClockCycles(dut.clk, 100)
        assert not dut.word_valid.value
        # power was cut: the end of the image that was there before
        assert not await load(dut, image[:-1] + [0])
        assert await load(dut, image)
        words = await take(dut, 1000, chance)
        assert words == (1000 * image[:-1])[:1000] if count == 0 else \
            (4 * image[:-1])[:1000]
