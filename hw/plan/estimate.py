"""Logic and RAM of a network on a board, before synthesis.

Logic is what nextpnr counts after packing: cells of one LUT and one flip-flop on an iCE40
(ICESTORM_LC), LUTs on an ECP5 (TRELLIS_COMB). Every adder, register and multiplexer of the source
is counted with its width; what is not that regular, the loop of a neuron and the control of a
layer, has numbers fitted to ``docs/estimate.md``, which also has the errors.
"""

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
from amaranth import Shape
from amaranth.utils import ceil_log2

from qsnn.hw.board.harness import input_beats
from qsnn.hw.core.rom import SPRAM_WIDTH
from qsnn.hw.core.synapses import synapse_latency
from qsnn.hw.link.host import CHECK, USE
from qsnn.hw.link.spi import SCK_CYCLES
from qsnn.hw.plan.blocks import Memory, place
from qsnn.hw.plan.parameters import layer_parameters

__all__ = ["MEASURED", "Estimate", "core_estimate", "estimate", "inbox_bytes", "layer_estimate",
           "skip_lanes"]


@dataclass(frozen=True)
class Family:
    """What the parts of a circuit cost in logic cells.

    flip_flops  a flip-flop without a LUT before it is a cell
    pair_carry  two bits of an adder are one carry cell of two LUTs, and its ends are two more
    lut_adder   an adder of so many bits at most has no carries
    popcount    four XNORs and their sum, with one weight and with four, as (apart, shared)
    neuron      of the loop of a neuron: fixed, and for each bit of the membrane
    control     of a layer: fixed, and for each bit of its counters
    window      of a convolution's control: fixed, and for each bit of its counters and numbers
    link        the host link without its queues
    load        what it needs more to load memories
    """

    flip_flops: bool
    pair_carry: bool
    lut_adder: int
    popcount: tuple
    neuron: tuple
    control: tuple
    window: tuple
    link: int
    load: int

    def register(self, bits):
        return bits * self.flip_flops

    def add(self, bits, operand=None):
        """An adder whose sum has so many bits, its register included.

        ``operand``: bits of the wider operand, where the sum has more: the carry comes out.
        """
        if bits <= self.lut_adder:
            return bits + 1
        if self.pair_carry:
            return 2 * ceil(bits / 2) + 4
        return bits + (operand is not None and bits > operand)


FAMILIES = {
    "ice40": Family(flip_flops=True, pair_carry=False, lut_adder=2, popcount=(8.6, 7),
                    neuron=(12, 7.2), control=(30, 1.8), window=(20, 1.5), link=520, load=110),
    "ecp5": Family(flip_flops=False, pair_carry=True, lut_adder=4, popcount=(8, 5.5),
                   neuron=(12, 8.6), control=(30, 2), window=(15, 1.0), link=520, load=50),
}
MEASURED = frozenset(FAMILIES)
FAMILIES["gowin"] = FAMILIES["ecp5"]  # a guess

SPI_SAVES = 36  # cells of the serial line's; counted on an iCE40


def _bits(largest):
    return Shape.cast(range(largest + 1)).width


def tree_logic(family, leaves, leaf_bits, shared=0):
    """An adder tree with its registers; with the XNORs where the leaves are single bits.

    ``shared``: so many such leaves after each other have one weight.
    """
    largest = (1 << leaf_bits) - 1
    if leaf_bits > 1:
        total, terms = 0, [largest] * leaves
    else:  # two levels without a register between them
        terms = [min(4, leaves - start) for start in range(0, leaves, 4)]
        apart, together = family.popcount
        alike = min(1, (1 - 1 / max(1, shared)) / 0.75)  # of a leaf and the next one in a group
        four = apart + alike * (together - apart) if leaves > 4 else 7
        total = sum((1, 2, 4, four)[group - 1] for group in terms)
    while len(terms) > 1:
        sums = [sum(terms[start:start + 2]) for start in range(0, len(terms), 2)]
        for index, largest in enumerate(sums):
            pair = terms[2 * index:2 * index + 2]
            total += (family.add(_bits(largest), _bits(max(pair))) if len(pair) == 2
                      else family.register(_bits(largest)))
        terms = sums
    return total


def synapse_logic(family, stage, sum_max):
    """Pairs of pixels, selected sums, trees, accumulators."""
    parts = Counter()
    lanes = 1 if stage.readout else stage.steps
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
        family, leaves, leaf_bits, stage.steps * stage.readout)
    parts["accumulators"] = neurons * lanes * family.add(_bits(sum_max))
    if stage.planes > 1:  # the doubled total is chosen in front of the adder
        parts["accumulators"] += neurons * lanes * _bits(sum_max)
    return parts


def hold_logic(family, stage, sum_max):
    """The sums of a group, shifted to the neuron units."""
    sums = stage.pixels * stage.pe * (1 if stage.readout else stage.steps)
    moved = sums if family.flip_flops else sums - stage.lanes
    return moved * _bits(sum_max)


def neuron_logic(family, stage, parameters):
    """The neuron units, without their thresholds and biases."""
    p = parameters
    largest = p.sum_max << p.frac
    below = Shape.cast(range(p.threshold_low - largest, p.threshold_high + 1)).width
    biased = Shape.cast(range(p.bias_low, largest + p.bias_high + 1)).width
    fixed, bit = family.neuron
    lane = family.add(below - p.frac) + family.add(biased - p.frac) + fixed + bit * p.bits
    return stage.lanes * lane


def memory_logic(family, name, memory):
    """What a memory takes of the logic, with the register behind it."""
    placed = place(name, memory)
    total = family.register(memory.width)
    choices = (placed.rows - 1) * memory.width
    if memory.bytewise:  # a host's address and enables, and the byte that it reads
        choices += ceil_log2(max(2, memory.depth)) + 1.2 * memory.width + 8
    if placed.ram is None:  # a LUT for 16 words, and as many to choose among them
        if memory.written:
            return total + memory.width * memory.depth
        columns = min(memory.width, (1 << min(memory.depth, 30)) - 2)  # that are not the same
        return family.register(columns) + columns * max(1, memory.depth / 8 - 1)
    return total + choices + (0 if placed.ram.block else 6 * placed.units)


def writer_logic(family, stage, source_lanes, elements=None):
    """Beats collected into words, of SIMD elements or of those of a skip."""
    beat = stage.bits * stage.steps * source_lanes
    ratio = (elements or stage.simd) // source_lanes
    return 0 if ratio == 1 else family.register((ratio - 1) * beat) + ratio * beat + 2 * ratio


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
    loops = (window.chunks, window.kernel, window.kernel, stage.planes, stage.groups,
             *(count for count, *_ in window.loops(stage.pixels)))
    address = ceil_log2(stage.buffer_words)
    coordinates = 0
    if window.padding:
        coordinates = _bits(window.height) + _bits(window.width) + 2
    fixed, bit = family.window
    return (fixed + bit * (sum(map(ceil_log2, loops)) + (3 + 2 * stage.pixels) * address
                           + 4 * coordinates + 6 * _bits(window.rows)))


def skip_logic(family, stage, sum_max, lanes):
    """Writer, control and sums of a skip; the source has so many lanes."""
    skip = stage.skip
    window = skip.window
    loops = (window.chunks, stage.groups,
             *(count for count, *_ in window.loops(stage.pixels)))
    address = ceil_log2(stage.skip_words)
    fixed, bit = family.window
    control = fixed + bit * (sum(map(ceil_log2, loops)) + (3 + 2 * stage.pixels) * address
                             + 6 * _bits(skip.rows))
    # the shifted sum, or the spikes that a sum starts with, are chosen in front of the adder
    sums = stage.pixels * stage.pe * stage.steps * _bits(sum_max)
    return writer_logic(family, stage, lanes, stage.skip_elements) + control + sums


def pool_logic(family, stage):
    """A pixel's worth of spikes or of their sums, and counters."""
    window = stage.window
    if not window or window.pool_size == 1:
        return 0
    bits = (window.pool_size ** 2).bit_length() if window.pool == "sum" else 1
    beat = stage.lanes * stage.sequence * bits
    beats = stage.neurons // stage.lanes
    return family.register((beats - 1) * beat) + beat * (1 if bits == 1 else 2) + 2 * (
        ceil_log2(beats) + ceil_log2(window.pool_size ** 2)) + 6


def score_logic(family, stage, parameters):
    """Score, comparison, and the queue's control."""
    width = parameters.score_shape.width
    return (2 * family.add(width) + family.register(3 * width)
            + 15 * ceil_log2(2 * stage.n_out))


def _latency(stage):
    """Cycles from the address of a word to the sums that contain it."""
    return 2 + synapse_latency(stage.simd, stage.bits, stage.steps if stage.readout else 1)


def _varying(values, padding, shape, stage, unused):
    """Bits of a word of thresholds or biases that matter: what Yosys leaves of a ROM.

    Those that are not the same in all words, without the lowest ``unused`` ones.
    """
    words = np.full(stage.neurons, padding, dtype=np.int64)
    words[:stage.n_out] = values
    bits = words.reshape(-1, stage.lanes)[..., None] >> np.arange(unused, shape.width) & 1
    return int(np.count_nonzero(bits.min(axis=0) != bits.max(axis=0)))


def layer_memories(layer, stage, parameters, loadable=False):
    """name -> :class:`qsnn.hw.plan.blocks.Memory` of a layer."""
    weights = stage.pe * stage.simd - (SPRAM_WIDTH if stage.spram else 0)
    beats = stage.neurons // stage.lanes
    # a sum has zeros there, nothing is carried over, and the leak shifts them out
    unused = 0 if stage.readout else min(parameters.frac, parameters.shift - 1)
    contents = {"biases": (parameters.biases(layer, stage), 0, parameters.bias_shape)}
    if not stage.readout:
        contents["thresholds"] = (parameters.thresholds(layer, stage), parameters.threshold_high,
                                  parameters.threshold_shape)
    memories = {
        "weights": Memory(max(0, weights), stage.reads * stage.groups, loadable, loadable),
        "buffer": Memory(stage.simd * stage.bits * stage.steps, stage.buffer_words
                         if stage.window else (1 << ceil_log2(stage.words)) + stage.words,
                         written=True),
    }
    if stage.skip:
        memories["skip buffer"] = Memory(stage.skip_elements * stage.bits * stage.steps,
                                         stage.skip_words, written=True)
    for name, (values, padding, shape) in contents.items():
        width = (stage.lanes * shape.width if loadable
                 else _varying(values, padding, shape, stage, unused))
        memories[name] = Memory(width, beats, loadable, loadable)
    return memories


@dataclass(frozen=True)
class Estimate:
    """What a design takes: logic cells, block RAMs, and {part: cells} of each layer."""

    logic: int
    blocks: int
    layers: tuple


def layer_estimate(name, layer, stage, parameters, source_lanes, loadable=False, skip_lanes=1):
    """{part: cells} and block RAMs of a layer in a family; its inputs have so many lanes."""
    family = FAMILIES[name]
    parts = synapse_logic(family, stage, parameters.sum_max)
    parts["hold"] = hold_logic(family, stage, parameters.sum_max)
    parts["writer"] = writer_logic(family, stage, source_lanes)
    parts["control"] = control_logic(family, stage)
    memories = layer_memories(layer, stage, parameters, loadable)
    if stage.readout:
        parts["scores"] = score_logic(family, stage, parameters)
        width = parameters.score_shape.width + 1
        memories["queue"] = Memory(width, 2 * stage.n_out - 1, written=True, checked=True)
    else:
        parts["neurons"] = neuron_logic(family, stage, parameters)
        parts["pool"] = pool_logic(family, stage)
        if stage.skip:
            parts["skip"] = skip_logic(family, stage, parameters.sum_max, skip_lanes)
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


def core_estimate(board, description, plan, *, bare=False, loadable=False, link="uart"):
    """Cells and block RAMs beside the layers: clock and reset, and the host link or harness."""
    family, first = FAMILIES[board.family], plan.stages[0]
    # a word waits in front of the first layer's writer, and there
    logic = 45 + 2 * family.register(first.simd * first.bits)
    if bare:
        beat = input_beats(plan)[0] * first.bits
        logic += 45 + family.register(beat) + beat  # two beats wait
        for layer, stage in zip(description.hidden, plan.stages, strict=False):  # digests
            spikes, membranes = stage.lanes * stage.sequence, stage.lanes * layer.membrane_bits
            word = spikes + membranes
            logic += 36 + spikes + max(0, word - 32) / 3
            logic += family.register(membranes + min(32, word))
        return logic, 0
    queues = [Memory(8, 1 << ceil_log2(inbox_bytes(plan, link)), written=True),
              Memory(8, 256, written=True)]  # a reply
    return (logic + family.link - SPI_SAVES * (link == "spi") + family.load * loadable
            + sum(memory_logic(family, board.family, queue) for queue in queues),
            sum(place(board.family, queue).blocks for queue in queues))


def skip_lanes(stages, stage):
    """Lanes of the layer that a skip comes from."""
    return stages[stage.skip.source].lanes if stage.skip else 1


def estimate(board, description, plan, *, bare=False, loadable=False, link="uart"):
    """The :class:`Estimate` of a network on a board; the options as in
    :class:`qsnn.hw.board.flow.Options`.
    """
    loadable |= any(stage.spram for stage in plan.stages)
    logic, blocks = core_estimate(board, description, plan, bare=bare, loadable=loadable,
                                  link=link)
    layers, lanes = [], plan.stages[0].simd
    for layer, stage, parameters in zip(description.layers, plan.stages,
                                        layer_parameters(description, plan), strict=True):
        parts, used = layer_estimate(board.family, layer, stage, parameters, lanes,
                                     loadable and not bare, skip_lanes(plan.stages, stage))
        layers.append({part: round(cells) for part, cells in parts.items()})
        logic, blocks, lanes = logic + sum(parts.values()), blocks + used, stage.lanes
    return Estimate(round(logic), blocks, tuple(layers))
