"""Streams watched live: equal to the golden model, seen where they are not; page and script."""

import dataclasses
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from qsnn.hw.emit.build import build, open_build
from qsnn.hw.emit.verilog import module_name
from qsnn.hw.plan.folding import SerialFolding
from qsnn.model import recordings, streams
from qsnn.model.description import Description
from qsnn.model.layers import FullyConnected, Readout
from qsnn.sim.live import LiveCore
from qsnn.sim.page import Hub, PageServer, hello
from qsnn.sim.player import Beat, Golden, Player, Recording, Totals, summary
from qsnn.sim.terminal import TerminalView
from qsnn.sim.tools import SimulationError

SCRIPT = Path(__file__).parents[1] / "scripts" / "stream.py"
ECG = ["--sim", "ecg"]
NAME = "ecg-32t24-32t4-b2"
BUILD, VERILOG = f"build/{NAME}-live", f"{module_name(NAME)}_live.v"
CLOCK = 12e6
TASK = recordings.TASKS["ecg"]


def network(seed=0):
    """For heart beats: signed and unsigned membranes, taps, recurrent weights."""
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.choice(np.array([-1, 1], np.int8), shape)

    def layer(n_in, n_out, **fields):
        return FullyConnected(
            weights=weights(n_out, fields["taps"] * n_in), input_bits=1, shift=2, frac=1,
            threshold=rng.integers(2, 10, n_out), bias=rng.integers(-2, 4, n_out), **fields)

    return Description(time_steps=0, layers=[
        layer(TASK.inputs, 12, taps=2, membrane_bits=4, signed=True, recurrent=None),
        layer(12, 7, taps=1, membrane_bits=3, signed=False, recurrent=weights(7, 7)),
        Readout(weights=weights(5, 7), bias=rng.integers(-9, 10, 5), frac=1, window=TASK.steps)])


def recording(beats):
    """The first beats that come along."""
    samples, intervals, labels = (part[:beats] for part in recordings.excerpt())
    return Recording(
        name="record", samples=samples, intervals=intervals, labels=labels, classes=TASK.classes,
        inputs=(("all", TASK.inputs),), seen=recordings.BEAT,
        encoded=recordings.encode_beats(samples, intervals, np.zeros(beats, int)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, facts and description of a build with several neurons a beat."""
    foldings = [SerialFolding(4, 8), SerialFolding(2, 4, False), SerialFolding(1, 4)]
    folder = build(network(), foldings, "live", tmp_path_factory.mktemp("live"), encoder="ecg")
    return folder, *open_build(folder)


def play(made, recording, golden=None, **options):
    """Everything at once: the player, behind its last event, and the events."""
    folder, facts, description = made
    golden = Golden(golden or description, recording)
    with LiveCore(folder, facts) as core:
        player = Player(core, recording, golden, speed=0, **options)
        return player, list(player.play())


def test_equal(made):
    beats = recording(6)
    player, events = play(made, beats)
    totals = player.totals
    assert totals.mismatches == 0 and not totals.lags
    assert list(totals.wrong) == ["inputs", "layer 0 spikes", "layer 0 membranes",
                                  "layer 1 spikes", "layer 1 membranes", "scores", "labels"]
    assert totals.compared == 6 * (TASK.steps * (TASK.inputs + 2 * (12 + 7)) + 5 + 1)
    assert (totals.beats, totals.steps) == (6, 6 * TASK.steps)
    assert [type(event).__name__ for event in events] == 6 * [
        "Beat", *TASK.steps * ["Moment"], "Decision"]
    # the same as all beats at once
    result = streams.classify(made[2], beats.encoded)
    decisions = events[TASK.steps + 1::TASK.steps + 2]
    assert [event.label for event in decisions] == result.labels.tolist()
    assert np.array_equal([event.scores for event in decisions], result.scores)
    assert totals.right == (result.labels == beats.labels).sum()
    # neither silent nor always on, so that there was something to compare
    assert all(0.02 < rate < 0.98 for rate in result.rates)


def test_cycles(made):
    """What the port ``busy`` says fits the schedule, and the shares follow from it."""
    player, events = play(made, recording(2))
    totals = player.totals
    steps = [event.step for event in events if hasattr(event, "step")]
    assert totals.cycles == sum(step.busy for step in steps)
    assert totals.most == max(step.busy for step in steps)
    dense = sum(layer["cycles_per_step"]["dense"] for layer in made[1]["layers"])
    blank = sum(layer["cycles_per_step"]["without_spikes"] for layer in made[1]["layers"])
    assert all(blank < step.busy <= step.span < dense + 50 for step in steps)
    assert totals.busy(CLOCK) == pytest.approx(totals.cycles / CLOCK / totals.seconds)
    # 90 steps a second, faster where a beat comes before the one before is through
    assert totals.clock >= totals.most * 90 - 1e-6


def test_rounds(made):
    """Begun anew, it is as it was: nothing stays of the round before."""
    player, events = play(made, recording(2), beats=5)
    labels = [event.label for event in events if hasattr(event, "label")]
    assert player.totals.mismatches == 0 and len(labels) == 5
    assert labels == [labels[0], labels[1]] * 2 + labels[:1]
    at = [event.at for event in events if hasattr(event, "at")]
    assert all(np.diff([event.at for event in events if hasattr(event, "place")]) > 0)
    assert at[-1] > 2 * recording(2).length


def test_another_network_is_seen(made):
    """A threshold of one neuron is different in the golden model."""
    description = made[2]
    first = description.layers[0]
    threshold = first.threshold.copy()
    threshold[3] -= 2
    other = Description(time_steps=0, layers=[
        dataclasses.replace(first, threshold=threshold), *description.layers[1:]])
    player, events = play(made, recording(2), golden=other)
    wrong = player.totals.wrong
    assert wrong["layer 0 spikes"] and not wrong["inputs"]
    assert player.totals.mismatches == sum(event.wrong for event in events
                                           if hasattr(event, "wrong"))
    text = summary(description, recording(2), player.totals, CLOCK)
    assert text.endswith("NOT EQUAL: the Verilog differs from the golden model")


@pytest.mark.parametrize("layer, memory, wrong", [
    (0, "weights", "layer 0 membranes"), (1, "thresholds", "layer 1 spikes"),
    (2, "biases", "scores")])
def test_a_damaged_memory_is_seen(made, layer, memory, wrong):
    folder, facts, _ = made
    entry = facts["layers"][layer]["memories"][memory]
    path = folder / entry["file"]
    good = path.read_text()
    try:
        path.write_text("".join(f"{int(word, 16) ^ (1 << entry['width']) - 1:x}\n"
                                for word in good.split()))
        player, _ = play(made, recording(2))
    finally:
        path.write_text(good)
    assert player.totals.wrong[wrong] and not player.totals.wrong["inputs"]


def test_what_a_core_must_not_do(made):
    folder, facts, _ = made
    beats = recording(1)
    fields = dict(begin=[1, 0], end=[0, 1], fresh=[1, 0], interval=0)
    with LiveCore(folder, facts) as core:
        with pytest.raises(ValueError, match="a beat has the fields sample, begin"):
            core.step(sample=[1, 2])
        with pytest.raises(ValueError, match="sample has 12 bits: it takes -2048 .. 2047"):
            core.step(sample=[0, 2048], **fields)
        with pytest.raises(SimulationError, match="gave 5 beats of the result in a step, not 0"):
            core.step(sample=beats.samples[0, :2], **fields)
        core.process.kill()
        with pytest.raises(SimulationError, match="the simulation failed"):
            core.step(sample=[1, 2], **fields)
    with LiveCore(folder, facts) as core:  # samples without an end: no result will come
        with pytest.raises(SimulationError, match="the core does not end"):
            core.step(result=True, sample=[1, 2], begin=[1, 0], end=0, fresh=0, interval=0)


def test_pace():
    """Windows one after the other, and what waits for the one before comes faster."""
    beats = recording(200)
    # some beats of a faster heart, whose windows overlap
    intervals = np.where(np.arange(200) % 4 == 1, beats.intervals // 2, beats.intervals)
    starts, ends = dataclasses.replace(beats, intervals=intervals).pace()
    assert (starts[1:] >= ends[:-1] - 1e-9).all() and (ends > starts).all()
    assert (ends - starts).max() <= TASK.steps / 90 + 1e-9
    assert (ends - starts).min() < 0.9 * TASK.steps / 90


def sent(text):
    """(event, contents) of server-sent events."""
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        if "event" in lines:
            yield lines["event"], json.loads(lines["data"])


def test_page(made):
    """A page gets all that was before, then what comes, then the end."""
    folder, facts, description = made
    beats = recording(2)
    with LiveCore(folder, facts) as core:
        player = Player(core, beats, Golden(description, beats), speed=0)
        hub = Hub(hello(description, beats, speed=0, clock=CLOCK), player.totals)
        with PageServer(0, hub) as server:
            server.start()
            got = []
            events = player.play()
            for _, event in zip(range(20), events, strict=False):
                hub.put(event, player.now)
            reader = threading.Thread(target=lambda: got.append(urllib.request.urlopen(
                f"{server.address}events", timeout=60).read().decode()))
            reader.start()
            for event in events:
                hub.put(event, player.now)
            hub.finish("that was it", patience=60)
            reader.join()
            page = ""
            for path, kind in (("", "html"), ("page.css", "css"), ("page.js", "javascript")):
                with urllib.request.urlopen(server.address + path, timeout=60) as answer:
                    page += answer.read().decode()
                    assert answer.headers["Content-Type"] == f"text/{kind}; charset=utf-8"
            with pytest.raises(urllib.error.HTTPError, match="404") as missing:
                urllib.request.urlopen(f"{server.address}secret", timeout=60)
            missing.value.close()
    # nothing comes from elsewhere, and nothing is inline: its policy would not let it
    assert page.startswith("<!doctype html>") and "http" not in page.replace("EventSource", "")
    assert not re.search(r"style=|<style|\bon\w+=|<script(?! src)|url\(|eval\(", page)
    (first, contents), *middle, (last, text) = sent(got[0])
    assert (first, last, text) == ("hello", "end", "that was it")
    assert contents["network"] == description.shape and contents["steps"] == TASK.steps
    assert {name for name, _ in middle} == {"data"}
    items = [item for _, data in middle for item in data["items"]]
    assert [item["kind"] for item in items] == 2 * ["beat", *TASK.steps * ["step"], "decision"]
    totals = middle[-1][1]["totals"]
    assert (totals["beats"], totals["mismatches"]) == (2, 0)
    assert totals["compared"] == player.totals.compared


@pytest.fixture
def serve():
    """Start a server of a stream in which nothing has happened yet."""
    servers = []

    def start(**options):
        hub = Hub(hello(network(), recording(1), speed=1, clock=CLOCK), Totals())
        servers.append(PageServer(0, hub, **options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.hub.finish("that was it")
        server.__exit__()


def ask(server, path="/", method="GET", **headers):
    """(status, headers) of an answer; ``Host`` as a browser says it, or as it is given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": f"127.0.0.1:{server.server_port}"} | headers).items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                connection.putheader(name, one)
    connection.endheaders()
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.headers


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/events"])
def test_a_page_answers_to_its_own_names_only(serve, path):
    """A name that was bound to this machine behind a browser's back reads nothing."""
    server = serve()
    port = server.server_port
    for name in ("127.0.0.1", "localhost", "[::1]", "LocalHost"):
        assert ask(server, path, Host=f"{name}:{port}")[0] == 200, name
    for host in (f"attacker.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", "localhost", "",
                 f"localhost.attacker.example:{port}", f"127.0.0.1:{port}@attacker.example",
                 f"192.168.0.7:{port}", None, [f"127.0.0.1:{port}", f"attacker.example:{port}"]):
        for method in ("GET", "POST"):
            status, headers = ask(server, path, method, Host=host)
            assert status == 421 and headers["Content-Type"] != "text/event-stream", host


@pytest.mark.parametrize("path, status", [
    ("/", 200), ("/page.js", 200), ("/page.css", 200), ("/events", 200), ("/secret", 404)])
def test_no_other_origin_is_let_in(serve, path, status):
    """Neither reads nor frames the page, which has nothing from elsewhere."""
    found, headers = ask(serve(), path, Origin="http://attacker.example")
    assert found == status
    assert not any(name.lower().startswith("access-control-") for name in headers)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {value for name, value in policy.items() if name.endswith("-src")} == {
        "'none'", "'self'", "data:"} and policy["img-src"] == "data:"


def test_who_says_nothing_is_let_go(serve):
    """A connection without a request, with half of one, and one that takes nothing."""
    server = serve(patience=0.3)
    for said in (b"", b"GET / HTTP/1.1\r\nHost: 127"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as idle:
            idle.sendall(said)
            assert idle.recv(1000) == b""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET /events HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n"
                     .encode())
        number, until = 0, time.monotonic() + 30
        while time.monotonic() < until and (server.hub.reading or not number):
            server.hub.put(Beat(number, 0, 0.0, np.zeros(10_000, int), 0), 0.0)
            number += 1
            time.sleep(0.01)
        assert server.hub.reading == 0


@pytest.mark.parametrize("line", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_who_drips_is_let_go(serve, line):
    """A byte now and then is no request: each is in time, all of them are not."""
    server = serve(patience=0.5)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.sendall(line)
        until, closed = time.monotonic() + 20, False
        while time.monotonic() < until and not closed:
            try:
                client.sendall(b"a")
                client.settimeout(0.1)
                closed = client.recv(1000) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                closed = True
        assert closed and time.monotonic() < until - 15


def test_a_page_stays(serve):
    """Who has asked is not let go for how long ago that was."""
    server = serve(patience=0.3)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.sendall(f"GET /events HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n"
                       .encode())
        until, found = time.monotonic() + 1.5, b"x"
        while time.monotonic() < until and found:
            server.hub.put(Beat(1, 0, 0.0, np.zeros(10, int), 0), 0.0)
            found = client.recv(100_000)
            time.sleep(0.02)
        assert found


def test_so_many_clients_and_no_more(serve):
    """Behind the last one there is a place again."""
    server = serve(clients=3)
    address = "127.0.0.1", server.server_port
    held = [socket.create_connection(address, timeout=30) for _ in range(3)]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask(server)
    held.pop().close()
    until = time.monotonic() + 30
    while True:
        try:
            assert ask(server)[0] == 200
            break
        except (http.client.RemoteDisconnected, ConnectionError):
            assert time.monotonic() < until
    for line in held:
        line.close()


@pytest.mark.parametrize("size", [(130, 40), (80, 24), (20, 5)])
def test_terminal(made, size):
    """The picture fits, from the first event on."""
    folder, facts, description = made
    beats = recording(3)
    with LiveCore(folder, facts) as core, open(os.devnull, "w") as nowhere:
        console = Console(width=size[0], height=size[1], force_terminal=True, file=nowhere)
        player = Player(core, beats, Golden(description, beats), speed=0)
        with TerminalView(description, beats, player.totals, speed=0, clock=CLOCK,
                          console=console) as view:
            view.picture()
            for number, event in enumerate(player.play()):
                view.put(event, player.now)
                if number % 20 == 0:
                    view.picture()
        with console.capture() as captured:
            console.print(view.picture())
    lines = Text.from_ansi(captured.get()).plain.splitlines()
    if size[0] >= 80:
        text = "\n".join(lines)
        assert "0 mismatches" in text and "cardiologist" in text and "lowest clock" in text
        assert max(map(len, lines)) <= size[0] and len(lines) <= size[1]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A user's folder."""
    return tmp_path_factory.mktemp("user")


def start(work, *arguments, **options):
    # a shell's background job ignores Ctrl-C, and so would what it starts
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments], cwd=work, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler),
        env=os.environ | {"PYTHONWARNINGS": "error", "HOME": str(work), "QSNN_DATA": ""} | options)


def script(work, *arguments, **options):
    with start(work, *arguments, **options) as process:
        output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def test_script(work):
    """Built and compiled once; a table; then another run until Ctrl-C, with its page."""
    code, output, errors = script(work, *ECG, "--beats", "2", "--speed", "0")
    assert (code, errors) == (0, "")
    assert output.startswith(f"building {BUILD} ...\ncompiling {BUILD} ...\n"
                             "watch it at http://127.0.0.1:")
    assert f"\nbeats                 2, {2 * TASK.steps} steps\n" in output
    assert output.endswith("equal: every input, spike, membrane and score\n")
    verilog = (work / BUILD / VERILOG).stat()
    with start(work, *ECG, "--loop", "--speed", "100") as process:
        assert process.stdout.readline() == f"compiling {BUILD} ...\n"
        address = process.stdout.readline().split()[3]
        with urllib.request.urlopen(f"{address}events", timeout=60) as events:
            assert events.readline() == b"retry: 1000\n"
            while b'"kind":"decision"' not in events.readline():
                pass
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "") and "mismatches            0 of" in output
    assert (work / BUILD / VERILOG).stat() == verilog
    code, output, _ = script(work, *ECG, "--terminal", "--beats", "1", "--speed", "0")
    assert code == 0 and "watch it" not in output


def test_a_changed_build_is_made_anew(work):
    """Weights in the build folder that are not the network's."""
    options = ["--beats", "1", "--speed", "0"]
    script(work, *ECG, *options)
    path = next((work / BUILD / "memory").glob("*_layer0_weights.hex"))
    good = path.read_text()
    path.write_text(good.replace("0", "1", 5))
    code, output, _ = script(work, *ECG, *options)
    assert code == 0 and output.startswith("building ") and path.read_text() == good


@pytest.mark.parametrize("arguments, message", [
    (["--sim", "eeg"], "--sim eeg: there is ecg"),
    (["--sim", "ecg", "--model", "nothing"],
     "nothing: neither a file nor one of the networks that come along: "),
    (["--sim", "ecg", "--model", "mnist-128-b2"], "is not a network for this stream, which has "
                                                  "30 inputs a step and 5 classes"),
    (["--sim", "ecg", "--model", "bad.qsnn"], "bad.qsnn"),
    (["--sim", "ecg", "--clock", "0"], "--clock takes 0.001 to 1000 MHz, not 0"),
    (["--sim", "ecg", "--speed", "nan"], "--speed takes 0 to 1000 times that of the recording, "
                                         "not nan"),
    (["--sim", "ecg", "--speed", "-1"], ", not -1"),
    (["--sim", "ecg", "--record", "200", "--data-dir", "."], "ecg: no mitbih_beats_180.npz in "),
])
def test_errors(work, arguments, message):
    (work / "bad.qsnn").write_bytes(b"not a network")
    code, output, errors = script(work, *arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("error: ") and message in errors and errors.count("\n") == 1


def test_port_in_use(work):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, errors = script(work, *ECG, "--port", port)
    assert code == 2 and errors == (f"error: --port {port} cannot be used (Address already in "
                                    "use); give another one, or none for a free one\n")


def test_missing_compiler(work, tmp_path):
    code, _, errors = script(work, *ECG, "--out", str(tmp_path), PATH="/nowhere")
    assert (code, errors) == (2, "error: g++ is missing: apt install g++\n")
