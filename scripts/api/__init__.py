"""From a trained Q-SNN to an FPGA that gives the same spikes."""
