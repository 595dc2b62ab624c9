"""A build folder: all artefacts of a network, written whole, and read back."""

import json
from pathlib import Path

from qsnn import model
from qsnn.hw.emit.artefacts import artefacts, module_name
from qsnn.hw.emit.picture import draw_network
from qsnn.hw.emit.serial import serial_artefacts
from qsnn.hw.link.protocol import MAX_WORDS
from qsnn.hw.plan.folding import Folding, FoldingError, default_folding, plan
from qsnn.hw.plan.images import network_tables
from qsnn.hw.plan.serial import SerialFolding, default_serial
from qsnn.model.description import DescriptionError, load
from qsnn.model.files import write_whole

__all__ = ["BuildError", "build", "choose_folding", "choose_serial", "contents", "default_cycles",
           "find_network", "folding_rows", "foldings_of", "load_alike", "open_build"]

NETWORKS = Path(model.__file__).parent / "networks"
DEFAULT_CYCLES = 800  # an image: 60,000 images/s at 50 MHz
DEFAULT_SYNAPSES = 256  # at once, where that many cycles would need more
DESCRIPTION = "network.qsnn"


class BuildError(ValueError):
    """A network, a folding file or a build folder that cannot be used."""


def find_network(name):
    """Path of a network: a file, or the name of a committed one."""
    committed = NETWORKS / f"{name}.qsnn"
    if committed.is_file():
        return committed
    path = Path(name)
    if path.is_file():
        return path
    names = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.qsnn")))
    raise BuildError(f"{name}: neither a file nor one of the networks that come along: {names}")


def _numbers(option, text, count):
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        raise BuildError(f"{option} takes whole numbers with commas, not {text!r}") from None
    if len(numbers) != count:
        raise BuildError(f"{option} needs {count} numbers, one a layer, not {len(numbers)}")
    return numbers


def default_cycles(description):
    """Cycles of an image to aim at where nobody says how many."""
    synapses = sum(layer.fan_in * layer.weight_bits * layer.n_out for layer in description.layers)
    maps = description.input_map is not None
    return max(DEFAULT_CYCLES, synapses // DEFAULT_SYNAPSES) if maps else DEFAULT_CYCLES


def choose_serial(description, *, pe=None, simd=None, dense=False, file=None, cycles=None):
    """PE and SIMD of each layer of a stream: as text with commas, in a JSON file, or the default.

    The file is a list with one ``{"pe": 4, "simd": 8}`` for each layer; there may be "sparse".
    """
    count = len(description.layers)
    if file is not None:
        if pe or simd or dense:
            raise BuildError("a folding file takes the place of --pe, --simd and --dense: give "
                             "one of them")
        return [SerialFolding(**row) for row in _rows(file, {"pe", "simd"}, {"sparse"})]
    default = default_serial(description, cycles)
    pes = _numbers("--pe", pe, count) if pe else [folding.pe for folding in default]
    simds = _numbers("--simd", simd, count) if simd else [folding.simd for folding in default]
    return [SerialFolding(*pair, folding.sparse and not dense)
            for *pair, folding in zip(pes, simds, default, strict=True)]


def _folding(file, row):
    """The folding of a layer of a network for images; ``serial`` makes it time-serial."""
    serial = row.get("serial", False)
    beside = {"spram", "pixels"} if serial else {"sparse"}
    if type(serial) is not bool or beside & row.keys():
        raise BuildError(f"{file}: serial is true or false, and {', '.join(sorted(beside))} "
                         f"{'not for serial layers' if serial else 'for serial layers only'}")
    fields = {name: value for name, value in row.items() if name != "serial"}
    return SerialFolding(**fields) if serial else Folding(**fields)


def _rows(file, needed, allowed):
    """The rows of a folding file."""
    sentence = f'{file}: not a folding, a list of {{"pe": 16, "simd": 16}} for each layer'
    try:
        rows = json.loads(Path(file).read_text())
    except (OSError, RecursionError, ValueError) as error:
        raise BuildError(f"{sentence} ({error})") from None
    if not isinstance(rows, list) or not all(
            isinstance(row, dict) and needed <= row.keys() <= needed | allowed for row in rows):
        raise BuildError(sentence)
    return rows


def choose_folding(description, *, pe=None, simd=None, pixels=None, file=None, cycles=None):
    """PE, SIMD and pixels of each layer: as text with commas, in a JSON file, or the default.

    The file is a list with one ``{"pe": 16, "simd": 16}`` for each layer; there may be "pixels",
    or ``"serial": true`` for a layer that takes the time steps one after the other.
    """
    count = len(description.layers)
    if file is not None:
        if pe or simd or pixels:
            raise BuildError("a folding file takes the place of --pe, --simd and --pixels: give "
                             "one of them")
        rows = _rows(file, {"pe", "simd"}, {"spram", "pixels", "serial", "sparse"})
        return [_folding(file, row) for row in rows]
    default = default_folding(description, cycles or default_cycles(description))
    pes = _numbers("--pe", pe, count) if pe else [folding.pe for folding in default]
    simds = _numbers("--simd", simd, count) if simd else [folding.simd for folding in default]
    # those of the default are for all channels at once, which another PE may not be
    pixels = _numbers("--pixels", pixels, count) if pixels else [
        1 if pe else folding.pixels for folding in default]
    return [Folding(pe, simd, pixels=at_once)
            for pe, simd, at_once in zip(pes, simds, pixels, strict=True)]


def build(description, foldings, name, out, *, loadable=False, events=False, encoder=""):
    """Write ``out/<name>/`` and return its folder. Nothing is written if anything is wrong.

    ``loadable`` as for :class:`qsnn.hw.core.network.Network`, ``events`` and ``encoder`` as for
    :class:`qsnn.hw.serial.network.StreamNetwork`.
    """
    if name in ("", "..") or Path(name).name != name:
        raise BuildError(f"a name of a folder is needed, not {name!r}: say --name")
    if description.stream:
        files = serial_artefacts(description, foldings, name, events=events, encoder=encoder)
    else:
        files = _image_files(description, foldings, name, loadable)
    files[DESCRIPTION] = description.tobytes()
    folder = Path(out) / name
    (folder / "memory").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "memory").glob("layer*.hex"):
        if f"memory/{stale.name}" not in files:
            stale.unlink()
    for file, contents in files.items():
        write_whole(folder / file,
                    contents if isinstance(contents, bytes) else contents.encode())
    return folder


def _image_files(description, foldings, name, loadable):
    """File name -> contents, of a network for images."""
    if not any(isinstance(folding, SerialFolding) for folding in foldings):
        stages = plan(description, foldings).stages  # refuses before there is half a circuit
        for index, words in enumerate(stage.reads * stage.groups for stage in stages):
            if words > MAX_WORDS and (loadable or any(stage.spram for stage in stages)):
                raise FoldingError(f"layer {index}: {words} words of weights cannot be loaded, "
                                   f"{MAX_WORDS} can: take a larger PE or SIMD")
    files = artefacts(description, foldings, name, loadable=loadable)
    files["network.png"] = draw_network(description, json.loads(files[f"{module_name(name)}.json"]))
    return files


def open_build(folder):
    """Facts (the JSON) and description of a build folder; they must belong together."""
    folder = Path(folder)
    try:
        facts = json.loads((folder / f"{module_name(folder.name)}.json").read_text())
        description = load(folder / DESCRIPTION)
    except (OSError, ValueError) as error:
        if isinstance(error, (DescriptionError, FoldingError)):
            raise
        raise BuildError(f"{folder}: not a build folder ({error}); run scripts/build.py") from None
    if not isinstance(facts, dict) or facts.get("description_sha256") != description.hash:
        raise BuildError(f"{folder}: its files are of different networks; run scripts/build.py")
    return facts, description


def foldings_of(facts):
    """The foldings that a build was made with."""
    return [SerialFolding(layer["pe"], layer["simd"], layer["sparse"]) if "sparse" in layer else
            Folding(layer["pe"], layer["simd"], layer["spram"], layer.get("pixels", 1))
            for layer in facts["layers"]]


def folding_rows(facts):
    """PE, SIMD and pixels of each layer, or sparse, as result.json of a board has them."""
    if facts.get("stream"):
        return [[folding.pe, folding.simd, folding.sparse] for folding in foldings_of(facts)]
    return [[folding.pe, folding.simd, folding.pixels] for folding in foldings_of(facts)]


def contents(facts, description):
    """(name, width, words) of all memories of a build that holds this network.

    They are in the order of :class:`qsnn.hw.core.network.Network`, in which a host counts them.
    """
    tables = network_tables(description, plan(description, foldings_of(facts)))
    return [(f"layer{index}_{name}", width, words) for index, table in enumerate(tables)
            for name, (width, words) in table.items()]


def load_alike(path, description):
    """The network of a file that needs the same circuit: only what is in memories differs.

    Raises :class:`BuildError` with the first difference.
    """
    other = load(path)
    ours = _circuit(description)
    for name, value in _circuit(other).items():
        if value != ours.get(name):
            raise BuildError(f"{path} needs another circuit than the build: {name} is {value}, "
                             f"not {ours.get(name)}; run scripts/build.py")
    return other


def _circuit(description):
    """name -> value of what decides on the circuit, beside the folding."""
    values = {"shape": description.shape, "time_steps": description.time_steps}
    for index, layer in enumerate(description.layers):
        for name in ("input_bits", "weight_bits", "membrane_bits", "signed", "shift", "frac"):
            if hasattr(layer, name):
                values[f"{name} of layer {index}"] = getattr(layer, name)
        if layer.skip:
            weights = layer.skip.weights
            values[f"skip of layer {index}"] = (layer.skip.stride, layer.skip.shift,
                                                "no weights" if weights is None else "weights")
    return values
