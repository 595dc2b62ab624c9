"""What all commands have in common: plain help; Ctrl-C, and what the system refuses, is one line.
"""

import sys
import warnings
from contextlib import contextmanager

import typer
from typer.core import TyperCommand

from qsnn.model.files import said

__all__ = ["STOPPED", "App", "interruptible"]

STOPPED = 130  # exit status of what Ctrl-C has stopped, as shells have it


@contextmanager
def interruptible():
    """Ctrl-C inside prints one line, the interrupt's own if it has one, and exits.

    So does an ``OSError``, a full disk among them, and the end of memory.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        warnings.simplefilter("ignore")  # about circuits that were not finished
        print(error if error.args else "stopped", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except BrokenPipeError:  # who reads has gone, which is his business
        raise
    except OSError as error:
        print(f"error: {said(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except MemoryError:
        print("error: there is not enough memory", file=sys.stderr)
        raise SystemExit(2) from None


class _Command(TyperCommand):
    def invoke(self, ctx):
        with interruptible():  # typer's own answer to Ctrl-C is silent
            return super().invoke(ctx)


class App(typer.Typer):
    """A program of one command, which :mod:`qsnn.scripts.cli` can take as one of its own."""

    def __init__(self):
        super().__init__(add_completion=False, pretty_exceptions_enable=False,
                         rich_markup_mode=None)

    def command(self, **options):
        return super().command(cls=_Command, **options)
