"""Logic and RAM of a network on a board, before synthesis.

Logic is what nextpnr counts after packing: cells of one LUT and one flip-flop on an iCE40
(ICESTORM_LC), LUTs on an ECP5 (TRELLIS_COMB). ``docs/estimate.md`` has the errors.
"""

from dataclasses import dataclass
from math import ceil

from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import SPRAM_WIDTH, Memory, place
from qsnn.hw.plan.cost import FAMILIES, memory_logic, writer_logic
from qsnn.hw.plan.line import CHECK, SCK_CYCLES, USE, input_beats
from qsnn.hw.plan.parallel_cost import parallel_memories, parallel_parts
from qsnn.hw.plan.serial_cost import (
    encoder_estimate,
    map_memories,
    map_parts,
    serial_memories,
    serial_parts,
    unroll_logic,
    unroll_memory,
)

__all__ = ["Estimate", "core_estimate", "estimate", "inbox_bytes", "layer_estimate"]

SPI_SAVES = 36  # cells of the serial line's; counted on an iCE40
RECORDS = 112  # cells of a serial line without a protocol; a record waits behind another
PINS = 8  # of a stream's harness
COSTS = {"parallel": (parallel_parts, parallel_memories),
         "map": (map_parts, map_memories),
         "serial": (serial_parts, serial_memories)}


@dataclass(frozen=True)
class Estimate:
    """What a design takes: logic cells, block RAMs, and {part: cells} of each layer."""

    logic: int
    blocks: int
    layers: tuple


def layer_estimate(name, layers, loadable=False, patchable=False):
    """{part: cells} and block RAMs of the last of these planned layers, in a family."""
    family, planned = FAMILIES[name], layers[-1]
    stage, before = planned.stage, layers[-2] if len(layers) > 1 else None
    parts_of, memories_of = COSTS[planned.schedule]
    lanes = before.stage.lanes if before else stage.simd
    skip_lanes = layers[stage.skip.source].stage.lanes if stage.skip else 1
    parts = parts_of(family, planned, lanes, skip_lanes)
    memories = memories_of(planned, loadable, patchable)
    if stage.window is None and before and before.schedule == "map":
        parts["packer"] = writer_logic(family, stage, lanes)
    elif planned.serial and before and not before.serial:
        parts["unroll"] = unroll_logic(family, before.stage, stage)
        memories["unroll buffer"] = unroll_memory(before.stage, stage)
    blocks = 0
    for kind, memory in memories.items():
        copies = stage.pixels if "buffer" in kind else 1
        parts[kind] = copies * memory_logic(family, name, memory)
        blocks += copies * place(name, memory).blocks
    if stage.spram:
        parts["weights"] += family.register(SPRAM_WIDTH)
    return parts, blocks


def inbox_bytes(plan, link):
    """Of the host link's queue: an image, and what comes while it is computed and answered."""
    first = plan.stages[0]
    image = first.beats * ceil(first.simd * first.bits / 8)
    if link == "uart":  # a byte takes hundreds of cycles
        return round(1.03 * image) + 20
    byte = 8 * SCK_CYCLES
    busy = USE * image + 2 * first.beats + plan.latency + 600
    slow = CHECK * image + busy > byte * image  # then the host waits
    return image + 10 + (0 if slow else busy // byte)


def core_estimate(board, plan, *, bare=False, loadable=False, patchable=False, link="uart",
                  encoder=""):
    """Cells and block RAMs beside the layers: clock and reset, encoder, host link or harness."""
    family = FAMILIES[board.family]
    beat = _beat(plan)
    # a word waits in front of the first layer's writer, and there
    logic, blocks = 45 + 2 * family.register(beat), 0
    if encoder:
        cells, rams = encoder_estimate(encoder, board.family)
        logic, blocks = logic + cells, blocks + rams
    if bare:
        pins = input_beats(plan)[0] * plan.stages[0].bits if plan.time_steps else PINS
        logic += 45 + family.register(pins) + pins  # two beats wait
        return logic + sum(_digest(family, planned) for planned in plan.layers[:-1]), blocks
    if not plan.time_steps:
        return logic + RECORDS + 3 * beat, blocks
    queues = [Memory(8, 1 << ceil_log2(inbox_bytes(plan, link)), written=True),
              Memory(8, 256, written=True, block=patchable)]  # a reply
    return (logic + family.link - SPI_SAVES * (link == "spi") + family.load * loadable
            + sum(memory_logic(family, board.family, queue) for queue in queues),
            blocks + sum(place(board.family, queue).blocks for queue in queues))


def _beat(plan):
    """Bits of a beat of the network's input."""
    first = plan.stages[0]
    return first.simd * first.bits


def _digest(family, planned):
    """The digest of a hidden layer in a harness."""
    stage, bits = planned.stage, planned.layer.held_bits
    spikes, membranes = stage.lanes * stage.sequence, stage.lanes * bits
    word = spikes + membranes
    return (36 + spikes + max(0, word - 32) / 3
            + family.register(membranes + min(32, word)))


def estimate(board, plan, *, bare=False, loadable=False, patchable=False, link="uart", encoder=""):
    """The :class:`Estimate` of a network on a board; the options as in
    :class:`qsnn.hw.board.cores.Options`.
    """
    loadable |= any(stage.spram for stage in plan.stages)
    logic, blocks = core_estimate(board, plan, bare=bare, loadable=loadable, link=link,
                                  patchable=patchable, encoder=encoder)
    layers = []
    for count in range(1, len(plan.layers) + 1):
        parts, used = layer_estimate(board.family, plan.layers[:count], loadable and not bare,
                                     patchable)
        layers.append({part: round(cells) for part, cells in parts.items()})
        logic, blocks = logic + sum(parts.values()), blocks + used
    return Estimate(round(logic), blocks, tuple(layers))
