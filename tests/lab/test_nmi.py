# SPDX-License-Identifier: GPL-2.0-only
"""L5: launch and retire while NMIs rain on every CPU, with both ways of keeping them out of the switch-over."""

import json
import re

import pytest


def stats(line):
    """What storm.ko counted."""
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", line)}


@pytest.mark.parametrize("nmi", ["take", "idt"])
def test_storm(lab, nmi):
    """
    Each CPU gets an NMI as soon as it has answered the last one, also while the machine is stopped for the switch-over.
    None is lost, which would end its pair's storm. None is one too many, which Linux would report: where
    the launch sends NMIs of its own (take), one that coincides with those may find its work done.
    """
    count = lab.cycles(200, 2000)
    # An NMI handler with page-table isolation changes tables where it finds those of user mode.
    # The storm goes on under one launch in eight too.
    out = lab.sh(f"""
        modprobe plinth nmi={nmi} debug_port=0xe9
        modprobe storm others={1 if nmi == "take" else 0}
        cd /sys/module/storm/parameters
        echo 1 >running
        i=0
        while [ $i -lt {count} ]; do
            plinth launch || exit 1
            if [ $((i % 8)) = 0 ]; then
                echo "before $(cat stats)"
                plinth status --json
                echo "within $(cat stats)"
            fi
            plinth retire || exit 1
            i=$((i + 1))
        done
        echo "last $(cat stats)"
        while :; do
            now=$(cat stats)
            [ "$now" = "$last" ] && echo "stands still" && exit 1
            last=$now
            i=$((i + 1)); [ $i -gt {count + 5} ] && break
        done
        echo 0 >running
        echo "end $(cat stats)"
    """, append="pti=on" if nmi == "idt" else "", timeout=9000 if lab.long else 1200).check()
    lines = out.splitlines()
    end = stats(lines[-1])
    assert end["lost"] == 0
    assert end["sent"] == end["answered"] > 100 * count
    assert end["excess"] <= (8 * count if nmi == "take" else 0)
    for number, line in enumerate(lines):
        if line.startswith("{"):
            before, within, status = stats(lines[number - 1]), stats(lines[number + 1]), json.loads(line)
            assert status["nmi_method"] == nmi
            assert within["answered"] > before["answered"]  # both pairs' storms go on under the core
            assert status["nmis_injected"] > 0 and status["nmis_taken"] > 0
