# amaranth: UnusedElaboratable=no
"""New weights over the port of a network, byte by byte; weights in single-port RAM."""

import dataclasses

import numpy as np
import pytest

from qsnn.hw.core.rom import LoadPort, word_bytes
from qsnn.hw.plan.folding import Folding, FoldingError
from qsnn.hw.plan.images import unpack_weights
from qsnn.hw.plan.network import plan
from qsnn.model.description import Description
from qsnn.sim.trace import check
from tests.networks import random_description, random_foldings, random_maps, random_pixels
from tests.simulation import run
from tests.test_network import Bench


def retrained(rng, description):
    """Other integers of the same shape."""
    layers = []
    for layer in description.layers:
        weights = rng.choice(np.array([-1, 1], np.int8), size=layer.weights.shape)
        change = {"bias": layer.bias[::-1].copy()}
        if layer.kind != "readout":
            change["threshold"] = layer.threshold[::-1].copy()
        layers.append(dataclasses.replace(layer, weights=weights, **change))
    return Description(time_steps=description.time_steps, layers=layers)


async def load(ctx, port, network, tables):
    """Write all memories of a network."""
    for select, (layer, name, width, depth) in enumerate(network.memories):
        words = tables[layer][name][1]
        ctx.set(port.select, select)
        for at in range(depth):
            ctx.set(port.at, at)
            for column in range(word_bytes(width)):
                ctx.set(port.column, column)
                ctx.set(port.data, words[at] >> 8 * column & 255)
                ctx.set(port.write, 1)
                await ctx.tick()
    ctx.set(port.write, 0)


async def read(ctx, port, network):
    """All bytes of all memories."""
    found = []
    ctx.set(port.hold, 1)
    for select, (_, _, width, depth) in enumerate(network.memories):
        ctx.set(port.select, select)
        for at in range(depth):
            word = 0
            ctx.set(port.at, at)
            for column in range(word_bytes(width)):
                ctx.set(port.column, column)
                await ctx.tick().repeat(LoadPort.latency)
                word |= ctx.get(port.byte) << 8 * column
            found.append(word)
    ctx.set(port.hold, 0)
    return found


@pytest.mark.parametrize("spram", [None, 0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_retrained(seed, spram):
    """What was one network gives every integer of another one, and all memories read back."""
    rng = np.random.default_rng(seed)
    description = random_description(rng, widths=(12, 9, 7, 4))
    foldings = {
        None: random_foldings(rng, description),
        0: [Folding(9, 12, spram=True), Folding(4, 3), Folding(2, 4)],  # more than 64 bits a word
        1: [Folding(5, 7), Folding(4, 5, spram=True), Folding(3, 2)],
    }[spram]
    other = retrained(rng, description)
    tables = plan(other, foldings).tables
    bench = Bench(description, foldings, loadable=True)
    pixels = random_pixels(rng, description, 5)

    async def testbench(ctx):
        await bench.stream(ctx, pixels)
        assert check(description, bench.plan, bench.trace) == len(pixels)
        port = bench.dut.load
        await load(ctx, port, bench.dut, tables)
        assert await read(ctx, port, bench.dut) == [
            word for layer, name, *_ in bench.dut.memories for word in tables[layer][name][1]]
        await bench.reset(ctx)
        await bench.stream(ctx, pixels)
        assert check(other, bench.plan, bench.trace) == len(pixels)

    run(bench.dut, testbench, reset=bench.rst)


@pytest.mark.parametrize("seed", range(2))
def test_retrained_maps(seed):
    rng = np.random.default_rng(seed)
    description = random_maps(rng, words="c3k3w2-p2-c4k3-c4k3+0", image=(6, 6, 1), time_steps=2)
    foldings = [Folding(3, 1, pixels=2), Folding(2, 3), Folding(4, 2, pixels=3), Folding(1, 4)]
    other = retrained(rng, description)
    tables = plan(other, foldings).tables
    bench = Bench(description, foldings, loadable=True)
    pixels = random_pixels(rng, description, 4)

    async def testbench(ctx):
        await load(ctx, bench.dut.load, bench.dut, tables)
        await bench.stream(ctx, pixels)
        assert check(other, bench.plan, bench.trace) == len(pixels)

    run(bench.dut, testbench, reset=bench.rst)


def test_split_words():
    """Single-port RAM takes 64 bits of a word, block RAM the others."""
    description = random_description(np.random.default_rng(0), widths=(12, 9, 4))
    planned = plan(description, [Folding(9, 12, spram=True), Folding(2, 3)])
    table = planned.tables[0]
    assert [(name, width) for name, (width, _) in table.items()][:2] == [
        ("weights", 64), ("weights_upper", 44)]
    words = [low | high << 64 for low, high in zip(
        table["weights"][1], table["weights_upper"][1], strict=True)]
    np.testing.assert_array_equal(unpack_weights(words, planned.stages[0], 12),
                                  description.layers[0].weights)


@pytest.mark.parametrize("foldings, sentence", [
    ([Folding(2, 1, spram=True), Folding(1, 1, spram=True)],
     "layer 1: only one layer can have its weights in single-port RAM"),
    ([Folding(1, 1, spram=1), Folding(1, 1)], "layer 0: spram must be true or false, not 1"),
    ([Folding(1, 1, spram=True), Folding(1, 1)], "layer 0: single-port RAM holds 16384 words, the "
     "weights have 18000"),
])
def test_refused(foldings, sentence):
    description = random_description(np.random.default_rng(0), widths=(1500, 12, 4))
    with pytest.raises(FoldingError) as caught:
        plan(description, foldings)
    assert str(caught.value) == sentence
