"""A retrained network into a finished bitstream, without place and route."""

import tempfile
from pathlib import Path

from qsnn.hw.board.commands import BITSTREAM, ROUTED, TOOLS, pack_command, synthesis
from qsnn.hw.board.filling import TEMPLATE, block_rams, fill, with_contents
from qsnn.hw.board.result import is_of, read_result
from qsnn.hw.board.toolchain import Job, find, run
from qsnn.hw.emit.build import BuildError, contents, load_alike, open_build
from qsnn.hw.link.accelerator import GREETING
from qsnn.hw.plan.images import read_hex
from qsnn.model.files import write_whole

__all__ = ["PatchError", "patch"]


class PatchError(ValueError):
    """A build that cannot be patched; the message says what to do."""


def patch(folder, board, model, out=None):
    """Write the bitstream of ``folder`` for a board with the network ``model`` in its memories.

    Returns the path: ``out``, or ``patched.*`` beside the build's own bitstream. Nothing is
    written if anything is wrong.
    """
    facts, built = open_build(folder)
    place = folder / board.name
    again = f"run qsnn build --board {board.name} --bitstream --patchable"
    try:
        result = read_result(place)
        version, patchable = result["tools"].get("yosys"), result["patchable"]
        greeting = place / "memory" / GREETING  # not there without a host link
        greeting = greeting.read_text() if greeting.exists() else ""
        greeting = bytes(read_hex(greeting, 8, greeting.count("\n")))
        template = (place / TEMPLATE[board.family]).read_text() if patchable else ""
    except (OSError, ValueError, BuildError):
        raise PatchError(f"{folder} has no bitstream for the {board.title} that can be patched: "
                         f"{again}") from None
    if not patchable:
        raise PatchError(f"the bitstream in {place} was not made to be patched: {again}")
    if not is_of(result, facts):
        raise PatchError(f"the bitstream in {place} is of another build than {folder}: {again}")
    description = load_alike(model, built)
    out = Path(out or place / f"patched.{BITSTREAM[board.family]}")
    if out.is_dir() or not out.parent.is_dir():
        raise PatchError(f"{out} cannot be written: not a file in a folder that is there")
    yosys, _, pack = TOOLS[board.family]
    yosys, pack = find(yosys), find(pack)
    if yosys.version != version:
        raise PatchError(f"the bitstream in {place} was made with Yosys {version}, this is "
                         f"{yosys.version}: {again}")

    images = {f"{facts['top']}_{name}.hex": (width, words)
              for name, width, words in contents(facts, description)}
    if greeting:
        if greeting.count(_identity(built)) != 1:
            raise PatchError(f"{place}/memory/{GREETING} does not say which network it is: {again}")
        images[GREETING] = 8, list(greeting.replace(_identity(built), _identity(description)))
    images = with_contents(images, {Path(layer["memories"]["weights"]["file"]).name
                                    for layer in facts["layers"] if layer["spram"]})
    with tempfile.TemporaryDirectory(dir=place, prefix=".patch.") as work:
        work = Path(work).resolve()
        rams = block_rams(place, work, yosys.path, synthesis(board), images)
        name = f"patched.{ROUTED[board.family]}"
        (work / name).write_text(fill(template, board.family, rams))
        run([Job("bitstream", pack_command(board, pack.path, name, "bitstream"),
                 "bitstream.log")], work)
        write_whole(out, (work / "bitstream").read_bytes())
    return out


def _identity(description):
    """What the device calls its network, see :class:`qsnn.hw.link.protocol.Hello`."""
    return bytes.fromhex(description.hash)[:16]
