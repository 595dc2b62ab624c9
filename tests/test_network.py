# amaranth: UnusedElaboratable=no
"""Whole networks in Amaranth's simulator: every spike, membrane, score and label, every cycle."""

from itertools import cycle

import numpy as np
import pytest
from amaranth.hdl import Signal

from qsnn.hw.network import Network
from qsnn.hw.plan.folding import Folding, FoldingError
from qsnn.hw.plan.network import plan
from qsnn.sim.trace import Trace, beats_of, check
from tests.networks import (
    INTEGERS,
    LEAKY,
    integer_network,
    leaky_network,
    random_description,
    random_foldings,
    random_maps,
    random_pixels,
    random_small_maps,
)
from tests.simulation import run

RUSH, GAPS, LONG = (0,), (0, 0, 2, 0, 1), (0, 40, 3, 0, 0, 0, 0, 17)
# widths, time steps, bits of a pixel and of a membrane, (PE, SIMD) of the layers
CORNERS = {
    "one-of-all": ((1, 1, 2), 1, 1, 2, [(1, 1), (1, 1)]),
    "all-at-once": ((5, 4, 3), 8, 8, 8, [(4, 5), (3, 4)]),
    "one-at-a-time": ((4, 3, 3), 2, 3, 3, [(1, 1), (1, 1)]),
    "padded": ((7, 5, 5, 5), 3, 2, 2, [(3, 4), (4, 4), (3, 5)]),
    "slow-neurons": ((3, 9, 2), 8, 1, 4, [(9, 3), (2, 4)]),
    "slow-readout": ((3, 6, 8), 2, 4, 2, [(6, 3), (3, 1)]),
    "slow-buffer": ((6, 8, 3), 4, 2, 5, [(8, 2), (1, 8)]),
    "slow-scores": ((2, 4, 6), 1, 2, 4, [(2, 2), (6, 1)]),
    "25-steps": ((5, 4, 3, 2), 25, 3, 3, [(4, 2), (2, 3), (1, 1)]),
    "one-output": ((4, 3, 1), 2, 2, 2, [(3, 4), (1, 3)]),
    "an-image-a-cycle": ((4, 3, 2), 1, 2, 2, [(3, 4), (1, 3)]),
}
def case(name):
    """(description, foldings, images) of a corner, or random where the name is a number."""
    rng = np.random.default_rng(list(str(name).encode()))
    if name in CORNERS:
        widths, time_steps, input_bits, membrane_bits, pairs = CORNERS[name]
        description = random_description(rng, widths=widths, time_steps=time_steps,
                                         input_bits=input_bits, membrane_bits=membrane_bits)
        foldings = [Folding(*pair) for pair in pairs]
    elif name in LEAKY:
        description, foldings = leaky_network(rng, name)
    elif name in INTEGERS:
        description, foldings = integer_network(rng, name)
    elif str(name).startswith("maps"):
        # none that would take minutes here
        description, foldings = random_small_maps(rng, latency=800)
    elif name == "narrow-input":  # a row every three cycles is the slowest
        description = random_maps(rng, words="c4k2s4", image=(16, 1, 1), time_steps=1,
                                  classes=2)
        foldings = [Folding(4, 1), Folding(2, 8)]
    elif str(name).startswith("narrow"):
        description, foldings = narrow(rng)
    else:
        hidden = rng.integers(1, 9, size=rng.integers(1, 3))  # sim/ has larger ones
        description = random_description(
            rng, widths=(rng.integers(1, 13), *hidden, rng.integers(2, 6)))
        foldings = random_foldings(rng, description)
    return description, foldings, random_pixels(rng, description, 8)


def narrow(rng):
    """Images whose rows are one or two beats, down to a single pixel."""
    while True:
        image = (int(rng.integers(1, 9)), int(rng.integers(1, 3)), int(rng.choice([1, 2, 3, 4])))
        words = str(rng.choice(["c4k1", "c3k3", "c2k3-c3k1", "c3k5-fc4", "c2k2p1", "c3k3-c3k3-r3"]))
        description = random_maps(rng, words=words, image=image, time_steps=2)
        foldings = random_foldings(rng, description)
        planned = plan(description, foldings)
        if planned.stages[0].unit_beats < 3 and planned.latency < 600:
            return description, foldings


class Bench:
    """Drives both streams of a network and records all that it does."""

    def __init__(self, description, foldings, **options):
        self.description = description
        self.dut = Network(description, foldings, **options)
        self.plan = self.dut.plan
        self.rst = Signal()
        self.start()

    def run(self, testbench):
        run(self.dut, testbench, reset=self.rst, cycles=60_000)

    def start(self):
        self.cycles, self.held = 0, None
        self.trace = Trace(len(self.description.hidden))

    async def reset(self, ctx):
        ctx.set(self.rst, 1)
        await ctx.tick()
        ctx.set(self.rst, 0)
        self.start()

    async def cycle(self, ctx, beat, ready):
        """Offer a beat or None; returns whether it was accepted, and whether one came out."""
        i, o, trace = self.dut.i, self.dut.o, self.trace
        ctx.set(i.valid, beat is not None)
        ctx.set(i.payload, beat or 0)
        ctx.set(o.ready, ready)
        accepted = beat is not None and ctx.get(i.ready)
        payload = None
        if ctx.get(o.valid):
            fields = ctx.get(o.payload)
            payload = fields.score, fields.label, fields.last
        assert self.held in (None, payload), "retracted or changed before it was accepted"
        self.held = None if ready else payload
        given = ready and payload is not None

        if accepted:
            trace.beats.append(beat)
            trace.beat_cycles.append(self.cycles)
        if given:
            trace.outputs.append(payload)
            trace.output_cycles.append(self.cycles)
        for index in range(trace.layers):
            neurons = self.dut.layers[index].neurons
            if ctx.get(neurons.spikes_valid):
                trace.spikes[index].append(ctx.get(neurons.spikes.as_value()))
            if ctx.get(neurons.membrane_valid):
                trace.membranes[index].append(ctx.get(neurons.membrane.as_value()))
        await ctx.tick()
        self.cycles += 1
        return accepted, given

    async def stream(self, ctx, pixels, i_gaps=RUSH, o_gaps=RUSH, cycles=None):
        """Images through the network, all of them or those that get far in so many cycles."""
        beats = beats_of(self.plan, pixels)
        sent, received = 0, 0
        i_gaps, o_gaps = cycle(i_gaps), cycle(o_gaps)
        i_gap, o_gap = next(i_gaps), next(o_gaps)
        while received < len(pixels) * self.description.outputs and self.cycles != cycles:
            offer = sent < len(beats) and not i_gap
            accepted, given = await self.cycle(ctx, beats[sent] if offer else None, not o_gap)
            sent, received = sent + accepted, received + given
            i_gap = next(i_gaps) if accepted else max(0, i_gap - 1)
            o_gap = next(o_gaps) if given else max(0, o_gap - 1)

    async def check(self, ctx, pixels, i_gaps=RUSH, o_gaps=RUSH):
        """Images through the idle network; all integers must be golden's, and no beat more."""
        await self.stream(ctx, pixels, i_gaps, o_gaps)
        for _ in range(5):
            await self.cycle(ctx, None, True)
        assert check(self.description, self.plan, self.trace) == len(pixels)


@pytest.mark.parametrize("name", [*CORNERS, *INTEGERS, *LEAKY, *range(8),
                                  *(f"maps{n}" for n in range(8)),
                                   *(f"narrow{n}" for n in range(4))])
def test_equal(name):
    """Golden's integers, whatever the gaps and the backpressure; then the plan's latency."""
    description, foldings, pixels = case(name)
    bench = Bench(description, foldings)

    async def testbench(ctx):
        for gaps in (RUSH, RUSH), (GAPS, RUSH), (RUSH, GAPS), (LONG, LONG):
            await bench.check(ctx, pixels[:4], *gaps)
            bench.start()
        # images pile up: two in each buffer and two in the queue of scores
        await bench.check(ctx, pixels, RUSH, LONG)
        bench.start()
        for image in pixels[:2]:
            await bench.check(ctx, image[None])
            trace = bench.trace
            assert trace.output_cycles[-1] - trace.beat_cycles[0] + 1 == bench.plan.latency
            bench.start()

    bench.run(testbench)


@pytest.mark.parametrize("name", [*CORNERS, *INTEGERS, *LEAKY, *range(8, 16),
                                  *(f"maps{n}" for n in range(20, 28)),
                                   *(f"narrow{n}" for n in range(8)), "narrow-input"])
def test_rate(name):
    """Images back to back come out as fast as the plan says, exactly."""
    description, foldings, pixels = case(name)
    bench = Bench(description, foldings)
    # as many as the plan's average is of: some networks take turns
    maps = bench.plan.stages[0].window is not None
    filling, measured = 3 * len(bench.plan.stages), 12 if maps else 4
    images = np.resize(pixels, (filling + measured, pixels.shape[1]))

    async def testbench(ctx):
        await bench.check(ctx, images)
        ends = bench.trace.output_cycles[description.outputs - 1::description.outputs]
        assert ends[-1] - ends[-1 - measured] == measured * bench.plan.cycles

    bench.run(testbench)


@pytest.mark.parametrize("name", ["padded", "slow-neurons", "slow-readout", 16, "narrow1"])
def test_reset(name):
    """A reset at any moment leaves nothing behind."""
    description, foldings, pixels = case(name)
    bench = Bench(description, foldings)
    moments = np.random.default_rng(0).integers(1, bench.plan.latency + 20, size=9)

    async def testbench(ctx):
        for moment in moments:
            await bench.stream(ctx, pixels, GAPS, LONG, cycles=moment)
            await bench.reset(ctx)
            await bench.check(ctx, pixels[:2])
            bench.start()

    bench.run(testbench)


def test_refused():
    description, _, _ = case("padded")
    with pytest.raises(FoldingError, match="^the network has 3 layers, the folding 2$"):
        Network(description, [Folding(1, 1)] * 2)
