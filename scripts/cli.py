"""``qsnn``: one command for all. A command's module is imported when it is the one that was asked.

``qsnn build --help`` is what ``python scripts/build.py --help`` is.
"""

import qsnn.scripts._bootstrap  # noqa: F401, I001  first: it says what is missing

import sys
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from qsnn.scripts._app import interruptible

__all__ = ["COMMANDS", "main"]

COMMANDS = {  # module of qsnn.scripts -> its line of help
    "demo": "The whole way once: a network, its Verilog, all test images.",
    "train": "Train a network and turn it into integers.",
    "import": "Bring in a NIR file, or a model of another framework.",
    "export": "Write a network as NIR, for other tools.",
    "build": "Turn a network into Verilog, and into a bitstream.",
    "simulate": "Run a test set through the Verilog, all spikes compared.",
    "verify": "Compare every stage down to the bitstream.",
    "flash": "Load a bitstream into a board.",
    "infer": "Ask a board for the labels of pictures.",
    "stream": "Watch a network at a live recording, in a browser.",
    "run": "Run a network on a board's engine, without synthesis.",
    "engine": "Make the bitstream of a board's engine, once.",
    "program": "Write what a board's engine runs for a network.",
    "patch": "Put new weights into a bitstream.",
    "doctor": "List the tools for bitstreams, and what is missing.",
}


class _Later(TyperCommand):
    """A command whose module is imported once its arguments are there."""

    def make_context(self, info_name, args, parent=None, **extra):
        with interruptible():
            app = import_module(f"qsnn.scripts.{self.name}").app
        # as if the module had been run: some write down how they were called
        sys.argv[:] = [f"qsnn {self.name}", *args]
        return get_command(app).make_context(info_name, args, parent, **extra)


class _Commands(TyperGroup):
    def __init__(self, **options):
        super().__init__(**options)
        for name, text in COMMANDS.items():
            self.add_command(_Later(name, help=text, rich_markup_mode=None))


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False,
                  rich_markup_mode=None)


def _version(wanted: bool):
    if wanted:
        from importlib.metadata import version  # slow, and rarely asked
        print(f"qsnn {version('qsnn-fpga')}")
        raise typer.Exit


@app.callback(help="From a trained spiking network to an FPGA that gives the same spikes.")
def options(version: Annotated[bool, typer.Option(
        "--version", callback=_version, is_eager=True, help="print it and stop")] = False):
    pass


def main():
    app(prog_name="qsnn")


if __name__ == "__main__":
    main()
