"""Testbench of a network's Verilog: every spike, membrane, score and label against golden.

:mod:`qsnn.sim.runner` puts the network, its folding and the images into the working directory.
"""

import json
import random
from itertools import cycle
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, gather

from qsnn.hw.plan.folding import Folding
from qsnn.hw.plan.network import plan
from qsnn.model.description import load
from qsnn.sim.streams import Stream
from qsnn.sim.trace import Trace, beats_of, check

DESCRIPTION = load(Path("net.qsnn"))
with np.load("net.npz") as archive:
    PIXELS = archive["pixels"]
    PLAN = plan(DESCRIPTION, [Folding(pe, simd, bool(spram), pixels)
                              for pe, simd, spram, pixels in archive["foldings"].tolist()])
PORTS = json.loads(Path("net.json").read_text())["ports"]
FIELDS = PORTS["o_payload"]["fields"]
LOAD = [name for name, port in PORTS.items()
        if name.startswith("load_") and port["direction"] == "input"]
CLASSES = DESCRIPTION.outputs
RUSH, GAPS, LONG = (0,), (0, 0, 2, 0, 1), (0, 40, 3, 0, 0, 0, 0, 17)

# ns that a test may take: its images one after the other, all their beats with the longest gaps
LIMIT = 10 * (3 * len(PLAN.stages) + 20) * (
    10 * (len(beats_of(PLAN, PIXELS[:1])) + CLASSES) + PLAN.latency)


class Testbench:
    """A network with its streams, and a monitor that sees everything between them."""

    __test__ = False

    def __init__(self, dut):
        self.dut = dut
        self.i, self.o = Stream(dut, "i"), Stream(dut, "o")
        self.neurons = [dut[f"layer{index}"]["neurons"] for index in range(len(DESCRIPTION.hidden))]
        self.trace = None

    async def start(self):
        """Clock, reset, monitors."""
        self.dut.i_valid.value = 0
        self.dut.i_payload.value = 0
        self.dut.o_ready.value = 0
        for name in LOAD:
            self.dut[name].value = 0
        self.dut.rst.value = 1
        Clock(self.dut.clk, 10, unit="ns").start(start_high=False)
        await ClockCycles(self.dut.clk, 3)
        cocotb.start_soon(self.monitor())
        cocotb.start_soon(self.o.check(self.dut.rst))
        await self.reset()

    async def reset(self):
        """One cycle of reset: what was under way is gone."""
        self.dut.i_valid.value = 0
        self.dut.o_ready.value = 0
        self.dut.rst.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def monitor(self):
        """Record what every wire of interest carries; a reset starts a new trace."""
        cycles = 0
        while True:
            await RisingEdge(self.dut.clk)
            cycles += 1
            if self.dut.rst.value:
                self.trace = Trace(len(self.neurons))
                continue
            if self.i.valid.value and self.i.ready.value:
                self.trace.beats.append(int(self.i.payload.value))
                self.trace.beat_cycles.append(cycles)
            if self.o.valid.value and self.o.ready.value:
                self.trace.outputs.append(output(int(self.o.payload.value)))
                self.trace.output_cycles.append(cycles)
            for index, neurons in enumerate(self.neurons):
                if neurons.spikes_valid.value:
                    self.trace.spikes[index].append(int(neurons.spikes.value))
                if neurons.membrane_valid.value:
                    self.trace.membranes[index].append(int(neurons.membrane.value))

    async def run(self, pixels, i_gaps=RUSH, o_gaps=RUSH):
        """Stream images through, then compare."""
        await gather(self.i.put(beats_of(PLAN, pixels), cycle(i_gaps)),
                     self.o.get(len(pixels) * CLASSES, cycle(o_gaps)))
        self.o.ready.value = 1
        await ClockCycles(self.dut.clk, 3)
        assert len(self.trace.outputs) == len(pixels) * CLASSES, "a beat too many"
        assert check(DESCRIPTION, PLAN, self.trace) == len(pixels)


def output(word):
    """(score, label, last) of a word of the output."""
    values = []
    for name in ("score", "label", "last"):
        field = FIELDS[name]
        value = word >> field["offset"] & (1 << field["width"]) - 1
        if field["signed"] and value >> field["width"] - 1:
            value -= 1 << field["width"]
        values.append(value)
    return tuple(values)


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
@cocotb.parametrize(
    i_gaps=[cocotb.Param(RUSH, "rush"), cocotb.Param(GAPS, "gaps"), cocotb.Param(LONG, "long")],
    o_gaps=[cocotb.Param(RUSH, "rush"), cocotb.Param(GAPS, "stalls"), cocotb.Param(LONG, "long")],
)
async def equal(dut, i_gaps, o_gaps):
    """All integers are golden's, whatever the gaps and the backpressure."""
    testbench = Testbench(dut)
    await testbench.start()
    await testbench.run(PIXELS, i_gaps, o_gaps)


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def latency(dut):
    """An image through an idle network takes the cycles that the plan says, again and again."""
    testbench = Testbench(dut)
    await testbench.start()
    for index in range(2):
        await testbench.run(PIXELS[index:index + 1])
        trace = testbench.trace
        assert trace.output_cycles[-1] - trace.beat_cycles[0] + 1 == PLAN.latency
        await testbench.reset()
        await RisingEdge(dut.clk)


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def rate(dut):
    """Back-to-back images come out at the rate that the plan says."""
    testbench = Testbench(dut)
    await testbench.start()
    filling, measured = 3 * len(PLAN.stages), 4
    images = np.resize(PIXELS, (filling + measured, PIXELS.shape[1]))
    await testbench.run(images)
    ends = testbench.trace.output_cycles[CLASSES - 1::CLASSES]
    assert ends[-1] - ends[-1 - measured] == measured * PLAN.cycles


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def reset(dut):
    """A reset at any moment of an image or between images leaves nothing behind."""
    testbench = Testbench(dut)
    await testbench.start()
    moments = random.Random(0)
    for _ in range(4):
        sides = [cocotb.start_soon(testbench.i.put(beats_of(PLAN, PIXELS), cycle(GAPS))),
                 cocotb.start_soon(testbench.o.get(len(PIXELS) * CLASSES, cycle(LONG)))]
        await ClockCycles(dut.clk, moments.randrange(1, PLAN.latency + 2 * CLASSES))
        for side in sides:
            side.cancel()
        await testbench.reset()
        await testbench.run(PIXELS[:2])
        await testbench.reset()
