"""The strict schema of a build's JSON, which :mod:`qsnn.hw.emit.artefacts` writes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Facts"]

Count = Annotated[int, Field(ge=1, le=1 << 40)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Word = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(pattern=r"^\w+$", max_length=300)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Place(_Strict):
    """A field of a payload."""

    offset: Annotated[int, Field(ge=0, le=1 << 20)]
    width: Count
    signed: bool


class _Port(_Strict):
    width: Count
    direction: Literal["input", "output"]
    active: Word = ""
    pixel_bits: Count | None = None
    pixels: Count | None = None
    beats_per_image: Count | None = None
    words_per_step: Count | None = None
    beats_per_result: Count | None = None
    fields: dict[Name, _Place] | None = None


class _Layer(BaseModel):
    """The folding of a layer; what follows from it is compared with the plan."""

    model_config = ConfigDict(extra="allow", strict=True)

    schedule: Literal["parallel", "map", "serial"]
    pe: Count
    simd: Count
    spram: bool
    pixels: Count
    sparse: bool = True


class Facts(_Strict):
    """What the JSON says of a network in hardware."""

    format: Literal[1]
    top: Name
    unit: Literal["image", "step"]
    encoder: Word
    events: bool
    description_sha256: Hash
    shape: Word
    time_steps: Annotated[int, Field(ge=0, le=64)]
    classes: list[Word] | None = None
    ports: dict[Name, _Port]
    memories: list[Name]
    cycles_per_image: float | None = None
    cycles_per_step: float | None = None
    latency: Count | None = None
    at_most: bool
    layers: Annotated[list[_Layer], Field(min_length=2, max_length=64)]
    verilog_sha256: Hash

    @model_validator(mode="after")
    def _whole(self):
        """What is there for one unit or another, and what everybody reads of the ports."""
        image = self.unit == "image"
        needed = (("pixel_bits", "pixels", "beats_per_image") if image and not self.encoder
                  else ("words_per_step", "fields"))
        source, sink = self.ports.get("i_payload"), self.ports.get("o_payload")
        there = [self.cycles_per_image, self.latency] if image else [self.cycles_per_step]
        there += [source, sink, *(getattr(source, name, None) for name in needed)]
        if None in there or not sink.fields or not {"score", "label", "last"} <= sink.fields.keys():
            raise ValueError("something is missing")
        return self
