"""A stream watched in a terminal: a column of characters for each step."""

from collections import deque

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

from qsnn.sim.player import Beat, Moment

__all__ = ["TerminalView"]

COLOURS = ("dodger_blue2", "dark_goldenrod", "red3", "medium_purple", "grey50")  # of classes
GUTTER, SIDE = 15, 33  # characters
KEPT = 400  # steps
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of Braille, left and right
LOW, ZERO, HIGH = (64, 150, 255), (24, 28, 34), (255, 120, 60)
SIGNAL = 6  # lines


class TerminalView:
    """What a player gives, as a picture of text; a context manager.

    ``put`` takes its events. Where the output is no terminal, nothing is drawn.
    """

    def __init__(self, description, recording, totals, *, speed, clock, console=None):
        self.description, self.recording, self.totals = description, recording, totals
        self.speed, self.clock = speed, clock
        self.steps = deque(maxlen=KEPT)
        self.beats, self.latest = {}, None
        self.console = console or Console()
        self.live = None
        if self.console.is_terminal:
            self.live = Live(get_renderable=self.picture, refresh_per_second=8, screen=True,
                             console=self.console)

    def __enter__(self):
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_):
        if self.live:
            self.live.stop()

    def put(self, event, now):
        if isinstance(event, Beat):
            self.beats[event.number] = [event, None]
            self.beats.pop(event.number - KEPT, None)
        elif isinstance(event, Moment):
            self.steps.append(event)
        else:
            self.beats[event.beat][1] = self.latest = event

    def finish(self, text):
        """The stream has ended: the picture stays until it is closed."""

    def picture(self):
        """The view at its present size."""
        width, height = self.console.width, self.console.height
        table = Table.grid(padding=0)
        table.add_column(width=max(20, width - SIDE), no_wrap=True)
        table.add_column(width=SIDE, no_wrap=True)
        steps = list(self.steps)[-max(1, width - SIDE - GUTTER - 2):]
        table.add_row(self._left(steps, height - 2), self._side())
        pace = f"at {self.speed:g}x speed" if self.speed else "as fast as it goes"
        title = Text.assemble((f"{self.recording.title} through a simulated core", "bold"), "  ", (
            f"{self.recording.name}, network {self.description.shape}, {pace}; Ctrl-C ends it",
            "dim"), no_wrap=True, overflow="ellipsis")
        return Group(title, Text(), table)

    def _left(self, steps, height):
        lines = [*self._labels(steps), *self._signal(steps)]
        hidden = self.description.hidden
        inputs = self._stack([step.step.inputs for step in steps],
                             -(-self.description.n_in // 4))
        lines += self._named("input spikes", inputs)
        left = height - len(lines)
        each = max(1, left // (2 * max(1, len(hidden))))
        for index, layer in enumerate(hidden):
            lines += self._named(f"layer {index}", self._stack(
                [step.step.spikes[index] for step in steps], _lines(layer.n_out, 4, each)))
            lines += self._named("membranes", self._heat(
                [step.step.membranes[index] for step in steps], layer,
                _lines(layer.n_out, 2, each)))
        return Group(*lines)

    @staticmethod
    def _named(name, rows):
        return [Text.assemble((f"{name if index == 0 else '':>{GUTTER - 2}}  ", "dim"), row)
                for index, row in enumerate(rows)]

    def _labels(self, steps):
        """Two lines: what the core decides, and the cardiologist, or who knows it."""
        rows = [Text(), Text()]
        for start, end in _runs([step.beat for step in steps]):
            beat, decision = self.beats[steps[start].beat]
            size = end - start
            if decision is None:
                rows[0].append("·" * size, "dim")
                rows[1].append(" " * size)
                continue
            for row, label in zip(rows, (decision.label, decision.truth), strict=True):
                same = decision.label == decision.truth
                style = Style.parse(f"bold white on {COLOURS[label % 5]}"
                                    if row is rows[0] or not same else f"bold {COLOURS[label % 5]}")
                row.append(self.recording.classes[label].center(size - 1)[:size - 1], style)
                row.append(" ")
        return self._named("core", rows[:1]) + self._named(
            self.recording.judge[:GUTTER - 2], rows[1:])

    def _signal(self, steps):
        """The samples, two dots a column."""
        if not steps:
            return [Text()] * SIGNAL
        samples = np.array([step.samples for step in steps])
        seen = np.concatenate([beat.samples for beat, _ in list(self.beats.values())[-8:]])
        low, high = int(seen.min()), int(seen.max())
        places = (high - samples) * (4 * SIGNAL - 1) // max(1, high - low)
        places = np.clip(places, 0, 4 * SIGNAL - 1)
        cells = np.zeros((SIGNAL, len(steps)), int)
        before = None
        for column, pair in enumerate(places):
            if column and steps[column].beat != steps[column - 1].beat:
                before = None
            chosen = np.linspace(0, len(pair) - 1, 2).round().astype(int)
            for side, place in enumerate(pair[chosen].tolist()):
                ends = sorted((place, place if before is None else before))
                for dot in range(ends[0], ends[1] + 1):
                    cells[dot // 4, column] |= DOTS[side][dot % 4]
                before = place
        return self._named("signal", [Text("".join(chr(0x2800 + cell) for cell in row))
                                      for row in cells.tolist()])

    @staticmethod
    def _stack(columns, rows):
        """Spikes, four a character; more neurons share a dot."""
        if not columns:
            return [Text()] * rows
        spikes = _pooled(np.array(columns).T, 4 * rows, np.max)
        dots = np.array([left | right for left, right in zip(*DOTS, strict=True)])
        cells = (spikes.reshape(rows, 4, -1).astype(int) * dots[None, :, None]).sum(axis=1)
        return [Text("".join(chr(0x2800 + cell) for cell in row)) for row in cells.tolist()]

    @staticmethod
    def _heat(columns, layer, rows):
        """Membranes, two a character: blue below 0, orange above; more neurons share their mean."""
        if not columns:
            return [Text()] * rows
        low, high = layer.held_range
        values = _pooled(np.array(columns, float).T, 2 * rows, np.mean)
        levels = np.round(6 * values / max(-low, high)).astype(int)
        texts = []
        for above, below in zip(levels[::2], levels[1::2], strict=True):
            text = Text()
            pairs = list(zip(above.tolist(), below.tolist(), strict=True))
            for start, end in _runs(pairs):
                text.append("▀" * (end - start), f"{_colour(pairs[start][0])} on "
                                                 f"{_colour(pairs[start][1])}")
            texts.append(text)
        return texts

    def _side(self):
        totals, latest, classes = self.totals, self.latest, self.recording.classes
        names = max(map(len, classes)) + 1
        names, bars = (names, 14) if names < 4 else (min(names, 13), 5)  # beside a score
        lines = []
        if latest:
            same = latest.label == latest.truth
            lines.append(Text.assemble(
                (f" {classes[latest.label]} ", f"bold white on {COLOURS[latest.label % 5]}"),
                f"  {self.recording.judge} ", ("the same", "green") if same
                else (classes[latest.truth], "bold red")))
            low, high = latest.scores.min(), latest.scores.max()
            for label, score in enumerate(latest.scores.tolist()):
                size = round(1 + bars * (score - low) / max(1, high - low))
                lines.append(Text.assemble(
                    f"{classes[label][:names - 1]:<{names}}", ("█" * size, COLOURS[label % 5]),
                    " " * (bars + 2 - size),
                    (f"{score:,}", "bold" if label == latest.label else "dim")))
        else:
            lines += [Text(f"no {self.recording.what} yet", "dim")] + [Text()] * len(classes)
        rows = [(f"{self.recording.what}s", f"{totals.beats:,}"),
                ("right", f"{totals.right:,}, {totals.right / max(1, totals.beats):.1%}"),
                ("steps", f"{totals.steps:,}"),
                ("cycles a step", f"{totals.cycles / max(1, totals.steps):,.0f}, "
                                  f"most {totals.most:,}"),
                (f"busy at {self.clock / 1e6:g} MHz", f"{totals.busy(self.clock):.3%}"),
                ("idle", f"{1 - totals.busy(self.clock):.3%}"),
                ("lowest clock", f"{totals.clock / 1e3:,.1f} kHz")]
        lines.append(Text())
        wrong = totals.mismatches
        lines.append(Text(f"{wrong:,} mismatches", "bold red" if wrong else "bold green"))
        lines.append(Text(f"of {totals.compared:,} values", "dim"))
        lines.append(Text())
        lines += [Text.assemble((f"{name:<16}", "dim"), value) for name, value in rows]
        return Group(*lines)


def _runs(values):
    """Start and end of each run of equal values."""
    bounds = [0, *(index for index in range(1, len(values)) if values[index] != values[index - 1]),
              len(values)]
    return list(zip(bounds, bounds[1:], strict=False)) if values else []


def _lines(count, per, most):
    """Lines for so many neurons, ``per`` in a line or as few more as it takes, at most ``most``."""
    each = -(-count // (per * most))
    return -(-count // (per * each))


def _pooled(values, rows, how):
    """[n, T] as [rows, T]: groups of neighbours where there are more, blank rows where fewer."""
    each = -(-len(values) // rows)
    padded = np.zeros((rows * each, values.shape[1]), values.dtype)
    padded[:len(values)] = values
    return how(padded.reshape(rows, each, -1), axis=1)


def _colour(level):
    """Of -6 .. 6."""
    end, share = (LOW if level < 0 else HIGH), min(1.0, abs(level) / 6)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}"
                         for a, b in zip(ZERO, end, strict=True))
