"""Options of all commands that read a data set of somebody's own."""

from typing import Annotated

import typer

__all__ = ["Classes", "Label", "Levels", "Split", "Stream"]

Label = Annotated[str, typer.Option(
    help="of an own table: name or number of the column of labels")]
Classes = Annotated[str, typer.Option(
    help="of an own set: names of its classes, with commas, in the order of the network's outputs; "
         "if not given, by number or by alphabet")]
Stream = Annotated[bool, typer.Option(
    "--stream", help="of an own set: samples are steps, [N, T, n] or rows of T")]
Levels = Annotated[int, typer.Option(
    help="of an own stream of numbers: spikes of a channel, by size")]
Split = Annotated[int, typer.Option(
    help="of an own set without a test part: seed of the fifth that is held out")]
