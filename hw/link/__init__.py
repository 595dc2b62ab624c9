"""The line between a host and a network, both ends.

It imports :mod:`qsnn.hw.network` and the rooms before it. The host's end needs no Amaranth.

protocol     the packets, and how they are packed

On the host:

driver       requests and answers
ports        a serial port, or SPI that looks like one

In the FPGA:

accelerator  a network with a host link, but for its pins
host         requests become images, scores become replies
frames       COBS and CRC
payload      bytes become beats, scores become bytes
memories     weights that a host writes
uart         a serial line
spi          a slave in its place
stream       a network for streams at a serial line
"""
