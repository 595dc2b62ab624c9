"""Memories beside the chip: the words of an image, one after the other, again and again.

It imports nothing of the other rooms. All sources have the same interface: ``length``, ``go`` and
a stream of 32-bit words, see :class:`qsnn.hw.memory.sdram.SdramController`. Models of the chips,
which check how they are used, stand in ``sim/``.

chips        what data sheets say of them
check        the CRC of an image, before anybody sees a word of it
flash        a reader of serial flash over four lines
crossing     a memory with a clock of its own
sdram        a controller for SDR SDRAM that reads rows to their end
"""
