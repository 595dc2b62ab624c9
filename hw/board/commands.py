"""Command lines of the tools from Verilog to a bitstream, for each family of FPGAs."""

__all__ = ["BITSTREAM", "MAPPED", "ROUTED", "TOOLS", "UNMAPPED", "pack_command", "place_command",
           "remedies", "save", "steps", "synthesis", "unmapped"]

# what place and route leaves, seed1.asc for instance, and what is made of it
ROUTED = {"ice40": "asc", "ecp5": "config", "gowin": "json"}
BITSTREAM = {"ice40": "bin", "ecp5": "bit", "gowin": "fs"}
TOOLS = {
    "ice40": ("yosys", "nextpnr-ice40", "icepack"),
    "ecp5": ("yosys", "nextpnr-ecp5", "ecppack"),
    "gowin": ("yosys", "nextpnr-himbaechel-gowin", "gowin_pack"),
}
NARROW = " -nowidelut"  # each LUT on its own
ABC9 = " -abc9"  # not asked for where it is what Yosys does
MAPPED, UNMAPPED = "mapped.json", "unmapped.json"
GOWIN_FAMILY = "GW1N-9C"


def synthesis(board):
    """Yosys commands.

    On a 784-256-256-10 network ``NARROW`` takes 8 % fewer cells of an ECP5 and 3 % of its
    speed; on iCE40, ``-dff`` takes 2 % fewer, and leaves flip-flops without their names.
    """
    return {
        "ice40": f"synth_ice40{ABC9} -device {'u' if board.device.startswith('up') else 'hx'}",
        "ecp5": f"synth_ecp5{NARROW}",
        "gowin": "synth_gowin",
    }[board.family] + " -top top -json netlist.json"


def remedies(command):
    """What to ask Yosys instead where its ABC ends without a word: (name, command, mapper).

    Yosys 0.70's abc9 does so on some netlists of an ECP5, as soon as it reads them; of others it
    makes another circuit, which :mod:`qsnn.hw.board.mapping` finds. ``mapper`` are the commands
    that take the place of abc9, None where it stays; the older ABC gives some per cent more LUTs.
    """
    if ABC9 in command:
        return [("the older ABC", command.replace(ABC9, ""), None)]
    if NARROW not in command:
        return []
    return [("wide multiplexers", command.replace(NARROW, ""), None),
            ("the older ABC", command, "abc -lut 4 -dress; clean")]


def steps(command, mapper=None, start="begin", compared=False):
    """All of a synthesis from a label on; ``mapper`` as in :func:`remedies`.

    compared: leave ``MAPPED``, the netlist before its cells get new names, see
    :mod:`qsnn.hw.board.mapping`.
    """
    end = "check" if compared else ""
    done = f"{command} -run {start}:{end}"
    if mapper:
        done = f"{command} -run {start}:map_luts; {mapper}; {command} -run map_cells:{end}"
    return f"{done}; {save(MAPPED)}; {command} -run check:" if compared else done


def save(path):
    """Write the top, in which all others are by now."""
    return f"select top; write_json -selected {path}; select -clear"


def unmapped(command, start="begin"):
    """A synthesis from a label on, that ends before logic becomes LUTs."""
    return f"{command} -run {start}:map_luts; {save(UNMAPPED)}"


def place_command(board, program, seed, mhz, bare):
    """Place and route of netlist.json, with the pins of the board."""
    name = board.constraints.name
    device = {
        "ice40": [f"--{board.device}", "--package", board.package, "--pcf", name,
                  "--asc", f"seed{seed}.asc"],
        "ecp5": [f"--{board.device}", "--package", board.package, "--speed", board.speed,
                 "--lpf", name, "--textcfg", f"seed{seed}.config"],
        "gowin": ["--device", board.device, "--vopt", f"family={GOWIN_FAMILY}",
                  "--vopt", f"cst={name}"],
    }[board.family]
    if bare and board.family in ("ice40", "ecp5"):  # the pins of the harness may be anywhere
        device.append("--pcf-allow-unconstrained" if board.family == "ice40"
                      else "--lpf-allow-unconstrained")
    return [program, *device, "--json", "netlist.json", "--write", f"seed{seed}.json",
            "--report", f"seed{seed}.report", "--seed", str(seed), "--freq", f"{mhz:g}",
            # what is too slow is said here, with the numbers
            "--timing-allow-fail"]


def pack_command(board, program, routed, bitstream):
    """What makes a bitstream of a file that place and route has left."""
    return {
        "ice40": [program, routed, bitstream],
        "ecp5": [program, "--compress", routed, bitstream],
        "gowin": [program, "-d", GOWIN_FAMILY, "-o", bitstream, routed],
    }[board.family]
