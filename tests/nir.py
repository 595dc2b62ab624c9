"""NIR files made for a test, and the folder of those that frameworks and others have written."""

import os
from pathlib import Path

import numpy as np
import pytest

__all__ = ["folder", "lif", "line", "recording", "write"]


def folder():
    """The folder nir of the data, or the test is skipped: these files have no download."""
    found = Path(os.environ.get("QSNN_DATA", "")) / "nir"
    if "QSNN_DATA" not in os.environ or not found.is_dir():
        pytest.skip("no folder nir with NIR files in QSNN_DATA")
    return found


def recording(name):
    """Path of a graph, and arrays of what its framework gave."""
    return folder() / f"{name}.nir", np.load(folder() / f"{name}.npz")


def write(path, nodes, edges, **attributes):
    """A NIR file of {name: {field: value}}; a value that is a dictionary is a subgraph's."""
    h5py = pytest.importorskip("h5py")

    def graph(group, nodes, edges):
        group["type"] = "NIRGraph"
        for name, fields in nodes.items():
            inner = group.create_group(f"nodes/{name}")
            if "nodes" in fields:
                graph(inner, **fields)
                continue
            for field, value in fields.items():
                inner[field] = value
        group.create_dataset("edges", data=np.array(edges, object), dtype=h5py.string_dtype())

    with h5py.File(path, "w") as file:
        graph(file.create_group("node"), nodes, edges)
    return path


def lif(n=2, **changes):
    """Fields of LIF neurons with leak 1/2 and gain 1 at a step of 1e-4 s."""
    return {"type": "LIF", "tau": np.full(n, 2e-4), "r": np.full(n, 2.0), "v_leak": np.zeros(n),
            "v_reset": np.zeros(n), "v_threshold": np.ones(n)} | changes


def line(*nodes, n=2):
    """Nodes 0, 1, ... in a line between an input of n numbers and an output, and the edges."""
    named = {"input": {"type": "Input", "shape": np.array([n])},
             **{str(index): node for index, node in enumerate(nodes)},
             "output": {"type": "Output", "shape": np.array([n])}}
    names = list(named)
    return named, list(zip(names, names[1:], strict=False))
