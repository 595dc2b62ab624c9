"""Testbench of a network's Verilog: every spike, membrane, score and label against golden."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, gather

from hw.folding import Folding, plan
from model import golden
from model.description import load
from sim.streams import Stream

DESCRIPTION = load(Path("net.qsnn"))
with np.load("net.npz") as archive:
    PIXELS = archive["pixels"]
    PLAN = plan(DESCRIPTION, [Folding(int(pe), int(simd)) for pe, simd in archive["foldings"]])
EXPECTED = golden.infer(DESCRIPTION, PIXELS, trace=True)


def beats(pixels):
    """Payloads of the input stream, with rubbish where it carries nothing."""
    stage = PLAN.stages[0]
    padded = np.full((len(pixels), stage.words * stage.simd), (1 << stage.bits) - 1, dtype=object)
    padded[:, :pixels.shape[1]] = pixels.astype(object)
    weights = [1 << (index * stage.bits) for index in range(stage.simd)]
    return (padded.reshape(-1, stage.simd) @ np.array(weights, dtype=object)).tolist()


async def reset(dut):
    dut.i__valid.value = 0
    dut.o__ready.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start(start_high=False)
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def spikes(dut):
    """Every spike and membrane."""
    await reset(dut)
    found = [[] for _ in DESCRIPTION.hidden]
    membranes = [[] for _ in DESCRIPTION.hidden]

    async def monitor(index):
        neurons = dut[f"layer{index}"]["neurons"]
        while True:
            await RisingEdge(dut.clk)
            if neurons["spikes_valid"].value:
                found[index].append(int(neurons["spikes"].value))
            if neurons["membrane_valid"].value:
                membranes[index].append(int(neurons["membrane"].value))

    for index in range(len(found)):
        cocotb.start_soon(monitor(index))
    i, o = Stream(dut, "i"), Stream(dut, "o")
    cocotb.start_soon(o.check())
    _, payloads = await gather(i.put(beats(PIXELS)), o.get(len(PIXELS) * DESCRIPTION.classes))
    assert len(payloads) == len(PIXELS) * DESCRIPTION.classes
    for index, layer in enumerate(DESCRIPTION.hidden):
        stage = PLAN.stages[index]
        steps, bits = DESCRIPTION.time_steps, layer.membrane_bits
        got = np.array([word >> at & 1 for word in found[index]
                        for at in range(stage.lanes * steps)])
        got = got.reshape(len(PIXELS), stage.neurons, steps)[:, :stage.n_out].transpose(0, 2, 1)
        np.testing.assert_array_equal(got, EXPECTED.spikes[index])
        got = np.array([(word >> (lane * bits)) & ((1 << bits) - 1) for word in membranes[index]
                        for lane in range(stage.lanes)])
        got -= (got > layer.q_range[1]) << bits
        got = got.reshape(len(PIXELS), -1, steps, stage.lanes).transpose(0, 2, 1, 3)
        got = got.reshape(len(PIXELS), steps, -1)[:, :, :stage.n_out]
        np.testing.assert_array_equal(got, EXPECTED.membranes[index])
