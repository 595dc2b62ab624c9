"""Testbenches of the emitted Verilog, in cocotb: see :mod:`sim.test_network`."""
