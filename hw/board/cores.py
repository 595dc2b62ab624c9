"""What goes into a board around a network: a host link, or pins for a check."""

from dataclasses import dataclass

from qsnn.hw.board.harness import Harness, StreamHarness
from qsnn.hw.link.accelerator import GREETING, AcceleratorCore
from qsnn.hw.link.stream import StreamBoard
from qsnn.hw.link.uart import divisor
from qsnn.hw.plan.line import SCK_CYCLES

__all__ = ["FlowError", "Options", "core_text", "make_core", "memory_images", "spram_images"]


class FlowError(RuntimeError):
    """A design that cannot be had on this board; the message says what to do."""


@dataclass(frozen=True)
class Options:
    """What to build for a board.

    board     :class:`qsnn.hw.board.boards.Board`
    clock_hz  of the core; the nearest that the PLL makes is taken
    baud      of the serial port
    seeds     number of seeds for place and route
    bare      the network in :class:`qsnn.hw.board.harness.Harness`, in place of the host link
    loadable  a host can write the memories
    patchable qsnn patch can put other contents into the bitstream: takes more block RAM
    link      of the host: uart or spi
    encoder   before a network for streams, see :class:`qsnn.hw.network.Network`
    """

    board: object
    clock_hz: int
    baud: int = 1_000_000
    seeds: int = 1
    bare: bool = False
    loadable: bool = False
    patchable: bool = False
    link: str = "uart"
    encoder: str = ""


def make_core(description, foldings, hz, options, top):
    """The component for :class:`qsnn.hw.board.top.BoardTop`; top: see
    :class:`qsnn.hw.network.Network`. Raises :class:`FlowError` and
    :class:`qsnn.hw.plan.folding.FoldingError`."""
    if not options.bare and options.link == "uart":
        try:
            divisor(hz, options.baud)
        except ValueError as error:
            raise FlowError(str(error)) from None
    if description.stream:
        if options.loadable or options.patchable or options.link != "uart":
            raise FlowError("a network for streams has a serial line, and its weights stay")
        if options.bare:
            return StreamHarness(description, foldings, encoder=options.encoder, files=top)
        return StreamBoard(description, foldings, clock_hz=hz, baud=options.baud,
                           encoder=options.encoder, files=top)
    if options.bare:
        return Harness(description, foldings, files=top)
    return AcceleratorCore(description, foldings, clock_hz=hz, baud=options.baud,
                           link=options.link, files=top, loadable=options.loadable)


def memory_images(core):
    """File name -> (width, words) of all memory images."""
    network, images = core.network, {}
    for planned in network.plan.layers:
        names = planned.image_names(network.files)
        images |= {names[name]: contents for name, contents in planned.tables.items()}
    if isinstance(core, AcceleratorCore):
        images[GREETING] = core.greeting
    return images


def spram_images(core):
    """File names of those whose memories have no contents in a bitstream: single-port RAM."""
    network = core.network
    return {planned.image_names(network.files)["weights"] for planned in network.plan.layers
            if planned.stage.spram}


def core_text(hz, options):
    if options.bare:
        return "bare network"
    return "network and host link, " + (
        f"SPI to {hz / SCK_CYCLES / 1e6:g} MHz" if options.link == "spi"
        else f"{options.baud} baud")
