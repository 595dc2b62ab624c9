"""The model of a flash: what it takes, and that it misses no violation."""

import subprocess
from pathlib import Path

import pytest

from qsnn.sim.tools import need

SIM = Path(__file__).parent
SINGLE, QUAD, NONE = 0b1101, 0b1111, 0
OFF = [1 << 9 | SINGLE << 4 | 0xF]


def clock(lines, oe):
    row = oe << 4 | lines
    return [row, 1 << 8 | row]


def send(*values, oe=SINGLE, bits=8):
    """Bytes on one line, the others high."""
    return sum((clock(value >> bit & 1 | 0b1100, oe) for value in values
                for bit in reversed(range(8 - bits, 8))), [])


def nibbles(digits, oe=QUAD):
    return sum((clock(int(digit, 16), oe) for digit in digits), [])


def idle(count, oe=NONE):
    """Clocks for what the chip says."""
    return sum((clock(0b1100 & oe, oe) for _ in range(count)), [])


def command(*values, off=3, **options):
    return send(*values, **options) + off * OFF


def drive(folder, rows, **parameters):
    """Lines that the model prints."""
    need("iverilog")
    rows = 2 * OFF + rows + 2 * OFF
    (folder / "rows.hex").write_text("\n".join(f"{row:03x}" for row in rows))
    options = [f"-Pflash_pins.{name}={value}" for name, value in
               {"ROWS": len(rows), **parameters}.items()]
    subprocess.run(["iverilog", "-g2012", "-Wall", *options, "-o", "pins", SIM / "flash_pins.v",
                    SIM / "flash.v"], cwd=folder, check=True)
    done = subprocess.run(["./pins"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


ENABLE = command(0x50) + command(0x31, 2)
READ = ENABLE + send(0xEB) + nibbles("0000fdA0") + idle(4)
AGAIN = READ + idle(2) + 2 * OFF


def data(lines):
    """Bytes that were read on four lines."""
    digits = "".join(line.split()[2] for line in lines if line.startswith("read 1111"))
    return bytes.fromhex(digits[:len(digits) // 2 * 2])


def test_read(tmp_path):
    """Bytes from an address on, behind the last one the first; again without a command."""
    lines = drive(tmp_path, READ + idle(10) + 2 * OFF + nibbles("00001200") + idle(4) + idle(4)
                  + 2 * OFF + send(0xEB) + nibbles("00004400") + idle(4) + idle(2))
    assert data(lines) == bytes([0xFD, 0xFE, 0xFF, 0, 1, 0x12, 0x13, 0x44]) and lines[-1] == "good"


def test_status(tmp_path):
    """QE goes with power or a reset; a value of its own comes back then."""
    ask = send(0x35) + idle(8, SINGLE) + 3 * OFF
    reset = command(0x66) + command(0x99, off=21)
    for initial in (0, 1):
        rows = ask + command(0x50) + command(0x31, 2 * (1 - initial)) + ask + reset + ask
        lines = drive(tmp_path, rows, QE=initial)
        bits = "".join(line.split()[2] for line in lines[:-1])
        values = [int(bits[at:at + 8].replace("2", "1"), 2) for at in (0, 8, 16)]
        assert values == [2 * initial, 2 * (1 - initial), 2 * initial] and lines[-1] == "good"


def test_both_status_registers(tmp_path):
    rows = command(0x50) + command(0x01, 0, 2) + send(0xEB) + nibbles("00001200") + idle(6)
    assert data(drive(tmp_path, rows, STATUS=1)) == b"\x12"


def test_any_state(tmp_path):
    """Ones on all lines end a continuous read, and mean nothing else; power-down ends in time."""
    wake = nibbles(8 * "f") + 3 * OFF + command(0xAB, off=10)
    wake += command(0x66) + command(0x99, off=21)
    for state in ({}, {"DOWN": 1}, {"READING": 1}):
        assert drive(tmp_path, wake + ENABLE, **state) == ["good"]


VIOLATIONS = {
    "both drive a line": (READ + idle(3) + idle(2, QUAD), {}),
    "HOLD is low": (send(0x35, oe=QUAD)[:4] + nibbles("1"), {}),
    "the chip is not ready for a command": (command(0xAB, off=9) + send(0x66), {"DOWN": 1}),
    "the chip was not deselected for long enough": (command(0x50, off=2) + command(0x31, 2), {}),
    "selected while the clock is high": ([1 << 9 | 1 << 8] + [1 << 8] + send(0xAB), {}),
    "a command was cut short": (send(0xAB, bits=7), {}),
    "an address was cut short": (READ + OFF + OFF + nibbles("00001"), {}),
    "the clock is too fast": (send(0xAB), {"TSCK": 40001}),
    "nothing drives the command": (send(0xAB, oe=0b1100), {}),
    "nothing drives the address": (ENABLE + send(0xEB) + nibbles("0000", oe=SINGLE), {}),
    "nothing drives the value": (command(0x50) + send(0x31) + send(2, oe=0b1100), {}),
    "clocks behind a command": (send(0xAB) + idle(1, SINGLE), {}),
    "a byte that is not simulated": (READ + idle(2), {"SIMULATED": 128}),
    "a command in power-down": (send(0x66), {"DOWN": 1}),
    "a reset that was not enabled": (command(0x66) + command(0xAB) + command(0x99), {}),
    "a read on four lines without QE": (command(0x50) + command(0x31, 0) + send(0xEB), {}),
    "a write to the status that was not enabled": (send(0x31), {}),
    "a command that is not modelled": (send(0x03), {}),
}


@pytest.mark.parametrize("sentence", VIOLATIONS)
def test_violation(tmp_path, sentence):
    rows, parameters = VIOLATIONS[sentence]
    complaint, = [line for line in drive(tmp_path, rows, **parameters) if "read " not in line[:5]]
    assert complaint.startswith("flash: cycle ") and complaint.endswith(f": {sentence}")


def test_a_released_mode_is_no_continuous_read(tmp_path):
    """Without the mode bits, the next read needs its command."""
    rows = ENABLE + send(0xEB) + nibbles("00001200") + idle(6) + 2 * OFF
    lines = drive(tmp_path, rows + nibbles("000034A0") + idle(6))
    assert lines[-1].endswith(": a command that is not modelled")


def test_every_sentence_is_tested():
    sentences = {line.split('fail("')[1].split('"')[0]
                 for line in (SIM / "flash.v").read_text().splitlines() if 'fail("' in line}
    assert sentences == set(VIOLATIONS)
