"""The page on which a stream is watched: a server for this machine, of the standard library alone.

``/`` is page.html, with a style and a script beside it; ``/events`` what it draws, as server-sent
events: ``hello`` once, with all that stays, then ``data`` about thirty times a second, and ``end``.

A recording may be a patient's. Another page in the same browser must not read it: who asks by any
other name than this machine's own, as a page does whose name was bound to 127.0.0.1 behind the
browser's back, gets no answer; and no header lets another origin in.
"""

import base64
import json
import socket
import threading
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from qsnn.sim.player import Beat, Moment

__all__ = ["Hub", "PageServer", "hello"]

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"),
         "/page.js": ("page.js", "text/javascript")}
NAMES = "127.0.0.1", "localhost", "[::1]"  # by which a browser here asks
HEADERS = {  # of every answer: nothing from elsewhere, nothing to elsewhere
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "connect-src 'self'; img-src data:; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
CLIENTS = 16  # connections at once: a page has two
PATIENCE = 10.0  # seconds in which a client must have asked, and then take something
KEPT = 700  # beats, steps and decisions that a new page is given
PERIOD = 1 / 30  # seconds between two events


def hello(description, recording, *, speed, clock):
    """What stays as it is."""
    return {
        "network": description.shape, "recording": recording.name, "speed": speed, "clock": clock,
        "steps": recording.steps, "rate": recording.rate, "peak": recording.peak,
        "seen": [recording.seen.start, recording.seen.stop], "unit": recording.unit,
        "classes": recording.classes, "inputs": recording.inputs, "title": recording.title,
        "what": recording.what, "judge": recording.judge,
        "layers": [{"neurons": layer.n_out, "bits": layer.held_bits,
                    "low": layer.held_range[0], "high": layer.held_range[1]}
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
    """Serves a :class:`Hub`, to this machine only; a context manager once it is started.

    clients, patience  bounds of what others cost: see ``CLIENTS`` and ``PATIENCE``
    """

    daemon_threads = True

    def __init__(self, port, hub, *, clients=CLIENTS, patience=PATIENCE):
        self.hub, self.patience = hub, patience
        self._places = threading.BoundedSemaphore(clients)
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def start(self):
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def process_request(self, request, client_address):
        """In a thread of its own, where there is a place for one; a page tries again."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A page that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    def setup(self):
        self.timeout = self.server.patience  # of each read and write
        super().setup()
        # of the whole request: a byte now and then would keep its place for ever
        self._overdue = threading.Timer(self.timeout, self._give_up)
        self._overdue.daemon = True
        self._overdue.start()

    def finish(self):
        self._overdue.cancel()
        super().finish()

    def _give_up(self):
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def parse_request(self):
        """A request that is well formed, in time, and meant for this server."""
        whole = super().parse_request()
        self._overdue.cancel()
        if not whole:
            return False
        port = self.server.server_port
        names = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
        hosts = self.headers.get_all("Host", [])
        if len(hosts) == 1 and hosts[0].lower() in names:
            return True
        self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        return False

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in FILES:
            name, kind = FILES[path]
            body = (HERE / name).read_bytes()
            self._begin(f"{kind}; charset=utf-8", len(body))
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
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        """Requests are not what is to be read in the terminal."""
