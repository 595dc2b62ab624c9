"""An SDRAM, its chip and a check under cocotb."""

from dataclasses import replace

import pytest
from cocotb_tools.runner import get_runner

from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.memory.check import ImageCheck
from qsnn.hw.memory.chips import SDRAMS
from qsnn.hw.memory.sdram import SdramController
from qsnn.sim.memory import FOLDER, CheckedBench
from qsnn.sim.tb_memory import MAGIC, VERSION
from qsnn.sim.tools import need


@pytest.mark.parametrize("name", ["EM638325", "AS4C32M16SB"])
def test_images(tmp_path, name):
    """In Icarus, as the models run there too."""
    need("iverilog")
    core = SdramController(replace(SDRAMS[name], pause_us=2), clock_hz=100_000_000, late=1)
    check = ImageCheck(magic=MAGIC, version=VERSION, most=1000)
    bench = CheckedBench(core, check, late=1, SIMULATED_BITS=12, POSTPONED=2)
    source = tmp_path / "bench.v"
    source.write_text(to_verilog(bench, "bench"))
    runner = get_runner("icarus")
    runner.build(sources=[source, FOLDER / "sdram.v"], hdl_toplevel="bench",
                 build_dir=tmp_path / "build", timescale=("1ns", "1ps"))
    runner.test(hdl_toplevel="bench", test_module="qsnn.sim.tb_memory", seed=0,
                build_dir=tmp_path / "build", test_dir=tmp_path, timescale=("1ns", "1ps"))
