"""Beats of a network's ports as bytes: what goes in, and what comes out.

Each beat is in whole little-endian words of 32 bits; facts are those of a build's JSON.
"""

import numpy as np

from qsnn.hw.plan.window import ceil_div
from qsnn.model.recordings import BEAT
from qsnn.sim.tools import SimulationError

__all__ = ["field_of", "pack_fields", "pack_heartbeats", "pack_images", "pack_sounds", "pack_steps",
           "unpack_results"]


def pack_images(facts, pixels):
    """Images [N, n_in] as input beats."""
    port = facts["ports"]["i_payload"]
    padded = np.zeros((len(pixels), port["beats_per_image"] * port["pixels"]), dtype=np.uint8)
    padded[:, :pixels.shape[1]] = pixels
    bits = np.unpackbits(padded[..., None], axis=2, bitorder="little")[..., :port["pixel_bits"]]
    beats = bits.reshape(len(pixels) * port["beats_per_image"], port["width"])
    size = -(-port["width"] // 32) * 4
    packed = np.packbits(beats, axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, size - packed.shape[1]))).tobytes()


def pack_steps(facts, x, emit, clear):
    """Steps [T, n_in] as input beats; and beats of each step.

    emit, clear: [T] bool.
    """
    port = facts["ports"]["i_payload"]
    fields, words = port["fields"], port["words_per_step"]
    if facts.get("encoder"):
        raise SimulationError(f"this Verilog has the encoder {facts['encoder']} in front: it takes "
                              "a signal and no steps")
    simd, steps = fields["word"]["width"], len(x)
    padded = np.zeros((steps, words, simd), np.uint8)
    padded.reshape(steps, -1)[:, :x.shape[1]] = x
    if facts["events"]:
        chosen = padded.any(axis=2)
        chosen[~chosen.any(axis=1), -1] = True  # a step without a spike is one beat
    else:
        chosen = np.ones((steps, words), bool)
    step, index = np.nonzero(chosen)
    last = np.append(step[1:] != step[:-1], True)
    values = {"emit": emit[step] & last, "clear": clear[step] & last, "index": index, "end": last}
    bits = {f"word {bit}": {"offset": fields["word"]["offset"] + bit, "width": 1}
            for bit in range(simd)}
    values |= {name: padded[step, index, bit] for bit, name in enumerate(bits)}
    fields = {name: field for name, field in fields.items() if name != "word"} | bits
    return pack_fields(fields, values, port["width"], len(step)), chosen.sum(axis=1)


def pack_heartbeats(facts, samples, intervals, records):
    """Heart beats as input of the encoder ``ecg``, see
    :func:`qsnn.model.recordings.encode_beats`.
    """
    port = facts["ports"]["i_payload"]
    fields = port["fields"]
    seen = samples[:, BEAT].astype(np.int64)
    count, length = seen.shape
    values = {"sample": seen.ravel(), "interval": np.repeat(intervals.astype(np.int64), length)}
    at = np.arange(count * length) % length
    fresh = np.append(True, records[1:] != records[:-1])
    values |= {"begin": at == 0, "end": at == length - 1, "fresh": np.repeat(fresh, length)}
    return pack_fields(fields, values, port["width"], count * length)


def pack_sounds(facts, samples):
    """Sounds int16 [N, T] as input of the encoder ``spoken-digits``, a recording each."""
    port = facts["ports"]["i_payload"]
    last = np.arange(samples.size) % samples.shape[1] == samples.shape[1] - 1
    values = {"sample": samples.ravel(), "end": last}
    return pack_fields(port["fields"], values, port["width"], samples.size)


def pack_fields(fields, values, width, count):
    """Fields, numbers [count] each, as beats."""
    words = np.zeros((count, ceil_div(width, 32) * 32), np.uint8)
    for name, field in fields.items():
        for bit in range(field["width"]):
            words[:, field["offset"] + bit] = values[name].astype(np.int64) >> bit & 1
    return np.packbits(words, axis=1, bitorder="little").tobytes()


def unpack_results(facts, payload):
    """Scores [N, classes], labels [N] and whether every ``last`` stands where it should."""
    fields = facts["ports"]["o_payload"]["fields"]
    payload = payload.reshape(-1, facts["layers"][-1]["neurons"])
    score, label, last = (field_of(payload, fields[name]) for name in ("score", "label", "last"))
    return score, label[:, -1], bool((last[:, -1] == 1).all() and not last[:, :-1].any())


def field_of(payload, entry):
    """A field of payloads uint64 [...], int64 [...]."""
    value = (payload >> np.uint64(entry["offset"])).astype(np.int64) & ((1 << entry["width"]) - 1)
    sign = 1 << (entry["width"] - 1)
    return (value ^ sign) - sign if entry["signed"] else value
