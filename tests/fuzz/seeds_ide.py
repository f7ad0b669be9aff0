# SPDX-License-Identifier: GPL-2.0-only
"""Seeds for fuzz_ide and fuzz_atapi: what drivers do to the controller, in ide_fuzz.h's code.

usage: seeds_ide.py ide|atapi DIRECTORY
"""
import itertools
import pathlib
import struct
import sys

# Steps, by fuzzer
STEPS = {
    "ide": {"write": 0, "read": 3, "string": 4, "descriptor": 6, "start": 8, "complete": 9,
            "rare": 12, "command": 13},
    "atapi": {"write": 0, "read": 1, "string": 2, "descriptor": 4, "start": 5, "complete": 6,
              "rare": 8, "command": 9, "packet": 10},
}
PORTS = {0x1F0 + n: n for n in range(8)} | {0x170 + n: 8 + n for n in range(8)} | \
        {0x3F6: 16, 0x376: 17} | {0xC000 + n: 18 + n for n in range(16)}
# Packets, by number in fuzz_atapi.c's list
CODES = [0x00, 0x03, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x42, 0x43, 0x46, 0x4A, 0x51,
         0x52, 0x55, 0x5A, 0xA8, 0xAD, 0xBB, 0xBD, 0xBE]


class Seed:
    """One input, written step by step."""

    def __init__(self, fuzzer, which=0):
        self.step = STEPS[fuzzer]
        self.drive = 0 if fuzzer == "ide" else 2
        self.data = bytes([which])

    def add(self, step, *values):
        self.data += bytes([self.step[step], *values])
        return self

    def out(self, port, value):
        return self.add("write", PORTS[port], 0, value)

    def read(self, *ports):
        for port in ports:
            self.add("read", PORTS[port], 0)
        return self

    def string(self, write, words, channel=0):
        return self.add("string", channel | 2 | (8 if write else 0), *struct.pack(">H", words - 1))

    def words(self, *values):
        """Data of a CD-ROM drive's, word by word: a string would have the same byte all along."""
        for value in values:
            self.add("write", PORTS[0x170], 1, *struct.pack(">H", value))
        return self

    def descriptor(self, n, addr, count, last):
        return self.add("descriptor", n, 0x80 if last else 0, *struct.pack(">I", addr)[1:],
                        *struct.pack(">H", count & 0xFFFF))

    def start(self, to_memory, channel=0):
        return self.add("start", (1 if to_memory else 0) | channel << 3)

    def complete(self, error=0):
        return self.add("complete", self.drive | error << 2)

    def command(self, code, lba, count, ext=False, feature=0):
        how = (8 | 16 | 0x20) if ext else 0x20
        data = [how, code]
        if ext:
            data += [count >> 8, lba >> 24 & 255, lba >> 32 & 255, lba >> 40 & 255]
        return self.add("command", *data, feature, count & 255, lba & 255, lba >> 8 & 255,
                        lba >> 16 & 255)

    def packet(self, code, *args, dma=False, limit=0x0800):
        cdb = [CODES.index(code), *args] + [0] * (11 - len(args))
        return self.add("packet", (1 if dma else 0) | 2 | 0x10, limit & 255, limit >> 8, *cdb)


def ide_seeds():
    yield "probe", (Seed("ide", 3).out(0x3F6, 8).out(0x3F6, 12).out(0x3F6, 8).out(0x1F6, 0xA0)
                    .out(0x1F2, 0x55).out(0x1F3, 0xAA).read(0x1F2, 0x1F3, 0x1F1, 0x1F4, 0x1F5)
                    .command(0xEC, 0, 0).read(0x1F7).string(False, 256).read(0x1F7)
                    .command(0xEF, 0, 0x42, feature=3).command(0x91, 0, 63))
    for name, code, ext, words in (("read", 0x20, False, 256), ("read-multiple", 0xC4, False, 2048),
                                   ("read-ext", 0x24, True, 256)):
        yield name, (Seed("ide").command(code, 5, 8, ext).complete().read(0x1F7)
                     .string(False, words).read(0x1F7).string(False, words).read(0x1F7))
    for name, code, ext in (("write", 0x30, False), ("write-multiple", 0xC5, False),
                            ("write-fua", 0xCE, True)):
        yield name, (Seed("ide").command(code, 5, 8, ext).read(0x1F7).string(True, 2048)
                     .complete().complete().read(0x1F7).command(0xE7, 0, 0).complete())
    for name, code, ext, to_memory in (("dma-read", 0xC8, False, True),
                                       ("dma-write", 0xCA, False, False),
                                       ("dma-read-ext", 0x25, True, True),
                                       ("dma-write-fua", 0x3D, True, False)):
        seed = (Seed("ide").descriptor(0, 0x20000, 0x0C00, False)
                .descriptor(1, 0x30002, 0x0400, True).command(code, 9, 8, ext)
                .start(to_memory).complete().complete().read(0xC002, 0x1F7, 0xC000))
        yield name, seed
        yield name + "-error", (Seed("ide").descriptor(0, 0x87F00, 0x1000, True)
                                .command(code, 9, 8, ext).start(to_memory).complete(4)
                                .complete().complete().complete(5).read(0x1F1))
    yield "reset", (Seed("ide", 1).command(0x20, 5, 8).out(0x3F6, 4).out(0x3F6, 0).complete()
                    .read(0x1F7).out(0x1F6, 0xB0).out(0x1F7, 0x90).read(0x1F7))
    yield "misc", (Seed("ide").command(0xB0, 0xC24F00, 0, feature=0xD0).string(False, 256)
                   .command(0xF8, 0, 0).command(0xF9, 50, 0).command(0xE8, 0, 0).string(True, 256)
                   .command(0xE4, 0, 0).string(False, 256).command(0xE3, 0, 12)
                   .command(0xE5, 0, 0).command(0xE6, 0, 0).complete().command(0x40, 0, 100))


def fast_seeds():
    """The high-performance mode, in each of its ways; ide_bimodal_fuzz.h's code."""
    switch, start, doorbell, request = 0x82, 0x83, 0x85, 0x86
    for ways in range(64):
        seed = Seed("ide", 4)
        seed.data += bytes([0xC0 | ways, switch])
        if ways % 4 == 2:
            seed.command(0x20, 5, 8)
        seed.data += bytes([start, 4 | 8 | ways & 1])
        for number, kind in enumerate((1, 0, 2, 3)):
            seed.data += bytes([request, kind, 3 * number, 7])
        seed.data += bytes([doorbell, 1])
        seed.complete().complete()
        seed.data += bytes([request, 0x80 | 4, 2, 8, 2, 0, 1, request, 0x80 | 5, 3, 9, 1, 1, 1])
        (seed.complete() if ways & 8 else seed.out(0x3F6, 4).out(0x3F6, 0)).complete()
        seed.data += bytes([0x81, 1, 0, 0, 0, 0])
        yield f"fast-{ways}", seed.complete().complete().command(0xEC, 0, 0).string(False, 256)


def atapi_seeds():
    yield "probe", (Seed("atapi", 1).command(0xA1, 0, 0).out(0x177, 0xA1).read(0x177)
                    .string(False, 256, 1).packet(0x00).read(0x177).packet(0x03, 0, 0, 0, 18)
                    .read(0x177).string(False, 9, 1).packet(0x12, 0, 0, 0, 36)
                    .string(False, 18, 1).packet(0x25).string(False, 4, 1)
                    .packet(0x43, 2, 0, 0, 0, 0, 0, 3, 0x24).string(False, 10, 1)
                    .packet(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8).string(False, 4, 1)
                    .packet(0x46, 0, 0, 0, 0, 0, 0, 1, 0).string(False, 64, 1)
                    .packet(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 128).string(False, 16, 1))
    ready = Seed("atapi").packet(0x00).data
    for name, code, args in (("read-10", 0x28, (0, 0, 0, 0, 7, 0, 0, 4)),
                             ("read-12", 0xA8, (0, 0, 0, 0, 7, 0, 0, 0, 40)),
                             ("read-cd", 0xBE, (0, 0, 0, 0, 7, 0, 0, 20, 0xF8))):
        seed = Seed("atapi")
        seed.data = ready
        yield name, (seed.packet(code, *args, limit=0x8000).complete().read(0x177)
                     .string(False, 0x4000, 1).complete().read(0x177).string(False, 0x4000, 1))
        seed = Seed("atapi")
        seed.data = ready
        yield name + "-dma", (seed.descriptor(0, 0x20000, 0, False).descriptor(1, 0x30000, 0, True)
                              .packet(code, *args, dma=True).start(True, 1).complete().complete()
                              .read(0xC00A, 0x177))
    recovery, other = (0x0601, 0x0520, 0, 0), (0x122A, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    for name, pages in (("mode", recovery), ("mode-two", recovery + other), ("mode-unknown", (0x060F, 0, 0, 0))):
        seed = Seed("atapi")
        seed.data = ready
        data = (0, 0, 0, 0, *pages)
        yield name, (seed.packet(0x55, 0x10, 0, 0, 0, 0, 0, 0, 2 * len(data)).words(*data).read(0x177)
                     .packet(0x5A, 0, 0x01, 0, 0, 0, 0, 0, 16).string(False, 8, 1))
    seed = Seed("atapi")
    seed.data = ready
    yield "tray", (seed.packet(0x1E, 0, 0, 0, 1).packet(0x1B, 0, 0, 0, 2).packet(0x1E)
                   .packet(0x1B, 0, 0, 0, 2).packet(0x00).packet(0x1B, 0, 0, 0, 3).packet(0x00)
                   .packet(0x55, 0x10, 0, 0, 0, 0, 0, 0, 16).string(True, 8, 1)
                   .add("rare", 2 | 2 << 3).packet(0xBB, 0, 1, 0x60))


def main():
    fuzzer, where = sys.argv[1:]
    directory = pathlib.Path(where)
    directory.mkdir(parents=True, exist_ok=True)
    for name, seed in itertools.chain(ide_seeds(), fast_seeds()) if fuzzer == "ide" else atapi_seeds():
        (directory / f"seed-{name}").write_bytes(seed.data)


if __name__ == "__main__":
    main()
