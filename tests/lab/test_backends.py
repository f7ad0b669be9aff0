# SPDX-License-Identifier: GPL-2.0-only
"""What is behind drives and adapters, as a guest meets it: a boot sector that reads and writes by the BIOS."""

import re
import subprocess

import pytest

# Says "boot", copies sector 1 to sector 64 by the BIOS, says "done" or "error" with INT 13h's status, powers off. It
# speaks with interrupts off: in the timer's the BIOS writes to the serial port as well.
BOOT = r"""
    .code16
start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    mov %dl, drive
    mov $boot, %si
    call say
    movl $1, lba
    mov $0x42, %ah
    call disk
    jc failed
    movl $64, lba
    mov $0x4300, %ax
    call disk
    jc failed
    mov $done, %si
    call say
    jmp off
failed:
    mov %ah, %bl
    mov $error, %si
    call say
    mov %bl, %al
    shr $4, %al
    call digit
    mov %bl, %al
    and $15, %al
    call digit
    mov $10, %al
    call put
off:
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
    hlt
    jmp off
disk:
    mov drive, %dl
    mov $packet, %si
    sti
    int $0x13
    cli
    ret
digit:
    add $'0', %al
    cmp $'9', %al
    jbe put
    add $'a' - '9' - 1, %al
put:
    mov $0x3f8, %dx
    out %al, %dx
    ret
say:
    lodsb
    test %al, %al
    jz 1f
    call put
    jmp say
1:  ret
boot:   .asciz "\nboot\n"
done:   .asciz "\ndone\n"
error:  .asciz "\nerror "
drive:  .byte 0
    .balign 4
packet: .byte 16, 0, 1, 0
    .word 0x8000, 0
lba:    .long 0, 0
    .org 510
    .word 0xaa55
"""


@pytest.fixture(name="image")
def _image(tmp_path):
    """A disk of 1 MiB: the boot sector, a sector of text, zeroes."""
    (tmp_path / "boot.s").write_text(BOOT)
    subprocess.run(["as", "--32", "-o", tmp_path / "boot.o", tmp_path / "boot.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x7c00", "-e", "0x7c00", "--oformat=binary", "-o", tmp_path / "boot",
                    tmp_path / "boot.o"], check=True)
    path = tmp_path / "disk.img"
    path.write_bytes((tmp_path / "boot").read_bytes() + b"text" * 128 + bytes((1 << 20) - 1024))
    return path


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_disks(lab, image):
    """A file, one that may not be written, a file system without room, an NBD server; two that want the same."""
    out = lab.sh(r"""
        modprobe kvm-amd
        modprobe tun
        run() {
            plinth run --device /dev/kvm --memory 64M "$@" </dev/null 2>&1 | tr -d '\r'
        }
        copied() {
            dd if=$1 bs=512 skip=64 count=1 status=none | tr -d '\0' | wc -c
        }
        cp /root/disk.img file.img
        echo "== file"; run --disk file.img; copied file.img
        cp /root/disk.img ro.img
        echo "== readonly"; run --disk ro.img,readonly --cdrom none; copied ro.img
        mkdir full && mount -t tmpfs -o size=8k none full
        dd if=/root/disk.img of=full/img bs=512 count=2 status=none && truncate -s 1M full/img
        head -c 4096 /dev/zero >full/fill
        echo "== full"; run --disk full/img
        cp /root/disk.img nbd.img
        nbdkit -f -U nbd.sock file nbd.img &
        until [ -S nbd.sock ]; do :; done
        chmod 666 nbd.sock
        echo "== nbd"; run --disk "nbd:nbd+unix:///?socket=$PWD/nbd.sock"; copied nbd.img
        kill $!
        echo "== locked"
        # Halts for good (hlt; jmp -3).
        printf '\364\353\375' | dd of=file.img conv=notrunc status=none
        plinth run --device /dev/kvm --memory 64M --disk file.img --name held --net tap,ifname=t0 --net user </dev/null >/dev/null 2>&1 &
        until plinth ps | grep -q held; do :; done
        until ip link show t0 >link 2>/dev/null; do :; done
        run --disk file.img --name second
        run --disk file.img,readonly --name second
        plinth stats --json held >/dev/null && echo counted
        plinth stop --force held
        wait %2
        echo "ended $?"
        grep -o 'UP' link | head -n1
    """, packages="dmsetup nbdkit", put=[f"{image}:/root/disk.img"], memory="2G").check()
    part = sections(out)
    said = {name: re.findall(r"^(?:boot|done|error [0-9a-f]{2}|\d+)$", text, re.MULTILINE) for name, text in part.items()}
    assert said["file"] == ["boot", "done", "512"]
    assert said["readonly"][0] == "boot" and said["readonly"][1].startswith("error") and said["readonly"][2:] == ["0"]
    assert said["full"][0] == "boot" and said["full"][1].startswith("error") and len(said["full"]) == 2
    assert said["nbd"] == ["boot", "done", "512"]
    locked = part["locked"].splitlines()
    assert locked[:2] == ["plinth: the disk file.img is in use: end the other machine, or give it to both with ',readonly'"] * 2
    assert locked[2:] == ["counted", "ended 12", "UP"]
