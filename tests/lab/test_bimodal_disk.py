# SPDX-License-Identifier: GPL-2.0-only
"""
B3 to B6: disks that are ATA drives to Debian's ata_piix and virtio devices to Debian's virtio_blk: a system on one of
them that boots either way, and disks that change hands in a running child.
"""

import hashlib
import pathlib
import re

import pytest

from test_disk import FIO, script
from test_run import DEVICES, sections

HERE = pathlib.Path(__file__).resolve().parent


def name_of(device):
    """How a test on `device` is called."""
    return device.path.rpartition("/")[2]


# As docs/bimodal.md says, to the system on the disk; its initramfs without the module stays too. A shell is its init.
INSTALL = r"""
mkdir m
mount /dev/vdd1 m && mount -t proc none m/proc && mount --bind /dev m/dev || exit 91
release=$(uname -r)
cp m/initrd.img m/boot/initrd-legacy || exit 91
install -D -t m/lib/modules/$release/extra /usr/lib/modules/$release/extra/plinth_bimodal.ko || exit 91
echo 'softdep ata_piix pre: plinth_bimodal' >m/etc/modprobe.d/plinth_bimodal.conf
echo COMPRESSLEVEL=1 >>m/etc/initramfs-tools/conf.d/disk
printf 'plinth_bimodal\nvirtio_blk\n' >>m/etc/initramfs-tools/modules
chroot m depmod $release && chroot m update-initramfs -u || exit 92
sed -i 's| ro console| rw init=/bin/sh console|' m/boot/grub/grub.cfg
umount m/proc m/dev m
"""

BLOCKS = {"4k": "512k", "64k": "2m", "1m": "4m"}
JOBS = " ".join(f"--name=PHASE-{block} --filename=/dev/data --bs={block} --offset={n * 8}m --size={size}"
                for n, (block, size) in enumerate(BLOCKS.items()))


def kexec(initrd):
    """The child starts its kernel again, with the initramfs `initrd` of its disk."""
    return rf"""
        in_child "sync; kexec -l /vmlinuz --initrd={initrd} \
                  --append='root=LABEL=disk rw console=ttyS0 quiet init=/bin/sh from={initrd}'"
        echo "mount -o remount,ro / && kexec -e" >&9
        expect "job control turned off"
    """


def phase(name):
    """
    What the child does in each of its kernels: who has its disks, what is on them, who has its adapter and a download by
    it, fio with verification and flushes.
    """
    return rf"""
        echo "== {name}"
        in_child "mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm; cat /proc/cmdline; \
                  data=\$(basename \$(dirname \$(grep -lx $((32 * 2048)) /sys/block/[sv]d?/size))); \
                  ln -s \$data /dev/data; cat /sys/block/\$data/queue/write_cache; \
                  echo who \$(basename \$(readlink /sys/bus/pci/devices/0000:00:01.1/driver)) \
                  \$(findmnt -no SOURCE /) \$data"
        in_child "[ ! -f /sums ] || sha256sum -c /sums"
        in_child "modprobe -a tulip virtio_net; for n in /sys/class/net/e*; do n=\${{n##*/}}; \
                  ip addr add 10.0.2.15/24 dev \$n; ip link set \$n up; done; \
                  echo net \$(basename \$(readlink /sys/bus/pci/devices/0000:00:03.0/driver)) \
                  \$(curl -s http://10.0.2.2:8080/file | sha256sum)"
        in_child "{FIO} --fsync=16 {JOBS.replace("PHASE", name)} | grep -E 'err=|READ|WRITE|verify|bad'"
        in_child "head -c 1000000 /dev/urandom >/file; sync; echo 3 >/proc/sys/vm/drop_caches; \
                  sha256sum /file /dev/data >/sums; sed 's/^/now /' /sums"
        in_child "dmesg | grep -E '(ata|vd).*(exception|error|failed|timeout)'"
    """


@pytest.mark.parametrize("device", DEVICES, ids=name_of)
def test_boots_and_kexecs(lab, device):
    """
    SeaBIOS and GRUB read the disk as ever; Debian has it by virtio_blk, from an initramfs with the module. By kexec to
    ata_piix, with an initramfs without, and back. What was written in one mode is read in the other. The adapter goes
    with the disks: virtio_net, tulip, virtio_net.
    """
    if not lab.long:
        pytest.skip("--long: an initramfs and three boots of Debian's take ten minutes")
    out = lab.sh(INSTALL + script(device, rf"""
        truncate -s 32M data.img
        mkdir www
        head -c 300000 /dev/urandom >www/file
        echo "sent $(sha256sum <www/file)"
        /usr/lib/plinth-lab/busybox httpd -p 127.0.0.1:8080 -h www
        start --cpus 2 --net user,bimodal=on --disk /dev/vdd,format=raw,bimodal=on --disk data.img,bimodal=on
        expect "GRUB: menu"
        expect "job control turned off"
        {phase("fast")}
        {kexec("/boot/initrd-legacy")}
        {phase("legacy")}
        {kexec("/initrd.img")}
        {phase("again")}
        in_child "blkdiscard /dev/data && sha256sum /dev/data"
        echo "blocks $(stat -c %b data.img)"
        head -c 32M /dev/zero | sha256sum
        echo "mount -o remount,ro / && poweroff -f" >&9
        leave
        e2fsck -f -n /dev/vdd1
        echo "clean $?"
    """), kernel="full", disk=True, cpus=2, timeout=1800).check()
    print(out)
    part = sections(out)
    assert re.findall(r"^who (.*?)\r?$", out, re.MULTILINE) == [
        "plinth_bimodal_disk /dev/vda1 vdb", "ata_piix /dev/sda1 sdb", "plinth_bimodal_disk /dev/vda1 vdb"]
    sent = re.search(r"^sent ([0-9a-f]{64})", out, re.MULTILINE).group(1)
    assert re.findall(r"^net (\S+) (\S+)", out, re.MULTILINE) == [
        ("plinth_bimodal_nic", sent), ("tulip", sent), ("plinth_bimodal_nic", sent)]
    for name in ("fast", "legacy", "again"):
        for block in BLOCKS:
            assert re.search(rf"^{name}-{block}: \(groupid=\d+, jobs=1\): err= 0:", part[name], re.MULTILINE)
        assert not re.search(r"verify: bad|^\[.*(ata|vd).*(exception|error|failed|timeout)", part[name], re.MULTILINE)
        assert part[name].count(": OK") == (0 if name == "fast" else 2) and ": FAILED" not in part[name]
    assert "write back" in part["fast"]
    assert len(re.findall(r"^now [0-9a-f]{64}", out, re.MULTILINE)) == 6
    discarded, zeroes = re.findall(r"^([0-9a-f]{64})  (?:/dev/data|-)", part["again"], re.MULTILINE)
    assert discarded == zeroes and "blocks 0\n" in part["again"]
    assert re.search(r"^status 0$", part["again"], re.MULTILINE)
    assert re.search(r"^clean 0$", part["again"], re.MULTILINE)


# The drivers that disk.sh loads, in their order, and the disks: each is identified, enabled and related in another way.
SWITCH = r"""
mkdir -p extra/disk
drivers() { # FILE DRIVER...
	file=$1
	shift
	for driver; do modprobe -D $driver; done | sed -n 's/^insmod //p' | awk '!seen[$0]++' |
		while read -r path; do
			[ -e extra/disk/${path##*/} ] && continue
			cp $path extra/disk/
			echo ${path##*/}
		done >extra/disk/$file
}
drivers common crct10dif_generic crc64_rocksoft_generic sd_mod sr_mod virtio_blk
drivers ata ata_piix
cp /usr/lib/modules/$(uname -r)/extra/plinth_bimodal.ko disk.sh extra/disk/
(cd extra && find . | /usr/lib/plinth-lab/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >extra.gz
cat /usr/lib/plinth-lab/child.cpio.gz extra.gz >initrd
for mib in 8 9 10; do truncate -s ${mib}M $mib.img; done
truncate -s 2M cd
INITRD=initrd
child "sh /disk/disk.sh %(cycles)d" --memory 256M --cpus %(cpus)d --disk 8.img,bimodal=on,%(ways0)s \
	--disk 9.img,bus=ide0.1,bimodal=on,%(ways1)s --disk 10.img,bus=ide1.0,bimodal=on,%(ways2)s --cdrom cd,bus=ide1.1 \
	%(trace)s </dev/null
echo "status $?"
for mib in 8 9 10; do dd if=$mib.img bs=64k count=8 status=none | md5sum | sed 's/^/kept /'; done
[ ! -e trace ] || echo "doorbells $(grep -c -E 'ide.bm (1|3|9|b) w' trace)"
"""

WAYS = ("identify=register,enable=register,relation=disables-part",
        "identify=handshake,enable=sequence,relation=disables-all",
        "identify=revision,enable=bit,relation=extends")


@pytest.mark.parametrize("device", DEVICES, ids=name_of)
def test_changes_hands(lab, device):
    """
    Three disks go from one driver to the other and back while they are read; what was written in one mode is there in
    the other. A CD on the same function is ata_piix's only. One of the two has its doorbells shown by a trace.
    """
    cycles = lab.cycles(2, 50)
    kvm = device.path == "/dev/kvm"
    ways = {f"ways{n}": how for n, how in enumerate(WAYS)}
    out = lab.sh(device.script(SWITCH % {"cycles": cycles, "cpus": 1 if kvm else 2, **ways,
                                         "trace": "--trace trace,device=ide" if kvm else ""}),
                 kernel="full", cpus=2, put=[str(HERE / "guest" / "disk.sh")], timeout=1800).check()
    print(out)
    assert re.search(r"^status 0$", out, re.MULTILINE) and "child: exit 0" in out
    phases = re.findall(r"^phase (.*?)\r?$", out, re.MULTILINE)
    assert phases.count("plinth_bimodal_disk vda vdb vdc ") == cycles + 2
    assert len([row for row in phases if re.fullmatch(r"ata_piix sd[abc] sd[abc] sd[abc] cd", row)]) == cycles + 1
    assert "ata_piix has bimodal disks; load this module before it" in out
    assert re.search(r"PCI-MSI \d+-edge +plinth_bimodal_disk", out)
    queues = re.findall(r"^queues (\d) write back (\d+) (\S+)\r?$", out, re.MULTILINE)
    assert len(queues) == 3 and all(row[0] == ("1" if kvm else "2") and int(row[1]) > 0 for row in queues)
    wrote, kept = (re.findall(rf"^{name} ([0-9a-f]{{32}})", out, re.MULTILINE) for name in ("wrote", "kept"))
    assert len(wrote) == 3 and wrote == kept
    zeroes = hashlib.md5(bytes(2 << 20)).hexdigest()
    assert re.findall(r"^discarded ([0-9a-f]{32})", out, re.MULTILINE) == [zeroes] * 3
    assert not kvm or int(re.search(r"^doorbells (\d+)$", out, re.MULTILINE).group(1)) > 10
