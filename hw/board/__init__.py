"""Pins, clocks and tools: a bitstream, and whether it is what was meant.

It imports all rooms before it; none imports it.

flow       from a network to a bitstream
commands   the tools' command lines
toolchain  where the tools are, and what is missing
boards     what is on a board; its pins are in ``constraints/``
cores      what goes into a board: a network with a host link, or with pins for a check
engines    engines for boards: their recipes, and bitstreams that are kept
running    a network on a board's engine: rates, and the way to the board
sdram      the pads of a memory chip
harness    a network between a few pins
top        clock, reset and pins around it
pll        settings of the clock
choose     the folding that is asked for, checked against a board
fit        what does not fit, said before synthesis
mapping    whether LUTs compute what they were mapped from
filling    contents of memories as the last step
patch      new weights in a finished bitstream
result         what a board's folder says of itself, read back
routed     what place and route found
loader     a bitstream into a board
"""
