"""The page on which a stream is watched: a server for this machine, of the standard library alone.

``/`` is page.html, ``/events`` what it draws, as server-sent events: ``hello`` once, with all that
stays, then ``data`` about thirty times a second, and ``end``.
"""

import base64
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from qsnn.sim.player import Beat, Moment

__all__ = ["Hub", "PageServer", "hello"]

PAGE = Path(__file__).parent / "page.html"
KEPT = 700  # beats, steps and decisions that a new page is given
PERIOD = 1 / 30  # seconds between two events


def hello(description, recording, *, speed, clock):
    """What stays as it is."""
    return {
        "network": description.shape, "recording": recording.name, "speed": speed, "clock": clock,
        "steps": recording.steps, "rate": recording.rate, "peak": recording.peak,
        "seen": [recording.seen.start, recording.seen.stop], "unit": recording.unit,
        "classes": recording.classes, "inputs": recording.inputs,
        "layers": [{"neurons": layer.n_out, "bits": layer.membrane_bits,
                    "low": layer.q_range[0], "high": layer.q_range[1]}
                   for layer in description.hidden],
    }


class Hub:
    """What a player gives, for any number of pages."""

    def __init__(self, hello, totals):
        self.hello, self.totals = hello, totals
        self.changed = threading.Condition()
        self.items = deque(maxlen=KEPT)
        self.count = 0  # of items that there have been
        self.now = 0.0
        self.end = None
        self.reading = 0  # pages that have not got the end yet

    def put(self, event, now):
        """A :class:`qsnn.sim.player.Beat`, ``Moment`` or ``Decision``."""
        item = _item(event)
        with self.changed:
            self.items.append(item)
            self.count += 1
            self.now = now
            self.changed.notify_all()

    def finish(self, text, *, patience=1.0):
        """The stream has ended; wait until the pages know, but not for long."""
        with self.changed:
            self.end = text
            self.changed.notify_all()
            self.changed.wait_for(lambda: not self.reading, patience)

    def events(self):
        """The messages for one page, as bytes, from now on."""
        with self.changed:
            self.reading += 1
        try:
            yield _message("hello", self.hello)
            known = 0
            while True:
                with self.changed:
                    self.changed.wait_for(lambda known=known: self.count > known or self.end
                                          is not None, timeout=1.0)
                    fresh = min(self.count - known, len(self.items))
                    items = [self.items[index] for index in range(-fresh, 0)]
                    data = {"now": self.now, "items": items, "totals": self._totals()}
                    known, end = self.count, self.end
                yield _message("data", data)
                if end is not None:
                    yield _message("end", end)
                    return
                threading.Event().wait(PERIOD)
        finally:
            with self.changed:
                self.reading -= 1
                self.changed.notify_all()

    def _totals(self):
        totals = self.totals
        clock = self.hello["clock"]
        return {
            "beats": totals.beats, "right": totals.right, "steps": totals.steps,
            "compared": totals.compared, "mismatches": totals.mismatches,
            "wrong": {name: count for name, count in list(totals.wrong.items()) if count},
            "cycles": totals.cycles, "last": totals.last, "most": totals.most,
            "busy": totals.busy(clock), "lowest": totals.clock, "lags": totals.lags,
            "classes": [[truth, label, count] for (truth, label), count in list(
                totals.classes.items())],
        }


def _item(event):
    """An event of the player, as JSON has it."""
    if isinstance(event, Beat):
        return {"kind": "beat", "number": event.number, "at": event.at, "truth": event.truth,
                "samples": event.samples.tolist()}
    if isinstance(event, Moment):
        step = event.step
        return {"kind": "step", "beat": event.beat, "place": event.place, "at": event.at,
                "samples": event.samples.tolist(), "wrong": event.wrong, "busy": step.busy,
                "inputs": _bytes(step.inputs), "spikes": [_bytes(layer) for layer in step.spikes],
                "membranes": [_bytes(layer) for layer in step.membranes]}
    return {"kind": "decision", "beat": event.beat, "label": event.label, "truth": event.truth,
            "scores": event.scores.tolist()}


def _bytes(values):
    """One byte a value, two's complement."""
    return base64.b64encode(values.astype(np.int8).tobytes()).decode()


def _message(event, contents):
    return f"event: {event}\ndata: {json.dumps(contents, separators=(',', ':'))}\n\n".encode()


class PageServer(ThreadingHTTPServer):
    """Serves a :class:`Hub`, to this machine only; a context manager once it is started."""

    daemon_threads = True

    def __init__(self, port, hub):
        self.hub = hub
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def start(self):
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A page that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/":
            body = PAGE.read_bytes()
            self._begin("text/html; charset=utf-8", len(body))
            self.wfile.write(body)
        elif path == "/events":
            self._begin("text/event-stream")
            self.wfile.write(b"retry: 1000\n\n")
            try:
                for message in self.server.hub.events():
                    self.wfile.write(message)
            except OSError:
                pass  # the page was closed
        else:
            self.send_error(404)

    def _begin(self, kind, length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *_):
        """Requests are not what is to be read in the terminal."""
