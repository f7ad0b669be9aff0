# SPDX-License-Identifier: GPL-2.0-only
"""What in a kernel log means that the kernel is in trouble."""

import re

# Lines of Linux that start a report of a fault of its own. Faults of user programs are not among them.
TROUBLE = re.compile(
    r"BUG: |kernel BUG at|WARNING: CPU: |Oops[: ]|Kernel panic|"
    r"(?<!traps: )general protection fault, |double fault|"
    r"unable to handle|Unable to handle|"
    r"soft lockup|hard LOCKUP|"
    r"rcu: INFO: |detected stalls? on|self-detected stall|"
    r"INFO: task .* blocked for more than|"
    r"unchecked MSR access|"
    r"Uhhuh\. NMI received|"
    r"refcount_t: |list_(add|del) corruption|UBSAN: |"
    r"stack (guard page|segment)|scheduling while atomic|"
    r"do_IRQ: .* No irq handler|"
    r"Bad page (state|map)|bad pmd|"
    r"unexpected NMI|clock: .* stuck")


def trouble(text, allow=None):
    """The lines of kernel log `text` that report trouble; `allow` is a regular expression to leave out."""
    lines = []
    for line in text.splitlines():
        if TROUBLE.search(line) and not (allow and re.search(allow, line)):
            lines.append(line)
    return lines


def context(text, allow=None, before=2, after=40, most=120):
    """The lines of `text` from just before each trouble to some way after it."""
    lines = text.splitlines()
    wanted = set()
    for number, line in enumerate(lines):
        if TROUBLE.search(line) and not (allow and re.search(allow, line)):
            wanted.update(range(max(0, number - before), min(len(lines), number + after)))
    return [lines[number] for number in sorted(wanted)][:most]
