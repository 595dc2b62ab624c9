"""Testbenches of the emitted Verilog, in cocotb: see ``sim/test_network.py``."""
