"""What an accelerator is estimated to need, and what its Verilog gave."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsnn.table import html

__all__ = ["Bitstream", "Estimate", "Simulation"]


@dataclass(frozen=True)
class Estimate:
    """What an accelerator takes, before it is made.

    cycles     from one image, or step of a stream, to the next
    latency    cycles from the first beat of an image to its last score; of a step's layers
    unit       what it takes one after the other: image, or step
    at_most    whether fewer cycles may do: layers that are serial leave out what has no spike
    hz         clock on the board; None without one, as all below
    logic      logic cells, some 10 % off (a guess where the board's family was not measured), and
    ram        block RAMs, exact: (needed, there are)
    """

    cycles: float
    latency: int
    unit: str
    at_most: bool
    hz: float | None = None
    logic: tuple | None = None
    ram: tuple | None = None

    @property
    def rate(self):
        """Images, or steps, a second at that clock; None without a board."""
        return self.hz / self.cycles if self.hz else None

    def rows(self):
        """Names and values as text."""
        bound = ", at most" * self.at_most
        rows = [(f"cycles per {self.unit}", f"{self.cycles:,g}{bound}"),
                ("latency in cycles", f"{self.latency:,}{bound}")]
        if self.hz:
            rows += [(f"{self.unit}s/s", f"{self.rate:,.0f} at {self.hz / 1e6:g} MHz"),
                     ("logic cells", "about {:,} of {:,}".format(*self.logic)),
                     ("block RAMs", "{:,} of {:,}".format(*self.ram))]
        return rows

    def __str__(self):
        return "\n".join(f"{name:<18}{value}" for name, value in self.rows())

    def _repr_html_(self):
        return html("estimate", self.rows())


@dataclass(frozen=True, eq=False)
class Simulation:
    """What the Verilog gave, beside the golden model.

    labels      [N] int64
    scores      [N, classes] int64
    cycles      from one image, or step, to the next, on average; None of a single image
    latency     cycles of the first image; None of a stream
    mismatches  name -> how many labels, scores and checksums of layers differ
    spikes      per hidden layer [N, T, n_out] uint8, where a trace was asked for: the golden
                model's, whose checksums the Verilog's have where nothing differs
    membranes   per hidden layer [N, T, n_out] int16, likewise
    """

    labels: np.ndarray
    scores: np.ndarray
    cycles: float | None
    latency: int | None
    mismatches: dict
    spikes: tuple | None = None
    membranes: tuple | None = None

    @classmethod
    def of(cls, outcome, golden=None):
        """From what :func:`qsnn.sim.workload.run` gave; ``golden``: a result with its trace."""
        return cls(outcome.labels, outcome.scores, *outcome.pace, outcome.mismatches,
                   golden and golden.spikes, golden and golden.membranes)

    @property
    def equal(self):
        """Whether every label, score, spike and membrane was equal."""
        return not any(self.mismatches.values())

    def __str__(self):
        differing = ", ".join(f"{count} {name}" for name, count in self.mismatches.items() if count)
        return f"{len(self.labels):,} through the Verilog: " + (
            "every label, score, spike and membrane equal to the golden model" if self.equal
            else f"NOT EQUAL to the golden model: {differing}")

    __repr__ = __str__

    def _repr_html_(self):
        return html(str(self), [(name, f"{count:,} differ")
                                for name, count in self.mismatches.items()])


@dataclass(frozen=True)
class Bitstream:
    """A bitstream that was placed and routed.

    path    the file
    result  all that is in result.json beside it: Fmax of each seed, what is used, versions
    maker   the accelerator, whose temporary folder the file may be in: it lives as long as this
    """

    path: Path
    result: dict
    maker: object = None

    @property
    def fmax(self):
        """MHz of each seed, in their order."""
        return self.result["fmax_mhz"]["seeds"]

    def __str__(self):
        return self.path.with_name("report.txt").read_text()

    def _repr_html_(self):
        return html(self.path.name, [
            ("Fmax", f"{max(self.fmax):g} MHz"),
            *((kind, f"{used:,} of {there:,}") for kind, (used, there) in
              self.result["used"].items() if there > 1)])
