"""NIR files: every recording of the frameworks, spike by spike; what is refused, in a sentence."""

import numpy as np
import pytest

from qsnn.model.graphs import GraphError, read
from tests.nir import folder, lif, line, recording, write

pytest.importorskip("h5py", reason="NIR files need h5py: pip install 'qsnn-fpga[nir]'")


def unpacked(bits, columns):
    return np.unpackbits(bits, axis=-1)[..., :columns].astype(bool)


def pixels(arrays):
    return arrays["pixels"] * arrays["pixel_scale"] if "pixel_scale" in arrays \
        else arrays["pixels"] / np.float32(255)


def conv_spikes(arrays):
    return {"_1": unpacked(arrays["spikes1"], 28), "_4": unpacked(arrays["spikes2"], 14),
            "_8": arrays["spikes3"]}


@pytest.mark.parametrize("name, steps, options, spikes", [
    ("snntorch_fc_leak_half", 4, dict(source="snntorch", reset="zero"),
     lambda z: {"1": z["spikes1"], "3": z["spikes2"]}),
    ("snntorch_fc_beta095", 25, dict(source="snntorch"),
     lambda z: {"1": z["spikes1"], "3": z["spikes2"]}),
    ("snntorch_cuba_recurrent", None, dict(source="snntorch"),
     lambda z: {"lif1.lif": z["spikes1"], "lif2": z["spikes2"]}),
    ("spikingjelly_conv", 4, dict(source="spikingjelly"), conv_spikes),
    ("norse_cuba", 16, dict(source="norse"), lambda z: {"3": z["spikes_out"]}),
    ("sinabs_if", 8, dict(source="sinabs", reset="zero"), lambda z: {"3": z["spikes_out"]}),
    ("sinabs_lif", 8, dict(source="sinabs", reset="zero", gain=1.0),
     lambda z: {"3": z["spikes_out"]}),
])
def test_frameworks(name, steps, options, spikes):
    path, arrays = recording(f"made_{name}")
    graph = read(path, **options)
    found = graph.run(arrays["input_spikes"] if steps is None else pixels(arrays), steps)
    for node, wanted in spikes(arrays).items():
        assert wanted.any() and (found.spikes[node] == wanted).all(), node
    if "scores" in arrays:
        assert abs(found.outputs - arrays["scores"]).max() < 1e-5  # sums of floats


@pytest.mark.parametrize("name, options, spikes", [
    ("lif_norse", dict(dt=1e-4), ("exact", "norse", "snntorch", "nengo")),
    ("lif_rockpool", dict(dt=1e-4, compare=">="), ("rockpool",)),
])
def test_published_traces(name, options, spikes):
    path, traces = folder() / f"public_{name}.nir", np.load(folder() / "public_lif_traces.npz")
    graph = read(path, **dict(reset="zero", compare=">") | options)
    for tool in spikes:
        found = graph.run(traces[tool][None, :, :1]).outputs[0, :, 0]
        wanted = traces[tool][:, 2] > 0
        if tool == "rockpool":  # an exponential leak, which the file does not say
            assert found.sum() > 0 and wanted.sum() == 4
        else:
            assert (found == wanted).all() and found.sum() == 4, tool


def test_published_convolutions():
    """The N-MNIST network of the NIR paper: every spike of five layers, then counts of 100."""
    path, arrays = recording("public_nmnist_cnn_sinabs")
    graph = read(path, "sinabs", reset="zero", compare=">")
    found = graph.run(unpacked(arrays["input"], 34).swapaxes(0, 1))
    for node in ("1", "3", "6", "10", "12"):
        spikes = found.spikes[node].reshape(3, 300, -1)
        wanted = unpacked(arrays[f"spikes_{node}"], spikes.shape[2]).swapaxes(0, 1)
        assert (spikes == wanted).all() and spikes.any(), node
    assert (found.scores == arrays["counts"]).all()
    assert (found.labels == arrays["labels"]).all()


@pytest.mark.parametrize("name, neurons", [
    ("public_braille_bias_zero", 38), ("public_braille_bias_zero_subgraph", 38),
    ("public_braille_nobias_subtract", 40), ("public_braille_nobias_subtract_subgraph", 40)])
def test_recurrent(name, neurons):
    graph = read(folder() / f"{name}.nir", "snntorch", reset="subtract")
    first = graph.neurons[0]
    assert first.recurrent.weight.shape == (neurons, neurons)
    assert 0 < np.mean(first.leak) < 1 and np.allclose(first.gain_in, 1)
    if name.endswith("_subgraph"):
        plain = read(folder() / f"{name.removesuffix('_subgraph')}.nir", "snntorch",
                     reset="subtract")
        x = np.random.default_rng(0).random((2, 20, 12))
        assert (graph.run(x).outputs == plain.run(x).outputs).all()


def test_own_fields(tmp_path):
    """Numbers as scalars, pools of one side, versions without v_reset, padding as a word."""
    nodes, edges = line(
        {"type": "Conv2d", "weight": np.ones((1, 2, 3, 3)), "bias": np.ones(1), "stride": 1,
         "padding": "same", "dilation": 1, "groups": 1, "input_shape": np.array([4, 4])},
        {"type": "IF", "r": np.ones((1, 4, 4)), "v_threshold": np.full((1, 4, 4), 3.0)},
        {"type": "AvgPool2d", "kernel_size": 2, "stride": 2, "padding": 0},
        {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array([1, 2, 2])},
        {"type": "Linear", "weight": np.ones((3, 4))})
    nodes["input"]["shape"] = np.array([2, 4, 4])
    graph = read(write(tmp_path / "net.nir", nodes, edges), reset="subtract", compare=">=")
    assert [node.name for node in graph.nodes] == ["0", "1", "2", "3", "4"]
    assert graph.nodes[0].padding == (1, 1) and graph.nodes[2].size == (2, 2)
    assert graph.neurons[0].leak == 1 and graph.neurons[0].threshold.shape == ()
    assert "by subtraction" in graph.notes[0] and "v >= threshold" in graph.notes[0]


AFFINE = {"type": "Affine", "weight": np.ones((2, 2)), "bias": np.zeros(2)}
CONV = {"type": "Conv2d", "weight": np.ones((1, 2, 3, 3)), "bias": np.zeros(1), "stride": 1,
        "padding": 1, "dilation": 1, "groups": 1}


@pytest.mark.parametrize("nodes, options, sentence", [
    ([AFFINE, lif()], dict(source="norse", compare="=="), "^compare must be > or >=, not '=='$"),
    ([AFFINE, lif()], dict(source="brian"), "^no source 'brian': there is qsnn, snntorch, spiking"),
    ([AFFINE, lif()], dict(reset="soft"), "^reset must be zero, subtract, delayed, not 'soft'$"),
    ([AFFINE, lif()], dict(dt=0), "^dt must be above 0, not 0$"),
    ([AFFINE, lif()], dict(compare=">"), "1: NIR does not say how a neuron resets: give --reset"),
    ([AFFINE, lif()], dict(reset="zero"), "1: NIR does not say whether a neuron fires at its"),
    ([AFFINE, lif()], dict(source="sinabs"), "1: NIR does not say how a neuron resets"),
    ([AFFINE, lif(tau=np.full(2, 5e-6), r=np.ones(2))], {}, "1: tau 5e-06 is below the usual st"),
    ([AFFINE, lif()], dict(source="norse", dt=1.0), "1: tau 0.0002 is below the step of 1 s: give"),
    ([AFFINE, lif(tau=-np.ones(2))], dict(source="norse"), "1: a time constant that is not above"),
    ([AFFINE, lif(3)], {}, "1: (r|tau) has 3 numbers for 2 neurons$"),
    ([AFFINE, lif(v_threshold=np.array([1, np.nan]))], {}, "1: v_threshold has numbers that are"),
    ([AFFINE, {"type": "Delay"}], {}, "1: Delay is not among Affine, Linear, Conv2d"),
    ([AFFINE, {"type": "__import__"}], {}, "1: __import__ is not among"),
    ([AFFINE, {"type": "LIF"}], {}, "1: it has no tau$"),
    ([AFFINE | {"bias": np.zeros(3)}], {}, "0: 3 biases for 2 neurons$"),
    ([AFFINE | {"weight": np.ones((2, 3))}], {}, "0: it takes 3 numbers in a row, not 2$"),
    ([AFFINE | {"weight": np.ones(2)}], {}, "0: weight is not what it must be$"),
    ([AFFINE | {"weight": "many"}], {}, "0: weight is not what it must be$"),
    ([CONV | {"groups": 2}], {}, "0: 2 groups; only convolutions with one can be built$"),
    ([CONV | {"dilation": 2}], {}, r"0: a dilation of \(2, 2\); only 1 can be built$"),
    ([CONV | {"stride": 0}], {}, "0: a stride of 0$"),
    ([CONV | {"padding": -1}], {}, r"0: padding is \[-1, -1\], not two small numbers$"),
    ([CONV], {}, "0: it takes a map of 2 channels, not 2$"),
    ([{"type": "SumPool2d", "kernel_size": 3, "stride": 2, "padding": 0}], {},
     "0: pools that overlap, or leave something out; the stride must be the kernel's size$"),
])
def test_wrong(tmp_path, nodes, options, sentence):
    path = write(tmp_path / "net.nir", *line(*nodes))
    if options == {}:
        options = dict(source="snntorch")
    with pytest.raises(GraphError, match=sentence) as error:
        read(path, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change, sentence", [
    (lambda nodes, edges: edges.append(("0", "2")), "an edge names the node 2, which is not there"),
    (lambda nodes, edges: edges.append(("input", "1")), "input leads to 2 nodes: only networks in"),
    (lambda nodes, edges: edges.append(("1", "0")), "0 is in a loop and in the line$"),
    (lambda nodes, edges: edges.pop(0), "0 is not between the input and the output in a line"),
    (lambda nodes, edges: nodes.pop("input"), "an edge names the node input, which is not there"),
    (lambda nodes, edges: nodes["input"].update(shape=np.array([0])), r"inputs of shape \[0\]"),
    (lambda nodes, edges: nodes["input"].update(shape=np.ones(2)), r"inputs of shape \[1.0, 1.0\]"),
    (lambda nodes, edges: nodes.update(more={"type": "Input", "shape": np.array([2])}),
     "2 inputs: a network here has one"),
])
def test_wrong_lines(tmp_path, change, sentence):
    nodes, edges = line(AFFINE, lif())
    change(nodes, edges)
    with pytest.raises(GraphError, match=sentence):
        read(write(tmp_path / "net.nir", nodes, edges), "norse", dt=1e-4)


def test_invalid_subgraph():
    with pytest.raises(GraphError, match="an edge names the node lif1.lif, which is not there$"):
        read(folder() / "public_braille_bias_zero_subgraph_invalid.nir", "snntorch")


def hostile(name):
    """Changes of a good file: (what is done with h5py, what the reader says)."""
    import h5py

    def large(file):
        del file["node/nodes/0/weight"]
        file["node/nodes/0"].create_dataset("weight", (1 << 15, 1 << 15), "f4", chunks=(1, 1 << 15),
                                            compression="gzip")

    def chunk(file):
        del file["node/nodes/0/weight"]
        file["node/nodes/0"].create_dataset(
            "weight", (2, 2), "f4", chunks=(1 << 14, 1 << 14), maxshape=(None, None))

    def outside(file):
        del file["node/nodes/0/weight"]
        file["node/nodes/0/weight"] = h5py.ExternalLink("/etc/passwd", "/")

    def raw(file):
        del file["node/nodes/0/weight"]
        file["node/nodes/0"].create_dataset(
            "weight", (2, 2), "u1", external=[("/etc/passwd", 0, 4)])

    def virtual(file):
        del file["node/nodes/0/weight"]
        layout = h5py.VirtualLayout((2, 2), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (2, 2))
        file["node/nodes/0"].create_virtual_dataset("weight", layout)

    def cycle(file):
        file["node/nodes/again"] = file["node"]

    def text(file):
        file["node/nodes/0/type"][()] = "\x1b[31m" + "x" * 1000

    return {"large": (large, "0.weight: more than 67108864 numbers"),
            "chunk": (chunk, "0.weight: more than 67108864 numbers"),
            "outside": (outside, "weight is missing, or a link to another file"),
            "raw": (raw, "0.weight lies in another file"),
            "virtual": (virtual, "0.weight lies in another file"),
            "cycle": (cycle, "subgraphs lie in subgraphs without an end"),
            "text": (text, r"0: \?\[31mxxx")}[name]


@pytest.mark.parametrize("name", ["large", "chunk", "outside", "raw", "virtual", "cycle", "text"])
def test_hostile(tmp_path, name):
    import h5py
    path = write(tmp_path / "net.nir", *line(AFFINE, lif()))
    change, sentence = hostile(name)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(GraphError, match=sentence) as error:
        read(path, "snntorch")
    assert len(str(error.value)) < 1000 and str(error.value).isprintable()


def test_no_graphs(tmp_path):
    for name, raw, sentence in (("text", b"hello", "not a readable NIR graph"),
                                ("empty", b"", "not a readable NIR graph")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(GraphError, match=sentence):
            read(tmp_path / name, "norse")
    with pytest.raises(GraphError, match="no such file$"):
        read(tmp_path / "nothing", "norse")
    with pytest.raises(GraphError, match="a folder; name the .nir file in it$"):
        read(tmp_path, "norse")


def test_damaged(tmp_path):
    """Whatever bytes are damaged: a graph, or one sentence."""
    good = write(tmp_path / "net.nir", *line(AFFINE, lif())).read_bytes()
    rng, path, said = np.random.default_rng(0), tmp_path / "bad.nir", 0
    for _ in range(12):
        damaged = bytearray(good)
        for at in rng.integers(len(good), size=rng.integers(1, 6)):
            damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged[:len(good) if rng.integers(3) else rng.integers(len(good))])
        try:
            read(path, "snntorch")
        except GraphError as error:
            said += 1
            assert str(error).isprintable()
    assert said > 3
