# SPDX-License-Identifier: GPL-2.0-only
"""
Instructions that exit, and exceptions, interrupts and NMIs around them, do in a child of Plinth what they do in one of
stock KVM (L8): one program prints all that can be seen of each, on both devices.
"""

import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

# Where stock KVM in the lab's emulator does not do what the manual says, what the manual says (APM volume 2).
EXACT = {
    # 15.4: without EFER.SVME the instructions of SVM are undefined. The emulator executes STGI and CLGI of its own accord.
    "global_interrupt_flag": ["vector 6 error 0 at +f", "vector 6 error 0 at +2d"],
    # 13.1.4: a trap after each instruction; KVM forgets it when the instruction's last access goes to user space.
    "steps_of_mmio": [f"vector 1 error 0 at +{at}" for at in ("10", "13", "14", "15", "1c", "1d")],
    # ... and after each iteration of a repeated string instruction
    "steps_of_strings": [f"vector 1 error 0 at +{at}" for at in ("19", "19", "1b", "1c", "1d", "24", "25")],
    # 15.21.5: the interrupt comes right after the instruction that follows STI. The emulator's VMRUN takes no notice of the
    # shadow, so that an exit in it, of the root's timer too, lets KVM's interrupt come at once.
    "nmi_sti": ["vector 2 error 0 at +41", "vector 2 error 0 at +41", "vector 65 error 0 at +43"],
    **{name: [f"vector 65 error 0 at +{at}"] for name, at in (
        ("sti_nop", "23"), ("sti_cpuid", "21"), ("sti_io", "1f"), ("sti_mmio", "24"), ("sti_hlt", "1e"), ("sti_cli", "26"))},
}


@pytest.fixture(scope="module")
def program():
    """The program, built for the lab machine."""
    subprocess.run(["make", "-s", "-C", TOP / "tests/lab/guest", "programs"], check=True)
    return TOP / "build/guest/kvm_insn"


def parts_of(text):
    """{name of a test: its lines}"""
    parts = [part.splitlines() for part in text.split("== ")[1:]]
    return {part[0]: part[1:] for part in parts}


def test_instructions(lab, program):
    """The same on both devices, but for what is listed above."""
    out = lab.sh("""
        modprobe kvm-amd && ./kvm_insn /dev/kvm && modprobe -r kvm-amd || exit 1
        echo "@@@"
        plinth launch && ./kvm_insn /dev/plinth && plinth retire
    """, cpus=2, put=[str(program)]).check()
    kvm, plinth = map(parts_of, out.split("@@@"))
    assert len(plinth) >= 36 and list(kvm) == list(plinth)
    for name, lines in plinth.items():
        if name in EXACT:
            assert [line for line in lines if line.startswith("vector")] == EXACT[name], name
        else:
            assert lines == kvm[name], name
