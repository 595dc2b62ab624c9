"""An accelerator in Python: :func:`compile` chooses its folding, its methods do the rest."""

import shutil
import tempfile
import warnings
import weakref
from dataclasses import asdict, replace
from pathlib import Path

from qsnn.hw.board import flow
from qsnn.hw.board.boards import find_board
from qsnn.hw.board.choose import choose
from qsnn.hw.board.cores import Options
from qsnn.hw.board.fit import check_fit
from qsnn.hw.emit import build as builds
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.folding import from_row
from qsnn.hw.plan.network import plan
from qsnn.model.inference import infer
from qsnn.network import Network, load
from qsnn.results import Bitstream, Estimate, Simulation
from qsnn.scripts.verify import choose_stages
from qsnn.sim import workload
from qsnn.sim.stages import check
from qsnn.table import html

__all__ = ["Accelerator", "compile"]

LINKS = ("uart", "spi")


def compile(net, *, board=None, fit=False, fps=0, cycles=0, folding=None, serial=None,
            activity=None, units=64, clock=0, bare=False, loadable=False, link="uart", encoder="",
            events=False):
    """An :class:`Accelerator` for a network: how many neurons and synapses work at once.

    net      a :class:`qsnn.network.Network`, or what :func:`qsnn.load` takes
    board    name of the board that it is for; None: Verilog alone
    fit      the fastest folding that fits the board
    fps      the smallest that gives so many images, or steps, a second there
    cycles   the smallest with so many cycles an image, or a step
    folding  a list of :class:`qsnn.hw.plan.folding.Folding` or
             :class:`qsnn.hw.plan.folding.SerialFolding`, or of dicts such as
             ``{"pe": 16, "simd": 16}``, one a layer; or a JSON file with those dicts
    serial   the first layer that takes the time steps of an image one after the other
    activity spikes of a stream, [N, T, n], as few as a hundred recordings: PE, SIMD and sparsity
             are chosen by them, with at most ``units`` PE x SIMD a layer
    clock    of the board's core in MHz; 0: the board's default
    bare     pins in place of the host link, which :meth:`Accelerator.verify` needs
    loadable, link  of the host; and
    encoder  before a stream, and
    events   a stream comes as words with an address, all as for ``qsnn build``

    One of fit, fps, cycles, activity and folding; else some hundred cycles. Raises ``ValueError``
    with a sentence that says what would do: what does not fit is refused here, before synthesis.
    """
    net = net if isinstance(net, Network) else load(net)
    target = find_board(board) if board else None
    if target is None and (clock or bare):
        raise builds.BuildError("clock and bare are of a board: name one")
    _check_number("clock", clock, 1, 1000, " MHz")
    _check_number("fps", fps, 0, 1e12)
    _check_number("cycles", cycles, 0, 1e12)
    if link not in LINKS:
        raise builds.BuildError(f"link is one of {', '.join(LINKS)}, not {link!r}")
    if bare and (loadable or link != "uart"):
        raise builds.BuildError("a bare core has no host link: leave out loadable and link")
    if events and not net.description.stream:
        raise builds.BuildError("events are of streams: images come whole")
    hz = round(clock * 1e6) or (target.core_hz if target else 0)
    options = Options(target, hz, bare=bare, loadable=loadable, link=link, encoder=encoder)
    asked = dict(fit=fit, fps=fps, cycles=cycles, serial=serial)
    if activity is not None:
        if not net.description.stream:
            raise builds.BuildError("activity is of streams: images have none of their own")
        asked |= dict(samples=net.workload(activity).samples, units=units)
    return Accelerator(net, _foldings(net.description, options, folding, asked), options, events)


def _check_number(name, value, low, high, unit=""):
    if type(value) not in (int, float) or value and not low <= value <= high:  # NaN among them
        raise builds.BuildError(f"{name} takes {low:g} to {high:g}{unit}, not {value!r}")


def _foldings(description, options, folding, asked):
    """The folding of each layer: as it is given, or as :func:`choose` finds it."""
    host = _host(options)
    if folding is None or isinstance(folding, str | Path):
        foldings, _ = choose(description, board=options.board, hz=options.clock_hz, file=folding,
                             estimate=host, **asked)
        return foldings
    if "samples" in asked or any(asked.values()):
        raise builds.BuildError("folding is the whole choice: leave out fit, fps, cycles, activity "
                                "and serial")
    foldings = [from_row(row, serial=description.stream) if isinstance(row, dict) else row
                for row in folding]
    if options.board:
        check_fit(options.board, description, foldings, **host)
    return foldings


def _host(options):
    """What of the options decides on size."""
    return dict(bare=options.bare, loadable=options.loadable, link=options.link,
                encoder=options.encoder)


class Accelerator:
    """A network with its folding, and a board if there is one.

    net       :class:`qsnn.network.Network`
    foldings  of its layers
    board     :class:`qsnn.hw.board.boards.Board`, or None
    folder    the build folder: that of the last :meth:`build`, or a temporary one that lives as
              long as this object
    """

    def __init__(self, net, foldings, options, events=False):
        self.net, self.foldings, self._options, self._events = net, foldings, options, events
        self.board = options.board
        self._plan = plan(net.description, foldings)
        self._folder = self._bitstream = None

    @property
    def folder(self):
        if self._folder is None:
            temporary = tempfile.mkdtemp(prefix="qsnn-")
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
            self.build(Path(temporary) / self.net.name)
        return self._folder

    @property
    def estimate(self):
        """Cycles, exact, and what it takes of the board: :class:`qsnn.results.Estimate`."""
        pace = dict(cycles=float(self._plan.cycles), latency=self._plan.latency,
                    unit=self._plan.unit, at_most=self._plan.at_most)
        if not self.board:
            return Estimate(**pace)
        needs = estimate(self.board, self._plan, **_host(self._options))
        return Estimate(**pace, hz=self._options.clock_hz, logic=(needs.logic, self.board.logic),
                        ram=(needs.blocks, self.board.ram_blocks))

    def predict(self, images, *, trace=False, invert=None):
        """What the golden model gives, see :meth:`qsnn.network.Network.predict`."""
        return self.net.predict(images, trace=trace, invert=invert)

    def build(self, folder):
        """Write Verilog, memory images, JSON and report; returns the folder, named as the core.

        Raises :class:`qsnn.hw.emit.build.BuildError`.
        """
        folder, options = Path(folder), self._options
        self._bitstream = None
        self._folder = builds.build(self.net.description, self.foldings, folder.name, folder.parent,
                                    loadable=options.loadable, events=self._events,
                                    encoder=options.encoder)
        return self._folder

    def simulate(self, images, *, trace=False, invert=None, progress=lambda done: None):
        """Send images through the Verilog, compiled by Verilator: :class:`qsnn.results.Simulation`.

        images    [N, H, W, C] and others, or [N, T, n]: see :meth:`qsnn.network.Network.workload`
        trace     also give the spikes and membranes of each hidden layer
        progress  called with the number of images done
        Compiling takes half a minute, once for each build folder. What differs from the golden
        model is a warning, and in the result. Raises :class:`qsnn.sim.tools.SimulationError`.
        """
        samples = self._samples(images, invert)
        # whatever the memory images are now: that is what is compared
        facts, description = self._opened(images=False)
        outcome = workload.run(self.folder, facts, description, samples, progress=progress)
        golden = infer(description, samples.samples, trace=True) if trace else None
        simulation = Simulation.of(outcome, golden)
        if not simulation.equal:
            warnings.warn(str(simulation), stacklevel=2)
        return simulation

    def _opened(self, **options):
        """Facts and description of the folder; another accelerator may have been built into it."""
        facts, description = builds.open_build(self.folder, **options)
        if (description.hash != self.net.description.hash
                or builds.foldings_of(facts) != list(self.foldings)):
            raise builds.BuildError(f"{self.folder} holds another accelerator now: build this one "
                                    "again, or into a folder of its own")
        return facts, description

    def _samples(self, images, invert):
        samples, encoder = self.net.workload(images, invert=invert), self._options.encoder
        if encoder and samples.raw is None:
            raise builds.BuildError(f"the encoder {encoder} takes signals and no spikes: give "
                                    "qsnn.sim.workload.of_dataset(...) with this encoder")
        return samples

    def bitstream(self, *, seeds=1, patchable=False, say=print):
        """Place, route and pack: a :class:`qsnn.results.Bitstream`, in ``<folder>/<board>/``.

        seeds      of place and route; the fastest is kept
        patchable  :func:`qsnn.hw.board.patch.patch` can put other weights into it
        say        called with a line for each tool that has ended: minutes in all
        Raises :class:`qsnn.hw.board.cores.FlowError` or
        :class:`qsnn.hw.board.toolchain.ToolError`.
        """
        if self.board is None:
            raise builds.BuildError("a bitstream is for a board: say qsnn.compile(..., board=...)")
        self._opened()
        options = replace(self._options, seeds=seeds, patchable=patchable)
        result = flow.implement(self.folder, self.net.description, self.foldings, options,
                                command=f"qsnn.Accelerator.bitstream(seeds={seeds})", say=say)
        self._bitstream = Bitstream(
            self.folder / self.board.name / result["bitstream"]["file"], result, self)
        return self._bitstream

    def verify(self, images, *, stages="", invert=None, say=print):
        """Hold every stage from Verilog to the bitstream to the golden model, with these images.

        images  as for :meth:`simulate`
        stages  some of rtl,synth,routed,bitstream; empty: all that the board's family has
        Makes the bitstream if there is none. Returns a :class:`qsnn.sim.stages.Comparison` for
        each stage; one that is not ``ok`` is a warning too. Raises what :meth:`bitstream` and
        :meth:`simulate` do.
        """
        if self.board is None or not self._options.bare:
            raise builds.BuildError("verify looks at pins that a bare core has: say "
                                    "qsnn.compile(..., board=..., bare=True)")
        chosen = choose_stages(self.board, stages)
        samples = self._samples(images, invert)
        made = self._bitstream or self.bitstream(say=say)
        facts, description = self._opened()
        golden = infer(description, samples.samples, trace=True)
        with tempfile.TemporaryDirectory() as work:
            found = list(check(made.path.parent, self.board, facts, description, self._plan,
                               samples, golden, bitstream=made.path, stages=chosen,
                               work=Path(work)))
        for comparison in found:
            if not comparison.ok:
                warnings.warn(f"{comparison.stage}: NOT EQUAL to the golden model", stacklevel=2)
        return found

    def report(self):
        """Layers, memories and cycles as text; then the estimate and the bitstream, if any."""
        self._opened()
        parts = [(self.folder / "report.txt").read_text(), str(self.estimate)]
        return "\n".join(parts + ([f"\n{self._bitstream}"] if self._bitstream else []))

    def _repr_html_(self):
        rows = [(f"layer {index}", *(f"{name} {value}" for name, value in asdict(layer).items()))
                for index, layer in enumerate(self.foldings)]
        where = f" on the {self.board.title}" if self.board else ""
        return html(self.net.name + where, rows) + self.estimate._repr_html_()
