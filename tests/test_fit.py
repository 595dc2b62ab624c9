"""Foldings chosen for a board, and what is said where none fits."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Fragment

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.fit import FitError, check_fit, choose_for_board, found_text
from qsnn.hw.emit.build import find_network, open_build
from qsnn.hw.link.accelerator import AcceleratorCore
from qsnn.hw.link.protocol import Hello
from qsnn.hw.network import Network
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.folding import Folding, FoldingError
from qsnn.hw.plan.line import MAX_REPLY, most_classes, score_bytes, too_many_classes
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.search import MARGIN, Search
from qsnn.model.description import Description, FullyConnected, Readout, load, save
from tests.networks import random_description, random_maps

ROOT = Path(__file__).parents[1]
I5 = BOARDS["colorlight-i5"]


def network(*widths, seed=0, time_steps=4, input_bits=8):
    return random_description(np.random.default_rng(seed), widths=widths, time_steps=time_steps,
                              membrane_bits=2, input_bits=input_bits, signed=False)


@pytest.fixture(scope="module")
def mnist():
    return load(find_network("mnist-128-b2"))


def fits(board, description, foldings, **options):
    found = estimate(board, plan(description, foldings), **options)
    return found.logic <= MARGIN * board.logic and found.blocks <= board.ram_blocks


@pytest.mark.parametrize("seed", range(3))
def test_little_is_faster_or_smaller(seed):
    """Compared with every folding of small networks, those that pad included."""
    rng = np.random.default_rng(seed)
    description = network(*map(int, rng.integers(3, 7, size=2)), 3, seed=seed,
                          time_steps=int(rng.integers(1, 5)), input_bits=(1, 8)[seed % 2])
    n_in, hidden = description.n_in, description.layers[0].n_out
    every = []
    for pe, simd, last_pe in product(range(1, hidden + 1), range(1, n_in + 1), range(1, 4)):
        neurons = -(-hidden // pe) * pe
        for last_simd in range(1, neurons + 1):
            foldings = [Folding(pe, simd), Folding(last_pe, last_simd)]
            whole = plan(description, foldings)
            every.append((whole.cycles, estimate(I5, whole).logic))
    search = Search(description, I5)
    fastest = min(cycles for cycles, _ in every)
    assert search.fastest().plan.cycles <= fastest + 3
    for cycles in {cycles for cycles, _ in every}:
        least = min(logic for other, logic in every if other <= cycles)
        found = search.at(cycles)
        if found is None:
            assert cycles < fastest + 3
            continue
        assert found.plan.cycles <= cycles
        assert least <= found.estimate.logic <= 1.2 * least


@pytest.mark.parametrize("name, board, cycles", [
    ("mnist-128-b2", "icebreaker", 882), ("mnist-128-b2", "colorlight-i5", 76),
    ("mnist-256-256-b2", "colorlight-i5", 241)])
def test_committed_networks(name, board, cycles):
    """No slower than they were when this was written, and what it says is what the plan says."""
    description, board = load(find_network(name)), BOARDS[board]
    found = choose_for_board(description, board, hz=50_000_000)
    assert found.plan.stages == plan(description, found.foldings).stages
    assert found.plan.cycles <= cycles
    assert found.estimate == estimate(board, found.plan)
    assert fits(board, description, found.foldings)
    check_fit(board, description, found.foldings)
    assert any(folding.spram for folding in found.foldings) == (board.spram_bits > 0)


def test_full_block_rams(mnist):
    """Where RAM is what there is least of, words that just fill it are found."""
    found = choose_for_board(mnist, BOARDS["ice40hx8k"], hz=1e6, bare=True)
    assert (found.plan.cycles, found.estimate.blocks) == (490, 32)


def test_neither_layer_is_wide():
    """Two layers of 112 cycles whose double buffers come round in time."""
    found = Search(load(find_network("mnist-256-256-b2")), BOARDS["ulx3s-85f"], bare=True).at(112)
    assert found.estimate.logic < 42_000


def test_single_port_ram_only_where_it_helps(mnist):
    small = network(16, 8, 3)
    found = choose_for_board(small, BOARDS["icebreaker"], hz=1e6)
    assert not any(folding.spram for folding in found.foldings)
    for fps in (1, 1000, 20_000):
        found = choose_for_board(mnist, BOARDS["icebreaker"], hz=24_000_000, fps=fps)
        assert [folding.spram for folding in found.foldings] == [True, False]
        assert found.plan.stages[0].words * found.plan.stages[0].groups <= 1 << 14


def test_target_takes_no_more_than_it_needs(mnist):
    sizes = []
    for fps in (100, 10_000, 100_000, 400_000):
        found = choose_for_board(mnist, I5, hz=50_000_000, fps=fps)
        assert 50_000_000 / found.plan.cycles >= fps
        sizes.append(found.estimate.logic)
    assert sizes[1:] == sorted(sizes[1:]) and sizes[0] < 1.1 * sizes[1] < sizes[-1] / 3


def test_options_count(mnist):
    """The host link takes logic, and memories that a host loads take more."""
    fastest = [choose_for_board(mnist, I5, hz=1e6, **options).plan.cycles
               for options in ({"bare": True}, {}, {"loadable": True})]
    assert fastest == sorted(fastest) and fastest[0] < fastest[-1]


def test_unreachable_target(mnist):
    with pytest.raises(FitError) as caught:
        choose_for_board(mnist, I5, hz=50_000_000, fps=900_000)
    best = choose_for_board(mnist, I5, hz=50_000_000).plan.cycles
    assert str(caught.value) == (
        "900,000 images/s at 50 MHz leave 55 cycles for an image, which no folding has on the "
        f"Colorlight i5 v7.0 on its extension board: the fastest has {float(best):g}, "
        f"{int(50e6 / best):,} images/s; at this clock the ULX3S 85F would do")
    with pytest.raises(FitError, match="leave 0 cycles .*; no other board would do at this clock"):
        choose_for_board(mnist, I5, hz=50_000_000, fps=10 ** 12)


def test_no_folding_fits():
    description = load(find_network("mnist-256-256-b2"))
    with pytest.raises(FitError) as caught:
        choose_for_board(description, BOARDS["icebreaker"], hz=24_000_000)
    assert str(caught.value) == ("no folding of the network fits the iCEBreaker 1.0: the "
                                 "Colorlight i5 v7.0 on its extension board would do")
    tiny = replace(BOARDS["icebreaker"], logic=100)
    with pytest.raises(FitError, match="none fits it; at this clock the iC.* would do$"):
        choose_for_board(network(16, 8, 3), tiny, hz=24_000_000, fps=10)


def test_check_fit(mnist):
    up5k, hx8k = BOARDS["icebreaker"], BOARDS["ice40hx8k"]
    small = [Folding(1, 1)] * 2
    for board in BOARDS.values():
        check_fit(board, network(16, 8, 3), small)
    with pytest.raises(FitError) as caught:
        check_fit(up5k, mnist, [Folding(8, 8), Folding(1, 4)])
    sentence = str(caught.value)
    assert sentence.startswith("the network needs ") and " block RAMs, the iCEBreaker 1.0 has 30: "\
        "--fit finds a folding that does, --pe " in sentence
    assert ", layer 0 in single-port RAM with " in sentence
    assert sentence.endswith("; this folding fits the Colorlight i5 v7.0 on its extension board")
    single = [Folding(8, 8, spram=True), Folding(1, 4)]
    check_fit(up5k, mnist, single)
    with pytest.raises(FitError, match=r"^the iCE40-HX8K .* has no single-port RAM for weights$"):
        check_fit(hx8k, mnist, single)

    wide = network(64, 32, 3)
    parallel = [Folding(32, 64), Folding(1, 1)]
    with pytest.raises(FitError, match=r"^the network needs about \d\d,\d\d\d logic cells, the "
                       r"iCEBreaker 1\.0 has 5,280: --fit .* cycles an image; this folding fits "):
        check_fit(up5k, wide, parallel)
    # the estimate may be wrong by 10 %: then nextpnr decides
    needs = estimate(up5k, plan(wide, parallel)).logic
    check_fit(replace(up5k, logic=needs * 0.92), wide, parallel)
    with pytest.raises(FitError):
        check_fit(replace(up5k, logic=needs * 0.9), wide, parallel)


def test_found_text(mnist):
    found = choose_for_board(mnist, BOARDS["icebreaker"], hz=24_000_000, fps=10_000)
    first, second = found.foldings
    text = found_text(found, BOARDS["icebreaker"], 24_000_000)
    assert text.splitlines() == [
        f"folding           --pe {first.pe},{second.pe} --simd {first.simd},{second.simd}, "
        "layer 0 in single-port RAM",
        f"estimate          {found.estimate.logic:,} of 5,280 logic cells, "
        f"{found.estimate.blocks} of 30 block RAMs, "
        f"{int(24e6 / found.plan.cycles):,} images/s at 24 MHz"]


def test_pixels_where_channels_are_not_enough():
    """A first layer of one channel has no SIMD: faster than 9 cycles a position takes pixels."""
    description = random_maps(np.random.default_rng(0), words="c8k3-p2-c8k3-p2", image=(16, 16, 1),
                              time_steps=2, classes=4)
    found = choose_for_board(description, I5, hz=50_000_000, fps=50_000)
    first = found.foldings[0]
    assert (first.pe, first.simd) == (8, 1) and first.pixels in (4, 8)
    assert found.plan.cycles <= 1000 < 256 * 9
    assert " --pixels " in found_text(found, I5, 50_000_000)
    # neuron units take a cycle for each of two time steps at each position
    with pytest.raises(FitError, match="the fastest has 512, 97,656 images/s"):
        choose_for_board(description, I5, hz=50_000_000, fps=100_000)


def build(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "scripts/build.py", "--out", str(tmp_path), *arguments], cwd=ROOT,
        capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONWARNINGS": "error"})


@pytest.mark.parametrize("name, board, serial", [
    ("pendigits-128t4-64r-b2", "icebreaker", None), ("ecg-32t24-32t4-b2", "icebreaker", None),
    ("mnist-128-b2", "colorlight-i5", 1), ("mnist-256-256-b2", "colorlight-i5", 1)])
def test_serial_layers(name, board, serial):
    """Of streams, and behind parallel layers: faster than the usual folding, and it fits."""
    description, board = load(find_network(name)), BOARDS[board]
    found = choose_for_board(description, board, hz=12_000_000, serial=serial)
    assert found.plan.parallel == (serial or 0) and found.plan.at_most
    assert fits(board, description, found.foldings)
    check_fit(board, description, found.foldings)
    usual = plan(description, choose_folding(description, serial=serial))
    assert found.plan.cycles < usual.cycles
    unit = "image" if serial else "step"
    text = found_text(found, board, 12_000_000)
    assert f"{int(12e6 / found.plan.cycles):,} {unit}s/s at 12 MHz, at least" in text
    assert (f" --serial {serial}" in text) == (serial is not None)
    # the smallest that is fast enough is slower, and smaller
    fps = int(12e6 / found.plan.cycles / 3)
    small = choose_for_board(description, board, hz=12_000_000, serial=serial, fps=fps)
    assert 12e6 / small.plan.cycles >= fps
    assert small.estimate.logic < found.estimate.logic


def test_more_weights_than_a_board_remembers():
    """Said at once: no folding makes them fewer."""
    description = random_description(np.random.default_rng(0), widths=(1500, 1000, 10),
                                     time_steps=1)
    sentence = (f"the network has {description.weight_bits:,} bits of weights, the iCEBreaker 1.0 "
                "remembers 1,255,936 at most, in RAM and LUTs: take a smaller network, "
                "or a larger device: the ULX3S 85F remembers enough")
    with pytest.raises(FitError, match=re.escape(sentence)):
        choose_for_board(description, BOARDS["icebreaker"], hz=24_000_000)


def test_a_folding_larger_than_any_device():
    description = random_description(np.random.default_rng(0), widths=(1024, 512, 10),
                                     time_steps=2, input_bits=4)
    plan(description, [Folding(512, 512), Folding(1, 1)])
    with pytest.raises(FoldingError, match="layer 0: PE 512 x SIMD 1024 x bits 4 is more than "
                                           "1,048,576 synapses at once, for which no device"):
        plan(description, [Folding(512, 1024), Folding(1, 1)])


def test_a_stream_that_is_too_fast():
    description = load(find_network("pendigits-128t4-64r-b2"))
    with pytest.raises(FitError, match="500,000 steps/s at 12 MHz leave 24 cycles for a step, "
                                       "which no folding has on the iCEBreaker 1.0: the fastest "):
        choose_for_board(description, BOARDS["icebreaker"], hz=12_000_000, fps=500_000)


def test_script(tmp_path, mnist):
    done = build(tmp_path, "--model", "mnist-128-b2", "--board", "colorlight-i5",
                 "--target-fps", "30000", "--clock", "40")
    assert (done.returncode, done.stderr) == (0, "")
    found = choose_for_board(mnist, I5, hz=40_000_000, fps=30_000)
    assert found_text(found, I5, 40_000_000) in done.stdout
    facts, _ = open_build(tmp_path / "mnist-128-b2")
    assert [(layer["pe"], layer["simd"]) for layer in facts["layers"]] == [
        (folding.pe, folding.simd) for folding in found.foldings]
    assert facts["cycles_per_image"] <= 40e6 / 30_000


@pytest.mark.parametrize("arguments, message", [
    (["--fit"], "--fit and --target-fps need a --board"),
    (["--target-fps", "5"], "--fit and --target-fps need a --board"),
    (["--board", "icebreaker", "--fit", "--target-fps", "5"], "give one of them alone"),
    (["--board", "icebreaker", "--fit", "--pe", "1,1,1"],
     "alone, without --pe"),
    (["--board", "icebreaker", "--fit"], "no folding of the network fits the iCEBreaker 1.0: "),
])
def test_script_refuses(tmp_path, arguments, message):
    done = build(tmp_path, *arguments)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    line, = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def many_classes(classes):
    """Scores of two bytes: a reply has room for 123 of them."""
    return network(12, 5, classes, time_steps=4, input_bits=8)


@pytest.mark.parametrize("arguments", [[], ["--bitstream"], ["--link", "spi"]])
def test_script_refuses_too_many_classes(tmp_path, arguments):
    """In one line, before a folding is searched or anything is written; and without warnings."""
    many = tmp_path / "many.qsnn"
    save(many_classes(65536), many)
    done = build(tmp_path / "out", "--model", many, "--board", "ulx3s-85f", *arguments)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == [many]
    assert done.stderr == (
        "error: the network has 65536 classes, the host link counts at most 65535: build it with "
        "--bare, a few pins in place of the host link\n")


@pytest.mark.parametrize("arguments", [[], ["--fit"], ["--bare"]])
def test_script_builds_many_classes(tmp_path, arguments):
    many = tmp_path / "many.qsnn"
    save(many_classes(1000), many)
    done = build(tmp_path / "out", "--model", many, "--board", "ulx3s-85f", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("written to " + f"{tmp_path / 'out' / 'many'}/\n")


def test_as_many_classes_as_a_reply_has_room_for():
    """With one class more a reply has the largest score alone."""
    description, foldings = many_classes(123), [Folding(1, 1)] * 2
    for count in (123, 124):
        description = many_classes(count)
        whole = plan(description, foldings)
        assert (score_bytes(whole), most_classes(2)) == (2, 123)
        assert too_many_classes(whole) == ""
        check_fit(I5, description, foldings)
        core = AcceleratorCore(description, foldings, clock_hz=5_000_000)
        Fragment.get(core, None)
        hello = core.hello
        assert Hello.unpack(hello.pack()) == hello
        assert hello.result_bytes == (247 if count == 123 else 4) <= MAX_REPLY
    assert most_classes(1) < 256  # a label is a byte


@pytest.mark.parametrize("name, serial", [
    ("mnist-128-b2", None), ("mnist-128-b2", 1), ("ecg-32t24-32t4-b2", None)])
def test_score_bytes(name, serial):
    """What the limit counts is as wide as the core's output, whatever the schedule."""
    description = load(find_network(name))
    network = Network(description, choose_folding(description, serial=serial))
    Fragment.get(network, None)
    size = score_bytes(network.plan)
    assert 8 * size >= len(network.o.p.score) > 8 * size - 8


def test_larger_devices(monkeypatch):
    """What no board holds: the smallest device that would, by the estimate alone."""
    board = replace(BOARDS["ulx3s-85f"], logic=500, ram_blocks=1)
    monkeypatch.setattr("qsnn.hw.board.fit.BOARDS", {board.name: board})
    devices = ("Few", 400, 9), ("Enough", 5000, 9), ("More", 9000, 9)
    monkeypatch.setattr("qsnn.hw.board.fit.LARGER", devices)
    description = random_maps(np.random.default_rng(0), words="c8k3-p2-c8k3", image=(8, 8, 1),
                              time_steps=2, classes=10)
    with pytest.raises(FitError) as caught:
        choose_for_board(description, board, hz=50_000_000)
    found = re.fullmatch(
        "no folding of the network fits the ULX3S 85F: take a smaller network, or a larger device: "
        r"the Enough would hold it, with (\d+) block RAMs of 18 kbit and ([\d,]+) LUTs for "
        r"[\d,]+ cycles an image, but no tool here makes its bitstreams", str(caught.value))
    assert int(found[1]) <= 9 and 400 < int(found[2].replace(",", "")) <= 5000
    monkeypatch.setattr("qsnn.hw.board.fit.LARGER", devices[:1])
    with pytest.raises(FitError, match="fits the ULX3S 85F: take a smaller network$"):
        choose_for_board(description, board, hz=50_000_000)


def test_what_the_engine_makes_of_it():
    """A network that no chip here holds, and one that the engine does not hold either."""
    vgg = load(ROOT / "benchmarks/unmeasured/cifar-10-vgg-11-b2/network.qsnn")
    for board, other in (("icebreaker", "colorlight-i5"), ("ulx3s-85f", "ulx3s-85f")):
        with pytest.raises(FitError) as caught:
            choose_for_board(vgg, BOARDS[board], hz=24_000_000)
        rate, name = re.search(r" and the engine, (\d+) images/s: qsnn run --board (\S+)$",
                               str(caught.value)).groups()
        assert name == other and 50 < int(rate) < 500
    stream = load(find_network("ecg-32t24-32t4-b2"))
    with pytest.raises(FitError) as caught:
        choose_for_board(stream, replace(BOARDS["icebreaker"], logic=1, ram_blocks=1),
                         hz=24_000_000)
    assert "engine" not in str(caught.value)
    hidden = FullyConnected(weights=np.ones((1500, 1000), np.int8), threshold=np.zeros(1500, int),
                            bias=np.zeros(1500, int), input_bits=1, membrane_bits=2, signed=False,
                            shift=1, frac=0)
    readout = Readout(weights=np.ones((4, 1500), np.int8), bias=np.zeros(4, int), frac=0)
    wide = Description(time_steps=0, layers=(hidden, readout))
    with pytest.raises(FitError, match="bits of weights") as caught:
        choose_for_board(wide, BOARDS["icebreaker"], hz=24_000_000)
    assert "engine" not in str(caught.value)
