"""Where graphs come from, for a command: a NIR file, or a function of somebody's own file."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from qsnn.model.data import DataError, find, input_values
from qsnn.model.graphs.graph import Graph, GraphError, check
from qsnn.model.graphs.nir import read
from qsnn.model.graphs.quantizing import floats_of
from qsnn.model.inference import infer
from qsnn.model.reading import sides
from qsnn.model.recordings import TASKS

__all__ = ["calibration", "graph_of", "laid_out", "measured"]

SEEN = 32  # samples that a model of PyTorch is run on


def graph_of(text, found, samples, scale, offset, *, input_bits, **options):
    """The graph of ``net.nir``, or of ``net.py:function``.

    found    a :class:`qsnn.model.data.Dataset`, whose ``samples`` a model takes, ``scale`` and
             ``offset`` times
    options  of :func:`qsnn.model.graphs.nir.read`
    """
    path, colon, function = text.rpartition(":")
    if not (colon and path.endswith(".py")):
        check(Path(text).suffix != ".py", f"{text}: name the function that makes the model too, "
              f"{text}:make")
        return read(text, **options)
    check(not any(options.values()), "--from, --reset, --compare, --dt and --gain are of NIR files:"
          " a model says these itself")
    net = _called(Path(path), function)
    net, sample = net if isinstance(net, tuple) and len(net) == 2 else (net, None)
    if isinstance(net, Graph):
        return net
    from qsnn.model.graphs.torch_net import from_torch
    if sample is not None:
        return from_torch(net, sample)
    x = samples[:SEEN] if found.stream else samples[:SEEN] >> (8 - input_bits)
    x = (x * scale + offset).astype(np.float32)
    refused = None
    for shaped in _shapes(x, found):
        try:
            return from_torch(net, shaped)
        except GraphError as error:
            refused = refused or error
            if "does not take this sample" not in str(error):
                raise
    raise refused


def _shapes(x, found):
    """Samples as models take them: maps or rows of images, steps first or second of a stream."""
    if found.stream:
        steps = x.reshape(len(x), *found.shape)
        return steps.swapaxes(0, 1), steps
    if found.image is None:
        return (x,)
    maps = np.moveaxis(x.reshape(-1, *found.image), -1, 1)
    grey = maps[:, 0]  # [N, L, C] or [N, C, L] where a set says no more
    return (maps, *([maps[:, :, 0]] if found.image[0] == 1 else []),
            *([grey, grey.swapaxes(1, 2)] if found.image[2] == 1 else []), x)


def laid_out(found, graph):
    """The data set as the map that a graph takes: an own one is read again, and its axes turned,
    where only its file's axes lie in another order.

    Raises :class:`~qsnn.model.graphs.graph.GraphError` with both shapes where that is not so: that
    they have as many numbers is no reason.
    """
    if len(graph.inputs) == 1:
        return found
    channels, height, width = graph.inputs
    wanted, own = (height, width, channels), found.meaning is not None
    takes = f"the network takes {sides(wanted)} (height x width x channels)"
    if found.stream:
        return _steps(found, wanted, takes)
    if found.image == wanted:
        return found
    of = f"{found.name}: samples of {sides(found.shape)}, and {takes}"
    check(own and found.reading.image is None and not (
        Path(found.name).is_dir() and found.image), f"{of}: "
        + (f"give --image {'x'.join(map(str, wanted))}" if own else "choose its own --dataset"))
    told = f"--image {'x'.join(map(str, wanted))}"
    check(found.image or channels == 1 or height * width == 1, f"{of}: say {told} if the channels "
          "of a pixel are side by side there, or save samples as [N, C, H, W]")
    check((height, *found.shape) != (1, width, channels, 1) or width != channels, f"{of}: which "
          f"axis has the channels its shape does not say: give {told} if it is the last one, else "
          "save x.swapaxes(1, 2) and give it too")
    try:
        again = find(found.name, reading=replace(found.reading, image=wanted))
    except DataError:
        raise GraphError(f"{of}: save them as [N, H, W, C] or [N, C, H, W], rows of steps as "
                         "[N, L, C] or [N, C, L], of the network's sides") from None
    return replace(again, said=(f"  taken as maps of {sides(wanted)}, which the network takes",
                                *(text for text in again.said if "turned" in text)))


def _steps(found, wanted, takes):
    """A stream: the sides of a named one are known; an own one has its channels last."""
    task = TASKS.get(found.name)
    if task is None:
        said = f"  the numbers of a step are taken as maps of {sides(wanted)}, channels last"
        return replace(found, said=(said,) if min(wanted[2], wanted[0] * wanted[1]) > 1 else ())
    check(task.map in (None, wanted), f"{found.name}: steps of {sides(task.map or ())}, and "
          f"{takes}: choose its own --dataset")
    return found


def _called(path, function):
    """What a function of a file returns: the file is executed."""
    check(path.is_file(), f"{path}: no such file")
    spec = importlib.util.spec_from_file_location("qsnn_imported", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # as python FILE has it
    try:
        spec.loader.exec_module(module)
        make = getattr(module, function, None)
        check(callable(make), f"{path} has no function {function}")
        return make()
    except GraphError:
        raise
    except SystemExit as error:
        raise GraphError(f"{path}: it ends with sys.exit({error}): {function} must return the "
                         "model") from None
    except Exception as error:  # noqa: BLE001  of somebody's own file
        raise GraphError(f"{path}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.pop(0)


def calibration(found, count):
    """((samples, labels), what they are): of the training part, or of the test part without one."""
    try:
        samples, labels = found.load("train")
        what = "training"
    except DataError:  # of MNIST only the test images come along
        samples, labels = found.load("test")
        what = "test (there are no training samples here)"
    kept = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)
    return (samples[kept], labels[kept]), f"{len(kept)} {what} samples"


def measured(graph, description, found, count, scale, offset):
    """Accuracy of both on the first test samples, in %."""
    samples, labels = (part[:count] for part in found.load("test"))
    x = input_values(description, samples)
    shape = (len(x), -1, description.n_in) if description.stream else x.shape
    floats = floats_of(graph, x.reshape(shape), scale, offset)
    found = graph.run(floats, description.time_steps or None).labels, infer(description, x).labels
    right = [100 * float((labels == own).mean()) for own in found]
    return {"samples": len(x), "floats": right[0], "integers": right[1],
            "same": int((found[0] == found[1]).sum())}
