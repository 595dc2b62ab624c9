"""What the parts that every layer is made of cost in logic cells.

Every adder, register and multiplexer of the source is counted with its width; what is not that
regular, the loop of a neuron and the control of a layer, has numbers fitted to
``docs/estimate.md``, which also has the errors.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from amaranth import Shape
from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import Memory, place

__all__ = ["FAMILIES", "MEASURED", "Family", "bits_of", "memory_logic", "neuron_logic",
           "parameter_memories", "score_logic", "total_logic", "tree_logic", "writer_logic"]


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


def bits_of(largest):
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
            total += (family.add(bits_of(largest), bits_of(max(pair))) if len(pair) == 2
                      else family.register(bits_of(largest)))
        terms = sums
    return total


def neuron_logic(family, stage, parameters):
    """The neuron units, without their thresholds and biases."""
    p = parameters
    largest = p.sum_max << p.frac
    below = Shape.cast(range(p.threshold_low - largest, p.threshold_high + 1)).width
    biased = Shape.cast(range(p.bias_low, largest + p.bias_high + 1)).width
    fixed, bit = family.neuron
    lane = family.add(below - p.frac) + family.add(biased - p.frac) + fixed + bit * p.bits
    if p.current:  # its loop, and its way beside that of the membrane
        bits, _, _ = p.current
        biased = Shape.cast(range(p.current_bias_range[0],
                                  (p.sum_max << p.frac) + p.current_bias_range[1] + 1)).width
        given = Shape.cast(range(p.given_min, p.given_max + 1)).width
        lane += (family.add(biased - p.frac) + family.add(given) + bit * bits + fixed / 2
                 + family.register(3 * (2 * bits + p.bits)))
    return stage.lanes * (lane + _leak_logic(family, p)
                          + p.subtracts * (family.add(biased - p.frac) + p.bits + p.leak[1]))


def _leak_logic(family, p):
    """What a leak takes beside that of 1/2, and a neuron whose reset subtracts beside one whose
    does not, as docs/neuron.md has it."""
    m, k = p.leak
    total = 5.4 * (k - 1)  # bits of the loop
    if p.bits > 4:  # sums in place of a table: the additions of its signed digits
        total += (bin(m ^ 3 * m).count("1") - 1) * family.add(p.bits + k)
    return total


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


def _varying(values, padding, shape, stage, unused):
    """Bits of a word of thresholds or biases that matter: what Yosys leaves of a ROM.

    Those that are not the same in all words, without the lowest ``unused`` ones.
    """
    words = np.full(stage.neurons, padding, dtype=np.int64)
    words[:stage.n_out] = values
    bits = words.reshape(-1, stage.lanes)[..., None] >> np.arange(unused, shape.width) & 1
    return int(np.count_nonzero(bits.min(axis=0) != bits.max(axis=0)))


def score_logic(family, stage, parameters):
    """Score, comparison, and the queue's control."""
    width = parameters.score_shape.width
    return (2 * family.add(width) + family.register(3 * width)
            + 15 * ceil_log2(2 * stage.n_out))


def total_logic(family, parameters):
    """What leaks of a total: the products of its digits, and their sum with what is new."""
    m, k = parameters.leak
    terms = bin(m ^ 3 * m).count("1")
    return (terms + 1) * family.add(bits_of(parameters.sum_max) + k)


def parameter_memories(planned, loadable=False, patchable=False):
    """name -> :class:`qsnn.hw.plan.blocks.Memory` of a layer's thresholds and biases.

    patchable: every bit may be another one in block RAM.
    """
    layer, stage, parameters = planned.layer, planned.stage, planned.parameters
    # a sum has zeros there, nothing is carried over, and the leak shifts them out
    unused = 0 if stage.readout else min(parameters.frac, parameters.place)
    memories = {}
    for name, (values, padding, shape) in parameters.tables(layer, stage).items():
        width = (stage.lanes * shape.width if loadable or patchable
                 else _varying(values, padding, shape, stage, unused))
        memories[name] = Memory(width, stage.neurons // stage.lanes, loadable, loadable,
                                block=patchable)
    return memories


def writer_logic(family, stage, source_lanes, elements=None):
    """Beats collected into words, of SIMD elements or of those of a skip."""
    beat = stage.bits * stage.steps * source_lanes
    ratio = (elements or stage.simd) // source_lanes
    return 0 if ratio == 1 else family.register((ratio - 1) * beat) + ratio * beat + 2 * ratio
