# SPDX-License-Identifier: GPL-2.0-only
"""A second opinion on the lab's emulator: Bochs has an SVM of its own, with NRIPS, flush-by-ASID and the pause filter."""

import json
import re

import pytest


def test_launch_child_and_retire(lab):
    """On an emulated Ryzen: the root goes under the core on all processors, a child with two runs, the machine comes back."""
    if not lab.long:
        pytest.skip("several minutes in Bochs: with --long")
    out = lab.sh(r"""
        plinth launch || exit 1
        echo == status; plinth status --json
        echo == child
        plinth run --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz --memory 256M --cpus 2 \
            --append 'console=ttyS0 quiet plinth.run="echo cpus $(nproc)"' </dev/null || exit 1
        echo == log; plinth log
        echo == retire; plinth retire && echo retired && nproc
    """, emulator="bochs", cpus=2, memory="1G", timeout=1500).check()
    parts = dict(zip(*[iter(re.split(r"^== (.*)\n", out, flags=re.MULTILINE)[1:])] * 2))
    status = json.loads(parts["status"])
    assert status["launched"] and status["nrips"] and status["flush_by_asid"] and status["pause_filter"]
    assert "cpus 2" in parts["child"] and "child: exit 0" in parts["child"]
    assert "exception" not in parts["log"] and "cannot go on" not in parts["log"]
    assert parts["retire"] == "retired\n2\n"
