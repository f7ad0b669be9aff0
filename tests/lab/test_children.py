# SPDX-License-Identifier: GPL-2.0-only
"""Children and the root at once: several, killed, and short of memory (L8, issue section 7)."""

import json
import re

PRELUDE = r"""
KERNEL=/boot/vmlinuz-$(uname -r)
INITRD=/usr/lib/plinth-lab/child.cpio.gz
plinth launch || exit 90
# child NAME COMMAND OPTION...: a child that runs COMMAND and powers off, its console in NAME.console
child() {
	name=$1
	command=$2
	shift 2
	plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --name $name --console file:$name.console \
		--append "console=ttyS0 quiet plinth.run=\"$command\"" "$@" </dev/null
}
"""

# Sums of a megabyte of zeros and of ones, many times over: one line if memory and registers hold.
SUMS = ("i=0; while [ $((i += 1)) -le 8 ]; do head -c 1048576 /dev/zero | sha256sum; done | uniq -c; "
        "grep -c ^processor /proc/cpuinfo")
ZEROS = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"

PROGRAM = r"""
#include <stdio.h>
int main(void) { unsigned h = 1, i; for (i = 0; i < 1000; i++) h = h * 31 + i; printf("%u\n", h); return 0; }
"""


def quoted(command):
    """For PRELUDE's child(): a word of the shell, with what the kernel's command line must keep."""
    return "'" + command + "'"


def test_three_children_while_the_root_compiles(lab, tmp_path):
    """Three at once, one with 4 processors; the root compiles meanwhile. All come to the right results."""
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    out = lab.sh(PRELUDE + f"""
        child a {quoted(SUMS)} --memory 128M & a=$!
        child b {quoted(SUMS)} --memory 128M & b=$!
        child c {quoted(SUMS)} --memory 192M --cpus 4 & c=$!
        n=0
        while kill -0 $a 2>/dev/null || kill -0 $b 2>/dev/null || kill -0 $c 2>/dev/null; do
            gcc -O2 -o program program.c && ./program >>results || exit 91
            n=$((n + 1))
        done
        wait $a; echo "a $?"; wait $b; echo "b $?"; wait $c; echo "c $?"
        echo "compiled $n"; sort results | uniq -c
        for name in a b c; do echo "== $name"; cat $name.console; done
        plinth status --json >status; plinth retire && echo retired
        echo "== status"; cat status
    """, packages="gcc libc6-dev", cpus=2, memory="2G", put=[str(source)], timeout=900).check()
    assert re.search(r"^a 0\nb 0\nc 0\ncompiled (\d+)\n +\1 (\d+)\n", out, re.MULTILINE)
    consoles = dict(zip("abc", out.split("== ")[1:4]))
    for name, cpus in (("a", 1), ("b", 1), ("c", 4)):
        assert f"      8 {ZEROS}  -\r\n{cpus}\r\n" in consoles[name], name
    assert "retired" in out
    assert json.loads(out.split("== status\n")[1])["children"] == []


def test_killed_children(lab):
    """Workers killed at any moment of a boot: the core gets all its memory back, and works on."""
    rounds = lab.cycles(8, 100)
    out = lab.sh(PRELUDE + f"""
        free() {{ plinth status --json | sed 's/.*"core_memory": \\([0-9]*\\), "core_memory_free": \\([0-9]*\\),.*/\\1 \\2/'; }}
        used() {{ set -- $(free); echo $(($1 - $2)); }}
        child first true --memory 128M || exit 91
        before=$(used)
        i=0
        while [ $((i += 1)) -le {rounds} ]; do
            # Anywhere between the start and the prompt; the seed makes a run repeatable.
            delay=$(awk -v n=$i 'BEGIN {{ srand(n); printf "%.2f", rand() * 6 }}')
            timeout -s KILL $delay plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --cpus 2 \\
                --console file:/dev/null --append console=ttyS0 --memory 128M </dev/null
            echo "round $i status $?"
        done
        plinth status --json | grep -o '"children": \\[\\]'
        after=$(used)
        echo "used before $before after $after"
        child last {quoted(SUMS)} --memory 128M && cat last.console
        plinth retire && echo retired
    """, packages="mawk", cpus=2, timeout=900).check()
    assert len(re.findall(r"^round \d+ status 137$", out, re.MULTILINE)) == rounds
    assert '"children": []' in out
    before, after = map(int, re.search(r"used before (\d+) after (\d+)", out).groups())
    assert after == before
    assert f"      8 {ZEROS}  -\r\n" in out
    assert "retired" in out


def test_memory_goes_back(lab):
    """What the core was given for children is Linux's again when they have ended, chunk by chunk; nothing is left in use."""
    out = lab.sh(PRELUDE.replace("plinth launch", "plinth launch pool_mb=0 debug_port=0xe9") + f"""
        memory() {{ plinth status --json | grep -o '"core_memory": [0-9]*'; }}
        child first true --memory 128M || exit 91
        echo "before $(memory)"
        for round in 1 2; do
            mkfifo $round.in $round.out
            plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --memory 128M --cpus 64 --append \\
                'console=ttyS0 quiet maxcpus=1 plinth.run="echo full; read line"' \\
                <$round.in >$round.out & child=$!
            exec 7>$round.in 8<$round.out
            while IFS= read -r line <&8; do case $line in *full*) break;; esac; done
            echo "within $(memory)"
            echo >&7; cat <&8 >/dev/null; wait $child; echo "child $?"
            echo "after $(memory)"
        done
        plinth log | grep -c exception
        child last {quoted(SUMS)} --memory 128M && cat last.console
        plinth retire && plinth launch && plinth retire && echo retired
    """, cpus=2, timeout=200).check()
    counts = {name: [int(n) for n in re.findall(rf'^{name} "core_memory": (\d+)$', out, re.MULTILINE)]
              for name in ("before", "within", "after")}
    assert len(counts["before"]) == 1 and len(counts["within"]) == len(counts["after"]) == 2
    assert min(counts["within"]) > counts["before"][0]
    assert counts["after"] == counts["before"] * 2
    assert out.count("child 0\n") == 2 and "\n0\n" in out
    assert f"      8 {ZEROS}  -\r\n" in out and out.endswith("retired\n")


def test_bug_strikes_one_child(lab):
    """
    A bug of the core in the service of one child, while it holds that child's lock and a global one: that child ends with
    an error, another runs on to its end, new ones can be made, and the core retires.
    """
    out = lab.sh(r"""
        debug=/usr/lib/plinth-tests/debug
        cp $debug/core.elf /lib/firmware/plinth/core.elf && insmod $debug/plinth.ko debug_port=0xe9 || exit 91
    """ + PRELUDE + f"""
        mkfifo input output
        exec 7<>input
        plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --memory 128M --cpus 2 --append \
            'console=ttyS0 quiet plinth.run="echo up; while :; do :; done"' </dev/null >output 2>first.err & first=$!
        exec 8<output
        while IFS= read -r line <&8; do case $line in *up*) break;; esac; done
        plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --memory 128M --append \
            'console=ttyS0 quiet plinth.run="echo up; read line; echo down"' <input >second 2>&1 & second=$!
        until grep -q up second; do :; done
        echo "bug $(plinth status --json | grep -o '"children": .*"vps"' | head -c 40)"
        echo 2 >/sys/module/plinth/parameters/crash && exit 92
        wait $first; echo "first $?"
        cat first.err
        echo >&7
        wait $second; echo "second $?"; cat second
        child third {quoted(SUMS)} --memory 128M; echo "third $?"; cat third.console
        plinth log | grep broken
        plinth retire && plinth launch && plinth retire && echo retired
    """, cpus=2, timeout=200).check()
    assert int(re.search(r"^first (\d+)$", out, re.MULTILINE).group(1)) not in (0, 124)
    assert "second 0\n" in out and "down" in out
    assert "third 0\n" in out and f"      8 {ZEROS}  -\r\n" in out
    assert "core: VM 0 is broken" in out
    assert "retired" in out


def test_memory_pressure(lab, tmp_path):
    """The root swaps a child's memory out; the child finds it unharmed, and it comes back in."""
    swap = tmp_path / "swap.img"
    with open(swap, "wb") as file:
        file.truncate(1 << 30)
    command = ("dd if=/dev/urandom of=/data bs=1M count=64 2>/dev/null; sha256sum /data >/sum; echo filled; "
               "read line; sha256sum -c /sum; sha256sum -c /sum")
    out = lab.sh(PRELUDE + f"""
        disk=$(for d in /sys/block/vd*; do [ $(cat $d/size) = 2097152 ] && echo ${{d##*/}}; done)
        mkswap /dev/$disk >/dev/null && swapon /dev/$disk || exit 91
        mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 92
        echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/child || exit 93
        mkfifo input output
        exec 7<>input
        (
            sh -c 'echo $PPID' >/sys/fs/cgroup/child/cgroup.procs
            exec plinth run --device /dev/plinth --kernel $KERNEL --initrd $INITRD --memory 192M \\
                --append 'console=ttyS0 quiet plinth.run="{command}"'
        ) <input >output & child=$!
        exec 8<output
        while IFS= read -r line <&8; do case $line in *filled*) break;; esac; done
        # As much as can be had of what the worker holds, which is the child's memory.
        echo 150M >/sys/fs/cgroup/child/memory.reclaim
        echo "swapped $(cat /sys/fs/cgroup/child/memory.swap.current)"
        echo >&7
        cat <&8
        wait $child; echo "status $?"
        grep pswpin /proc/vmstat
        plinth retire && echo retired
    """, cpus=2, memory="1G", qemu=["-drive", f"file={swap},format=raw,if=virtio"], timeout=900).check()
    assert out.count("/data: OK") == 2
    assert "status 0" in out
    assert int(re.search(r"^swapped (\d+)", out, re.MULTILINE).group(1)) > 64 << 20
    assert int(re.search(r"^pswpin (\d+)", out, re.MULTILINE).group(1)) > (64 << 20) // 4096 // 2
    assert "retired" in out
