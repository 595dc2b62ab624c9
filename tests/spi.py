"""The lines of an SPI master, one level a clock cycle, and what it reads."""

import numpy as np

__all__ = ["Master"]


class Master:
    """A master in mode 0 whose times are in clock cycles and need not be whole.

    period  of SCK
    high    part of it for which SCK is high
    lead    from CS to the first edge of SCK
    phase   part of a cycle by which everything comes late

    After some calls of :meth:`transfer`, :meth:`levels` are the lines, and :meth:`read` takes the
    bytes from what MISO was.
    """

    def __init__(self, period, *, high=0.5, lead=4.0, phase=0.0):
        self.period, self.high, self.lead = period, high, lead
        self.now = 3.0 + phase
        self.edges = [(0.0, 1, 0, 0)]  # time, CS, SCK, MOSI
        self.reads = [[]]  # times of the bits of each byte

    def transfer(self, data, *, bits=None, gap=0.0):
        """Bytes while CS is low; only so many bits of the last one, with a gap after each."""
        self._at(0, 0)
        self.now += self.lead
        for index, byte in enumerate(data):
            count = bits if bits is not None and index == len(data) - 1 else 8
            times = []
            for place in range(count):
                level = byte >> (7 - place) & 1
                self.now += self.period * (1 - self.high) * (place > 0)
                self.edges[-1] = (*self.edges[-1][:3], level)
                times.append(self.now)
                self._at(1, level)
                self.now += self.period * self.high
                self._at(0, level)
            self.reads.append(times)
            self.now += self.period * (1 - self.high) + gap
        self.edges.append((self.now, 1, 0, 1))
        self.now += 4

    def _at(self, sck, mosi):
        self.edges.append((self.now, 0, sck, mosi))

    def levels(self):
        """(CS, SCK, MOSI) of each cycle."""
        times = [edge[0] for edge in self.edges]
        cycles = np.arange(int(np.ceil(self.now)) + 4)
        return [self.edges[k][1:] for k in np.searchsorted(times, cycles, side="right") - 1]

    def read(self, miso):
        """Bytes that came whole, from MISO behind each edge of the clock."""
        # an edge at a whole number of cycles comes before what the clock does there
        bits = [[miso[int(np.ceil(time)) - 1] for time in times] for times in self.reads]
        return [int("".join(map(str, byte)), 2) for byte in bits if len(byte) == 8]
