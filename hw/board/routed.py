"""What nextpnr found: frequency, critical path, and which part of the design takes what."""

import re

__all__ = ["critical_path", "fmax_mhz", "parts", "path_text", "short_name", "utilisation"]

REST = "clock and reset"
LINK = "input and link"
SAME = 0.01
FEW = 4  # pins: a net of the two ends of a carry, not a constant or a clock

# what a cell of the routed design counts as
LOGIC = {"TRELLIS_COMB", "LUT1", "LUT2", "LUT3", "LUT4", "ALU"}
RAM = {"ICESTORM_RAM", "DP16KD", "BSRAM", "pROM", "pROMX9", "SP", "SPX9", "SDPB", "SDPX9B", "DPB",
       "DPX9B"}


def fmax_mhz(report, mhz):
    """Frequency that the core's clock can have, in MHz, where ``mhz`` was asked for it.

    Other clocks are those of a memory, which keep their ratio to it.
    """
    return round(min(clock["achieved"] * _ratio(mhz, clock["constraint"])
                     for clock in report["fmax"].values()), 2)


def _ratio(mhz, constraint):
    """Of the core's clock to another one; its own constraint is rounded."""
    return 1 if abs(constraint - mhz) < SAME * mhz else mhz / constraint


def utilisation(report):
    """{cell type: [used, available]} of those in use."""
    return {name: [entry["used"], entry["available"]]
            for name, entry in sorted(report["utilization"].items()) if entry["used"]}


def short_name(name):
    """A name of the source, from the name of a cell or net that the tools have made from it.

    ``core.network.layer0.neurons.$10_SB_DFF_Q_D_SB_LUT4_O_LC`` -> ``network.layer0.neurons``.
    Names of the source are in lower case, those of the tools are not.
    """
    name = re.sub(r"^\$(glbnet|gbuf)\$", "", name)
    name = re.split(r"_(?=[A-Z])", name)[0].removeprefix("core.")
    words = []
    for word in name.split("."):
        word = re.sub(r"[$\[].*", "", word)  # Amaranth's and Yosys's counters, a bit of a signal
        if not word or re.fullmatch(r"[\d_]+", word):
            break
        words.append(word)
    return ".".join(words)


def critical_path(report):
    """The longest path from a clock edge to a clock edge.

    {"ns": its length, "logic_ns": that of its cells, "steps": [[name, ns], ...]}; wires count
    with the cell they go to, and neighbours of one name are one step.
    """
    paths = [entry["path"] for entry in report["critical_paths"]
             if "<async>" not in (entry["from"], entry["to"])]
    path = max(paths, key=lambda steps: sum(step["delay"] for step in steps), default=[])
    steps, logic = [], 0.0
    for step in path:
        if step["type"] != "routing":
            logic += step["delay"]
        name = short_name(step["to"]["cell"]) or (steps[-1][0] if steps else "")
        if steps and steps[-1][0] == name:
            steps[-1][1] += step["delay"]
        else:
            steps.append([name, step["delay"]])
    return {"ns": round(sum(step["delay"] for step in path), 2), "logic_ns": round(logic, 2),
            "steps": [[name, round(ns, 2)] for name, ns in steps]}


def path_text(path):
    """The critical path in a few lines."""
    lines = [f"critical path {path['ns']:.2f} ns, {path['logic_ns']:.2f} ns of it in logic"]
    lines += [f"  {ns:6.2f} ns  {name or '(unnamed)'}" for name, ns in path["steps"]]
    return "\n".join(lines)


def parts(routed):
    """{part: {"logic": cells, "registers": flip-flops, "ram": blocks}} of a routed design.

    Parts are the layers, what feeds them, and the rest. A cell belongs where the tools' name for
    it begins, which follows the signal it drives: at a border it may be one side or the other.
    """
    cells = routed["modules"]["top"]["cells"]
    owners = _owners(cells)
    counts = {}
    for name, cell in cells.items():
        columns = _columns(cell)
        if columns:
            row = counts.setdefault(owners[name], {"logic": 0, "registers": 0, "ram": 0})
            for column in columns:
                row[column] += 1
    return {part: counts[part] for part in sorted(counts, key=lambda part: (part in (LINK, REST),
                                                                            part == REST, part))}


def _owners(cells):
    """{cell: part}; what the packer adds, such as ends of carry chains, goes with a neighbour."""
    pins = {}
    for name, cell in cells.items():
        for bit in _bits(cell):
            pins.setdefault(bit, []).append(name)
    owners = {name: _part(name) for name in cells if not name.startswith("$")}
    lost = [name for name in cells if name.startswith("$")]
    found = True
    while found:
        found = {}
        for name in lost:
            near = (other for bit in _bits(cells[name]) if len(pins[bit]) <= FEW
                    for other in pins[bit] if other in owners)
            owner = next(near, None)
            if owner:
                found[name] = owners[owner]
        owners |= found
        lost = [name for name in lost if name not in found]
    return owners | dict.fromkeys(lost, REST)


def _bits(cell):
    return [bit for bits in cell["connections"].values() for bit in bits]


def _part(name):
    layer = re.match(r"core\.network\.(layer\d+)\b", name)
    return layer[1] if layer else LINK if name.startswith("core.") else REST


def _columns(cell):
    kind = cell["type"]
    if kind == "ICESTORM_LC":  # a LUT, a flip-flop, or both
        return ["logic"] + ["registers"] * int(cell["parameters"].get("DFF_ENABLE", "0"), 2)
    if kind in LOGIC:
        return ["logic"]
    if kind in RAM:
        return ["ram"]
    if kind == "TRELLIS_FF" or kind.startswith("DFF"):
        return ["registers"]
    return []
