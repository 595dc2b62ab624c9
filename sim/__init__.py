"""Testbenches of the emitted Verilog, in cocotb: see :mod:`qsnn.sim.test_network`."""
