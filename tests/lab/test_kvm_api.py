# SPDX-License-Identifier: GPL-2.0-only
"""
/dev/plinth speaks the KVM uAPI: one program checks errno values and semantics of the ioctls on both devices, so
that stock KVM confirms what the checks expect.
"""

import pytest

PROGRAM = "/usr/lib/plinth-tests/kvm_api"

DEVICES = {
    "kvm": f"modprobe kvm_amd && {PROGRAM} /dev/kvm",
    "plinth": f"plinth launch && {PROGRAM} /dev/plinth && plinth retire",
}


@pytest.mark.parametrize("device, clock", [("kvm", ""), ("plinth", ""), ("plinth", "tsc=unstable")],
                         ids=["kvm", "plinth", "plinth-without-tsc"])
def test_kvm_api(lab, device, clock):
    """Every check passes, and all of them were made; a child's clock is another one where the root's is not the TSC."""
    result = lab.sh(DEVICES[device], cpus=2, append=clock)
    failed = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert not failed, f"logs are in {result.folder}"
    lines = result.check().splitlines()
    assert "0 failed" in lines
    assert sum(line.startswith("ok ") for line in lines) > 378
