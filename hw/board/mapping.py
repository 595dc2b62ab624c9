"""Whether LUTs compute what they were mapped from: a netlist before Yosys' mapping, and after it.

abc9 of Yosys 0.70 may mix up the carry chains of an ECP5: it ends without a word, or gives another
circuit. So its work is looked at, on an iCE40 too. Registers and memories are the same cells before
and after; between them all logic is computed with random numbers on both sides, many at once, and
every input of a register or memory, and every output, must be equal. That is no proof, but what is
mixed up differs for half of all numbers.
"""

import json

import numpy as np

__all__ = ["MappingError", "differing", "load"]

WORDS = 32  # of 64 numbers each
ONES = np.full(WORDS, np.iinfo(np.uint64).max)
ZEROS = np.zeros(WORDS, np.uint64)
GATES = {
    "$_NOT_": lambda a: ~a, "$_BUF_": lambda a: a,
    "$_AND_": lambda a, b: a & b, "$_NAND_": lambda a, b: ~(a & b),
    "$_OR_": lambda a, b: a | b, "$_NOR_": lambda a, b: ~(a | b),
    "$_XOR_": lambda a, b: a ^ b, "$_XNOR_": lambda a, b: ~(a ^ b),
    "$_ANDNOT_": lambda a, b: a & ~b, "$_ORNOT_": lambda a, b: a | ~b,
    "$_MUX_": lambda a, b, s: a & ~s | b & s,
}
WRAPPER = "$__ICE40_CARRY_WRAPPER"  # of Yosys: a carry and the LUT beside it
TABLES = {"LUT4": "INIT", "SB_LUT4": "LUT_INIT"}  # parameter with the table
MULTIPLEXERS = {"PFUMX": ("BLUT", "ALUT", "C0"), "L6MUX21": ("D0", "D1", "SD")}
# ports in the order in which a cell is computed; its outputs
LOGIC = {"LUT4": (("A", "B", "C", "D"), ("Z",)),
         "CCU2C": (("CIN", *(f"{pin}{half}" for half in "01" for pin in "ABCD")),
                   ("S0", "S1", "COUT")),
         "SB_LUT4": (("I0", "I1", "I2", "I3"), ("O",)),
         "SB_CARRY": (("CI", "I0", "I1"), ("CO",)),
         WRAPPER: (("CI", "A", "B", "I0", "I3"), ("CO", "O")),
         **{kind: (ports, ("Z",)) for kind, ports in MULTIPLEXERS.items()},
         **{kind: (("A", "B", "S")[:gate.__code__.co_argcount], ("Y",))
            for kind, gate in GATES.items()}}
LEFT_OUT = {"$scopeinfo"}
MOST_PINS = 10  # that a cell waits for, and more


class MappingError(RuntimeError):
    """The netlists differ, or cannot be compared."""


def load(path):
    """Module ``top`` of a JSON netlist."""
    return json.loads(path.read_text())["modules"]["top"]


def differing(before, after):
    """(cell, pin) of the registers and memories, or (port, ""), that get something else.

    Registers that are gone are no difference: something equal, or nothing, needs them.
    """
    numbers = _Numbers()
    expected, found = (_inputs(netlist, numbers) for netlist in (before, after))
    if missing := found.keys() - expected.keys():
        raise MappingError(f"after mapping there is a new {min(missing)[0]}")
    return sorted({key[:2] for key, value in found.items() if (value != expected[key]).any()})


class _Numbers(dict):
    """Random numbers for what comes out of registers, memories and ports, by its name."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __missing__(self, key):
        self[key] = self.rng.integers(0, 1 << 64, WORDS, dtype=np.uint64)
        return self[key]


def _inputs(netlist, numbers):
    """(cell, pin, bit) or (port, "", bit) -> numbers, of all that logic leads to."""
    values = {"0": ZEROS, "1": ONES, "x": ZEROS, "z": ZEROS}
    drivers, wanted = {}, {}
    for name, port in netlist["ports"].items():
        for index, bit in enumerate(port["bits"]):
            if port["direction"] == "output":
                wanted[name, "", index] = bit
            else:
                values[bit] = numbers[name, "", index]
    for name, cell in netlist["cells"].items():
        if cell["type"] in LOGIC:
            for pin in LOGIC[cell["type"]][1]:
                drivers |= dict.fromkeys(cell["connections"].get(pin, []), cell)
        elif cell["type"] not in LEFT_OUT:
            for pin, bits in cell["connections"].items():
                for index, bit in enumerate(bits):
                    if cell["port_directions"][pin] == "output":
                        values[bit] = numbers[name, pin, index]
                    else:
                        wanted[name, pin, index] = bit
    return {key: _value(bit, values, drivers) for key, bit in wanted.items()}


def _value(bit, values, drivers):
    """What a bit is; everything that it depends on is computed first."""
    waiting = [bit]
    while waiting:
        bit = waiting[-1]
        if bit in values:
            waiting.pop()
            continue
        if bit not in drivers:  # nobody
            values[bit] = ZEROS
            continue
        cell = drivers[bit]
        ports, outputs = LOGIC[cell["type"]]
        inputs = [(cell["connections"].get(port) or ["0"])[0] for port in ports]
        missing = [source for source in inputs if source not in values]
        if missing:
            if len(waiting) > MOST_PINS * len(drivers):
                raise MappingError(f"net {bit} depends on itself")
            waiting += missing
            continue
        results = _compute(cell, [values[source] for source in inputs])
        for port, result in zip(outputs, results, strict=True):
            values |= dict.fromkeys(cell["connections"].get(port, []), result)
    return values[bit]


def _compute(cell, inputs):
    kind, parameters = cell["type"], cell["parameters"]
    if kind in TABLES:
        return [_table(int(parameters[TABLES[kind]], 2), inputs)]
    if kind == "CCU2C":
        carry, *inputs = inputs
        sums = []
        for half in range(2):
            pins, init = inputs[4 * half:4 * half + 4], int(parameters[f"INIT{half}"], 2)
            four, two = _table(init, pins), _table(init & 15, pins[:2])
            apart = parameters[f"INJECT1_{half}"].strip() == "YES"
            sums.append(four if apart else four ^ carry)
            carry = four & carry | (ZEROS if apart else ~four & two)
        return [*sums, carry]
    if kind in ("SB_CARRY", WRAPPER):
        carry, a, b, *rest = inputs
        result = [a & b | carry & (a | b)]
        if rest:
            first, last = rest
            last = carry if int(parameters["I3_IS_CI"], 2) else last
            result.append(_table(int(parameters["LUT"], 2), [first, a, b, last]))
        return result
    if kind in MULTIPLEXERS:
        return [GATES["$_MUX_"](*inputs)]
    return [GATES[kind](*inputs)]


def _table(init, inputs):
    """A look-up table, whose address has inputs[0] in its lowest bit."""
    rows = [ONES if init >> index & 1 else ZEROS for index in range(1 << len(inputs))]
    for pin in inputs:
        rows = [low & ~pin | high & pin for low, high in zip(rows[::2], rows[1::2], strict=True)]
    return rows[0]
