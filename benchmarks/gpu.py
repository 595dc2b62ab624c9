#!/usr/bin/env python3
"""Long trainings on a machine with a GPU that one has for minutes, and that has no network.

  python benchmarks/gpu.py pack .gpu             here: CIFAR-10's training images in two files
  python3 benchmarks/gpu.py probe .gpu RESULTS   there: seconds an epoch, and short trainings
  python3 benchmarks/gpu.py vgg-11 .gpu RESULTS  there: one of PLANS, each network for its seconds
  python3 benchmarks/gpu.py mnist .gpu RESULTS   there: likewise; its IDX files lie in .gpu/mnist
  qsnn train --finish RESULTS/NAME               here: integers, measured on the test images

What goes there is this repository and the files of the first command, 40 MiB each. Nothing is
installed: PyTorch, NumPy, Pillow and safetensors must be there. What comes back are quantized
networks, a bit a weight, and their logs. ``probe`` needs but one of the files.
"""

import argparse
import io
import json
import sys
import time
import types
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
if "qsnn" not in sys.modules:  # as the package would map its folders, see setup.py
    sys.modules["qsnn"] = types.ModuleType("qsnn")
    sys.modules["qsnn"].__path__ = [str(ROOT)]
SHEET = 5  # images in a row and in a column of a sheet: sheets compress better than images
PARTS = 2

TEACHER = dict(rectified=True, arch="c64k3-c128k3-p2-r128-c256k3-p2-c512k3-p2-r512-p4")
ON_CHIP = dict(arch="c64k3w8-p2-c128k3-p2-c256k3-c256k3-p2-c320k3-c320k3-p2", time_steps=2)
VGG = dict(arch="vgg-11", last_bits=8, time_steps=4)
TAUGHT = dict(teacher="teacher", plain=0.05)
GREY_TEACHER = dict(rectified=True, arch="c64k3-c64k3-p2-r64-c128k3-p2-r128-c256k3-p2")
SMALL = dict(arch="c32k3w8-p2-c64k3-p2-c64k3-p2-fc64", last_bits=8)  # 99,584 bits
SMALLEST = dict(arch="c32k3w8-p2-c64k3-p2-c64k3-p2-fc76", last_bits=8, time_steps=2)  # 107,456
DEEP = dict(arch="c64k3w8-c64k3-p2-c128k3-c128k3-p2-c256k3-p2", last_bits=8)  # 742,272 bits
GENTLE = dict(lr=2e-3, batch_size=512, smoothing=0.1)
HELD_OUT = 5000
#: Name: the data set, and networks in order: seconds, the network and how it is trained, see
#: :mod:`qsnn.model.config`. Where images are held out, they chose among networks.
PLANS = {
    "on-chip": ("cifar-10", {
        "teacher": (62, TEACHER, GENTLE | dict(erase=8, plain=0.05)),
        "cifar-10-2.7M-b2": (148, ON_CHIP, TAUGHT)}),
    "vgg-11": ("cifar-10", {
        "teacher": (75, TEACHER, GENTLE | dict(erase=8, mix=0.5, plain=0.05)),
        "t1": (185, VGG | dict(time_steps=1), TAUGHT | dict(erase=8, mix=0.5)),
        "cifar-10-vgg-11-b2": (285, VGG, TAUGHT | dict(lr=2e-3, erase=8, mix=0.5, start="t1"))}),
    "fashion-mnist": ("fashion-mnist", {
        "teacher": (42, GREY_TEACHER, GENTLE | dict(shift=2, erase=6, validation=HELD_OUT)),
        "fashion-mnist-deep-b2": (185, DEEP, dict(
            teacher="teacher", shift=2, plain=0.1, validation=HELD_OUT))}),
    "fashion-mnist-small": ("fashion-mnist", {
        "teacher": (36, GREY_TEACHER, GENTLE | dict(shift=2, erase=6, plain=0.1)),
        "fashion-mnist-taught-b2": (130, SMALLEST, dict(teacher="teacher", plain=0.1))}),
    "mnist": ("mnist", {
        "teacher": (42, GREY_TEACHER, GENTLE | dict(shift=2, warp=0.1, validation=HELD_OUT)),
        **{name: (95, SMALL, dict(teacher="teacher", shift=shift, warp=warp, plain=0.1,
                                  validation=HELD_OUT))
           for name, shift, warp in (("t4-gentle", 1, 0.05), ("mnist-taught-b2", 2, 0.1))}}),
}
PROBES = {
    "vgg-11": (14, VGG, {}),
    "teacher": (16, TEACHER, dict(lr=2e-3, batch_size=512, smoothing=0.1)),
    "taught": (16, ON_CHIP, dict(teacher="teacher")),
    "5e-3": (16, ON_CHIP, {}),
    "2e-3": (16, ON_CHIP, dict(lr=2e-3)),
}


def pack(folder, data):
    """Write the training images as lossless pictures, 25 to a sheet, and their labels."""
    with np.load(data) as arrays:
        images, labels = arrays["x_train"].transpose(0, 2, 3, 1), arrays["y_train"]
    folder.mkdir(parents=True, exist_ok=True)
    each = len(images) // PARTS
    for part in range(PARTS):
        sheets = []
        for start in range(part * each, (part + 1) * each, SHEET ** 2):
            tiles = images[start:start + SHEET ** 2].reshape(SHEET, SHEET, 32, 32, 3)
            sheet = io.BytesIO()
            Image.fromarray(tiles.transpose(0, 2, 1, 3, 4).reshape(SHEET * 32, SHEET * 32, 3)).save(
                sheet, "WEBP", lossless=True, quality=80)
            sheets.append(sheet.getvalue())
        file = folder / f"part{part}.npz"
        np.savez(file, sizes=[len(sheet) for sheet in sheets],
                 sheets=np.frombuffer(b"".join(sheets), np.uint8),
                 labels=labels[part * each:(part + 1) * each])
        print(f"{file}: {file.stat().st_size / 2 ** 20:.1f} MiB")


def unpack(folder):
    """Images uint8 [N, 3, 32, 32] and labels uint8 [N] of the parts that are there, in order."""
    images, labels = [], []
    for file in sorted(folder.glob("part*.npz")):
        with np.load(file) as arrays:
            raw, sizes = arrays["sheets"].tobytes(), arrays["sizes"]
            labels.append(arrays["labels"])
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            sheet = np.asarray(Image.open(io.BytesIO(raw[end - size:end])).convert("RGB"))
            tiles = sheet.reshape(SHEET, 32, SHEET, 32, 3).transpose(0, 2, 4, 1, 3)
            images.append(tiles.reshape(-1, 3, 32, 32))
    return np.concatenate(images), np.concatenate(labels)


class Log:
    """Lines for the screen and for a file; an epoch that is not told about is counted."""

    def __init__(self, file):
        self.file, self.began = file.open("a"), time.monotonic()

    def __call__(self, *words):
        line = f"{time.monotonic() - self.began:7.2f} " + " ".join(map(str, words))
        print(line, flush=True)
        print(line, file=self.file, flush=True)

    def epoch(self, epoch):
        if epoch.number <= 3 or epoch.number % 10 == 0 or epoch.number == epoch.total:
            self(f"epoch {epoch.number} of {epoch.total}: loss {epoch.loss:.4f}, accuracy "
                 f"{100 * epoch.accuracy:.2f} %, rates",
                 " ".join(f"{rate:.3f}" for rate in epoch.rates))


def configured(dataset, network, way, results):
    from qsnn.model.config import Recipe, config_for
    way = dict(dataset=dataset, epochs=400, compiled=True, flip=dataset != "mnist",
               shift=4 if dataset == "cifar-10" else 1) | way
    for other in ("teacher", "start"):
        if other in way:
            way[other] = str(results / way[other])
    return config_for(dataset, **network), Recipe(**way)


def probe(parts, results, device):
    """Train each of PROBES on what is there but the last images, and count these right."""
    import torch

    from qsnn.model.training import CHECKPOINT, Training
    images, labels = unpack(parts)
    pixels = images.transpose(0, 2, 3, 1).reshape(len(images), -1)
    log = Log(results / "probe.log")
    log(len(images), "images, torch", torch.__version__, device)
    kept = len(images) - HELD_OUT
    for name, (seconds, network, way) in PROBES.items():
        config, recipe = configured("cifar-10", network, way, results)
        log(name, network, way)
        try:
            training = Training.start(config, recipe, results / name / CHECKPOINT, device)
            for epoch in training.epochs(pixels[:kept], labels[:kept], seconds):
                log.epoch(epoch)
            net = training.net.eval()
            held = torch.tensor(pixels[kept:]).to(device)
            with torch.no_grad():
                found = torch.cat([net(x.float())[0].mean(0).argmax(1) for x in held.split(500)])
            right = (found.cpu().numpy() == labels[kept:]).mean()
            log(f"{name}: {100 * right:.2f} % of {HELD_OUT} held out")
            if device != "cpu":
                log(f"{torch.cuda.max_memory_allocated() / 2 ** 30:.1f} GiB")
            (results / name).mkdir(exist_ok=True)
            training.save(results / name / CHECKPOINT)
        except Exception as error:  # the others shall have their seconds
            import traceback
            log(name, "failed:", repr(error), traceback.format_exc())


def train(plan, folder, results, device):
    """Train each network of one of PLANS as :func:`qsnn.model.experiment.run` does, measuring
    nothing."""
    from qsnn.model.experiment import run
    dataset, networks = PLANS[plan]
    if dataset == "cifar-10":
        from qsnn.model.cifar import CIFAR_FILES
        images, labels = unpack(folder)
        folder = results / "data"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / CIFAR_FILES[1], x_train=images, y_train=labels)
    log = Log(results / "train.log")
    for name, (seconds, network, way) in networks.items():
        log(name, network, way)
        try:
            config, recipe = configured(dataset, network, way, results)
            result = run(config, recipe, results / name, folder, log.epoch, device, seconds,
                         measured=False)
            log(json.dumps(result))
        except Exception as error:  # the others shall have their seconds
            log(name, "failed:", repr(error))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pack", "probe", *PLANS])
    parser.add_argument("parts", type=Path, help="folder of the two files, or of IDX files")
    parser.add_argument("results", type=Path, nargs="?", help="folder that gets networks and logs")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data", type=Path, help="cifar10.npz, for pack",
                        default=Path.home() / ".cache/qsnn/cifar-10/cifar10.npz")
    options = parser.parse_args()
    if options.what == "pack":
        pack(options.parts, options.data)
        return
    if options.results is None:
        parser.error("name a folder for the results")
    options.results.mkdir(parents=True, exist_ok=True)
    if options.what == "probe":
        probe(options.parts, options.results, options.device)
    else:
        train(options.what, options.parts, options.results, options.device)


if __name__ == "__main__":
    main()
