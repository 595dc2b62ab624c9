"""Gateware of a quantized spiking network, in Amaranth: see :mod:`hw.network`."""
