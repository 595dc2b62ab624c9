"""Verilog of a component, with the modules written by hand that it uses.

All modules of a design carry the name of its top, so that several designs of this generator go
into one; and the folder of the memory images is a parameter of the top.
"""

import re
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Value, ValueCastable

from qsnn.hw import core

__all__ = ["module_name", "port_names", "to_verilog"]

CELLS = ("accumulator", "spram", "ram", "rom")  # modules written by hand: qsnn_<file>
START = re.compile(r"reg (\\\$auto\$verilog_backend\S+ ) = 0;")
NAME = r"(?:\\\S+ |\w+)"
HEADER = re.compile(rf"(?m)^module ({NAME}) ?\(")
INSTANCE = re.compile(rf"(?m)^  ({NAME}) +({NAME}) \($")
READER = re.compile(r"(?m)^  qsnn_(?:spram|ram|rom) #\($")  # cells that read memory images
# words of Verilog, SystemVerilog and VHDL, and ports
TAKEN = frozenset("""
    abs access accept_on after alias all always always_comb always_ff always_latch and architecture
    array assert assign assume attribute automatic before begin bind bins binsof bit block body
    break buf buffer bufif0 bufif1 bus busy byte case casex casez cell chandle checker class clk
    clocking cmos component config configuration const constant constraint context continue cover
    covergroup coverpoint cross deassign default defparam design disable disconnect dist do downto
    edge else elsif end endcase endchecker endclass endclocking endconfig endfunction endgenerate
    endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endspecify
    endsequence endtable endtask entity enum event eventually exit expect export extends extern file
    final first_match for force foreach forever fork forkjoin function generate generic genvar
    global group guarded highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies
    import impure in incdir include inertial initial inout input inside instance int integer
    interconnect interface intersect is join join_any join_none label large let liblist library
    linkage literal local localparam logic longint loop macromodule map matches medium mod modport
    module nand negedge nettype new next nexttime nmos nor noshowcancelled not notif0 notif1 null of
    on open or others out output package packed parameter pmos port posedge postponed primitive
    priority procedure process program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence range rcmos real
    realtime record ref reg register reject reject_on release rem repeat report restrict return
    rnmos rol ror rpmos rst rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until
    s_until_with scalared select sequence severity shared shortint shortreal showcancelled signal
    signed sla sll small soft solve specify specparam sra srl static string strong strong0 strong1
    struct subtype super supply0 supply1 sync_accept_on sync_reject_on table tagged task then this
    throughout time timeprecision timeunit to tran tranif0 tranif1 transport tri tri0 tri1 triand
    trior trireg type typedef unaffected union unique unique0 units unsigned until until_with
    untyped use uwire var variable vectored virtual void wait wait_order wand weak weak0 weak1 when
    while wildcard wire with within wor xnor xor""".split())
DEFAULT = """
// The folder of the memory images, where nobody gives another one to the top.
`ifndef QSNN_MEMORY_DIR
`define QSNN_MEMORY_DIR "memory"
`endif
"""


def module_name(name):
    """A Verilog identifier for a network's name.

    Those of our own cells begin with ``qsnn_``, and so does what would be a keyword or a port.
    """
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    free = re.match(r"(?!qsnn_)[A-Za-z]", word) and word.lower() not in TAKEN
    return word if free else f"qsnn_{word}"


def port_names(component):
    """Name -> value of a component's ports: ``i_payload`` for ``i.payload``.

    With one underscore where Amaranth has two: VHDL has no names with two in a row.
    """
    ports = {}
    for path, _, value in component.signature.flatten(component):
        value = value.as_value() if isinstance(value, ValueCastable) else value
        if isinstance(value, Value):
            ports["_".join(map(str, path))] = value
    return ports


def to_verilog(component, top):
    """The Verilog of a component whose module is called ``top``."""
    ports = {name: (value, None) for name, value in port_names(component).items()}
    ports |= {name: (port, None) for name, port in getattr(component, "inouts", {}).items()}
    text = verilog.convert(component, name=top, ports=ports, emit_src=False,
                           strip_internal_attrs=True)
    # Yosys has each always @* wait for a reg of its own, initialised where it is declared, so that
    # it runs once at the start. By IEEE 1800 such an initialisation is no event, and in Icarus a
    # default that only registers select would stay x until one of them changes.
    text = START.sub(r"reg \1;\n  initial \1 = 0;", text)
    if READER.search(text):
        text = DEFAULT + _with_folder(text)
    for cell in CELLS:
        if f"qsnn_{cell} " in text:  # those that others use come after them
            text += (Path(core.__file__).parent / f"{cell}.v").read_text()
    return re.sub(rf"\bqsnn_({'|'.join(CELLS)})\b", rf"{top}_\1", text)


def _with_folder(text):
    """Give every module above a memory the parameter MEMORY_DIR, and hand it down."""
    begins = [match.start() for match in HEADER.finditer(text)] + [len(text)]
    modules = [text[start:end] for start, end in zip(begins, begins[1:], strict=False)]
    names = [HEADER.match(module)[1] for module in modules]
    wanted = {name for name, module in zip(names, modules, strict=True) if READER.search(module)}
    grown = True
    while grown:
        above = {name for name, module in zip(names, modules, strict=True)
                 if any(kind in wanted for kind, _ in INSTANCE.findall(module))}
        grown = not above <= wanted
        wanted |= above

    def hand_down(match):
        kind, name = match.groups()
        return (f"  {kind} #(.MEMORY_DIR(MEMORY_DIR)) {name} (" if kind in wanted
                else match.group())

    parts = [text[:begins[0]]]
    for name, module in zip(names, modules, strict=True):
        if name in wanted:
            module = HEADER.sub(r"module \g<1> #(parameter MEMORY_DIR = `QSNN_MEMORY_DIR) (",
                                module)
            module = INSTANCE.sub(hand_down, module)
            module = READER.sub(r"\g<0>\n    .MEMORY_DIR(MEMORY_DIR),", module)
        parts.append(module)
    return "".join(parts)
