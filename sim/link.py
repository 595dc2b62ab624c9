"""An accelerator core, compiled by Verilator, behind a pseudo-terminal: as a board is to a host.

The network and its memory images are those of a build folder; host link and UART come around it.
"""

import os
import shutil
import subprocess
import tty
from contextlib import contextmanager
from pathlib import Path

from hw.accelerator import GREETING, AcceleratorCore
from hw.build import foldings_of
from hw.emit import to_verilog
from hw.images import write_hex
from sim.tools import run, verilator_environment

__all__ = ["BAUD", "CLOCK", "SILENCE", "compile_link", "simulated_port"]

BAUD = 1_000_000
CLOCK = 5 * BAUD  # the fewest cycles a bit: a simulation pays for each of them
SILENCE = 10.0  # seconds: simulated time is slower than the host's
SOURCE = Path(__file__).parent / "link.cpp"


def compile_link(folder, facts, description):
    """Compile the core of a build folder's network; returns the program. Again only if needed."""
    core = AcceleratorCore(description, foldings_of(facts), clock_hz=CLOCK, baud=BAUD, files=True,
                           loadable=bool(facts["memories"]))
    source = to_verilog(core, "accelerator")
    work = folder / "simulation-link"
    program, stamp = work / "link", work / "stamp"
    key = source + SOURCE.read_text()
    if not (program.exists() and stamp.exists() and stamp.read_text() == key):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "accelerator.v").write_text(source)
        shutil.copyfile(SOURCE, work / SOURCE.name)
        run(["verilator", "--cc", "--exe", "--build", "-j", "2", "-O3", "--prefix", "Vtop",
             "--x-initial", "0", "-Wno-fatal", "-Wno-lint", "--Mdir", "model",
             "--top-module", "accelerator", "-o", "../link", "-CFLAGS", "-O2",
             "-MAKEFLAGS", "OPT_FAST=-O2", "accelerator.v", SOURCE.name],
            verilator_environment(), work, work / "verilator.log")
        stamp.write_text(key)
    # the program reads them when it starts; other weights need no other program
    shutil.rmtree(work / "memory", ignore_errors=True)
    shutil.copytree(folder / "memory", work / "memory")
    (work / "memory" / GREETING).write_text(write_hex(*core.greeting))
    return program


@contextmanager
def simulated_port(program):
    """Run a program of :func:`compile_link`; gives the name of the port that it is behind."""
    device, port = os.openpty()
    try:
        tty.setraw(port)
        with subprocess.Popen([program.resolve(), str(CLOCK // BAUD)], cwd=program.parent,
                              stdin=device, stdout=device) as process:
            os.close(device)
            device = None
            try:
                yield os.ttyname(port)
            finally:
                process.terminate()
    finally:
        os.close(port)  # until here: the program sees the end where nobody has it open
        if device is not None:
            os.close(device)
