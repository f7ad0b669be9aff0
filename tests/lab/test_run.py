# SPDX-License-Identifier: GPL-2.0-only
"""`plinth run`: Debian's own kernel as a child, the same on stock KVM and on Plinth."""

import dataclasses
import re
import struct

PRELUDE = r"""
KERNEL=/boot/vmlinuz-$(uname -r)
INITRD=/usr/lib/plinth-lab/child.cpio.gz
%s || exit 90
# child COMMAND OPTION...: a child that runs COMMAND and powers off. With exec=exec in front it is a
# background job itself, for kill $!.
child() {
	command=$1
	shift
	${exec:-} plinth run --device %s --kernel $KERNEL --initrd $INITRD \
		--append "console=ttyS0 quiet $KARGS plinth.run=\"$command\"" "$@"
}
# Reads descriptor $2 (8) up to a line that holds $1.
expect() {
	while IFS= read -r line <&${2:-8}; do
		printf '%%s\n' "$line"
		case $line in *"$1"*) return 0 ;; esac
	done
	return 1
}
"""


@dataclasses.dataclass
class Device:
    """What a child runs on, and how it is made available in a fresh machine."""
    path: str
    setup: str

    def script(self, text):
        return PRELUDE % (self.setup, self.path) + text


DEVICES = [Device("/dev/kvm", "modprobe kvm-amd"), Device("/dev/plinth", "plinth launch")]


def pytest_generate_tests(metafunc):
    """`device` is both of them; `any_device`, for what the device hardly matters to, both with --long only."""
    some = DEVICES if metafunc.config.getoption("long") else DEVICES[:1]
    for name, devices in (("device", DEVICES), ("any_device", some)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, devices, ids=lambda device: device.path.rpartition("/")[2])


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_one_processor(lab, device):
    """From the image to user space and power-off: status 0, and every device of the platform in use."""
    out = lab.sh(device.script(r"""
        child "echo cpus \$(nproc); cat /proc/interrupts /proc/ioports; date +%s; cat /sys/power/state; dmesg" \
            --stats </dev/null
        echo "status $?"
        date +%s
    """)).check()
    assert "child: up" in out
    assert "child: exit 0" in out
    assert "cpus 1\r" in out
    assert re.search(r"^status 0$", out, re.MULTILINE)
    assert re.search(r"^vp 0: io \d+ mmio \d+ ", out, re.MULTILINE)
    assert re.search(r"4: +\d+ +IO-APIC +4-edge +ttyS0", out)
    assert re.search(r"9: +\d+ +IO-APIC +9-fasteoi +acpi", out)
    assert re.search(r"0600-0603 : ACPI PM1a_EVT_BLK", out)
    assert re.search(r"0608-060b : ACPI PM_TMR", out)
    assert "pci 0000:00:00.0: [8086:1237]" in out
    assert "registered as rtc0" in out
    assert not re.search(r"ACPI (BIOS )?(Error|Warning)|\[Firmware (Bug|Warn)", out)
    child, host = map(int, re.findall(r"^(\d{10})\r?$", out, re.MULTILINE))
    assert child <= host <= child + 60


def test_four_processors(lab, device):
    """All are started, share one package, and take interrupts."""
    out = lab.sh(device.script(r"""
        child "echo cpus \$(nproc); grep -H . /sys/devices/system/cpu/cpu*/topology/core_id \
               /sys/devices/system/cpu/cpu*/topology/package_cpus_list; grep -E 'RES|CAL|LOC' /proc/interrupts; \
               for c in 0 1 2 3; do taskset \$((1 << c)) sha256sum /bin/busybox & done; wait" \
            --cpus 4 --stats </dev/null
        echo "status $?"
    """)).check()
    assert "cpus 4\r" in out
    assert re.search(r"^status 0$", out, re.MULTILINE)
    assert re.findall(r"cpu(\d)/topology/core_id:(\d)", out) == [(str(n), str(n)) for n in range(4)]
    assert re.findall(r"package_cpus_list:(\S+)", out) == ["0-3"] * 4
    for kind in ("RES", "LOC"):
        counts = re.search(rf"{kind}:((?: +\d+)+)", out).group(1).split()
        assert len(counts) == 4 and all(int(count) > 0 for count in counts)
    sums = re.findall(r"^([0-9a-f]{64})  /bin/busybox", out, re.MULTILINE)
    assert len(sums) == 4 and len(set(sums)) == 1
    assert re.findall(r"^vp (\d):", out, re.MULTILINE) == ["0", "1", "2", "3"]


def test_many_processors(lab, device):
    """Sixteen, more than the machine has."""
    out = lab.sh(device.script(r"""
        child "echo cpus \$(nproc)" --cpus 16 </dev/null
        echo "status $?"
    """), memory="3G").check()
    assert "cpus 16\r" in out
    assert re.search(r"^status 0$", out, re.MULTILINE)


INTERRUPT_PATHS = {
    "noapic": r"4: +\d+ +XT-PIC +ttyS0",
    "nolapic": r"0: +\d{2,} +XT-PIC +timer",
    "nox2apic lapic=notscdeadline no-kvmclock": r"2-edge +timer",
    "no-kvmclock clocksource=acpi_pm": r"^acpi_pm\r",
}


def test_ways_of_interrupts_and_time(lab, device):
    """PICs instead of the IOAPIC, PIT instead of the local timer, the one-shot APIC timer, the PM timer."""
    out = lab.sh(device.script("".join(f"""
        echo '== {args}'
        KARGS='{args}'
        child 'cat /proc/interrupts; cat /sys/devices/system/clocksource/clocksource0/current*' </dev/null
        echo "status $?"
    """ for args in INTERRUPT_PATHS))).check()
    for args, pattern in INTERRUPT_PATHS.items():
        part = sections(out)[args]
        assert re.search(pattern, part, re.MULTILINE), part
        assert "status 0\n" in part, part


def test_memory_on_both_sides_of_the_hole(lab, device):
    """5 GiB: 3 below the PCI hole, 2 above 4 GiB, all of it usable."""
    out = lab.sh(device.script(r"""
        child "grep MemTotal /proc/meminfo; cat /proc/iomem" --memory 5G </dev/null
        echo "status $?"
    """), memory="3G").check()
    total = int(re.search(r"MemTotal: +(\d+) kB", out).group(1))
    assert 4.7 * 2**20 < total < 5 * 2**20
    assert "00100000-bfffffff : System RAM" in out
    assert "c0000000-febfffff : PCI Bus 0000:00" in out
    assert "100000000-17fffffff : System RAM" in out
    assert re.search(r"^status 0$", out, re.MULTILINE)


def test_how_it_ended(lab, device):
    """Reset by every way is status 10; a triple fault is 11 and shows registers; --reboot goes on."""
    out = lab.sh(device.script(r"""
        for way in acpi kbd pci; do
            echo "== $way"
            KARGS="reboot=$way"
            child "reboot -f" </dev/null
            echo "status $?"
        done
        echo "== triple"
        KARGS=reboot=triple
        child "reboot -f" </dev/null
        echo "status $?"
        echo "== reboot"
        KARGS=
        mkfifo out
        truncate -s 1M disk
        exec=exec child "reboot -f" --reboot --disk disk --net user </dev/null >out &
        exec 8<out
        expect "child: up"
        expect "child: up"
        grep -E "^(Uid|Seccomp):" /proc/$!/status
        kill -TERM $!
        while read -r line <&8; do :; done
        wait $!
        echo "status $?"
    """)).check()
    parts = sections(out)
    for way in ("acpi", "kbd", "pci"):
        assert "status 10\n" in parts[way], parts[way]
    assert "status 11\n" in parts["triple"]
    assert re.search(r"^plinth: processor 0 stopped: triple fault$", parts["triple"], re.MULTILINE)
    assert re.search(r"^  rip [0-9a-f]{16} rflags", parts["triple"], re.MULTILINE)
    assert parts["reboot"].count("child: up") == 2
    # The second machine was made by a worker that had given up all rights.
    assert re.search(r"^Uid:(\t65534){4}$", parts["reboot"], re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", parts["reboot"], re.MULTILINE)
    assert "status 12\n" in parts["reboot"]


def resetting_kernel(path):
    """A kernel image that says '!' on COM1 and resets the machine by port 0xcf9: no more than that (32-bit entry point)."""
    image = bytearray(0x1000)
    for offset, layout, value in (
            (0x1f1, "<B", 1),  # setup_sects
            (0x1fe, "<H", 0xaa55),
            (0x200, "<H", 0x66eb),  # the header's end
            (0x202, "<4s", b"HdrS"),
            (0x206, "<H", 0x20f),  # protocol 2.15
            (0x211, "<B", 1),  # LOADED_HIGH
            (0x214, "<I", 0x100000),  # code32_start
            (0x22c, "<I", 0x7fffffff),  # initrd_addr_max
            (0x238, "<I", 2047)):  # cmdline_size
        struct.pack_into(layout, image, offset, value)
    code = bytes.fromhex("66baf803 b021 ee 66baf90c b006 ee f4")
    image[0x400:0x400 + len(code)] = code
    path.write_bytes(image)
    return str(path)


def test_stop_meets_reset(lab, device, tmp_path):
    """A machine that resets itself all the time ends at the first signal, whatever it was doing."""
    out = lab.sh(device.script(r"""
        mkfifo out
        for i in $(seq 30); do
            plinth run --device DEVICE --kernel /root/reset --reboot --memory 32M </dev/null >out &
            exec 8<out
            head -c $i <&8 >/dev/null
            kill -TERM $!
            cat <&8 >/dev/null
            wait $!
            echo "status $?"
        done
    """.replace("DEVICE", device.path)), put=[resetting_kernel(tmp_path / "reset")], cpus=2).check()
    assert out == "status 12\n" * 30


def test_input_from_a_pipe_is_not_lost(lab, any_device):
    """Commands that are there before the guest listens; binary data in one burst; end of input ends nothing."""
    out = lab.sh(any_device.script(r"""
        echo "== commands"
        printf 'echo answer-$((40 + 2))\npoweroff -f\n' |
            plinth run --device DEVICE --kernel $KERNEL --initrd $INITRD --append 'console=ttyS0 quiet'
        echo "status $?"
        echo "== burst"
        head -c 20000 /dev/urandom >data
        sha256sum <data
        mkfifo in out
        exec 9<>in
        child "stty raw -echo; echo ready; head -c 20000 | sha256sum" <in >out &
        exec 8<out
        expect ready
        cat data >&9
        expect "child: exit"
        exec 9<&-
        while read -r line <&8; do :; done
        wait $!
        echo "status $?"
    """.replace("DEVICE", any_device.path))).check()
    parts = sections(out)
    assert "answer-42\r\n" in parts["commands"]
    assert "status 0\n" in parts["commands"]
    sums = re.findall(r"([0-9a-f]{64})  -", parts["burst"])
    assert len(sums) == 2 and sums[0] == sums[1]
    assert "status 0\n" in parts["burst"]


def test_terminal(lab, any_device):
    """On a terminal: raw while it runs, escapes, restored by escape, signals, power-off and crash."""
    out = lab.sh(any_device.script(r"""
        mkfifo in out
        cat >on-terminal <<-'END'
		stty -a >before
		plinth run --device DEVICE --kernel $KERNEL --initrd $INITRD --append "$APPEND"
		echo "status $?"
		stty -a >during-after
		cmp before during-after && echo restored
		END
        export KERNEL INITRD APPEND
        terminal() {
            script -qec 'sh on-terminal' /dev/null <in >out &
            exec 9>in 8<out
        }
        leave() {
            expect status
            expect restored
            exec 9>&-
            cat <&8 >/dev/null
            wait
        }
        echo "== escape"
        APPEND='console=ttyS0 quiet plinth.run="stty -isig; echo ready; head -n1 | od -An -tx1; echo again; head -n1"'
        terminal
        expect ready
        printf 'x\001a\001qy\003\r' >&9
        expect again
        printf '\001?' >&9
        expect "Ctrl-a x ends"
        printf '\001x' >&9
        leave
        echo "== term"
        terminal
        expect ready
        kill -TERM $(pidof plinth)
        leave
        echo "== stop"
        terminal
        expect ready
        kill -TSTP $(pidof plinth)
        until grep -q '^State:.T' /proc/$(pidof plinth)/status; do :; done
        stty -F /proc/$(pidof plinth)/fd/0 sane
        kill -CONT $(pidof plinth)
        until stty -aF /proc/$(pidof plinth)/fd/0 | grep -q -e -icanon; do :; done
        printf 'typed\001z\r' >&9
        expect again
        printf '\001x' >&9
        leave
        echo "== abort"
        terminal
        expect ready
        kill -ABRT $(pidof plinth)
        leave
        echo "== poweroff"
        APPEND='console=ttyS0 quiet plinth.run=true'
        terminal
        leave
        echo "== crash"
        APPEND='console=ttyS0 quiet reboot=triple plinth.run="reboot -f"'
        terminal
        leave
        echo "== hang"
        APPEND='console=ttyS0 quiet init=/nonexistent plinth.run=true panic=0 rdinit=/nonexistent'
        terminal
        expect "Kernel panic"
        printf '\001x' >&9
        leave
    """.replace("DEVICE", any_device.path))).check()
    parts = sections(out)
    # Ctrl-a a is one 01; an unknown escape is dropped; Ctrl-c goes to the guest as it is.
    assert "78 01 79 03 0a" in parts["escape"]
    assert "74 79 70 65 64 0a" in parts["stop"]
    for name, status in {"escape": 12, "term": 12, "stop": 12, "abort": 134, "poweroff": 0, "crash": 11, "hang": 12}.items():
        assert f"status {status}\r\n" in parts[name], parts[name]
        assert "restored\r\n" in parts[name], parts[name]


def test_pty_and_file(lab, any_device):
    """--console pty: typed and read through the path that it names; file: a copy of all output."""
    out = lab.sh(any_device.script(r"""
        trap "" HUP # the terminal becomes this shell's own, and goes with the child
        mkfifo err
        child "echo ready; head -n1" --console pty </dev/null 2>err &
        read -r word path <err
        exec 8<>$path
        expect ready
        echo some words >&8
        expect "some words"
        wait $!
        echo "status $?"
        child "echo in the file" --console file:log </dev/null
        echo "status $?"
        grep -a "in the file" log
        echo "== full"
        child "echo lost" --console file:/dev/full </dev/null
        echo "status $?"
    """)).check()
    assert re.findall(r"^status (\d+)$", out, re.MULTILINE) == ["0", "0", "1"]
    assert "some words" in out and "in the file" in out
    full = sections(out)["full"].splitlines()
    assert full == ["plinth: cannot write to /dev/full: No space left on device; further console output is discarded",
                    "status 1"]


def test_killed_and_several_at_once(lab, device):
    """Three children run side by side; one that is killed with -9 leaves nothing and disturbs no other."""
    out = lab.sh(device.script(r"""
        for n in 1 2 3; do
            mkfifo out$n
            exec=exec child "echo ready; sha256sum /bin/busybox; head -n1" --name child$n --cpus $n \
                </dev/null >out$n &
            eval "pid$n=\$!"
        done
        exec 5<out1 6<out2 7<out3
        for n in 1 2 3; do
            expect ready $((n + 4))
        done
        kill -9 $pid2
        wait $pid2
        echo "killed $?"
        expect busybox 5
        expect busybox 7
        for n in 1 3; do
            cat /proc/$(eval echo \$pid$n)/comm
        done
        kill -TERM $pid1 $pid3
        wait $pid1; echo "status $?"
        wait $pid3; echo "status $?"
        ls /proc/[0-9]*/exe -l 2>/dev/null | grep -c plinth || :
    """)).check()
    assert "killed 137" in out
    assert re.findall(r"^status (\d+)$", out, re.MULTILINE) == ["12", "12"]
    assert re.search(r"^child1\nchild3$", out, re.MULTILINE)
    assert len(set(re.findall(r"([0-9a-f]{64})", out))) == 1
    assert out.rstrip().endswith("\n0")


BAD_INPUT = [
    ("run", "nothing to boot"),
    ("run --kernel", "needs a value"),
    ("run --kernel $KERNEL --frobnicate", "'--frobnicate' is not understood"),
    ("run --kernel $KERNEL stray", "'stray' is not understood"),
    ("run --kernel /nonexistent", "cannot read the kernel /nonexistent: No such file or directory"),
    ("run --kernel /tmp", "cannot read the kernel /tmp: Is a directory"),
    ("run --kernel $INITRD", "is not a kernel image that can be booted: it has no Linux boot header"),
    ("run --kernel empty", "is not a kernel image that can be booted: it is too short"),
    ("run --kernel cut", "is not a kernel image that can be booted: it is cut short"),
    ("run --kernel $KERNEL --initrd /nonexistent", "cannot read the initrd /nonexistent: No such file or directory"),
    ("run --kernel $KERNEL --memory 16M", "16 MiB are too little memory for this kernel: give --memory"),
    ("run --kernel $KERNEL --initrd $INITRD --memory 40M", "for this kernel and its initrd: give --memory"),
    ("run --kernel $KERNEL --memory lots", "--memory lots is not a size"),
    ("run --kernel $KERNEL --memory 1M", "--memory 1M is out of range"),
    ("run --kernel $KERNEL --memory 99T", "--memory 99T is out of range"),
    ("run --kernel $KERNEL --cpus 0", "a machine has 1 to 64 processors"),
    ("run --kernel $KERNEL --cpus 65", "a machine has 1 to 64 processors"),
    ("run --kernel $KERNEL --cpus two", "a machine has 1 to 64 processors"),
    ("run --kernel $KERNEL --name 'a b'", "--name 'a b'"),
    ("run --kernel $KERNEL --append $(head -c 5000 /dev/zero | tr '\\0' x)", "this kernel takes 2047"),
    ("run --kernel $KERNEL --device /dev/nonexistent", "/dev/nonexistent is not there"),
    ("run --kernel $KERNEL --device /dev/null", "/dev/null does not speak the KVM API"),
    ("run --kernel $KERNEL --console nowhere", "--console nowhere is not known"),
    ("run --kernel $KERNEL --console file:/nonexistent/x", "cannot write the console file /nonexistent/x"),
    ("run --kernel $KERNEL --disk /nonexistent", "cannot open the disk /nonexistent: No such file or directory"),
    ("run --kernel $KERNEL --disk /tmp", "the disk /tmp is a directory"),
    ("run --kernel $KERNEL --disk empty", "the disk empty is empty"),
    ("run --kernel $KERNEL --disk cut,bus=scsi0", "there is no bus=scsi0: give ide0.0"),
    ("run --kernel $KERNEL --disk 'nbd:nbd+unix:///?socket=/nonexistent'", "cannot connect to the disk nbd+unix:"),
    ("run --kernel $KERNEL --net wire", "--net wire is not known: give user, tap or none"),
    ("run --kernel $KERNEL --net user,hostfwd=80", "is not understood: write e.g. tcp:127.0.0.1:8080-:80"),
    ("run --kernel $KERNEL --config empty", "empty:1: not JSON: the text ends too early"),
    ("run --kernel $KERNEL --user nosuch", "there is no such user"),
    ("run --disk cut --firmware nosuch", "there is no firmware called 'nosuch'"),
    ("ps stray", "'stray' is not understood"),
    ("stop", "which machine?"),
    ("stop nosuch", "no machine called 'nosuch' is running"),
    ("stop --timeout soon nosuch", "--timeout takes seconds"),
    ("console a/b", "'a/b' cannot be a machine's name"),
    ("stats --xml nosuch", "'--xml' is not understood"),
    ("frobnicate", "there is no command 'frobnicate'"),
    ("", "no command given"),
    ("launch", "kvm-amd uses the virtualization extension"),
    ("launch --now", "'--now' is not understood"),
    ("retire", "not launched"),
    ("log", "not launched"),
    ("status --xml", "'--xml' is not understood"),
]


def test_bad_input(lab):
    """One line on standard error that names cause and remedy, status 1, nothing on standard output."""
    script = "".join(f"echo '== {n}'\nplinth {args} </dev/null 2>err\necho \"status $?\"\ncat err\n"
                     for n, (args, _) in enumerate(BAD_INPUT))
    out = lab.sh("""
        modprobe kvm-amd
        KERNEL=/boot/vmlinuz-$(uname -r)
        INITRD=/usr/lib/plinth-lab/child.cpio.gz
        : >empty
        head -c 1000000 $KERNEL >cut
    """ + script).check()
    parts = sections(out)
    for n, (args, line) in enumerate(BAD_INPUT):
        got = parts[str(n)].splitlines()
        assert got[0] == "status 1", (args, got)
        assert len(got) == 2 and got[1].startswith("plinth: ") and line in got[1], (args, got)


def test_no_device_and_no_permission(lab):
    """A machine without KVM or Plinth, a user who may not, a processor without SVM."""
    out = lab.sh("""
        KERNEL=/boot/vmlinuz-$(uname -r)
        plinth run --kernel $KERNEL
        echo "status $?"
        plinth launch
        echo "status $?"
        plinth status
        plinth status --json
        mknod -m 600 /dev/kvm c 10 232
        setpriv --reuid 65534 --clear-groups plinth run --kernel $KERNEL
        echo "status $?"
        setpriv --reuid 65534 --clear-groups plinth launch
        echo "status $?"
    """, cpu="EPYC,svm=off").check()
    assert out.splitlines() == [
        "plinth: /dev/kvm is not there: run 'plinth launch', or load kvm-amd or kvm-intel",
        "status 1",
        "plinth: cannot launch: the processor offers no virtualization extension (SVM): turn it on in the firmware's "
        "setup, or, in a virtual machine, on its host",
        "status 1",
        "launched: false",
        '{"launched": false}',
        "plinth: no permission to open /dev/kvm: be root, or join the group that owns it",
        "status 1",
        "plinth: cannot launch: only root may do that",
        "status 1",
    ]


def test_help(lab):
    """Each command explains itself; one whose output cannot be written says so."""
    out = lab.sh("""
        for c in --help version "ps --json" status "run --help"; do plinth $c >/dev/full 2>err; echo "full $?"; cat err; done
        plinth --help; plinth version; plinth --version
        for c in launch retire status log run ps stop console stats version; do plinth $c --help || echo FAILED; done
    """).check()
    assert out.count("full 1\nplinth: cannot write all to standard output: ") == 5
    assert "FAILED" not in out
    for command in ("launch", "retire", "status", "log", "run", "ps", "stop", "console", "stats", "version"):
        assert f"usage: plinth {command}" in out
    assert len(re.findall(r"^plinth \d+\.\d+", out, re.MULTILINE)) == 2
