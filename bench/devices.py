# SPDX-License-Identifier: GPL-2.0-only
"""
The legacy devices under Debian's tulip and ata_piix: exits, instructions and memory, of Plinth's worker on
/dev/plinth and on stock KVM, and of stock QEMU with the same devices on stock KVM. All run the same kernel and
initramfs on one processor, with the disk a file in a tmpfs and the network a libslirp in the process.

The child says on its console when a phase begins and when it has ended, and waits for an answer (devio.c). Between
the two the root reads its clock, which counts executed instructions, takes off the time it was idle, and asks the
worker for its counters. KVM's polling for halted processors is off, as it would count waiting as work.
"""

import gzip
import json
import pathlib
import tempfile

from labkit import archive, image
from labkit.bench import Row, tool

# sd_mod asks for the first two by the names of its checksums.
DRIVERS = ("crct10dif_generic", "crc64_rocksoft_generic", "sd_mod", "ata_piix", "tulip")

# How often. A step of the clock is 1e7 instructions, so what is compared by them is done more often. Only that is
# asked of QEMU: with its tulip the phase of received datagrams did not end.
COUNTED = {"nothing": 1, "udp_tx": 10000, "dma_4k": 5000}
PHASES = {"ping": 500, "udp_paced": 1000, "udp_rx": 1000, "tcp_tx": 2000, "tcp_rx": 2000, "dma_64k": 500}
PIO_PHASES = {"pio_4k": 200}
BOOTS = 5

# What QEMU's devices take for the same, counted once by tracing the same drivers: the yardstick of requirement B2.
# By PIO, 4 KiB are 19 accesses and 8 of string instructions.
YARDSTICK = {"ping": 10, "udp_paced": 5, "udp_tx": 5, "udp_rx": 7, "tcp_tx": 6.7, "tcp_rx": 2.5,
             "dma_4k": 26, "dma_64k": 26, "pio_4k": 27}
WHAT = {"ping": "ping by tulip", "udp_paced": "UDP packet sent by tulip, 50 Mbit/s",
        "udp_tx": "UDP packet sent by tulip", "udp_rx": "UDP packet received by tulip",
        "tcp_tx": "TCP segment sent by tulip", "tcp_rx": "TCP segment received by tulip",
        "dma_4k": "4 KiB read by IDE, DMA", "dma_64k": "64 KiB read by IDE, DMA", "pio_4k": "4 KiB read by IDE, PIO"}

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
	for m in $(cat /devices/$1); do
		case $m in
		libata.ko) insmod /devices/$m ${2:+force=$2} ;;
		*) insmod /devices/$m ;;
		esac
	done
	until [ -b /dev/sda ]; do usleep 10000; done
}
load order
echo "clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
/devices/devio %(counted)s
[ $1 = all ] || exit 0
/devices/devio %(phases)s
rmmod ata_piix && rmmod libata && load ata pio4
/devices/devio %(pio)s
"""

COMMANDS = f"boots='{' '.join(map(str, range(BOOTS)))}'" + r"""
kernel=/root/vmlinuz memory=256
append='console=ttyS0 quiet plinth.run="sh /devices/devices.sh %s"'
cat /usr/lib/plinth-lab/child.cpio.gz devices.cpio.gz >initrd
cd /dev/shm
head -c 16M /dev/zero >disk
mkfifo in out served
exec 9<>in 8<>out
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

clock() { read -r up idle </proc/uptime; }

# What the process has of its own: its anonymous and shared memory but for the mappings as large as the guest's.
memory_beside() { # PID
	awk -v guest=$((memory * 1024)) '
		/^RssAnon:|^RssShmem:/ { rss += $2 }
		/^Size:/ { size = $2 }
		/^Rss:/ && size >= guest / 4 { ram += $2 }
		END { print rss - ram, rss, ram }' /proc/$1/status /proc/$1/smaps
}

# "@NAME PHASE" for a mark, the clock after the answer to the mark before it and at this one, the worker's counters.
follow() { # NAME PID, standard input: the child's console
	before="0 0"
	while IFS= read -r line <&8; do
		case $line in
		*"mark "*)
			clock
			line=${line#*mark }
			stats=null
			[ $1 = qemu ] || stats=$(plinth stats --json bench)
			echo "@$1 ${line%%[!a-z0-9_]*} $before $up $idle $stats"
			[ "${line#dma_4k}" = "$line" ] || echo "@$1 memory $(memory_beside $2)"
			clock
			before="$up $idle"
			echo >&9
			;;
		*"child: exit"*) echo "$line"; break ;;
		*) echo "$1: $line" ;;
		esac
	done
	wait $2
	echo "$1: status $?"
}

firmware() { # NAME COMMAND...
	name=$1; shift
	("$@") </dev/null >/dev/null || exit 1 # the first finds no files in memory
	clock
	before="$up $idle"
	for boot in $boots; do ("$@") </dev/null >/dev/null; done
	clock
	echo "@$name firmware $before $up $idle null"
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


def initramfs(kernel):
    """The drivers, devio and the script, to come after the child's initramfs."""
    cpio = archive.Cpio()
    files = image.load_order(kernel.modules, DRIVERS)
    for file in files:
        cpio.file(f"devices/{file.name}", file.read_bytes())
    names = [file.name for file in files]
    for name, of in (("order", names), ("ata", ("libata.ko", "ata_piix.ko"))):
        cpio.file(f"devices/{name}", "\n".join(of).encode() + b"\n")
    cpio.file("devices/devio", pathlib.Path(tool("devio")).read_bytes())
    words = {key: " ".join(f"{phase} {count}" for phase, count in phases.items())
             for key, phases in (("counted", COUNTED), ("phases", PHASES), ("pio", PIO_PHASES))}
    cpio.file("devices/devices.sh", (CHILD % words).encode())
    return gzip.compress(cpio.bytes(), 6, mtime=0)


def port_accesses(stats):
    return sum(vp["exits"].get("io", 0) for vp in stats["vps"])


def numbers_of(out):
    """
    Of the lines that begin with "@": {(config, phase): instructions, (config, "exits_" + phase): port accesses}, both
    per operation, and {(config, "memory"): KiB}.
    """
    found, marks = {}, {}  # the child's first phase is "nothing": what the marks themselves cost
    for line in out.splitlines():
        if not line.startswith("@"):
            continue
        name, phase, rest = line[1:].split(None, 2)
        if phase == "memory":
            found[name, phase] = int(rest.split()[0])
            continue
        up, idle, up_end, idle_end, stats = rest.split(None, 4)
        stats = json.loads(stats)
        if phase != "firmware" and (name, phase) not in marks:
            marks[name, phase] = stats
            continue
        busy = (float(up_end) - float(up)) - (float(idle_end) - float(idle))
        count = {**COUNTED, **PHASES, **PIO_PHASES, "firmware": BOOTS}[phase]
        found[name, phase] = round(busy * 1e9 / count)
        if stats:
            accesses = port_accesses(stats) - port_accesses(marks[name, phase])
            accesses -= found.get((name, "exits_nothing"), 0)
            found[name, "exits_" + phase] = round(accesses / count, 2)
    return found


def measure(sh):
    kernel = image.kernel("full")
    options = {"icount": True, "memory": "3G", "timeout": 1500, "packages": ("qemu-system-x86",)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "devices.cpio.gz").write_bytes(initramfs(kernel))
        (folder / "boot.img").write_bytes(boot_disk())
        options["put"] = [str(folder / "devices.cpio.gz"), str(folder / "boot.img"), f"{kernel.vmlinuz}:/root/vmlinuz",
                          tool("devio")]
        plinth = PLINTH % {"device": "/dev/plinth", "name": "plinth", "what": "all"}
        out = sh(f"plinth launch >&2 || exit 1\n{COMMANDS}{plinth}", **options)
        plinth = PLINTH % {"device": "/dev/kvm", "name": "kvm", "what": "counted"}
        out += sh(f"modprobe kvm halt_poll_ns=0 && modprobe kvm-amd || exit 1\n{COMMANDS}{plinth}{QEMU}", **options)
    found = numbers_of(out)
    keys = {f"exits_{phase}": ("plinth", f"exits_{phase}") for phase in WHAT}
    for name, prefix in (("plinth", "insn_"), ("kvm", "kvm_"), ("qemu", "qemu_")):
        keys.update({prefix + phase: (name, phase) for phase in ("dma_4k", "udp_tx", "firmware")})
    keys |= {"memory": ("plinth", "memory"), "qemu_memory": ("qemu", "memory")}
    return {key: found[where] for key, where in keys.items() if where in found}
