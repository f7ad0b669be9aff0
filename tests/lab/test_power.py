# SPDX-License-Identifier: GPL-2.0-only
"""
Power cuts under writes: a drive that says that it has flushed has flushed.

A worker that is killed leaves what it has written in the page cache of the machine that it ran on, and that would
survive: nothing of FLUSH would be proved. So the drives lie on something that has the volatile cache of a disk and
loses it at the cut:

- `file`: the worker has a block device, whose cache is the machine's page cache; nothing is written back but by
  fdatasync. At the cut device mapper makes the device one that fails everything, and what is not on it yet is gone.
- `nbd`: nbdkit's cache filter keeps what is written in memory of its own until the client flushes; it is killed
  along with the worker.

In the child, Debian's kernel has the disk as its root, and three processes write to it (guest/writer.pl). What fsync has
promised one of them it says on the serial console, outside. That the cut does lose what was only written is seen on the
second drive: of two sectors that the child was told are written, one was flushed, and only that one is there.
"""

import pathlib
import re

import pytest

from test_disk import script
from test_run import DEVICES, sections

WRITER = pathlib.Path(__file__).resolve().parent / "guest" / "writer.pl"
KINDS = ("file", "nbd")

CUTS = r"""
# Nothing is written back before an hour. (0 would be at once: a device that has written nothing yet has no share of
# what may be dirty.)
echo 360000 >/proc/sys/vm/dirty_writeback_centisecs
echo $((1 << 30)) >/proc/sys/vm/dirty_background_bytes
SIZE=$(blockdev --getsz /dev/vdd)
MAP="dmsetup --noudevsync"
modprobe dm-mod || exit 91

on_file() {
    loop=$(losetup -f --show second.img)
    $MAP create root --table "0 $SIZE linear /dev/vdd 0"
    $MAP create second --table "0 2048 linear $loop 0"
    $MAP mknodes
    DISKS="--disk /dev/mapper/root,format=raw --disk /dev/mapper/second,bus=ide0.1,format=raw"
}
cut_file() {
    $MAP wipe_table --nolockfs root second
    kill -9 $worker
    wait $worker
    $MAP remove root
    $MAP remove second
    losetup -d $loop
}

# serve NAME FILE
serve() {
    rm -f $1.sock $1.pid
    nbdkit -f -P $1.pid -U $1.sock --filter=cache file $2 cache=writeback &
    until [ -s $1.pid ]; do :; done
    chmod 666 $1.sock
}
on_nbd() {
    serve root /dev/vdd
    serve second second.img
    uri="nbd:nbd+unix:///?socket=$PWD"
    DISKS="--disk $uri/root.sock --disk $uri/second.sock,bus=ide0.1"
}
cut_nbd() {
    kill -9 $(cat root.pid second.pid) $worker
    wait
}

# last WORD: the last number that the console gave with it, in a whole line
last() {
    sed -n "s/^$1 \([0-9]*\)\r$/\1/p" console | tail -n1
}

mkdir m
mount /dev/vdd1 m || exit 92
install writer.pl m/root/
cp m/vmlinuz m/initrd.img .
umount m

n=0
for kind in KINDS; do
    n=$((n + 1))
    echo "== $n $kind"
    truncate -s 0 second.img
    truncate -s 1M second.img
    on_$kind
    start --kernel vmlinuz --initrd initrd.img $DISKS \
        --append "root=LABEL=disk ro console=ttyS0 quiet init=/root/writer.pl"
    worker=$!
    expect "second drive marked" >console
    expect "logged $((20 + n % 3 * 9))" >>console
    cut_$kind
    exec 9>&-
    cat <&8 >>console
    tail -n 3 console
    echo; echo "second drive:"
    dd if=second.img bs=8 count=1 status=none | tr '\0' .; echo
    dd if=second.img bs=8 skip=512 count=1 status=none | tr '\0' .; echo
    e2fsck -p /dev/vdd1
    echo "replayed $?"
    e2fsck -f -n /dev/vdd1
    echo "clean $?"
    mount -o ro /dev/vdd1 m
    perl writer.pl --check m/root/w $(last logged) $(last filed)
    umount m
done
"""


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.path.rpartition("/")[2])
def test_power_cuts(lab, device):
    """Nothing acknowledged is lost, and what the journal leaves is in order; the next cut starts from what is there."""
    cuts = lab.cycles(3, 20)
    first = DEVICES.index(device)  # so that each kind gets its share with few cuts too
    kinds = [KINDS[(first + n) % 2] for n in range(cuts)]
    out = lab.sh(script(device, CUTS.replace("KINDS", " ".join(kinds))), packages="dmsetup nbdkit", disk=True, cpus=2,
                 put=[str(WRITER)], timeout=300 * cuts).check()
    print(out)
    parts = sections(out)
    assert list(parts) == [f"{n} {kind}" for n, kind in enumerate(kinds, 1)]
    for part in parts.values():
        assert re.search(r"^second drive:\nflushed\.\n\.{8}$", part, re.MULTILINE), part
        assert "recovering journal" in part
        assert re.search(r"^replayed [01]$", part, re.MULTILINE), part
        assert re.search(r"^clean 0$", part, re.MULTILINE), part
        logged, filed = map(int, re.search(r"^(\d+) records, (\d+) files, bad 0$", part, re.MULTILINE).groups())
        assert logged >= 20 and filed >= 3, part
