"""An accelerator core, compiled by Verilator, behind a pseudo-terminal: as a board is to a host.

The network and its memory images are those of a build folder; host link, and UART or SPI, come
around it.
"""

import os
import shutil
import subprocess
import tty
from contextlib import contextmanager
from pathlib import Path

import serial

from qsnn.hw.emit.build import foldings_of
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.link.accelerator import GREETING, AcceleratorCore
from qsnn.hw.link.ports import SpiPort
from qsnn.hw.plan.images import write_hex
from qsnn.hw.plan.line import SCK_CYCLES
from qsnn.sim.tools import run, verilator_environment

__all__ = ["BAUD", "CLOCK", "SILENCE", "SimulatedBus", "compile_link", "open_simulated",
           "simulated_port"]

BAUD = 1_000_000
CLOCK = 5 * BAUD  # the fewest cycles a bit: a simulation pays for each of them
SILENCE = 10.0  # seconds: simulated time is slower than the host's
CYCLES = {"uart": CLOCK // BAUD, "spi": SCK_CYCLES}  # of a bit
SOURCE = Path(__file__).parent / "link.cpp"


def compile_link(folder, facts, description, link="uart"):
    """Compile the core of a build folder's network; returns the program. Again only if needed."""
    core = AcceleratorCore(description, foldings_of(facts), clock_hz=CLOCK, baud=BAUD, link=link,
                           files=True, loadable=bool(facts["memories"]))
    source = to_verilog(core, "accelerator")
    work = folder / f"simulation-{link}"
    program, stamp = work / "link", work / "stamp"
    header = SOURCE.with_name(f"{link}.h")
    key = source + SOURCE.read_text() + header.read_text()
    if not (program.exists() and stamp.exists() and stamp.read_text() == key):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "accelerator.v").write_text(source)
        shutil.copyfile(SOURCE, work / SOURCE.name)
        shutil.copyfile(header, work / "line.h")
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
def simulated_port(program, link="uart"):
    """Run a program of :func:`compile_link`; gives the name of the port that it is behind."""
    device, port = os.openpty()
    try:
        tty.setraw(port)
        with subprocess.Popen([program.resolve(), str(CYCLES[link])], cwd=program.parent,
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


class SimulatedBus:
    """The port of a simulation with SPI: every byte that goes in brings one back."""

    def __init__(self, port):
        self._line = serial.Serial(port, exclusive=True)
        self.close = self._line.close

    def xfer2(self, raw):
        self._line.write(raw)
        return self._line.read(len(raw))


def open_simulated(port, link):
    """The port of a simulation, opened for :class:`qsnn.hw.link.driver.Accelerator`."""
    if link == "spi":
        return SpiPort(SimulatedBus(port), CLOCK // SCK_CYCLES)
    return serial.Serial(port, exclusive=True)
