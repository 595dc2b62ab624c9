"""The picture of a network says what its layers are; the same network gives the same bytes."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from qsnn.hw.emit.build import build, open_build
from qsnn.hw.emit.picture import draw_network
from qsnn.hw.plan.choice import choose_folding
from qsnn.model import golden, streams
from qsnn.sim.pictures import draw
from qsnn.sim.workload import Workload
from tests.networks import random_description, random_maps, random_pixels
from tests.streams import random_stream


@pytest.fixture
def words(monkeypatch):
    """All text that a picture has."""
    found, text = [], Axes.text
    monkeypatch.setattr(Axes, "text", lambda ax, x, y, word, **options: (
        found.append(word), text(ax, x, y, word, **options))[1])
    return found


def test_network(tmp_path, words):
    description = random_maps(np.random.default_rng(0), words="c4k3s2w2-c4k3-c6k3+0-p2-fc9",
                              image=(8, 10, 3), time_steps=2, membrane_bits=3, input_bits=8)
    folder = build(description, choose_folding(description), "net", tmp_path)
    facts, _ = open_build(folder)
    for word in ("input", "8 × 10 × 3", "8-bit pixels", "T = 2", "0: convolution",
                 "3 × 3, stride 2, 2-bit weights", "4 × 5 × 4", "3-bit membranes",
                 "4 × 4 × 6, max 2 × 2", "3: fully connected", "9 neurons",
                 "4: readout", f"{description.classes} classes", "216 bits of weights"):
        assert word in words, word
    for layer in facts["layers"]:
        assert f"{layer['cycles']:,} cycles" in words
        assert f"PE {layer['pe']} × SIMD {layer['simd']}" in words
    picture = (folder / "network.png").read_bytes()
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG" and image.width > 3 * image.height
    assert draw_network(description, facts) == picture


@pytest.mark.parametrize("make", [random_description, lambda rng: random_maps(
    rng, words="c5k3-p2-c2k2", image=(6, 7, 3)), random_maps])
def test_spikes(tmp_path, make):
    rng = np.random.default_rng(1)
    description = make(rng)
    pixels = random_pixels(rng, description, 5)
    drawn(tmp_path, description, Workload(pixels, golden.infer(description, pixels).labels))


def test_spikes_of_a_stream(tmp_path):
    rng = np.random.default_rng(1)
    description = random_stream(rng, words=[(5, 3, False), (4, 1, True)])
    samples = (rng.random((3, 40, description.n_in)) < 0.3).astype(np.uint8)
    drawn(tmp_path, description, Workload(samples, streams.classify(description, samples).labels))


def drawn(tmp_path, description, workload):
    paths = draw(tmp_path, description, workload, SimpleNamespace(labels=workload.labels))
    assert [path.name for path in paths] == ["spikes.png", "confusion.png", "rates.png"]
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_report_counts_a_skip(tmp_path):
    """Its synapses are in use, and its rows are memory."""
    description = random_maps(np.random.default_rng(0), words="c4k3-c8k3-c8k3+0", image=(6, 6, 1),
                              time_steps=1)
    folder = build(description, choose_folding(description, pe="4,8,8,1", simd="1,4,4,8"), "net",
                   tmp_path)
    layer = json.loads((folder / "net.json").read_text())["layers"][2]
    assert layer["utilisation"] == 1.0 and layer["cycles"] == 36 * (9 * 2 + 1)
    # 4 rows of 6 pixels with 8 channels, and those of the skip with 4
    assert layer["buffer_bits"] > 4 * 6 * 8 + 4 * 6 * 4
