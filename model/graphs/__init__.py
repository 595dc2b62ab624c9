"""Networks that were made elsewhere: read as floats, run as floats, turned into integers.

A graph is what a file or a model of a framework says, with nothing rounded: neurons that leak,
fire and reset as that framework has them. Its interpreter gives the framework's spikes.

graph       nodes in a line, as plain dataclasses, and their float interpreter
torch_net   models of PyTorch, as graphs
frameworks  neurons of snnTorch, SpikingJelly, Norse and Sinabs
nir         files of the Neuromorphic Intermediate Representation, as graphs
blocks      a graph as layers that a description can have
integers    weights, leaks and thresholds as integers
rounding    weights that are rounded by what their inputs are
floats      the floats of a layer, and the layers of integers that they can be
quantizing  descriptions of graphs, without training
trials      layers of integers on samples, against the float network
start       checkpoints that a training begins with
loading     what a command names as a graph
report      what became of each layer
nir_out     networks of ours as such files
hdf5        such files taken apart with h5py, in a process of its own
"""

from importlib import import_module

_HOMES = {"Bits": "quantizing", "Graph": "graph", "GraphError": "graph",
          "from_torch": "torch_net", "quantize": "quantizing", "read": "nir",
          "write_nir": "nir_out"}
__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
