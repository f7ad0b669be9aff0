# SPDX-License-Identifier: GPL-2.0-only
"""
Seeds from what real drivers did: traces/*.trace, in the fuzzers' own codes.

usage: seeds_trace.py FUZZER DIRECTORY         makes the seeds of one fuzzer
       seeds_trace.py --trim DEVICE... <TRACE  makes a file of traces/ from one of `plinth run --trace`

A file has lines "DEVICE REGISTER ACCESS VALUE" (plinth(8) explains them), without times and processors; repetitions are
left out, and of strings all but the first bytes. "== NAME" begins a part, which is a seed of its own beside the whole.
A trace has registers only: tables, descriptors and frames are made up where the drivers had theirs, and requests to back
ends end where drivers waited for them.
"""
import collections
import pathlib
import re
import sys

TRACES = pathlib.Path(__file__).resolve().parent / "traces"
FILES = {"ide": ("ide",), "atapi": ("atapi",), "dec21140": ("nic",), "platform": ("firmware", "linux")}
LINE = re.compile(r"(\S+) (\w+) ([rw])(\d)(?:\*(\d+))? (\w+)$")
STRING_KEPT = 16  # bytes
SERIAL_KEPT = 200  # accesses to CSR9; of those that come later the first of a row
CHIP_KEPT = 80  # lines of each chip of the board


def number(value, size):
    """As the fuzzers take numbers: the highest byte first."""
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big")


class Access:
    """A line of a trace."""

    def __init__(self, line):
        found = LINE.match(line)
        self.device, self.register, self.write = found[1], int(found[2], 16), found[3] == "w"
        self.size, self.count = int(found[4]), int(found[5] or 1)
        data = bytes.fromhex(found[6]) if found[5] else None
        self.value = int.from_bytes(data[:self.size], "little") if data else int(found[6], 16)
        self.values = [int.from_bytes(data[at:at + self.size], "little")
                       for at in range(0, len(data), self.size)] if data else [self.value]
        self.size_code = self.size.bit_length() - 1


class Ide:
    """fuzz_ide and fuzz_atapi, whose steps have different numbers."""
    TABLE = 0x1000

    def __init__(self, name):
        steps = {"ide": (0, 3, 4, 6, 9), "atapi": (0, 1, 2, 4, 6)}[name]
        self.write, self.read, self.string, self.descriptor, self.complete = map(bytes, ([s] for s in steps))
        self.heads = [bytes([1 if name == "ide" else 0])]
        self.channel = 0 if name == "ide" else 1

    def port(self, access):
        """As port_number() has it; None for another device."""
        if access.device == "ide.bm":
            return 18 + access.register
        if access.device not in ("ide0", "ide1"):
            return None
        if access.register in (0x3F6, 0x376):
            return 16 if access.register == 0x3F6 else 17
        return access.register - (0x1F0 if access.register >= 0x1F0 else 0x170 - 8)

    def finish(self):
        """Whatever the drives wait for."""
        return b"".join(self.complete + bytes([0x40 | drive]) for drive in (2 * self.channel, 2 * self.channel + 1))

    def steps(self, access):
        port = self.port(access)
        if port is None:
            return b""
        data = access.register in (0x1F0, 0x170)
        if data and access.count > 8:
            how = access.size_code << 1 | (8 if access.write else 0) | (0 if access.register == 0x1F0 else 1)
            return self.string + bytes([how]) + number(access.count - 1, 2) + self.finish()
        if access.device == "ide.bm" and access.register % 8 == 4 and access.write:
            return self.descriptor + bytes([0, 0x80]) + number(0x20000, 3) + number(0, 2) + \
                self.write + bytes([port, 2]) + number(self.TABLE, 4)
        if not access.write:
            return (self.read + bytes([port, access.size_code])) * access.count
        out = b"".join(self.write + bytes([port, access.size_code]) + number(value, access.size)
                       for value in access.values)
        started = access.register in (0x1F7, 0x177) or access.device == "ide.bm" and access.value & 1 or data
        return out + (self.finish() if started else b"")


class Dec21140:
    """fuzz_dec21140: rings of eight where the fuzzer puts its own."""
    LIST = 0x100
    LAST, OWN_SHORT = 0x02000000, 3

    def __init__(self, _):
        # A cable with nobody, one that answers, and a driver that gives descriptors back while frames are sent.
        self.heads = [bytes([how, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]) for how in (0, 1, 3)]
        self.sent, self.setup, self.received = 0, True, False

    def descriptor(self, index, des1, buffer, how=0):
        return bytes([6, index, self.OWN_SHORT | how]) + number(des1, 4) + number(buffer, 2) + number(0, 2)

    def made_up(self, access):
        """What the driver had in memory, and what came over the cable."""
        csr, out = access.register // 8, b""
        if access.write and csr == 3:
            for n in range(8):
                out += self.descriptor(n, (self.LAST if n == 7 else 0) | 1536, 0x1000 + 0x600 * n)
        elif access.write and csr == 4:
            self.sent, self.setup = 0, True
        elif access.write and csr == 1:
            last = self.LAST if self.sent % 8 == 7 else 0
            out = self.descriptor(16 + self.sent % 8, last | (0x88000000 if self.setup else 0xE0000062), 0x800,
                                  16 if self.setup else 0)
            self.sent, self.setup = self.sent + 1, False
        elif not access.write and csr == 5:
            if access.value & 0x40 and not self.received:
                out = bytes([10, 3, 98, 0])
            self.received = bool(access.value & 0x40)
        return out

    def steps(self, access):
        if access.device not in ("nic0.io", "nic0.mem"):
            return b""
        csr, value = access.register // 8, access.value
        if csr in (3, 4):
            value = self.LIST + (0x100 if csr == 4 else 0)
        out = self.made_up(access) + bytes([1 if access.write else 0, access.size_code, access.register])
        out += number(value, access.size) if access.write else b""
        return out + (bytes([13 | 0xC0]) + number(1000000, 3) if access.write and csr == 1 else b"")


class Platform:
    """fuzz_platform: regions by pick_region()'s numbers, a little time after each access."""
    REGIONS = {"pic": ((0x20, 0), (0xA0, 1), (0x4D0, 2)), "ioapic": ((0, 3),), "pit": ((0x40, 4), (0x61, 5)),
               "rtc": ((0x70, 6),), "com1": ((0x3F8, 7),), "pm": ((0, 8),), "kbc": ((0x60, 9), (0x64, 10), (0x92, 11)),
               "pci": ((0xCF8, 12),), "dma": ((0, 13), (0x80, 15), (0xC0, 14)), "smbus": ((0, 16),),
               "fwcfg": ((0x510, 17),)}

    def __init__(self, _):
        self.heads = [bytes(29)]

    def steps(self, access):
        places = [place for place in self.REGIONS.get(access.device, ()) if place[0] <= access.register]
        if not places:
            return b""
        base, region = places[-1]
        string = min(access.count, 63) << 2 if access.count > 1 and not access.write else 0
        start = bytes([0 if access.write else 0x50, region, access.size_code | string, access.register - base])
        values = access.values if access.write else [0]
        out = b"".join(start + (number(value, access.size) if access.write else b"") for value in values)
        return out + bytes([0x80, 2]) + number(20000, 3)


KINDS = {"ide": Ide, "atapi": Ide, "dec21140": Dec21140, "platform": Platform}


def parts(path):
    """The named parts of a file, or those of each chip of the board; and the whole."""
    found, name = {"whole": []}, None
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("== "):
            name = line[3:]
        elif LINE.match(line):
            found["whole"].append(line)
            found.setdefault(name or line.split()[0], []).append(line)
        elif line and not line.startswith("#"):
            raise SystemExit(f"{path}: {line}")
    return found if len(found) > 2 else {"whole": found["whole"]}


def make(fuzzer, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for file in FILES[fuzzer]:
        for name, lines in parts(TRACES / f"{file}.trace").items():
            code = KINDS[fuzzer](fuzzer)
            data = b"".join(code.steps(Access(line)) for line in lines)
            for variant, head in enumerate(code.heads):
                (directory / f"trace-{file}-{name}-{variant}").write_bytes(head + data)


def kept_once(lines):
    """A part for each kind of an IDE command, "== CODE" or "== a0-PACKET'S"; what is before the first is "== reset"."""
    found, name, part = {}, "reset", []
    for line in lines:
        if re.match(r"ide[01] 1[7f]6 w1 ", line) and any(re.match(r"ide[01] 1[7f]7 w1 ", old) for old in part):
            found.setdefault(name, part)
            part = []
        if command := re.match(r"ide[01] 1[7f]7 w1 (\w+)", line):
            name = command[1]
        elif name == "a0" and (packet := re.match(r"ide1 170 w\S+ (..)", line)):
            name = f"a0-{packet[1]}"
        part.append(line)
    found.setdefault(name, part)
    return [line for name, part in found.items() for line in (f"== {name}", *part)]


def chosen(devices, lines):
    """The lines of the devices, without times; accesses to a data register in a row are one string."""
    data, start = b"", None
    for line in [*lines, ""]:
        found = LINE.search(line.rstrip().split(" ", 2)[-1])
        if line and (not found or found[1] not in devices and found[1].rstrip("0123456789") not in devices):
            continue
        begins = found and f"{found[1]} {found[2]} {found[3]}{found[4]}"
        single = found and not found[5] and re.match(r"ide. 1[7f]0 ", begins)
        if data and not (single and begins == start):
            yield f"{start}*{len(data) // int(start[-1])} {data[:STRING_KEPT].hex()}"
            data = b""
        if single:
            start = begins
            data += int(found[6], 16).to_bytes(int(found[4]), "little")
        elif found:
            yield f"{begins}*{found[5]} {found[6][:2 * STRING_KEPT]}" if found[5] else f"{begins} {found[6]}"


def trim(devices, lines):
    """Without repetitions (of up to three lines), most of CSR9, and what a chip has had enough of."""
    kept, serial, run, count = [], 0, 0, collections.Counter()
    for line in chosen(devices, lines):
        run = run + 1 if line.startswith("nic0.io 48 ") else 0
        serial += bool(run)
        if run > 6 and serial > SERIAL_KEPT or \
                any(kept[-n:] == kept[-2 * n:-n] and kept[-n] == line for n in (1, 2, 3) if len(kept) >= 2 * n):
            continue
        chip = line.split()[0]
        count[chip] += 1
        if chip not in Platform.REGIONS or count[chip] <= CHIP_KEPT:
            kept.append(line)
    return kept_once(kept) if any(device.startswith("ide") for device in devices) else kept


def main():
    if sys.argv[1] == "--trim":
        print("\n".join(trim(sys.argv[2:], sys.stdin)))
    else:
        make(sys.argv[1], pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
