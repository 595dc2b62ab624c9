"""Bitstreams of iCE40 back to Verilog: icebox_vlog of Project IceStorm, and what it leaves out.

icebox_vlog does not know the single-port RAMs of the UP5K, nor outputs at the pad whose input a
PLL has taken. Its comments say which net each wire
of the chip belongs to, and its database where their pins are.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from qsnn.sim.tools import SimulationError, need

__all__ = ["outputs_at_plls", "unpacked_verilog"]


def unpacked_verilog(work, asc, pcf):
    """Verilog of module ``top`` from an unpacked bitstream, whose pins have names in ``pcf``."""
    need("icebox_vlog")
    # a Python program of somebody else, whose warnings are not ours to mend
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
    done = subprocess.run(["icebox_vlog", "-c", "-n", "top", "-p", pcf, asc], cwd=work,
                          capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SimulationError("icebox_vlog failed: " + done.stderr.strip().rpartition("\n")[2])
    text = outputs_at_plls(done.stdout, (work / pcf).read_text())
    if ".device 5k" not in (work / asc).read_text():
        return text
    body, end = text.rsplit("endmodule", 1)
    return "".join([body, *_single_port_rams(work / asc, _nets(text)), "endmodule", end])


def outputs_at_plls(text, pcf):
    """With an output for every pad that has a driver."""
    nets = _nets(text)
    for name, x, y, z in re.findall(r"set_io (\S+) (\d+) (\d+) (\d)", pcf):
        driver = nets.get((int(x), int(y), f"io_{z}/D_OUT_0"))
        output, found = re.subn(rf"\binput {re.escape(name)}(?=[,)])", f"output {name}", text)
        if driver and found:
            body, end = output.rsplit("endmodule", 1)
            text = f"{body}assign {name} = {driver};\nendmodule{end}"
    return text


def _nets(text):
    """(x, y, name of a wire in that tile) -> net."""
    nets, net = {}, None
    for line in text.splitlines():
        if found := re.fullmatch(r"(?:wire|reg) (\S+) ?(?:= [01])?;", line):
            net = found[1]
        elif found := re.fullmatch(r"// \((\d+), (\d+), '(.+)'\)", line):
            nets[int(found[1]), int(found[2]), found[3]] = net
    return nets


def _library():
    """The Python module beside icebox_vlog."""
    program = Path(shutil.which("icebox_vlog")).resolve()
    places = (program.parent, program.parents[1] / "share/fpga-icestorm/python",
              program.parents[1] / "share/icebox")
    folder = next((str(place) for place in places if (place / "icebox.py").is_file()), None)
    if folder is None:
        raise SimulationError("icebox.py, which icebox_vlog works with, was not found: "
                              "apt install fpga-icestorm")
    sys.path.insert(0, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is older than this Python
            return importlib.import_module("icebox")
    finally:
        sys.path.remove(folder)


def _single_port_rams(asc, nets):
    """An instance of each that the bitstream enables."""
    icebox = _library()
    chip = icebox.iceconfig()
    chip.read_file(str(asc))
    for index, pins in enumerate(icebox.spram_db["5k"].values()):
        x, y, enable = pins["SPRAM_EN"]
        bits = icebox.tileconfig(chip.tile(x, y))
        if not any(entry[1:] == ["IpConfig", enable] and bits.match(entry[0])
                   for entry in chip.tile_db(x, y)):
            continue
        ports = {}
        for name, place in pins.items():
            port, _, bit = name.partition("_")
            if port == "DATAOUT":  # a wire to nowhere, where nothing is connected
                net = nets.get(place, f"spram_{index}_{bit}")
            else:
                net = nets.get(place, "1'b0")
            if port != "SPRAM":
                ports.setdefault(port, {})[int(bit or 0)] = net
        for net in ports["DATAOUT"].values():
            if net.startswith("spram_"):
                yield f"wire {net};\n"
        connections = ", ".join(
            f".{port}({{{', '.join(nets for _, nets in sorted(bits.items(), reverse=True))}}})"
            for port, bits in ports.items())
        yield f"SB_SPRAM256KA spram_{index} ({connections});\n"
