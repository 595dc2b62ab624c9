"""Testbench of the Verilog of a network for streams: every spike, membrane, score and label.

:mod:`qsnn.sim.runner` puts the network and the steps into the working directory.
"""

import json
from itertools import cycle
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, gather

from qsnn.hw.emit.build import foldings_of
from qsnn.hw.plan.network import plan
from qsnn.model import streams
from qsnn.model.description import load
from qsnn.sim.beats import pack_steps
from qsnn.sim.streams import Stream
from qsnn.sim.trace import in_order

DESCRIPTION = load(Path("net.qsnn"))
FACTS = json.loads(Path("net.json").read_text())
with np.load("net.npz") as archive:
    X, EMIT, CLEAR = archive["x"], archive["emit"], archive["clear"]
STAGES = plan(DESCRIPTION, foldings_of(FACTS)).stages
CLASSES = DESCRIPTION.outputs
RUSH, GAPS = (0,), (0, 0, 2, 0, 1, 9)

# ns that the test may take: twice all steps, each through all layers and with gaps at its beats
LIMIT = 10 * 3 * len(X) * (len(FACTS["layers"]) * FACTS["cycles_per_step"] + 4 * (
    FACTS["ports"]["i_payload"]["words_per_step"] + CLASSES))


def payloads():
    """The beats of all steps, as numbers."""
    beats, _ = pack_steps(FACTS, X, EMIT, CLEAR)
    size = -(-FACTS["ports"]["i_payload"]["width"] // 32) * 4
    return [int.from_bytes(beats[start:start + size], "little")
            for start in range(0, len(beats), size)]


def field(word, name):
    entry = FACTS["ports"]["o_payload"]["fields"][name]
    value = word >> entry["offset"] & (1 << entry["width"]) - 1
    negative = entry["signed"] and value >> entry["width"] - 1
    return value - (negative << entry["width"])


class Monitor:
    """Spikes and membranes of all layers since the last reset, [beat] of lanes side by side."""

    def __init__(self, dut):
        self.dut = dut
        self.neurons = [dut[f"layer{index}"]["neurons"] for index in range(len(DESCRIPTION.hidden))]

    async def watch(self):
        while True:
            await RisingEdge(self.dut.clk)
            if self.dut.rst.value:
                self.spikes, self.membranes = ([[] for _ in self.neurons] for _ in range(2))
                continue
            for index, neurons in enumerate(self.neurons):
                if neurons.spikes_valid.value:
                    self.spikes[index].append(int(neurons.spikes.value))
                if neurons.membrane_valid.value:
                    self.membranes[index].append(int(neurons.membrane.value))

    def check(self, expected, steps):
        for index, (layer, facts) in enumerate(zip(DESCRIPTION.hidden, FACTS["layers"],
                                                   strict=False)):
            for found, bits, values in (
                    (self.spikes[index], 1, expected.spikes[index]),
                    (self.membranes[index], layer.held_bits, expected.membranes[index])):
                mask = (1 << bits) - 1
                rows = [word >> lane * bits & mask for word in found
                        for lane in range(facts["lanes"])]
                rows = np.array(rows).reshape(1, -1, facts["positions"], facts["padded_neurons"])
                rows = in_order(STAGES[index], rows)[..., :facts["channels"]]
                rows = rows.reshape(-1, layer.n_out)
                assert (rows[:steps] == (values[0, :steps].astype(int) & mask)).all(), index


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
@cocotb.parametrize(
    i_gaps=[cocotb.Param(RUSH, "rush"), cocotb.Param(GAPS, "gaps")],
    o_gaps=[cocotb.Param(RUSH, "rush"), cocotb.Param(GAPS, "stalls")],
)
async def equal(dut, i_gaps, o_gaps):
    """All integers are golden's, whatever the gaps and the backpressure; twice, after a reset."""
    i, o, monitor = Stream(dut, "i"), Stream(dut, "o"), Monitor(dut)
    dut.i_valid.value = dut.i_payload.value = dut.o_ready.value = 0
    dut.rst.value = 1
    Clock(dut.clk, 10, unit="ns").start(start_high=False)
    cocotb.start_soon(monitor.watch())
    cocotb.start_soon(o.check(dut.rst))
    expected = streams.run(DESCRIPTION, X[None], emit=np.flatnonzero(EMIT),
                           clear=np.flatnonzero(CLEAR), trace=True)
    words = payloads()
    for _ in range(2):
        dut.rst.value = 1
        await ClockCycles(dut.clk, 3)
        dut.rst.value = 0
        # a reset in the middle of a step leaves nothing behind
        dut.o_ready.value = 1
        await i.put(words[:len(words) // 3])
        dut.o_ready.value = 0
        dut.rst.value = 1
        await ClockCycles(dut.clk, 1)
        dut.rst.value = 0
        _, found = await gather(i.put(words, cycle(i_gaps)),
                                o.get(int(EMIT.sum()) * CLASSES, cycle(o_gaps)))
        await ClockCycles(dut.clk, 2)
        assert [field(word, "score") for word in found] == expected.scores[0].ravel().tolist()
        assert [field(word, "label") for word in found[CLASSES - 1::CLASSES]] == \
            expected.labels[0].tolist()
        assert [field(word, "last") for word in found] == ([0] * (CLASSES - 1) + [1]) * int(
            EMIT.sum())
        monitor.check(expected, len(X))
        assert not dut.busy.value
