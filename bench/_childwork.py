# SPDX-License-Identifier: GPL-2.0-only
"""
Work for a child's devices (devio.c), measured from the root: what devices.py and bimodal.py share. All children run the same
kernel and initramfs on one processor, with the disk a file in a tmpfs and the network a libslirp in the process.

The child says on its console when a phase begins and when it has ended, and waits for an answer. Between the two the
root reads its clock, which counts executed instructions, takes off the time it was idle, and reads counters. KVM's
polling for halted processors is off, as it would count waiting as work.
"""

import dataclasses
import gzip
import json
import pathlib

from labkit import archive, image
from labkit.bench import tool

OPTIONS = {"icount": True, "memory": "3G", "timeout": 1500, "packages": ("qemu-system-x86",)}
PLINTH = "plinth launch >&2 || exit 1"
KVM = "modprobe kvm halt_poll_ns=0 && modprobe kvm-amd || exit 1"

# Expects work.cpio.gz (initramfs()) and devio in /root, and a function `counters NAME PHASE` that prints a line of JSON.
COMMANDS = r"""
kernel=/root/vmlinuz memory=256
append='console=ttyS0 quiet plinth.run="sh /bench/work.sh %s"'
cat /usr/lib/plinth-lab/child.cpio.gz work.cpio.gz >initrd
cd /dev/shm
head -c 16M /dev/zero >disk
mkfifo in out served
exec 9<>in
/root/devio serve >served &
server=$!
read -r ready <served

with_plinth() { # DEVICE OPTION...
	device=$1; shift
	exec plinth run --device $device --name bench --memory ${memory}M "$@"
}
with_qemu() {
	exec qemu-system-x86_64 -M pc -accel kvm -cpu host -m $memory -nodefaults -display none -no-reboot -serial stdio "$@"
}

# The root's clock and how long it was idle, ns.
clock() {
	awk '/^now at/ { now = $3 } /\.idle_sleeptime/ { idle = $3 } END { print now, idle }' /proc/timer_list
}

# What the process has of its own: its anonymous and shared memory but for the mappings as large as the guest's.
memory_beside() { # PID
	awk -v guest=$((memory * 1024)) '
		/^RssAnon:|^RssShmem:/ { rss += $2 }
		/^Size:/ { size = $2 }
		/^Rss:/ && size >= guest / 4 { ram += $2 }
		END { print rss - ram, rss, ram }' /proc/$1/status /proc/$1/smaps
}

# "@NAME PHASE" for a mark, the clock after the answer to the mark before it and at this one, the counters.
follow() { # NAME PID
	before="0 0"
	while IFS= read -r line; do
		case $line in
		*"mark "*)
			at=$(clock)
			phase=${line#*mark }
			phase=${phase%%[!a-z0-9_]*}
			echo "@$1 $phase $before $at $(counters $1 $phase)"
			[ $phase != dma_4k ] || echo "@$1 memory $(memory_beside $2)"
			before=$(clock)
			echo >&9
			;;
		*) echo "$1: $line" ;;
		esac
	done <out
	wait $2
	echo "$1: status $?"
}
"""


@dataclasses.dataclass
class Phase:
    """One phase of one configuration, from its second mark: instructions, and counters at its two ends."""
    config: str
    name: str
    busy: float
    before: dict
    after: dict


def initramfs(kernel, orders, script):
    """The drivers of `orders`, {name: drivers}, with a list of the order of each; devio and the script."""
    cpio = archive.Cpio()
    loads = {name: image.load_order(kernel.modules, drivers) for name, drivers in orders.items()}
    for file in sorted({file for files in loads.values() for file in files}):
        cpio.file(f"bench/{file.name}", file.read_bytes())
    for name, files in loads.items():
        cpio.file(f"bench/{name}", "".join(f"{file.name}\n" for file in files).encode())
    cpio.file("bench/devio", pathlib.Path(tool("devio")).read_bytes())
    cpio.file("bench/work.sh", script.encode())
    return gzip.compress(cpio.bytes(), 6, mtime=0)


def words(phases):
    """{phase: how often} as devio's arguments."""
    return " ".join(f"{phase} {count}" for phase, count in phases.items())


def busy(clock):
    """Instructions, of "NOW IDLE" at the begin and at the end."""
    now, idle, now_end, idle_end = map(float, clock)
    return (now_end - now) - (idle_end - idle)


def lines(out):
    """(configuration, word, the rest) of each line that begins with "@"."""
    for line in out.splitlines():
        if line.startswith("@"):
            config, word, rest = line[1:].split(None, 2)
            yield config, word, rest


def phases(out, names):
    """The Phases of `names` in order."""
    begun = {}
    for config, word, rest in lines(out):
        if word not in names:
            continue
        *clock, counters = rest.split(None, 4)
        counters = json.loads(counters)
        if (config, word) in begun:
            yield Phase(config, word, busy(clock), begun.pop((config, word)), counters)
        else:
            begun[config, word] = counters
