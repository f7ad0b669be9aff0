# SPDX-License-Identifier: GPL-2.0-only
"""Checks that are targets of the top Makefile."""

import pathlib
import subprocess

import pytest

from labkit import build, fuzz

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
