"""Graphs of PyTorch modules: the spikes of four frameworks, layers one by one, what is refused."""

import numpy as np
import pytest

from qsnn.model.graphs import Bits, GraphError, from_torch, quantize
from qsnn.model.graphs.graph import Affine, Conv, Flatten, Neuron, Pool
from tests.frameworks import framework

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def same(graph, several=False):
    """The graph was compared with its net, and no spike differs."""
    assert " differ" in graph.notes[-1]
    assert several or graph.notes[-1].startswith(
        "spikes of the net and of its graph on the sample: 0 of "), graph.notes
    return [type(node) for node in graph.nodes]


def looped(first, second, steps=10, states=1):
    """A net as snnTorch's tutorials have it: a loop over steps, states that are passed on."""
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif1, self.fc2, self.lif2 = (
                nn.Linear(30, 40), first, nn.Linear(40, 5), second)

        def forward(self, x):
            found, one, two = [], (), ()
            for _ in range(steps):
                spikes, *one = self.lif1(self.fc1(x), *one)
                spikes, *two = self.lif2(self.fc2(spikes), *two)
                found.append(spikes)
            return torch.stack(found)
    return Net()


@pytest.mark.parametrize("options", [
    {}, {"reset_mechanism": "zero"}, {"reset_delay": False}, {"threshold": 0.6},
    {"reset_mechanism": "zero", "reset_delay": False}, {"beta": torch.linspace(0.1, 1, 40)}])
def test_snntorch_leaky(options):
    snn = framework("snntorch")
    graph = from_torch(looped(snn.Leaky(**{"beta": 0.9} | options), snn.Leaky(beta=0.5)),
                       3 * torch.rand(16, 30))
    assert same(graph) == [Affine, Neuron, Affine, Neuron]
    assert graph.inputs == (30,) and [node.name for node in graph.neurons] == ["lif1", "lif2"]
    delayed = options.get("reset_mechanism") != "zero" and options.get("reset_delay", True)
    if "beta" not in options and delayed:
        threshold = options.get("threshold", 1)
        assert graph.neurons[0].drop == pytest.approx(threshold / 0.9)


def test_snntorch_currents():
    snn = framework("snntorch")
    for options in ({}, {"reset_delay": False}, {"reset_mechanism": "zero", "reset_delay": False}):
        graph = from_torch(looped(snn.Synaptic(alpha=0.8, beta=0.9, **options),
                                  snn.Leaky(beta=0.9)), torch.rand(16, 30))
        same(graph)
        assert graph.neurons[0].leak_in == pytest.approx(0.8)


@pytest.mark.parametrize("name, states", [("RLeaky", 1), ("RSynaptic", 2)])
def test_snntorch_recurrent(name, states):
    snn = framework("snntorch")
    more = {"alpha": 0.7} if states == 2 else {}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(20, 50)
            self.lif = getattr(snn, name)(beta=0.9, linear_features=50, **more)

        def forward(self, x):
            state, found = (), []
            for t in range(x.shape[1]):
                state = self.lif(self.fc(x[:, t]), *state)
                found.append(state[0])
            return torch.stack(found)

    graph = from_torch(Net(), 2 * torch.rand(8, 12, 20))
    same(graph)
    assert graph.neurons[0].recurrent.weight.shape == (50, 50) and len(graph.notes) == 1


def test_snntorch_hidden_states():
    snn = framework("snntorch")
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.BatchNorm2d(8), nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, init_hidden=True), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(8 * 144, 10), snn.Leaky(beta=0.5, init_hidden=True, output=True))
    net[1].running_mean.uniform_(-0.3, 0.3)
    net[1].running_var.uniform_(0.3, 2)
    with torch.no_grad():
        net[1].weight.uniform_(0.5, 1.5)
        net[1].bias.uniform_(-0.3, 0.3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    graph = from_torch(net, 3 * torch.rand(5, 1, 28, 28))
    assert same(graph) == [Conv, Pool, Neuron, Flatten, Affine, Neuron]
    assert graph.inputs == (1, 28, 28) and net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(mode):
    neuron, layer, functional = framework(*(
        f"spikingjelly.activation_based.{name}" for name in ("neuron", "layer", "functional")))
    net = nn.Sequential(
        layer.Conv2d(1, 8, 3, padding=1, bias=False), layer.BatchNorm2d(8), neuron.LIFNode(),
        layer.AvgPool2d(2), layer.Conv2d(8, 8, 3), neuron.IFNode(v_reset=None), layer.MaxPool2d(2),
        layer.Flatten(), layer.Linear(8 * 36, 10),
        neuron.LIFNode(tau=3.0, decay_input=False, v_reset=-0.2), neuron.ParametricLIFNode())
    functional.set_step_mode(net, mode)
    x = 3 * torch.rand(4, 1, 28, 28)
    x = x if mode == "s" else x.repeat(6, 1, 1, 1, 1)
    with torch.no_grad():
        net(2 * x)  # what it remembers of this does not count
    graph = from_torch(net, x)
    assert same(graph) == [Conv, Neuron, Pool, Conv, Neuron, Pool, Flatten, Affine, Neuron, Neuron]
    assert [node.inclusive for node in graph.neurons] == [True] * 4
    assert graph.neurons[2].v_reset == -0.2 and graph.neurons[1].drop == 1
    assert len(graph.notes) == 1


def test_norse():
    norse = framework("norse.torch")
    for cell in (norse.LIFCell(), norse.IAFCell(), norse.LIFBoxCell()):
        net = norse.SequentialState(nn.Linear(64, 64), cell, nn.Linear(64, 10), norse.LIFBoxCell())
        same(from_torch(net, 40 * torch.rand(16, 64)))
    net = norse.SequentialState(norse.Lift(nn.Linear(64, 64)), norse.LIF(),
                                norse.Lift(nn.Linear(64, 10)), norse.LIF())
    graph = from_torch(net, 10 * torch.rand(7, 16, 64))
    same(graph)
    assert graph.neurons[0].leak == pytest.approx(0.9) and graph.neurons[0].gain_in == 1


def test_sinabs():
    layers, activation = framework("sinabs.layers", "sinabs.activation")
    for options in ({}, {"reset_fn": activation.MembraneReset()}, {"norm_input": False}):
        net = nn.Sequential(
            nn.Linear(64, 64), layers.LIF(tau_mem=5.0, spike_fn=activation.SingleSpike, **options),
            nn.Linear(64, 10), layers.IAF(spike_fn=activation.SingleSpike))
        same(from_torch(net, 4 * torch.rand(16, 9, 64)))
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), layers.IAFSqueeze(batch_size=2, spike_fn=activation.SingleSpike),
        layers.SumPool2d(2), nn.Flatten(), nn.Linear(36, 10),
        layers.IAFSqueeze(num_timesteps=7, spike_fn=activation.SingleSpike))
    assert same(from_torch(net, torch.rand(14, 2, 8, 8)))[2] == Pool
    graph = from_torch(nn.Sequential(nn.Linear(9, 9), layers.IAF(min_v_mem=-1.0)),
                       torch.rand(3, 4, 9))
    same(graph, several=True)
    assert "MultiSpike may fire several times a step" in graph.notes[0]
    assert "lower bound" in graph.notes[1]


def test_brevitas():
    snn, qnn, binary = framework("snntorch", "brevitas.nn", "brevitas.quant.binary")
    options = {"weight_quant": binary.SignedBinaryWeightPerTensorConst}
    net = nn.Sequential(qnn.QuantLinear(64, 64, bias=True, **options),
                        snn.Leaky(beta=0.5, init_hidden=True, reset_mechanism="zero"),
                        qnn.QuantLinear(64, 10, bias=True, weight_bit_width=4),
                        snn.Leaky(beta=0.5, init_hidden=True, reset_mechanism="zero"))
    graph = from_torch(net, 3 * torch.rand(16, 64))
    same(graph)
    assert len(np.unique(graph.nodes[0].weight)) == 2 and len(np.unique(graph.nodes[2].weight)) < 16
    layer = quantize(graph, 4, np.random.default_rng(0).integers(0, 256, (40, 64))
                     ).description.layers[1]
    assert (layer.weight_bits, layer.weight_code) == (4, "integer")
    assert (layer.weights == net[2].quant_weight().int().numpy()).all()


class Lambda(nn.Module):
    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


def linear(x, first, second, third):
    return third(second(first(x)))


@pytest.mark.parametrize("function, sentence", [
    (lambda x, one, lif, two: two(torch.relu(lif(one(x) - 0.1)) - 1), "layers.1 does not take what "
     "layers.0 gives: between them is something that no module does"),
    (lambda x, one, lif, two: two(lif(one(x)) + x[:, :5]), "^layers.2 does not take what layers.1"),
    (lambda x, one, lif, two: two(x), r"^the net does not take this sample of \["),
])
def test_what_no_module_says(function, sentence):
    neuron, layer = framework("spikingjelly.activation_based.neuron",
                              "spikingjelly.activation_based.layer")
    net = Lambda(function, layer.Linear(9, 5), neuron.LIFNode(), layer.Linear(5, 3))
    with pytest.raises(GraphError, match=sentence):
        from_torch(net, torch.rand(4, 9))


def test_functions_that_change_nothing():
    neuron = framework("spikingjelly.activation_based.neuron")
    net = Lambda(lambda x, conv, lif, fc: fc(lif(conv((x - 0.5) * 8)).flatten(1)),
                 nn.Conv2d(2, 3, 3), neuron.LIFNode(), nn.Linear(3 * 16, 5))
    graph = from_torch(net, np.random.default_rng(0).random((4, 2, 6, 6), np.float32))
    assert same(graph) == [Conv, Neuron, Flatten, Affine]
    assert graph.notes[0].startswith("the net changes its samples before layers.0")


@pytest.mark.parametrize("layers, sentence", [
    ([nn.Linear(9, 9), nn.ReLU()], "^1: ReLU cannot be built; there is Linear, Conv2d"),
    ([nn.Linear(9, 9)], "^there are no neurons among the layers$"),
    ([nn.Identity()], "^no layer that is known was called"),
    ([nn.BatchNorm1d(9), nn.Linear(9, 9)], "^0: a batch norm must follow a linear layer"),
    ([nn.Linear(9, 9), nn.BatchNorm1d(9, track_running_stats=False)], "^1: a batch norm that keeps "
     "no statistics$"),
    ([nn.Linear(8, 9)], r"^the net does not take this sample of \["),
])
def test_wrong_layers(layers, sentence):
    with pytest.raises(GraphError, match=sentence):
        from_torch(nn.Sequential(*layers), torch.rand(4, 9))


@pytest.mark.parametrize("layer, sentence", [
    (nn.Conv2d(2, 4, 3, groups=2), "^0: 2 groups; only convolutions with one can be built$"),
    (nn.Conv2d(2, 4, 3, dilation=2), r"^0: a dilation of \(2, 2\)$"),
    (nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), "^0: padding with other numbers"),
    (nn.Conv2d(2, 4, 2, padding="same"), "^0: padding 'same' of an even kernel"),
    (nn.MaxPool2d(3, stride=2), "^0: pools that overlap, are padded or go beyond the map"),
    (nn.AdaptiveAvgPool2d(5), "^0: a map of .* has no whole pools for"),
])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # PyTorch's
def test_wrong_maps(layer, sentence):
    with pytest.raises(GraphError, match=sentence):
        from_torch(nn.Sequential(layer), torch.rand(2, 2, 8, 8))


@pytest.mark.parametrize("kind, options, sentence", [
    ("Synaptic", {"alpha": 0.5, "reset_mechanism": "none"}, "a neuron that never resets cannot be"),
    ("Leaky", {"graded_spikes_factor": 2.0}, "graded spikes of snnTorch cannot be built"),
    ("Leaky", {"beta": 0.0}, "a delayed reset of a neuron that forgets everything"),
    ("Synaptic", {"alpha": 0.5, "reset_mechanism": "zero"}, "Synaptic also loses the next step's"),
    ("RLeaky", {"all_to_all": False}, "must do so through linear_features$"),
])
def test_wrong_snntorch(kind, options, sentence):
    snn = framework("snntorch")
    lif = getattr(snn, kind)(**{"beta": 0.9, "init_hidden": True} | options)
    with pytest.raises(GraphError, match=f"^1: .*{sentence}"):
        from_torch(nn.Sequential(nn.Linear(9, 9), lif), torch.rand(4, 9))


def test_not_a_net():
    with pytest.raises(GraphError, match="^a torch.nn.Module is needed, not <class 'dict'>$"):
        from_torch({}, torch.rand(4, 9))


def window(kernel, pool, **options):
    """A net of one dimension: channels of a sensor, over time."""
    neuron = framework("spikingjelly.activation_based.neuron")
    return nn.Sequential(
        nn.Conv1d(2, 6, kernel, **options), nn.BatchNorm1d(6), neuron.IFNode(v_threshold=0.5), pool,
        nn.Conv1d(6, 4, 3, padding=1), neuron.LIFNode(v_threshold=0.3), nn.Flatten(),
        nn.LazyLinear(3))


@pytest.mark.parametrize("pool, kind", [(nn.AvgPool1d(2), "mean"), (nn.MaxPool1d(3), "max"),
                                        (nn.AdaptiveAvgPool1d(4), "mean")])
@pytest.mark.parametrize("kernel, options", [
    (5, dict(padding=2)), (4, dict(stride=2, padding=1, bias=False)), (3, dict(padding="same"))])
def test_one_dimension(kernel, options, pool, kind):
    """A map of a single row: the same spikes, and integers of it."""
    length = 48 if options.get("stride") else 24
    net, x = window(kernel, pool, **options), torch.rand(16, 2, length)
    net(x)
    with torch.no_grad():
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.2, 2)
        net[1].weight.normal_()
    for module in net.modules():
        if hasattr(module, "reset"):
            module.reset()
    graph = from_torch(net, x)
    same(graph)
    assert graph.inputs == (2, 1, length)
    assert graph.nodes[0].weight.shape == (6, 2, 1, kernel)
    assert (graph.nodes[2].kind, graph.nodes[2].size[0]) == (kind, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 2 * length))
    description = quantize(graph, 4, pixels).description
    assert description.input_map == (1, length, 2)
    assert description.hidden[0].kernel == (1, kernel)
    assert description.hidden[0].stride == (1, options.get("stride", 1))


@pytest.mark.parametrize("options, pool, sentence", [
    (dict(groups=2), nn.AvgPool1d(2), "^0: 2 groups; only convolutions with one can be built$"),
    (dict(dilation=2), nn.AvgPool1d(2), r"^0: a dilation of \(2,\)$"),
    (dict(padding_mode="circular", padding=1), nn.AvgPool1d(2), "^0: padding with other numbers"),
    ({}, nn.MaxPool1d(3, stride=1), "^3: pools that overlap, are padded or go beyond the map "),
    ({}, nn.AvgPool1d(3, padding=1), "^3: pools that overlap, are padded or go beyond the map "),
])
def test_wrong_in_one_dimension(options, pool, sentence):
    net = window(3, pool, **options)
    net(torch.rand(4, 2, 24))
    for module in net.modules():
        if hasattr(module, "reset"):
            module.reset()
    with pytest.raises(GraphError, match=sentence):
        from_torch(net, torch.rand(4, 2, 24))


@pytest.mark.parametrize("module", [True, False])
def test_maps_that_become_rows_at_once(module):
    """Channels come first in the net's row, and last in a data set's: weights are turned."""
    framework("snntorch")
    import snntorch as snn
    lif = [snn.Leaky(beta=0.5, init_hidden=True) for _ in range(2)]
    line = nn.Sequential(nn.Linear(24, 12), lif[0], nn.Linear(12, 3), lif[1])

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = line

        def forward(self, x):
            return self.line(x.flatten(1))

    pixels = torch.randint(0, 256, (30, 2, 3, 4))
    graph = from_torch(nn.Sequential(nn.Flatten(), *line) if module else Rows(), pixels / 255)
    assert graph.inputs == (2, 3, 4) and same(graph)[0] == Flatten
    wanted = graph.run(pixels.numpy() / 255, 6).labels
    found = quantize(graph, 6, pixels.numpy().transpose(0, 2, 3, 1).reshape(30, -1), wanted,
                     bits=Bits(8, membranes=8))
    assert found.report.correct[0] == 30
    grey = from_torch(nn.Sequential(nn.Flatten(), *line), torch.rand(30, 1, 6, 4))
    assert grey.inputs == (24,)


def test_samples_of_one_dimension_are_found(tmp_path):
    """Without a sample of its own a net of Conv1d is shown a set's windows, turned."""
    framework("snntorch")
    from qsnn.model import data
    from qsnn.model.graphs.loading import graph_of, laid_out
    (tmp_path / "net.py").write_text("""import snntorch as snn
from torch import nn
def make():
    lif = dict(beta=0.5, init_hidden=True)
    return nn.Sequential(nn.Conv1d(2, 4, 3), snn.Leaky(**lif), nn.Flatten(), nn.Linear(16, 3),
                         snn.Leaky(**lif))
""")
    x = np.random.default_rng(0).random((60, 6, 2))
    for own in (x, x.swapaxes(1, 2)):
        np.savez(tmp_path / "set.npz", x=own, y=np.arange(60) % 3)
        found = data.find(tmp_path / "set.npz")
        graph = graph_of(f"{tmp_path}/net.py:make", found, found.load("train")[0], 1 / 255, 0.0,
                         input_bits=8)
        assert graph.inputs == (2, 1, 6) and laid_out(found, graph).image == (1, 6, 2)


def test_numbers_that_are_none():
    framework("snntorch")
    import snntorch as snn
    def net():
        return nn.Sequential(nn.Linear(4, 3), snn.Leaky(beta=0.5, init_hidden=True))
    broken = net()
    broken[0].weight.data[0, 0] = float("nan")
    for made, sample, sentence in (
            (broken, torch.rand(2, 4), "^0: weight has numbers that are none: its training has "),
            (net(), torch.full((2, 4), torch.inf), "^the sample has numbers that are none$")):
        with pytest.raises(GraphError, match=sentence):
            from_torch(made, sample)
