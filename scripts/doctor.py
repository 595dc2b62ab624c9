#!/usr/bin/env python3
"""List the tools that bitstreams take: which are used, what is missing and how to get it.

The exit status is 1 if one is missing. Nothing else needs them.
"""

if __name__ == "__main__":
    import _bootstrap  # noqa: F401  first: it says what is missing

import typer

from qsnn.hw.board.toolchain import doctor
from qsnn.scripts._app import App

app = App()


@app.command(help=__doc__)
def main():
    complete = True
    for line, there in doctor():
        print(line, flush=True)
        complete &= there
    raise typer.Exit(0 if complete else 1)


if __name__ == "__main__":
    app()
