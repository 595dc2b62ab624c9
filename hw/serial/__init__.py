"""Gateware of the time-serial schedule: membranes in memory, work that follows activity.

It imports :mod:`qsnn.hw.plan` and :mod:`qsnn.hw.core` of the other rooms.

layer     a layer of a stream
words     words of spikes, from outside and from neurons
buffer    the list of a step's words, and what goes through it
synapses  spikes that meet a weight of +1
maps      convolutions of a stream, their membranes in a memory
unroll    from time-parallel layers to time-serial ones
encoders  sampled signals become spikes
audio     sound becomes spikes: resonators on one adder
"""
