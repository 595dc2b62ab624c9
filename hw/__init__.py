"""Gateware of a quantized spiking network, in Amaranth: see :mod:`qsnn.hw.network`."""
