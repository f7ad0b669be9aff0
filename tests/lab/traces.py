# SPDX-License-Identifier: GPL-2.0-only
"""
Register traces, QEMU's and the worker's (--trace), in one form, and what of them does not depend on time: lines such as
"read bm2 04". Polling is one line, addresses of memory are left out, serial lines are decoded.
"""

import dataclasses
import re

# First port of the command block, and the control port
PORTS = ((0x1F0, 0x3F6), (0x170, 0x376))
BSY, DSC, DRQ = 0x80, 0x10, 0x08


@dataclasses.dataclass
class Access:
    """One access. `place` is "port", "bm" (bus master) or "csr"; `register` is its number there."""
    write: bool
    place: str
    register: int
    value: int
    size: int = 1


QEMU_PIO = re.compile(
    r"ide_(?:ioport_\w+|status_read|ctrl_write|data_\w+) IDE PIO (rd|wr) @ 0x(\w+) \((.*?)\); val 0x(\w+)")
QEMU_BM = re.compile(r"bmdma_(?:read|write) bmdma: (read|write)b 0x(\w+) : 0x(\w+)")
QEMU_TABLE = re.compile(r"bmdma_addr_write data: 0x(\w+)")
QEMU_CSR = re.compile(r"tulip_reg_(read|write) addr 0x(\w+) \(\w+\) size 4 val(?:ue)? 0x(\w+)")
QEMU_SIZES = {"Data: Word": 2, "Data: Long": 4}
OURS = re.compile(r"[\d.]+ \S+ (ide[01]|ide\.bm|nic0\.(?:io|mem)) (\w+) ([rw])(\d)(?:\*\d+)? (\w+)$")


def of_qemu(lines):
    """
    The accesses in a trace of QEMU's. Its bus master events do not name the channel: they are taken for that of the
    channel that was used last, which is right while only one is used.
    """
    channel = 0
    for line in lines:
        if found := QEMU_PIO.match(line):
            port = int(found[2], 16)
            channel = 0 if port & 0x80 else 1
            yield Access(found[1] == "wr", "port", port, int(found[4], 16), QEMU_SIZES.get(found[3], 1))
        elif found := QEMU_BM.match(line):
            yield Access(found[1] == "write", "bm", 8 * channel + int(found[2], 16), int(found[3], 16))
        elif found := QEMU_TABLE.match(line):
            yield Access(True, "bm", 8 * channel + 4, int(found[1], 16), 4)
        elif found := QEMU_CSR.match(line):
            yield Access(found[1] == "write", "csr", int(found[2], 16) // 8, int(found[3], 16), 4)


def of_ours(lines):
    """The accesses in a trace of the worker's."""
    for line in lines:
        found = OURS.match(line)
        if not found:
            continue
        register, size, data = int(found[2], 16), int(found[4]), found[5]
        place = "port" if found[1] in ("ide0", "ide1") else "bm" if found[1] == "ide.bm" else "csr"
        if place == "csr":
            register //= 8
        if "*" in line:
            data = bytes.fromhex(data)
            for at in range(0, len(data), size):
                yield Access(found[3] == "w", place, register, int.from_bytes(data[at:at + size], "little"), size)
        else:
            yield Access(found[3] == "w", place, register, int(data, 16), size)


def verb(access):
    """How a line about it begins."""
    return "write" if access.write else "read"


def _collapsed(lines):
    """Polling is one line."""
    return [line for at, line in enumerate(lines) if not at or line != lines[at - 1]]


# ---------------------------------------------------------------- IDE


class _Channel:
    """Makes lines of a channel's accesses."""

    def __init__(self, number):
        self.number = number
        self.command, self.control = PORTS[number]
        self.lines = []
        self.code = None  # of the command
        self.packet = False  # it has had its packet
        self.data = []  # accesses to the data register that are no line yet

    def line(self, text):
        if not self.lines or self.lines[-1] != text:
            self.lines.append(text)

    def end_data(self):
        if not self.data:
            return
        data = b"".join(a.value.to_bytes(a.size, "little") for a in self.data)
        if self.data[0].write and self.code == 0xA0 and not self.packet:
            self.packet = True
            self.line(f"packet {data.hex()}")
        else:
            self.line(f"{verb(self.data[0])} {len(data)} bytes")
        self.data = []

    def bus_master(self, access):
        self.end_data()
        register = access.register % 8
        self.line(f"{verb(access)} table" if register >= 4 else f"{verb(access)} bm{register} {access.value:02x}")

    def status(self, access):
        # When it has become ready is a matter of time, and so is how often there is a look between two blocks.
        if access.value & BSY or self.data and access.value & DRQ:
            return
        self.end_data()
        self.line(f"status {access.value & ~DSC:02x}")  # DSC is the command's own affair (ATA/ATAPI-6, 7.15.6.4)

    def register(self, access):
        number = access.register - self.command
        if not number:
            if self.data and self.data[0].write != access.write:
                self.end_data()
            self.data.append(access)
            return
        if not access.write and (number == 7 or access.register == self.control):
            self.status(access)
            return
        self.end_data()
        if number == 7:
            self.code, self.packet = access.value, False
        name = "control" if access.register == self.control else f"reg{number}"
        self.line(f"{verb(access)} {name} {access.value:02x}")

    def take(self, access):
        if access.place == "bm" and access.register // 8 == self.number:
            self.bus_master(access)
        elif access.place == "port" and (access.register & ~7 == self.command or access.register == self.control):
            self.register(access)


def channel(accesses, number):
    """What a driver and an IDE channel say to each other."""
    made = _Channel(number)
    for access in accesses:
        made.take(access)
    made.end_data()
    return made.lines


def _command(lines):
    """
    One line of one command: its code, the registers that were written for it (with a slash before the second value of
    one that is written twice, for 48 bits), and behind "=>" what was read and written from then on.
    """
    at = next(i for i, line in enumerate(lines) if line.startswith("write reg7"))
    written = {}
    for number, value in re.findall(r"write reg([1-6]) (\w+)", "\n".join(lines[:at])):
        written.setdefault(number, []).append(value)
    words = [lines[at].split()[-1]]
    words += [f"{number}={'/'.join(values)}" for number, values in sorted(written.items())]
    words += [line for line in lines[:at] if re.search(r"bm|table", line)]
    return " ".join(words + ["=>"] + lines[at + 1:])


def commands(lines, last=False):
    """
    The commands of a channel's lines, but for the `last`, of which the lines may have only a part. What is done to a
    channel without one is not among them.
    """
    start, code = 0, False
    for at, line in enumerate(lines):
        # A driver gives the next command the device register first.
        if code and line.startswith("write reg6"):
            yield _command(lines[start:at])
            start, code = at, False
        code |= line.startswith("write reg7")
    if code and last:
        yield _command(lines[start:])


# ---------------------------------------------------------------- 21140A and 21143

EVENTS = {0: "TI", 1: "TPS", 2: "TU", 3: "TJT", 5: "UNF", 6: "RI", 7: "RU", 8: "RPS", 9: "RWT", 11: "GTE", 13: "FBE"}
CSR5_AIS, CSR5_NIS = 0x8000, 0x10000
CSR5_NORMAL, CSR5_ABNORMAL = 0x4045, 0xABBA
DRIVER_EVENTS = 0x1EBEF  # what tulip enables of a 21140; of a 21143 it enables more
CSR6_KNOWN = 0x01FFFDFF  # without those that are always one, or the 21143's, and FD
CSR6_RUN = 0x2002


def serial(accesses):
    """
    What goes over CSR9: a line for each word that is read from the serial ROM, each read and write of a PHY's register.
    The driver's bit-banging, looked at from the pins.
    """
    rom, sent, got, sample, last = None, "", "", "-", 0
    for a in (a for a in accesses if a.place == "csr" and a.register == 9):
        if not a.write:
            if last & 0x800 and rom is not None and last & 2:
                rom[-1][1] = "01"[a.value >> 3 & 1]
            sample = "01"[a.value >> 19 & 1]
            continue
        if last & 0x800 and last & 1 and not a.value & 1 and rom:
            yield from _rom_word(rom)
            rom = None
        if a.value & 0x800 and a.value & 1:
            rom = rom if rom is not None else []
            if a.value & 2 and not last & 2:
                rom.append(["01"[a.value >> 2 & 1], "-"])
        elif a.value & 0x40000:
            got += sample if a.value & 0x10000 and not last & 0x10000 else ""
        elif not a.value & 0x800 and a.value & 0x10000 and not last & 0x10000:
            if got:
                yield from _mii_read(sent, got)
                sent = got = ""
            sent += "01"[a.value >> 17 & 1]
            if found := re.search(r"1{32}01(01)(.{5})(.{5})10(.{16})$", sent):
                yield f"mii write {int(found[2], 2)}.{int(found[3], 2)} {int(found[4], 2):04x}"
                sent = ""
        last = a.value
    if got:
        yield from _mii_read(sent, got)


def _rom_word(bits):
    """From the rising edges of a selected serial ROM: opcode 110, six bits of address, sixteen of data."""
    said = "".join(bit for bit, _ in bits)
    found = re.match(r"0*110(.{6})", said)
    if found and len(bits) >= found.end() + 16:
        yield f"rom {int(found[1], 2):02x} {int(''.join(bit for _, bit in bits[found.end():found.end() + 16]), 2):04x}"


def _mii_read(sent, got):
    """Behind the command: turnaround and sixteen bits."""
    found = re.search(r"1{32}0110(.{5})(.{5})$", sent)
    if found and len(got) >= 18:
        yield f"mii read {int(found[1], 2)}.{int(found[2], 2)} {int(got[2:18], 2):04x}"


def csr_sequence(accesses):
    """
    The accesses by which the driver runs the part, in their order. CSR5, CSR7, CSR8 and CSR11 are touched when
    interrupts come; CSR9 is serial(). That the driver stops a 21143 for a moment to set FD, seconds after the adapter
    is up, is left out.
    """
    lines = []
    for a in accesses:
        if a.place != "csr" or a.register in (5, 8, 9, 11) or a.register == 7 and a.value:
            continue
        value = f"{a.value:x}"
        if a.register in (3, 4):
            value = "list"
        elif a.register == 6:
            value = f"{a.value & CSR6_KNOWN:x}"
        lines.append(f"{verb(a)} csr{a.register} {value}")
        if a.register == 6 and not a.write:
            stopped = f"{a.value & CSR6_KNOWN & ~CSR6_RUN:x}"
            if lines[-4:-1] == [lines[-1], f"write csr6 {stopped}", f"write csr6 {value}"]:
                del lines[-4:]
    return _collapsed(lines)


def _event_names(value):
    return [name for bit, name in EVENTS.items() if value >> bit & 1]


class _Events:
    """Makes facts of CSR5 and CSR7."""

    def __init__(self):
        self.facts = set()
        self.enabled = 0
        self.cleared = 0  # written to CSR5 since it was last read
        self.cause = None  # what was written before, to another register than those of interrupts

    def read_status(self, value):
        events = value & DRIVER_EVENTS
        self.facts.add(f"transmitter {value >> 20 & 7} receiver {value >> 17 & 7}")
        # Frames come when they like.
        for name in _event_names(events):
            self.facts.add(f"event {name}" + (f" after {self.cause}" if self.cause and name != "RI" else ""))
        for bit, mask, name in ((CSR5_NIS, CSR5_NORMAL, "NIS"), (CSR5_AIS, CSR5_ABNORMAL, "AIS")):
            if bool(value & bit) != bool(value & mask & self.enabled):
                self.facts.add(f"{name} {bool(value & bit):d} with {_event_names(events)} enabled {self.enabled:x}")
        for name in _event_names(self.cleared & DRIVER_EVENTS & ~0xC0):
            self.facts.add(f"{'stays' if name in _event_names(events) else 'cleared'} {name}")
        self.cleared, self.cause = 0, None

    def take(self, a):
        if a.register == 5 and not a.write:
            self.read_status(a.value)
        elif a.register == 5:
            self.cleared |= a.value
        elif a.register == 7 and a.write:
            self.enabled = a.value
        elif a.register == 0 and a.write and a.value & 1:
            self.enabled = 0
        elif a.register == 8 and not a.write:
            self.facts.add(f"missed frames {a.value & 0x1ffff}")
        elif a.write and a.register in (1, 6):
            self.cause = {1: "poll demand", 6: "operation mode"}[a.register]
            self.cleared = 0


def csr_events(accesses):
    """What was seen of interrupts, as a set: how often and in which order is a matter of time."""
    made = _Events()
    for access in accesses:
        if access.place == "csr":
            made.take(access)
    return made.facts
