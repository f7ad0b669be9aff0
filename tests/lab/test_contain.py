# SPDX-License-Identifier: GPL-2.0-only
"""L4: the root can neither read nor write the core's memory, and lives when it tries."""

import json
import re


def sections(text):
    """The output between lines '== name', by name."""
    parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_core_memory_is_contained(lab):
    """Loads, stores, locked, string and page-crossing accesses to every chunk, by the kernel and by a program."""
    out = lab.sh("""
        PATH=$PATH:/usr/lib/plinth-tests
        plinth launch debug_port=0xe9 || exit 1
        echo == before; plinth status --json
        chunks=$(plinth status --json | sed 's/.*"core_chunks": \\[//; s/\\].*//; s/ //g')
        echo == attack; modprobe attack chunks=$chunks; echo status $?
        cat /sys/module/attack/parameters/reads /sys/module/attack/parameters/writes
        echo == after; plinth status --json
        echo == poke; poke /dev/attack; echo status $?
        echo == end; plinth status --json
        # The core still works in all its parts, and the root with it.
        echo == alive; load fork fpu -- true && plinth retire && plinth launch && plinth retire && echo alive
    """).check()
    part = sections(out)
    before, after, end = (json.loads(part[name]) for name in ("before", "after", "end"))
    status, reads, writes = part["attack"].split()[-3:]
    assert status == "0", part["attack"]
    chunks = before["core_chunks"]
    assert len(chunks) == len(set(chunks)) == before["core_memory"] >> 21
    assert all(chunk % (2 << 20) == 0 for chunk in chunks)
    assert before["contained"]["reads"] == before["contained"]["writes"] == 0
    assert after["contained"]["reads"] == int(reads) > 100 * len(chunks)
    assert after["contained"]["writes"] == int(writes) > 100 * len(chunks)
    assert any(chunk <= after["contained"]["last_address"] < chunk + (2 << 20) for chunk in chunks)
    assert "status 0" in part["poke"], part["poke"]
    assert end["contained"]["reads"] > after["contained"]["reads"]
    assert part["alive"].endswith("alive\n")


def test_donated_memory(lab):
    """What a child has mapped cannot be given to the core; other memory can, and is then out of the root's reach."""
    out = lab.sh("""
        echo never >/sys/kernel/mm/transparent_hugepage/enabled
        plinth launch debug_port=0xe9 || exit 1
        mkfifo input output
        exec 7<>input
        plinth run --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz \\
            --append 'console=ttyS0 quiet nokaslr plinth.run="echo up; read line; echo down"' --memory 128M \\
            <input >output & child=$!
        exec 8<output
        while IFS= read -r line <&8; do case $line in *up*) break;; esac; done
        # Its kernel's code, which it runs all the time.
        modprobe donate pid=$child offset=$((16 << 20)); echo status $?
        plinth status --json
        echo >&7
        cat <&8
        wait $child; echo child $?
        plinth retire && rmmod donate && plinth launch && plinth retire && echo alive
    """, cpus=2, timeout=120).check()
    assert "status 0\n" in out
    status = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert status["contained"]["reads"] == 1
    assert "down" in out and "child 0\n" in out and out.endswith("alive\n")


def test_efer_of_the_root(lab):
    """What the processor makes of a bit of EFER that it does not have, it makes of it under the core too."""
    out = lab.sh("""
        modprobe regs
        flip() { echo 0x10000000000 >/sys/module/regs/parameters/efer; cat /sys/module/regs/parameters/efer; }
        flip; plinth launch debug_port=0xe9 && flip && plinth retire && echo well
    """, timeout=60).check().splitlines()
    assert out[0] == out[1] and out[0].endswith(" 0") and out[2:] == ["well"]
