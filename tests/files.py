"""Safetensors files taken apart, damaged and put together again, without the library."""

import json
import struct

__all__ = ["fuzz", "join", "split"]

VALUES = [None, True, False, -1, 0, 1, 2, 3, 7, 8, 9, 24, 25, 64, 65536, 65537, 1 << 31, 1 << 63,
          1 << 64, 10 ** 40, 10 ** 4299, 0.5, 1.0, float("nan"), float("inf"), "", "1", "readout",
          "fully_connected", "U8", "I8", "I64", "F64", "\x00", "\U0001f600", "x" * 10_000,
          [], {}, [[]], [1], [2, 1], [1 << 40, 1 << 40], [0, 1 << 60], {"kind": "readout"}]


def split(data):
    """(header, tensor bytes) of a file."""
    size, = struct.unpack_from("<Q", data)
    return json.loads(data[8:8 + size]), data[8 + size:]


def join(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def fuzz(rng, data):
    """The file damaged once, or up to three times in different ways."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        try:
            data = damage(rng, data)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error,
                RecursionError):
            pass  # damaged beyond this kind of damage already
    return data


def _flip(rng, data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def _truncate(rng, data):
    return data[:rng.integers(len(data))]


def _insert(rng, data):
    at = rng.integers(len(data) + 1)
    return data[:at] + rng.bytes(rng.integers(1, 20)) + data[at:]


def _remove(rng, data):
    start, end = sorted(rng.integers(len(data), size=2))
    return data[:start] + data[end:]


def _length(rng, data):
    """Claim a header of another size."""
    size = _pick(rng, [0, 1, 2, 1000, 1 << 27, 1 << 40, (1 << 64) - 1])
    return struct.pack("<Q", size) + data[8:]


def _table(rng, data):
    """Change a field of the table of tensors, or the whole of it."""
    header, data = split(data)
    _change(rng, header)
    return join(header, data)


def _header(rng, data):
    """Change a field of the network's header: what lies behind the container's own checks."""
    header, data = split(data)
    network = json.loads(header["__metadata__"]["qsnn"])
    for _ in range(rng.integers(1, 3)):
        _change(rng, network)
    header["__metadata__"]["qsnn"] = json.dumps(network)
    return join(header, data)


def _number(rng, data):
    """Nudge a number of the network's header: most stay valid on their own."""
    header, data = split(data)
    network = json.loads(header["__metadata__"]["qsnn"])
    place = _pick(rng, [network, *network["layers"]])
    key = _pick(rng, [key for key, value in place.items() if isinstance(value, int)])
    place[key] = not place[key] if isinstance(place[key], bool) else \
        place[key] + int(rng.choice([-8, -1, 1, 8]))
    header["__metadata__"]["qsnn"] = json.dumps(network)
    return join(header, data)


def _layers(rng, data):
    """Drop, repeat or swap layers; with their tensors, or without."""
    header, data = split(data)
    network = json.loads(header["__metadata__"]["qsnn"])
    count = len(network["layers"])
    chosen = rng.integers(count, size=rng.integers(1, count + 2))
    network["layers"] = [network["layers"][i] for i in chosen]
    metadata = {"qsnn": json.dumps(network)}
    if rng.integers(2):
        return join(header | {"__metadata__": metadata}, data)
    tensors = [(f"{index}.{name.partition('.')[2]}", entry)
               for index, i in enumerate(chosen)
               for name, entry in header.items() if name.startswith(f"{i}.")]
    return _pack(metadata, tensors, data)


def _integer(rng, data):
    """Set one integer of a threshold or a bias."""
    header, data = split(data)
    name = _pick(rng, [name for name in header if name.endswith(("bias", "threshold"))])
    start, end = header[name]["data_offsets"]
    at = start + 8 * int(rng.integers((end - start) // 8))
    value = _pick(rng, [-1 << 63, (1 << 63) - 1, -1 << 32, 1 << 32, -1 << 12, 1 << 12, 0])
    return join(header, data[:at] + struct.pack("<q", value) + data[at + 8:])


def _reshape(rng, data):
    """Claim a width that fits everywhere but in the bytes, up to the giant ones."""
    header, data = split(data)
    network = json.loads(header["__metadata__"]["qsnn"])
    index = int(rng.integers(len(network["layers"])))
    layer = network["layers"][index]
    layer[_pick(rng, ["n_in", "n_out"])] = _pick(rng, [1, 2, 7, 8, 9, 4096, 65536])
    header["__metadata__"]["qsnn"] = json.dumps(network)
    if rng.integers(2):
        header[f"{index}.weights"]["shape"] = [layer["n_out"], (layer["n_in"] + 7) // 8]
        header[f"{index}.bias"]["shape"] = [layer["n_out"]]
    return join(header, data)


def _shuffle(rng, data):
    """Store the tensors in another order, or under each other's names."""
    header, data = split(data)
    metadata = header.pop("__metadata__")
    names = list(header)
    if rng.integers(2):
        rng.shuffle(names)
    tensors = list(zip(names, header.values(), strict=True))
    return _pack(metadata, [tensors[i] for i in rng.permutation(len(tensors))], data)


def _pack(metadata, tensors, data):
    """A file of tensors (name, entry) whose bytes are taken from another file's data."""
    header, parts, offset = {"__metadata__": metadata}, [], 0
    for name, entry in tensors:
        part = data[slice(*entry["data_offsets"])]
        header[name] = entry | {"data_offsets": [offset, offset + len(part)]}
        parts.append(part)
        offset += len(part)
    return join(header, b"".join(parts))


def _deep(rng, data):
    """Nest the network's header."""
    header, data = split(data)
    depth = _pick(rng, [10, 200, 20_000])
    text = header["__metadata__"]["qsnn"]
    header["__metadata__"]["qsnn"] = text.replace(
        '"time_steps":', f'"time_steps":{"[" * depth}{"]" * depth},"x":', 1)
    return join(header, data)


def _change(rng, root):
    """Replace, remove, rename, add or move one place of a nest of lists and objects."""
    places = list(_places(root))
    place, key = _pick(rng, places)
    action = rng.integers(6)
    if action == 0:
        del place[key]
    elif action == 1 and isinstance(place, dict):
        place[_pick(rng, ["x", "", "qsnn", "9.bias", "version"])] = place.pop(key)
    elif action == 2:
        other, other_key = _pick(rng, places)
        place[key], other[other_key] = other[other_key], place[key]
        json.dumps(root)  # refuses circles
    else:
        place[key] = _pick(rng, VALUES)


def _places(node):
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _places(node[key])


def _pick(rng, items):
    return items[rng.integers(len(items))]


DAMAGES = [_flip, _truncate, _insert, _remove, _length, _table, _table, _header, _header, _header,
           _number, _number, _layers, _integer, _integer, _reshape, _shuffle, _deep]
