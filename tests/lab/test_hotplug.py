# SPDX-License-Identifier: GPL-2.0-only
"""L7: processors go offline and come back under the core, and the local APIC is as it was."""

import json
import re


def sections(text):
    """The output between lines '== name', by name."""
    parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def apic(text):
    """{(cpu, register): value} of cpustate's output, without what changes by itself."""
    moving = {"apic_380", "apic_390"} | {f"apic_{base + 16 * i:03x}" for base in (0x100, 0x180, 0x200)
                                         for i in range(8)}
    return {tuple(line.split()[:2]): line.split()[2] for line in text.splitlines()
            if " apic_" in line and line.split()[1] not in moving}


def test_hotplug_under_load(lab):
    """
    Under a load that verifies itself, every CPU but the first goes offline and comes back under the core, one that is
    offline at the launch comes into it before it executes anything of the root's, and those that are offline inside it leave it with
    the others.
    """
    rounds = lab.cycles(6, 60)
    out = lab.sh(f"""
        PATH=$PATH:/usr/lib/plinth-tests
        modprobe early
        modprobe plinth debug_port=0xe9
        seen() {{ echo inside $(cat /sys/module/early/parameters/inside) outside $(cat /sys/module/early/parameters/outside); }}
        cpu() {{ echo $2 >/sys/devices/system/cpu/cpu$1/online || exit 1; }}
        echo == bare; cpustate dump bare
        cpu 3 0
        plinth launch || exit 1
        echo == three; plinth status --json
        cpu 3 1
        echo == early; seen
        echo == four; plinth status --json
        cat >hotplug <<'EOF'
        i=0
        while [ $i -lt {rounds} ]; do
            for cpu in 1 2 3; do
                echo 0 >/sys/devices/system/cpu/cpu$cpu/online || exit 1
                [ $((i % 2)) = 0 ] && echo 1 >/sys/devices/system/cpu/cpu$cpu/online
            done
            for cpu in 1 2 3; do echo 1 >/sys/devices/system/cpu/cpu$cpu/online || exit 1; done
            i=$((i + 1))
        done
EOF
        # Their threads are bound to CPUs of their own: fpu, clock and segment stay away.
        echo == load; load hash tcp timer sleep fork -- sh hotplug || exit 1
        echo == core; cpustate dump core
        echo == counted; plinth status --json
        echo == offline; cpu 2 0; cpu 3 0; plinth retire; echo status $?
        plinth status | head -n 1
        # One comes back to bare hardware, the other to the next core.
        cpu 2 1; seen; plinth launch; plinth status --json; cpu 3 1; seen; plinth status --json
        cpu 1 0; plinth retire && rmmod plinth && cpu 1 1 || exit 1
        modprobe plinth debug_port=0xe9
        echo == end; cpustate dump end
        for cpu in 1 2 3; do cpu $cpu 0; cpu $cpu 1; done
        plinth launch && plinth retire && echo well
    """).check()
    part = sections(out)
    three, four, counted = (json.loads(part[name]) for name in ("three", "four", "counted"))
    assert three["cpus"] == 3 and four["cpus"] == 4 and counted["cpus"] == 4
    # Linux sends each CPU that it brings online one INIT, and SIPIs until it answers.
    assert counted["inits"] - four["inits"] == 3 * rounds
    assert 3 * rounds <= counted["sipis"] - four["sipis"] <= 6 * rounds
    assert apic(part["bare"]) == apic(part["core"]) == apic(part["end"])
    assert len(apic(part["bare"])) > 4 * 30
    lines = part["offline"].splitlines()
    assert "status 0" in lines and "launched: false" in part["offline"]
    assert part["early"] == "inside 1 outside 0\n"
    assert [line for line in lines if line.startswith("inside")] == [
        f"inside {1 + 3 * rounds} outside 1", f"inside {2 + 3 * rounds} outside 1"]
    assert [json.loads(line)["cpus"] for line in lines if line.startswith("{")] == [3, 4]
    assert part["end"].endswith("well\n")


# Megabytes of zeros hashed on each processor: one line each if registers and memory hold.
SUMS = ("for n in 1 2 3 4; do "
        "(i=0; while [ $((i += 1)) -le 12 ]; do head -c 1048576 /dev/zero | sha256sum; done | uniq -c) & done; wait")
ZEROS = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"


def test_processors_of_a_child_go(lab):
    """
    The CPUs on which a child of four processors runs go offline and come back all the while, in a root that can be preempted
    anywhere: the child moves, and its sums are right.
    """
    out = lab.sh(f"""
        plinth launch debug_port=0xe9 || exit 1
        plinth run --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz \\
            --cpus 4 --memory 192M --append 'console=ttyS0 quiet plinth.run="echo begun; {SUMS}"' \\
            </dev/null >console & child=$!
        until grep -q begun console; do :; done
        i=0
        while kill -0 $child 2>/dev/null; do
            for cpu in 1 2 3; do echo 0 >/sys/devices/system/cpu/cpu$cpu/online || exit 2; done
            for cpu in 1 2 3; do echo 1 >/sys/devices/system/cpu/cpu$cpu/online || exit 2; done
            i=$((i + 1))
        done
        wait $child; echo "child $?"; echo "rounds $i"; cat console
        echo "== status"; plinth status --json; plinth retire && echo retired
    """, append="preempt=full", timeout=300).check()
    part = sections(out)
    assert "child 0\n" in out
    assert int(re.search(r"^rounds (\d+)$", out, re.MULTILINE)[1]) >= 3
    assert out.count(f"     12 {ZEROS}  -") == 4
    assert json.loads(part["status"].splitlines()[0])["cpus"] == 4
    assert part["status"].endswith("retired\n")


def test_memory_is_plugged_in(lab):
    """Memory that comes under the core stays offline, and says what to do; after a retire it is used, and is the next core's too."""
    result = lab.sh("""
        state() { echo $1 >/sys/devices/system/memory/memory12/state; echo status $?; }
        child() {
            plinth run --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz \\
                --append 'console=ttyS0 quiet plinth.run="dd if=/dev/zero of=/x bs=1M count=40 && echo fine"' \\
                --memory 160M </dev/null
            echo child $?
        }
        modprobe plinth debug_port=0xe9
        echo == under; plinth launch || exit 1
        modprobe grow start=0x60000000 || exit 2
        state online_kernel 2>&1; cat /sys/devices/system/memory/memory12/state; child
        plinth retire || exit 3
        echo == bare; state online_movable
        plinth launch || exit 4
        echo == again; plinth status --json; child
        # The core knows it now.
        echo == known; state offline; state online_movable; plinth retire && echo retired
    """, append="mem=640M", cpus=2, timeout=120)
    part = sections(result.check())
    assert re.match(r".*error\nstatus 1\noffline\n", part["under"])
    assert "plinth: memory at 0x60000000 was added after the launch" in result.klog
    assert part["bare"] == "status 0\n"
    ram = json.loads(part["again"].splitlines()[0])["start_parameters"]["ram"]
    assert any(r["start"] <= 0x60000000 and r["end"] >= 0x68000000 for r in ram)
    for name in ("under", "again"):
        assert "fine" in part[name] and "child 0\n" in part[name]
    assert part["known"] == "status 0\nstatus 0\nretired\n"
