# SPDX-License-Identifier: GPL-2.0-only
"""Builds Plinth with the project's own Makefile and stages what a lab machine gets of it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

from . import host, image
from .common import BUILD, TOP, LabError, locked, run_logged, say, shown

PLINTH_SOURCES = ("core", "root", "worker", "guest", "include")
HELPER_SOURCES = ("tests/lab/guest", "include", "root", "core")
SOURCE_NAMES = re.compile(r".*\.(c|h|S|ld|lds|mk|sh|py|in|rules|1|8)|.*\.lds\.S|Makefile|Kbuild")


def _fingerprint(roots):
    """A digest of every source file's name, size and time: equal means that make has nothing to do."""
    digest = hashlib.sha256()
    files = [TOP / "Makefile"]
    for root in roots:
        for folder, folders, names in os.walk(TOP / root):
            folders.sort()
            files += [os.path.join(folder, name) for name in sorted(names)
                      if SOURCE_NAMES.fullmatch(name) and not name.endswith(".mod.c")]
    for path in files:
        try:
            info = os.stat(path)
        except FileNotFoundError:
            continue
        digest.update(f"{path}\0{info.st_size}\0{info.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def has_target(name):
    """Whether the top Makefile names the target `name`."""
    try:
        text = (TOP / "Makefile").read_text()
    except FileNotFoundError:
        return False
    return bool(re.search(rf"^(\.PHONY:.*\b)?{re.escape(name)}\b[^=]*(?<!:):", text, re.MULTILINE)
                or re.search(rf"^\.PHONY:.*(?<![\w-]){re.escape(name)}(?![\w-])", text, re.MULTILINE))


def make(what, *args):
    """Run make quietly; show what it said if it fails."""
    jobs = len(os.sched_getaffinity(0))
    argv = ["make", "-s", "-C", str(TOP), f"-j{jobs}", *args]
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=env, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        sys.stderr.flush()
        raise LabError(f"{what} failed: see the lines above, or run 'make {' '.join(args)}'")


def _install_plinth(kern, stage, settings):
    make("building Plinth", "all", *settings)
    make("installing Plinth", "install", f"DESTDIR={stage}", *settings)


def _install_helpers(_kern, stage, settings):
    make("building the tests' helpers", "lab-tests", f"DESTDIR={stage}", *settings)


def _stage(kern, name, sources, install):
    """The folder `name` of what `install` makes of `sources` for `kern`; made anew if a source has changed."""
    stage = BUILD / "stage" / kern.release / name
    stamp = stage.with_suffix(".stamp")
    now = _fingerprint(sources)
    if stamp.exists() and stamp.read_text() == now:
        return stage
    stamp.unlink(missing_ok=True)
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    install(kern, stage, (f"KDIR={host.kernel_dir(kern.release)}", f"KVER={kern.release}"))
    stamp.write_text(now)
    return stage


def staged(kern, helpers):
    """
    Build Plinth, and with `helpers` also the tests' helper programs, for the kernel `kern`; the folders whose
    contents belong in the root of a guest.

    The caller holds the lock "build" until it has copied what it needs.
    """
    if not has_target("install"):
        say("there is no 'make install' here: the machine has no Plinth in it")
        return []
    stages = [_stage(kern, "plinth", PLINTH_SOURCES, _install_plinth)]
    if helpers and has_target("lab-tests"):
        stages.append(_stage(kern, "helpers", HELPER_SOURCES, _install_helpers))
    stages.append(image.depmod_with(kern, stages, BUILD / "stage" / kern.release))
    return stages


def qemu_races():
    """The library that mends two races of QEMU's: qemu_races.c tells what and why."""
    source = TOP / "labkit" / "qemu_races.c"
    made = BUILD / "qemu_races.so"
    with locked("build"):
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            fresh = made.with_suffix(".new")
            run_logged("building qemu_races.so", ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                                                  "-o", fresh, source], BUILD / "qemu_races.log")
            fresh.rename(made)
    return made
