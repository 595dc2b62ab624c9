"""Builds the Verilog of one network for a simulator and runs a cocotb testbench in it."""

import os
from dataclasses import astuple

import numpy as np
from cocotb_tools.runner import get_runner

from hw.emit import artefacts, module_name
from model.description import save
from sim.tools import SimulationError, need, verilator_environment

__all__ = ["simulate", "simulator"]

TIMESCALE = ("1ns", "1ps")
SIMULATORS = ("verilator", "icarus")


def simulator():
    """The simulator that ``SIM`` names, or Verilator; its tools are on the PATH afterwards."""
    name = os.environ.get("SIM", "verilator")
    if name not in SIMULATORS:
        raise SimulationError(f"SIM must be one of {', '.join(SIMULATORS)}, not {name!r}")
    if name == "icarus":
        need("iverilog")
    else:
        os.environ.update(verilator_environment())
        # the compiler takes longer than the simulation, so it shall not optimize
        os.environ["MAKEFLAGS"] += " OPT_FAST=-O0 OPT_GLOBAL=-O0"
    return name


def simulate(folder, description, foldings, pixels, *, waves=False):
    """Run the tests of :mod:`sim.tb_network` on a network.

    What they need to know lies beside its sources in ``folder``; so do the waves: ``dump.vcd`` of
    Verilator, ``<top>.fst`` of Icarus.
    """
    name = simulator()
    top = module_name("net")
    for file, text in artefacts(description, foldings, "net").items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    save(description, folder / "net.qsnn")
    np.savez(folder / "net.npz", pixels=pixels,
             foldings=[astuple(folding) for folding in foldings])

    args = ["-Wno-fatal", "-Wno-lint"] if name == "verilator" else []
    runner = get_runner(name)
    runner.build(sources=[folder / f"{top}.v"], hdl_toplevel=top, build_dir=folder / "build",
                 timescale=TIMESCALE, build_args=args, waves=waves, log_file=folder / "build.log")
    runner.test(hdl_toplevel=top, test_module="sim.tb_network", build_dir=folder / "build",
                test_dir=folder, seed=0, timescale=TIMESCALE, waves=waves)
