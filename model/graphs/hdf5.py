"""HDF5 files of NIR taken apart: nodes as arrays, and edges.

A file is not trusted. Sizes are compared before anything is read: 143 kB can hold zeros of 4 GiB.
Links to other files are not followed. And the library that reads HDF5 may crash on damaged bytes,
or never end; so a process of its own reads the file, with limits, and this one takes arrays.
"""

import io
import json
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np

from qsnn.model.files import amount
from qsnn.model.graphs.graph import GraphError, check

__all__ = ["contents"]

MAX_FILE = 1 << 28  # bytes
MAX_NUMBERS = 1 << 26  # in a file, unpacked
MAX_MEMORY = 1 << 33  # bytes of the process that reads
MAX_GROUPS = 1024  # nodes, those of subgraphs among them
MAX_DEPTH = 4  # of subgraphs
MAX_NAME = 100  # characters of a name that is quoted
SECONDS = 60  # until a reader that does not end is stopped


def contents(path):
    """Nodes {name: {field: array or text}} with their "type", and edges as pairs of names.

    Those of subgraphs have its name and a dot before theirs. Raises
    :class:`~qsnn.model.graphs.graph.GraphError`.
    """
    path = Path(path)
    check(not path.is_dir(), "a folder; name the .nir file in it")
    check(path.is_file(), "no such file")
    check(path.stat().st_size <= MAX_FILE, f"more than {amount(MAX_FILE)}")
    try:
        done = subprocess.run([sys.executable, "-m", __name__, str(path.resolve())],
                              capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise GraphError(f"damaged: it could not be read in {SECONDS} s") from None
    check(done.returncode in (0, 2), "damaged: the library that reads HDF5 has crashed on it")
    check(done.returncode == 0, done.stderr.decode(errors="replace").strip())
    arrays = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    nodes, edges = json.loads(arrays["graph"].tobytes())
    for fields in nodes.values():
        for name, value in fields.items():
            fields[name] = arrays[f"a{value}"] if isinstance(value, int) else value
    return nodes, [tuple(ends) for ends in edges]


def _read(path):
    """:func:`contents` in the process that reads; raises whatever the library does."""
    import h5py
    left = [MAX_NUMBERS, MAX_GROUPS]

    def member(group, name):
        check(isinstance(group, h5py.Group), f"{name} is not in a group")
        check(isinstance(group.get(name, getlink=True), h5py.HardLink),
              f"{name} is missing, or a link to another file")
        return group[name]

    def value(data, name):
        check(isinstance(data, h5py.Dataset), f"{name} is not what it must be")
        size, kind = data.size or 0, data.dtype
        check(kind.kind in "fiub" or h5py.check_string_dtype(kind),
              f"{name} is of {str(kind)[:MAX_NAME]}, not of numbers or text")
        check(not data.is_virtual and not data.external, f"{name} lies in another file")
        left[0] -= size
        most = max(size, prod(data.chunks or (1,)))  # a chunk is unpacked whole
        check(left[0] >= 0 and most <= MAX_NUMBERS, f"{name}: more than {MAX_NUMBERS} numbers")
        found = data[()]
        return found.decode() if isinstance(found, bytes) else np.asarray(found)

    def subgraph(group, prefix, depth):
        check(depth < MAX_DEPTH, "subgraphs lie in subgraphs without an end")
        nodes, edges, inner = {}, [], member(group, "nodes")
        left[1] -= len(inner)
        check(left[1] >= 0, f"more than {MAX_GROUPS} nodes")
        for name in inner:
            node, where = member(inner, name), f"{prefix}{name}"
            kind = str(value(member(node, "type"), "type"))
            fields = {}
            if kind == "NIRGraph":
                below, between = subgraph(node, f"{where}.", depth + 1)
                nodes |= below
                edges += between
            else:
                fields = {field: value(member(node, field), f"{where}.{field}") for field in node
                          if field not in ("type", "metadata")}
            nodes[where] = fields | {"type": kind}
        for pair in value(member(group, "edges"), "edges").reshape(-1, 2):
            ends = [prefix + (end.decode() if isinstance(end, bytes) else str(end)) for end in pair]
            for end in ends:
                check(end in nodes, f"an edge names the node {end[:MAX_NAME]}, which is not there")
            edges.append(ends)
        return nodes, edges

    with h5py.File(path, "r") as file:
        return subgraph(member(file, "node"), "", 0)


def _main(path):
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        nodes, edges = _read(path)
    except ImportError:
        return "NIR files need h5py: pip install 'qsnn-fpga[nir]'"
    except GraphError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  of a library that a damaged file confuses
        return f"not a readable NIR graph ({' '.join(str(error).split())})"
    arrays = {}
    for fields in nodes.values():
        for name, value in fields.items():
            if not isinstance(value, str):
                text = value.dtype.kind not in "fiub"
                arrays[f"a{len(arrays)}"] = np.array("text") if text else value
                fields[name] = len(arrays) - 1
    text = json.dumps([nodes, edges]).encode()
    np.savez(sys.stdout.buffer, graph=np.frombuffer(text, np.uint8), **arrays)
    return None


if __name__ == "__main__":
    said = _main(sys.argv[1])
    if said is not None:
        sys.stderr.write(said)
        sys.exit(2)
