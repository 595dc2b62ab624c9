"""The folding of a network: as somebody asks for it, by a board, or by what recordings spare."""

from qsnn.hw.board.fit import check_fit, choose_for_board
from qsnn.hw.plan.activity import choose_for_activity
from qsnn.hw.plan.choice import choose_folding
from qsnn.hw.plan.folding import FoldingError

__all__ = ["choose"]


def choose(description, *, board=None, hz=0, fit=False, fps=0, samples=None, units=64,
           serial=None, estimate=None, **asked):
    """(foldings, :class:`qsnn.hw.plan.search.Found` or None) of a network.

    board, hz   :class:`qsnn.hw.board.boards.Board` that it must fit, and the clock of the core
    fit         the fastest folding that fits the board
    fps         the smallest one with so many images, or steps, a second
    samples     [N, T, n_in] of a stream: their spikes choose PE, SIMD and sparsity, with at most
                ``units`` PE x SIMD a layer
    serial      index of the first time-serial layer
    estimate    options of :func:`qsnn.hw.plan.estimate.estimate`
    asked       those of :func:`qsnn.hw.plan.choice.choose_folding`

    Raises :class:`qsnn.hw.plan.folding.FoldingError` or :class:`qsnn.hw.board.fit.FitError`.
    """
    asked = {name: value for name, value in asked.items() if value}
    options = estimate or {}
    if fit or fps:
        if board is None:
            raise FoldingError("--fit and --target-fps need a --board")
        if samples is not None or asked or fit and fps:
            raise FoldingError("--fit and --target-fps choose the folding: give one of them alone, "
                               f"without {_options(asked, samples)}")
        found = choose_for_board(description, board, hz=hz, fps=fps or None,
                                 serial=serial, **options)
        return list(found.foldings), found
    if samples is not None:
        if asked:
            raise FoldingError(f"--activity chooses the folding: leave out {_options(asked)}")
        foldings = choose_for_activity(description, samples, units)
    else:
        foldings = choose_folding(description, serial=serial, **asked)
    if board is not None:
        check_fit(board, description, foldings, **options)
    return foldings, None


def _options(asked, samples=None):
    """What the command line calls them; the other one of two where there is nothing else."""
    names = [{"file": "folding"}.get(name, name) for name in asked]
    names += ["activity"] * (samples is not None)
    return ", ".join(f"--{name}" for name in names) or "the other one"
