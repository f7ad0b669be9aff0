# SPDX-License-Identifier: GPL-2.0-only
"""./lab demo: Plinth's main job, told step by step. guest/demo is the other half, inside the machine."""

import os
import sys
import time

from . import bochs, image, machine
from .common import say, shown

STEPS = {
    "booted": "A Debian runs in the lab machine",
    "load": "Work starts in it",
    "launch": "plinth launch: a hypervisor slides under the running system",
    "proof": "The Debian is now the root partition",
    "child": "plinth run: a second Debian kernel boots on it",
    "childend": "The child is off",
    "disk": "plinth run: a third Debian boots from its own disk, through SeaBIOS and GRUB",
    "diskend": "The machine with the disk is off",
    "retire": "plinth retire: the system gets its bare machine back",
    "sums": "The work that went on all the while",
}

ASK_POSITION = b"\x1b[6n"  # busybox asks the terminal where its cursor is; this one needs no answer
# At which prompt what is typed, and what must come back for the children to count as working.
DIALOGUE = (
    (b"# ", b"uname -sr; echo sum $((6 * 7)); grep -c ^processor /proc/cpuinfo\n", b"sum 42\r\n"),
    (b"# ", b"poweroff -f\n", None),
    (b"login: ", b"root\n", b"GRUB: menu of hd0"),
    (b"# ", b"uname -sr; findmnt -no SOURCE,FSTYPE /; echo sum $((6 * 9))\n", b"sum 54\r\n"),
    (b"# ", b"poweroff\n", None),
)


class Demo:
    """Narrates what comes from the machine, and types at its child."""

    def __init__(self, lab):
        self.lab = lab
        self.begin = time.monotonic()
        self.line = b""  # of guest/demo, not ended yet
        self.console = b""  # all that the child has printed
        self.held = b""  # the start of what may become ASK_POSITION
        self.answered = 0  # up to where of it commands have been typed
        self.to_type = [(prompt, text) for prompt, text, _ in DIALOGUE]
        self.bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def _step(self, word):
        line = f"== {STEPS[word]} ({time.monotonic() - self.begin:.0f} s)"
        print(f"\n\033[1m{line}\033[0m" if self.bold else f"\n{line}", flush=True)

    def output(self, data):
        """Lines of guest/demo: steps, and what is to be shown under them."""
        *lines, self.line = (self.line + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace")
            if line.startswith("@") and line[1:] in STEPS:
                self._step(line[1:])
            else:
                print(f"   {line}", flush=True)

    def terminal(self, data):
        """The child's console: shown as it is; at its prompt the next command is typed."""
        data = self.held + data
        start = data.rfind(b"\x1b")
        whole = start < 0 or not ASK_POSITION.startswith(data[start:]) or data.endswith(ASK_POSITION)
        data, self.held = (data, b"") if whole else (data[:start], data[start:])
        data = data.replace(ASK_POSITION, b"")
        if not self.console:
            print("   | ", end="")
        print(data.decode(errors="replace").replace("\r", "").replace("\n", "\n   | "), end="", flush=True)
        self.console += data
        if self.to_type and self.console[self.answered:].endswith(self.to_type[0][0]):
            self.answered = len(self.console)
            self.lab.type(self.to_type.pop(0)[1])

    def worked(self):
        """Whether the children came up and answered everything."""
        return (not self.to_type and b"child: up" in self.console
                and all(answer in self.console for _, _, answer in DIALOGUE if answer))


def run(options):
    """Show the whole; the status to end with."""
    lab = bochs.machine_for(options)
    demo = Demo(lab)
    say("preparing the machine")
    try:
        lab.prepare()
        say(f"kernel log: {shown(lab.log_path)}")
        demo.begin = time.monotonic()
        lab.start().run(demo.output, terminal=demo.terminal)
    finally:
        lab.stop()
    status = machine.report(lab)
    if not status and not demo.worked():
        say("a child did not come up to its prompt and answer")
        status = 1
    print(f"\n{'All steps succeeded.' if not status else f'Failed with status {status}.'}")
    return status


def commands():
    """What the machine runs."""
    return (image.GUEST / "demo").read_text()
