# SPDX-License-Identifier: GPL-2.0-only
"""What is behind drives and adapters, as a guest meets it: a boot sector that reads and writes by the BIOS."""

import json
import re
import subprocess

import pytest

# Says "boot", copies sector 1 to sector 64 by the BIOS, says "done" or "error" with INT 13h's status, powers off. With WAIT
# it copies when something has been typed. It speaks with interrupts off: in the timer's the BIOS writes to the serial
# port as well.
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
.ifdef WAIT
    mov $0x3fc, %dx
    mov $3, %al
    out %al, %dx
    mov $0x3fd, %dx
typed:
    in %dx, %al
    test $1, %al
    jz typed
.endif
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


def boot_disk(folder, name, *options):
    """A disk of 1 MiB: the boot sector, a sector of text, zeroes."""
    (folder / "boot.s").write_text(BOOT)
    subprocess.run(["as", "--32", *options, "-o", folder / "boot.o", folder / "boot.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x7c00", "-e", "0x7c00", "--oformat=binary", "-o", folder / "boot",
                    folder / "boot.o"], check=True)
    path = folder / name
    path.write_bytes((folder / "boot").read_bytes() + b"text" * 128 + bytes((1 << 20) - 1024))
    return path


@pytest.fixture(name="image")
def _image(tmp_path):
    return boot_disk(tmp_path, "disk.img")


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_disks(lab, image):
    """
    A file, one that may not be written, a file system without room, a device with a bad place, one that is mounted, an NBD
    server; two that want the same.
    """
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
        cp /root/disk.img bad.img
        loop=$(losetup -f --show bad.img)
        modprobe dm-mod
        dmsetup --noudevsync create bad <<-END
		0 32 linear $loop 0
		32 64 error
		96 1952 linear $loop 96
		END
        dmsetup mknodes
        echo "== bad"; run --disk /dev/mapper/bad
        dmsetup --noudevsync remove bad
        echo "== mounted"
        mke2fs -q $loop && mkdir fs && mount $loop fs
        run --disk $loop
        umount fs
        losetup -d $loop
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
        # The firmware has read the boot sector.
        until plinth stats --json held | grep -F '"read":{' | grep -vqF '"read":{"requests":0,'; do :; done
        plinth stats --json held
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
    assert said["bad"][0] == "boot" and said["bad"][1].startswith("error") and len(said["bad"]) == 2
    assert said["nbd"] == ["boot", "done", "512"]
    assert part["mounted"] == "plinth: the disk /dev/loop0 is in use: unmount what is on it, or end the other machine\n"
    locked = part["locked"].splitlines()
    assert locked[:2] == ["plinth: the disk file.img is in use: end the other machine, or give it to both with ',readonly'"] * 2
    assert locked[3:] == ["ended 12", "UP"]
    stats = json.loads(locked[2])
    (disk,) = stats["disks"]
    assert disk["bus"] == "ide0.0" and disk["target"] == "file.img"
    assert disk["read"]["bytes"] >= 512 and disk["read"]["failed"] == 0
    assert 0 < disk["read"]["mean_ns"] <= disk["read"]["max_ns"] and disk["write"]["requests"] == 0
    assert [net["type"] for net in stats["nets"]] == ["tap", "user"]


def test_nbd_server_goes(lab, tmp_path):
    """
    Between the guest's requests the server is killed: when it comes back in time the guest does not notice; when it does not, or
    not for this user, which is said, the drive's error is the guest's to see.
    """
    image = boot_disk(tmp_path, "wait.img", "--defsym", "WAIT=1")
    out = lab.sh(r"""
        modprobe kvm-amd
        SOCKET=/tmp/nbd.sock # where the worker, which is nobody then, finds it again
        serve() {
            rm -f nbd.pid
            nbdkit -f -P nbd.pid -U $SOCKET.new file nbd.img &
            until [ -s nbd.pid ]; do :; done
            chmod $1 $SOCKET.new
            mv $SOCKET.new $SOCKET
        }
        mkfifo in out
        for way in back gone shut; do
            echo "== $way"
            cp /root/wait.img nbd.img
            serve 666
            server=$!
            plinth run --device /dev/kvm --memory 64M --disk "nbd:nbd+unix:///?socket=$SOCKET" <in >out 2>err &
            vm=$!
            exec 9>in 8<out
            while IFS= read -r line <&8; do
                case $line in boot*) break ;; esac
            done
            kill -9 $server
            wait $server
            echo go >&9
            case $way in
            back) serve 666 ;;
            shut) serve 600 ;;
            esac
            cat <&8 | tr -d '\r'
            exec 9>&-
            wait $vm
            printf '\nstatus %d\n' $?
            cat err
            dd if=nbd.img bs=512 skip=64 count=1 status=none | tr -d '\0' | wc -c
            [ $way = gone ] || kill -9 $(cat nbd.pid)
        done
    """, packages="dmsetup nbdkit", put=[f"{image}:/root/wait.img"]).check()
    part = sections(out)
    assert re.search(r"^done$", part["back"], re.MULTILINE) and part["back"].endswith("512\n"), part["back"]
    assert re.search(r"^plinth: the NBD server of \S+ is back$", part["back"], re.MULTILINE), part["back"]
    for way in ("gone", "shut"):
        assert re.search(r"^error [0-9a-f]{2}$", part[way], re.MULTILINE) and part[way].endswith("\n0\n"), part[way]
    refused = "cannot be reached any more: Permission denied: open its socket to the user that this machine runs as"
    assert refused in part["shut"] and refused not in part["back"] + part["gone"], part["shut"]
    for text in part.values():
        assert re.search(r"^plinth: the NBD server of \S+ has gone: trying again; requests wait up to 20 s$", text,
                         re.MULTILINE), text
        assert re.search(r"^status 0$", text, re.MULTILINE), text
