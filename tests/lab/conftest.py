# SPDX-License-Identifier: GPL-2.0-only
"""
The fixture `lab`, through which every test of this folder reaches a machine:

    result = lab.sh("commands", cpus=2, put=["file:/root/file"])
    assert result.status == 0
    assert "something" in result.out
"""

import dataclasses

import pytest

from labkit import bochs, host, machine
from labkit.common import shown

# What tests want beside the lab's root system. One root system with all of it is made, as making one takes a minute or two.
PACKAGES = ("cpio", "dmsetup", "gcc", "iperf3", "ipxe", "isolinux", "kexec-tools", "libc6-dev", "mawk", "nbdkit", "qemu-system-x86",
            "syslinux-common", "udev", "xorriso")


@dataclasses.dataclass
class Result:
    """How one machine ended."""
    status: int  # of the commands, or machine's STATUS_KERNEL, STATUS_TIMEOUT, STATUS_LAB
    raw: bytes = dataclasses.field(repr=False)  # what the commands printed
    klog: str = dataclasses.field(repr=False)  # the root's kernel log
    core: str = dataclasses.field(repr=False)  # what the core wrote to the debug port
    why: str  # one line if the machine ended badly
    folder: str  # where the logs are
    seconds: float  # wall time that the machine ran

    @property
    def out(self):
        """What the commands printed, as text."""
        return self.raw.decode("utf-8", errors="replace")

    def check(self):
        """Fail the test unless the commands ended with status 0; returns the output."""
        assert self.status == 0, (
            f"status {self.status} {self.why}\n--- output\n{self.out}\n--- logs are in {self.folder}")
        return self.out


class Lab:
    """Starts machines for a test."""

    def __init__(self, long):
        self.long = long

    def cycles(self, usual, long):
        """How often to repeat something: `usual` times, or `long` times with --long."""
        return long if self.long else usual

    def sh(self, commands, packages="", **options):
        """
        Run `commands` in a fresh machine. The options are the fields of labkit.machine.Options:
        cpus, memory, cpu, kernel, append, qemu, put, disk, icount, systemd, accel, timeout, allow, plinth. Of `packages` what
        is in PACKAGES brings all of them.
        """
        packages = tuple(packages.split())
        if packages and set(packages) <= set(PACKAGES):
            packages = PACKAGES
        for name in ("append", "qemu", "put"):
            if isinstance(options.get(name), str):
                options[name] = [options[name]]
        run = bochs.machine_for(machine.Options(commands=commands, packages=packages, **options))
        out = []
        try:
            run.prepare().start().run(out.append)
        finally:
            run.stop()
        machine.report(run)
        status, why, _ = run.verdict()
        core = run.run_dir / "core.log"
        print(f"logs: {shown(run.run_dir)}")
        return Result(status, b"".join(out), run.kernel_log(),
                      core.read_text(errors="replace") if core.exists() else "",
                      why or "", shown(run.run_dir), run.seconds)


@pytest.fixture(scope="session", autouse=True)
def prepared():
    """The packages that the lab needs are installed."""
    host.prepare(tests=True)


@pytest.fixture
def lab(long):
    """Starts machines; see Lab.sh."""
    return Lab(long)
