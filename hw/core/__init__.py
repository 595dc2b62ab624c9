"""Gateware of the time-parallel schedule, and what both schedules use.

It imports :mod:`qsnn.hw.plan` of the other rooms.

layer        a layer: it wires a buffer, a schedule, synapses and neurons
buffer       images or rows that are read while the next ones arrive
schedule     what a layer does when
window       what a convolution does when
synapses     XNOR and the sum of a word
tree         adders in a pipeline
counts       sums of weights that are integers, less the inputs
accumulator  the sum of a neuron's words
neuron       membrane, leak, threshold, reset
pool         squares of spikes
readout      scores and the best label
rom          memories, read only or loaded by a host

The Verilog files beside them are written by hand, for cells that a family has.
"""
