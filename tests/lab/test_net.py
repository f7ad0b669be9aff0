# SPDX-License-Identifier: GPL-2.0-only
"""A network under load, in both modes of the adapter: iperf3 and HTTP, both ways, through user networking and through a tap."""

import json
import re

import pytest

DEVICES = {"kvm": "modprobe kvm-amd", "plinth": "plinth launch"}

# Bytes. To send takes ten times as long here as to receive: the driver frees what was sent when TU comes, which is a timer
# of the worker's, and until then Linux queues two segments and no more.
DOWN = 32 << 20
UP = 1 << 20
TCP = {"tx": 1 << 20, "rx": 4 << 20}
UDP = 512 << 10
NETS = {"user": "10.0.2.2", "tap": "10.9.0.1"}

# The modules of each mode, and who then has the adapters.
MODES = {"legacy": (("tulip",), "tulip"),
         "fast": (("virtio_ring", "virtio", "failover", "net_failover", "virtio_net", "plinth_bimodal"), "plinth_bimodal_nic")}

# The child's part: a machine without a disk, one adapter on each kind of network. What it has to say goes by the network
# too, as a file per check: its console is slow.
CHILD = r"""
fail() { echo "failed: $*"; exit 1; }
for m in %(modules)s; do insmod /$m.ko || fail $m; done
for slot in 3 4; do echo "driver $(basename $(readlink /sys/bus/pci/devices/0000:00:0$slot.0/driver))"; done
ifconfig lo up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up && ifconfig eth1 10.9.0.2 netmask 255.255.255.0 up || fail addresses
mkdir -p /said /tmp
measure() { # NAME HOST OPTION...
	said=/said/$1 host=$2
	shift 2
	/iperf3 -c $host -J -i 0 "$@" >$said 2>&1 || { cat $said; fail iperf3 $host "$@"; }
}
for net in user:10.0.2.2 tap:10.9.0.1; do
	name=${net%%:*} host=${net#*:}
	wget -q -O /big http://$host:8080/big || fail download $name
	echo "$name received $(md5sum </big)"
	head -c %(up)d /big >/part
	wget -q -O - --post-file /part http://$host:8080/cgi-bin/back || fail upload $name
	rm /big
	measure $name-tcp-tx $host -n %(tcp_tx)d
	measure $name-tcp-rx $host -n %(tcp_rx)d -R
	measure $name-udp-tx $host -n %(udp)d -u -b 10M
	measure $name-udp-rx $host -n %(udp)d -u -b 10M -R
done
ifconfig eth0 >/said/ifconfig-eth0
ifconfig eth1 >/said/ifconfig-eth1
dmesg >/said/dmesg
tar -c -C /said . | nc 10.0.2.2 8081 || fail said
"""

ROOT = r"""
%(setup)s && modprobe tun || exit 90
busybox=/usr/lib/plinth-lab/busybox
mkdir -p extra www/cgi-bin
for m in %(modules)s; do
	find /usr/lib/modules/$(uname -r) -name $m.ko -exec cp {} extra/ \;
done
for file in $(ldd /usr/bin/iperf3 | grep -o '/[^ ]*'); do
	cp --parents -L $file extra
done
cp /usr/bin/iperf3 extra
cat >extra/net.sh <<'END'
%(child)sEND
(cd extra && find . | $busybox cpio -o -H newc 2>/dev/null) >extra.cpio
cat extra.cpio /usr/lib/plinth-lab/child.cpio.gz >initrd
cat >www/cgi-bin/back <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "from $REMOTE_ADDR $(head -c $CONTENT_LENGTH | md5sum)"
END
chmod +x www/cgi-bin/back
base64 -w 0 /dev/urandom | head -c %(down)d >www/big # busybox's wget sends text only
echo "sent $(md5sum <www/big)"
echo "part $(head -c %(up)d www/big | md5sum)"
ip tuntap add dev t0 mode tap && ip addr add 10.9.0.1/24 dev t0 && ip link set t0 up || exit 91
$busybox httpd -p 8080 -h www
iperf3 -s >/dev/null &
mkfifo hold
exec 9<>hold
$busybox nc -l -p 8081 <hold >said.tar &
said=$!
plinth run --device /dev/%(device)s --kernel /boot/vmlinuz-$(uname -r) --initrd initrd --memory 320M --cpus %(cpus)d \
	--net user,mac=52:54:00:00:00:01,bimodal=%(bimodal)s --net tap,ifname=t0,mac=52:54:00:00:00:02,bimodal=%(bimodal)s \
	--append 'console=ttyS0 quiet plinth.run="sh /net.sh"' </dev/null || exit 92
$busybox nc 127.0.0.1 8081 </dev/null 2>/dev/null # if the child did not come so far, nobody else will
wait $said
mkdir said && tar -x -C said -f said.tar
for file in said/*; do
	echo "== ${file#said/}"
	cat $file
done
"""


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def ended(text):
    """What iperf3 says at its end, which has to be a good one."""
    result = json.loads(text)
    assert "error" not in result, result["error"]
    return result["end"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("device", DEVICES)
def test_load(lab, device, mode):
    """
    Debian's tulip, or its virtio_net, two adapters: nothing is lost or changed by TCP, nothing added by UDP, and the driver has no
    complaint.
    """
    if mode == "fast" and device == "kvm" and not lab.long:
        pytest.skip("--long: high-performance mode is tried on /dev/plinth")
    modules, driver = " ".join(MODES[mode][0]), MODES[mode][1]
    out = lab.sh(ROOT % {"setup": DEVICES[device], "device": device, "cpus": 1 if device == "kvm" else 2, "down": DOWN, "up": UP,
                         "modules": modules, "bimodal": "on" if mode == "fast" else "off",
                         "child": CHILD % {"modules": modules, "up": UP, "tcp_tx": TCP["tx"], "tcp_rx": TCP["rx"], "udp": UDP}},
                 packages="iperf3", kernel="full", cpus=2, timeout=900).check()
    assert re.findall(r"^driver (\S+)", out, re.MULTILINE) == [driver] * 2
    assert "child: exit 0" in out
    (sent,) = re.findall(r"^sent ([0-9a-f]{32})", out, re.MULTILINE)
    (part_sent,) = re.findall(r"^part ([0-9a-f]{32})", out, re.MULTILINE)
    assert re.findall(r"^(user|tap) received ([0-9a-f]{32})", out, re.MULTILINE) == [("user", sent), ("tap", sent)]
    assert re.findall(r"^from (\S+) ([0-9a-f]{32})", out, re.MULTILINE) == [
        ("[::ffff:127.0.0.1]", part_sent), ("[::ffff:10.9.0.2]", part_sent)]
    part = sections(out)
    for net in NETS:
        for way in ("tx", "rx"):
            tcp = ended(part[f"{net}-tcp-{way}"])
            assert tcp["sum_sent"]["bytes"] >= TCP[way]
            # The server does not count what is still on its way when the client has sent its last.
            assert 0 < tcp["sum_received"]["bytes"] <= tcp["sum_sent"]["bytes"]
            udp = ended(part[f"{net}-udp-{way}"])
            assert udp["sum"]["bytes"] >= UDP
            assert 0 <= udp["sum"]["lost_packets"] < udp["sum"]["packets"]
    for eth in ("eth0", "eth1"):
        said = part[f"ifconfig-{eth}"]
        # When it sets the duplex mode the driver stops the receiver, and counts the RPS that it gets for it. A child that
        # has not run for a tenth of a second misses frames.
        assert re.search(r"RX packets:\d+ errors:[01] dropped:\d+ overruns:0 frame:0", said), said
        assert re.search(r"TX packets:\d+ errors:0 dropped:0 overruns:0 carrier:0", said), said
    assert not re.search(r"transmit timed out|System Error|Oversized|Too much work", part["dmesg"])
