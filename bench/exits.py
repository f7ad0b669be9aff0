# SPDX-License-Identifier: GPL-2.0-only
"""What an exit of a child costs, on stock KVM and on Plinth, by the same program (exits.c)."""

from labkit.bench import Row, tool

ROWS = [
    Row("cpuid", "CPUID exit of a child", "instructions", 200, "kvm_cpuid"),
    Row("io", "port-I/O exit to the worker and back", "instructions", 2000, "kvm_io"),
]

LAUNCH = {"/dev/kvm": "modprobe kvm-amd", "/dev/plinth": "plinth launch >&2"}


def measure(sh):
    numbers = {}
    for device, prefix in (("/dev/kvm", "kvm_"), ("/dev/plinth", "")):
        out = sh(f"{LAUNCH[device]} && ./exits {device}", icount=True, put=[tool("exits")])
        numbers.update({prefix + key: int(value) for key, value in map(str.split, out.splitlines())})
    return numbers
