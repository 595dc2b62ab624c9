"""The manifest of a build folder: which files belong to it, and their hashes.

It is written last and removed first: a folder without one is of a build that did not end. Two
builds into one folder at a time are refused.
"""

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qsnn.model.files import alone, write_whole

__all__ = ["BuildError", "MANIFEST", "checked_files", "parsed", "write_files"]

MANIFEST = "manifest.json"
MAX_BYTES = 1 << 20  # of a manifest, and of a JSON beside it 64 times as many


class BuildError(ValueError):
    """A network, a folding file or a build folder that cannot be used."""


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1]
    facts: Annotated[str, Field(pattern=r"^\w+\.json$", max_length=300)]
    files: Annotated[dict[Annotated[str, Field(max_length=300)],
                          Annotated[str, Field(pattern="^[0-9a-f]{64}$")]],
                     Field(min_length=1, max_length=10_000)]


def write_files(folder, files, facts):
    """Write ``files``, name -> bytes, into a folder, and what was there of a build before, away.

    facts: which of them is the JSON. Raises :class:`BuildError` while another build writes there.
    """
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with alone(folder, BuildError(f"another build writes into {folder}: wait for it, or say "
                                  "--name")):
        old = _names(folder) - files.keys()
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in old:
            (folder / name).unlink(missing_ok=True)
        for name, raw in files.items():
            write_whole(folder / name, raw)
        hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        manifest = {"format": 1, "facts": facts, "files": hashes}
        write_whole(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())


def _names(folder):
    """Files of the build that a folder has, and memory images of one that did not end."""
    images = {f"memory/{path.name}" for path in (folder / "memory").glob("*.hex")}
    try:
        return images | _read(folder).files.keys()
    except BuildError:
        return images


def checked_files(folder, *, images=True):
    """The manifest of a build folder whose files are those that were written.

    images: whether memory images are looked at too. Raises :class:`BuildError` with what to do.
    """
    manifest = _read(folder)
    for name, wanted in manifest.files.items():
        if not images and name.startswith("memory/"):
            continue
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise BuildError(f"{folder / name}: {error.strerror}; run qsnn build") from None
        if found != wanted:
            raise BuildError(f"{folder / name} is not the file that was built; run qsnn build")
    return manifest


def _read(folder):
    if not folder.is_dir():
        raise BuildError(f"{folder}: not a build folder; run qsnn build")
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError:
        raise BuildError(f"{folder}: not a build folder, or its build did not end; run qsnn "
                         "build") from None
    manifest = parsed(_Manifest, raw, folder / MANIFEST)
    for name in (*manifest.files, manifest.facts):
        parts = PurePosixPath(name).parts
        # a folder may come from elsewhere: nothing outside of it is looked at
        inside = not PurePosixPath(name).is_absolute() and ".." not in parts and "\0" not in name
        if not inside or name not in manifest.files:
            raise BuildError(f"{folder / MANIFEST}: damaged; run qsnn build")
    return manifest


def parsed(schema, raw, path):
    """A JSON file as an object of its pydantic schema, or :class:`BuildError` in a sentence."""
    if len(raw) > 64 * MAX_BYTES:
        raise BuildError(f"{path}: damaged, it is too long; run qsnn build")
    try:
        return schema.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"]))[:100]
        raise BuildError(f"{path}: damaged{f' at {where}' if where else ''}; run qsnn "
                         "build") from None
