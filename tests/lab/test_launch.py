# SPDX-License-Identifier: GPL-2.0-only
"""L1, L2, L3, L9, L12: launch under a running Debian, what was captured and handed over, and the way back."""

import collections
import json
import re

import pytest

PATH = "PATH=$PATH:/usr/lib/plinth-tests\n"
GIB = 1 << 30


def sections(text):
    """The output between lines '== name', by name."""
    parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


# ---- L1, L9: under load, many times, and without a trace ----

def test_cycles_under_load(lab):
    """
    A load that verifies all that it does notices none of many launches and retires: sums of files, a TCP stream,
    timers and clocks, processes and pipes, extended registers, segments. What it notices fails its own status.
    """
    count = lab.cycles(50, 500)
    out = lab.sh(PATH + f"""
        modprobe plinth debug_port=0xe9
        cat >cycles <<'EOF'
        i=0
        while [ $i -lt {count} ]; do
            plinth launch && plinth retire || exit 1
            i=$((i + 1))
        done
        echo cycles $i
EOF
        load -- sh cycles
    """, timeout=3000 if lab.long else 600).check()
    assert f"cycles {count}\n" in out
    rounds = dict(re.findall(r"^(\w+) rounds (\d+)$", out, re.MULTILINE))
    assert set(rounds) == {"hash", "tcp", "timer", "sleep", "clock", "fork", "fpu", "segment"}
    assert all(int(number) >= 3 for number in rounds.values())


def slabs(text):
    """
    Active objects by slab cache, and how many a processor may hold for itself: SLUB counts all objects of the
    slab that a processor allocates from as active, whether they are in use or not.
    """
    rows = {line.split()[0]: line.split() for line in text.splitlines()[2:]}
    return ({name: int(row[1]) for name, row in rows.items()}, {name: int(row[4]) for name, row in rows.items()})


# Of /proc/meminfo: what has been given out to users that the kernel keeps count of, and what has not.
ACCOUNTED = ("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "Slab", "KernelStack", "PageTables", "VmallocUsed",
             "Percpu")


def unaccounted(text):
    """
    Bytes of pages that somebody has taken straight from the page allocator, by /proc/meminfo and /proc/zoneinfo. Free
    pages that a processor holds for itself, some hundreds, are in the latter alone. The least of several readings: what
    is on its way from one to another place is in no count for a moment.
    """
    return min(map(unaccounted_once, re.split("(?=^MemTotal)", text, flags=re.MULTILINE)[1:]))


def unaccounted_once(text):
    """The same of one reading."""
    kilobytes = {name: int(number) for name, number in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    held = sum(map(int, re.findall(r"^ +count: (\d+)$", text, re.MULTILINE)))
    return (kilobytes["MemTotal"] - sum(kilobytes[name] for name in ACCOUNTED) - 4 * held) * 1024


def test_cycles_leave_nothing(lab):
    """
    Many cycles cost no memory, and a module that is gone leaves nothing behind.

    A page or an object that one cycle leaks is there as many times as there were cycles; half as much is
    the bound, for what else goes on in the machine.
    """
    count = lab.cycles(200, 2000)
    out = lab.sh(PATH + f"""
        modprobe storm
        modprobe settle
        # Objects count as used while their freeing is put off, and on slabs that processors have put by for themselves.
        settle() {{
            echo 3 >/proc/sys/vm/drop_caches
            echo 1 >/sys/module/settle/parameters/now
            echo 1 >/proc/sys/vm/stat_refresh
        }}
        snap() {{
            settle
            for shrink in /sys/kernel/slab/*/shrink; do echo 1 >$shrink; done
            echo == slabs $1; cat /proc/slabinfo
            echo == pages $1
            for round in 1 2 3; do settle; cat /proc/meminfo /proc/zoneinfo; done
            echo == vmalloc $1; grep -c -v unpurged /proc/vmallocinfo
        }}
        cycles() {{
            i=0
            while [ $i -lt $1 ]; do plinth launch && plinth retire || exit 1; i=$((i + 1)); done
        }}
        modprobe plinth debug_port=0xe9
        cycles 10
        snap before
        cycles {count}
        snap after
        echo == left
        rmmod plinth || exit 1
        test -e /dev/plinth && echo device
        grep -w plinth /proc/modules /proc/misc /proc/iomem /proc/interrupts
        grep -r plinth /sys/devices/system/cpu/hotplug/states
        ls -d /sys/module/plinth /sys/class/misc/plinth 2>/dev/null
        grep '\\[plinth\\]' /proc/kallsyms
        # A handler that were left behind would run now, in memory that is gone.
        echo 1 >/sys/module/storm/parameters/running
        echo 0 >/sys/module/storm/parameters/running
        echo == storm; cat /sys/module/storm/parameters/stats
        echo == again; plinth launch && plinth retire && echo well
    """, cpus=2).check()
    part = sections(out)
    (before, _), (after, per_slab) = slabs(part["slabs before"]), slabs(part["slabs after"])
    # Of mappings the kernel frees the records lazily; they are compared one by one below.
    grown = {name: after[name] - before[name] for name in before
             if after[name] - before[name] > max(count / 2, 4 * per_slab[name]) and name != "vmap_area"}
    assert not grown
    assert unaccounted(part["pages after"]) - unaccounted(part["pages before"]) < count * 4096 / 2
    assert int(part["vmalloc after"]) <= int(part["vmalloc before"])
    assert part["left"] == ""
    assert "lost 0" in part["storm"]
    assert part["again"] == "well\n"


# ---- L2: what was captured, and what is given back ----

# What differs from one moment to the next, and why. General registers and RIP are where the code is, and are not compared.
MOMENT = {
    "rflags": "arithmetic flags of the code before",
    "cr2": "the last page fault's address",
    "cr3": "the process that was preempted",
    "apic_380": "the timer's initial count, written at each programming",
    "apic_390": "the timer's current count",
    **{f"apic_{base + 16 * i:03x}": "interrupts that wait or are in service"
       for base in (0x100, 0x180, 0x200) for i in range(8)},
}


def states(text):
    """{name: {(cpu, field): value}} of what cpustate printed."""
    return {name: {tuple(line.split()[:2]): line.split()[2] for line in part.splitlines()
                   if re.match(r"\d+ \S+ \S+$", line)}
            for name, part in sections(text).items()}


def differences(one, two, allowed=()):
    """Fields that differ though they should not."""
    assert one.keys() == two.keys() and len(one) > 4 * 80
    return {key: (one[key], two[key]) for key in one
            if one[key] != two[key] and key[1] not in MOMENT and key[1] not in allowed}


@pytest.mark.parametrize("nmi", ["take", "idt"])
def test_state_is_kept(lab, nmi):
    """
    Every register that is captured reads the same on bare hardware, as captured at the launch, under the core, and on
    bare hardware again; and CR4, DR0, DR7 and LDTR that change in between keep their new values over retire and launch.
    """
    out = lab.sh(PATH + f"""
        modprobe plinth debug_port=0xe9 nmi={nmi}
        modprobe regs
        cpustate dump bare && plinth launch && cpustate dump launch launch && cpustate dump core || exit 1
        plinth retire && cpustate dump retired || exit 1
        cpustate changed && cpustate cleared
    """).check()
    state = states(out)
    # In the NMI that the launch takes on purpose the CPU has a null SS.
    assert not differences(state["bare"], state["launch"], ["ss"] if nmi == "take" else [])
    assert not differences(state["bare"], state["core"])
    assert not differences(state["bare"], state["retired"])
    assert not differences(state["changed"], state["kept"])
    assert not differences(state["set"], state["launched"])
    assert not differences(state["cleared"], state["end"])
    # Linux leaves what it no longer uses in DR0 and DR6.
    assert not differences(state["bare"], state["end"], ["dr0", "dr6", "dr7"])
    for cpu in "0123":
        changed, was = state["changed"], state["bare"]
        assert int(changed[cpu, "cr4"], 16) == int(was[cpu, "cr4"], 16) | 8
        assert changed[cpu, "dr7"] != was[cpu, "dr7"] and int(changed[cpu, "dr0"], 16)
        assert int(changed[cpu, "ldtr"].split("/")[0], 16) and not int(was[cpu, "ldtr"].split("/")[0], 16)
        assert not int(state["end"][cpu, "dr7"], 16) & 0xff
        assert state["set"][cpu, "dr7"] == changed[cpu, "dr7"] != state["cleared"][cpu, "dr7"]


# ---- L3: the start parameters ----

def iomem_ram(text):
    """[start, end) of the RAM in /proc/iomem, rounded to whole pages."""
    ranges = []
    for line in text.splitlines():
        found = re.fullmatch(r"([0-9a-f]+)-([0-9a-f]+) : System RAM", line)
        if found:
            start = (int(found[1], 16) + 4095) & ~4095
            end = (int(found[2], 16) + 1) & ~4095
            if start < end:
                ranges.append((start, end))
    return ranges


def merged(ranges):
    """Ranges, with those that follow on one another made one."""
    out = []
    for start, end in ranges:
        if out and out[-1][1] == start:
            start = out.pop()[0]
        out.append((start, end))
    return out


def cpu_list(text):
    """Numbers of a list such as 0-2,5."""
    numbers = []
    for item in text.strip().split(","):
        if item:
            first, _, last = item.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def test_start_parameters(lab):
    """
    What the core was given equals what /sys, /proc/iomem, SRAT and SLIT say: on two nodes with memory and one without,
    with SMT, and with a processor that is offline at the launch.
    """
    out = lab.sh(PATH + """
        echo 0 >/sys/devices/system/cpu/cpu5/online
        plinth launch debug_port=0xe9 || exit 1
        echo == status; plinth status --json
        echo == iomem; cat /proc/iomem
        for file in possible present online smt/active; do
            echo == $file; cat /sys/devices/system/cpu/$file
        done
        for cpu in 0 1 2 3 4 6 7; do
            dir=/sys/devices/system/cpu/cpu$cpu
            echo == cpu $cpu
            cat $dir/topology/physical_package_id $dir/topology/core_id
            awk -v c=$cpu '/^processor/ { p = $3 } /^apicid/ && p == c { print $3 }' /proc/cpuinfo
            ls -d $dir/node* | sed 's/.*node//'
        done
        for dir in /sys/devices/system/node/node*; do
            echo == distance ${dir##*node}; cat $dir/distance
        done
        echo == nodes; cat /sys/devices/system/node/possible
        echo == pmtmr; grep ACPI.PM_TMR /proc/ioports
        echo == slit; od -An -v -tu1 -j44 -w1000 /sys/firmware/acpi/tables/SLIT
        echo == srat; od -An -v -tu1 -w100000 /sys/firmware/acpi/tables/SRAT
        # The one that was offline enters the core when it comes.
        echo 1 >/sys/devices/system/cpu/cpu5/online
        echo == late; plinth status --json
        plinth retire
        echo == end; grep -c -w svm /proc/cpuinfo
    """, cpus=8, memory="3G", cpu="max,vendor=GenuineIntel", qemu=[
        # The emulator has SMT by Intel's CPUID leaves only.
        "-smp 8,sockets=4,cores=1,threads=2",
        "-object memory-backend-ram,id=m0,size=1G -object memory-backend-ram,id=m1,size=2G",
        "-numa node,nodeid=0,memdev=m0,cpus=0-3 -numa node,nodeid=1,memdev=m1,cpus=4-5 -numa node,nodeid=2,cpus=6-7",
        "-numa dist,src=0,dst=1,val=21 -numa dist,src=0,dst=2,val=30 -numa dist,src=1,dst=2,val=40",
    ]).check()
    part = sections(out)
    given = json.loads(part["status"])["start_parameters"]
    cpus = given["processors"]
    assert given["cpus_possible"] == len(cpu_list(part["possible"])) == len(cpus) == 8
    assert [cpu["cpu"] for cpu in cpus if cpu["present"]] == cpu_list(part["present"])
    assert [cpu["cpu"] for cpu in cpus if cpu["online"]] == cpu_list(part["online"]) == [0, 1, 2, 3, 4, 6, 7]
    assert given["smt"] is (part["smt/active"].strip() == "1") is True
    for cpu in (0, 1, 2, 3, 4, 6, 7):
        package, core, apic, node = map(int, part[f"cpu {cpu}"].split())
        was = cpus[cpu]
        assert (was["package"], was["core"], was["apic_id"], was["node"]) == (package, core, apic, node)
    ram = iomem_ram(part["iomem"])
    assert merged((r["start"], r["end"]) for r in given["ram"]) == ram
    assert sum(end - start for start, end in ram) > 2.9 * GIB
    assert given["nodes"] == len(cpu_list(part["nodes"])) == 3
    for node in range(3):
        assert given["slit"][node] == [int(d) for d in part[f"distance {node}"].split()]
    assert [d for row in given["slit"] for d in row] == [int(d) for d in part["slit"].split()]
    srat = srat_memory(bytes(int(b) for b in part["srat"].split()))
    for r in given["ram"]:
        assert [node for start, size, node in srat
                if start <= r["start"] and r["end"] <= start + size] == [r["node"]]
    assert given["pm_timer"]["port"] == int(part["pmtmr"].split("-")[0], 16)
    assert len({r["node"] for r in given["ram"]}) == 2
    late = json.loads(part["late"])
    assert late["cpus"] == 8 and json.loads(part["status"])["cpus"] == 7
    assert part["end"] == "8\n"


def srat_memory(table):
    """(start, size, proximity domain) of the memory affinity structures of an SRAT."""
    at, found = 48, []
    while at < len(table):
        kind, length = table[at], table[at + 1]
        if kind == 1 and table[at + 28] & 1:
            found.append((int.from_bytes(table[at + 8:at + 16], "little"),
                          int.from_bytes(table[at + 16:at + 24], "little"),
                          int.from_bytes(table[at + 2:at + 6], "little")))
        at += length
    return [entry for entry in found if entry[1]]


# ---- any paging depth, and other properties of the kernel ----

Variant = collections.namedtuple("Variant", "cpu append levels")


@pytest.mark.parametrize("variant", [
    Variant("EPYC", "", 4),
    Variant("max,-pdpe1gb,-smap,-smep", "no5lvl", 4),
    Variant("max", "nokaslr nosmp", 5),
    Variant("max", "tsc=unstable", 5),
], ids=["4-levels", "without-gbpages-smap-smep", "5-levels-one-cpu-no-kaslr", "clock-is-not-the-tsc"])
def test_kernel_variants(lab, variant):
    """The core launches whatever the paging depth, page sizes, number of processors and place of the kernel."""
    out = lab.sh(PATH + """
        plinth launch debug_port=0xe9 && load fork fpu hash -- plinth status --json && plinth retire
        grep -o -w -e la57 -e pcid -e smap -e pdpe1gb /proc/cpuinfo | sort -u
    """, cpu=variant.cpu, append=variant.append).check()
    status = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert status["start_parameters"]["paging_levels"] == variant.levels
    assert status["cpus"] == (1 if "nosmp" in variant.append else 4)


# ---- L12: what is withheld ----

def test_virtualization_is_withheld(lab):
    """
    The running system is told that SVM is not its own any more, and has it back afterwards, also when processors
    came and went under the core.
    """
    out = lab.sh(PATH + """
        svm() { grep -c -w svm /proc/cpuinfo; }
        echo == flags
        svm; plinth launch debug_port=0xe9 || exit 1; svm
        echo 0 >/sys/devices/system/cpu/cpu2/online && echo 1 >/sys/devices/system/cpu/cpu2/online
        svm; plinth status --json | grep -o '"withheld": [^]]*]'
        echo == modprobe
        modprobe kvm-amd; echo status $?
        lsmod | grep kvm_amd; ls /dev/kvm
        plinth retire
        echo == after
        svm; modprobe kvm-amd && cat /sys/module/kvm_amd/parameters/npt; modprobe -r kvm-amd
        plinth launch && plinth retire && echo well
    """).check()
    part = sections(out)
    assert part["flags"].split("\n")[:3] == ["4", "0", "0"]
    assert '"svm"' in part["flags"]
    assert "status 1" in part["modprobe"] and "kvm_amd " not in part["modprobe"]
    assert part["after"].split() in (["4", "Y", "well"], ["4", "1", "well"])


# ---- L9: the end of the system ----

SECOND = """
    mkdir -p next/bin next/dev next/proc
    cp /usr/lib/plinth-lab/busybox next/bin/
    cat >next/init <<'EOF'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs devtmpfs /dev
say() { echo "second: $*" >/dev/kmsg; }
say processors $($b grep -c ^processor /proc/cpuinfo) svm $($b grep -c -w svm /proc/cpuinfo)
[ -e /proc/vmcore ] && say vmcore $($b dd if=/proc/vmcore bs=1M 2>/dev/null | $b wc -c) of $($b stat -c %s /proc/vmcore)
say end
$b poweroff -f
EOF
    chmod +x next/init
    (cd next && find . | cpio -o -H newc) >next.cpio 2>/dev/null
    load() { kexec "$1" /boot/vmlinuz-$(uname -r) --initrd=next.cpio --command-line="console=ttyS0 $2" || exit 1; }
"""


def test_kexec(lab):
    """
    kexec under the core, with a processor offline inside it, starts the next kernel on bare hardware, on all processors.
    """
    result = lab.sh(SECOND + """
        plinth launch debug_port=0xe9 || exit 1
        echo 0 >/sys/devices/system/cpu/cpu3/online
        load -l
        kexec -e
    """, packages="kexec-tools cpio", memory="1G")
    assert "plinth: core retired" in result.klog, result.out
    assert "second: processors 4 svm 4" in result.klog
    assert "second: end" in result.klog


def test_crash_kernel(lab):
    """
    When the root crashes, its crash kernel starts under the core and saves all memory; what is the core's reads as
    ones.
    """
    result = lab.sh(SECOND + """
        plinth launch debug_port=0xe9 || exit 1
        load -p "nr_cpus=1 reset_devices"
        echo c >/proc/sysrq-trigger
    """, packages="kexec-tools cpio", memory="512M", append="crashkernel=160M", allow=".")
    assert "sysrq triggered crash" in result.klog, result.out
    assert "second: processors 1 svm 0" in result.klog
    size = re.search(r"second: vmcore (\d+) of (\d+)", result.klog)
    assert size and size[1] == size[2] and int(size[1]) > 256 << 20
    assert "second: end" in result.klog


# QEMU's machine does not switch itself off any more once it has slept, also without Plinth: its init returns from that.
CANNOT_SWITCH_OFF = r"PID: 1 at kernel/exit\.c|Attempted to kill init|cut here"


def test_suspend(lab):
    """
    The core retires before the machine sleeps, in a test of the kernel's and in earnest (S3, woken by the clock), and can
    be launched again; with a child running the machine stays awake, and the child goes on.
    """
    result = lab.sh("""
        sleep_now() { echo == $1; echo mem >/sys/power/state; echo status $?; plinth status | head -n 1; }
        plinth launch debug_port=0xe9 || exit 1
        mkfifo input output
        exec 7<>input
        plinth run --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz \\
            --append 'console=ttyS0 quiet plinth.run="echo up; read line; echo down"' --memory 128M <input >output & child=$!
        exec 8<output
        while IFS= read -r line <&8; do case $line in *up*) break;; esac; done
        sleep_now child
        echo >&7; cat <&8; wait $child; echo child $?
        echo 0 >/sys/module/suspend/parameters/pm_test_delay
        echo core >/sys/power/pm_test
        sleep_now rehearsal
        echo none >/sys/power/pm_test
        plinth launch || exit 1
        echo 0 >/sys/class/rtc/rtc0/wakealarm; echo +3 >/sys/class/rtc/rtc0/wakealarm
        sleep_now earnest
        echo == end; plinth launch && PATH=$PATH:/usr/lib/plinth-tests load fork fpu -- plinth retire && echo well
    """, kernel="full", timeout=120, allow=CANNOT_SWITCH_OFF)
    part = sections(result.check())
    assert "status 1\n" in part["child"] and "launched: true" in part["child"]
    assert "down" in part["child"] and "child 0\n" in part["child"]
    for name in ("rehearsal", "earnest"):
        assert part[name].startswith("status 0\nlaunched: false")
    assert part["end"].endswith("well\n")
    refused, rehearsal, earnest = result.klog.split("PM: suspend entry")[1:]
    assert "plinth: no suspend while children run" in refused and "retired" not in refused
    for log in (rehearsal, earnest):
        assert log.index("plinth: core retired") < log.index("Disabling non-boot CPUs")
    assert "Low-level resume complete" in earnest
