"""Where a host finds an accelerator: a serial port, or SPI that looks like one.

``/dev/ttyUSB1`` is a serial port. ``spi:/dev/spidev0.0`` is SPI on Linux, and
``spi:/dev/spidev0.0@4000000`` with SCK at so many Hz: a sixth of the core's clock at most, see
:mod:`qsnn.hw.link.spi`.
"""

import errno
import re
import time

import serial
from serial.tools import list_ports

__all__ = ["SPI", "LinkError", "SpiPort", "line_speed", "open_port"]

SPI = "spi:"
TRANSFER = 4096  # bytes that Linux takes at once, unless it was told otherwise
POLL = 64  # bytes: a result of ten classes, and more


class LinkError(Exception):
    """The accelerator cannot be reached, or is not what it should be; one sentence says why."""


def open_port(port, rate, *, patience):
    """An open port, with ``read``, ``write`` and what else
    :class:`qsnn.hw.link.driver.Accelerator` needs.

    rate      baud; or Hz of SCK, where the port's name does not say it
    patience  seconds in which a serial port must take what is written

    Raises :class:`LinkError`.
    """
    try:
        if port.startswith(SPI):
            return _open_spi(port, rate)
        return serial.Serial(port, rate, write_timeout=patience, exclusive=True)
    except (OSError, OverflowError, ValueError) as error:  # SerialException is an OSError
        raise LinkError(_refusal(port, error)) from None


def line_speed(port, baud):
    """(bytes a second, what to call it) of a port of that name."""
    if port.startswith(SPI):
        _, hz = _split(port, baud)
        return hz / 8, f"SCK of {hz:,} Hz"
    return baud / 10, f"{baud:,} baud"


class SpiPort:
    """SPI as a serial port: what the device says while it is clocked waits here to be read.

    bus       with ``close`` and ``xfer2``, which sends bytes and returns as many, as those of
              ``spidev.SpiDev``
    baudrate  Hz of SCK
    timeout   seconds that :meth:`read` asks for before it gives up
    """

    def __init__(self, bus, baudrate):
        self._bus = bus
        self.baudrate = baudrate
        self.timeout = 0
        self._bytes = b""
        self._last = b"\0"

    @property
    def in_waiting(self):
        return len(self._bytes)

    def write(self, raw):
        for start in range(0, len(raw), TRANSFER):
            self._transfer(raw[start:start + TRANSFER])

    def read(self, size):
        """At most so many bytes, as soon as there are any; none after the timeout."""
        end = time.monotonic() + self.timeout
        while not self._bytes:
            self._transfer(bytes(POLL))
            if time.monotonic() > end:
                break
        raw, self._bytes = self._bytes[:size], self._bytes[size:]
        return raw

    def close(self):
        self._bus.close()

    def _transfer(self, raw):
        came = bytes(self._bus.xfer2(raw))
        # a zero behind a zero is the pause between frames
        self._bytes += re.sub(rb"\0+", b"\0", self._last + came)[1:]
        self._last = came[-1:]


def _split(port, hz):
    """(path, Hz) of the name of an SPI port."""
    path, at, number = port.removeprefix(SPI).partition("@")
    if at and not (number.isdecimal() and int(number)):
        raise LinkError(f"{port}: behind the @ is the frequency of SCK in Hz, a whole number")
    return path, int(number) if at else hz


def _open_spi(port, hz):
    path, hz = _split(port, hz)
    try:
        from spidev import SpiDev  # optional, and there is none but for Linux
    except ImportError:
        raise LinkError(f"{port}: the package spidev is missing: pip install spidev") from None
    bus = SpiDev()
    try:
        bus.open_path(path)
        bus.mode, bus.max_speed_hz = 0, hz
    except BaseException:
        bus.close()
        raise
    return SpiPort(bus, hz)


def _refusal(port, error):
    """Why a port cannot be opened."""
    number = error.errno if isinstance(error, OSError) else None
    spi = port.startswith(SPI)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        if spi:
            return f"{port}: no such device: is SPI enabled (raspi-config on a Raspberry Pi)?"
        there = ", ".join(sorted(entry.device for entry in list_ports.comports()))
        return f"{port}: no such port; there is {there or 'none at all: is the board plugged in?'}"
    if number in (errno.EACCES, errno.EPERM):
        group = "spi" if spi else "dialout"
        return f"{port}: no permission: add yourself to the group {group} and log in again"
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"{port}: another program has this port open"
    return (f"{port}: not {'an SPI device' if spi else 'a serial port'} that can be used "
            f"({words(error)})")


def words(error):
    """What a failure says, without its number."""
    return getattr(error, "strerror", None) or str(error)
