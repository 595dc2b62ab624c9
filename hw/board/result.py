"""What a folder of a board says of itself: its result.json, read back through a strict schema."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from qsnn.hw.emit.build import folding_rows
from qsnn.hw.emit.manifest import BuildError, parsed

__all__ = ["is_of", "read_result"]

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=10_000)]


class _Bitstream(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    file: Annotated[str, Field(pattern=r"^\w+\.\w+$", max_length=300)]  # in the same folder
    sha256: Hash


class _Result(BaseModel):
    """What is read of it; the rest is for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    format: Literal[1]
    network: Text
    shape: Text
    board: Text
    command: Text
    core: Text
    description_sha256: Hash
    folding: Annotated[list[list[int | bool]], Field(max_length=64)]
    seed: int
    patchable: bool
    tools: Annotated[dict[Text, Text], Field(max_length=100)]
    bitstream: _Bitstream


def is_of(result, facts):
    """Whether a board's result is of the network and folding that a build's facts have."""
    return (result["description_sha256"], result["folding"]) == (
        facts["description_sha256"], folding_rows(facts))


def read_result(folder):
    """The facts of a board's folder, as a dictionary.

    Raises ``OSError`` where there are none, or :class:`qsnn.hw.emit.manifest.BuildError`.
    """
    path = folder / "result.json"
    raw = path.read_bytes()
    parsed(_Result, raw, path)
    found = json.loads(raw)
    if found["board"] != folder.name:
        raise BuildError(f"{path}: of another board, {found['board'][:100]!r}; run qsnn build")
    return found
