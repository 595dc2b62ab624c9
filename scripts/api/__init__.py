"""From a trained Q-SNN to an FPGA that gives the same spikes.

::

    import qsnn

    net = qsnn.load("mnist-128-b2")                          # or a .qsnn file, or qsnn.train(...)
    acc = qsnn.compile(net, board="icebreaker", fit=True)
    acc.estimate                                             # cycles, latency, logic, RAM
    acc.predict(images).labels                               # the golden model
    acc.simulate(images)                                     # the Verilog, all spikes compared
    acc.build("build/mine")                                  # Verilog and memory images
    acc.bitstream(seeds=3)                                   # placed, routed, packed

Images are arrays [N, H, W, C], [N, H, W] or [N, n], or files, see :mod:`qsnn.model.pictures`;
samples of a stream are spikes [N, T, n]. Every name below is imported when it is first used.
"""

from importlib import import_module

_HOMES = {"Accelerator": "accelerator", "compile": "accelerator", "Network": "network",
          "from_torch": "model.graphs", "load": "network", "train": "experiment"}
__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'qsnn' has no attribute {name!r}; there is "
                             f"{', '.join(__all__)}")
    return getattr(import_module(f"qsnn.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
