# SPDX-License-Identifier: GPL-2.0-only
"""L10 and the like: where the core cannot be launched, one line says why and what to do, and nothing has changed."""

import json
import re

PATH = "PATH=$PATH:/usr/lib/plinth-tests\n"


def sections(text):
    """The output between lines '== name', by name."""
    parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def one_line(text, *words):
    """`text` is one line of `plinth` with these words, then a status that is not 0."""
    lines = text.splitlines()
    assert len(lines) == 2, text
    assert lines[0].startswith("plinth: "), text
    assert re.fullmatch(r"status [1-9]\d*", lines[1]), text
    for word in words:
        assert word in lines[0], text
    assert len(lines[0]) < 300


REFUSED = PATH + """
    echo == command; plinth launch; echo status $?
    modprobe plinth; echo == module; cpustate launch; echo status $?
    echo == after; plinth status; plinth retire; echo status $?
    load fork fpu -- true && rmmod plinth && echo well
"""


def check_refused(part, name, *words):
    """Program and module both say it, and the root goes on."""
    one_line(part["command"], *words)
    assert part["module"].startswith(name + ": ") and "status 1" in part["module"]
    assert part["after"].startswith("launched: false\nplinth: ")
    assert part["after"].endswith("well\n")


def test_no_svm(lab):
    """A processor without SVM; the leaf is named because QEMU takes others away with it (see test_lab.py)."""
    part = sections(lab.sh(REFUSED, cpu="max,-svm,xlevel=0x8000000a", cpus=2).check())
    check_refused(part, "ENODEV", "SVM", "firmware")


def test_no_nested_paging(lab):
    """A processor that has SVM but not nested paging."""
    part = sections(lab.sh(REFUSED, cpu="max,-npt", cpus=2).check())
    check_refused(part, "EOPNOTSUPP", "nested paging")


def test_too_many_processors(lab):
    """More processors than the core has room for: refused, and NMIs go on reaching Linux's own handlers."""
    part = sections(lab.sh(REFUSED, append="possible_cpus=300").check())
    check_refused(part, "EOPNOTSUPP", "300 processors", "possible_cpus=256")


def test_children_forbid_retire(lab):
    """A retire names the children that are in its way, as the status does, and works when they are gone."""
    part = sections(lab.sh("""
        plinth launch debug_port=0xe9 || exit 1
        start() {
            mkfifo $1.in $1.out
            plinth run --device /dev/plinth --kernel /boot/vmlinuz-$(uname -r) --memory 128M --name $1 \\
                --initrd /usr/lib/plinth-lab/child.cpio.gz --append 'console=ttyS0 quiet plinth.run="echo up; read line"' \\
                <$1.in >$1.out &
            eval $1=$!
        }
        up() { while IFS= read -r line; do case $line in *up*) break;; esac; done; }
        start web; exec 5>web.in 6<web.out; up <&6
        start mail; exec 7>mail.in 8<mail.out; up <&8
        echo == processes; echo $web $mail
        echo == both; plinth retire 2>&1; echo status $?
        echo == status; plinth status --json
        echo == module; rmmod plinth 2>&1; echo status $?
        echo >&5; cat <&6 >/dev/null; wait $web
        echo == one; plinth retire 2>&1; echo status $?
        echo >&7; cat <&8 >/dev/null; wait $mail; echo == end $?; plinth retire && echo retired
    """, cpus=2, timeout=120).check())
    web, mail = map(int, part["processes"].split())
    one_line(part["both"], f"children are running: web (process {web}), mail (process {mail}): ", "plinth stop")
    children = json.loads(part["status"])["children"]
    assert [(child["name"], child["pid"], child["vps"]) for child in children] == [("web", web, 1), ("mail", mail, 1)]
    assert all(child["exits"] >= sum(child["kinds"].values()) > 0 for child in children)
    assert "status 1" in part["module"]
    one_line(part["one"], f"children are running: mail (process {mail}): ")
    assert part["end 0"] == "retired\n"


def test_refusals(lab):
    """Every other reason, in one machine: after each of them the core still launches."""
    out = lab.sh(PATH + """
        core=/lib/firmware/plinth/core.elf
        cp $core core.elf
        try() { echo == $1; shift; "$@" 2>&1; echo status $?; }
        well() { cp core.elf $core; plinth launch && plinth retire && echo well || echo unwell; }

        try "retire without module" plinth retire
        module=/lib/modules/$(uname -r)/extra/plinth.ko
        mv $module plinth.ko; try "module missing" plinth launch
        : >$module; try "module empty" plinth launch; mv plinth.ko $module
        modprobe kvm-amd || exit 1
        try "kvm-amd" plinth launch
        modprobe plinth
        try "kvm-amd module" cpustate launch
        modprobe -r kvm-amd

        try "not launched" plinth retire
        try "no log" plinth log
        try "nobody's log" setpriv --reuid 65534 plinth log
        try "not launched module" cpustate retire
        plinth launch
        try "launched" plinth launch
        try "launched module" cpustate launch
        try "unload" rmmod plinth
        try "parameter late" plinth launch nmi=idt
        plinth retire
        try "nobody" setpriv --reuid 65534 plinth launch
        try "nobody's retire" setpriv --reuid 65534 plinth retire
        echo == well 1; well

        rmmod plinth
        try "parameter" plinth launch nmi=never
        rmmod plinth
        try "pool" plinth launch pool_mb=4000000000
        rmmod plinth
        try "unknown parameter" plinth launch colour=blue
        rmmod plinth 2>/dev/null
        modprobe plinth
        echo == well 2; well

        byte() { printf "$2" | dd of=$core bs=1 seek=$1 conv=notrunc status=none; }
        place() { grep -a -b -o -m 1 "$1" core.elf | head -n 1 | cut -d: -f1; }
        rm $core; try "core missing" plinth launch
        mkdir $core; try "core a folder" plinth launch; rmdir $core
        : >$core; try "core empty" plinth launch
        echo "what is this" >$core; try "core text" plinth launch
        cp /bin/true $core; try "core of another kind" plinth launch
        for size in 40 500 5000 60000; do
            head -c $size core.elf >$core; try "core cut at $size" plinth launch
        done
        cp core.elf $core; byte $(($(place PLNTCORE) + 8)) '\\143'; try "core abi" plinth launch
        cp core.elf $core; byte $(place PLNTCORE) 'x'; try "core magic" plinth launch
        # The note's name GNU, then the build id itself.
        id=$(($(LC_ALL=C grep -a -b -o -P '\\x04\\0\\0\\0\\x14\\0\\0\\0\\x03\\0\\0\\0GNU' core.elf | head -n 1 | cut -d: -f1) + 16))
        cp core.elf $core; byte $id "$(head -c $((id + 1)) core.elf | tail -c 1 | tr '\\000-\\377' '\\001-\\377\\000')"
        try "core build" plinth launch
        echo == well 3; well

        modprobe regs; echo 2 >/sys/module/regs/parameters/svme
        try "svme elsewhere" plinth launch
        echo -1 >/sys/module/regs/parameters/svme
        echo == well 4; well

        echo 3 >/proc/sys/vm/drop_caches
        modprobe hog || exit 1
        cd /sys/module/hog/parameters
        while [ "$(cat blocks)" != "$last" ]; do
            last=$(cat blocks)
            echo 1 >/proc/sys/vm/compact_memory
            echo 1 >more
        done
        cd - >/dev/null
        echo == free
        cat /proc/buddyinfo; grep MemFree /proc/meminfo
        try "memory" plinth launch
        rmmod hog
        echo == well 5; well
    """, memory="512M").check()
    part = sections(out)
    for number in range(1, 6):
        assert part[f"well {number}"].endswith("well\n") and "unwell" not in part[f"well {number}"], part
    one_line(part["retire without module"], "not launched")
    for name in ("module missing", "module empty"):
        one_line(part[name], "does not load (modprobe: ", "make install")
    one_line(part["no log"], "nothing has been launched", "plinth launch")
    one_line(part["nobody's log"], "root")
    one_line(part["pool"], "pool_mb=4000000000", "1024")
    one_line(part["kvm-amd"], "kvm-amd", "modprobe -r")
    assert part["kvm-amd module"].startswith("EBUSY: ") and "modprobe -r" in part["kvm-amd module"]
    one_line(part["not launched"], "not launched")
    assert part["not launched module"].startswith("ENXIO: ")
    one_line(part["launched"], "launched already")
    assert part["launched module"].startswith("EEXIST: ")
    assert "status 1" in part["unload"]
    one_line(part["parameter late"])
    one_line(part["nobody"], "root")
    one_line(part["nobody's retire"], "root")
    one_line(part["unknown parameter"], "colour")
    one_line(part["parameter"], "nmi=never", "take", "idt")
    for name, words in {
            "core missing": ("core.elf", "install"), "core a folder": ("core.elf", "install"),
            "core empty": ("install",), "core text": ("install",), "core of another kind": ("install",),
            "core cut at 40": ("install",), "core cut at 500": ("install",), "core cut at 5000": ("install",),
            "core cut at 60000": ("install",), "core abi": ("ABI 99", "one build"), "core magic": ("install",),
            "core build": ("another build", "one build"), "svme elsewhere": ("processor 2", "unload"),
            "memory": ("memory", "2 MiB")}.items():
        one_line(part[name], *words)


# ---- fault injection, in a build that has it ----

DEBUG = PATH + """
    cp /usr/lib/plinth-tests/debug/core.elf /lib/firmware/plinth/
    cp /usr/lib/plinth-tests/debug/plinth.ko /lib/modules/$(uname -r)/extra/
    modprobe plinth debug_port=0xe9 nmi=$nmi
    parameters=/sys/module/plinth/parameters
"""


def states(text):
    """The captured state of all CPUs, without what changes from one moment to the next (see test_launch.py)."""
    moving = {"rflags", "cr2", "cr3", "apic_380", "apic_390",
              *(f"apic_{base + 16 * i:03x}" for base in (0x100, 0x180, 0x200) for i in range(8))}
    return {tuple(line.split()[:2]): line.split()[2] for line in text.splitlines()
            if re.match(r"\d+ \S+ \S+$", line) and line.split()[1] not in moving}


def test_faults(lab):
    """
    A launch that fails on any CPU in any phase, with either way of keeping NMIs out, leaves every CPU as it was, with a
    load going on; the next one works.
    """
    out = lab.sh("nmi=take\n" + DEBUG + """
        cat >faults <<'EOF'
        for cpu in 0 1 2 3; do
            for phase in 0 1 2 3; do
                echo $cpu >$parameters/fault_cpu
                echo $phase >$parameters/fault_phase
                echo == $nmi $cpu $phase
                plinth launch 2>&1; echo status $?
                cpustate dump state-$nmi-$cpu-$phase
                echo -1 >$parameters/fault_cpu
                plinth launch && plinth retire || exit 1
            done
        done
EOF
        export parameters
        for nmi in take idt; do
            export nmi
            cpustate dump bare-$nmi
            load fork fpu hash tcp -- sh faults || exit 1
            rmmod plinth; modprobe plinth debug_port=0xe9 nmi=idt
        done
        echo == end
    """).check()
    part = sections(out)
    bare = states(part["bare-take"])
    for nmi in ("take", "idt"):
        for cpu in range(4):
            for phase in range(4):
                one_line(part[f"{nmi} {cpu} {phase}"], f"processor {cpu} ", "plinth log")
    assert len(bare) > 4 * 60
    for name, text in part.items():
        if name.startswith(("state-", "bare-")):
            assert states(text) == bare, name


def test_bugs_of_the_core(lab):
    """
    A bug in the core dumps the registers to the log and gives the CPU back to the root; a machine where SVM is off is told
    from one that is locked.
    """
    result = lab.sh("nmi=take\n" + DEBUG + """
        try() { echo == $1; shift; "$@" 2>&1; echo status $?; }
        plinth launch || exit 1
        for how in 0 1; do
            for cpu in 0 1 2 3; do
                taskset -c $cpu sh -c "echo $how >$parameters/crash" && exit 1
            done
            echo == log $how; plinth log
        done
        try "crashes" load fork fpu hash -- plinth status
        plinth retire || exit 1
        echo == kept; plinth log
        echo $((1 << 4)) >$parameters/fault_vm_cr; try "off" plinth launch
        echo $((3 << 3)) >$parameters/fault_vm_cr; try "locked" plinth launch
        echo 0 >$parameters/fault_vm_cr
        echo == end; plinth launch && plinth retire && echo well
    """)
    part = sections(result.check())
    for cpu in range(4):
        assert re.search(rf"exception 6 error 0 on CPU {cpu} at ffff8\w+\n cr2 \w+ cr3 \w+ rflags .*\n rax ", part["log 0"])
        assert re.search(rf"exception (14|8) error \w+ on CPU {cpu} at ffff8", part["log 1"])
    assert part["kept"].startswith(part["log 1"])
    assert part["log 1"] in result.core  # the debug port has it too
    assert part["crashes"].endswith("status 0\n")
    one_line(part["off"], "disabled", "firmware")
    assert "locked" not in part["off"]
    one_line(part["locked"], "locked", "firmware")
    assert part["end"] == "well\n"
