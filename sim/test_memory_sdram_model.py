"""The models of memory chips: what they take, and that they miss no violation."""

import subprocess
from pathlib import Path

import pytest

from qsnn.sim.tools import need

SIM = Path(__file__).parent
PAUSE, INTERVAL = 100, 200  # cycles of the chip in sdram_pins.v
COMMANDS = {"mode": 0b000, "refresh": 0b001, "precharge": 0b010, "activate": 0b011, "write": 0b100,
            "read": 0b101, "end": 0b110, "none": 0b111}
ALL = AUTO = 1 << 10


def do(name, a=0, ba=0, dq=None, dqm=0, cke=1, cs_n=0):
    """Pins of a cycle."""
    if dq is None and name == "write":
        dq = 0x1234
    fields = ((dqm, 2), (cke, 1), (cs_n, 1), (COMMANDS[name], 3), (dq is not None, 1), (ba, 2),
              (a, 13), (dq or 0, 16))
    row = 0
    for value, bits in fields:
        assert 0 <= value < 1 << bits
        row = row << bits | value
    return [row]


def wait(cycles, **pins):
    return cycles * do("none", **pins)


def power_up(*, pause=PAUSE, refreshes=8, mode=0x20, dqm=3):
    rows = wait(pause, dqm=dqm) + do("precharge", ALL, dqm=3) + wait(2)
    for _ in range(refreshes):
        rows += do("refresh") + wait(6)
    return rows + do("mode", mode) + wait(1)


def drive(folder, rows):
    """Lines that the model prints."""
    need("iverilog")
    (folder / "rows.hex").write_text("\n".join(f"{row:012x}" for row in rows))
    subprocess.run(["iverilog", "-g2012", "-Wall", f"-Psdram_pins.ROWS={len(rows)}", "-o", "pins",
                    SIM / "sdram_pins.v", SIM / "sdram.v"], cwd=folder, check=True)
    done = subprocess.run(["./pins"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


UP = power_up()
ROW = UP + do("activate", 5, 1) + wait(2)  # row 5 of bank 1, tRCD behind it
WRITTEN = ROW + do("write", 7, 1, 0xBEEF) + wait(1)
CLOSED = WRITTEN + wait(2) + do("precharge", 0, 1) + wait(2)


def test_good(tmp_path):
    """All commands, as early as they may come: what was written is read, at either latency."""
    for latency, mode in ((2, 0x20), (3, 0x30)):
        rows = power_up(mode=mode) + do("activate", 5, 1) + wait(1)
        rows += do("activate", 6, 2) + wait(1)
        rows += do("write", 7, 1, 0xBEEF) + do("write", 8, 2, 0xCAFE)
        start = len(rows)
        rows += do("read", 7, 1) + do("read", 8 | AUTO, 2) + wait(latency + 2)
        rows += do("precharge", ALL) + wait(2) + do("activate", 5, 1) + wait(2)
        rows += do("write", 9 | AUTO, 1, 0xF00D) + wait(4) + do("refresh") + wait(6)
        rows += do("mode", mode) + wait(1) + do("activate", 5, 1) + wait(2)
        rows += do("read", 9, 1) + wait(5) + do("precharge", 0, 1) + wait(2) + do("refresh")
        reads = drive(tmp_path, rows)
        assert reads == [f"read {start + latency} beef", f"read {start + latency + 1} cafe",
                         f"read {len(rows) - 9 + latency - 1} f00d", "good"]


VIOLATIONS = {
    "a command in the power-up pause": power_up(pause=PAUSE - 1),
    "DQM is low in the power-up pause": power_up(dqm=1),
    "a refresh before the first precharge of all banks": wait(PAUSE, dqm=3) + do("refresh", dqm=3),
    "the mode is set before the refreshes": power_up(refreshes=7),
    "a row is opened before the mode is set": UP[:-2] + do("activate"),
    "bursts of more than one: not modelled": power_up(mode=0x21),
    "a mode that is reserved, or not modelled": power_up(mode=0x120),
    "a CAS latency that does not exist": power_up(mode=0x10),
    "tMRD: the mode is being set": UP[:-1] + do("activate"),
    "tRCD: a row is not open yet": ROW[:-1] + do("read", 7, 1),
    "no row of this bank is open": ROW + do("write", 7, 2),
    "a row is opened in a bank that has one open": ROW + wait(9) + do("activate", 6, 1),
    "tRRD: a row is opened too early behind another": ROW[:-2] + do("activate", 5, 2),
    "tRP: a row is opened too early behind a precharge": CLOSED[:-1] + do("activate", 5, 1),
    "tRC: a row is opened too early in this bank":
        UP + do("activate") + wait(4) + do("precharge") + wait(2) + do("activate", 1),
    "tRAS: a row is closed too early": ROW + wait(1) + do("precharge", ALL),
    "tRAS: a row closes itself too early":
        CLOSED + do("activate", 5, 1) + wait(2) + do("read", AUTO | 7, 1),
    "tRAS: a row was open for too long": WRITTEN + wait(300) + do("precharge", 0, 1),
    "tWR: a row is closed too early behind a write": WRITTEN[:-1] + wait(9) + do("write", 7, 1)
        + do("precharge", 0, 1),
    "a precharge cuts one that comes of its own accord":
        ROW + wait(5) + do("write", AUTO | 7, 1) + do("precharge", ALL),
    "a bank is open": ROW + do("refresh"),
    "tRP: a precharge is not over": CLOSED[:-1] + do("refresh"),
    "tRFC: a refresh is not over": UP + do("refresh") + wait(5) + do("activate"),
    "refreshes are missing": UP + wait(3 * INTERVAL),
    "a place is read that was not written": WRITTEN + do("read", 8, 1),
    "a place that is not simulated": UP + do("activate", 16) + wait(2) + do("write"),
    "no such column": ROW + do("read", 256, 1),
    "no such row": UP + do("activate", 1 << 11),
    "both drive the data": WRITTEN + do("read", 7, 1) + wait(1) + do("write", 8, 1),
    "no cycle of rest before the other drives the data":
        WRITTEN + do("read", 7, 1) + wait(2) + do("write", 8, 1),
    "nothing drives the data to write": ROW + [do("write", 7, 1)[0] & ~(1 << 31)],
    "data are masked: not modelled": ROW + do("write", 7, 1, dqm=1),
    "CKE falls: not modelled": UP + wait(1, cke=0),
    "a burst is ended: not modelled": ROW + do("end"),
}


@pytest.mark.parametrize("sentence", VIOLATIONS)
def test_violation(tmp_path, sentence):
    lines = drive(tmp_path, VIOLATIONS[sentence])
    complaint, = [line for line in lines if not line.startswith("read")]
    assert complaint.startswith("sdram: cycle ") and complaint.endswith(f": {sentence}")


def test_every_sentence_is_tested():
    sentences = {line.split('fail("')[1].split('"')[0]
                 for line in (SIM / "sdram.v").read_text().splitlines() if 'fail("' in line}
    assert sentences - {"CAS: the clock is too fast"} == set(VIOLATIONS)
