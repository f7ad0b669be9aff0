# SPDX-License-Identifier: GPL-2.0-only
"""
A disk image boots as it would on a PC: SeaBIOS, GRUB from the MBR, Debian's kernel with ata_piix on its root. The
same on stock KVM and on Plinth.
"""

import re

import pytest

from labkit import disk
from test_run import DEVICES, PRELUDE, sections

pytestmark = pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.path.rpartition("/")[2])

# The child's console is descriptors 8 (what it prints) and 9 (what is typed).
CONSOLE = r"""
mkfifo in out
# start OPTION...: a child with its console on 8 and 9.
start() {
    plinth run --device DEVICE "$@" <in >out &
    exec 9>in 8<out
}
# Logs in at the prompt, which is no whole line, and waits for the shell; a plain one takes its place.
log_in() {
    expect "Debian GNU/Linux 12 disk ttyS0"
    echo root >&9
    expect "permitted by applicable law"
    echo "exec env PS1= sh" >&9
}
# in_child COMMANDS: their output, between lines that the shell does not echo.
in_child() {
    echo "echo; echo be\"\"gin; $1; echo all\"\"-done" >&9
    expect begin
    expect all-done
}
leave() {
    exec 9>&-
    cat <&8
    wait $!
    printf '\nstatus %d\n' $?
}
"""


def script(device, text):
    """Commands for the lab machine."""
    return PRELUDE % (device.setup, device.path) + (CONSOLE + text).replace("DEVICE", device.path)


FIO = "fio --direct=1 --ioengine=libaio --iodepth=4 --rw=randrw --rwmixread=30 --verify=crc32c --verify_fatal=1"
SIZES = {"dma": {"4k": "512k", "64k": "2m", "1m": "4m"}, "pio": {"4k": "64k", "64k": "256k", "1m": "1m"}}


def fio_jobs(way):
    """One job for each block size, on the drive of shell variable `way`, all at once and each in a place of its own."""
    return " ".join(rf"--name={way}-{block} --filename=/dev/\${way} --bs={block} --offset={n * 8}m --size={size}"
                    for n, (block, size) in enumerate(SIZES[way].items()))


REBOOT = r"""
        echo "== reboot"
        in_child "touch /run/before"
        echo reboot >&9
        expect "GRUB: menu of hd0"
        log_in
        in_child "nproc; ls /run/before; sha256sum </root/f"
"""


def test_debian_from_its_disk(lab, device):
    """
    Four processors, from the MBR to a login; the root file system is written and read. A reboot, through the firmware
    to a login again (on stock KVM with --long). The power button, which systemd heeds: the worker ends with status 0,
    and the file system is as it should be.
    """
    reboots = lab.long or device.path == "/dev/plinth"
    out = lab.sh(script(device, rf"""
        start --name disk --cpus 4 --net none --disk /dev/vdd,format=raw --firmware-log fw.log --stats
        log_in
        echo "== child"
        in_child "uname -v; nproc; cat /proc/cmdline; findmnt -no SOURCE,FSTYPE /; cat /proc/interrupts"
        in_child "cd /sys/bus/pci/devices; for f in *; do echo pci \$f \$(cat \$f/vendor \$f/device \$f/class); done"
        in_child "cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/bios_vendor; systemctl --failed --plain | cat"
        in_child "dmesg | grep -E 'ACPI.*(Error|Warning)|Firmware|ata|input:'"
        in_child "head -c 1000000 /dev/urandom >/root/f; sync; echo 3 >/proc/sys/vm/drop_caches; \
                  sha256sum </root/f; sha256sum </root/f"
        {REBOOT if reboots else ""}
        echo "== button"
        plinth stop --timeout 600 disk
        echo "stopped $?"
        leave
        e2fsck -f -n /dev/vdd1
        echo "clean $?"
        echo "== firmware"
        cat fw.log
    """), disk=True, cpus=2, timeout=900).check()
    print(out)
    assert "SeaBIOS (version" in out
    assert "GRUB: menu of hd0,msdos1" in out
    part = sections(out)
    child, button, firmware = part["child"], part["button"], part["firmware"]
    assert re.search(r"^#1 SMP.* Debian 6\.1\..*\r\n4\r$", child, re.MULTILINE)
    assert "BOOT_IMAGE=/vmlinuz root=LABEL=disk" in child
    assert re.search(r"^/dev/sda1 +ext4\r$", child, re.MULTILINE)
    assert re.search(r"14: .* IO-APIC +14-edge +ata_piix", child)
    assert re.search(r" 9: .* IO-APIC +9-fasteoi +acpi", child)
    assert re.findall(r"^pci 0000:00:(\S+) (\S+) (\S+) (\S+)\r$", child, re.MULTILINE) == [
        ("00.0", "0x8086", "0x1237", "0x060000"), ("01.0", "0x8086", "0x7110", "0x060100"),
        ("01.1", "0x8086", "0x7111", "0x010180"), ("01.3", "0x8086", "0x7113", "0x068000"),
        ("03.0", "0x1011", "0x0009", "0x020000")]
    assert "ata1.00: ATA-6" in child and "scsi host0: ata_piix" in child
    assert "ImExPS/2 Generic Explorer Mouse" in child
    assert "AT Translated Set 2 keyboard" in child
    assert "Plinth\r\nSeaBIOS\r\n" in child
    assert "0 loaded units listed" in child
    assert not re.search(r"ACPI (BIOS )?(Error|Warning)|\[Firmware (Bug|Warn)|ata1.*(exception|failed)", child)
    assert len(sums(child)) == 2 and len(set(sums(child))) == 1
    if reboots:
        assert re.search(r"^4\r$", part["reboot"], re.MULTILINE)
        assert "cannot access '/run/before'" in part["reboot"]
        assert sums(part["reboot"]) == sums(child)[:1]
        assert firmware.count("SeaBIOS (version") >= 2
    assert re.search(r"^stopped 0$", button, re.MULTILINE) and re.search(r"^status 0$", button, re.MULTILINE)
    assert re.search(r"^clean 0$", button, re.MULTILINE) and "skipping journal" not in button
    assert "Found QEMU fw_cfg" in firmware and "PS2 keyboard initialized" in firmware
    assert "ata0-0: " in firmware and "Found 4 cpu(s) max supported 4 cpu(s)" in firmware


def test_fio_and_kexec(lab, device):
    """
    fio writes and verifies two drives at once, one by bus master and one by data register. A kexec: the new kernel has
    the drives and the network. The kernel is the disk's own, started without the firmware, with a shell as its init.
    """
    # Stock KVM comes out once for each word of REP OUTS: half a million times for 1 MiB, longer than libata waits.
    limit = 'echo 32 >/sys/block/\\$pio/queue/max_sectors_kb' if device.path == "/dev/kvm" else ":"
    out = lab.sh(script(device, rf"""
        truncate -s 24M dma.img
        truncate -s 25M pio.img
        mkdir m www
        head -c 300000 /dev/urandom >www/file
        /usr/lib/plinth-lab/busybox httpd -p 127.0.0.1:8080 -h www
        mount /dev/vdd1 m || exit 91
        cp m/vmlinuz m/initrd.img .
        umount m
        start --cpus 2 --net user --disk /dev/vdd,format=raw --disk dma.img,bus=ide0.1 --disk pio.img,bus=ide1.0 \
            --kernel vmlinuz --initrd initrd.img --stats \
            --append "root=LABEL=disk rw console=ttyS0 init=/bin/sh libata.force=2.00:pio4"
        expect "job control turned off"
        echo "== fio"
        in_child "mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm; cd /sys/block; \
                  dma=\$(grep -lx $((24 * 2048)) */size | cut -d/ -f1); \
                  pio=\$(grep -lx $((25 * 2048)) */size | cut -d/ -f1); cd /; {limit}"
        in_child "{FIO} {fio_jobs("dma")} {fio_jobs("pio")} | grep -E 'err=|READ|WRITE|verify|bad'"
        in_child "dmesg | grep -E 'ata.*(exception|error|failed|timeout)'"
        in_child "head -c 1000000 /dev/urandom >/root/f; sync; sha256sum </root/f"
        in_child "kexec -l /vmlinuz --initrd=/initrd.img --append='root=LABEL=disk rw console=ttyS0 init=/bin/sh after=kexec'"
        echo "mount -o remount,ro / && kexec -e" >&9
        expect "job control turned off"
        echo "== kexec"
        in_child "cat /proc/cmdline; nproc; sha256sum </root/f"
        in_child "modprobe tulip; cd /sys/class/net; for n in e*; do \
                  ip addr add 10.0.2.15/24 dev \$n; ip link set \$n up; done; cd /"
        in_child "curl -s http://10.0.2.2:8080/file | sha256sum"
        sha256sum <www/file | sed 's/^/sent /'
        echo "mount -o remount,ro / && poweroff -f" >&9
        leave
    """), disk=True, cpus=2, timeout=1200).check()
    print(out)
    part = sections(out)
    fio, kexec = part["fio"], part["kexec"]
    assert re.findall(r"(ata[12]\.0[01]): FORCE: xfer_mask set to (\w+)", out) == [("ata2.00", "pio4")]
    for drive in ("ata1.00", "ata1.01", "ata2.00"):
        assert out.count(f"{drive}: ATA-6: PLINTH DISK") == 2, out
    for way, jobs in SIZES.items():
        for block in jobs:
            assert re.search(rf"^{way}-{block}: \(groupid=\d+, jobs=1\): err= 0:", fio, re.MULTILINE), fio
    assert not re.search(r"verify: bad|^\[.*ata\d.*(exception|error|failed|timeout)", fio, re.MULTILINE), fio
    assert re.search(r"^root=LABEL=disk .*after=kexec\r\n2\r$", kexec, re.MULTILINE)
    assert len(sums(fio)) == 1
    sent = re.search(r"^sent ([0-9a-f]{64})", kexec, re.MULTILINE).group(1)
    assert sums(kexec) == [*sums(fio), sent]
    assert re.search(r"^status 0$", kexec, re.MULTILINE)


def sums(part):
    """The checksums that sha256sum has printed."""
    return re.findall(r"^([0-9a-f]{64})  -", part, re.MULTILINE)


GRUB_ONLY = """\
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB: up"
%s
"""


def grub_only(folder, command):
    """A disk whose boot loader does nothing but `command`."""
    config = folder / f"{command}.cfg"
    config.write_text(GRUB_ONLY % command, encoding="ascii")
    modules = ("biosdisk", "part_msdos", "serial", "terminal", "echo", command)
    path = folder / f"{command}.img"
    disk.grub_disk(path, disk.core_image(folder / "core.img", config=config, modules=modules))
    return str(path)


def test_boot_loader_reboots_and_halts(lab, device, tmp_path):
    """GRUB starts the firmware over, which resets the machine: again and again; its halt is ACPI's power-off."""
    out = lab.sh(script(device, r"""
        echo "== reboot"
        start --disk /root/reboot.img,format=raw --firmware-log fw.log --cpus 4
        expect "GRUB: up"
        expect "GRUB: up"
        expect "GRUB: up"
        kill -TERM $!
        leave
        cat fw.log
        echo
        echo "== halt"
        start --disk /root/halt.img,format=raw
        leave
    """), put=[grub_only(tmp_path, "reboot"), grub_only(tmp_path, "halt")], cpus=2).check()
    parts = sections(out)
    assert re.search(r"^status 12$", parts["reboot"], re.MULTILINE)
    assert parts["reboot"].count("Found 4 cpu(s) max supported 4 cpu(s)") >= 3
    assert parts["reboot"].count("Attempting a hard reboot") >= 2
    assert "GRUB: up" in parts["halt"]
    assert re.search(r"^status 0$", parts["halt"], re.MULTILINE)


# Boot sectors that reset the machine, each in another way.
RESETS = {
    "keyboard-controller": "b0 fe e6 64 f4",  # mov al, 0xfe; out 0x64, al; hlt
    "port-92": "b0 01 e6 92 f4",
    "port-cf9": "ba f9 0c b0 06 ee f4",
    "triple-fault": "fa 0f 01 1e 10 7c cd 03 f4",  # lidt of six zeroes at 0x7c10; int 3
}


def test_ways_to_reset(lab, device, tmp_path):
    """Whatever a guest uses, memory with a vector table of zeroes included, the firmware starts again."""
    for way, code in RESETS.items():
        (tmp_path / way).write_bytes(bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa")
    out = lab.sh(script(device, "".join(f"""
        echo "== {way}"
        start --disk /root/{way},format=raw --firmware-log fw.log
        expect "Booting from Hard Disk"
        expect "Booting from Hard Disk"
        expect "Booting from Hard Disk"
        kill -TERM $!
        leave
        cat fw.log
        echo
    """ for way in RESETS)), put=[str(tmp_path / way) for way in RESETS], cpus=2).check()
    parts = sections(out)
    for way in RESETS:
        assert re.search(r"^status 12$", parts[way], re.MULTILINE), parts[way]
        soft = parts[way].count("Attempting a hard reboot")
        assert soft == 0 if way == "port-cf9" else soft >= 2, parts[way]
