"""Netlists of Yosys and nextpnr, as JSON, made fit for a simulator.

What nextpnr writes after routing is not a closed circuit: wires that are no choice, between a
pad, its PLL and the global buffer behind it, are gone, so that the clock would be X; pads are
tri-state; and inputs that are not connected have a level in silicon, which a simulator does not
know. All that is put back here, and a PLL becomes a wire. Logic, registers, memories and their
contents stay as they are.
"""

import json
import re
from itertools import count

from qsnn.sim import ecp5
from qsnn.sim.tools import SimulationError

__all__ = ["load_netlist", "pads", "save_netlist", "simulable"]

# type -> pin of the package, output of its input buffer, input of its output buffer
PADS = {"SB_IO": ("PACKAGE_PIN", "D_IN_0", "D_OUT_0"), "TRELLIS_IO": ("B", "O", "I")}
PLAIN = {"000001", "011001"}  # PIN_TYPE of an SB_IO without register and enable
PLLS = {"SB_PLL40_CORE", "SB_PLL40_PAD", "ICESTORM_PLL", "EHXPLLL"}
LOCKS = {"LOCK"}
# global buffer -> its output, its input
BUFFERS = {"SB_GB": ("GLOBAL_BUFFER_OUTPUT", "USER_SIGNAL_TO_GLOBAL_BUFFER"),
           "DCCA": ("CLKO", "CLKI")}
# enables that are on where nothing is connected; all other inputs are low
PULLED_UP = {"CEN", "RCLKE", "WCLKE"}
SCALAR = {"ICESTORM_SPRAM": "SB_SPRAM256KA"}  # where nextpnr has a pin for each bit of a port

NOWHERE = count(1 << 30)


def load_netlist(path):
    """Module ``top`` of a JSON netlist."""
    try:
        return json.loads(path.read_text())["modules"]["top"]
    except (ValueError, KeyError) as error:
        raise SimulationError(f"{path}: not a netlist with a module top ({error})") from None


def save_netlist(path, top):
    """``top`` as a JSON netlist for Yosys."""
    path.write_text(json.dumps({"creator": "qsnn.sim.netlist", "modules": {"top": top}}))


def pads(top):
    """(port, its bit or None, x, y, z) of each pad of an iCE40 that nextpnr has placed."""
    names = {bit: (port, index if len(entry["bits"]) > 1 else None)
             for port, entry in top["ports"].items() for index, bit in enumerate(entry["bits"])}
    for cell in top["cells"].values():
        if cell["type"] == "SB_IO":
            place = re.fullmatch(r"X(\d+)/Y(\d+)/io(\d)", cell["attributes"]["NEXTPNR_BEL"])
            yield *names[cell["connections"]["PACKAGE_PIN"][0]], *map(int, place.groups())


def _tied(cell):
    """The cell with levels at all inputs, and ports of several bits where its model has them."""
    pins = {port: bits or ([] if cell["port_directions"].get(port) == "output" else
                           ["1" if port in PULLED_UP else "0"])
            for port, bits in cell["connections"].items()}
    if cell["type"] in SCALAR:
        return cell | {"type": SCALAR[cell["type"]], "connections": _ports(pins)}
    return cell | {"connections": pins}


def _ports(pins):
    """Pins ``NAME_<bit>`` as ports of several bits."""
    ports = {}
    for pin in sorted(pins, key=lambda pin: int(pin.rpartition("_")[2]) if "_" in pin else 0):
        # an output to nowhere: a net of its own, far from those of the netlist
        ports.setdefault(pin.partition("_")[0], []).extend(pins[pin] or [next(NOWHERE)])
    return ports


def simulable(top):
    """A copy of a netlist with a clock that comes from the port ``clk``; see above."""
    clock = top["ports"]["clk"]["bits"][0]
    cells, same = {}, {}
    for name, cell in top["cells"].items():
        kind, pins = cell["type"], cell["connections"]
        if kind in PADS:
            pad, received, driven = (pins.get(port, [])[:1] for port in PADS[kind])
            if kind == "SB_IO" and cell["parameters"]["PIN_TYPE"][-6:] not in PLAIN:
                raise SimulationError(f"pad {name} has a register or an enable")
            same |= dict(zip(received, pad, strict=False)) | dict(zip(
                pad if driven else [], driven, strict=False))
        elif kind in PLLS:
            same |= {bits[0]: "1" if port in LOCKS else clock for port, bits in pins.items()
                     if bits and cell["port_directions"][port] == "output"
                     and bits[0] != clock}
        elif kind in BUFFERS:
            output, source = (pins.get(port, [])[:1] for port in BUFFERS[kind])
            same |= dict.fromkeys(output, *source or [clock])
        else:
            cell = ecp5.prepare(name, cell, same)
            if cell:
                cells[name] = _tied(cell)

    def driver(bit):
        while bit in same:
            bit = same[bit]
        return bit

    return {
        "attributes": {},
        "ports": {name: port | {"bits": [*map(driver, port["bits"])]}
                  for name, port in top["ports"].items()},
        "cells": {name: cell | {"connections": {port: [*map(driver, bits)] for port, bits
                                                in cell["connections"].items()}}
                  for name, cell in cells.items()},
        # those of registers carry initial values
        "netnames": {name: net | {"bits": [*map(driver, net["bits"])]}
                     for name, net in top["netnames"].items()},
    }
