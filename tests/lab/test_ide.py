# SPDX-License-Identifier: GPL-2.0-only
"""Drives of `plinth run` under Debian's own ata_piix, sd and sr: data both ways, and what goes wrong behind them."""

import pathlib
import re

import pytest

from labkit import archive, image

HERE = pathlib.Path(__file__).resolve().parent
# sd_mod asks for the first two by the names of its checksums.
DRIVERS = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod", "sr_mod", "ata_piix")
DEVICES = {"kvm": "modprobe kvm-amd", "plinth": "plinth launch"}

PRELUDE = r"""
%s || exit 90
cat /usr/lib/plinth-lab/child.cpio.gz ide.cpio.gz >initrd
# child WORDS OPTION...: ide.sh does WORDS
child() {
	words=$1
	shift
	plinth run --device %s --kernel vmlinuz --initrd initrd --memory 256M \
		--append "console=ttyS0 quiet plinth.run=\"sh /ide/ide.sh load $FORCE; sh /ide/ide.sh $words\"" "$@"
}
image() { # FILE MIB, with noise in its first MiB
	truncate -s $2M $1
	dd if=/dev/urandom of=$1 bs=1M count=1 conv=notrunc status=none
}
sum() { # NAME FILE
	echo "$1 $(md5sum <$2 | cut -d' ' -f1)"
}
"""


@pytest.fixture(name="files")
def _files(tmp_path):
    """What the machine needs beside Plinth: a kernel with the drivers, and they in an archive."""
    kernel = image.kernel("full")
    cpio = archive.Cpio()
    files = image.load_order(kernel.modules, DRIVERS)
    for file in files:
        cpio.file(f"ide/{file.name}", file.read_bytes())
    cpio.file("ide/order", "\n".join(f.name for f in files).encode() + b"\n")
    cpio.file("ide/ide.sh", (HERE / "guest" / "ide.sh").read_bytes())
    cpio.finish()
    (tmp_path / "ide.cpio.gz").write_bytes(archive.gzipped(cpio.out.getvalue()))
    return [str(tmp_path / "ide.cpio.gz"), f"{kernel.vmlinuz}:/root/vmlinuz"]


def prelude(device):
    """The start of a script about children on `device`."""
    return PRELUDE % (DEVICES[device], f"/dev/{device}")


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def sums(part):
    """The lines NAME MD5 of a part of the output, all of them by name."""
    found = {}
    for name, value in re.findall(r"^([\w.]+) ([0-9a-f]{32})\r?$", part, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("device", DEVICES)
def test_data(lab, files, device):
    """By bus master and by data register: what is written is on the disk, what is on disk and CD is read."""
    script = prelude(device) + "".join(f"""
        echo '== {way}'
        image disk 16; image cd 2
        sum start disk; sum cd cd
        FORCE={force}
        child 'data {kib}' --disk disk --cdrom cd </dev/null
        echo "status $?"
        dd if=disk bs=1k skip={kib} count={kib} status=none | md5sum | sed 's/^/wrote /; s/ *-$//'
    """ for way, force, kib in (("dma", "", 2048), ("pio", "pio4", 64)))
    out = lab.sh(script, cpus=2, put=files).check()
    for way in ("dma", "pio"):
        part = sections(out)[way]
        found = sums(part)
        assert re.search(r"^status 0$", part, re.MULTILINE), part
        assert len(found["start"]) == 2 and len(set(found["start"])) == 1, part
        assert len(found["cd"]) == 2 and len(set(found["cd"])) == 1, part
        assert len(found["wrote"]) == 2 and len(set(found["wrote"] + found["read"])) == 1, part
        assert "write failed" not in part
        assert re.search(r"ata1\.00: ATA-6: PLINTH DISK", part)
        assert re.search(r"ata2\.00: ATAPI: PLINTH CD-ROM", part)
        assert ("xfer_mask set to pio4" in part) == (way == "pio")
        assert not re.search(r"ata\d.*(exception|failed|frozen|error)", part), part
        assert f"\n{16 << 20}\r\n{2 << 20}\r\n" in part
        assert len(re.findall(r"1[45]: +\d\d+ .*ata_piix", part)) == 2


@pytest.mark.parametrize("device", DEVICES)
def test_places_and_faults(lab, files, device):
    """Drives where they were put; one that is read-only; one with no space behind it."""
    script = prelude(device) + r"""
        echo '== three'
        image a 2; image b 2; image c 2
        sum ide0.0 a; sum ide0.1 b; sum ide1.1 c
        child three --disk a,bus=ide0.0 --disk b,bus=ide0.1,readonly --disk c,bus=ide1.1 </dev/null
        echo "status $?"
        sum ide0.1 b
        echo '== space'
        mkdir small
        mount -t tmpfs -o size=12m none small
        image small/disk 8
        head -c 8M /dev/zero >small/filler
        mkfifo in out
        exec 9<>in 8<>out
        child no_space --disk small/disk,format=raw <in >out &
        while IFS= read -r line <&8; do
            printf '%s\n' "$line"
            case $line in
            *"space please"*) rm small/filler; echo >&9 ;;
            *"child: exit"*) break ;;
            esac
        done
        wait $!
        echo "status $?"
        dd if=small/disk bs=1k skip=512 count=512 status=none | md5sum | sed 's/^/wrote /; s/ *-$//'
    """
    out = lab.sh(script, cpus=2, put=files).check()
    three, space = sections(out)["three"], sections(out)["space"]
    assert re.search(r"^status 0$", three, re.MULTILINE), three
    found = sums(three)
    for name in ("ide0.0", "ide0.1", "ide1.1"):
        assert len(found[name]) >= 2 and len(set(found[name])) == 1, three
    assert len(found["ide0.1"]) == 4
    assert re.search(r"^readonly: dd: .*Input/output error", three, re.MULTILINE), three
    assert re.search(r"^status 0$", space, re.MULTILINE), space
    assert re.search(r"dd: .*Input/output error", space), space
    assert re.search(r"ata1\.00: status: \{ DRDY DF ERR \}", space), space
    assert re.search(r"ata1\.00: error: \{ ABRT \}", space), space
    assert "timed out 0\r" in space
    found = sums(space)
    assert len(found["wrote"]) == 2 and len(set(found["wrote"] + found["read"])) == 1, space


def putc(char):
    """Machine code: a character to COM1."""
    return bytes((0xBA, 0xF8, 0x03, 0xB0, ord(char), 0xEE))


def boot_image():
    """An El Torito image that says so, reads the volume descriptor by the BIOS and prints what it begins with.

    SeaBIOS's console sends the end of its last line at a timer's tick: with interrupts off that falls between two of ours.
    """
    packet = 0x7D00  # of INT 13h function 42h: one block, number 16, to 0:8000h
    code = b"\xFA\x52" + b"".join(map(putc, "started\n"))  # cli; push dx
    code += b"\x31\xC0\x8E\xD8\x5A"  # xor ax,ax; mov ds,ax; pop dx
    code += b"\xB4\x42\xBE" + packet.to_bytes(2, "little") + b"\xCD\x13"  # mov ah,42h; mov si,packet; int 13h
    for n in range(1, 6):
        code += b"\xA0" + (0x8000 + n).to_bytes(2, "little") + b"\xBA\xF8\x03\xEE"  # mov al,[]; mov dx,3f8h; out dx,al
    code += putc("\n") + b"\xBA\x04\x06\xB8\x00\x20\xEF\xF4\xEB\xFD"  # mov dx,604h; mov ax,2000h (S5); out dx,ax; hlt
    code = code.ljust(packet - 0x7C00, b"\0")
    return (code + bytes((16, 0, 1, 0, 0, 0x80, 0, 0, 16)).ljust(16, b"\0")).ljust(2048, b"\0")


def el_torito(boot):
    """A disc of nothing else: volume descriptor, boot record, end of descriptors, catalogue, image."""
    start, catalogue, end = b"\1CD001\1", 19, b"\xffCD001\1"
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") + catalogue.to_bytes(4, "little")
    validation = bytes((1,)).ljust(28, b"\0") + b"\xAA\x55\x55\xAA"  # its words add up to 0
    entry = b"\x88\0\0\0\0\0\4\0\x14\0\0\0"  # bootable, no emulation, four sectors from block 20
    blocks = [b""] * 16 + [start, record, end, validation + entry, boot]
    return b"".join(block.ljust(2048, b"\0") for block in blocks)


def test_boot_from_cd(lab, tmp_path):
    """SeaBIOS's own driver of ATAPI drives: El Torito, and what the boot loader asks for."""
    (tmp_path / "cd.iso").write_bytes(el_torito(boot_image()))
    out = lab.sh("modprobe kvm-amd && plinth run --device /dev/kvm --cdrom cd.iso --memory 128M </dev/null",
                 cpus=2, put=[str(tmp_path / "cd.iso")], timeout=150).check()
    assert re.search(r"started\r?\n(\.\r?\n)?CD001\r?\n", out), out
