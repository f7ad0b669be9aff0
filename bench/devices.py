# SPDX-License-Identifier: GPL-2.0-only
"""
The legacy devices under Debian's tulip and ata_piix: exits, instructions and memory, of Plinth's worker on
/dev/plinth and on stock KVM, and of stock QEMU with the same devices on stock KVM (_childwork.py).
"""

import pathlib
import tempfile

import _childwork as work
from labkit import image
from labkit.bench import Row, tool

# sd_mod asks for the first two by the names of its checksums.
DRIVERS = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod", "ata_piix", "tulip")

# How often. What is compared by instructions comes first, and only that is asked of QEMU.
COUNTED = {"nothing": 1, "udp_tx": 4000, "dma_4k": 2000}
PHASES = {"ping": 500, "udp_paced": 1000, "udp_rx": 1000, "tcp_tx": 2000, "tcp_rx": 2000, "dma_64k": 500}
PIO_PHASES = {"pio_4k": 200, "pio_64k": 50}
BOOTS = 5

# What QEMU's devices take for the same, counted once by tracing the same drivers: the yardstick of requirement B2.
# By PIO, 4 KiB are 19 accesses and 8 of string instructions, 64 KiB 53 and 128.
YARDSTICK = {"ping": 10, "udp_paced": 5, "udp_tx": 5, "udp_rx": 7, "tcp_tx": 6.7, "tcp_rx": 2.5,
             "dma_4k": 26, "dma_64k": 26, "pio_4k": 27, "pio_64k": 181}
WHAT = {"ping": "ping by tulip", "udp_paced": "UDP packet sent by tulip, 50 Mbit/s",
        "udp_tx": "UDP packet sent by tulip", "udp_rx": "UDP packet received by tulip",
        "tcp_tx": "TCP segment sent by tulip", "tcp_rx": "TCP segment received by tulip",
        "dma_4k": "4 KiB read by IDE, DMA", "dma_64k": "64 KiB read by IDE, DMA", "pio_4k": "4 KiB read by IDE, PIO",
        "pio_64k": "64 KiB read by IDE, PIO"}

ROWS = [Row(f"exits_{phase}", what, "port accesses", YARDSTICK[phase]) for phase, what in WHAT.items()]
for _phase in ("dma_4k", "udp_tx"):
    for _prefix, _where in (("insn", ""), ("kvm", ", Plinth's worker on stock KVM")):
        ROWS.append(Row(f"{_prefix}_{_phase}", WHAT[_phase] + _where, "instructions", 0.7, f"qemu_{_phase}",
                        relative=True))
ROWS += [
    Row("insn_firmware", "SeaBIOS to the boot sector and power-off", "instructions", 1.0, "qemu_firmware",
        relative=True),
    Row("kvm_firmware", "the same, Plinth's worker on stock KVM", "instructions", 1.0, "qemu_firmware",
        relative=True),
    Row("memory", "worker's memory beside the guest's", "KiB", 8192, "qemu_memory"),
]

CHILD = """
load() { # WHICH [FORCE]
	for m in $(cat /bench/$1); do
		[ ! -d /sys/module/${m%%.ko} ] || continue
		case $m in
		libata.ko) insmod /bench/$m ${2:+force=$2} ;;
		*) insmod /bench/$m ;;
		esac
	done
	until [ -b /dev/sda ]; do usleep 10000; done
}
load order
echo "clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
/bench/devio %(counted)s || exit
[ $1 = all ] || exit 0
/bench/devio %(phases)s || exit
ifconfig eth0 down # or its driver looks at its PHY now and then, some 800 accesses
rmmod ata_piix && rmmod libata && load ata pio4
/bench/devio %(pio)s
"""

COMMANDS = work.COMMANDS + f"boots='{' '.join(map(str, range(BOOTS)))}'" + r"""
counters() { # NAME
	[ $1 = qemu ] && echo null || plinth stats --json bench
}

firmware() { # NAME COMMAND...
	name=$1; shift
	("$@") </dev/null >/dev/null || exit 1 # the first finds no files in memory
	before=$(clock)
	for boot in $boots; do ("$@") </dev/null >/dev/null; done
	echo "@$name firmware $before $(clock)"
}
"""

PLINTH = r"""
with_plinth %(device)s --kernel $kernel --initrd /root/initrd --append "$(printf "$append" %(what)s)" \
	--disk disk --net user <in >out &
follow %(name)s $!
firmware %(name)s with_plinth %(device)s --disk /root/boot.img --console stdio
"""

QEMU = r"""
with_qemu -kernel $kernel -initrd /root/initrd -append "$(printf "$append" counted)" \
	-drive file=disk,format=raw,if=ide -nic user,model=tulip <in >out &
follow qemu $!
firmware qemu with_qemu -drive file=/root/boot.img,format=raw,if=ide
"""


def boot_disk():
    """A disk whose boot sector powers the machine off: S5 to the PM1a control register, where SeaBIOS puts it."""
    code = b"\xBA\x04\x06\xB8\x00\x20\xEF\xF4\xEB\xFD"  # mov dx,604h; mov ax,2000h; out dx,ax; hlt
    return (code.ljust(510, b"\0") + b"\x55\xAA").ljust(1 << 20, b"\0")


def port_accesses(stats):
    return sum(vp["exits"].get("io", 0) for vp in stats["vps"])


def numbers_of(out):
    """
    Of the lines that begin with "@": {(config, phase): instructions, (config, "exits_" + phase): port accesses}, both
    per operation, and {(config, "memory"): KiB}.
    """
    found = {}  # the child's first phase is "nothing": what the marks themselves cost
    counts = {**COUNTED, **PHASES, **PIO_PHASES}
    for phase in work.phases(out, counts):
        config, name, count = phase.config, phase.name, counts[phase.name]
        found[config, name] = round((phase.busy - found.get((config, "nothing"), 0)) / count)
        if phase.after:
            accesses = port_accesses(phase.after) - port_accesses(phase.before)
            found[config, f"exits_{name}"] = round((accesses - found.get((config, "exits_nothing"), 0)) / count, 2)
    for config, word, rest in work.lines(out):
        if word == "memory":
            found[config, word] = int(rest.split()[0])
        elif word == "firmware":
            found[config, word] = round(work.busy(rest.split()) / BOOTS)
    return found


def measure(sh):
    kernel = image.kernel("full")
    counted, phases, pio = map(work.words, (COUNTED, PHASES, PIO_PHASES))
    script = CHILD % {"counted": counted, "phases": phases, "pio": pio}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "work.cpio.gz").write_bytes(
            work.initramfs(kernel, {"order": DRIVERS, "ata": ("libata", "ata_piix")}, script))
        (folder / "boot.img").write_bytes(boot_disk())
        put = [str(folder / "work.cpio.gz"), str(folder / "boot.img"), f"{kernel.vmlinuz}:/root/vmlinuz", tool("devio")]
        plinth = PLINTH % {"device": "/dev/plinth", "name": "plinth", "what": "all"}
        out = sh(f"{work.PLINTH}\n{COMMANDS}{plinth}", put=put, **work.OPTIONS)
        plinth = PLINTH % {"device": "/dev/kvm", "name": "kvm", "what": "counted"}
        out += sh(f"{work.KVM}\n{COMMANDS}{plinth}{QEMU}", put=put, **work.OPTIONS)
    found = numbers_of(out)
    keys = {f"exits_{phase}": ("plinth", f"exits_{phase}") for phase in WHAT}
    for name, prefix in (("plinth", "insn_"), ("kvm", "kvm_"), ("qemu", "qemu_")):
        keys.update({prefix + phase: (name, phase) for phase in ("dma_4k", "udp_tx", "firmware")})
    keys |= {"memory": ("plinth", "memory"), "qemu_memory": ("qemu", "memory")}
    return {key: found[where] for key, where in keys.items() if where in found}
