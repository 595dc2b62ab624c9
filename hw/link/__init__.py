"""The line between a host and a network, both ends.

It imports :mod:`qsnn.hw.network`, :mod:`qsnn.hw.engine` and the rooms before them. The host's end
needs no Amaranth.

protocol     the packets, and how they are packed
programs     what an engine says of itself and of its programs

On the host:

driver       requests and answers; a network
remote       an engine
ports        a serial port, or SPI that looks like one

In the FPGA:

accelerator  a network with a host link, but for its pins
engine       an engine with its memory and a host link
requests     frames become requests, and replies frames
host         requests to a network: images, and weights
load         programs that a host loads into an engine
frames       COBS and CRC
payload      bytes become beats, scores become bytes
memories     weights that a host writes
uart         a serial line
spi          a slave in its place
stream       a network for streams at a serial line
"""
