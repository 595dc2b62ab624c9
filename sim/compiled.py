"""The whole test set through the emitted Verilog, compiled by Verilator.

Labels, class scores and a CRC-32 of every layer's spikes and membranes are compared with the
golden model. The Verilog and its memory images are those of a build folder, as they are.
"""

import json
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsnn.model import golden
from qsnn.model.layers import pair
from qsnn.sim.beats import pack_images, unpack_results
from qsnn.sim.program import compiled, workspace
from qsnn.sim.tools import SimulationError

__all__ = ["Checksums", "Outcome", "compile_model", "compile_verilog", "differing", "most_idle",
           "public", "run_program", "simulate", "watch"]

HERE = Path(__file__).parent
CLOCK = 50e6  # Hz, for images a second


CHUNK = 500  # images that the golden model goes at once, with their traces


@dataclass(frozen=True)
class Outcome:
    """What the Verilog gave for images, and where it differs from the golden model.

    labels, scores    [N], [N, classes]
    expected          [N], labels of the golden model
    latency, cycles   of the first image; of all
    cycles_per_image  from one to the next
    rates             firing rate of each hidden layer
    mismatches        name -> number of labels, of scores, and of layers' checksums that differ
    """

    labels: np.ndarray
    scores: np.ndarray
    expected: np.ndarray
    latency: int
    cycles: int
    cycles_per_image: float
    rates: tuple
    mismatches: dict

    @property
    def ok(self):
        return not any(self.mismatches.values())

    @property
    def pace(self):
        """Cycles from one image to the next, None of a single one; and the first one's latency."""
        return self.cycles_per_image or None, self.latency

    def rows(self, facts):
        """(name, value) of what a table says beside accuracy and mismatches."""
        planned = "at most" if facts["at_most"] else "planned"
        return [("cycles per image", f"{self.cycles_per_image:g}"
                                     f" ({planned} {facts['cycles_per_image']:g})"),
                ("latency in cycles", f"{self.latency:,} ({planned} {facts['latency']:,})"),
                ("images/s at 50 MHz", f"{CLOCK / self.cycles_per_image:,.0f}")]


def most_idle(latency):
    """Cycles without any beat, in or out, after which a network hangs; an encoder takes hundreds.

    latency: of the network, as planned.
    """
    return 5000 + 4 * latency


def _layers_header(facts):
    """The names of the signals that the testbench watches, as C macros."""
    hidden = facts["layers"][:-1]
    rows = " ".join(
        f"LAYER({index}, {layer['channels']}, {layer['padded_neurons']}, {layer['lanes']}, "
        f"{layer['steps']}, {layer['held_bits']}, "
        f"{layer['positions']}, {layer['columns']}, "
        + ", ".join(map(str, pair(layer["pool_size"]))) + ")"
        for index, layer in enumerate(hidden))
    latency = facts.get("latency") or len(facts["layers"]) * facts["cycles_per_step"]
    prefix = f"top->rootp->{facts['top'].replace('__', '___05F')}__DOT__layer##index##__DOT__"
    return "\n".join([
        f"#define LAYERS {rows}",
        f"#define MOST_IDLE {most_idle(latency)}",
        f"#define SPIKES_VALID(index) {prefix}neurons__DOT__spikes_valid",
        f"#define SPIKES(index) {prefix}neurons__DOT__spikes",
        f"#define MEMBRANE_VALID(index) {prefix}neurons__DOT__membrane_valid",
        f"#define MEMBRANE(index) {prefix}neurons__DOT__membrane",
        ""])


def public(facts):
    """Verilator configuration: the signals to keep for the testbench, nothing else."""
    lines = ["`verilator_config"]
    for index in range(len(facts["layers"]) - 1):
        lines += [f'public_flat_rd -module "{facts["top"]}.layer{index}.neurons" -var "{signal}"'
                  for signal in ("spikes_valid", "spikes", "membrane_valid", "membrane")]
    return "\n".join(lines) + "\n"


def compile_model(folder, facts, *, waves=None):
    """The program that sends images, or steps, through a build folder's Verilog.

    waves: the VCD that it shall write. Raises :class:`qsnn.sim.tools.SimulationError`.
    """
    if waves is not None and (Path(waves).is_dir() or not Path(waves).absolute().parent.is_dir()):
        raise SimulationError(f"{waves} cannot be written: not a file in a folder that is there")
    return compile_verilog(folder, facts, "testbench", header=_layers_header(facts),
                           public=public(facts),
                           options=["--trace-vcd"] if waves is not None else [])


def compile_verilog(folder, facts, name, *, header, public, **options):
    """The program of a build folder's Verilog with ``sim/<name>.cpp``, see
    :func:`qsnn.sim.program.compiled`.

    header and public: contents of ``layers.h``, and Verilator's configuration of the signals that
    the program sees.
    """
    sources = {"layers.h": header, "public.vlt": public,
               "network.v": (folder / f"{facts['top']}.v").read_text(),
               **{file: (HERE / file).read_text() for file in ("words.h", f"{name}.cpp")}}
    return compiled(folder / "simulation", name, sources, top=facts["top"], **options)


def run_program(program, folder, signal, arguments, progress, waves=None):
    """Run a program of :func:`compile_model`: (what it measured, words of its results).

    signal: beats of the input, in bytes; arguments: numbers that it takes.
    """
    with workspace(folder) as work:
        (work / "beats.bin").write_bytes(signal)
        command = [str(program.resolve()), "beats.bin", "results.bin", *map(str, arguments)]
        if waves is not None:
            command.append(str(Path(waves).resolve()))
        try:
            measured = json.loads(watch(command, work, progress))
        except ValueError:  # it ended early without a word: a memory image that is not there
            raise SimulationError("the simulation ended without a result: are all memory images "
                                  "there? run qsnn build") from None
        return measured, np.fromfile(work / "results.bin", dtype="<u8")


def watch(command, cwd, progress):
    """Run the testbench and return its output; ``progress`` gets the number of images done."""
    with subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as run:
        said = "no message"
        for line in run.stderr:
            if line.strip().isdigit():
                progress(int(line))
            elif line.strip():
                said = line.strip()
        output = run.stdout.read()  # one line, which the pipe has room for
    if run.returncode:
        raise SimulationError(f"the simulation failed: {said}")
    return output


def simulate(folder, facts, description, pixels, *, waves=None, progress=lambda images: None):
    """Stream images [N, n_in] through the Verilog of a build folder, compare with the golden model.

    Returns an :class:`Outcome`. ``waves`` names a VCD to write; ``progress`` is called with the
    number of images done. Raises :class:`qsnn.sim.tools.SimulationError`.
    """
    pixels = golden.check_pixels(description, pixels)
    program = compile_model(folder, facts, waves=waves)
    beats = len(pixels) * facts["ports"]["i_payload"]["beats_per_image"]
    measured, results = run_program(
        program, folder, pack_images(facts, pixels), (len(pixels), beats, description.outputs),
        progress, waves)
    scores, labels, framed = unpack_results(facts, results)

    expected, rates, checksums = _golden(description, pixels)
    mismatches = {"labels": int((labels != golden.labels_of(expected)).sum()),
                  "scores": int((scores != expected).sum()), "framing": int(not framed)}
    mismatches |= differing(measured, checksums)
    return Outcome(labels=labels, scores=scores, expected=golden.labels_of(expected),
                   latency=measured["latency"], cycles=measured["cycles"], rates=rates,
                   mismatches=mismatches,
                   cycles_per_image=measured["after_first"] / max(1, len(pixels) - 1))


def _golden(description, pixels):
    """Scores, firing rates, and name -> CRC-32 of each hidden layer, a chunk at a time."""
    scores, checksums = [], Checksums(description)
    rates = np.zeros(len(description.hidden))
    for start in range(0, len(pixels), CHUNK):
        result = golden.infer(description, pixels[start:start + CHUNK], trace=True)
        scores.append(result.scores)
        rates += np.array(result.rates) * len(result.labels) / len(pixels)
        checksums.add(result.spikes, result.membranes)
    return np.concatenate(scores), tuple(rates.tolist()), checksums


class Checksums:
    """CRC-32 of the spikes and of the membranes of each hidden layer, as the testbenches count."""

    def __init__(self, description):
        self.hidden = description.hidden
        self.found = {"spikes": [0] * len(self.hidden), "membranes": [0] * len(self.hidden)}

    def add(self, spikes, membranes):
        """What comes next: of each layer [..., n_out]."""
        for index, layer in enumerate(self.hidden):
            held = membranes[index].astype(np.uint8 if layer.held_bits <= 8 else "<u2")
            held &= (1 << layer.held_bits) - 1
            for name, values in (("spikes", spikes[index].astype(np.uint8)), ("membranes", held)):
                self.found[name][index] = zlib.crc32(np.ascontiguousarray(values).tobytes(),
                                                     self.found[name][index])


def differing(measured, checksums):
    """name -> 1 where a testbench's checksum of a layer is another one, else 0."""
    return {f"layer {index} {name}": int(measured[name][index] != found)
            for index in range(len(checksums.hidden))
            for name, found in ((name, checksums.found[name][index])
                                for name in ("spikes", "membranes"))}
