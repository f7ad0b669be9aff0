# SPDX-License-Identifier: GPL-2.0-only
"""The DEC 21140A under drivers that were written for the part: Linux's tulip and iPXE's, unmodified."""

import re

import pytest

DEVICES = {"kvm": "modprobe kvm-amd", "plinth": "plinth launch"}

MAC = "52:54:00:12:34:56"

# What a child does with its adapter. Nothing here waits for time to pass.
CHILD = r"""
insmod /tulip.ko
up() { ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && route add default gw 10.0.2.2; }
up
ping -c 3 10.0.2.2 || exit 1
wget -q -O /big http://10.0.2.2:8080/big || exit 2
echo "received $(md5sum </big)"
nc 10.0.2.2 8081 </big || exit 3
echo "== interface"
ifconfig eth0
echo "== again"
for i in 1 2 3; do
	ifconfig eth0 down && up && ping -c 2 10.0.2.2 || exit 4
done
# Each address joins a group. For so many the driver takes the hash table instead of the perfect filter.
for i in 1 2 3 4 5 6 7 8 9 a b c d e f; do
	ip addr add fec0::$i:$i/64 dev eth0 || exit 5
done
[ "$(grep -c eth0 /proc/net/dev_mcast)" -gt 14 ] || exit 5
ping -c 2 10.0.2.2 || exit 5
rmmod tulip && insmod /tulip.ko && up && ping -c 2 10.0.2.2 || exit 6
echo "== log"
dmesg | grep -E 'tulip|eth0|0000:00:03'
"""

LINUX = r"""
%(setup)s || exit 90
busybox=/usr/lib/plinth-lab/busybox
mkdir extra www
cp /usr/lib/modules/$(uname -r)/kernel/drivers/net/ethernet/dec/tulip/tulip.ko extra/
cat >extra/net.sh <<'END'
%(child)sEND
(cd extra && find . | $busybox cpio -o -H newc 2>/dev/null) | gzip -1 >extra.gz
cat /usr/lib/plinth-lab/child.cpio.gz extra.gz >initrd
head -c %(bytes)d /dev/urandom >www/big
echo "sent $(md5sum <www/big)"
$busybox httpd -p 127.0.0.1:8080 -h www
mkfifo hold
exec 9<>hold
$busybox nc -l -p 8081 <hold >back &
plinth run --device /dev/%(device)s --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 256M --cpus %(cpus)d \
	--net user,mac=%(mac)s --append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null
echo "status $?"
wait $!
echo "back $(md5sum <back)"
"""


@pytest.mark.parametrize("device", DEVICES)
def test_linux(lab, device):
    """Debian's kernel: found by its PCI identity and serial ROM; 2 MiB to the child and back by TCP; the interface
    down and up; more groups than the perfect filter takes; the module out and in."""
    out = lab.sh(LINUX % {"setup": DEVICES[device], "device": device, "child": CHILD, "bytes": 2 << 20, "mac": MAC,
                          "cpus": 1 if device == "kvm" else 2},
                 kernel="full", cpus=2, timeout=900).check()
    assert "child: exit 0" in out and re.search(r"^status 0$", out, re.MULTILINE)
    sums = dict(re.findall(r"^(sent|received|back) ([0-9a-f]{32})", out, re.MULTILINE))
    assert sums["sent"] == sums["received"] == sums["back"]
    assert f"Digital DS21140 Tulip rev 32 at Port 0x1000, {MAC}" in out
    assert "Index #0 - Media MII (#11) described by a 21140 MII PHY (1) block" in out
    assert "MII transceiver #1 config 3000 status 786d advertising 01e1" in out
    assert "Setting full-duplex based on MII#1 link partner capability of 41e1" in out
    # When it sets the duplex mode the driver stops the receiver, and counts the RPS that it gets for it.
    assert re.search(r"RX packets:\d+ errors:[01] dropped:0 overruns:0 frame:0", out)
    assert re.search(r"TX packets:\d+ errors:0 dropped:0 overruns:0 carrier:0", out)
    assert not re.search(r"transmit timed out|System Error|Oversized|Too much work", out)


IPXE = r"""
%(setup)s || exit 90
busybox=/usr/lib/plinth-lab/busybox
mkdir iso www
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 iso/
cp /boot/ipxe.lkrn iso/ipxe.krn
printf 'default x\nlabel x\n kernel ipxe.krn\n initrd script\n' >iso/isolinux.cfg
cat >iso/script <<'END'
#!ipxe
dhcp net0
imgfetch http://10.0.2.2:8080/big
imgstat
imgfree big
chain http://10.0.2.2:8080/next || shell
END
cat >www/next <<'END'
#!ipxe
imgfetch http://10.0.2.2:8080/done/${net0/chip}/${net0/ip}/${net0/mac:hexhyp} ||
shell
END
head -c %(bytes)d /dev/urandom >www/big
xorriso -as mkisofs -quiet -o ipxe.iso -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table iso
mkfifo requests
$busybox httpd -f -vv -p 127.0.0.1:8080 -h www >requests 2>&1 &
plinth run --device /dev/%(device)s --firmware seabios --cdrom ipxe.iso --net user,mac=%(mac)s,bimodal=%(bimodal)s </dev/null &
vm=$!
# Debian's iPXE cannot turn a machine off.
while IFS= read -r line; do
	echo "$line"
	case $line in *url:/done/*) break ;; esac
done <requests
kill $vm
wait $vm
printf '\nstatus %%d\n' $? # the console may have stopped within a line
"""


@pytest.mark.parametrize("device", DEVICES)
def test_ipxe(lab, device):
    """Debian's iPXE from a CD: DHCP, 1 MiB by HTTP, and a script from there. On one of the two the adapter is bimodal."""
    out = lab.sh(IPXE % {"setup": DEVICES[device], "device": device, "bytes": 1 << 20, "mac": MAC,
                         "bimodal": "on" if device == "plinth" else "off"},
                 packages="ipxe isolinux syslinux-common xorriso", cpus=2, timeout=900).check()
    assert re.search(r"^status 12$", out, re.MULTILINE)
    assert f"{1 << 20} bytes" in out
    assert f"url:/done/ds21140/10.0.2.15/{MAC.replace(':', '-')}" in out
