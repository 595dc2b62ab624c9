"""A heart: samples that never end become spikes, and spikes decisions.

python examples/stream.py
"""

import numpy as np

import qsnn
from qsnn.model.recordings import TASKS, encode_beats, excerpt

# The first beats of a patient that no network was trained with, as they were sampled,
# and as spikes: [beats, 40 steps, 30 inputs], 0 or 1.
signal, intervals, labels = (part[:30] for part in excerpt())
steps = encode_beats(signal, intervals, records=np.zeros(len(signal), int))
print(f"{len(steps)} beats of {steps.shape[1]} steps, {steps.mean():.1%} of the inputs spike")

net = qsnn.load("ecg-32t24-32t4-b2")
acc = qsnn.compile(net)
print(f"{net.name}: {net.description.shape}\n\n{acc.estimate}\n")

golden = acc.predict(steps)
names = np.array(TASKS["ecg"].classes)
print("cardiologists", "".join(names[labels]))
print("golden model ", "".join(names[golden.labels]))

# Words without a spike cost no cycle: less than the estimate, and it depends on the heart.
found = acc.simulate(steps)
print("Verilog      ", "".join(names[found.labels]))
print(f"{found}\n{found.cycles:.1f} cycles a step")
