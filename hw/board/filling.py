"""Memory contents as the last step on the way to a bitstream.

A patchable design goes through synthesis, place and route with contents that are not the
network's, so nothing but its block RAMs can depend on them:

1. Yosys sees placeholders. No bit of their words is constant, or it would leave that bit out.
2. Place and route sees block RAMs full of marks, bits that follow from the name of each, so that
   each is found again in what is packed. This is the template.
3. Yosys maps memories with the true contents to block RAMs, and does nothing else; what it says
   is in each of them takes the place of its mark.

Other contents need the third step only. :mod:`qsnn.hw.board.patch` does that.
"""

import hashlib
import json
import re

from qsnn.hw.board.toolchain import Job, run

__all__ = ["COARSE", "TEMPLATE", "FillError", "block_rams", "fill", "fill_netlist", "placeholders",
           "prepare", "with_contents"]

TEMPLATE = {"ice40": "template.asc", "ecp5": "template.config"}
MEMORIES = "memories.json"  # a Yosys netlist of the memories alone; the attribute image names them
COARSE, FILLED = "coarse.json", "filled.json"
INIT = re.compile(r"INIT(VAL)?_[0-9A-F]+")


class FillError(RuntimeError):
    """A design that cannot be patched; the message says why."""


def _bits(seed, count):
    """So many bits, as text, that follow from a text."""
    raw = hashlib.shake_128(seed.encode()).digest(-(-count // 8))
    return f"{int.from_bytes(raw, 'little'):0{8 * len(raw)}b}"[:count]


def with_contents(images, without):
    """The images, file name -> (width, words), that a bitstream holds: but for those files."""
    return {name: image for name, image in images.items() if name not in without}


def placeholders(images):
    """Contents of the same shapes in which no bit is constant."""
    found = {}
    for name, (width, words) in images.items():
        drawn = [int(_bits(f"{name} {at}", width), 2) for at in range(len(words))]
        if len(drawn) > 1:  # what has one word is constant
            drawn[-1] = drawn[0] ^ ((1 << width) - 1)
        found[name] = width, drawn
    return found


def prepare(folder, yosys, synthesis, images):
    """Mark the block RAMs of a fresh netlist; returns what is in them for these contents.

    The netlist was made from :func:`placeholders`, and ``COARSE`` with it.
    """
    stand_ins = placeholders(images)
    _take_memories(folder, stand_ins)
    rams = block_rams(folder, folder, yosys, synthesis, stand_ins)
    marks = {name: _mark(name, init) for name, init in rams.items()}
    if fill_netlist(folder / "netlist.json", marks) != rams:
        raise FillError("Yosys maps the memories in another way when they are alone, so the "
                        "bitstream cannot be patched: leave out --patchable")
    return block_rams(folder, folder, yosys, synthesis, images)


def _pack(width, words):
    return "".join(f"{word:0{width}b}" for word in reversed(words))


def _take_memories(folder, images):
    """Write ``MEMORIES``: what Yosys has made of these placeholders before it maps them."""
    cells = json.loads((folder / COARSE).read_text())["modules"]["top"]["cells"]
    (folder / COARSE).unlink()
    there = {name: cell for name, cell in cells.items() if cell["type"] == "$mem_v2"}
    kept = {}
    for image, contents in images.items():
        names = [name for name, cell in there.items()
                 if cell["parameters"]["INIT"] == _pack(*contents)]
        if len(names) != 1:
            raise FillError(f"{image} is no memory after synthesis, so the bitstream cannot be "
                            "patched: leave out --patchable, or take another folding")
        cell = there[names[0]]
        cell["attributes"]["image"] = image
        kept[names[0]] = cell
    top = {"attributes": {"top": "1"}, "cells": kept}
    (folder / MEMORIES).write_text(json.dumps({"modules": {"top": top}}, indent=1) + "\n")


def block_rams(source, folder, yosys, synthesis, images):
    """Block RAM -> {parameter: bits} of these contents.

    It runs Yosys in ``folder``; ``source`` has ``MEMORIES``. Raises :class:`FillError` if the
    contents have other shapes.
    """
    netlist = json.loads((source / MEMORIES).read_text())
    cells = netlist["modules"]["top"]["cells"].values()
    shapes = {cell["attributes"]["image"]: tuple(
        int(cell["parameters"][key], 2) for key in ("WIDTH", "SIZE")) for cell in cells}
    wanted = {name: (width, len(words)) for name, (width, words) in images.items()}
    if shapes != wanted:
        name, _ = min(shapes.items() ^ wanted.items())
        raise FillError(f"{name} has another shape in the bitstream")
    for cell in cells:
        cell["parameters"]["INIT"] = _pack(*images[cell["attributes"]["image"]])
    (folder / FILLED).write_text(json.dumps(netlist))
    script = f"read_json {FILLED}; {synthesis} -run map_ram:map_ffram; write_json {FILLED}"
    run([Job("memory contents", [yosys, "-p", script], "contents.log")], folder)
    found = json.loads((folder / FILLED).read_text())["modules"]["top"]["cells"]
    (folder / FILLED).unlink()
    inits = {name: {key: value.replace("x", "0") for key, value in cell["parameters"].items()
                    if INIT.fullmatch(key)} for name, cell in found.items()}
    return {name: init for name, init in inits.items() if init}


def _mark(name, init):
    """The mark of a block RAM, in place of its contents."""
    return {key: _bits(f"{name} {key}", len(value)) for key, value in init.items()}


def fill_netlist(path, rams):
    """Put contents into the block RAMs of a netlist; returns those it had."""
    netlist = json.loads(path.read_text())
    cells = netlist["modules"]["top"]["cells"]
    had = {}
    for name, init in rams.items():
        cell = cells.get(name) or cells.get(f"{name}_RAM", {})  # as nextpnr calls it
        parameters = cell.get("parameters", {})
        had[name] = {key: parameters[key].replace("x", "0") for key in init if key in parameters}
        parameters.update({key: init[key] for key in had[name]})
    path.write_text(json.dumps(netlist, indent=1) + "\n")
    return had


def fill(text, family, rams):
    """The template with contents in the place of marks."""
    section = {"ice40": _ice40, "ecp5": _ecp5}[family]
    for name, init in rams.items():
        old = section(_mark(name, init))
        if text.count(old) != 1:
            raise FillError(f"the block RAM {name} is not in the template")
        text = text.replace(old, section(init))
    return text


def _ordered(init):
    return [int(init[key], 2) for key in sorted(init, key=lambda key: int(key.split("_")[1], 16))]


def _ice40(init):
    """What icepack reads: 16 lines of 256 bits."""
    return "".join(f"{value:064x}\n" for value in _ordered(init))


def _ecp5(init):
    """What ecppack reads: 2048 words of 9 bits. A parameter has 16 pairs of them, 20 bits each."""
    words = [value >> 20 * pair + half & 0x1ff for value in _ordered(init)
             for pair in range(16) for half in (0, 9)]
    return "".join(" ".join(f"{word:03x}" for word in words[at:at + 8]) + "\n"
                   for at in range(0, len(words), 8))
