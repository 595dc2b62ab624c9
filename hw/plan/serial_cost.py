"""What a time-serial layer costs: logic cells of its parts, and its memories."""

from amaranth.utils import ceil_log2

from qsnn.hw.plan.blocks import Memory
from qsnn.hw.plan.cost import (
    bits_of,
    neuron_logic,
    parameter_memories,
    score_logic,
    total_logic,
    tree_logic,
    writer_logic,
)
from qsnn.hw.plan.folding import FoldingError
from qsnn.hw.plan.parallel_cost import parallel_memories, parallel_parts

__all__ = ["encoder_estimate", "map_memories", "map_parts", "serial_memories", "serial_parts",
           "unroll_logic", "unroll_memory"]

FIXED = 35  # cells of a layer's control, beside those of a parallel one's
FAMILY_LIKE = {"gowin": "ecp5"}  # a guess


def serial_parts(family, planned, source_lanes, skip_lanes=1):
    """{part: cells} of a layer beside its memories."""
    stage, parameters = planned.stage, planned.parameters
    count = bits_of(stage.largest)
    sums = stage.pe + 1  # those of the weights, and that of all spikes
    parts = {
        "trees": sums * tree_logic(family, stage.simd, 1),
        # of weights of several bits, the doubled total is chosen in front of the adder
        "accumulators": sums * (family.add(count) + count * (stage.planes > 1)),
        # the sums of a group, shifted to the neuron units
        "hold": (stage.pe if family.flip_flops else stage.pe - stage.lanes) * count,
        "lists": list_logic(family, stage),
        "control": control_logic(family, stage),
    }
    if stage.readout:
        total = bits_of(parameters.sum_max)
        # the change, the new total, and its clamp
        parts["totals"] = family.add(count + 2) + 2 * family.add(total + 2) + 2 * total
        parts["scores"] = score_logic(family, stage, parameters)
        if stage.leaky:
            parts["leak"] = total_logic(family, parameters)
    else:
        # twice the sum, and the synapses without a spike
        parts["neurons"] = neuron_logic(family, stage, parameters) + stage.lanes * (
            family.add(count + 2) + family.register(parameters.held_bits))
        parts["packers"] = (1 + stage.recurrent) * (2 * stage.simd + 2 * ceil_log2(
            max(2, stage.n_out)))
    return parts


def list_logic(family, stage):
    """The lists of a step's words: which have a spike, how many there are, where they go."""
    sections = 1 + bool(stage.kept_words)
    wanted = stage.simd / 3 if stage.sparse else 0
    length = bits_of(stage.words)
    return sections * (wanted + 6 * length + family.register(stage.entry_bits)) + 10


def control_logic(family, stage):
    """Counters of words, groups and beats; words and addresses on their way to the weights."""
    fixed, bit = family.control
    address = ceil_log2(max(2, stage.reads * stage.groups))
    counters = (stage.words, stage.reads, stage.groups, stage.neurons // stage.lanes,
                stage.beats, stage.reads * stage.groups)
    delays = 3 * stage.simd + 4 * address + 4 * ceil_log2(max(2, stage.neurons)) + 40
    return (FIXED + fixed + bit * sum(ceil_log2(max(2, counter)) for counter in counters)
            + family.register(delays))


def serial_memories(planned, loadable=False, patchable=False):
    """name -> :class:`qsnn.hw.plan.blocks.Memory` of a layer; nothing in it can be loaded."""
    stage, parameters = planned.stage, planned.parameters
    beats = stage.neurons // stage.lanes
    memories = {"weights": Memory(stage.pe * stage.simd, stage.reads * stage.groups,
                                  block=patchable)}
    for name, depth in (("arrived", stage.in_words), ("kept", stage.kept_words)):
        if depth:
            memories[name] = Memory(stage.entry_bits, (1 << ceil_log2(depth)) + depth,
                                    written=True, block=True)
    if stage.readout:
        memories["totals"] = Memory(bits_of(parameters.sum_max), max(2, stage.neurons),
                                    written=True, block=True)
        width = parameters.score_shape.width + 1
        memories["queue"] = Memory(width, 2 * stage.n_out - 1, written=True, checked=True)
    else:
        memories["membranes"] = Memory(stage.lanes * parameters.held_bits, max(2, beats),
                                       written=True, block=True)
    return memories | parameter_memories(planned, patchable=patchable)


def map_parts(family, planned, source_lanes, skip_lanes=1):
    """{part: cells} of a convolution of a stream beside its memories."""
    stage, bits = planned.stage, planned.layer.membrane_bits
    at = ceil_log2(max(2, stage.neuron_beats))
    # the place of a membrane, on its way to be written too; commands, and units begun
    return parallel_parts(family, planned, source_lanes, skip_lanes) | {
        "membranes' places": 2 * at + family.register(3 * at + stage.lanes * bits),
        "commands": 24 + 2 * ceil_log2(stage.units + 1)}


def map_memories(planned, loadable=False, patchable=False):
    """name -> :class:`qsnn.hw.plan.blocks.Memory` of a convolution of a stream."""
    stage = planned.stage
    membranes = Memory(stage.lanes * planned.layer.membrane_bits, max(2, stage.neuron_beats),
                       written=True, block=True)
    return parallel_memories(planned, patchable=patchable) | {"membranes": membranes}


def unroll_logic(family, source, stage):
    """What hands on an image's steps one after the other, see :mod:`qsnn.hw.serial.unroll`."""
    word = source.sequence * stage.simd
    return (90 + writer_logic(family, stage, source.lanes) * source.sequence
            + family.register(word) + word / 2)


def unroll_memory(source, stage):
    """Its buffer of two images."""
    return Memory(source.sequence * stage.simd,
                  (1 << ceil_log2(stage.in_words)) + stage.in_words, written=True)


# what the encoders take, measured with the networks that they stand before: (logic, block RAMs)
ENCODERS = {
    "ecg": {"ice40": (640, 2), "ecp5": (810, 1)},
    "spoken-digits": {"ice40": (195, 3), "ecp5": (340, 2)},
}


def encoder_estimate(name, family):
    """Logic cells and block RAMs of an encoder of :mod:`qsnn.hw.serial.encoders`.

    Raises :class:`qsnn.hw.plan.folding.FoldingError`.
    """
    if name not in ENCODERS:
        raise FoldingError(f"no encoder {name!r}: there is {', '.join(ENCODERS)}")
    return ENCODERS[name][FAMILY_LIKE.get(family, family)]
