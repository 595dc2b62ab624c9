"""A build folder: all artefacts of a network.

It imports the rooms before it: plan, core, serial, network and link.

build      the folder, written whole and read back
artefacts  everything in it, as text
verilog    the Verilog of a component
report     a page for people
picture    the network as a picture
"""
