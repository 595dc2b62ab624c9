"""What a time-parallel layer costs: logic cells of its parts, and its memories."""

from collections import Counter
from math import ceil

from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import SPRAM_WIDTH, Memory
from qsnn.hw.plan.cost import (
    bits_of,
    neuron_logic,
    parameter_memories,
    score_logic,
    total_logic,
    tree_logic,
    writer_logic,
)
from qsnn.hw.plan.latency import synapse_latency, synapse_leaves

__all__ = ["parallel_memories", "parallel_parts"]


def parallel_parts(family, planned, source_lanes, skip_lanes=1):
    """{part: cells} of a layer beside its memories; its inputs have so many lanes."""
    stage, parameters = planned.stage, planned.parameters
    parts = synapse_logic(family, stage, stage.xnor_max)
    parts["hold"] = hold_logic(family, stage, stage.xnor_max)
    if stage.counts:
        parts["counts"] = count_logic(family, stage)
    parts["writer"] = writer_logic(family, stage, source_lanes)
    parts["control"] = control_logic(family, stage)
    if stage.readout:
        parts["scores"] = score_logic(family, stage, parameters)
        if stage.leaky:
            parts["leak"] = total_logic(family, parameters)
    else:
        parts["neurons"] = neuron_logic(family, stage, parameters)
        parts["pool"] = pool_logic(family, stage)
        if stage.skip:
            parts["skip"] = skip_logic(family, stage, parameters.sum_max, skip_lanes)
    return parts


def synapse_logic(family, stage, sum_max):
    """Pairs of pixels, selected sums, trees, accumulators."""
    parts = Counter()
    lanes = stage.sums
    neurons = stage.pixels * stage.pe
    if stage.bits > 1:
        pairs, leaf_bits = ceil(stage.simd / 2) * stage.steps, stage.bits + 1
        # two sums; the complement of one input; where the carry of a difference starts
        pair = 2 * family.add(leaf_bits, stage.bits) + stage.bits + 1
        parts["pairs"] = stage.pixels * pairs * pair
        parts["leaves"] = neurons * pairs * leaf_bits
        leaves = pairs // lanes
    else:
        leaves, leaf_bits = stage.simd * stage.steps // lanes, 1
    parts["trees"] = neurons * lanes * tree_logic(
        family, leaves, leaf_bits, stage.steps * stage.merges)
    parts["accumulators"] = neurons * lanes * family.add(bits_of(sum_max))
    if stage.planes > 1:  # the doubled total is chosen in front of the adder
        parts["accumulators"] += neurons * lanes * bits_of(sum_max)
    return parts


def count_logic(family, stage):
    """The sums of the inputs, those that are held, and what takes them from the others."""
    sums, bits = stage.pixels * stage.sums, bits_of(stage.count_max)
    leaves, leaf_bits = synapse_leaves(stage.simd, stage.bits, stage.merged)
    leaf = family.register(leaf_bits) * leaves if stage.bits > 1 else 0
    turned = bits * (1 if family.flip_flops or sums > 1 else 0)
    return sums * (leaf + tree_logic(family, leaves, leaf_bits, leaves) + family.add(bits)
                   + turned) + stage.lanes * family.add(bits_of(stage.xnor_max))


def hold_logic(family, stage, sum_max):
    """The sums of a group, shifted to the neuron units."""
    sums = stage.pixels * stage.pe * stage.sums
    moved = sums if family.flip_flops else sums - stage.lanes
    return moved * bits_of(sum_max)


def control_logic(family, stage):
    """Counters of words, groups, beats, steps; credits; delayed flags."""
    counters = (stage.words, stage.words, stage.reads * stage.groups, stage.groups,
                stage.group_cycles, stage.sequence, stage.pixels * stage.pe // stage.lanes,
                stage.neurons // stage.lanes)
    fixed, bit = family.control
    total = fixed + bit * sum(map(ceil_log2, counters)) + family.register(3 * _latency(stage))
    return total + (window_logic(family, stage) if stage.window else 0)


def window_logic(family, stage):
    """What a convolution's control has beside that: nested loops, coordinates, rows."""
    window = stage.window
    loops = (window.chunks, *window.kernel, stage.planes, stage.groups,
             *(count for count, *_ in window.loops(stage.pixels)))
    address = ceil_log2(stage.buffer_words)
    coordinates = 0
    if any(window.padding):
        coordinates = bits_of(window.height) + bits_of(window.width) + 2
    fixed, bit = family.window
    return (fixed + bit * (sum(map(ceil_log2, loops)) + (3 + 2 * stage.pixels) * address
                           + 4 * coordinates + 6 * bits_of(window.rows)))


def skip_logic(family, stage, sum_max, lanes):
    """Writer, control and sums of a skip; the source has so many lanes."""
    skip = stage.skip
    window = skip.window
    loops = (window.chunks, stage.groups,
             *(count for count, *_ in window.loops(stage.pixels)))
    address = ceil_log2(stage.skip_words)
    fixed, bit = family.window
    control = fixed + bit * (sum(map(ceil_log2, loops)) + (3 + 2 * stage.pixels) * address
                             + 6 * bits_of(skip.rows))
    # the shifted sum, or the spikes that a sum starts with, are chosen in front of the adder
    sums = stage.pixels * stage.pe * stage.steps * bits_of(sum_max)
    return writer_logic(family, stage, lanes, stage.skip_elements) + control + sums


def pool_logic(family, stage):
    """A pixel's worth of spikes or of their sums, and counters."""
    window = stage.window
    if not window or window.square == 1:
        return 0
    bits = window.square.bit_length() if window.pool == "sum" else 1
    beat = stage.lanes * stage.sequence * bits
    beats = stage.neurons // stage.lanes
    return family.register((beats - 1) * beat) + beat * (1 if bits == 1 else 2) + 2 * (
        ceil_log2(beats) + ceil_log2(window.square)) + 6


def _latency(stage):
    """Cycles from the address of a word to the sums that contain it."""
    return 2 + synapse_latency(stage.simd, stage.bits, stage.merged)


def parallel_memories(planned, loadable=False, patchable=False):
    """name -> :class:`qsnn.hw.plan.blocks.Memory` of a layer."""
    stage, parameters = planned.stage, planned.parameters
    weights = stage.pe * stage.simd - (SPRAM_WIDTH if stage.spram else 0)
    memories = {
        "weights": Memory(max(0, weights), stage.reads * stage.groups, loadable, loadable,
                          block=patchable),
        "buffer": Memory(stage.simd * stage.bits * stage.steps, stage.buffer_words
                         if stage.window else (1 << ceil_log2(stage.words)) + stage.words,
                         written=True),
    }
    if stage.skip:
        memories["skip buffer"] = Memory(stage.skip_elements * stage.bits * stage.steps,
                                         stage.skip_words, written=True)
    memories |= parameter_memories(planned, loadable, patchable)
    if stage.readout:
        width = parameters.score_shape.width + 1
        memories["queue"] = Memory(width, 2 * stage.n_out - 1, written=True, checked=True)
    return memories
