"""A build folder: all artefacts of a network, written whole, and read back."""

import json
import re
from pathlib import Path

from qsnn import model
from qsnn.hw.emit.artefacts import artefacts
from qsnn.hw.emit.facts import Facts
from qsnn.hw.emit.manifest import MANIFEST, BuildError, checked_files, parsed, write_files
from qsnn.hw.emit.picture import draw_network
from qsnn.hw.emit.verilog import module_name
from qsnn.hw.plan.folding import Folding, FoldingError, SerialFolding
from qsnn.hw.plan.line import MAX_MEMORIES, MAX_WORDS
from qsnn.hw.plan.network import plan
from qsnn.model.alike import difference
from qsnn.model.description import load

__all__ = ["NETWORKS", "BuildError", "build", "check_loadable", "contents", "find_network",
           "folding_rows", "foldings_of", "load_alike", "network_of", "open_build"]

NETWORKS = Path(model.__file__).parent / "networks"
DESCRIPTION = "network.qsnn"


def find_network(name):
    """Path of a network: a file, or the name of a committed one."""
    committed = NETWORKS / f"{name}.qsnn"
    if committed.is_file():
        return committed
    path = Path(name)
    if path.is_file():
        return path
    if str(name) and path.is_dir():
        inside = path / DESCRIPTION
        raise BuildError(f"{path}: a folder; name " + (f"{inside}" if inside.is_file() else
                         "the .qsnn file in it"))
    names = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.qsnn")))
    raise BuildError(f"{name}: neither a file nor one of the networks that come along: {names}")


def build(description, foldings, name, out, *, loadable=False, events=False, encoder=""):
    """Write ``out/<name>/`` and return its folder. Nothing is written if anything is wrong.

    loadable, events, encoder: as for :func:`qsnn.hw.emit.artefacts.artefacts`.
    """
    if not re.fullmatch(r"\w[\w .+-]*", name):
        raise BuildError(f"a name of a folder is needed, of letters, digits and _ . + -, not "
                         f"{name!r}: say --name")
    check_loadable(plan(description, foldings), loadable)  # before there is half a circuit
    files = artefacts(description, foldings, name, loadable=loadable, events=events,
                      encoder=encoder)
    facts = f"{module_name(name)}.json"
    files["network.png"] = draw_network(description, json.loads(files[facts]))
    files[DESCRIPTION] = description.tobytes()
    folder = Path(out) / name
    write_files(folder, {file: contents if isinstance(contents, bytes) else contents.encode()
                         for file, contents in files.items()}, facts)
    return folder


def check_loadable(plan, loadable):
    """Raises :class:`qsnn.hw.plan.folding.FoldingError` where a host could not load memories."""
    if loadable or any(stage.spram for stage in plan.stages):
        count = sum(len(planned.tables) for planned in plan.layers)
        if count > MAX_MEMORIES:
            raise FoldingError(f"{count} memories, a host loads at most {MAX_MEMORIES}: leave out "
                               "--loadable")
        for planned in plan.layers:
            words = planned.stage.reads * planned.stage.groups
            if words > MAX_WORDS:
                raise FoldingError(f"layer {planned.index}: {words} words of weights cannot be "
                                   f"loaded, {MAX_WORDS} can: take a larger PE or SIMD")


def open_build(folder, *, images=True):
    """Facts (the JSON) and description of a build folder, whose files are those that were built.

    images: whether memory images must be too; without, they are whatever there is. Raises
    :class:`BuildError` or :class:`qsnn.model.description.DescriptionError`.
    """
    folder = Path(folder)
    path = folder / checked_files(folder, images=images).facts
    raw = path.read_bytes()
    of = parsed(Facts, raw, path).description_sha256
    description, facts = load(folder / DESCRIPTION), json.loads(raw)
    if of != description.hash:
        raise BuildError(f"{folder}: its files are of different networks; run qsnn build")
    try:
        planned = plan(description, foldings_of(facts)).layers
        layers = [layer.facts(facts["top"]) for layer in planned]
    except FoldingError:
        layers = None
    if json.loads(json.dumps(layers)) != facts["layers"]:
        raise BuildError(f"{path}: damaged at layers; run qsnn build")
    return facts, description


def foldings_of(facts):
    """The foldings that a build was made with."""
    return [SerialFolding(layer["pe"], layer["simd"], layer.get("sparse", True))
            if layer["schedule"] == "serial" else
            Folding(layer["pe"], layer["simd"], layer["spram"], layer["pixels"])
            for layer in facts["layers"]]


def folding_rows(facts):
    """The rows of the foldings, as result.json of a board has them."""
    return [folding.row for folding in foldings_of(facts)]


def contents(facts, description):
    """(name, width, words) of all memories of a build that holds this network.

    They are in the order of :class:`qsnn.hw.network.Network`, in which a host counts them.
    """
    return [(f"layer{planned.index}_{name}", width, words)
            for planned in plan(description, foldings_of(facts)).layers
            for name, (width, words) in planned.tables.items()]


def load_alike(path, description):
    """The network of a file that needs the same circuit: only what is in memories differs.

    Raises :class:`BuildError` with the first difference.
    """
    other = load(path)
    found = difference(other, description)
    if found:
        raise BuildError(f"{path} needs another circuit than the build: {found}; run qsnn build, "
                         "or train it with --like")
    return other


def network_of(name):
    """The description of a build folder, or of a network as :func:`find_network` has it."""
    path = Path(name)
    return open_build(path)[1] if (path / MANIFEST).is_file() else load(find_network(name))
