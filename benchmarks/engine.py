"""Networks on the engines of boards: through the emitted Verilog with a model of the memory chip.

``python -m benchmarks.engine NETWORK --board BOARD --images 200 --batch 1`` prints cycles of an
image, what the array and the memory do in each layer, and how many spikes, membranes and scores
differ from the golden model. Nothing is routed here. Words of :mod:`qsnn.model.architecture`, such
as ``resnet-19``, are a network for CIFAR-10 with random weights, see :func:`untrained`.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from qsnn.hw.board.engines import CACHE, find_engine
from qsnn.hw.engine.program import compile_program
from qsnn.model import data
from qsnn.model.description import load
from qsnn.sim.engine import compile_engine, run_engine

SEED = 0  # of the images, where there are none of the network's data set
CHUNK = 20  # images of which there are traces at once


def measure(description, pixels, recipe, batch, *, trace=True, say=lambda text: None):
    """What :mod:`benchmarks.engine` prints of images [N, n_in], N a multiple of the batch."""
    program = compile_program(description, recipe.shape, batch)
    said = program.time(recipe.rate)
    mismatches, paces, outcome = {}, [], None
    engine = compile_engine(recipe.shape, CACHE / "simulation", recipe.source(), recipe.hz)
    chunk = max(2 * batch, CHUNK // batch * batch)
    for first in range(0, len(pixels), chunk):
        begun = time.monotonic()
        outcome = run_engine(engine, program, pixels[first:first + chunk], trace=trace)
        for name, count in outcome.mismatches.items():
            name = name.partition(" of ")[0]
            mismatches[name] = mismatches.get(name, 0) + count
        paces += [outcome.pace] * (outcome.pace is not None)
        say(f"{first + chunk} images, {time.monotonic() - begun:.0f} s, differ: {mismatches}")
    cycles = float(np.mean(paces)) / batch if paces else None
    return {
        "shape": description.shape, "time_steps": description.time_steps,
        "sha256": description.hash, "board": recipe.board, "batch": batch,
        "images": len(pixels), "mismatches": mismatches,
        "cycles_per_image": cycles, "said": said.cycles / batch, "clock_hz": recipe.hz,
        "images_per_second": recipe.hz / cycles if cycles else None,
        "works": round(outcome.works, 4), "waits": round(outcome.waits, 4),
        "layers": [{"kind": layer.kind, "cycles": round(spent), "array": round(array, 3),
                    "memory": round(memory, 3)}
                   for layer, (spent, array, memory) in zip(
                       program.layers, said.layers, strict=True)],
    }


def untrained(words, time_steps):
    """A network with random weights: batch norms have the statistics of a few random images, and
    membranes the steps that go with them."""
    import torch

    from qsnn.model.config import config_for
    from qsnn.model.export import fold
    from qsnn.model.qsnn import QSNN
    torch.manual_seed(SEED)
    net = QSNN(config_for("cifar-10", arch=words, last_bits=8, time_steps=time_steps)).train()
    for layer in net.hidden:
        layer.norm.momentum = 1.0
    with torch.no_grad():
        net(torch.randint(0, 256, (8, 3072)).float())
    return fold(net.double().eval())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", help="a .qsnn file, or words")
    parser.add_argument("--time-steps", type=int, default=2, help="of words")
    parser.add_argument("--board", default="colorlight-i5")
    parser.add_argument("--images", type=int, default=20, help="a multiple of the batch")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dataset", default="", help="test images of it; else random ones")
    arguments = parser.parse_args()
    path = Path(arguments.network)
    description = load(path) if path.suffix == ".qsnn" else untrained(
        arguments.network, arguments.time_steps)
    if arguments.dataset:
        pixels, _ = data.find(arguments.dataset).load("test")
        pixels = data.input_values(description, pixels[:arguments.images])
    else:
        rng = np.random.default_rng(SEED)
        pixels = rng.integers(0, 1 << description.input_bits,
                              (arguments.images, description.n_in))
    row = measure(description, pixels, find_engine(arguments.board), arguments.batch,
                  say=lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(row, indent=1))
    return any(row["mismatches"].values())


if __name__ == "__main__":
    raise SystemExit(main())
