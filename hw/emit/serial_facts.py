"""What the JSON of a build says of a time-serial layer, in a stream or behind parallel ones."""

from qsnn.hw.core.network import image_name

__all__ = ["image_facts", "serial_facts"]


def serial_facts(index, layer, stage, hardware, contents):
    """What the JSON says of a time-serial layer."""
    entry = len(hardware.buffer.entry.as_value())
    state = stage.neurons * (hardware.parameters.sum_max.bit_length() if stage.readout
                             else layer.membrane_bits)
    facts = {
        "kind": layer.kind, "inputs": layer.n_in, "neurons": layer.n_out, "taps": stage.taps,
        "recurrent": stage.recurrent, "pe": stage.pe, "simd": stage.simd, "sparse": stage.sparse,
        "words": stage.words, "groups": stage.groups, "lanes": stage.lanes,
        "channels": stage.n_out, "positions": 1, "columns": 1, "pool_size": 1,
        "padded_neurons": stage.neurons,
        "cycles_per_step": {"dense": int(stage.step_cycles(stage.words)),
                            "without_spikes": int(stage.step_cycles(0))},
        "frac": layer.frac,
        "memories": {name: {"file": f"memory/{image_name(index, name)}", "width": width,
                            "depth": len(words)}
                     for name, (width, words) in contents.items()},
        "buffer_bits": 2 * stage.words * entry,
        "state_bits": state,
    }
    if not stage.readout:
        facts |= {"membrane_bits": layer.membrane_bits, "signed": layer.signed,
                  "shift": layer.shift}
    return facts


def image_facts(facts, layer, stage, time_steps):
    """The same as a part of a network for images, at ``time_steps`` steps an image."""
    cycles = time_steps * facts["cycles_per_step"]["dense"]
    return facts | {
        "serial": True, "steps": 1, "spram": False, "pixels": 1, "weight_bits": 1,
        "cycles": cycles,
        "utilisation": round(layer.fan_in * layer.n_out * time_steps / (
            stage.pe * stage.simd * cycles), 4),
    }
