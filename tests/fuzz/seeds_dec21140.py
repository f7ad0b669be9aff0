# SPDX-License-Identifier: GPL-2.0-only
"""Seeds for fuzz_dec21140: what drivers seldom or never do, in its codes.

usage: seeds_dec21140.py dec21140 DIRECTORY
"""
import pathlib
import struct
import sys

ROM = 0x3C00
# Frames: how they are made
NO_END, OWN_FCS, INTERRUPT, TWO_BUFFERS, NOT_MAPPED = 8, 16, 32, 64, 128
MODE = 0x00040242  # port, full duplex, promiscuous, receiver
TRANSMIT, INTERNAL, EXTERNAL = 0x2000, 0x400, 0x800


class Seed:
    """One input, with rings as after open; step by step."""

    def __init__(self, answers=False):
        self.data = bytes([16 | 32 | (1 if answers else 0), 0, 0, 0, 0, 2, 0, 0, 0, 0, 1])

    def add(self, op, *values):
        self.data += bytes([op, *values])
        return self

    def csr(self, number, value):
        return self.add(1, 2, 8 * number, *struct.pack(">I", value))

    def frame(self, how, *sizes, offset=0):
        self.add(9 | 0x80, how | len(sizes) - 1)
        for size in sizes:
            self.add(size >> 8, size & 255, offset)
        return self

    def mii_write(self, register, value):
        return self.add(14 | 0x20, 0x80 | register, *struct.pack(">H", value))

    def mii_read(self, register):
        return self.add(14 | 0x20, register)

    def receive(self, size):
        return self.add(10, 2, *struct.pack(">H", size), 0x55)

    def wait(self):
        return self.add(13 | 0xF0, 0xFF, 0xFF, 0xFF)


class Fast(Seed):
    """One with the other mode's driver there, two pairs of queues and all that is offered."""

    def __init__(self):
        super().__init__()
        self.data = bytes([64 | 128, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0xC0, 1 | 4 | 8])

    def put(self, at, data):
        for i in range(0, len(data), 8):
            self.add(9, *struct.pack(">H", at + i), *data[i:i + 8].ljust(8, b"\0")[::-1])
        return self

    def buffer(self, queue, index, at, size, flags=0, ring=True):
        """A descriptor; unless it is only part of a chain made available, with a doorbell."""
        how = 0x40 | index << 1 | queue & 1 | (0x90 if ring else 0)
        return self.add(15 | 0x20, how, *struct.pack(">HH", at, size), flags | queue >> 1 << 5, index + 1)

    def ip(self, size, version):
        return self.add(10, 2 | version, *struct.pack(">H", size), 0x11)

    def command(self, index, data):
        self.put(0x2000 + 16 * index, data)
        return self.buffer(4, index + 1, 0x2800, 1, 2, ring=False).buffer(4, index, 0x2000 + 16 * index, len(data), 1)


def seeds():
    yield "pieces", Seed().frame(INTERRUPT, 20, 0, 40, 1).wait().frame(TWO_BUFFERS | INTERRUPT, 40 | 60 << 11 & 0xFFFF)
    yield "own-fcs", Seed().frame(OWN_FCS, 60, 2, 3).wait().frame(OWN_FCS, 2, 1).wait().frame(OWN_FCS, 70)
    yield "jabber", (Seed().frame(INTERRUPT, 2047, 2047, 2047, 2047).wait().csr(15, 4).frame(0, 1500, 1500).wait()
                     .csr(6, MODE).csr(15, 1).csr(6, MODE | TRANSMIT).frame(0, 2047, 2047, 2047))
    yield "no-end", Seed().frame(NO_END, 60).wait().frame(NO_END, 60, 60).frame(0, 60).wait().csr(1, 0)
    yield "not-mapped", (Seed().frame(NOT_MAPPED, 2047, 2047, 2047, 2047, 2047, 2047).wait()
                         .frame(NOT_MAPPED, 200, 60, offset=0x70).csr(0, 0x80).frame(0, 2047, 2047, 2047, 2047))
    yield "list-in-rom", (Seed().csr(6, MODE).csr(4, ROM).csr(6, MODE | TRANSMIT).frame(INTERRUPT, 60)
                          .csr(6, 0x40000).csr(3, ROM + 0x100).csr(6, MODE).receive(60).csr(2, 0))
    yield "list-ends", (Seed().csr(6, MODE).csr(4, 0x3FF0).csr(6, MODE | TRANSMIT)
                        .add(7, 0, 3, *struct.pack(">IHH", 0x20000040, 0x800, 0)).csr(1, 0))
    yield "loop-internal", Seed().csr(6, MODE | INTERNAL | TRANSMIT).frame(0, 60).frame(OWN_FCS, 70, 70).wait()
    yield "loop-external", Seed(True).csr(6, MODE | EXTERNAL | TRANSMIT).frame(0, 60).frame(0, 700, 700).wait()
    yield "loop-phy", (Seed().mii_write(0, 0x6100).mii_read(0).mii_read(25).frame(0, 60).wait()
                       .mii_write(0, 0x9000).mii_read(1).mii_write(4, 0x41).mii_write(0, 0x1200).mii_read(6)
                       .mii_read(25).mii_write(0, 0x0800).frame(0, 60))
    yield "received", Seed().receive(13).receive(64).receive(1514).receive(1600).receive(4000).wait().csr(8, 0)
    header = struct.pack("<BBHHHH", 1, 1, 54, 100, 34, 16)
    yield "segments", Fast().put(0x2100, header).buffer(1, 0, 0x2100, 1000).buffer(1, 1, 0x2100, 70).wait()
    yield "merged", Fast().buffer(0, 0, 0x2000, 64, 2).buffer(0, 1, 0x2100, 64, 2).buffer(0, 2, 0x2200, 64, 2).receive(150)
    pairs = Fast()
    for pair in (0, 2):
        for index in range(4):
            pairs.buffer(pair, index, 0x2400 + 0x200 * index, 300, 2)
    yield "commands", (pairs.command(0, b"\4\0\2\0").receive(64).ip(80, 8).command(2, b"\5\0\2" + bytes(7)).ip(80, 24)
                       .command(4, b"\4\0\1\0").receive(64))
    starved = Seed()
    for _ in range(12):
        starved.receive(200).wait()
    yield "starved", starved.csr(2, 0)


def main():
    directory = pathlib.Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds():
        (directory / f"seed-{name}").write_bytes(seed.data)


if __name__ == "__main__":
    main()
