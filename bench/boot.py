# SPDX-License-Identifier: GPL-2.0-only
"""
A Debian kernel as a child, from plinth run to power-off, on stock KVM and on Plinth: all that the
machine executes, in the second of two runs.
"""

from labkit.bench import Row

ROWS = [Row("boot", "Debian kernel to init and power-off in a child", "instructions", 0.9, "kvm_boot", relative=True)]

RUN = """
%s
plinth run --device %s --kernel /boot/vmlinuz-$(uname -r) --initrd /usr/lib/plinth-lab/child.cpio.gz \\
    --append 'console=ttyS0 quiet plinth.run=true' --memory 256M --console file:/dev/null </dev/null >&2 || exit 1
"""


def measure(sh):
    numbers = {}
    for device, key, launch in (("/dev/kvm", "kvm_boot", "modprobe kvm-amd"), ("/dev/plinth", "boot", "plinth launch >&2")):
        # The clock counts executed instructions, in nanoseconds, and idle time, which is taken off.
        out = sh(f"""
            {launch} || exit 1
            {RUN % (":", device)}
            start=$(cat /proc/uptime)
            {RUN % (":", device)}
            echo $start $(cat /proc/uptime)
        """, icount=True, memory="1G", timeout=900)
        up, idle, up_end, idle_end = map(float, out.split()[-4:])
        numbers[key] = round(((up_end - up) - (idle_end - idle)) * 1e9)
    return numbers
