"""SPI that looks like a serial port: bytes, silence, and why it cannot be opened."""

import sys
from types import SimpleNamespace

import pytest

from qsnn.hw.link.driver import Accelerator, LinkError
from qsnn.hw.link.ports import POLL, TRANSFER, SpiPort, line_speed, open_port
from tests.test_driver import NETWORK, check, device, draw


class Bus:
    """A device behind SPI: while a byte goes in, the oldest that it has to say comes out.

    late  zeros before every answer
    """

    def __init__(self, device, late=0):
        self.device, self.late = device, late
        self.said, self.sizes, self.closed = b"", [], False

    def xfer2(self, raw):
        self.sizes.append(len(raw))
        came, self.said = self.said[:len(raw)], self.said[len(raw):]
        answer = self.device.feed(raw)
        self.said += bytes(self.late) * bool(answer) + answer
        return list(came.ljust(len(raw), b"\0"))

    def close(self):
        self.closed = True


class Says:
    """A device that says these bytes, whatever it is told."""

    def __init__(self, said):
        self.said = said

    def feed(self, raw):
        said, self.said = self.said, b""
        return said


@pytest.mark.parametrize("late", [0, 1, 500])
def test_images(late):
    bus = Bus(device(), late)
    with Accelerator(SpiPort(bus, 1_000_000), name="PORT", network=NETWORK, silence=5) as board:
        check(draw(300), *board.infer(draw(300)))
        assert board.resent == 0
    assert bus.closed


def test_a_device_that_says_nothing():
    """MISO low, or high, or not connected: an error, and soon."""
    for level in (b"\0", b"\xff"):
        bus = SimpleNamespace(xfer2=lambda raw, level=level: list(level * len(raw)))
        with pytest.raises(LinkError, match="^PORT: no answer after 4 tries"):
            Accelerator(SpiPort(bus, 1_000_000), name="PORT", silence=0.01)


def test_zeros():
    """Those between frames are left out, but for one: it is the delimiter."""
    port = SpiPort(Bus(Says(b"\0\0\1\2\0\0\0\3\0" + bytes(2 * POLL) + b"\4\5\0\0")), 1)
    port.timeout = 1
    assert port.in_waiting == 0
    port.write(b"?")
    read = [port.read(3), port.read(9), port.read(1)]
    assert read == [b"\1\2\0", b"\3\0", b"\4"]
    assert port.in_waiting == 2 and port.read(100) == b"\5\0"
    port.timeout = 0
    assert port.read(1) == b""


def test_time_is_up():
    """A read asks once all the same."""
    port = SpiPort(Bus(Says(b"\1\0")), 1)
    port.timeout = -1
    assert port.read(1) == b"" and port.read(1) == b"\1"


def test_long_writes():
    bus = Bus(Says(b""))
    SpiPort(bus, 1).write(bytes(2 * TRANSFER + 1))
    assert bus.sizes == [TRANSFER, TRANSFER, 1]


def test_line_speed():
    assert line_speed("/dev/ttyUSB0", 115_200) == (11_520, "115,200 baud")
    assert line_speed("spi:/dev/spidev0.0", 1_000_000) == (125_000, "SCK of 1,000,000 Hz")
    assert line_speed("spi:/dev/spidev0.0@4000000", 9) == (500_000, "SCK of 4,000,000 Hz")


class FakeSpi:
    """In the place of ``spidev.SpiDev``."""

    error, buses = None, []

    def __init__(self):
        self.closed = False
        self.buses.append(self)

    def open_path(self, path):
        if self.error:
            raise self.error
        self.path = path

    def close(self):
        self.closed = True


@pytest.fixture
def spidev(monkeypatch):
    kind = type("SpiDev", (FakeSpi,), {"buses": []})
    monkeypatch.setitem(sys.modules, "spidev", SimpleNamespace(SpiDev=kind))
    return kind


def test_open(spidev):
    for name, hz in (("spi:/dev/spidev1.2", 77), ("spi:/dev/spidev1.2@4000000", 4_000_000)):
        port = open_port(name, 77, patience=1)
        bus = spidev.buses[-1]
        assert (bus.path, bus.mode, bus.max_speed_hz) == ("/dev/spidev1.2", 0, hz)
        assert port.baudrate == hz and not bus.closed


@pytest.mark.parametrize("error, sentence", [
    (FileNotFoundError(2, "No such file"),
     "no such device: is SPI enabled (raspi-config on a Raspberry Pi)?"),
    (PermissionError(13, "Permission denied"),
     "no permission: add yourself to the group spi and log in again"),
    (OSError(25, "Inappropriate ioctl"),
     "not an SPI device that can be used (Inappropriate ioctl)")])
def test_refused(spidev, error, sentence):
    spidev.error = error
    with pytest.raises(LinkError) as caught:
        Accelerator.open("spi:/dev/spidev0.0")
    assert str(caught.value) == f"spi:/dev/spidev0.0: {sentence}"
    assert spidev.buses[-1].closed


@pytest.mark.parametrize("number", ["", "0", "fast", "1e6", "-5"])
def test_no_frequency(spidev, number):
    with pytest.raises(LinkError) as caught:
        Accelerator.open(f"spi:/dev/spidev0.0@{number}")
    assert str(caught.value) == (f"spi:/dev/spidev0.0@{number}: behind the @ is the frequency of "
                                 "SCK in Hz, a whole number")


def test_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "spidev", None)
    with pytest.raises(LinkError, match="^spi:/dev/spidev0.0: the package spidev is missing: "
                                        "pip install spidev$"):
        Accelerator.open("spi:/dev/spidev0.0")
