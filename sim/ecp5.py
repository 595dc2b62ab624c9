"""Cells of an ECP5 after synthesis and after routing, made fit for Yosys' models and ours.

nextpnr leaves a pin without a wire where silicon has the right level by itself: high, turned over
where the pin's multiplexer says ``INV``. Registers may take their data past the LUT, and a
distributed RAM gets its write port through the LUT inputs of a third slice.
"""

import re

from qsnn.sim.tools import SimulationError

__all__ = ["MODELS", "prepare"]

# repairs of Yosys' models: in TRELLIS_COMB a wire of its own hid the carry output
MODELS = ("wire FCO =", "assign FCO =")
# of a TRELLIS_RAMW: output -> input
WRITE_PORT = {"WADO0": "D0", "WADO1": "B0", "WADO2": "C0", "WADO3": "A0",
              "WDO0": "C1", "WDO1": "A1", "WDO2": "D1", "WDO3": "B1"}
FLAVOUR = {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG", "CSDECODE_A": "0b000",
           "CSDECODE_B": "0b000"}
WRITE_MODES = {"NORMAL": "0", "READBEFOREWRITE": "1"}  # whether a side that writes reads the old
RAM_ROWS = 64  # INITVAL_00 .. INITVAL_3F: 16 words of 18 bits in 20 each


def prepare(name, cell, same):
    """The cell as it is to be simulated, or None; ``same`` gets nets that are one."""
    kind, pins, parameters = cell["type"], cell["connections"], cell["parameters"]
    if kind == "TRELLIS_RAMW":
        same |= {pins[output][0]: [*pins[source], "1"][0] for output, source in WRITE_PORT.items()
                 if pins[output]}
        return None
    if kind == "TRELLIS_COMB":
        if parameters.get("MODE") == "RAMW_BLOCK":
            return None
        if parameters.get("WCKMUX", "WCK") != "WCK":
            raise SimulationError(f"distributed RAM {name}: no model of an inverted clock")
        # an open LUT input is high; an open carry or multiplexer input is of no use
        return cell | {"connections": _tied(cell, lambda port: "01"[port in "ABCD"]),
                       "parameters": {key: value for key, value in parameters.items()
                                      if key != "WCKMUX"}}
    if kind == "TRELLIS_FF":
        # Yosys' model has no way past the LUT
        data = pins["M"] if parameters.get("SD", "1").strip() == "0" else pins["DI"]
        tied = _tied(cell | {"connections": pins | {"DI": data}},
                     lambda port: "01"[port == "CE"])
        return cell | {"connections": tied, "parameters": {
            key: value for key, value in parameters.items() if key != "SD"}}
    if kind == "DP16KD":
        return _block_ram(name, cell)
    return cell


def _tied(cell, level):
    """Levels at open inputs; without the pins that only mark where a register is."""
    return {port: bits or ([] if cell["port_directions"].get(port) == "output" else [level(port)])
            for port, bits in cell["connections"].items() if port not in ("DI0", "DI1")}


def _block_ram(name, cell):
    """As a ``qsnn_dp16kd``: ports of several bits, contents in one piece."""
    parameters = cell["parameters"]
    for key, value in FLAVOUR.items():
        if parameters.get(key, value) != value:
            raise SimulationError(f"block RAM {name}: no model of {key} = {parameters[key]}")
    old = {side: _reads_old(name, cell, side) for side in "AB"}
    pins = {}
    for pin, bits in cell["connections"].items():
        output = cell["port_directions"].get(pin) == "output"
        pins[pin] = bits if output else _source(name, pin, bits, parameters)
    ports = {}
    for pin in sorted(pins, key=lambda pin: int(re.search(r"\d*$", pin)[0] or 0)):
        ports.setdefault(re.sub(r"\d+$", "", pin), []).extend(pins[pin])
    words = []
    for row in range(RAM_ROWS):
        value = parameters.get(f"INITVAL_{row:02X}", "").rjust(320, "0").replace("x", "0")
        words += [value[start + 2:start + 20] for start in range(0, 320, 20)][::-1]
    return cell | {"type": "qsnn_dp16kd", "connections": ports, "parameters": {
        "INIT": "".join(reversed(words)),
        "WIDTH_A": parameters["DATA_WIDTH_A"], "WIDTH_B": parameters["DATA_WIDTH_B"],
        "OLD_A": old["A"], "OLD_B": old["B"]}}


def _reads_old(name, cell, side):
    """Whether a side that writes reads what was there before: "0" or "1"."""
    parameters = cell["parameters"]
    write = f"WE{side}"
    if _source(name, write, cell["connections"][write], parameters) == ["0"]:
        return "0"  # nobody writes
    mode = parameters.get(f"WRITEMODE_{side}", "NORMAL")
    old = WRITE_MODES.get(mode)
    if old is None or old == "1" and int(parameters[f"DATA_WIDTH_{side}"], 2) == 36:
        raise SimulationError(f"block RAM {name}: no model of WRITEMODE_{side} = {mode}")
    return old


def _source(name, pin, bits, parameters):
    """What an input pin gets."""
    multiplexer = parameters.get(f"{pin}MUX", pin).strip()
    if multiplexer in ("0", "1"):
        return [multiplexer]
    if multiplexer == "INV":
        if bits and bits[0] not in ("0", "1"):
            raise SimulationError(f"block RAM {name}: no model of an inverted {pin}")
        return ["1" if bits == ["0"] else "0"]
    # a pin without multiplexer that is open means nothing: data that nobody writes
    return ["0" if bit == "x" else bit for bit in bits] or ["01"[f"{pin}MUX" in parameters]]
