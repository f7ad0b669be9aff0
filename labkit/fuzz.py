# SPDX-License-Identifier: GPL-2.0-only
"""Runs the fuzzers of tests/fuzz and tells what came of it."""

import concurrent.futures
import os
import re
import subprocess

from .common import TOP, LabError, shown

FUZZ = TOP / "tests" / "fuzz"
LISTED = re.compile(r"^FUZZERS\s*\+=\s*(\w+)", re.MULTILINE)
EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
COVERED = re.compile(r"\bcov: (\d+)")


def names():
    """The fuzzers that there are."""
    return sorted(LISTED.search(path.read_text()).group(1) for path in FUZZ.glob("*.mk"))


def fuzz(name, seconds):
    """Build and run one fuzzer: its subprocess.CompletedProcess."""
    return subprocess.run(["make", "-s", "-C", str(FUZZ), f"smoke-{name}", f"FUZZ_SECONDS={seconds}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          text=True, errors="replace")


def _told(name, done):
    """One line about a run; what the fuzzer printed in front of it if it found something."""
    if done.returncode:
        return f"{done.stdout}{name}: FOUND something, see above and {shown(TOP / 'build' / 'fuzz' / name)}"
    units, covered = EXECUTED.search(done.stdout), COVERED.findall(done.stdout)
    return f"{name}: {units.group(1) if units else '?'} runs, {covered[-1] if covered else '?'} edges, nothing found"


def run(wanted, minutes):
    """`./lab fuzz`: each of `wanted`, or all, for `minutes`, as many at once as there are processors."""
    unknown = set(wanted) - set(names())
    if unknown:
        raise LabError(f"fuzz: there is no fuzzer {sorted(unknown)[0]}: there are {', '.join(names())}")
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        runs = {pool.submit(fuzz, name, max(1, round(60 * minutes))): name for name in wanted or names()}
        for future in concurrent.futures.as_completed(runs):
            done = future.result()
            bad += bool(done.returncode)
            print(_told(runs[future], done), flush=True)
    return 1 if bad else 0
