"""A network for streams as text: Verilog, memory images, JSON and report.

The same description and folding give the same bytes, on every run and machine.
"""

import hashlib
import json

import numpy as np

from qsnn.hw.core.network import image_name
from qsnn.hw.emit.artefacts import LINT, fields_of, module_name, to_verilog
from qsnn.hw.emit.serial_facts import serial_facts
from qsnn.hw.plan.images import write_hex
from qsnn.hw.serial.network import StreamNetwork

__all__ = ["serial_artefacts"]


def serial_artefacts(description, foldings, name, *, events=False, encoder=""):
    """File name -> text, for a stream and its folding. Raises ``FoldingError``."""
    network = StreamNetwork(description, foldings, files=True, events=events, encoder=encoder)
    top = module_name(name)
    files = {f"{top}.v": to_verilog(network, top)}
    for index, contents in enumerate(network.tables):
        for memory, (width, words) in contents.items():
            files[f"memory/{image_name(index, memory)}"] = write_hex(width, words)
    facts = _facts(description, network, top) | {"encoder": encoder}
    facts["verilog_sha256"] = hashlib.sha256(files[f"{top}.v"].encode()).hexdigest()
    files[f"{top}.json"] = json.dumps(facts, indent=2) + "\n"
    files["report.txt"] = report(name, facts)
    files["lint.vlt"] = LINT
    return files


def _facts(description, network, top):
    first = network.plan.stages[0]
    inputs, in_width = fields_of(network.i.p, signed=("sample",))
    outputs, out_width = fields_of(network.o.p, signed=("score",))
    return {
        "format": 1,
        "top": top,
        "stream": True,
        "events": network.events,
        "description_sha256": description.hash,
        "shape": description.shape,
        "time_steps": 0,
        "ports": {
            "clk": {"width": 1, "direction": "input"},
            "rst": {"width": 1, "direction": "input", "active": "high, synchronous"},
            "i__payload": {"width": in_width, "direction": "input", "fields": inputs,
                           "words_per_step": first.in_words},
            "i__valid": {"width": 1, "direction": "input"},
            "i__ready": {"width": 1, "direction": "output"},
            "o__payload": {"width": out_width, "direction": "output", "fields": outputs,
                           "beats_per_result": description.classes},
            "o__valid": {"width": 1, "direction": "output"},
            "o__ready": {"width": 1, "direction": "input"},
            "busy": {"width": 1, "direction": "output"},
        },
        "memories": [],
        "layers": [serial_facts(index, layer, stage, hardware, contents)
                   for index, (layer, stage, hardware, contents) in enumerate(
                       zip(description.layers, network.plan.stages, network.layers,
                           network.tables, strict=True))],
    }


def report(name, facts):
    """One page of text for people."""
    lines = [
        f"{name}: {facts['shape']}, a stream of steps, top module {facts['top']}",
        f"description {facts['description_sha256'][:16]}",
        "",
        "a sparse layer reads the words of inputs that have a spike, and no others; memory in bits",
        f"{'layer':<7}{'inputs':>8}{'taps':>6}{'own':>5}{'neurons':>9}{'PE':>5}{'SIMD':>6}"
        f"{'sparse':>8}{'cycles a step':>20}{'weights':>10}{'params':>8}{'lists':>8}{'state':>7}",
    ]
    total = np.zeros(4, int)
    for index, layer in enumerate(facts["layers"]):
        bits = {memory: entry["width"] * entry["depth"]
                for memory, entry in layer["memories"].items()}
        sizes = [bits.pop("weights"), sum(bits.values()), layer["buffer_bits"],
                 layer["state_bits"]]
        total += sizes
        cycles = layer["cycles_per_step"]
        span = f"{cycles['without_spikes'] if layer['sparse'] else cycles['dense']:,} to " \
               f"{cycles['dense']:,}"
        lines.append(f"{index:<7}{layer['inputs']:>8}{layer['taps']:>6}"
                     f"{'yes' if layer['recurrent'] else '-':>5}{layer['neurons']:>9}"
                     f"{layer['pe']:>5}{layer['simd']:>6}{'yes' if layer['sparse'] else 'no':>8}"
                     f"{span:>20}" + "".join(f"{size:>{width},}" for size, width in zip(
                         sizes, (10, 8, 8, 7), strict=True)))
    lines.append(f"{'sum':<74}" + "".join(f"{int(size):>{width},}" for size, width in zip(
        total, (10, 8, 8, 7), strict=True)))
    return "\n".join(lines) + "\n"
