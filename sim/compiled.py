"""The whole test set through the emitted Verilog, compiled by Verilator.

Labels, class scores and a CRC-32 of every layer's spikes and membranes are compared with the
golden model. The Verilog and its memory images are those of a build folder, as they are.
"""

import json
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsnn.model import golden
from qsnn.sim.tools import SimulationError, run, verilator_environment

__all__ = ["Outcome", "compile_model", "compile_verilog", "field_of", "pack_beats", "simulate",
           "unpack_results", "watch"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """What the Verilog gave, and where it differs from the golden model.

    mismatches: name -> number of labels, of scores, and of layers' checksums that differ
    """

    labels: np.ndarray
    scores: np.ndarray
    latency: int
    cycles: int
    cycles_per_image: float
    mismatches: dict

    @property
    def ok(self):
        return not any(self.mismatches.values())


def _layers_header(facts):
    """The names of the signals that the testbench watches, as C macros."""
    hidden = facts["layers"][:-1]
    rows = " ".join(
        f"LAYER({index}, {layer['channels']}, {layer['padded_neurons']}, {layer['lanes']}, "
        f"{layer.get('steps', facts['time_steps'] or 1)}, {layer['membrane_bits']}, "
        f"{layer['positions']}, {layer['columns']}, {layer['pool_size']})"
        for index, layer in enumerate(hidden))
    prefix = f"top->rootp->{facts['top'].replace('__', '___05F')}__DOT__layer##index##__DOT__"
    return "\n".join([
        f"#define LAYERS {rows}",
        f"#define LATENCY {facts.get('latency', 0)}",
        f"#define SPIKES_VALID(index) {prefix}neurons__DOT__spikes_valid",
        f"#define SPIKES(index) {prefix}neurons__DOT__spikes",
        f"#define MEMBRANE_VALID(index) {prefix}neurons__DOT__membrane_valid",
        f"#define MEMBRANE(index) {prefix}neurons__DOT__membrane",
        ""])


def _public(facts):
    """Verilator configuration: the signals to keep for the testbench, nothing else."""
    lines = ["`verilator_config"]
    for index in range(len(facts["layers"]) - 1):
        lines += [f'public_flat_rd -module "{facts["top"]}.layer{index}.neurons" -var "{signal}"'
                  for signal in ("spikes_valid", "spikes", "membrane_valid", "membrane")]
    return "\n".join(lines) + "\n"


def compile_model(folder, facts, *, waves=False):
    """Compile a build folder's Verilog; returns the program. Done again only if it changed."""
    return compile_verilog(folder, facts, folder / ("simulation-waves" if waves else "simulation"),
                           "testbench", header=_layers_header(facts), public=_public(facts),
                           options=["--trace-vcd"] if waves else [])


def compile_verilog(folder, facts, work, name, *, header, public, effort="-O2", options=()):
    """Compile a build folder's Verilog with ``sim/<name>.cpp`` into ``work/<name>``, its path.

    header and public: contents of ``layers.h``, and Verilator's configuration of the signals that
    the program sees. Done again only if any of that, or the Verilog, changed.
    """
    stamp, program = work / "stamp", work / name
    texts = [HERE / f"{name}.cpp", HERE / "words.h"]
    source = folder / f"{facts['top']}.v"
    contents = [path.read_bytes() for path in (source, *texts, Path(__file__))]
    key = str(zlib.crc32(b"".join([*contents, header.encode(), public.encode()])))
    if program.exists() and stamp.exists() and stamp.read_text() == key:
        return program
    environment = verilator_environment()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "layers.h").write_text(header)
    (work / "public.vlt").write_text(public)
    for path in texts:
        shutil.copy(path, work)
    memory = (folder / "memory").resolve()
    # -Wno-lint: what is waived, and why, stands in hw/lint.vlt; tests lint with that
    run(["verilator", *options, "--cc", "--exe", "--build", "-j", "2", "-O3", "--prefix", "Vtop",
         "--x-initial", "0", "-Wno-fatal", "-Wno-lint", "--Mdir", "model",
         "--top-module", facts["top"], "-o", f"../{name}",
         "-CFLAGS", f"{effort} -I{work.resolve()}", "-MAKEFLAGS", f"OPT_FAST={effort}",
         f'-DQSNN_MEMORY_DIR="{memory}"', "public.vlt", str(source.resolve()), f"{name}.cpp"],
        environment, work, work / "verilator.log")
    stamp.write_text(key)
    return program


def pack_beats(facts, pixels):
    """Images [N, n_in] as input beats, each in whole little-endian 32-bit words."""
    port = facts["ports"]["i__payload"]
    padded = np.zeros((len(pixels), port["beats_per_image"] * port["pixels"]), dtype=np.uint8)
    padded[:, :pixels.shape[1]] = pixels
    bits = np.unpackbits(padded[..., None], axis=2, bitorder="little")[..., :port["pixel_bits"]]
    beats = bits.reshape(len(pixels) * port["beats_per_image"], port["width"])
    size = -(-port["width"] // 32) * 4
    packed = np.packbits(beats, axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, size - packed.shape[1]))).tobytes()


def unpack_results(facts, payload):
    """Scores [N, classes], labels [N] and whether every ``last`` stands where it should."""
    fields = facts["ports"]["o__payload"]["fields"]
    payload = payload.reshape(-1, facts["layers"][-1]["neurons"])
    score, label, last = (field_of(payload, fields[name]) for name in ("score", "label", "last"))
    return score, label[:, -1], bool((last[:, -1] == 1).all() and not last[:, :-1].any())


def field_of(payload, entry):
    """A field of payloads uint64 [...], int64 [...]."""
    value = (payload >> np.uint64(entry["offset"])).astype(np.int64) & ((1 << entry["width"]) - 1)
    sign = 1 << (entry["width"] - 1)
    return (value ^ sign) - sign if entry["signed"] else value


def watch(command, cwd, progress):
    """Run the testbench and return its output; ``progress`` gets the number of images done."""
    with subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as run:
        line = ""
        for line in run.stderr:
            if line.strip().isdigit():
                progress(int(line))
        output = run.stdout.read()  # one line, which the pipe has room for
    if run.returncode:
        raise SimulationError(f"the simulation failed: {line.strip()}")
    return output


def simulate(folder, facts, description, pixels, *, waves=None, result=None,
             progress=lambda images: None):
    """Stream images through the Verilog of a build folder and compare with the golden model.

    Returns an :class:`Outcome`. ``result`` is the golden result with its trace, if it is known;
    ``waves`` names a VCD to write; ``progress`` is called with the number of images done.
    Raises :class:`SimulationError`.
    """
    pixels = golden.check_pixels(description, pixels)
    program = compile_model(folder, facts, waves=waves is not None)
    work = program.parent
    (work / "beats.bin").write_bytes(pack_beats(facts, pixels))
    command = [str(program.resolve()), "beats.bin", "results.bin", str(len(pixels)),
               str(len(pixels) * facts["ports"]["i__payload"]["beats_per_image"]),
               str(description.classes)]
    if waves is not None:
        command.append(str(Path(waves).resolve()))
    measured = json.loads(watch(command, work, progress))
    scores, labels, framed = unpack_results(
        facts, np.fromfile(work / "results.bin", dtype="<u8"))

    if result is None:
        result = golden.infer(description, pixels, trace=True)
    mismatches = {"labels": int((labels != result.labels).sum()),
                  "scores": int((scores != result.scores).sum()),
                  "framing": int(not framed)}
    for index in range(len(description.hidden)):
        for name, values in (("spikes", result.spikes), ("membranes", result.membranes)):
            layer = np.ascontiguousarray(values[index]).astype(np.uint8)
            if name == "membranes":
                layer &= (1 << description.hidden[index].membrane_bits) - 1
            expected = zlib.crc32(layer.tobytes())
            mismatches[f"layer {index} {name}"] = int(measured[name][index] != expected)
    return Outcome(labels=labels, scores=scores, latency=measured["latency"],
                   cycles=measured["cycles"], mismatches=mismatches,
                   cycles_per_image=measured["after_first"] / max(1, len(pixels) - 1))
