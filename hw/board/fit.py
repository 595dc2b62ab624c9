"""Choosing a folding for a board, and saying before synthesis what does not fit."""

from dataclasses import replace

from qsnn.hw.board.boards import BOARDS
from qsnn.hw.board.engines import ENGINES
from qsnn.hw.board.running import program_for, rates
from qsnn.hw.engine.shape import EngineError
from qsnn.hw.plan.choice import first_serial
from qsnn.hw.plan.cost import MEASURED
from qsnn.hw.plan.estimate import estimate
from qsnn.hw.plan.folding import Folding, SerialFolding
from qsnn.hw.plan.line import too_many_classes
from qsnn.hw.plan.network import plan
from qsnn.hw.plan.search import Found, Search

__all__ = ["FitError", "check_fit", "choose_for_board", "found_text"]

ANY = 1 << 40  # cycles: more than a network has
# what is larger than all boards here: LUTs, and block RAMs of 18 kbit; from AMD's product tables
# (DS180, DS890), which count RAM in blocks of 36 kbit. A LUT of six inputs counts as one here
LARGER = (("Artix-7 100T", 63_400, 270), ("Artix-7 200T", 134_600, 730),
          ("Kintex-7 325T", 203_800, 890), ("Kintex-7 480T", 298_600, 1_910),
          ("Virtex-7 690T", 433_200, 2_940), ("Kintex UltraScale KU115", 663_360, 4_320))
SURE = 1.1  # times the logic of the board: the estimate's error


class FitError(ValueError):
    """A network that is too large for a board, or has more classes than a host is told."""


def check_fit(board, description, foldings, **options):
    """Raise :class:`FitError` if a network cannot fit, with what would.

    options: those of :func:`qsnn.hw.plan.estimate.estimate`. Block RAMs are exact, logic may be up
    to 10 % less.
    """
    whole = plan(description, foldings)
    if any(stage.spram for stage in whole.stages) and not board.spram_bits:
        raise FitError(f"the {board.title} has no single-port RAM for weights")
    _check_classes(whole, **options)
    problem = _problem(board, estimate(board, whole, **options))
    if not problem:
        return
    remedies, options["serial"] = [], whole.parallel
    best = _fastest(description, board, options)
    if best:
        remedies.append(f"--fit finds a folding that does, {_folding_text(best)} with "
                        f"{float(best.plan.cycles):g} cycles {_a(best.plan.unit)}")
    del options["serial"]
    larger = _other_board(board, lambda other: not _problem(
        other, estimate(other, whole, **options))
        and (other.spram_bits or not any(folding.spram for folding in foldings)))
    if larger:
        remedies.append(f"this folding fits the {larger.title}")
    raise FitError(f"{problem}: " + ("; ".join(remedies) or "no folding fits, nor another board; "
                                     "take a smaller network"
                                     + _larger(description, options | {"serial": whole.parallel})))


def choose_for_board(description, board, *, hz, fps=None, serial=None, **options):
    """The fastest :class:`qsnn.hw.plan.search.Found` for a board; with ``fps``, the smallest one
    that reaches so many images, or steps of a stream, a second at a clock of ``hz``.

    serial: index of the first time-serial layer, see :func:`qsnn.hw.plan.choice.first_serial`;
    options: those of :func:`qsnn.hw.plan.estimate.estimate`. Weights go into single-port RAM where
    that is what makes it fit, or faster. Raises :class:`FitError` with what would do.
    """
    options["serial"] = first_serial(description, serial)
    _check_classes(_smallest(description, **options), **options)  # before a search, which is long
    if fps is None:
        best = _fastest(description, board, options)
        if description.weight_bits > _memory_bits(board):
            raise FitError(f"the network has {description.weight_bits:,} bits of weights, the "
                           f"{board.title} remembers {_memory_bits(board):,} at most, in RAM and "
                           f"LUTs: take a smaller network{_remembers(description)}"
                           f"{_with_engine(description, board)}")
        if best is None:
            other = _other_board(board, lambda other: _at(description, other, options, ANY))
            raise FitError(f"no folding of the network fits the {board.title}: " + (
                f"the {other.title} would do" if other else
                f"take a smaller network{_larger(description, options)}"
                f"{_with_engine(description, board)}"))
        return best
    cycles = int(hz / fps)
    found = _at(description, board, options, cycles)
    if found:
        return found
    unit = "image" if description.time_steps else "step"
    wanted = (f"{fps:,} {unit}s/s at {hz / 1e6:g} MHz leave {cycles:,} cycles for {_a(unit)}, "
              f"which no folding has on the {board.title}")
    best = _fastest(description, board, options)
    reached = (f"the fastest has {float(best.plan.cycles):g}, "
               f"{int(hz / best.plan.cycles):,} {unit}s/s" if best else "none fits it")
    other = _other_board(board, lambda other: _at(description, other, options, cycles))
    raise FitError(f"{wanted}: {reached}; " + (
        f"at this clock the {other.title} would do" if other
        else "no other board would do at this clock"))


def found_text(found, board, hz):
    """What was chosen, in two lines."""
    cycles, unit = found.plan.cycles, found.plan.unit
    return (f"folding           {_folding_text(found)}\n"
            f"estimate          {found.estimate.logic:,} of {board.logic:,} logic cells, "
            f"{found.estimate.blocks} of {board.ram_blocks} block RAMs, "
            f"{int(hz / cycles):,} {unit}s/s at {hz / 1e6:g} MHz"
            + ", at least" * found.plan.at_most)


def _smallest(description, *, serial, **_):
    """The plan of one synapse at once: no folding has wider scores."""
    return plan(description, [(SerialFolding if index >= serial else Folding)(1, 1)
                              for index in range(len(description.layers))])


def _check_classes(whole, *, bare=False, **_):
    """Raise :class:`FitError` where a host link cannot answer; a stream has records, no replies."""
    problem = not bare and whole.time_steps and too_many_classes(whole)
    if problem:
        raise FitError(problem)


def _a(unit):
    return "an image" if unit == "image" else "a step"


def _folding_text(found: Found):
    spram = [str(index) for index, folding in enumerate(found.foldings) if folding.spram]
    return (f"--pe {','.join(str(folding.pe) for folding in found.foldings)} "
            f"--simd {','.join(str(folding.simd) for folding in found.foldings)}"
            + (f" --pixels {','.join(str(folding.pixels) for folding in found.foldings)}"
               if any(folding.pixels > 1 for folding in found.foldings) else "")
            + _serial_text(found)
            + "".join(f", layer {index} in single-port RAM" for index in spram))


def _serial_text(found):
    """The first layer that is serial, where that must be said."""
    first = found.plan.parallel
    said = found.plan.time_steps and 0 < first < len(found.foldings)
    return f" --serial {first}" if said else ""


def _problem(board, needs):
    """What there is too much of, in words; empty if it fits."""
    if needs.blocks > board.ram_blocks:
        return (f"the network needs {needs.blocks} block RAMs, the {board.title} has "
                f"{board.ram_blocks}")
    if needs.logic > SURE * board.logic:
        return (f"the network needs about {needs.logic:,} logic cells, the {board.title} has "
                f"{board.logic:,}")
    return ""


def _searches(description, board, options):
    if description.weight_bits > _memory_bits(board):
        return  # no folding makes them fewer
    yield Search(description, board, **options)
    if board.spram_bits and options["serial"] == len(description.layers):
        yield Search(description, board, spram=True, **options)


def _memory_bits(board):
    """Bits that a board can remember at most: in RAMs, and 16 in each LUT."""
    return board.ram_blocks * board.ram_bits + board.spram_bits + 16 * board.logic


def _remembers(description):
    """A board, or another device, that remembers so many bits of weights: words, or none."""
    boards = sorted(BOARDS.values(), key=_memory_bits)
    names = [other.title for other in boards if _memory_bits(other) >= description.weight_bits]
    names += [name for name, _, blocks in LARGER
              if blocks * BOARDS["ulx3s-85f"].ram_bits >= description.weight_bits]
    return f", or a larger device: the {names[0]} remembers enough" if names else ""


def _fastest(description, board, options):
    found = [search.fastest() for search in _searches(description, board, options)]
    return min((one for one in found if one), key=lambda one: one.plan.cycles,
               default=None)


def _at(description, board, options, cycles):
    found = (search.at(cycles) for search in _searches(description, board, options))
    return next((one for one in found if one), None)


def _larger(description, options):
    """What device would hold a network that no board does, by the estimate: words, or none."""
    for name, logic, blocks in LARGER:
        device = replace(BOARDS["ulx3s-85f"], logic=logic, ram_blocks=blocks)
        if description.weight_bits > blocks * device.ram_bits:
            continue  # no need to look for a folding
        found = Search(description, device, **options).at(ANY)
        if found:
            return (f", or a larger device: the {name} would hold it, with {found.estimate.blocks} "
                    f"block RAMs of 18 kbit and {found.estimate.logic:,} LUTs for "
                    f"{float(found.plan.cycles):,.0f} cycles {_a(found.plan.unit)}, but no tool "
                    "here makes its bitstreams")
    return ""


def _with_engine(description, board):
    """What the engine of this board, or of another one, makes of a network that no chip holds."""
    for recipe in sorted(ENGINES.values(), key=lambda recipe: recipe.board != board.name):
        try:
            rate = rates(program_for(description, recipe), recipe).engine
        except EngineError:
            continue
        return (f"; with its weights in the memory of the {recipe.target.title} and the engine, "
                f"{rate:,.0f} images/s: qsnn run --board {recipe.board}")
    return ""


def _other_board(board, fits):
    """The smallest other board that fits, of families whose estimate is measured, or None."""
    others = sorted(BOARDS.values(), key=lambda other: other.logic)
    return next((other for other in others if other.name != board.name
                 and other.family in MEASURED and fits(other)), None)
