# SPDX-License-Identifier: GPL-2.0-only
"""
The bimodal devices' numbers (B2): the adapter and disk in both modes, Plinth's worker on /dev/plinth and on stock KVM, beside stock
QEMU's tulip, e1000, virtio-net, PIIX IDE and virtio-blk on stock KVM. The guest and what it does are the same (_childwork.py).

A register access that exits is a #VMEXIT for a port or for a device's memory, whoever handles it: a doorbell that the
kernel takes as an ioeventfd is one. Plinth's core counts them for its children, on KVM the trace points kvm_pio and
kvm_mmio do, the APICs' pages left out. Tracing costs instructions, so that they are counted in phases of their own.

Instructions are all that the machine executes, less what is not between the guest's driver and the back end: what the
same program takes in the guest with the kernel's dummy interface, loopback and null_blk, and what a program in the root takes
to send the same datagrams and to read the same file. Datagrams go through user networking; of them a second figure leaves out
what libslirp takes as well, which is the same behind all devices, QEMU's too: slirpio.c has it do the same with nothing around it.
Streams go through a tap, which is the root's own stack: of them a segment is 1460 bytes, in whatever frames they come.
"""

import pathlib
import subprocess
import tempfile

import _childwork as work
from labkit import bars, image
from labkit.bench import Failed, Row, tool
from labkit.common import BUILD, TOP, say

# sd_mod asks for the first two by the names of its checksums.
SD = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod")
BARE = ("dummy", "null_blk")
ORDERS = {
    "legacy": (*BARE, *SD, "ata_piix", "tulip"),
    "fast": (*BARE, "virtio_ring", "virtio_net", "virtio_blk"),
    "e1000": (*BARE, "e1000"),
    "virtio": (*BARE, "virtio_pci", "virtio_net", "virtio_blk"),
}

# How often: for instructions, and for accesses.
COUNTED = {"udp_tx": 2000, "udp_flood": 1920, "tcp_tx": 8000, "tcp_rx": 8000, "dma_4k": 1000, "deep_4k": 1600}
TRACED = {"udp_lone": 100, "udp_tx": 1000, "udp_flood": 960, "tcp_tx": 4000, "tcp_rx": 4000, "dma_4k": 200, "deep_4k": 960}
OF_USER = ("udp_lone", "udp_tx", "udp_flood")
OF_TAP = ("tcp_tx", "tcp_rx")
OF_DISK = ("dma_4k", "deep_4k")
OF_SLIRP = ("udp_tx", "udp_flood")

WHAT = {"udp_lone": "UDP packet sent, one each 1 ms", "udp_tx": "UDP packet sent, as fast as it goes",
        "udp_flood": "UDP packet received, 64 at a time", "tcp_tx": "TCP segment sent, by a tap",
        "tcp_rx": "TCP segment received, by a tap", "dma_4k": "4 KiB read, one at a time", "deep_4k": "4 KiB read, 32 at a time"}
ACCESSES = {"udp_lone": 1, "udp_tx": 0.1, "udp_flood": 0.1, "tcp_tx": 0.1, "tcp_rx": 0.1, "dma_4k": 1, "deep_4k": 0.1}

# Titles of what is measured, and the configuration that has it: for packets, and for requests.
TITLES = {"QEMU: tulip, IDE": ("tulip", "tulip"), "QEMU: e1000": ("e1000", None), "QEMU: virtio": ("virtio", "virtio"),
          "legacy mode": ("plinth_legacy",) * 2, "high performance, on KVM": ("kvm_fast",) * 2}
OURS = "high performance"


def beside(kind, phase):
    configs = {title: of[phase in OF_DISK] for title, of in TITLES.items()}
    return {title: f"{config}_{kind}_{phase}" for title, config in configs.items()}


def instructions_to_reach(phase, kind="insn"):
    def limit(numbers):
        legacy, virtio = (numbers.get(f"{config}_{kind}_{phase}") for config in ("plinth_legacy", "virtio"))
        return None if legacy is None or virtio is None else min(round(0.25 * legacy), virtio)
    return limit


ROWS = [Row(f"plinth_fast_exits_{phase}", WHAT[phase], "accesses that exit", goal, beside=beside("exits", phase), ours=OURS)
        for phase, goal in ACCESSES.items()]
for _phase in COUNTED:
    ROWS.append(Row(f"plinth_fast_insn_{_phase}", WHAT[_phase], "instructions", instructions_to_reach(_phase),
                    beside=beside("insn", _phase), ours=OURS))
    if _phase in OF_SLIRP:
        ROWS.append(Row(f"plinth_fast_own_{_phase}", "the same, without libslirp", "instructions",
                        instructions_to_reach(_phase, "own"), beside=beside("own", _phase), ours=OURS))

CHILD = r"""
for m in $(cat /bench/$1); do
	options=
	[ $m != null_blk.ko ] || options="queue_mode=2 irqmode=0 gb=1"
	insmod /bench/$m $options || exit
done
[ $1 != fast ] || insmod /bench/plinth_bimodal.ko || exit
ifconfig lo 127.0.0.1 up
ifconfig dummy0 10.9.9.1 netmask 255.255.255.0 up
/bench/devio serve >/dev/null &
PREFIX=bare_ HOST=10.9.9.2 DISK=/dev/nullb0 /bench/devio %(bare)s || exit
PREFIX=bare_ HOST=127.0.0.1 /bench/devio %(looped)s || exit
kill $!

# One of the two adapters at a time: tulip looks at the PHY of one that is up now and then. Linux drops what is to be sent for up
# to a second after the carrier has come.
net() { # INTERFACE ADDRESS HOST
	ifconfig $1 $2 netmask 255.255.255.0 up || exit
	until ping -c 1 -W 1 $3 >/dev/null; do :; done
}
disk=$2
disk() { # PHASE COUNT...
	[ "$disk" ] || return 0
	until [ -b /dev/$disk ]; do usleep 10000; done
	DISK=/dev/$disk /bench/devio "$@"
}
net eth0 10.0.2.15 10.0.2.2
/bench/devio %(user)s || exit
ifconfig eth0 down
net eth1 10.9.8.2 10.9.8.1
HOST=10.9.8.1 /bench/devio %(tap)s || exit
disk %(disk)s || exit
/bench/devio counting 1 nothing 1 || exit
disk %(disk_traced)s || exit
HOST=10.9.8.1 /bench/devio %(tap_traced)s || exit
ifconfig eth1 down
net eth0 10.0.2.15 10.0.2.2
/bench/devio %(user_traced)s
"""

COMMANDS = work.COMMANDS + r"""
mkdir -p extra/bench
cp /usr/lib/modules/*/extra/plinth_bimodal.ko extra/bench || exit 1
(cd extra && find . | /usr/lib/plinth-lab/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >>/root/initrd
rm -r extra
modprobe tun && ip tuntap add dev t0 mode tap && ip addr add 10.9.8.1/24 dev t0 && ip link set t0 up || exit 1

# With the trace points on each counts its hits. A read of memory has two, of which one tells its end.
events=/sys/kernel/tracing/events/kvm
traced() { grep -qs ^hist $events/kvm_pio/trigger; }
trace() { # ! to end it
	echo "${1}hist:keys=common_pid" >$events/kvm_pio/trigger
	echo "${1}hist:keys=common_pid if gpa < 0xfec00000 && type != 0" >$events/kvm_mmio/trigger
}

counters() { # NAME PHASE
	case $1 in
	plinth_*) plinth status --json | tr -d '\n' ;;
	*)
		[ $2 != counting ] || traced || trace
		awk '/Hits:/ { n += $2 } END { print n + 0 }' $events/kvm_pio/hist $events/kvm_mmio/hist
		;;
	esac
}

child() { # NAME DRIVERS DISK COMMAND...
	! traced || trace !
	name=$1 line=$(printf "$append" "$2 $3")
	shift 3
	"$@" "$line" <in >out &
	follow $name $!
}

# What a program in the root takes for what a back end does, and libslirp.
root_itself() { # NAME
	HOST=127.0.0.1 DISK=disk /root/devio %(below)s <in >out &
	follow $1 $!
	/root/slirpio %(slirp)s | sed "s/^/@$1 libslirp /"
}

bimodal() { # DEVICE MODE DISK
	child ${1#/dev/}_$2 $2 "$3" with_plinth $1 --kernel $kernel --initrd /root/initrd \
		--net user,bimodal=on --net tap,ifname=t0,bimodal=on --disk disk,bimodal=on --append
}

qemu() { # NAME DRIVERS DISK ADAPTER OPTION...
	name=$1 drivers=$2 disk=$3 adapter=$4
	shift 4
	child $name $drivers "$disk" with_qemu -kernel $kernel -initrd /root/initrd -nic user,model=$adapter \
		-nic tap,ifname=t0,script=no,downscript=no,model=$adapter "$@" -append
}
"""

# One machine for each of the two hypervisors. What ends one too early leaves what was measured before.
RUNS = (
    (work.PLINTH, """
        root_itself plinth_root
        bimodal /dev/plinth legacy sda
        bimodal /dev/plinth fast vda
    """),
    (work.KVM, """
        [ -d $events ] || mount -t tracefs none /sys/kernel/tracing
        root_itself kvm_root
        bimodal /dev/kvm fast vda
        qemu virtio virtio vda virtio-net-pci -drive file=disk,format=raw,if=virtio
        qemu tulip legacy sda tulip -drive file=disk,format=raw,if=ide
        qemu e1000 e1000 "" e1000
    """),
)


def some(phases, of):
    return {phase: count for phase, count in phases.items() if phase in of}


def script():
    """The child's: what is above the drivers, then counted, then traced."""
    words = {}
    for name, phases in (("user", OF_USER), ("tap", OF_TAP), ("disk", OF_DISK)):
        words[name] = work.words(some(COUNTED, phases))
        words[f"{name}_traced"] = work.words(some(TRACED, phases))
    words["user"] = f"nothing 1 {words['user']}"
    return CHILD % {"bare": work.words({"nothing": 1, **some(COUNTED, ("udp_tx", *OF_DISK))}),
                    "looped": work.words(some(COUNTED, ("udp_flood", *OF_TAP))), **words}


def exits(counters):
    """Of what the function `counters` prints: the core's report, or a number."""
    return counters if isinstance(counters, int) else sum(child["kinds"]["io"] for child in counters["children"])


def numbers_of(out):
    """{"CONFIG_insn_PHASE": instructions, "CONFIG_exits_PHASE": accesses that exit}, both per operation."""
    found, traced = {}, set()
    names = {*COUNTED, *TRACED, "nothing"}
    for phase in work.phases(out, {*names, *(f"bare_{name}" for name in names), "counting"}):
        config, bare, name = phase.config, phase.name.startswith("bare_"), phase.name.removeprefix("bare_")
        if name == "counting":
            traced.add(config)
            continue
        kind, amount = "insn", phase.busy
        if config in traced:
            kind, amount = "exits", exits(phase.after) - exits(phase.before)
        kind = f"{config}_{'bare_' if bare else ''}{kind}"
        marks = found.get(f"{kind}_nothing", 0)
        count = (TRACED if config in traced else COUNTED).get(name, 1)
        found[f"{kind}_{name}"] = (amount - marks) / count
    for config, word, rest in work.lines(out):
        if word == "libslirp":
            name, amount = rest.split()
            found[f"{config}_slirp_{name}"] = int(amount)
    return found


def outputs(sh, put):
    """What the machines print, as far as they come."""
    below = work.words({"nothing": 1, **some(COUNTED, ("udp_tx", *OF_DISK))})
    common = COMMANDS.replace("%(below)s", below).replace("%(slirp)s", " ".join(str(COUNTED[phase]) for phase in OF_SLIRP))
    for setup, commands in RUNS:
        try:
            yield sh(f"{setup}\n{common}{commands}", put=put, kernel="full", **work.OPTIONS)
        except Failed as error:
            say(f"bimodal: {error}")
            yield error.out


def above(found, root, phase):
    """What is above the driver: the same program and kernel each time, so the least, as other work comes into some."""
    ours = root.startswith("plinth")
    return min(value for key, value in found.items()
               if key.endswith(f"_bare_insn_{phase}") and key.startswith("plinth") == ours)


def between(found):
    """The numbers of the rows: of instructions what is left of all for the way from driver to back end."""
    for key, value in found.items():
        config, _, phase = key.partition("_insn_")
        if "_exits_" in key:
            yield key, round(value, 3)
        elif phase in COUNTED and not config.endswith(("_bare", "_root")):
            root = "plinth_root" if config.startswith("plinth") else "kvm_root"
            below = value - above(found, root, phase)
            yield key, round(below - found.get(f"{root}_insn_{phase}", 0))
            if f"{root}_slirp_{phase}" in found:
                yield f"{config}_own_{phase}", round(below - found[f"{root}_slirp_{phase}"])


def slirpio():
    """Built for the machine, whose libslirp is the worker's too; its path."""
    out = BUILD / "bench" / "slirpio"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(out), str(TOP / "bench" / "slirpio.c"), "-lslirp"],
                   check=True)
    return str(out)


def measure(sh):
    kernel = image.kernel("full")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "work.cpio.gz"
        path.write_bytes(work.initramfs(kernel, ORDERS, script()))
        out = "".join(outputs(sh, [str(path), f"{kernel.vmlinuz}:/root/vmlinuz", tool("devio"), slirpio()]))
    return dict(between(numbers_of(out)))


def picture(results):
    names = [*TITLES, OURS]
    kinds = {"accesses that exit": ("Register accesses that exit, per operation", 0.001, 100),
             "instructions": ("Instructions per operation, from the guest's driver to the back end and back", 1e3, 1e6)}
    return bars.svg(names, [bars.Panel(*kinds[unit], [(result["what"], result, result["to reach"])
                                                      for result in results if result["unit"] == unit])
                            for unit in kinds])
