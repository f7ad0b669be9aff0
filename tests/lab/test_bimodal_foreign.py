# SPDX-License-Identifier: GPL-2.0-only
"""
B3: the module meets parts that have no second mode, a DEC adapter and a PIIX4's IDE function with two disks. They are
QEMU's, in the lab machine itself. What can be read of them is the same afterwards, and their drivers keep them.
"""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
SIZE = 4 << 20

SCRIPT = r"""
cd /sys/bus/pci/devices
of() { grep -l $1 */device | cut -d/ -f1; }
nic=$(of 0x0019)
ide=$(of 0x7111)
word() { dd if=$1 bs=$2 skip=$3 count=1 status=none | od -A n -t x$2 | sed "s|^|$1 $3|"; }
# All of the two that can be read without a change: configuration spaces; CSRs, and the unused halves of their slots; the
# task file of each channel, and its alternate status; the bus master's command and status.
registers() {
	for file in $nic/config $ide/config; do od -A x -t x1 -v $file; done
	for n in $(seq 0 31); do word $nic/resource0 4 $n; done
	for bar in 0 2; do
		for n in 1 2 3 4 5 6; do word $ide/resource$bar 1 $n; done
		word $ide/resource$((bar + 1)) 1 2
	done
	for n in 0 2 8 10; do word $ide/resource4 1 $n; done
}
driver() { basename $(readlink $1/driver || echo none); }
# The module asks all that it can find. QEMU's adapter is a 21143, of which it has to be told.
meet() {
	modprobe plinth_bimodal $1 || exit 1
	echo 1011 0019 >/sys/bus/pci/drivers/plinth_bimodal_nic/new_id
	echo "drivers $(driver $nic) $(driver $ide)"
}
works() {
	/usr/lib/plinth-lab/busybox nc 10.0.2.100 7 </sent | cmp - /sent && echo "network works"
	for disk in $(grep -lx %(sectors)d /sys/block/sd*/size | cut -d/ -f4); do
		dd if=/dev/$disk bs=64k iflag=direct status=none | md5sum | sed 's/^/disk /'
	done
}
registers >/before
meet handshake=1
registers >/after
rmmod plinth_bimodal
diff /before /after && echo "same $(wc -l </after)"
for m in tulip sd_mod ata_piix; do modprobe $m || exit 2; done
head -c 300000 /dev/urandom >/sent
name=$(basename $nic/net/*)
ip addr add 10.0.2.15/24 dev $name && ip link set $name up || exit 3
works
for how in handshake=0 handshake=1; do
	meet $how
	works
	rmmod plinth_bimodal
done
"""


def test_left_alone(lab, tmp_path):
    """With and without the handshake; before their drivers and while these have them."""
    devices = ["-netdev user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:/bin/cat -device tulip,netdev=net",
               "-device piix4-ide,id=pata -trace ide_exec_cmd"]
    for unit in (0, 1):
        path = tmp_path / f"disk{unit}"
        path.write_bytes(bytes((n * 7 + unit) % 251 for n in range(1 << 16)) * (SIZE >> 16))
        devices += [f"-drive if=none,id=pata{unit},format=raw,file={path}",
                    f"-device ide-hd,drive=pata{unit},bus=pata.0,unit={unit}"]
    result = lab.sh(SCRIPT % {"sectors": SIZE // 512}, kernel="full", cpus=1, qemu=devices)
    out = result.check()
    print(out)
    trace = (TOP / result.folder / "cpu-resets.log").read_text(encoding="ascii", errors="replace")
    assert len(re.findall("^ide_exec_cmd .* cmd 0x70", trace, re.MULTILINE)) == 6
    assert int(re.search(r"^same (\d+)$", out, re.MULTILINE).group(1)) > 80
    assert re.findall(r"^drivers (.*)$", out, re.MULTILINE) == ["none none", "tulip ata_piix", "tulip ata_piix"]
    assert out.count("network works") == 3
    disks = re.findall(r"^disk ([0-9a-f]{32})", out, re.MULTILINE)
    assert len(disks) == 6 and len(set(disks)) == 2
    assert disks[:2] == disks[2:4] == disks[4:]
