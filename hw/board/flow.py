"""From a network to a bitstream: synthesis, place and route with several seeds, packing.

The same network, folding, board, clock, seeds and versions of the tools give the same bytes.
"""

import hashlib
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from qsnn.hw.board.commands import (
    BITSTREAM,
    MAPPED,
    ROUTED,
    TOOLS,
    UNMAPPED,
    pack_command,
    place_command,
    remedies,
    save,
    steps,
    synthesis,
    unmapped,
)
from qsnn.hw.board.cores import FlowError, core_text, make_core, memory_images, spram_images
from qsnn.hw.board.filling import (
    COARSE,
    TEMPLATE,
    FillError,
    fill,
    fill_netlist,
    placeholders,
    prepare,
    with_contents,
)
from qsnn.hw.board.harness import Harness
from qsnn.hw.board.mapping import MappingError, differing, load
from qsnn.hw.board.pll import pll_settings
from qsnn.hw.board.routed import critical_path, fmax_mhz, parts, path_text, utilisation
from qsnn.hw.board.toolchain import Job, ToolError, find, run
from qsnn.hw.board.top import BoardTop
from qsnn.hw.emit.verilog import module_name, port_names, to_verilog
from qsnn.hw.plan.images import write_hex

__all__ = ["implement", "replace_folder", "run_tools", "synthesize", "write_sources"]

MAX_SEEDS = 64
COMPARED = ("ice40", "ecp5")  # families whose mapping is looked at, see qsnn.hw.board.mapping
# on the headers of a Tang Nano 9K
GOWIN_PINS = *range(25, 31), *range(33, 43), *range(48, 52), *range(53, 58), *range(68, 78)


def implement(folder, description, foldings, options, *, command="", say=print,
              show=lambda text: None):
    """Write ``<folder>/<board>/`` and return what is in its result.json.

    Raises :class:`qsnn.hw.board.cores.FlowError` or :class:`qsnn.hw.board.toolchain.ToolError`;
    logs are then in ``<folder>/<board>.failed/``, and nothing else has changed.
    """
    board = options.board
    if not 1 <= options.seeds <= MAX_SEEDS:
        raise FlowError(f"the number of seeds is 1 to {MAX_SEEDS}, not {options.seeds}")
    if options.patchable and board.family not in TEMPLATE:
        raise FlowError(f"bitstreams of the {board.title} cannot be patched: leave out --patchable")
    if options.link == "spi" and "sck" not in board.pins:
        raise FlowError(f"there are no pins for SPI on the {board.title}: leave out --link spi")
    settings = pll_settings(board, options.clock_hz)
    hz = round(settings.hz) if settings else board.clock_hz
    tools = {name: find(name) for name in TOOLS[board.family]}
    core = make_core(description, foldings, hz, options, module_name(folder.name))
    work = Path(tempfile.mkdtemp(dir=folder, prefix=f".{board.name}."))
    failed = folder / f"{board.name}.failed"
    try:
        images = memory_images(core)
        write_sources(work, core, BoardTop(board, core, options.clock_hz), images)
        filled = with_contents(images, spram_images(core)) if options.patchable else {}
        result = run_tools(work, options, hz, tools, module_name(folder.name), filled, say, show)
        result |= _facts(core, foldings, hz, options, folder.name, description, command,
                         tools)
        ordered = {key: result[key] for key in sorted(result)}
        (work / "result.json").write_text(json.dumps(ordered, indent=1) + "\n")
        (work / "report.txt").write_text(report(result))
        replace_folder(work, folder / board.name)
        shutil.rmtree(failed, ignore_errors=True)
    except (FillError, FlowError, ToolError) as error:
        replace_folder(work, failed)
        raise type(error)(f"{error}; logs are in {failed}/") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return result


def replace_folder(work, target):
    """Put a whole folder in the place of another one."""
    work.chmod(0o755)
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        target.rename(old / "old")
    work.rename(target)
    if old:
        shutil.rmtree(old)


def write_sources(work, core, top, images):
    """Verilog, constraints and memory images of a board's top into a folder."""
    (work / "top.v").write_text(to_verilog(top, "top"))
    constraints = top.board.constraints.read_text()
    if top.board.family == "gowin" and isinstance(core, Harness):
        constraints += _gowin_pins(core)
    (work / top.board.constraints.name).write_text(constraints)
    (work / "memory").mkdir()
    _write_images(work, images)


def _write_images(work, images):
    for name, (width, words) in images.items():
        (work / "memory" / name).write_text(write_hex(width, words))


def _gowin_pins(core):
    """Places for the harness's pins, which nextpnr does not choose here."""
    names = [name + (f"[{bit}]" if len(value) > 1 else "")
             for name, value in port_names(core).items() if name != "busy"
             for bit in range(len(value))]
    if len(names) > len(GOWIN_PINS):
        raise FlowError(f"the harness needs {len(names)} pins, the board has {len(GOWIN_PINS)}")
    return "".join(f'IO_LOC "{name}" {pin};\nIO_PORT "{name}" IO_TYPE=LVCMOS33;\n'
                   for name, pin in zip(names, GOWIN_PINS, strict=False))


def run_tools(work, options, hz, tools, name, images, say, show, *, known=0, more=()):
    """All stages in a folder with the sources; what it leaves there is what is kept.

    ``known``: so many ways to map it, of those that are tried in turn, are known to fail.
    ``more``: words for place and route.
    ``images`` are those that come last, see :mod:`qsnn.hw.board.filling`; none unless patchable.
    """
    board = options.board
    yosys, place, pack = (tools[tool].path for tool in TOOLS[board.family])
    bitstream = f"{name}.{BITSTREAM[board.family]}"

    def stage(label, jobs):
        start = time.monotonic()
        run(jobs, work, show)
        say(f"{label:<24}{time.monotonic() - start:6.0f} s")

    define = f"-DQSNN_{board.family.upper()}" + " -DQSNN_BLOCK_RAM" * bool(images)
    command = synthesis(board)

    def synthesize(command, mapper=None):
        front, start = "", "begin"
        if images:
            front = f"{command} -run :map_ram; {save(COARSE)}; "
            start = "map_ram"
        read, compared = f"read_verilog {define} top.v; ", board.family in COMPARED
        done = steps(command, mapper, start, compared)
        jobs = [Job("synthesis", [yosys, "-p", f"{read}{front}{done}; tee -q -o cells.txt stat"],
                    "synthesis.log")]
        if compared:  # by another process: what is asked for changes the result
            front = front.replace(COARSE, UNMAPPED)
            jobs.append(Job("synthesis", [yosys, "-p", f"{read}{front}{unmapped(command, start)}"],
                            "unmapped.log"))
        stage("synthesis", jobs)
        if compared:
            _compare(work)

    _write_images(work, placeholders(images))
    mapper, left = None, remedies(command)
    for _ in range(known):
        _, command, mapper = left.pop(0)
    while True:
        try:
            synthesize(command, mapper)
            break
        except (MappingError, ToolError) as error:
            if isinstance(error, ToolError) and "Running ABC command" not in str(error):
                raise
            if not left:
                raise ToolError(str(error)) from None
            remedy, command, mapper = left.pop(0)
            say(f"{error}: once more with {remedy}" if isinstance(error, MappingError) else
                f"ABC, a part of Yosys, has failed: once more with {remedy}")
    _write_images(work, images)
    rams = prepare(work, yosys, command, images) if images else {}
    seeds = range(1, options.seeds + 1)
    stage("place and route", [
        Job(f"place and route, seed {seed}", [*place_command(board, place, seed, hz / 1e6,
                                                            options.bare), *more],
            f"seed{seed}.log") for seed in seeds])

    reports = {seed: json.loads((work / f"seed{seed}.report").read_text()) for seed in seeds}
    reached = {seed: fmax_mhz(reports[seed], hz / 1e6) for seed in seeds}
    best = max(seeds, key=lambda seed: (reached[seed], -seed))
    if reached[best] * 1e6 < hz and not options.bare:
        raise FlowError(f"the core runs at {reached[best]:g} MHz at most on the {board.title}, "
                        f"not at {hz / 1e6:g}: say --clock {int(reached[best])}, or more --seeds")
    packed = f"seed{best}.{ROUTED[board.family]}"
    if images:
        template = (work / packed).rename(work / TEMPLATE[board.family]).read_text()
        (work / packed).write_text(fill(template, board.family, rams))
        fill_netlist(work / "netlist.json", rams)
        fill_netlist(work / f"seed{best}.json", rams)
    stage("bitstream", [Job("bitstream", pack_command(board, pack, packed, bitstream),
                            "bitstream.log")])

    routed = json.loads((work / f"seed{best}.json").read_text())
    (work / f"seed{best}.json").rename(work / "routed.json")
    for leftover in [*work.glob("seed*.json"), *work.glob("seed*.asc"),
                     *work.glob("seed*.config"), *work.glob("seed*.report")]:
        leftover.unlink()
    return {
        "fmax_mhz": {"seeds": [reached[seed] for seed in seeds], "best": reached[best],
                     "median": round(statistics.median(reached.values()), 2),
                     "minimum": min(reached.values())},
        "seed": best,
        "synthesis": f"{command}, but {mapper}" if mapper else command,
        "used": utilisation(reports[best]),
        "parts": parts(routed),
        "critical_path": critical_path(reports[best]),
        "bitstream": {"file": bitstream,
                      "sha256": hashlib.sha256((work / bitstream).read_bytes()).hexdigest()},
    }


def synthesize(work, read, command):
    """Leave netlist.json in a folder, by the first of the ways to map it that ABC lives through.

    read: Yosys commands before those of the synthesis.
    """
    attempts = [(command, None), *((again, mapper) for _, again, mapper in remedies(command))]
    for left, attempt in zip(reversed(range(len(attempts))), attempts, strict=True):
        try:
            run([Job("synthesis", [find("yosys").path, "-p", f"{read}; {steps(*attempt)}"],
                     "synthesis.log")], work)
            return
        except ToolError:
            if not left:
                raise


def _compare(work):
    """Raise :class:`qsnn.hw.board.mapping.MappingError` where the LUTs are another circuit."""
    wrong = differing(load(work / UNMAPPED), load(work / MAPPED))
    for leftover in (UNMAPPED, MAPPED, "unmapped.log"):
        (work / leftover).unlink()
    if wrong:
        raise MappingError(f"Yosys has made another circuit of this one, {len(wrong)} inputs of "
                           "registers differ")


def _facts(core, foldings, hz, options, name, description, command, tools):
    plan = core.network.plan
    cycles = float(plan.cycles)
    return {
        "format": 1,
        "network": name,
        "shape": description.shape,
        "description_sha256": description.hash,
        "board": options.board.name,
        "core": core_text(hz, options),
        "patchable": options.patchable,
        "command": command,
        "tools": {tool: found.version for tool, found in tools.items()},
        "clock_mhz": round(hz / 1e6, 6),
        "folding": [folding.row for folding in foldings],
        "encoder": options.encoder,
        "unit": plan.unit,
        "at_most": plan.at_most,
        f"cycles_per_{plan.unit}": cycles,
        f"{plan.unit}s_per_s": round(hz / cycles),
    }


def report(result):
    """The result as a page of text."""
    fmax = result["fmax_mhz"]
    unit = result["unit"]
    pace = [f"cycles per {unit:<7}{result[f'cycles_per_{unit}']:g}"
            + " at most" * result["at_most"],
            f"{unit + 's/s':<18}{result[f'{unit}s_per_s']:,} at this clock, in the core"
            + ", at least" * result["at_most"]]
    lines = [
        f"{result['network']} ({result['shape']}) on {result['board']}: {result['core']}",
        "",
        f"clock             {result['clock_mhz']:g} MHz",
        f"Fmax              {fmax['best']:g} MHz with seed {result['seed']}"
        + f"; median {fmax['median']:g}, minimum {fmax['minimum']:g} of {len(fmax['seeds'])}"
        * (len(fmax["seeds"]) > 1),
        *pace,
        "",
        *(f"{kind:<16}{used:>8,} of {available:>8,}{used / available:>7.0%}"
          for kind, (used, available) in result["used"].items() if available > 1),
        "",
        f"{'part':<24}{'logic':>8}{'registers':>11}{'block RAM':>11}",
        *(f"{part:<24}{row['logic']:>8,}{row['registers']:>11,}{row['ram']:>11,}"
          for part, row in result["parts"].items()),
        "",
        path_text(result["critical_path"]),
        "",
        f"bitstream         {result['bitstream']['file']}",
    ]
    return "\n".join(lines) + "\n"
