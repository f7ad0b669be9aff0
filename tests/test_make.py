# SPDX-License-Identifier: GPL-2.0-only
"""Checks that are targets of the top Makefile, and what is built without it."""

import pathlib
import shutil
import subprocess

import pytest

from labkit import build, fuzz, image

TOP = pathlib.Path(__file__).resolve().parent.parent


def _make(target):
    if not build.has_target(target):
        pytest.skip(f"the Makefile has no target {target}")
    done = subprocess.run(["make", "-s", "-C", str(TOP), target], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        pytest.fail(done.stdout.decode(errors="replace"), pytrace=False)


def test_fmt_check():
    """Every source is formatted as .clang-format says."""
    _make("fmt-check")


@pytest.mark.parametrize("name", fuzz.names())
def test_fuzz(name):
    """A minute of each fuzzer finds nothing."""
    done = fuzz.fuzz(name, 60)
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)


@pytest.mark.parametrize("flavour", ("full", "cloud"))
def test_dkms(tmp_path, flavour):
    """The guest's module builds as DKMS does it, from the folder that docs/bimodal.md describes, for both of Debian's kernels."""
    release = image.kernel(flavour).release
    folder = tmp_path / "plinth-bimodal" / "1" / "build"
    shutil.copytree(TOP / "guest" / "bimodal", folder)
    shutil.copytree(TOP / "include", folder / "include")
    script = f'kernel_source_dir=/usr/src/linux-headers-{release} dkms_tree={tmp_path}; . ./dkms.conf; eval "${{MAKE[0]}}"'
    done = subprocess.run(["bash", "-e", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    module = folder / "plinth_bimodal.ko"
    magic = subprocess.run(["modinfo", "-F", "vermagic", str(module)], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert magic.split()[0] == release
