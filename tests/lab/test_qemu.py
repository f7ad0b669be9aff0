# SPDX-License-Identifier: GPL-2.0-only
"""Programs written for KVM run on /dev/plinth as they are: Debian's QEMU, firmware and all."""


def test_qemu_boots_a_kernel(lab):
    """QEMU with `-accel kvm`, for which /dev/kvm is /dev/plinth: two processors come up, and the machine powers itself off."""
    result = lab.sh("""
        plinth launch debug_port=0xe9 && ln -s plinth /dev/kvm || exit 1
        qemu-system-x86_64 -accel kvm -machine q35,kernel-irqchip=split -cpu host -smp 2 -m 256M -nodefaults \\
            -display none -serial stdio -no-reboot -kernel /boot/vmlinuz-$(uname -r) \\
            -initrd /usr/lib/plinth-lab/child.cpio.gz \\
            -append 'console=ttyS0 quiet plinth.run="grep -c ^processor /proc/cpuinfo; sha256sum /bin/busybox; echo end"'
        echo "status $?"
        sha256sum /usr/lib/plinth-lab/busybox
        plinth status --json | grep -o '"children": ..'
        plinth retire && echo retired
    """, packages="qemu-system-x86", cpus=2, timeout=200)
    lines = result.check().splitlines()
    sums = [line.split()[0] for line in lines if "busybox" in line and len(line.split()[0]) == 64]
    assert "2" in lines and "end" in lines and "status 0" in lines and "retired" in lines, result.out
    assert len(sums) == 2 and sums[0] == sums[1]
    assert '"children": []' in lines
