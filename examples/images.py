"""Handwritten digits: a network, an accelerator for a board, and its Verilog at work.

python examples/images.py
"""

import qsnn
from qsnn.model.data import load_images

images, labels = load_images("mnist", "test")  # [10000, 28, 28, 1], 0 .. 255
images, labels = images[:50], labels[:50]

net = qsnn.load("mnist-128-b2")
print(f"{net.name}: {net.description.shape}, {net.accuracy:.2f} % of the test set\n")

# What does the fastest accelerator need that fits an iCEBreaker? This is known in seconds.
acc = qsnn.compile(net, board="icebreaker", fit=True)
print(f"{acc.estimate}\n")

# The golden model has the integers that the hardware must give. PyTorch's order is known too.
golden = acc.predict(images)
print(f"golden model: {(golden.labels == labels).sum()} of {len(labels)} right")
assert (acc.predict(images.transpose(0, 3, 1, 2)).scores == golden.scores).all()

# Verilog and memory images, for a design of your own; then the same images through that Verilog.
folder = acc.build("build/example-images")
print(f"Verilog: {folder}/")
found = acc.simulate(images, trace=True)
print(found)
print(f"{found.cycles:g} cycles an image, {found.latency} from the first pixel to the last score")
for index, spikes in enumerate(found.spikes):  # [N, T, neurons] of each hidden layer
    print(f"layer {index}: {spikes.mean():.1%} of {spikes.shape[2]} neurons fire in a time step")

# With the tools of `make boards`, minutes: acc.bitstream(seeds=3).path
