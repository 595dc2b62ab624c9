"""A build folder: all artefacts of a network.

It imports the rooms before it: plan, core, serial, network and link.

build      the folder, written whole and read back
manifest   which files it has, and that they are those that were written
artefacts  everything in it, as text
facts      the schema of its JSON
verilog    the Verilog of a component
report     a page for people
picture    the network as a picture
"""
