"""Verilog of a component, with the modules written by hand that it uses."""

import re
from pathlib import Path

from amaranth.back import verilog

from qsnn.hw import core

__all__ = ["module_name", "to_verilog"]

CELLS = ("accumulator", "spram", "ram", "rom")  # modules written by hand: qsnn_<file>
START = re.compile(r"reg (\\\$auto\$verilog_backend\S+ ) = 0;")


def module_name(name):
    """A Verilog identifier for a network's name; those of our own cells begin with ``qsnn_``."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    return word if re.match(r"(?!qsnn_)[A-Za-z]", word) else f"qsnn_{word}"


def to_verilog(component, top):
    """The Verilog of a component whose module is called ``top``."""
    text = verilog.convert(component, name=top, emit_src=False, strip_internal_attrs=True)
    # Yosys has each always @* wait for a reg of its own, initialised where it is declared, so that
    # it runs once at the start. By IEEE 1800 such an initialisation is no event, and in Icarus a
    # default that only registers select would stay x until one of them changes.
    text = START.sub(r"reg \1;\n  initial \1 = 0;", text)
    for cell in CELLS:
        if f"qsnn_{cell} " in text:  # those that others use come after them
            text += (Path(core.__file__).parent / f"{cell}.v").read_text()
    return text
