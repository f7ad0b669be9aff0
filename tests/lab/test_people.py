# SPDX-License-Identifier: GPL-2.0-only
"""Machines among people: names, `plinth ps`, `stop`, `console`, `stats`, configuration files, whom a worker becomes."""

import json
import re

import pytest

DEVICES = {"kvm": "modprobe kvm-amd", "plinth": "plinth launch"}

PRELUDE = r"""
SETUP || exit 90
KERNEL=/boot/vmlinuz-$(uname -r)
INITRD=/usr/lib/plinth-lab/child.cpio.gz
# Starts a machine in the background that says "ready", and repeats what is typed.
start() {
	name=$1
	shift
	mkfifo $name.out
	plinth run --device /dev/DEVICE --kernel $KERNEL --initrd $INITRD --name $name "$@" \
		--append 'console=ttyS0 quiet plinth.run="echo ready; cat"' </dev/null >$name.out 2>$name.err &
	exec 8<$name.out
	expect ready
}
# Reads descriptor 8 up to a line that holds $1.
expect() {
	while IFS= read -r line <&8; do
		case $line in *"$1"*) return 0 ;; esac
	done
	return 1
}
"""


def script(device, text):
    return (PRELUDE + text).replace("SETUP", DEVICES[device]).replace("/dev/DEVICE", f"/dev/{device}")


def sections(out):
    """The parts of an output that are headed by lines "== name"."""
    parts = re.split(r"^== (.*)\r?\n", out, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize("device", DEVICES)
def test_commands(lab, device):
    """A machine is found, watched, typed at and ended by its name; and its worker has become nobody."""
    out = lab.sh(script(device, r"""
        truncate -s 8M disk
        start web --disk disk --cpus 2 --net none,mac=02:00:00:00:00:07 --stats=counted
        echo "== ps"
        plinth ps
        echo "== json"
        plinth ps --json
        echo "== status"
        cat /proc/$(pidof plinth)/status
        echo "== same name"
        plinth run --kernel $KERNEL --name web; echo "status $?"
        echo "== stats"
        plinth stats --json web
        echo "== text"
        plinth stats web
        echo "== full"
        plinth stats web >/dev/full; echo "status $?"
        echo "== watch"
        mkfifo watched
        plinth stats --watch --json web >watched &
        watcher=$!
        exec 7<watched
        for n in 1 2; do
            IFS= read -r line <&7
            printf '%s\n' "$line"
        done
        echo "== console"
        mkfifo typed
        plinth console web <typed >seen &
        exec 9>typed
        echo "typed from afar" >&9
        expect "typed from afar"
        echo more >&9
        expect more
        printf '\001d' >&9
        wait $!
        echo "detached $?"
        cat seen
        echo
        echo "== button"
        plinth stop --timeout 1 web; echo "status $?"
        echo "== stop"
        plinth stop --force web; echo "status $?"
        wait %1; echo "run $?"
        cat <&7 >/dev/null
        wait $watcher; echo "watched $?"
        cat web.err
        grep -c '^vp ' counted
        echo "== gone"
        plinth ps
        ls -A /run/plinth
        plinth stop web; echo "status $?"
        plinth console web; echo "status $?"
        plinth stats ../web; echo "status $?"
    """)).check()
    part = sections(out)
    assert re.search(rf"^web +\d+ +2 +512 MiB +/dev/{device}$", part["ps"], re.MULTILINE)
    (info,) = json.loads(part["json"])
    assert info["name"] == "web" and info["cpus"] == 2 and info["memory"] == 512 << 20
    status = dict(line.split(":\t", 1) for line in part["status"].splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65534"] * 4 and status["Gid"].split() == ["65534"] * 4
    assert not status["Groups"].split()
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert part["same name"].splitlines() == [
        "plinth: a machine called 'web' is running: give this one another --name", "status 1"]
    stats = json.loads(part["stats"])
    assert len(stats["vps"]) == 2 and stats["vps"][0]["exits"]["io"] > 100
    disk = stats["disks"][0]
    assert disk["bus"] == "ide0.0" and disk["target"] == "disk"
    assert set(disk["read"]) == {"requests", "failed", "bytes", "mean_ns", "max_ns"}
    assert stats["nets"][0]["mac"] == "02:00:00:00:00:07"
    assert "io: " in part["text"] and "bus: ide0.0" in part["text"]
    assert part["full"].splitlines() == [
        "plinth: cannot write all to standard output: its disk is full, or its reader has gone", "status 1"]
    watched = list(map(json.loads, part["watch"].splitlines()))
    assert len(watched) == 2 and all(a["exits"]["io"] <= b["exits"]["io"] for a, b in zip(stats["vps"], watched[1]["vps"]))
    assert "detached 0" in part["console"] and part["console"].count("typed from afar") >= 1
    assert part["button"].splitlines() == [
        "plinth: the machine 'web' still runs after 1 s: its system may not heed the power button; use --force",
        "status 1"]
    assert part["stop"].splitlines() == ["status 0", "run 12", "watched 0", "2"]
    assert part["gone"].splitlines()[1:] == [
        "plinth: no machine called 'web' is running: see 'plinth ps'", "status 1"] * 2 + [
            "plinth: '../web' cannot be a machine's name: see 'plinth ps'", "status 1"]


def test_names_and_what_is_left(lab):
    """Machines without a name get one each; one that was killed is not listed and leaves its name free."""
    out = lab.sh(script("plinth", r"""
        for n in 1 2; do
            mkfifo out$n
            plinth run --device /dev/DEVICE --kernel $KERNEL --initrd $INITRD --user root \
                --append 'console=ttyS0 quiet plinth.run="echo ready; cat"' </dev/null >out$n &
            eval "exec 8<out$n"
            expect ready
            eval "exec $((n + 4))<&8"
        done
        echo "== two"
        plinth ps --json
        grep Uid /proc/$(pidof -s plinth)/status
        kill -9 $(plinth ps --json | sed 's/.*"name":"child","pid":\([0-9]*\).*/\1/')
        wait %1
        echo "== one"
        plinth ps --json
        ls /run/plinth
        start child
        echo "== again"
        plinth ps --json
        plinth stop --force child && plinth stop --force child2
        wait
        plinth ps --json
        echo "== retired"
        plinth retire && echo "no machine holds the device"
    """)).check()
    part = sections(out)
    assert [vm["name"] for vm in json.loads(part["two"].splitlines()[0])] == ["child", "child2"]
    assert "Uid:\t0\t0\t0\t0" in part["two"]
    lines = part["one"].splitlines()
    assert [vm["name"] for vm in json.loads(lines[0])] == ["child2"]
    assert lines[1:] == ["child2.sock"]
    lines = part["again"].splitlines()
    assert [vm["name"] for vm in json.loads(lines[0])] == ["child", "child2"]
    assert lines[1] == "[]"
    assert part["retired"] == "no machine holds the device\n"


def test_configuration(lab):
    """A machine from a file, options behind it count; a bad file is refused in one line that names the key."""
    out = lab.sh(script("kvm", r"""
        cat >vm.json <<-END
		{
		  "kernel": "$KERNEL", "initrd": "$INITRD",
		  "append": "console=ttyS0 quiet plinth.run=\"nproc; grep MemTotal /proc/meminfo\"",
		  "memory": "300M", "cpus": 3,
		  "name": "from-file", "device": "/dev/kvm"
		}
		END
        plinth run --config vm.json --cpus 2 </dev/null
        echo "status $?"
        echo "== bad"
        sed 's/3,/300,/' vm.json >bad.json
        plinth run --config bad.json; echo "status $?"
        plinth run --kernel $KERNEL --user nosuch; echo "status $?"
        plinth run --kernel $KERNEL --disk /nonexistent; echo "status $?"
        plinth run --kernel $KERNEL --net tap,ifname=lo; echo "status $?"
    """)).check()
    assert re.search(r"^2\r?$", out, re.MULTILINE) and "status 0" in out
    assert 200000 < int(re.search(r"MemTotal: +(\d+)", out).group(1)) < 300 << 10
    bad = sections(out)["bad"].splitlines()
    assert bad[0::2] == ["plinth: bad.json:4: cpus 300: a machine has 1 to 64 processors",
                         "plinth: --user nosuch: there is no such user",
                         "plinth: cannot open the disk /nonexistent: No such file or directory",
                         bad[6]]
    assert re.match(r"plinth: .*tap|plinth: /dev/net/tun is not there", bad[6])
    assert bad[1::2] == ["status 1"] * 4
