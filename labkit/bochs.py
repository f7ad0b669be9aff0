# SPDX-License-Identifier: GPL-2.0-only
"""
The lab machine in Bochs: a second opinion on QEMU's SVM, with NRIPS, decode assists and flush-by-ASID, and slow.

It boots from a CD made by GRUB, which also carries the images. Output comes through the second serial port, followed by
one line with the commands' status; the kernel's log through the first, as in QEMU.
"""

import os
import re
import shutil
import subprocess
import time

from . import host, machine
from .common import LabError, run_logged

PACKAGES = ("bochs", "bochsbios", "vgabios", "bochs-term", "grub-common", "grub-pc-bin", "xorriso", "mtools")

# What of the ryzen that it models Bochs does not do or does wrong: MWAITX (221); XSAVEC and XSAVES (321, 323): its XRSTORS finds the
# reserved part of the header of a new thread's image not zero and faults, on stock KVM as on Plinth.
KERNEL_WORDS = {"ryzen": ("clearcpuid=221,321,323",)}
# A reset would start the CD again; a triple fault ends Bochs.
RESET_ENDS = ("reboot=t",)

TRAILER = re.compile(rb"\n@lab exit (\d+)\n\Z")

GRUB = """\
set timeout=0
set default=0
menuentry lab {{
	linux /boot/vmlinuz {line}
	initrd /boot/initrd
}}
"""

CONFIG = """\
config_interface: textconfig
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model={model}, count={cpus}, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
clock: sync=none, time0=1704067200
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{folder}/lab.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev="{folder}/kernel.log"
com2: enabled=1, mode=file, dev="{folder}/out"
speaker: enabled=0
sound: driver=dummy
log: "{folder}/bochs.log"
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


def _megabytes(memory):
    number, unit = int(memory.rstrip("KMGkmg")), memory[-1].upper()
    return {"K": number // 1024, "M": number, "G": number * 1024}.get(unit, number)


class BochsMachine(machine.Machine):
    """A lab machine in Bochs for one run of commands."""

    def __init__(self, options):
        for name, value in (("--icount", options.icount), ("--qemu", options.qemu),
                            ("--accel", options.accel != "tcg"), ("--disk", options.disk and not options.interactive),
                            ("an interactive machine", options.interactive)):
            if value:
                raise LabError(f"{name} is not for --emulator bochs")
        super().__init__(options)
        self.model = options.cpu or "ryzen"

    def prepare(self):
        host.install(PACKAGES)
        super().prepare()
        self._make_cd()
        return self

    def _make_cd(self):
        tree = self.run_dir / "cd"
        (tree / "boot/grub").mkdir(parents=True)
        words = (*RESET_ENDS, *KERNEL_WORDS.get(self.model, ()))
        line = " ".join((machine.kernel_line(self.options), *words))
        (tree / "boot/grub/grub.cfg").write_text(GRUB.format(line=line))
        files = {"boot/vmlinuz": self.kernel.vmlinuz, "boot/initrd": self.kernel.initrd_cd}
        files.update((f"images/{name}", path) for name, path in self._images())
        run_logged("making the CD", ["grub-mkrescue", "-o", self.run_dir / "lab.iso", tree,
                                     *(f"{place}={path}" for place, path in files.items())],
                   self.run_dir / "grub-mkrescue.log")
        shutil.rmtree(tree)

    def start(self):
        config = self.run_dir / "bochsrc"
        config.write_text(CONFIG.format(model=self.model, cpus=self.options.cpus, folder=self.run_dir,
                                        memory=_megabytes(self.options.memory)))
        commands = self.run_dir / "debugger"
        commands.write_text("c\n")
        self._spawn(["bochs-bin", "-q", "-f", str(config), "-rc", str(commands)],
                    dict(os.environ, TERM="xterm"), "screen.log")
        return self

    def run(self, output, terminal=None, keys=None):
        begin = time.monotonic()
        try:
            self.process.wait(timeout=self.options.timeout)
        except subprocess.TimeoutExpired:
            self.timed_out = True
            self.process.kill()
            self.process.wait()
        self.seconds = time.monotonic() - begin
        data = (self.run_dir / "out").read_bytes() if (self.run_dir / "out").exists() else b""
        trailer = TRAILER.search(data)
        if trailer:
            self.status = int(trailer[1])
            data = data[:trailer.start()]
        output(data)

    def stop(self):
        super().stop()
        if self.run_dir:
            (self.run_dir / "lab.iso").unlink(missing_ok=True)


def machine_for(options):
    """The machine in the emulator that `options` ask for."""
    return (BochsMachine if options.emulator == "bochs" else machine.Machine)(options)
