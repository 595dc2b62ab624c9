"""Hardware of a quantized spiking network: from a description to a bitstream.

Each room may import those above it and :mod:`qsnn.model`. ``tests/test_rooms.py``
reads the imports.

plan     numbers that follow from a description and a folding: no gateware, no tools
core     gateware of the time-parallel schedule, and what both schedules use
serial   gateware of the time-serial schedule, and encoders of signals
network  no room but a module: layers of both schedules, wired in a line
memory   words of an image that lies in another chip
engine   one layer after the other, by a program: networks that no chip holds
link     the line between a host and a network, both ends
emit     a build folder: Verilog, memory images, facts, report, picture
board    pins, clocks and tools: a bitstream, and whether it is what was meant
"""
