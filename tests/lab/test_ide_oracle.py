# SPDX-License-Identifier: GPL-2.0-only
"""
The IDE function beside QEMU's: SeaBIOS and Debian's ata_piix, sd and sr drive QEMU's, which writes down every register
access; the same accesses are then made to ours (oracle/ide_replay.c), and what reads differently has to be known here,
with its reason. Runs on this host, not in the lab machine.
"""

import dataclasses
import pathlib
import re
import subprocess

import pytest

from labkit import image

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
SECTORS, BLOCKS = 131072, 2048
EVENTS = ("ide_ioport_*", "ide_status_read", "ide_ctrl_write", "ide_data_*", "bmdma_*")
# sd_mod asks for the first two by the names of its checksums.
DRIVERS = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod", "sr_mod", "ata_piix")
SOURCES = ("tests/lab/oracle/ide_replay.c", "worker/devices/ata.c", "worker/devices/atapi.c", "worker/devices/ide.c",
           "worker/devices/ide_bimodal.c", "worker/devices/bimodal.c", "worker/devices/virtio.c", "worker/devices/virtio_blk.c",
           "worker/devices/virtq.c", "worker/platform/pcihost.c", "worker/platform/timerq.c")

# Words of IDENTIFY (PACKET) DEVICE, where each drive speaks for itself
WORDS = {
    "names": (*range(10, 20), *range(23, 47)),
    "obsolete since ATA-6; QEMU has what ATA-2 had there": (4, 5, 20, 21, 22, 48, 51, 52, 62),
    "standby timers and IORDY that ours has": (49, 50),
    "48-bit drives of ATA-6 with SMART, HPA, buffers and FUA; QEMU's is ATA-7": (80, 81, 82, 83, 84, 85, 86, 87),
    "UDMA 5 is selected from the start in QEMU": (88,),
    "a cable of 40 wires, as PIIX4 has no better; the device's number told by a jumper": (93,),
    "word 64 and on are valid; words 54 to 58 are no packet device's": (53,),
    "cycle times of PIO 4 and MWDMA 2": (65, 66, 67, 68, 71, 72),
    "after ATA-6: queueing, large sectors, TRIM": (69, 75, 76, 106, 169),
    "the integrity word, which QEMU's has not": (255,),
}
IDENTIFY = {word: why for why, words in WORDS.items() for word in words}

# Line of the replay, and why it is as it should be. DSC is not compared.
EXPLAINED = (
    (r"status 1\.0 command 00 packet 00 at 177 theirs 40 ours 0$",
     "a packet device has DRDY clear after a reset (9.12, 7.15.6.2)"),
    (r"register [01]\.1 command .. packet 00 at 1[f7][145] ",
     "device 0 answers for a device 1 that is not there (9.16.1); QEMU's absent one has registers of its own"),
    (r"data 1\.0 command a0 packet 12 at ([4-9a-f]|1[01]) ", "names"),
    (r"status 1\.0 command a0 packet 12 at 376 theirs 48 ours 41$", "no vital product data, which SFF-8020i has not"),
    (r"register 1\.0 command a0 packet (12|03) at 171 ",
     "ABRT beside ILLEGAL REQUEST (8.23.5); what SENSE finds after a packet that only one refused"),
    (r"data 1\.0 command a0 packet 03 at [016] ",
     "the information is valid only of medium errors; the sense of a packet that only one refused"),
    (r"data 1\.0 command a0 packet 4a at 0 theirs 400 ours 600$",
     "the length counts what follows it, the rest of the header too (MMC-3, 6.1.5)"),
    (r"(status|data|register) 1\.0 command a0 packet 46 at (376|174|1) ",
     "QEMU lists three features, and refuses to list one by itself"),
    (r"status 1\.0 command a0 packet 52 at 376 theirs 41 ours 48$", "READ TRACK INFORMATION, which QEMU has not"),
    (r"data 1\.0 command a0 packet 51 at [89ab] theirs 0 ours ffff$", "a complete disc has no next session (6.1.22)"),
    (r"data 1\.0 command a0 packet 43 at [23] ",
     "the lead-out's control field, and the first track of the last session, which QEMU leaves zero"),
    (r"(data|register) 1\.0 command a0 packet 5a at ", "another drive's capabilities, of SFF-8020i's length"),
    (r"register 1\.0 command a0 packet 28 at 175 theirs fc ours (f8|8)$",
     "blocks of whole sectors below the host's limit; any length below it may be"),
)


@dataclasses.dataclass
class Outcome:
    """What a replay compared, and what it found."""
    compared: int
    lines: list


def reason(line):
    """Why the line may be; None if there is no reason."""
    word = re.match(r"data .* command (ec|a1) packet 00 at (\w+) ", line)
    if word:
        return IDENTIFY.get(int(word[2], 16))
    for pattern, why in EXPLAINED:
        if re.match(pattern, line):
            return why
    return None


@pytest.fixture(scope="module", name="replay")
def _replay(tmp_path_factory):
    program = tmp_path_factory.mktemp("replay") / "ide_replay"
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I.", "-Iinclude",
                    "-o", program, *SOURCES], cwd=TOP, check=True)
    return program


def record(folder, force):
    """Boot QEMU's PC with the two drives; returns the trace's path."""
    kernel = image.kernel("full")
    image.driver_initramfs(kernel, DRIVERS, HERE / "oracle" / "drivers-init", folder / "initrd")
    for name, size in (("disk", SECTORS * 512), ("cd", BLOCKS * 2048)):
        with open(folder / name, "wb") as file:
            file.truncate(size)
    argv = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "256M", "-nodefaults", "-display", "none",
            "-no-reboot", "-serial", f"file:{folder / 'console'}", "-kernel", kernel.vmlinuz,
            "-initrd", folder / "initrd", "-append", f"console=ttyS0 quiet panic=-1 {force}",
            "-drive", f"if=ide,index=0,format=raw,file={folder / 'disk'}",
            "-drive", f"if=ide,index=2,media=cdrom,format=raw,readonly=on,file={folder / 'cd'}",
            "-D", folder / "trace"]
    for event in EVENTS:
        argv += ["-trace", event]
    subprocess.run(argv, check=True, timeout=300, stdin=subprocess.DEVNULL)
    console = (folder / "console").read_text(errors="replace")
    assert "ORACLE done" in console, console[-3000:]
    return folder / "trace"


def compare(program, trace):
    """Replay `trace` to ours."""
    with open(trace, "rb") as events:
        done = subprocess.run([program, str(SECTORS), str(BLOCKS)], stdin=events, capture_output=True, check=True,
                              text=True)
    found = re.search(r"(\d+) compared", done.stderr)
    return Outcome(int(found[1]), done.stdout.splitlines())


@pytest.mark.parametrize("force, least", [("", 4000), ("oracle.force=pio4", 150000)], ids=["dma", "pio"])
def test_as_qemus(replay, tmp_path, force, least):
    """What ours reads differently from QEMU's, to the same accesses of real drivers, has a reason."""
    trace = record(tmp_path, force)
    events = trace.read_text()
    used = "bmdma: writeb 0x0 : 0x09" in events
    assert used == (not force), "the drivers went the other way"
    outcome = compare(replay, trace)
    assert outcome.compared >= least
    unexplained = [line for line in outcome.lines if not reason(line)]
    assert not unexplained, "\n".join(unexplained[:50])
