"""A build folder: all artefacts of a network, written whole, and read back."""

import json
from pathlib import Path

from hw.emit import artefacts, module_name
from hw.folding import Folding, FoldingError, default_folding
from model.description import DescriptionError, load
from model.files import write_whole

__all__ = ["BuildError", "DEFAULT_CYCLES", "build", "choose_folding", "find_network", "open_build"]

NETWORKS = Path(__file__).parents[1] / "model" / "networks"
DEFAULT_CYCLES = 800  # an image: 60,000 images/s at 50 MHz
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


def choose_folding(description, *, pe=None, simd=None, file=None, cycles=DEFAULT_CYCLES):
    """PE and SIMD of each layer: given as text with commas, or in a JSON file, or the default.

    The file is a list with one ``{"pe": 16, "simd": 16}`` for each layer.
    """
    count = len(description.layers)
    if file is not None:
        if pe or simd:
            raise BuildError("a folding file takes the place of --pe and --simd: give one of them")
        try:
            rows = json.loads(Path(file).read_text())
            return [Folding(**row) for row in rows]
        except (OSError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
            raise BuildError(f"{file}: not a folding, a list of {{\"pe\": 16, \"simd\": 16}} "
                             f"for each layer ({error})") from None
    default = default_folding(description, cycles)
    pes = _numbers("--pe", pe, count) if pe else [folding.pe for folding in default]
    simds = _numbers("--simd", simd, count) if simd else [folding.simd for folding in default]
    return [Folding(*pair) for pair in zip(pes, simds, strict=True)]


def build(description, foldings, name, out):
    """Write ``out/<name>/`` and return its folder. Nothing is written if anything is wrong."""
    files = artefacts(description, foldings, name)
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
    if facts.get("description_sha256") != description.hash:
        raise BuildError(f"{folder}: its files are of different networks; run scripts/build.py")
    return facts, description
