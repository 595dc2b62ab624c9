"""A network that a host talks to: what goes into an FPGA, but for its pins."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from qsnn.hw.core.rom import word_bytes
from qsnn.hw.link.frames import Outbox
from qsnn.hw.link.host import HostLink, inbox_depth, window
from qsnn.hw.link.protocol import Hello
from qsnn.hw.link.spi import Spi
from qsnn.hw.link.uart import Uart, divisor
from qsnn.hw.network import Network
from qsnn.hw.plan.line import score_bytes

__all__ = ["GREETING", "AcceleratorCore", "greeting_image"]

GREETING = "hello.hex"  #: memory image of the device's HELLO, beside those of the network


def greeting_image(hello):
    """(width, words) of the memory image :data:`GREETING`, whose first bytes are the HELLO."""
    return 8, Outbox.contents(hello.pack())


class AcceleratorCore(wiring.Component):
    """Network, host link, and UART or SPI.

    Parameters
    ----------
    description, foldings, files, loadable
        As for :class:`qsnn.hw.network.Network`.
    clock_hz, baud : int
        Frequency of the clock and speed of a serial line. Raises ``ValueError`` if the one cannot
        be made from the other.
    link : str
        ``uart``, or ``spi``, whose speed is the master's.

    Attributes
    ----------
    network : :class:`qsnn.hw.network.Network`
    hello : :class:`qsnn.hw.link.protocol.Hello`
        What the device says of itself.
    greeting : (width, words)
        The memory image :data:`GREETING`: that, packed, and zeros.
    transport : :class:`qsnn.hw.link.uart.Uart` or :class:`qsnn.hw.link.spi.Spi`

    Members
    -------
    rx, tx or cs, sck, mosi, miso
        The pins of the transport.
    busy : Out(1)
        Something is on its way in, at work, or on its way out: for an LED.
    """

    def __init__(self, description, foldings, *, clock_hz, baud=1_000_000, link="uart",
                 files="", loadable=False):
        loadable |= any(folding.spram for folding in foldings)  # a host loads all or nothing
        self.network = network = Network(description, foldings, files=files, loadable=loadable)
        memories = [memory[2:] for memory in network.memories]
        self.transport = Spi() if link == "spi" else Uart(divisor(clock_hz, baud))
        first = network.plan.stages[0]
        facts = dict(input_bits=first.bits, score_bytes=score_bytes(network.plan),
                     classes=description.outputs, pixels=first.simd, beats=first.beats,
                     n_in=description.n_in, memories=len(memories),
                     word_bytes=max((word_bytes(width) for width, _ in memories), default=0),
                     clock_khz=round(clock_hz / 1000),
                     hash=bytes.fromhex(description.hash)[:16])
        sizes = Hello(window=1, **facts)
        times = dict(latency=network.plan.latency, byte_cycles=self.transport.byte_cycles)
        depth = inbox_depth(sizes, **times)
        self.hello = Hello(window=window(sizes, depth, **times), **facts)
        self.greeting = greeting_image(self.hello)
        self.link = HostLink(self.hello, network.o.signature, depth=depth,
                             file=GREETING if files else None, sizes=memories)
        self.pins = {name: member for name, member in self.transport.signature.members.items()
                     if member.is_port}
        super().__init__({**self.pins, "busy": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.network = network = self.network
        m.submodules.link = link = self.link
        m.submodules.transport = transport = self.transport
        wiring.connect(m, transport.o, link.i)
        wiring.connect(m, link.o, transport.i)
        wiring.connect(m, link.image, network.i)
        wiring.connect(m, network.o, link.result)
        if network.memories:
            wiring.connect(m, link.load, network.load)
        m.d.comb += self.busy.eq(link.busy)
        for name, pin in self.pins.items():
            inner, outer = getattr(transport, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if pin.flow is In else outer.eq(inner)
        return m
