"""An accelerator core, compiled by Verilator, behind a pseudo-terminal: as a board is to a host.

The network and its memory images are those of a build folder; host link, and UART or SPI, come
around it.
"""

import os
import subprocess
import tty
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import serial

from qsnn.hw.emit.build import foldings_of
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.link.accelerator import GREETING, AcceleratorCore
from qsnn.hw.link.ports import SpiPort
from qsnn.hw.plan.images import write_hex
from qsnn.hw.plan.line import SCK_CYCLES, too_many_classes
from qsnn.hw.plan.network import plan
from qsnn.sim.program import compiled, workspace
from qsnn.sim.tools import SimulationError

__all__ = ["BAUD", "CLOCK", "SILENCE", "Simulated", "SimulatedBus", "compile_link",
           "open_simulated", "simulated_port"]

BAUD = 1_000_000
CLOCK = 5 * BAUD  # the fewest cycles a bit: a simulation pays for each of them
SILENCE = 10.0  # seconds: simulated time is slower than the host's
CYCLES = {"uart": CLOCK // BAUD, "spi": SCK_CYCLES}  # of a bit
SOURCE = Path(__file__).parent / "link.cpp"


@dataclass(frozen=True)
class Simulated:
    """The core of a build folder with its line: a program, and what it reads beside the images."""

    folder: Path
    program: Path
    files: dict


def compile_link(folder, facts, description, link="uart"):
    """The core of a build folder's network as :class:`Simulated`.

    Raises :class:`qsnn.sim.tools.SimulationError`.
    """
    foldings = foldings_of(facts)
    problem = too_many_classes(plan(description, foldings))
    if problem:
        raise SimulationError(problem)
    core = AcceleratorCore(description, foldings, clock_hz=CLOCK, baud=BAUD, link=link,
                           files=facts["top"], loadable=bool(facts["memories"]))
    sources = {"accelerator.v": to_verilog(core, "accelerator"), SOURCE.name: SOURCE.read_text(),
               "line.h": SOURCE.with_name(f"{link}.h").read_text()}
    program = compiled(folder / "simulation", link, sources, top="accelerator")
    return Simulated(folder, program, {GREETING: write_hex(*core.greeting)})


@contextmanager
def simulated_port(simulated, link="uart"):
    """Run what :func:`compile_link` gave; gives the name of the port that it is behind."""
    device, port = os.openpty()
    try:
        tty.setraw(port)
        with workspace(simulated.folder, simulated.files) as work, subprocess.Popen(
                [simulated.program.resolve(), str(CYCLES[link])], cwd=work,
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
        self._line = _open(port)
        self.close = self._line.close

    def xfer2(self, raw):
        self._line.write(raw)
        return self._line.read(len(raw))


def open_simulated(port, link):
    """The port of a simulation, opened for :class:`qsnn.hw.link.driver.Accelerator`."""
    if link == "spi":
        return SpiPort(SimulatedBus(port), CLOCK // SCK_CYCLES)
    return _open(port)


def _open(port):
    """A program that does not answer any more is no reason to wait for ever."""
    return serial.Serial(port, exclusive=True, timeout=SILENCE, write_timeout=SILENCE)
