"""Programs that Verilator makes of Verilog: compiled once, run in folders of their own.

A program's name has the hash of all that it depends on: sources, options, tools. It is compiled in
a temporary folder and then moved to its place whole, so that nobody meets half of one, and two at
once do no harm. Memory images are no part of it: it reads those of the build it is run for, when it
starts.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from qsnn.model.files import is_full, write_whole
from qsnn.sim.tools import SimulationError, run, scratch_folder, verilator_environment

__all__ = ["compiled", "workspace"]

# -O2 is compiled twice as long and runs a seventh faster; of one source, as a header that is
# compiled first takes longer than all that includes it
SHARED = ["verilator", "--cc", "--exe", "--build", "-j", "2", "-O3", "--prefix", "Vtop",
          "--output-split", "0", "--x-initial", "0", "-Wno-fatal", "-Wno-lint", "--Mdir", "model",
          "-o", "../program", "-CFLAGS", "-I.. -O1", "-MAKEFLAGS", "OPT_FAST=-O1",
          '-DQSNN_MEMORY_DIR="memory"']
KEPT = 4  # programs of a name; each is some megabytes


def compiled(place, name, sources, *, top, options=()):
    """The program of these sources in the folder ``place``; compiled where it is not there yet.

    sources: file name -> text, of Verilog, Verilator's configuration, C++ and its headers. What is
    waived by ``-Wno-lint``, and why, stands in ``hw/emit/lint.vlt``: tests lint with that. Raises
    :class:`qsnn.sim.tools.SimulationError`.
    """
    inputs = [file for file in sources if Path(file).suffix in (".v", ".vlt", ".cpp")]
    command = [*SHARED, *options, "--top-module", top, *inputs]
    with scratch_folder() as scratch:
        scratch = Path(scratch)
        environment = verilator_environment(scratch)
        key = hashlib.sha256(json.dumps([command, sources, _tools(environment)]).encode())
        program = place / f"{name}-{key.hexdigest()[:16]}"
        if program.exists():
            return program
        for file, text in sources.items():
            (scratch / file).write_text(text)
        place.mkdir(parents=True, exist_ok=True)
        try:
            run(command, environment, scratch, scratch / "verilator.log")
        except SimulationError:
            if is_full(scratch):
                raise
            shutil.copy(scratch / "verilator.log", log := place / f"{name}.log")
            raise SimulationError(f"Verilator or the compiler failed, see {log}") from None
        # others may be about to start theirs, with other options
        stale = sorted(place.glob(f"{name}-*"), key=_age)[KEPT - 1:]
        write_whole(program, (scratch / "program").read_bytes(), 0o755)
    for old in stale:
        old.unlink(missing_ok=True)
    return program


def _tools(environment):
    """What compiles, with its version."""
    found = []
    for command in (["verilator", "--version"], ["g++", "-dumpfullversion", "-dumpversion"]):
        program = shutil.which(command[0], path=environment["PATH"])
        done = subprocess.run([program, *command[1:]], env=environment, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SimulationError(f"{program} does not run: {done.stderr.strip()[:200]}")
        found.append(done.stdout.strip())
    return found


@contextmanager
def workspace(folder, files=None):
    """A temporary folder to run a program in, with the memory images of a build folder.

    files: name -> text of images that there are beside those.
    """
    with tempfile.TemporaryDirectory(prefix="qsnn-") as work:
        memory = Path(work) / "memory"
        memory.mkdir()
        for image in (Path(folder) / "memory").resolve().glob("*.hex"):
            (memory / image.name).symlink_to(image)
        for name, text in (files or {}).items():
            (memory / name).write_text(text)
        yield Path(work)


def _age(program):
    """Grows with the time since a program was written; one that is gone meanwhile is old."""
    try:
        return -program.stat().st_mtime_ns
    except OSError:
        return 0
