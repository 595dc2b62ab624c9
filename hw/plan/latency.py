"""Cycles of the pipelines that every schedule is made of."""

from amaranth.utils import ceil_log2

__all__ = ["CURRENT_LATENCY", "LEAK_LATENCY", "neuron_latency", "registered", "synapse_latency",
           "synapse_leaves", "tree_latency"]

CURRENT_LATENCY = 3  # cycles of a neuron's current
LEAK_LATENCY = 2  # of a readout's leak, all steps at once


def neuron_latency(current):
    """Cycles from a neuron's sum to its spike."""
    return 3 + (CURRENT_LATENCY if current else 0)


def registered(level, bits, last):
    """Whether a register stands behind a level of an adder tree, counted from 1.

    An adder with carries has one: flip-flops come with it, and two in a row would set the clock
    of the whole design. Two levels of single bits fit into a few LUTs and share one.
    """
    return bits > 1 or level != 1 or level == last


def tree_latency(n, bits=1):
    """Cycles that a :class:`qsnn.hw.core.tree.AdderTree` of ``n`` leaves takes."""
    levels = ceil_log2(n)
    return sum(registered(level, bits, levels) for level in range(1, levels + 1))


def synapse_leaves(simd, bits, steps):
    """Leaves of the tree of a :class:`qsnn.hw.core.synapses.SynapseArray`, and their bits."""
    return (-(-simd // 2) * steps, bits + 1) if bits > 1 else (simd * steps, 1)


def synapse_latency(simd, bits, steps):
    """Cycles from a word of inputs to the sums that contain it."""
    pairs = 2 if bits > 1 else 0
    return pairs + tree_latency(*synapse_leaves(simd, bits, steps)) + 1
