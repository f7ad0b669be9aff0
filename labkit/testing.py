# SPDX-License-Identifier: GPL-2.0-only
"""./lab test: pytest over the unit programs, the Makefile's checks and the lab's tests."""

import json
import os
import signal
import subprocess
import sys
import tempfile

from .common import TOP, LabError, say

GROUPS = {"unit": "tests/unit", "make": "tests/test_make.py", "lab": "tests/lab"}


def _selected(names):
    """Group, file and test names as pytest's arguments: a path, or a word of a test's name."""
    paths, words = [], []
    for name in names:
        file, _, test = name.partition("::")
        places = (GROUPS.get(file), file, f"tests/lab/test_{file}.py", f"tests/unit/test_{file}.c",
                  f"tests/lab/{file}.py", f"tests/unit/{file}.c")
        found = next((p for p in places if p and (TOP / p).exists()), None)
        if found and test and (TOP / found).is_dir():
            raise LabError(f"test: {file} is a group of tests: use FILE::TEST")
        if found:
            paths.append(f"{found}::{test}" if test else found)
        elif test:
            raise LabError(f"test: there is no file of tests called {file}")
        else:
            words.append(name)
    if paths and words:
        raise LabError(f"test: '{words[0]}' is no file of tests, and part of a name does not go with files: "
                       f"use FILE::TEST")
    return paths, words


def _run(argv, **kwargs):
    """Run pytest; when interrupted let it end its machines first."""
    with subprocess.Popen(argv, **kwargs) as running:
        try:
            running.wait()
        except KeyboardInterrupt:
            try:
                running.wait(timeout=5)  # a terminal's Ctrl-C has reached it too
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGINT)
            raise
    return running


def _side_by_side(paths):
    """
    Two tests at once, where there are processors for it: a machine that boots keeps one of them busy. A single test or a
    few stay in one process, whose output is easier to read.
    """
    if paths and all("::" in path for path in paths) or len(os.sched_getaffinity(0)) < 2:
        return []
    return ["-n", "2", "--dist", "loadgroup"]


def run(names, expression, long, extra):
    """Run the tests; the last line is 'N passed, N failed'. The status to end with."""
    paths, words = _selected(names)
    if words and expression:
        raise LabError(f"test: there are no tests called {words[0]}")
    expression = expression or " or ".join(words)
    with tempfile.NamedTemporaryFile(suffix=".json") as counts:
        argv = [sys.executable, "-m", "pytest", "-v", "--tb=short", f"--counts={counts.name}"]
        argv += ["--long"] if long else []
        argv += ["-k", expression] if expression else []
        argv += _side_by_side(paths)
        argv += [*extra, *(paths or GROUPS.values())]
        env = dict(os.environ, PYTHONPATH=str(TOP))
        done = _run(argv, cwd=TOP, env=env, stdin=subprocess.DEVNULL)
        try:
            result = json.load(counts)
        except ValueError:
            say(f"pytest ended with status {done.returncode} and counted nothing")
            result = {"passed": 0, "failed": 1, "skipped": 0}
    if done.returncode == 5:
        say("no test was selected")
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    print(f"{result['passed']} passed, {result['failed']} failed{skipped}", flush=True)
    return 0 if done.returncode == 0 and not result["failed"] and result["passed"] else 1
