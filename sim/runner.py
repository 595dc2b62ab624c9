"""Builds the Verilog of one network for a simulator and runs a cocotb testbench in it."""

import json
import os
from dataclasses import astuple

import numpy as np
from cocotb_tools.runner import get_runner

from qsnn.hw.emit.artefacts import artefacts
from qsnn.hw.emit.verilog import module_name
from qsnn.model.description import save
from qsnn.sim.compiled import public
from qsnn.sim.tools import SimulationError, need, verilator_environment

__all__ = ["simulate", "simulate_stream", "simulator"]

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
    """Run the tests of ``sim/tb_network.py`` on a network.

    What they need to know lies beside its sources in ``folder``; so do the waves: ``dump.vcd`` of
    Verilator, ``<top>.fst`` of Icarus.
    """
    _simulate(folder, description, artefacts(description, foldings, "net"), "qsnn.sim.tb_network",
              waves, pixels=pixels, foldings=[astuple(folding) for folding in foldings])


def simulate_stream(folder, description, foldings, x, emit, clear, *, events=False, waves=False):
    """Run the tests of ``sim/tb_stream.py`` on a network for streams, likewise."""
    _simulate(folder, description, artefacts(description, foldings, "net", events=events),
              "qsnn.sim.tb_stream", waves, x=x, emit=emit, clear=clear)


def _simulate(folder, description, files, module, waves, **arrays):
    name = simulator()
    top = module_name("net")
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    save(description, folder / "net.qsnn")
    np.savez(folder / "net.npz", **arrays)

    sources, args = [folder / f"{top}.v"], []
    if name == "verilator":
        # one source, without a header that is compiled first and takes longer than all the others
        args = ["--output-split", "0", "-Wno-fatal", "-Wno-lint"]
        if not waves:  # what nobody looks at need not be there: half of the source
            args.append("--no-public-flat-rw")
            sources.insert(0, folder / "public.vlt")
            sources[0].write_text(public(json.loads(files["net.json"])) +
                                   f'public_flat_rw -module "{top}" -port "*"\n')
    runner = get_runner(name)
    runner.build(sources=sources, hdl_toplevel=top, build_dir=folder / "build",
                 timescale=TIMESCALE, build_args=args, waves=waves, log_file=folder / "build.log")
    runner.test(hdl_toplevel=top, test_module=module, build_dir=folder / "build",
                test_dir=folder, seed=0, timescale=TIMESCALE, waves=waves)
