# SPDX-License-Identifier: GPL-2.0-only
"""
Debian's ata_piix, sd, sr and tulip do the same work (oracle/jobs-init) on QEMU's PC, which runs on this host, and on a
child in the lab; both write down each access to a register. The commands of the drives, the driver's run through the
adapter's registers and what it reads there have to be the same, or the difference is known here with its reason.

test_ide_oracle.py compares more values, of a worker that nobody drives; this test has the whole of it at work.
"""

import difflib
import pathlib
import re
import subprocess

import pytest

from labkit import image
from tests.lab import traces

HERE = pathlib.Path(__file__).resolve().parent
# sd_mod asks for the first two by the names of its checksums.
DRIVERS = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod", "sr_mod", "ata_piix", "tulip")
EVENTS = ("ide_ioport_*", "ide_status_read", "ide_ctrl_write", "ide_data_*", "bmdma_*", "tulip_reg_*")
APPEND = "console=ttyS0 quiet panic=-1 ipv6.disable=1"
MAC = "52:54:00:12:34:56"
DISKS, CD = ("disk0", "disk1"), "cd"
SIZES = {"disk0": 64 << 20, "disk1": 64 << 20, "cd": 4 << 20}

SCRIPT = r"""
%s || exit 90
truncate -s 64M disk0 disk1
truncate -s 4M cd
plinth run --device /dev/%s --kernel vmlinuz --initrd initrd --memory 256M --append '%s' \
	--disk disk0,format=raw --disk disk1,format=raw --cdrom cd --net user,mac=%s \
	--trace trace,device=ide,device=nic </dev/null
echo "status $?"
cat trace
"""

DEVICES = {"plinth": "plinth launch", "kvm": "modprobe kvm-amd"}

THEIRS, OURS = "-", "+"

# Whose line, which, why it is there only.
DRIVES = (
    (THEIRS, r"ef 1=03 2=22 ", "multiword DMA 2 is what QEMU's part has, a PIIX3"),
    (OURS, r"ef 1=03 2=42 ", "UDMA 2 is a PIIX4's fastest"),
    (OURS, r"27 .* => status 40 ", "READ NATIVE MAX ADDRESS EXT: ours has the HPA feature set"),
    (THEIRS, r"ec .* 6=\S*b0 => status 00 ", "QEMU's absent device 1 has registers of its own, with no signature"),
    (OURS, r"a1 .* 6=\S*b0 => status 00 ",
     "a packet device answers for the absent device 1, with its signature (9.16.1)"),
    (OURS, r"a0 .* packet 0{24} status 41 read reg1 60 ",
     "UNIT ATTENTION after power on: in QEMU's PC SeaBIOS has taken it"),
    (THEIRS, r"a0 .* packet 03.* read reg1 00 .* read 18 bytes ", "SENSE of what only QEMU refuses"),
    (OURS, r"a0 .* packet 03.* read reg1 (54|60) .* read 18 bytes ",
     "SENSE of what only ours refuses; the error register is not valid without ERR"),
    (THEIRS, r"a0 .* packet 1201", "vital product data"),
    (OURS, r"a0 .* packet 1201\S* status 41 read reg1 54 ", "no vital product data, which SFF-8020i has not"),
    (THEIRS, r"a0 .* packet 46.*status 41 ", "QEMU refuses to list a feature by itself"),
    (OURS, r"a0 .* packet 460000(20|28)", "GET CONFIGURATION of a feature"),
    (THEIRS, r"a0 .* packet 52.*status 41 ", "QEMU has no READ TRACK INFORMATION"),
    (OURS, r"a0 .* packet 52", "READ TRACK INFORMATION"),
    (THEIRS, r"a0 .* packet 430200000000aa", "where the lead-out is, for want of READ TRACK INFORMATION"),
    (THEIRS, r"a0 1=01 .* packet 460000000000000020\S* .* read bm2 04 ", "see the next"),
    (OURS, r"a0 1=01 .* packet 460000000000000020\S* .* read bm2 05 ",
     "the table is longer than what the drive sends: the bus master stays active (PIIX4, BMISX)"),
)
ADAPTER = (
    (OURS, r"(read|write) csr12 ", "the general-purpose port that the serial ROM has the driver set"),
    (OURS, r"read csr6 40040$", "the 21143's media selection has been there before, see below"),
    (THEIRS, r"(read|write) csr1[2-5] |(read csr6 20000|write csr6 (20000|e0000))$",
     "a 21143 selects its media by its SIA"),
    (THEIRS, r"event TU after operation mode$", "QEMU looks at the transmit list whenever CSR6 is written; the part is "
     "suspended, and waits for a poll demand (CSR1)"),
    (OURS, r"event [TR]PS after operation mode$", "processes tell that they have stopped (3.2.2.5)"),
    (THEIRS, r"rom (0[0189]|1[0-7]|2f|3[3-6f]) ", "another board: its identity and media, in words 0, 1, 8 and on"),
    (OURS, r"rom (0[0189]|1[0-7]|2f|3[3-6f]) ", "another board: its identity and media, in words 0, 1, 8 and on"),
    (THEIRS, r"mii read (0|[2-9]|\d\d)\.\d 0000$", "nobody answers: QEMU reads zeroes"),
    (OURS, r"mii read (0|[2-9]|\d\d)\.\d ffff$", "nobody answers: MDIO is pulled up"),
    (THEIRS, r"mii read 1\.[0145] ", "another PHY, whose link partner is not there"),
    (OURS, r"mii read 1\.(0 [13][01]00|1 786d|4 01e1|5 41e1)$", "a PHY with its link"),
)


def run_qemu(kernel, folder):
    """QEMU's PC at work: the accesses."""
    for name, size in SIZES.items():
        with open(folder / name, "wb") as file:
            file.truncate(size)
    argv = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "256M", "-nodefaults", "-display", "none",
            "-no-reboot", "-serial", f"file:{folder / 'console'}", "-kernel", kernel.vmlinuz,
            "-initrd", folder / "initrd", "-append", APPEND, "-D", folder / "trace",
            "-netdev", "user,id=net", "-device", f"tulip,netdev=net,mac={MAC}"]
    for index, name in enumerate(DISKS):
        argv += ["-drive", f"if=ide,index={index},format=raw,file={folder / name}"]
    argv += ["-drive", f"if=ide,index=2,media=cdrom,format=raw,readonly=on,file={folder / CD}"]
    for event in EVENTS:
        argv += ["-trace", event]
    subprocess.run(argv, check=True, timeout=300, stdin=subprocess.DEVNULL)
    console = (folder / "console").read_text(errors="replace")
    assert "ORACLE done" in console, console[-3000:]
    with open(folder / "trace", encoding="ascii", errors="replace") as lines:
        return list(traces.of_qemu(lines))


def run_ours(lab, device, kernel, folder):
    """A child at work: the accesses."""
    out = lab.sh(SCRIPT % (DEVICES[device], device, APPEND, MAC), cpus=2,
                 put=[f"{folder / 'initrd'}:/root/initrd", f"{kernel.vmlinuz}:/root/vmlinuz"]).check()
    assert "ORACLE done" in out and re.search(r"^status 0$", out, re.MULTILINE), out[-3000:]
    return list(traces.of_ours(out.splitlines()))


def unexplained(differences, known):
    """Of (whose, line) pairs those that no reason fits; a reason that none fits is told too."""
    unused = list(known)
    rest = []
    for whose, line in differences:
        reasons = [entry for entry in known if entry[0] == whose and re.match(entry[1], line)]
        unused = [entry for entry in unused if entry not in reasons]
        rest += [] if reasons else [f"{whose} {line}"]
    return rest, [f"{whose} {pattern}: {why}" for whose, pattern, why in unused]


def sets(theirs, ours):
    """What only one of two collections has."""
    theirs, ours = set(theirs), set(ours)
    return [(THEIRS, line) for line in sorted(theirs - ours)] + [(OURS, line) for line in sorted(ours - theirs)]


def sequences(theirs, ours):
    """What would have to be taken from and added to the first list to make the second of it."""
    return [(line[0], line[2:]) for line in difflib.ndiff(list(theirs), list(ours)) if line[0] in (THEIRS, OURS)]


def parts(accesses):
    """
    The drives' accesses: of channel 0 while its disks are found and looked through, and from the first long read of the
    job on; of channel 1 likewise. QEMU's begin with the bus master: SeaBIOS, which comes before, does not use it.
    """
    drives = [a for a in accesses if a.place != "csr"]
    drives = drives[next(at for at, a in enumerate(drives) if a.place == "bm"):]

    def command(port, value):
        """Where the command begins for which the value is written to the port for the first time."""
        at = next(at for at, a in enumerate(drives) if a.write and (a.register, a.value) == (port, value))
        device = port & ~7 | 6
        while drives[at].register != device + 1 or not drives[at].write:
            at -= 1
        return next(n for n in range(at, len(drives)) if drives[n].register == device and drives[n].write)

    disks, cd = command(0x1F2, 0x80), command(0x175, 0x80)
    return (drives[:disks], drives[:cd]), (drives[disks:cd], drives[cd:])


def found(probe, number):
    """
    The commands by which what is on a channel is found. Without the bus master: QEMU does not tell whose it is when
    both channels work.
    """
    return set(traces.commands(traces.channel([a for a in probe[number] if a.place == "port"], number)))


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory):
    """Each at work once: run(lab, device) is QEMU's accesses and the child's."""
    folder, kernel, done = tmp_path_factory.mktemp("jobs"), image.kernel("full"), {}

    def run(lab, device):
        if not done:
            image.driver_initramfs(kernel, DRIVERS, HERE / "oracle" / "jobs-init", folder / "initrd")
            done["qemu"] = run_qemu(kernel, folder)
        if device not in done:
            done[device] = run_ours(lab, device, kernel, folder)
        return done["qemu"], done[device]
    return run


def pytest_generate_tests(metafunc):
    """What is compared hardly depends on the device: the other one only with --long."""
    metafunc.parametrize("device", list(DEVICES)[:None if metafunc.config.getoption("long") else 1])


def check(differences, known):
    """Everything is explained, and there is nothing but explanations."""
    rest, unused = unexplained(differences, known)
    assert not rest, "\n".join(rest[:50])
    assert not unused, "not seen any more:\n" + "\n".join(unused)


@pytest.mark.xdist_group("trace_oracle")
def test_drives(lab, run, device):
    """
    Finding the drives: the same commands with the same ends, in whichever order (channels and partitions are looked at
    side by side). Then reads, writes and FLUSH by bus master and by data register, one after the other; and the CD,
    beside which the kernel polls for media.
    """
    (their_probe, their_job), (our_probe, our_job) = map(parts, run(lab, device))
    differences = []
    for number in (0, 1):
        differences += sets(found(their_probe, number), found(our_probe, number))
    their, our = (list(traces.commands(traces.channel(job[0], 0), last=True)) for job in (their_job, our_job))
    codes = [line[:2] for line in our]
    assert [codes.count(code) for code in ("c8", "ca", "c4", "c5", "e7")] == [3, 2, 3, 2, 2]
    differences += sequences(their, our)
    their, our = (set(traces.commands(traces.channel(job[1], 1))) for job in (their_job, our_job))
    assert len([line for line in our if "packet 28" in line]) == 3
    differences += sets(their, our)
    check(differences, DRIVES)


@pytest.mark.xdist_group("trace_oracle")
def test_adapter(lab, run, device):
    """Probe, up, frames both ways, down, up again, removal, probe: registers, interrupts, serial ROM and PHY."""
    theirs, ours = run(lab, device)
    serial = [list(traces.serial(accesses)) for accesses in (theirs, ours)]
    assert all(len([line for line in lines if line.startswith("rom ")]) >= 64 for lines in serial)
    sequence = [list(traces.csr_sequence(accesses)) for accesses in (theirs, ours)]
    assert all(lines.count("write csr0 1") == 2 and lines.count("write csr7 0") == 2 for lines in sequence)
    events = [traces.csr_events(accesses) for accesses in (theirs, ours)]
    assert all({"event RI", "event TU after poll demand", "cleared TU"} <= facts for facts in events)
    check(sequences(*sequence) + sets(*events) + sets(*serial), ADAPTER)
