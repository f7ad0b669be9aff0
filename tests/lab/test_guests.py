# SPDX-License-Identifier: GPL-2.0-only
"""
Other unmodified parts of Debian's in a child, on stock KVM and on Plinth: its kernels for the i686, memtest86+, OVMF.
"""

import re

import pytest

from labkit import archive, guests, image
from test_run import DEVICES, sections

pytestmark = pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.path.rpartition("/")[2])


def initrd_with(path, initrd, commands):
    """Make `path` of the initramfs `initrd` with `commands` as its /check: what GRUB's quoting is no match for."""
    extra = archive.Cpio()
    extra.file("check", f"#!/bin/sh\n{commands}\n".encode())
    path.write_bytes(initrd + archive.gzipped(extra.bytes()))
    return path


I686_CD = """\
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB: up from $root"
linux /686 console=ttyS0 quiet plinth.run=/check
initrd /initrd
boot
"""


def usable(out):
    """The ranges of memory that a kernel was told of, with their ends."""
    found = re.findall(r"BIOS-e820: \[mem 0x(\w+)-0x(\w+)\] usable", out)
    return [(int(start, 16), int(end, 16) + 1) for start, end in found]


def test_i686(lab, device, tmp_path):
    """
    Two-level tables on one processor, PAE on two, up to user space and power-off; also from a rescue CD by SeaBIOS and GRUB,
    with the same memory but for what firmware keeps. Not PAE on stock KVM in this lab: QEMU's processor sets A in
    page-directory pointers, where it is reserved, so that KVM finds the guest's tables broken when it has to read an
    instruction.
    """
    files = guests.i686()
    initrd = initrd_with(tmp_path / "initrd", files.initrd.read_bytes(), "uname -rm; dmesg | grep BIOS-e820")
    cdrom = guests.rescue_cd(tmp_path / "rescue.iso", I686_CD, {"686": files.vmlinuz, "initrd": initrd})
    pae = device.path == "/dev/plinth"
    kernels = {"686": "", "686-pae": "--cpus 2 --memory 5G"} if pae else {"686": ""}
    out = lab.sh(device.script("INITRD=/root/initrd\n" + "".join(f"""
        echo "== {kernel}"
        KERNEL=/root/{kernel}
        child 'uname -rm; grep flags /proc/cpuinfo; grep HighTotal /proc/meminfo; head -c 1000000 /dev/urandom >/f; \
               sha256sum /f; sha256sum /f; dmesg | grep -e BUG: -e Oops -e protection.fault -e BIOS-e820' {options} </dev/null
        echo "status $?"
    """ for kernel, options in kernels.items()) + f"""
        echo "== cd"
        plinth run --device {device.path} --cdrom rescue.iso </dev/null
        echo "status $?"
    """), put=[f"{files.vmlinuz}:/root/686", f"{files.vmlinuz_pae}:/root/686-pae", f"{files.initrd}:/root/initrd",
               str(cdrom)], cpus=2, memory="3G").check()
    parts = sections(out)
    for kernel in kernels:
        part = parts[kernel]
        assert re.search(rf"^6\.1\.0-\d+-{kernel} i686\r$", part, re.MULTILINE), part
        sums = re.findall(r"^([0-9a-f]{64})  /f", part, re.MULTILINE)
        assert len(sums) == 2 and sums[0] == sums[1]
        assert not re.search(r"\] (BUG:|Oops)|\] general protection", part), part
        assert "status 0\n" in part
    if pae:
        part = parts["686-pae"]
        assert part.count("flags\t") == 2
        assert int(re.search(r"HighTotal: +(\d+) kB", part).group(1)) > 4 << 20
    part = parts["cd"]
    assert "GRUB: up from " in part
    assert re.search(r"^6\.1\.0-\d+-686 i686\r$", part, re.MULTILINE), part
    assert "status 0\n" in part
    direct, firmware = usable(parts["686"]), usable(part)
    assert firmware and all(any(a <= start and end <= b for a, b in direct) for start, end in firmware), (direct, firmware)
    assert sum(b - a for a, b in direct) - sum(b - a for a, b in firmware) < 1 << 20, (direct, firmware)


MEMTEST = r"""
mkfifo out
plinth run --device DEVICE --kernel memtest --memory 6M --append "console=ttyS0,115200 nosmp nobench nopause" </dev/null |
    stdbuf -oL tr '\033' '\n' >out &
exec 8<out
expect "#10 "
expect "Errors:"
kill -TERM $(pidof plinth)
cat <&8
"""


def test_memtest86(lab, device):
    """
    memtest86+ finds no error with all its tests but the last, which waits for minutes for bits to fade. That it begins
    says that the others are over; the screen shows some of them.
    """
    binary = guests.package("memtest86+") / "boot/memtest86+x64.bin"
    out = lab.sh(device.script(MEMTEST.replace("DEVICE", device.path)), put=[f"{binary}:/root/memtest"], cpus=2).check()
    assert "Memtest86+ v6" in out
    seen = [int(number) for number in re.findall(r"#(\d+) +\[", out)]
    assert len(set(seen)) > 3 and seen == sorted(seen) and seen[-1] == 10, seen
    errors = re.findall(r"Errors: (\S+)", out)
    assert len(errors) > 3 and set(errors) == {"0"}, errors


def ovmf_file():
    """Puts OVMF where Debian's package does."""
    name = "/usr/share/ovmf/OVMF.fd"
    return f"{guests.package('ovmf')}{name}:{name}"


GRUB_CFG = """\
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB: up from $root"
"""

# Found by the firmware's shell, since there is no BOOTX64.EFI.
STARTUP = """\
@echo -off
echo "shell: startup"
ls fs0:\\
fs0:\\EFI\\BOOT\\grub.efi
"""


def test_ovmf(lab, device, tmp_path):
    """OVMF's shell on the serial console runs a script from the disk, which starts GRUB; GRUB's halt is a power-off."""
    grub = guests.grub_efi(tmp_path / "grub.efi", GRUB_CFG + "halt\n")
    script = tmp_path / "startup.nsh"
    script.write_text(STARTUP, encoding="ascii")
    esp = guests.efi_disk(tmp_path / "esp.img", {"EFI/BOOT/grub.efi": grub, "startup.nsh": script})
    out = lab.sh(device.script(f"""
        plinth run --device {device.path} --firmware ovmf --memory 256M --disk esp.img --stats </dev/null
        echo "status $?"
    """), put=[str(esp), ovmf_file()], cpus=2).check()
    print(out)
    assert "UEFI Interactive Shell" in out
    assert out.index("shell: startup") < out.index("GRUB: up from hd0,msdos1")
    assert re.search(r"^status 0$", out, re.MULTILINE)


# The shell keeps what is set in a variable of the firmware's.
VARIABLES = """\
@echo -off
echo "kept: %kept%"
set kept since-the-first
fs0:\\EFI\\BOOT\\grub.efi
"""


def test_ovmf_variables(lab, device, tmp_path):
    """What OVMF keeps in its flash outlasts the machine, in a file that is made for it; other files are refused."""
    grub = guests.grub_efi(tmp_path / "grub.efi", GRUB_CFG + "halt\n")
    script = tmp_path / "startup.nsh"
    script.write_text(VARIABLES, encoding="ascii")
    esp = guests.efi_disk(tmp_path / "esp.img", {"EFI/BOOT/grub.efi": grub, "startup.nsh": script})
    out = lab.sh(device.script(f"""
        OVMF="plinth run --device {device.path} --firmware ovmf --memory 256M --disk esp.img,readonly"
        for boot in first second; do
            echo "== $boot"
            $OVMF --firmware-vars vars --stats </dev/null
            echo "status $?"
        done
        echo "== refused"
        truncate -s 64K other
        $OVMF --firmware-vars other; echo "status $?"
        truncate -s 128K other
        $OVMF --firmware-vars other; echo "status $?"
        $OVMF --firmware-vars /; echo "status $?"
        plinth run --device {device.path} --disk esp.img --firmware-vars new; echo "status $?"
        [ -e new ] || echo "nothing made"
        stat -c %s vars
    """), put=[str(esp), ovmf_file()], cpus=2).check()
    parts = sections(out)
    for boot in ("first", "second"):
        assert "GRUB: up from" in parts[boot] and re.search(r"^status 0$", parts[boot], re.MULTILINE), parts[boot]
    assert "kept: since-the-first" not in parts["first"]
    assert re.search(r"^kept: since-the-first\r?$", parts["second"], re.MULTILINE), parts["second"]
    made = "plinth: other has not been made for the variables of /usr/share/ovmf/OVMF.fd: name another file"
    assert parts["refused"].splitlines() == [
        made, "status 1", made, "status 1",
        "plinth: cannot keep the firmware's variables in /: Is a directory", "status 1",
        "plinth: /usr/share/seabios/bios.bin has no variables to be kept: leave out --firmware-vars", "status 1",
        "nothing made", str(128 << 10)]


def test_ovmf_boots_debian(lab, device, long, tmp_path):
    """From the EFI system partition by GRUB to user space, with the ACPI tables and the memory map that OVMF gives."""
    if not long:
        pytest.skip("--long: OVMF's IDE driver takes 400 exits for 32 KiB")
    grub = guests.grub_efi(tmp_path / "grub.efi", GRUB_CFG + """\
linux /vmlinuz console=ttyS0 quiet plinth.run=/check
initrd /initrd
boot
""")
    initrd = initrd_with(tmp_path / "initrd", archive.gzipped(image.child_initramfs()),
                         "ls /sys/firmware/efi; cat /proc/interrupts; dmesg | grep -e ACPI -e efi:")
    esp = guests.efi_disk(tmp_path / "esp.img", {"EFI/BOOT/BOOTX64.EFI": grub, "initrd": initrd,
                                                 "vmlinuz": image.kernel("cloud").vmlinuz})
    out = lab.sh(device.script(f"""
        plinth run --device {device.path} --firmware ovmf --memory 512M --cpus 2 --disk esp.img --stats </dev/null
        echo "status $?"
    """), put=[str(esp), ovmf_file()], cpus=2).check()
    assert "runtime-map" in out
    assert re.search(r" 9: +\d+ +\d+ +IO-APIC +9-fasteoi +acpi", out)
    assert not re.search(r"ACPI (BIOS )?(Error|Warning)|Unable to enable", out)
    assert re.search(r"^status 0$", out, re.MULTILINE)
