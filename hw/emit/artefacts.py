"""Everything that describes a network in hardware, as text: Verilog, memory images, JSON, report.

The same description and folding give the same bytes, on every run and machine.
"""

import hashlib
import json
import re
from pathlib import Path

from amaranth.back import verilog

from qsnn.hw import core
from qsnn.hw.core.network import Network, image_name
from qsnn.hw.emit.serial_facts import image_facts, serial_facts
from qsnn.hw.plan.folding import FoldingError
from qsnn.hw.plan.images import write_hex
from qsnn.hw.plan.serial import SerialFolding, SerialStage
from qsnn.hw.serial.mixed import MixedNetwork

__all__ = ["artefacts", "fields_of", "module_name", "to_verilog", "utilisation"]

CELLS = ("accumulator", "spram", "ram", "rom")  # modules written by hand: qsnn_<file>
START = re.compile(r"reg (\\\$auto\$verilog_backend\S+ ) = 0;")

LINT = (Path(__file__).parent / "lint.vlt").read_text()  # what -Wall need not say, and why


def module_name(name):
    """A Verilog identifier for a network's name; those of our own cells begin with qsnn_."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    return word if re.match(r"(?!qsnn_)[A-Za-z]", word) else f"qsnn_{word}"


def to_verilog(component, top):
    """The Verilog of a component, with the modules written by hand that it uses."""
    text = verilog.convert(component, name=top, emit_src=False, strip_internal_attrs=True)
    # Yosys has each always @* wait for a reg of its own, initialised where it is declared, so that
    # it runs once at the start. By IEEE 1800 such an initialisation is no event, and in Icarus a
    # default that only registers select would stay x until one of them changes.
    text = START.sub(r"reg \1;\n  initial \1 = 0;", text)
    for cell in CELLS:
        if f"qsnn_{cell} " in text:  # those that others use come after them
            text += (Path(core.__file__).parent / f"{cell}.v").read_text()
    return text


def artefacts(description, foldings, name, *, loadable=False):
    """File name -> text, for a network and its folding. Raises ``FoldingError``."""
    loadable |= any(getattr(folding, "spram", False) for folding in foldings)
    if any(isinstance(folding, SerialFolding) for folding in foldings):
        if loadable:
            raise FoldingError("memories of serial layers cannot be loaded: leave out --loadable")
        network = MixedNetwork(description, foldings, files=True)
    else:
        network = Network(description, foldings, files=True, loadable=loadable)
    top = module_name(name)
    files = {f"{top}.v": to_verilog(network, top)}
    for index, contents in enumerate(network.tables):
        for memory, (width, words) in contents.items():
            files[f"memory/{image_name(index, memory)}"] = write_hex(width, words)
    facts = _facts(description, network, top)
    facts["verilog_sha256"] = hashlib.sha256(files[f"{top}.v"].encode()).hexdigest()
    files[f"{top}.json"] = json.dumps(facts, indent=2) + "\n"
    files["report.txt"] = report(name, facts)
    files["lint.vlt"] = LINT
    return files


def fields_of(payload, signed=()):
    """Where the fields of a payload lie: name -> offset and width; and the payload's width."""
    fields, offset = {}, 0
    for field in payload.shape().members:
        width = len(getattr(payload, field))
        fields[field] = {"offset": offset, "width": width, "signed": field in signed}
        offset += width
    return fields, offset


def _facts(description, network, top):
    plan = network.plan
    first, last = plan.stages[0], plan.stages[-1]
    fields, out_width = fields_of(network.o.p, signed=("score",))
    return {
        "format": 1,
        "top": top,
        "description_sha256": description.hash,
        "shape": description.shape,
        "time_steps": description.time_steps,
        "ports": {
            "clk": {"width": 1, "direction": "input"},
            "rst": {"width": 1, "direction": "input", "active": "high, synchronous"},
            "i__payload": {"width": first.simd * first.bits, "direction": "input",
                           "pixel_bits": first.bits, "pixels": first.simd,
                           "beats_per_image": first.beats},
            "i__valid": {"width": 1, "direction": "input"},
            "i__ready": {"width": 1, "direction": "output"},
            "o__payload": {"width": out_width, "direction": "output", "fields": fields,
                           "beats_per_image": last.n_out},
            "o__valid": {"width": 1, "direction": "output"},
            "o__ready": {"width": 1, "direction": "input"},
            **(_load_ports(network.load) if network.memories else {}),
        },
        "memories": [f"layer{index}_{name}" for index, name, *_ in network.memories],
        "cycles_per_image": float(plan.cycles_per_image),
        "latency": plan.latency,
        "at_most": isinstance(network, MixedNetwork),  # of the cycles
        "layers": [_layer_facts(index, layer, stage, hardware, contents, description.time_steps)
                   for index, (layer, stage, hardware, contents) in enumerate(
                       zip(description.layers, plan.stages, network.layers, network.tables,
                           strict=True))],
    }


def _load_ports(port):
    """See :class:`qsnn.hw.core.rom.LoadPort`; ``memories`` in the JSON lists what ``select``
    counts.
    """
    return {f"load__{name}": {"width": len(getattr(port, name)),
                              "direction": "output" if name == "byte" else "input"}
            for name in ("select", "hold", "at", "column", "data", "write", "byte")}


def _layer_facts(index, layer, stage, hardware, contents, time_steps):
    if isinstance(stage, SerialStage):
        return image_facts(serial_facts(index, layer, stage, hardware, contents), layer, stage,
                           time_steps)
    facts = {
        "kind": layer.kind, "inputs": layer.n_in, "neurons": layer.n_out,
        "pe": stage.pe, "simd": stage.simd, "spram": stage.spram, "pixels": stage.pixels,
        "words": stage.words, "groups": stage.groups, "lanes": stage.lanes,
        "channels": stage.n_out, "positions": len(stage.places),
        "columns": stage.window.out_width if stage.window else 1,
        "pool_size": stage.window.pool_size if stage.window else 1,
        "weight_bits": stage.planes,
        "padded_inputs": stage.words * stage.simd, "padded_neurons": stage.neurons,
        "cycles": stage.image_cycles,
        "utilisation": round(utilisation(layer, stage), 4),
        "frac": layer.frac,
        "memories": {name: {"file": f"memory/{image_name(index, name)}", "width": width,
                            "depth": len(words)}
                     for name, (width, words) in contents.items()},
        "buffer_bits": _buffer_bits(stage),
    }
    if stage.readout:
        parameters = hardware.scores.parameters
    else:
        parameters = hardware.neurons.parameters
        facts |= {"membrane_bits": layer.membrane_bits, "signed": layer.signed,
                  "shift": layer.shift, "threshold": _shape(parameters.threshold_shape)}
    facts["bias"] = _shape(parameters.bias_shape)
    return facts


def utilisation(layer, stage):
    """Bits of weights that neurons meet, as a part of PE x SIMD x pixels x cycles of the layer."""
    skip = layer.skip.weights if layer.skip else None
    synapses = layer.fan_in * layer.weight_bits + (0 if skip is None else skip.shape[1])
    units = stage.pe * stage.simd * stage.pixels
    return synapses * layer.n_out / (units * stage.image_cycles)


def _buffer_bits(stage):
    bits = stage.bits * stage.steps
    total = stage.buffer_words * stage.simd * bits
    if stage.skip:
        total += stage.skip_words * stage.skip_elements * bits
    return total * stage.pixels


def _shape(shape):
    return {"width": shape.width, "signed": shape.signed}


def report(name, facts):
    """One page of text for people."""
    lines = [
        f"{name}: {facts['shape']}, {facts['time_steps']} time steps, top module {facts['top']}",
        f"description {facts['description_sha256'][:16]}",
        "",
        f"cycles per image  {facts['cycles_per_image']:g}" + " at most" * facts["at_most"],
        f"latency           {facts['latency']} cycles" + " at most" * facts["at_most"],
        f"images/s          {50e6 / facts['cycles_per_image']:,.0f} at 50 MHz",
        "",
        "memory in bits; in use: share of the PE x SIMD x pixels x cycles that meet a synapse",
        f"{'layer':<8}{'inputs':>8}{'neurons':>9}{'PE':>6}{'SIMD':>6}{'pixels':>8}{'cycles':>8}"
        f"{'in use':>8}{'weights':>11}{'params':>9}{'buffer':>9}",
    ]
    total = [0, 0, 0]
    for index, layer in enumerate(facts["layers"]):
        bits = {memory: entry["width"] * entry["depth"]
                for memory, entry in layer["memories"].items()}
        weights = bits.pop("weights") + bits.pop("weights_upper", 0)
        sizes = [weights, sum(bits.values()), layer["buffer_bits"]]
        total = [a + b for a, b in zip(total, sizes, strict=True)]
        lines.append(f"{index:<8}{layer['inputs']:>8}{layer['neurons']:>9}{layer['pe']:>6}"
                     f"{layer['simd']:>6}{layer['pixels']:>8}{layer['cycles']:>8}{layer['utilisation']:>8.0%}"
                     f"{sizes[0]:>11,}{sizes[1]:>9,}{sizes[2]:>9,}")
    lines.append(f"{'sum':<61}{total[0]:>11,}{total[1]:>9,}{total[2]:>9,}")
    return "\n".join(lines) + "\n"
