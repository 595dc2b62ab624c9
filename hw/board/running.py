"""A network on a board's engine: how fast it will be, and the way to the board."""

from dataclasses import dataclass

from qsnn.hw.board.engines import CACHE, find_kept
from qsnn.hw.board.loader import LoaderError, load, load_command
from qsnn.hw.board.toolchain import find
from qsnn.hw.engine.program import compile_program
from qsnn.hw.engine.shape import EngineError
from qsnn.hw.link.driver import BAUD, LinkError
from qsnn.hw.link.ports import open_port
from qsnn.hw.link.protocol import encoded_bytes
from qsnn.hw.link.remote import RemoteEngine

__all__ = ["Rates", "attach", "program_for", "rates"]

PATIENCE = 5.0  # seconds in which a port takes what is written
LITTLE = 0.6  # part of the time: who works so much binds nothing
AFTER = 3  # greetings of an engine that was just loaded: its memory takes some time


@dataclass(frozen=True)
class Rates:
    """What is known of a program before anything is made.

    engine, line   images a second of the engine, and as its serial line allows
    array, memory  part of the time in which the array works, in which memory gives words
    load           seconds until another network has come over the line
    """

    engine: float
    line: float
    array: float
    memory: float
    load: float

    @property
    def text(self):
        binds = ("memory binds" if self.memory > self.array else "the array binds")
        if max(self.memory, self.array) < LITTLE:
            binds = "pixels and scores bind"
        return "\n".join([
            f"engine        {self.engine:,.0f} images/s estimated: {binds}; the array works "
            f"{self.array:.0%} of the time, memory gives weights {self.memory:.0%}",
            f"line          {self.line:,.0f} images/s, and {self.load:.1f} s to load the network"])


def program_for(description, recipe, batch=0):
    """A network's :class:`qsnn.hw.engine.program.Program` for an engine.

    batch: images at once; 0: as many as lie side by side in the lanes and have a place in the
    maps, one at least. Raises :class:`qsnn.hw.engine.shape.EngineError`.
    """
    shape = recipe.shape
    # a stream, of no steps, is refused
    beside = batch or 1 << shape.share(max(1, description.time_steps))
    while True:
        try:
            return compile_program(description, shape, beside)
        except EngineError:
            if batch or beside == 1:
                raise
            beside //= 2


def rates(program, recipe):
    """The :class:`Rates` of a program."""
    time = program.time(recipe.rate)
    total = sum(cycles for cycles, _, _ in time.layers)
    array, memory = (sum(row[0] * row[part] for row in time.layers) / total for part in (1, 2))
    seconds = 10 / recipe.baud
    return Rates(recipe.hz * program.batch / time.cycles,
                 1 / (seconds * encoded_bytes(program.description.n_in)), array, memory,
                 seconds * 1.05 * 4 * len(program.words))


def attach(recipe, port, cache=CACHE, *, say=print):
    """The engine behind a port, as a :class:`qsnn.hw.link.remote.RemoteEngine`.

    If none answers, or another one, the one that is kept is loaded into the FPGA. Raises
    :class:`qsnn.hw.link.driver.LinkError`, :class:`qsnn.hw.board.loader.LoaderError` and
    :class:`qsnn.hw.board.toolchain.ToolError`.
    """
    try:
        return _greeted(recipe, port)
    except _NoEngine as error:
        why = error
    bitstream = find_kept(recipe, cache)
    if bitstream is None:
        raise LoaderError(f"{why}, and there is no bitstream of one for the "
                          f"{recipe.target.title}: run qsnn engine --board {recipe.board}")
    say(f"{why}: loading {bitstream}")
    target = recipe.target
    load(load_command(find("openFPGALoader").path, target, bitstream, not target.volatile), target)
    for left in reversed(range(AFTER)):
        try:
            return _greeted(recipe, port)
        except _NoEngine as error:
            if not left:
                raise LinkError(f"{error}, though it was loaded: is it the right port?") from None


class _NoEngine(Exception):
    """Somebody has the port, but this engine does not answer."""


def _greeted(recipe, port):
    line = open_port(port, recipe.baud or BAUD, patience=PATIENCE)
    try:
        found = RemoteEngine(line, name=port)
        if found.hello().shape == recipe.shape.version:
            return found
        why = f"another engine answers at {port}"
    except LinkError:
        why = f"no engine answers at {port}"
    except BaseException:
        line.close()
        raise
    line.close()
    raise _NoEngine(why)
