# SPDX-License-Identifier: GPL-2.0-only
"""Places, messages, locks and the statuses with which ./lab ends."""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build" / "lab"
CACHE = BUILD / "cache"
RUNS = BUILD / "runs"

# Statuses of ./lab sh beside those of the commands that it ran.
STATUS_KERNEL = 97  # the root's kernel is in trouble, or the machine died before the commands ended
STATUS_TIMEOUT = 98  # the commands did not end in time
STATUS_LAB = 99  # the lab itself failed, or was called wrongly
STATUS_INTERRUPTED = 130


class LabError(Exception):
    """Something that the lab cannot do; its text is one line that names cause and remedy."""


def say(text):
    """Tell the user; standard output belongs to the guest's commands."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def shown(path):
    """A path as the user would type it."""
    try:
        return os.path.relpath(path)
    except ValueError:
        return str(path)


@contextlib.contextmanager
def locked(name):
    """Hold the lock `name` against other calls of ./lab in this work tree."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f"{name}.lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another call of ./lab ({name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_logged(what, argv, log, **kwargs):
    """Run a long tool with its output in the file `log`; show that output if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        try:
            done = subprocess.run(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, check=False, **kwargs)
        except FileNotFoundError as error:
            raise LabError(f"{what}: {error.filename} is not installed") from error
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in text[-60:]:
            print(f"  {line}", file=sys.stderr)
        raise LabError(f"{what} failed with status {done.returncode}: see {shown(log)}")


def output_of(argv):
    """What a short tool prints, as text; a LabError if it fails."""
    try:
        done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL,
                              capture_output=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed") from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise LabError(f"{argv[0]}: {why[-1]}")
    return done.stdout.decode(errors="replace")
