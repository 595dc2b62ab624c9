"""An engine as place and route leaves it, in place of its Verilog: the same programs, the same
comparison."""

import json
import re

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.commands import place_command, synthesis
from qsnn.hw.board.flow import synthesize
from qsnn.hw.board.toolchain import Job, find, run
from qsnn.hw.emit.verilog import to_verilog
from qsnn.hw.engine.engine import Engine
from qsnn.sim.engine import HERE, compile_engine
from qsnn.sim.netlist import load_netlist, save_netlist, simulable
from qsnn.sim.stages import cell_models

__all__ = ["compile_routed", "route_engine"]

MHZ = 50


def route_engine(shape, place, board="ulx3s-85f"):
    """Place and route the engine of a shape by itself, pins anywhere; gives what nextpnr reports.

    ``place``, a folder, has ``routed.json`` then. Raises
    :class:`qsnn.hw.board.toolchain.ToolError`.
    """
    board = BOARDS[board]
    (place / "top.v").write_text(to_verilog(Engine(shape), "top"))
    (place / board.constraints.name).write_text("")
    synthesize(place, "read_verilog top.v", synthesis(board))
    tool = find(f"nextpnr-{board.family}").path
    run([Job("place and route", place_command(board, tool, 1, MHZ, True), "routing.log")], place)
    (place / "seed1.json").rename(place / "routed.json")
    return json.loads((place / "seed1.report").read_text())


def compile_routed(shape, place):
    """The program of :func:`qsnn.sim.engine.compile_engine` of a netlist that
    :func:`route_engine` has left in the folder ``place``."""
    save_netlist(place / "simulable.json", simulable(load_netlist(place / "routed.json")))
    run([Job("translation", [find("yosys").path, "-q", "-p", "read_json simulable.json; "
                             "write_verilog -noattr stage.v"], "translation.log")], place)
    verilog = (place / "stage.v").read_text()
    verilog = re.sub(r"\bmodule top\b", "module engine", verilog)
    return compile_engine(shape, place, verilog="\n".join(
        [verilog, cell_models("ecp5"), (HERE / "dp16kd.v").read_text()]))
