"""Time of the golden model: 10,000 images of 784 pixels through 784-256-256-10 at T = 4.

    taskset -c 0 python -m benchmarks.golden          one core; a random network
    taskset -c 0 python -m benchmarks.golden FILE     a network of one's own

The images are random. The time is the best of three.
"""

import os
import sys
import time

import numpy as np

from qsnn.model import golden
from qsnn.model.description import load
from tests.networks import random_description, random_pixels

IMAGES = 10_000


def main():
    rng = np.random.default_rng(0)
    if len(sys.argv) > 1:
        network = load(sys.argv[1])
    else:
        network = random_description(rng, widths=(784, 256, 256, 10), time_steps=4,
                                     membrane_bits=2, input_bits=8, signed=False)
    pixels = random_pixels(rng, network, IMAGES).astype(np.uint8)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = golden.infer(network, pixels)
        seconds.append(time.perf_counter() - start)
    best = min(seconds)
    print(f"{network.shape}, T = {network.time_steps}, {len(os.sched_getaffinity(0))} core(s): "
          f"{best:.2f} s for {IMAGES} images, {IMAGES / best:.0f} images/s")
    print("firing rates", *(f"{rate:.2f}" for rate in result.rates))


if __name__ == "__main__":
    main()
