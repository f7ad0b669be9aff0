# SPDX-License-Identifier: GPL-2.0-only
"""What the build machine needs, and which kernels Debian has for it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from .common import CACHE, LabError, locked, output_of, run_logged, say

PACKAGES = (
    "gcc", "make", "libc6-dev",
    "liburing-dev", "libnbd-dev", "libslirp-dev", "libcjson-dev", "libseccomp-dev",
    "linux-headers-amd64", "linux-headers-cloud-amd64",
    "qemu-system-x86", "seabios",
    "mmdebstrap", "squashfs-tools", "busybox-static", "kmod", "xz-utils", "zstd",
    "e2fsprogs", "grub-common", "grub-pc-bin",
    "debian-archive-keyring", "ca-certificates", "gpg", "gpgv",
)

# What only the tests need.
TEST_PACKAGES = (
    "libcmocka-dev", "libzydis-dev", "acpica-tools", "python3-pytest", "python3-pytest-xdist",
    "clang", "libclang-rt-dev", "clang-format", "git", "qemu-utils", "nbdkit",
)

FLAVOURS = {"cloud": "cloud-amd64", "full": "amd64"}


class NoSuchKernel(LabError):
    """The archive does not give the kernel whose headers are installed."""


def missing_packages(wanted):
    """Those of `wanted` that are not installed."""
    if not shutil.which("dpkg-query"):
        raise LabError("dpkg-query is missing: the lab prepares itself on Debian 12 only")
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *wanted],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    have = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("installed ")}
    return [name for name in wanted if name not in have]


def prepare(tests=False):
    """Install what the lab, or with `tests` the tests too, lacks."""
    install(PACKAGES + (TEST_PACKAGES if tests else ()))


def install(wanted):
    """Install those of the packages `wanted` that are missing; a prepared machine costs one dpkg-query."""
    if not missing_packages(wanted):
        return
    with locked("packages"):
        missing = missing_packages(wanted)
        if not missing:
            return
        names = " ".join(missing)
        if os.geteuid() != 0:
            raise LabError(f"packages are missing: run ./lab once as root, or apt-get install {names}")
        say(f"installing with apt-get: {names}")
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for argv in (["apt-get", "-q", "update"],
                     ["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr,
                                  check=False)
            if done.returncode:
                raise LabError(f"{' '.join(argv[:3])} failed with status {done.returncode}")


def kernel_version(flavour):
    """The kernel release, such as X.Y.Z-N-amd64, whose headers are installed here."""
    meta = f"linux-headers-{FLAVOURS[flavour]}"
    depends = output_of(["dpkg-query", "-W", "-f", "${Depends}", meta])
    found = re.search(r"linux-headers-(\d\S*)", depends)
    if not found:
        raise LabError(f"{meta} depends on no kernel headers: reinstall it with apt-get")
    return found.group(1)


def kernel_dir(release):
    """The folder against which modules for `release` are built."""
    path = pathlib.Path("/usr/src") / f"linux-headers-{release}"
    if not path.is_dir():
        raise LabError(f"{path} is missing: apt-get install linux-headers-{release}")
    return path


def download_deb(package, folder):
    """apt-get download into `folder`; the version there is, is the one that is taken."""
    log = CACHE / "log" / f"download-{package}.log"
    argv = ["apt-get", "download", package]
    if os.geteuid() == 0:
        argv[1:1] = ["-o", "APT::Sandbox::User=root"]
    run_logged(f"downloading {package}", argv, log, cwd=folder)
    return next(folder.glob(f"{package}_*.deb"))


def download_kernel(release, folder):
    """Fetch Debian's unmodified kernel package for `release`; the path of the .deb."""
    package = f"linux-image-{release}"
    argv = ["apt-get", "download", package]
    if os.geteuid() == 0:
        argv[1:1] = ["-o", "APT::Sandbox::User=root"]
    try:
        run_logged(f"downloading {package}", argv, CACHE / "log" / "download-kernel.log", cwd=folder)
    except LabError as error:
        raise NoSuchKernel(f"{error}; if Debian has replaced that kernel: apt-get update, then apt-get install "
                           "linux-headers-amd64 linux-headers-cloud-amd64") from error
    return next(folder.glob(f"{package}_*.deb"))


def renew_headers():
    """
    Bring the kernels' headers to the newest version, for when the archive no longer has the kernel of the ones
    that are here. Returns whether that could be tried.
    """
    if os.geteuid() != 0:
        return False
    say("refreshing apt's package lists and the kernels' headers")
    log = CACHE / "log" / "headers.log"
    run_logged("apt-get update", ["apt-get", "-q", "update"], log)
    run_logged("apt-get install", ["apt-get", "-q", "install", "-y", "--no-install-recommends",
                                   *(f"linux-headers-{name}" for name in FLAVOURS.values())], log,
               env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))
    return True


def debian_sources():
    """This machine's own Debian sources as one-line entries, so that a mirror set here is used."""
    text = output_of(["apt-get", "indextargets", "--format",
                      "$(ORIGIN)\t$(SITE)\t$(RELEASE)\t$(COMPONENT)", "Created-By: Packages"])
    rows = {tuple(line.split("\t")) for line in text.splitlines()}
    return sorted(f"deb {site} {release} {component}" for origin, site, release, component in rows
                  if origin == "Debian" and component == "main" and release.startswith("bookworm"))
