"""Amaranth streams seen from cocotb."""

from itertools import repeat

from cocotb.triggers import RisingEdge

__all__ = ["Stream"]


class Stream:
    """The stream ``name`` of a device: ``put`` drives an input, ``get`` takes from an output.

    All methods sample at rising edges, where they see the values before the edge.
    """

    def __init__(self, dut, name):
        self.clk = dut.clk
        self.payload = dut[f"{name}_payload"]
        self.valid = dut[f"{name}_valid"]
        self.ready = dut[f"{name}_ready"]

    async def put(self, payloads, gaps=None):
        """Offer payloads; ``valid`` is low for the next of ``gaps`` cycles before each."""
        for payload, gap in zip(payloads, repeat(0) if gaps is None else gaps, strict=False):
            for _ in range(gap):
                await RisingEdge(self.clk)
            self.payload.value = payload
            self.valid.value = 1
            await RisingEdge(self.clk)
            while not self.ready.value:
                await RisingEdge(self.clk)
            self.valid.value = 0

    async def get(self, count, gaps=None):
        """Take payloads; ``ready`` is low for the next of ``gaps`` cycles before each."""
        payloads = []
        for _, gap in zip(range(count), repeat(0) if gaps is None else gaps, strict=False):
            for _ in range(gap):
                await RisingEdge(self.clk)
            self.ready.value = 1
            await RisingEdge(self.clk)
            while not self.valid.value:
                await RisingEdge(self.clk)
            payloads.append(int(self.payload.value))
            self.ready.value = 0
        return payloads

    async def check(self, rst):
        """Fail if a producer retracts or changes a payload that was not accepted yet.

        Only a reset may do that.
        """
        held = None
        while True:
            await RisingEdge(self.clk)
            if rst.value:
                held = None
                continue
            if held is not None:
                assert self.valid.value, "valid retracted"
                assert self.payload.value == held, "payload changed while stalled"
            stalled = self.valid.value and not self.ready.value
            held = self.payload.value if stalled else None
