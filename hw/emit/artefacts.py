"""Everything that describes a network in hardware, as text: Verilog, memory images, JSON, report.

The same description and folding give the same bytes, on every run and machine.
"""

import hashlib
import json
from pathlib import Path

from qsnn.hw.emit.report import report
from qsnn.hw.emit.verilog import module_name, to_verilog
from qsnn.hw.network import Network
from qsnn.hw.plan.images import write_hex

__all__ = ["artefacts", "fields_of"]

LINT = (Path(__file__).parent / "lint.vlt").read_text()  # what -Wall need not say, and why
SIGNED = ("score", "sample")  # fields of payloads


def artefacts(description, foldings, name, *, loadable=False, events=False, encoder=""):
    """File name -> text, for a network and its folding.

    loadable, events, encoder: as for :class:`qsnn.hw.network.Network`, but that single-port RAM
    makes all memories loadable: a host loads all or nothing. Raises
    :class:`qsnn.hw.plan.folding.FoldingError`.
    """
    loadable |= any(folding.spram for folding in foldings)
    top = module_name(name)
    network = Network(description, foldings, files=top, loadable=loadable, events=events,
                      encoder=encoder)
    files = {f"{top}.v": to_verilog(network, top)}
    for planned in network.plan.layers:
        names = planned.image_names(top)
        for memory, (width, words) in planned.tables.items():
            files[f"memory/{names[memory]}"] = write_hex(width, words)
    facts = _facts(description, network, top, encoder)
    facts["verilog_sha256"] = hashlib.sha256(files[f"{top}.v"].encode()).hexdigest()
    files[f"{top}.json"] = json.dumps(facts, indent=2) + "\n"
    files["report.txt"] = report(name, facts)
    files["lint.vlt"] = LINT
    return files


def fields_of(payload):
    """Where the fields of a payload lie: name -> offset and width; and the payload's width."""
    fields, offset = {}, 0
    for field in payload.shape().members:
        width = len(getattr(payload, field))
        fields[field] = {"offset": offset, "width": width, "signed": field in SIGNED}
        offset += width
    return fields, offset


def _facts(description, network, top, encoder):
    plan = network.plan
    fields, width = fields_of(network.o.p)
    return {
        "format": 1,
        "top": top,
        "unit": plan.unit,
        "encoder": encoder,
        "events": network.events,
        "description_sha256": description.hash,
        "shape": description.shape,
        "time_steps": description.time_steps,
        **({"classes": list(description.meaning.classes)} if description.meaning else {}),
        "ports": {
            "clk": {"width": 1, "direction": "input"},
            "rst": {"width": 1, "direction": "input", "active": "high, synchronous"},
            "i_payload": {"direction": "input", **_input(network)},
            "i_valid": {"width": 1, "direction": "input"},
            "i_ready": {"width": 1, "direction": "output"},
            "o_payload": {"width": width, "direction": "output", "fields": fields,
                           "beats_per_result": description.outputs},
            "o_valid": {"width": 1, "direction": "output"},
            "o_ready": {"width": 1, "direction": "input"},
            **({"busy": {"width": 1, "direction": "output"}} if hasattr(network, "busy") else {}),
            **(_load_ports(network.load) if network.memories else {}),
        },
        "memories": [f"layer{index}_{name}" for index, name, *_ in network.memories],
        **plan.facts,
        "at_most": plan.at_most,  # of the cycles
        "layers": [planned.facts(top) for planned in plan.layers],
    }


def _input(network):
    """What a beat of the input has."""
    first = network.plan.stages[0]
    if network.plan.time_steps:
        return {"width": first.simd * first.bits, "pixel_bits": first.bits, "pixels": first.simd,
                "beats_per_image": first.beats}
    fields, width = fields_of(network.i.p)
    return {"width": width, "fields": fields, "words_per_step": first.in_words}


def _load_ports(port):
    """See :class:`qsnn.hw.core.rom.LoadPort`; ``memories`` of the JSON has what ``select`` counts.
    """
    return {f"load_{name}": {"width": len(getattr(port, name)),
                              "direction": "output" if name == "byte" else "input"}
            for name in ("select", "hold", "at", "column", "data", "write", "byte")}
