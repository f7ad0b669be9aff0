# SPDX-License-Identifier: GPL-2.0-only
"""The images that the lab machine boots: a root system, a kernel with its modules, an initramfs. All are cached."""

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from . import archive, host
from .common import CACHE, LabError, locked, output_of, run_logged, say, shown

GUEST = pathlib.Path(__file__).resolve().parent / "guest"
BUSYBOX = pathlib.Path("/bin/busybox")

ROOT_PACKAGES = ("kmod", "procps", "iproute2", "util-linux", "seabios",
                 "liburing2", "libnbd0", "libslirp0", "libcjson1", "libseccomp2")
SYSTEMD_PACKAGES = ("systemd-sysv", "udev", "dbus")

# What the initramfs needs of the kernel, some of it built in to some kernels.
INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "loop", "squashfs", "overlay")
# The same where a CD carries the images. The ATA driver is last: its insertion ends when its drives are known.
CD_MODULES = ("loop", "squashfs", "overlay", "isofs", "cdrom", "sr_mod", "ata_piix")

# Files of guest/ that go into what is cached.
RECIPE = ("initramfs-init", "initramfs-fstab", "child-init")

# Documentation and translations are left out of the root system; nothing in the lab reads them.
UNWANTED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")

# Stored as they are: reading from the host's page cache is cheaper than decompressing in the emulator.
SQUASHFS_OPTIONS = ("-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet")


def cache_key(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _scratch():
    CACHE.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="tmp-", dir=CACHE)


def _show_progress(stream, log):
    """Copy a tool's messages to its log, and its milestones to the user."""
    for raw in stream:
        log.write(raw)
        line = raw.decode(errors="replace").rstrip()
        if line.startswith("I: ") and "/" not in line:
            say(f"  {line[3:]}")


def _mmdebstrap(packages, image):
    """Make a Debian 12 with `packages` and turn it into a squashfs."""
    log_path = CACHE / "log" / f"{image.stem}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    argv = ["mmdebstrap", "--variant=minbase", "--format=tar",
            f"--include={','.join(packages)}",
            '--customize-hook=echo lab >"$1/etc/hostname"',
            '--customize-hook=echo "127.0.0.1 localhost lab" >"$1/etc/hosts"',
            '--customize-hook=chroot "$1" passwd -d root',
            '--customize-hook=ln -sf /proc/mounts "$1/etc/mtab"']
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in UNWANTED]
    argv += ["bookworm", "-", *host.debian_sources()]
    squash = ["mksquashfs", "-", str(image), "-tar", *SQUASHFS_OPTIONS]
    with open(log_path, "wb") as log:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as maker, \
             subprocess.Popen(squash, stdin=maker.stdout, stdout=log, stderr=log) as squasher:
            maker.stdout.close()
            _show_progress(maker.stderr, log)
    if maker.returncode or squasher.returncode:
        for line in log_path.read_text(errors="replace").splitlines():
            if line.startswith("E: "):
                print(f"  {line}", file=sys.stderr)
        raise LabError(f"mmdebstrap could not make the root system: see {shown(log_path)}")


def root_image(extra=(), systemd=False):
    """The squashfs of a Debian 12 that has ROOT_PACKAGES and `extra`; made if it is not in the cache."""
    packages = sorted({*ROOT_PACKAGES, *extra, *(SYSTEMD_PACKAGES if systemd else ())})
    for name in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?", name):
            raise LabError(f"'{name}' is no name of a Debian package")
    image = CACHE / f"root-{cache_key('root', packages, UNWANTED)}.squashfs"
    if image.exists():
        return image
    with locked("images"):
        if not image.exists():
            say(f"making the root system with {' '.join(packages)} (a minute or two)")
            with _scratch() as scratch:
                new = pathlib.Path(scratch) / image.name
                _mmdebstrap(packages, new)
                new.rename(image)
    return image


class Kernel:
    """One Debian kernel as the lab boots it; `path` is its folder in the cache."""

    def __init__(self, release, path):
        self.release = release
        self.path = path
        self.vmlinuz = path / "vmlinuz"
        self.image = path / "kernel.squashfs"
        self.initrd = path / "initrd"
        self.initrd_cd = path / "initrd-cd"
        self.modules = path / "modules"


def _kernel(release):
    recipe = [(GUEST / name).read_text() for name in RECIPE]
    key = cache_key("kernel", recipe, INITRAMFS_MODULES, CD_MODULES, hashlib.sha256(BUSYBOX.read_bytes()).hexdigest())
    made = Kernel(release, CACHE / f"kernel-{release}-{key}")
    if made.path.exists():
        return made
    with locked("images"):
        if not made.path.exists():
            say(f"fetching Debian's kernel {release}")
            with _scratch() as scratch:
                new = pathlib.Path(scratch)
                _make_kernel(release, new)
                (new / "done").rename(made.path)
            for old in CACHE.glob(f"kernel-{release}-*"):
                if old != made.path:
                    shutil.rmtree(old)
    return made


def kernel(flavour):
    """The kernel of `flavour` ('cloud' or 'full') whose headers are installed; fetched if not in the cache."""
    try:
        return _kernel(host.kernel_version(flavour))
    except host.NoSuchKernel:
        if not host.renew_headers():
            raise
    return _kernel(host.kernel_version(flavour))


def _make_kernel(release, scratch):
    """Unpack the kernel package into what Kernel describes, below scratch/done."""
    deb = host.download_kernel(release, scratch)
    tree = scratch / "tree"
    run_logged("unpacking the kernel", ["dpkg-deb", "-x", deb, tree], CACHE / "log" / "kernel.log")
    done = scratch / "done"
    done.mkdir()
    modules = tree / "lib/modules" / release
    run_logged("depmod", ["depmod", "-b", tree, release], CACHE / "log" / "depmod.log")
    (done / "initrd").write_bytes(_initramfs(modules, INITRAMFS_MODULES))
    (done / "initrd-cd").write_bytes(_initramfs(modules, CD_MODULES))

    layer = scratch / "layer"
    (layer / "boot").mkdir(parents=True)
    for name in (f"vmlinuz-{release}", f"config-{release}"):
        shutil.copy(tree / "boot" / name, layer / "boot" / name)
    shutil.copy(tree / "boot" / f"vmlinuz-{release}", done / "vmlinuz")
    lab = layer / "usr/lib/plinth-lab"
    lab.mkdir(parents=True)
    shutil.copy(BUSYBOX, lab / "busybox")
    (lab / "child.cpio.gz").write_bytes(archive.gzipped(child_initramfs()))
    (layer / "usr/lib/modules").mkdir()
    modules.rename(layer / "usr/lib/modules" / release)
    run_logged("mksquashfs", ["mksquashfs", layer, done / "kernel.squashfs", "-all-root",
                              *SQUASHFS_OPTIONS], CACHE / "log" / "kernel.log")
    (layer / "usr/lib/modules" / release).rename(done / "modules")


def _busybox_initramfs(init, busybox=BUSYBOX):
    cpio = archive.Cpio()
    for folder in ("bin", "dev", "proc", "sys"):
        cpio.folder(folder)
    cpio.char_device("dev/console", 5, 1)
    cpio.char_device("dev/null", 1, 3)
    cpio.file("bin/busybox", busybox.read_bytes())
    cpio.link("bin/sh", "busybox")
    cpio.file("init", (GUEST / init).read_bytes())
    return cpio


def driver_initramfs(kern, drivers, init, path):
    """At `path` a busybox, the modules `drivers` of `kern` with a list of their order, and the file `init`."""
    cpio = archive.Cpio()
    for folder in ("dev", "proc", "sys"):
        cpio.folder(folder)
    cpio.char_device("dev/console", 5, 1)
    cpio.file("bin/busybox", BUSYBOX.read_bytes())
    cpio.link("bin/sh", "busybox")
    cpio.file("init", init.read_bytes())
    files = load_order(kern.modules, drivers)
    for file in files:
        cpio.file(f"modules/{file.name}", file.read_bytes())
    cpio.file("modules/order", "\n".join(f.name for f in files).encode() + b"\n")
    cpio.finish()
    path.write_bytes(archive.gzipped(cpio.out.getvalue()))


def child_initramfs(busybox=BUSYBOX):
    """The initramfs that a child of the lab machine boots from."""
    return _busybox_initramfs("child-init", busybox).bytes()


def _initramfs(modules, names):
    """The initramfs of the lab machine itself, with the modules `names` that reach its disks."""
    cpio = _busybox_initramfs("initramfs-init")
    cpio.file("fstab", (GUEST / "initramfs-fstab").read_bytes(), 0o644)
    for folder in ("lower/root", "lower/kernel", "upper", "sysroot", "cd"):
        cpio.folder(folder)
    order = load_order(modules, names)
    for path in order:
        cpio.file(f"modules/{path.name}", path.read_bytes(), 0o644)
    cpio.file("modules/order", "".join(f"{path.name}\n" for path in order).encode(), 0o644)
    return cpio.bytes()


def load_order(modules, names):
    """The module files to insert for `names`, dependencies first; built-in ones need none."""
    depends = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        depends[pathlib.Path(path).stem.replace("-", "_")] = (path, needs.split())
    builtin = {pathlib.Path(line).stem.replace("-", "_")
               for line in (modules / "modules.builtin").read_text().splitlines()}
    order = []
    for name in names:
        if name in depends:
            path, needs = depends[name]
            order += [*reversed(needs), path]
        elif name not in builtin:
            raise LabError(f"this kernel has no module {name}")
    return [modules / path for path in dict.fromkeys(order)]


def depmod_with(kern, stages, cache):
    """A folder, below `cache`, with the indices of the modules of `kern` and those in lib/modules of `stages`."""
    extra = [path for stage in stages for path in (stage / "lib/modules" / kern.release).rglob("*.ko")]
    state = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in extra]
    index = cache / f"index-{cache_key(state)}"
    if index.exists():
        return index
    for old in cache.glob("index-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix="depmod-", dir=CACHE) as scratch:
        tree = pathlib.Path(scratch) / "tree/lib/modules" / kern.release
        (tree / "extra").mkdir(parents=True)
        (tree / "kernel").symlink_to(kern.modules / "kernel")
        for path in extra:
            (tree / "extra" / path.name).symlink_to(path)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(kern.modules / name, tree / name)
        output_of(["depmod", "-b", f"{scratch}/tree", kern.release])
        out = pathlib.Path(scratch) / "index/lib/modules" / kern.release
        out.mkdir(parents=True)
        for path in tree.glob("modules.*"):
            path.rename(out / path.name)
        (pathlib.Path(scratch) / "index").rename(index)
    return index
