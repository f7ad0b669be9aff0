# SPDX-License-Identifier: GPL-2.0-only
"""
B3 to B6: the network adapter that is a 21140A to Debian's tulip and a virtio device to Debian's virtio_net, in one
running child, by a module that takes it from one and gives it back.
"""

import re

import pytest

DEVICES = {"kvm": "modprobe kvm-amd", "plinth": "plinth launch"}

MAC = "52:54:00:12:34:56"

# The adapters of a child: each way of identifying, enabling and relating, and one that is the old part.
WAYS = (
    "identify=register,enable=register,relation=disables-part",
    "identify=revision,enable=bit,relation=disables-all",
    "identify=handshake,enable=sequence,relation=extends",
)

CHILD = r"""
for m in failover net_failover virtio virtio_ring virtio virtio_net; do insmod /$m.ko 2>/dev/null; done
# Of the adapters in slots 3 to 6 only the first, which has the network, is tulip's: its probe is long.
cd /sys/bus/pci/devices
others() { for slot in 4 5 6; do echo $1 >0000:00:0$slot.0/driver_override; done; }
driver() { basename $(readlink 0000:00:0$1.0/driver || echo none); }
others nobody
insmod /tulip.ko
others
try() {
	ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && route add default gw 10.0.2.2
	ping -c 2 10.0.2.2 >/dev/null || exit 1
	wget -q -O /big http://10.0.2.2:8080/big || exit 2
	echo "$1 $(driver 3) $(cat /sys/class/net/eth0/address) $(md5sum </big)"
	echo "path $(/usr/bin/udevadm test-builtin net_id /sys/class/net/eth0 2>/dev/null | grep ^ID_NET_NAME_PATH=)"
	rm /big
	ifconfig eth0 down
}
# The drivers have changed: who has what, and the network again, whose interface may have another name.
look() {
	echo "drivers $(driver 3) $(driver 4) $(driver 5) $(driver 6)"
	name=$(basename $(echo 0000:00:03.0/net/* 0000:00:03.0/virtio*/net/* | tr ' ' '\n' | grep -v '\*'))
	[ "$name" = eth0 ] || ip link set dev $name name eth0 || exit 4
	try $1
}
try legacy
insmod /plinth_bimodal.ko handshake=1 || exit 3
look fast
grep plinth_bimodal /proc/interrupts
others nobody
rmmod plinth_bimodal || exit 5
look again
"""

# An initramfs of the child's drivers and script.
PREPARE = r"""
%(setup)s || exit 90
busybox=/usr/lib/plinth-lab/busybox
mkdir -p extra
modules=/usr/lib/modules/$(uname -r)
for m in drivers/net/ethernet/dec/tulip/tulip drivers/net/virtio_net drivers/net/net_failover net/core/failover \
	drivers/virtio/virtio drivers/virtio/virtio_ring; do
	cp $modules/kernel/$m.ko extra/ || exit 91
done
cp $modules/extra/plinth_bimodal.ko extra/ || exit 91
cat >extra/net.sh <<'END'
%(child)sEND
(cd extra && find . | $busybox cpio -o -H newc 2>/dev/null) | gzip -1 >extra.gz
cat /usr/lib/plinth-lab/child.cpio.gz extra.gz >initrd
"""

ROOT = r"""
for file in /usr/bin/udevadm $(ldd /usr/bin/udevadm | grep -o '/[^ ]*'); do
	mkdir -p extra
	cp --parents -L $file extra || exit 92
done
""" + PREPARE + r"""
mkdir www
head -c 1000000 /dev/urandom >www/big
echo "served - - $(md5sum <www/big)"
$busybox httpd -p 127.0.0.1:8080 -h www
plinth run --device /dev/%(device)s --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 256M --cpus %(cpus)d \
	%(nets)s %(trace)s --append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null
echo "status $?"
[ ! -e trace ] || echo "doorbells $(grep -c 'nic0.io 24 w' trace)"
"""


@pytest.mark.parametrize("device", DEVICES)
def test_taken_over_and_given_back(lab, device):
    """
    Tulip, then virtio_net, then tulip again on the same adapter, with the same address, the same name by its path and data that
    come whole. Of four adapters the module takes those that are bimodal, each in its own way, and leaves the one that is
    not. On one of the two a trace shows the doorbells, which it makes exits of; on the other they are ioeventfds.
    """
    trace = "--trace trace,device=nic" if device == "kvm" else ""
    nets = [f"user,bimodal=on,mac={MAC},{WAYS[0]}", *(f"none,bimodal=on,{ways}" for ways in WAYS[1:]), "none"]
    out = lab.sh(ROOT % {"setup": DEVICES[device], "device": device, "child": CHILD,
                         "cpus": 1 if device == "kvm" else 2, "nets": " ".join(f"--net {net}" for net in nets), "trace": trace},
                 kernel="full", packages="udev", cpus=2, timeout=900).check()
    print(out)
    assert re.search(r"^status 0$", out, re.MULTILINE)
    assert re.findall(r"^path (\S+)", out, re.MULTILINE) == ["ID_NET_NAME_PATH=enp0s3"] * 3
    seen = {row[0]: row[1:] for row in re.findall(r"^(served|legacy|fast|again) (\S+) (\S+) ([0-9a-f]{32})", out,
                                                  re.MULTILINE)}
    assert {name: row[0] for name, row in seen.items()} == {
        "served": "-", "legacy": "tulip", "fast": "plinth_bimodal_nic", "again": "tulip"}
    assert {row[1] for name, row in seen.items() if name != "served"} == {MAC}
    assert len({row[2] for row in seen.values()}) == 1
    assert re.findall(r"^drivers (.*?)\r?$", out, re.MULTILINE) == [
        "plinth_bimodal_nic plinth_bimodal_nic plinth_bimodal_nic none", "tulip none none none"]
    assert re.search(r"PCI-MSI \d+-edge +plinth_bimodal_nic", out)
    assert not trace or int(re.search(r"^doorbells (\d+)$", out, re.MULTILINE).group(1)) > 10


LINK = r"""
for m in failover net_failover virtio virtio_ring virtio virtio_net; do insmod /$m.ko 2>/dev/null; done
now() { cut -d' ' -f1 /proc/uptime; }
up() { ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && until read -r carrier </sys/class/net/eth0/carrier && [ $carrier = 1 ]; do :; done; }
insmod /tulip.ko && up && ping -c 1 10.0.2.2 >/dev/null || exit 1
begun=$(now)
insmod /plinth_bimodal.ko && up
echo "link $begun $(now)"
ping -c 1 10.0.2.2 >/dev/null || exit 2
"""

LINKING = PREPARE + r"""
plinth run --device /dev/%(device)s --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 256M \
	--net user,bimodal=on --append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null
echo "status $?"
"""


def test_link_is_back_within_a_second(lab):
    """From the module's loading with tulip bound to virtio_net's link, by a clock that counts executed instructions."""
    out = lab.sh(LINKING % {"setup": DEVICES["plinth"], "device": "plinth", "child": LINK},
                 kernel="full", icount=True, memory="3G", timeout=900).check()
    begun, ended = map(float, re.search(r"^link ([\d.]+) ([\d.]+)\r$", out, re.MULTILINE).groups())
    print(f"the link was back after {ended - begun:.2f} s")
    assert ended - begun < 1
    assert re.search(r"^status 0$", out, re.MULTILINE)


SWITCHES = r"""
for m in failover net_failover virtio virtio_ring virtio virtio_net; do insmod /$m.ko 2>/dev/null; done
# What comes is taken from the socket soon after it is there, so that no long stretch of the stream is on its way.
echo 4096 65536 65536 >/proc/sys/net/ipv4/tcp_rmem
cycles=%(cycles)d
insmod /tulip.ko
mkfifo there back
dd if=/dev/urandom of=/sent bs=256k count=$((2 * cycles + 1)) 2>/dev/null
# No more than that is on its way: who sends back what he gets takes no more while nobody takes that from him.
sent=0
send() { dd if=/sent bs=256k skip=$sent count=1 2>/dev/null >&9 & sent=$((sent + 1)); }
# The driver has changed; the stream goes on: 256 KiB, of which at most half were in the child already. Then come the next.
go_on() {
	ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up || exit 1
	[ $1 = $(basename $(readlink /sys/bus/pci/devices/0000:00:03.0/driver)) ] || exit 2
	dd bs=256k count=1 iflag=fullblock <&8 2>/dev/null >>/got
	send
}
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
exec 9<>there
nc 10.0.2.2 8081 <there >back 9>&- &
exec 8<back
send
go_on tulip
for i in $(seq $cycles); do
	insmod /plinth_bimodal.ko || exit 3
	go_on plinth_bimodal_nic
	rmmod plinth_bimodal || exit 4
	go_on tulip
	echo "switched $((2 * i)) times, $(cut -d' ' -f1 /proc/uptime) s"
done
exec 9>&-
wait
cat <&8 >>/got
md5sum /sent /got
"""

SWITCHING = PREPARE + r"""
$busybox nc -l -p 8081 -e $busybox cat &
plinth run --device /dev/%(device)s --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 256M --cpus %(cpus)d \
	--net user,bimodal=on --append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null
echo "status $?"
"""


@pytest.mark.parametrize("device", DEVICES)
def test_switched_under_load(lab, device):
    """The adapter changes hands again and again while one TCP connection sends and receives: nothing lost or repeated."""
    cycles = lab.cycles(5, 50)
    out = lab.sh(SWITCHING % {"setup": DEVICES[device], "device": device, "cpus": 1 if device == "kvm" else 2,
                              "child": SWITCHES % {"cycles": cycles}},
                 kernel="full", cpus=2, timeout=1800).check()
    print(out)
    assert f"switched {2 * cycles} times" in out
    sums = re.findall(r"^([0-9a-f]{32})  /(sent|got)", out, re.MULTILINE)
    assert [name for _, name in sums] == ["sent", "got"] and sums[0][0] == sums[1][0]
    assert re.search(r"^status 0$", out, re.MULTILINE)


# Through a tap, in each mode, with data on their way while the mode changes.
TAP_CHILD = r"""
for m in failover net_failover virtio virtio_ring virtio virtio_net; do insmod /$m.ko 2>/dev/null; done
up() { # after the driver has changed the interface may have another name
	name=$(basename $(echo /sys/bus/pci/devices/0000:00:03.0/net/* /sys/bus/pci/devices/0000:00:03.0/virtio*/net/* | tr ' ' '\n' | grep -v '\*'))
	[ "$name" = eth0 ] || ip link set dev $name name eth0 || exit 1
	ifconfig eth0 10.9.0.2 netmask 255.255.255.0 up || exit 1
}
host() { wget -q -O - http://10.9.0.1:8080/cgi-bin/$1; } # what the other end has to say
try() {
	host "count?$1-before" || exit 2
	wget -q -O /got http://10.9.0.1:8080/big || exit 2
	host "count?$1-received" || exit 2
	head -c %(up)d /got >/part
	wget -q -O - --post-file /part http://10.9.0.1:8080/cgi-bin/back || exit 3
	host "count?$1-sent" || exit 2
	echo "$1 $(basename $(readlink /sys/bus/pci/devices/0000:00:03.0/driver)) $(md5sum </got)"
}
switch() { # COMMAND...: while something is being received, all of which has to come
	rm -f /big
	wget -q -O /big http://10.9.0.1:8080/big & # goes on once there is a network again
	until [ -s /big ]; do :; done
	"$@" || exit 4
	up
	wait $! || exit 5
	echo "during $1 $(md5sum </big)"
}
insmod /tulip.ko
up
try legacy
switch insmod /plinth_bimodal.ko
echo "features $(cat /sys/bus/pci/devices/0000:00:03.0/virtio*/features)"
echo "queues $(echo /sys/class/net/eth0/queues/* | tr ' ' '\n' | grep -c rx-)"
try fast
switch rmmod plinth_bimodal
try again
"""

TAP_ROOT = PREPARE + r"""
mkdir -p www/cgi-bin
cat >www/cgi-bin/back <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "back - $(head -c $CONTENT_LENGTH | md5sum)"
END
cat >www/cgi-bin/count <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
cd /sys/class/net/t0/statistics
doorbells=$(plinth stats --json tapped | grep -o '"doorbells":[0-9]*')
echo "count $QUERY_STRING $(cat tx_packets tx_bytes rx_packets rx_bytes | tr '\n' ' ')${doorbells#*:}"
END
chmod +x www/cgi-bin/*
base64 -w 0 /dev/urandom | head -c %(down)d >www/big # busybox's wget sends text only
echo "served - $(md5sum <www/big)"
echo "part - $(head -c %(up)d www/big | md5sum)"
ip tuntap add dev t0 mode tap && ip addr add 10.9.0.1/24 dev t0 && ip link set t0 up || exit 92
$busybox httpd -p 8080 -h www
plinth run --name tapped --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 256M --cpus 2 \
	--net tap,ifname=t0,bimodal=on --append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null
echo "status $?"
"""

# Bytes. Tulip sends slowly here (test_net.py).
TAP_DOWN = 8 << 20
TAP_UP = 1 << 20
MTU_FRAME = 1514

# Feature bits of virtio_net that the cable makes possible.
OFFLOADS = {"CSUM": 0, "GUEST_CSUM": 1, "GUEST_TSO4": 7, "GUEST_TSO6": 8, "HOST_TSO4": 11, "HOST_TSO6": 12, "MRG_RXBUF": 15}


def test_offloads_of_a_tap(lab):
    """
    In high-performance mode frames with work left to do cross the tap, larger than the wire's, both ways; in legacy mode none
    does, before and after. A transfer that goes on while the driver changes comes whole, though the host's stack
    has frames ready in the other mode's way. Doorbells are signals to the worker, not exits.
    """
    out = lab.sh(TAP_ROOT % {"setup": "plinth launch && modprobe tun", "child": TAP_CHILD % {"up": TAP_UP}, "down": TAP_DOWN,
                             "up": TAP_UP}, kernel="full", cpus=2, timeout=900).check()
    print(out)
    assert re.search(r"^status 0$", out, re.MULTILINE)
    assert len(set(re.findall(r"^(?:part|back) - ([0-9a-f]{32})", out, re.MULTILINE))) == 1
    sums = re.findall(r"^(served|legacy|fast|again|during) (\S+) ([0-9a-f]{32})", out, re.MULTILINE)
    assert [row[:2] for row in sums] == [
        ("served", "-"), ("legacy", "tulip"), ("during", "insmod"), ("fast", "plinth_bimodal_nic"), ("during", "rmmod"),
        ("again", "tulip")]
    assert len({row[2] for row in sums}) == 1
    (features,) = re.findall(r"^features ([01]+)", out, re.MULTILINE)
    assert {name for name, bit in OFFLOADS.items() if features[bit] != "1"} == set()
    assert re.search(r"^queues 2\r?$", out, re.MULTILINE)
    counts = {name: [int(n) for n in row.split()] for name, row in re.findall(r"^count (\S+) ([\d ]+)", out, re.MULTILINE)}
    for mode in ("legacy", "fast", "again"):
        before, received, sent = (counts[f"{mode}-{when}"] for when in ("before", "received", "sent"))
        sizes = ((received[1] - before[1]) / (received[0] - before[0]), (sent[3] - received[3]) / (sent[2] - received[2]))
        assert all((size > MTU_FRAME) == (mode == "fast") for size in sizes), (mode, sizes)
        assert (sent[4] > before[4]) == (mode == "fast")
