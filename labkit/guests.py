# SPDX-License-Identifier: GPL-2.0-only
"""What else of Debian's a child boots, as it is packaged: kernels for the i686, memtest86+, OVMF, GRUB for it."""

import pathlib
import shutil
import tempfile

from . import archive, disk, host, image
from .common import CACHE, LabError, locked, output_of, run_logged, say

# apt for another architecture, beside this computer's: its own lists and cache, and packages that none is installed of.
APT_CONF = """\
APT::Architecture "i386";
#clear APT::Architectures;
APT::Architectures {{ "i386"; }};
APT::Sandbox::User "root";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
"""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class I686:
    """Debian's kernels for the i686 with and without PAE, and an initramfs for them, in the folder `path`."""

    def __init__(self, path):
        self.vmlinuz = path / "vmlinuz-686"
        self.vmlinuz_pae = path / "vmlinuz-686-pae"
        self.initrd = path / "child.cpio.gz"


def _apt_i386(folder):
    """Set up apt in `folder`; what to put in front of its commands."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    release = [line.split() for line in host.debian_sources() if line.split()[2] == "bookworm"]
    (folder / "sources.list").write_text(
        "".join(f"{kind} [signed-by={KEYRING}] {' '.join(rest)}\n" for kind, *rest in release), encoding="ascii")
    (folder / "apt.conf").write_text(APT_CONF.format(folder=folder), encoding="ascii")
    return ["env", f"APT_CONFIG={folder}/apt.conf"]


def _newest(apt, package):
    """The package that the meta package of a kernel stands for now."""
    depends = output_of([*apt, "apt-cache", "depends", package])
    names = [line.split()[1] for line in depends.splitlines() if line.strip().startswith("Depends: linux-image-")]
    if not names:
        raise LabError(f"{package} depends on no kernel")
    return names[0]


def _unpack(folder, package):
    deb = next(folder.glob(f"{package}_*.deb"))
    run_logged(f"unpacking {package}", ["dpkg-deb", "-x", deb, folder / package], CACHE / "log" / "unpack.log")
    return folder / package


def _make_i686(scratch, new):
    log = CACHE / "log" / "i686.log"
    apt = _apt_i386(scratch)
    run_logged("apt-get update for i386", [*apt, "apt-get", "-q", "update"], log)
    kernels = {name: _newest(apt, f"linux-image-{name}") for name in ("686", "686-pae")}
    packages = ["busybox-static", *kernels.values()]
    run_logged("downloading i686 packages", [*apt, "apt-get", "-q", "download", *packages], log, cwd=scratch)
    made = I686(new)
    for path, name in ((made.vmlinuz, "686"), (made.vmlinuz_pae, "686-pae")):
        tree = _unpack(scratch, kernels[name])
        shutil.copy(next((tree / "boot").glob("vmlinuz-*")), path)
    busybox = _unpack(scratch, "busybox-static") / "bin/busybox"
    made.initrd.write_bytes(archive.gzipped(image.child_initramfs(busybox)))


def _cached(name, key, make):
    """The folder of the cache that `make(scratch, folder)` fills once."""
    path = CACHE / f"{name}-{key}"
    if path.exists():
        return path
    with locked(name):
        if not path.exists():
            say(f"fetching {name} from Debian")
            CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="tmp-", dir=CACHE) as scratch:
                new = pathlib.Path(scratch) / "new"
                new.mkdir()
                make(pathlib.Path(scratch), new)
                new.rename(path)
    return path


def i686():
    """I686; fetched if not in the cache."""
    key = image.cache_key("i686", (image.GUEST / "child-init").read_text())
    return I686(_cached("i686", key, _make_i686))


def _make_package(name):
    def make(scratch, new):
        host.download_deb(name, scratch)
        _unpack(scratch, name).rename(new / "tree")
    return make


def package(name):
    """The unpacked tree of Debian's package `name`; fetched if not in the cache."""
    return _cached(name, image.cache_key("package", name), _make_package(name)) / "tree"


EFI_PARTITION = 0xef
EFI_SECTORS = 32 << 11  # 32 MiB
EFI_MODULES = ("part_msdos", "fat", "linux", "echo", "serial", "terminal", "halt")


def grub_efi(path, config):
    """Make the EFI program `path`: GRUB, which runs the text `config`."""
    modules = package("grub-efi-amd64-bin") / "usr/lib/grub/x86_64-efi"
    file = path.with_suffix(".cfg")
    file.write_text(config, encoding="ascii")
    output_of(["grub-mkimage", "-O", "x86_64-efi", "-d", modules, "-o", path, "-p", "/", "-c", file, *EFI_MODULES])
    return path


def efi_disk(path, files):
    """Make the disk `path` of an EFI system partition that holds `files`: {name: path}."""
    host.install(("mtools",))
    start = disk.PARTITION * disk.SECTOR
    with open(path, "wb") as out:
        out.write(disk.partition_table(EFI_PARTITION, EFI_SECTORS))
        out.truncate(start + EFI_SECTORS * disk.SECTOR)
    at = ["-i", f"{path}@@{start}"]
    output_of(["mformat", *at, "-T", str(EFI_SECTORS), "-h", "16", "-s", "63", "::"])
    output_of(["mmd", *at, "::/EFI", "::/EFI/BOOT"])
    for name, source in files.items():
        output_of(["mcopy", *at, source, f"::/{name}"])
    return path


def rescue_cd(path, config, files):
    """Make the CD `path` as grub-mkrescue does, for a BIOS: GRUB runs the text `config`; `files`: {name: path}."""
    host.install(("xorriso", "mtools"))
    tree = path.with_suffix(".tree")
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(config, encoding="ascii")
    for name, source in files.items():
        shutil.copy(source, tree / name)
    run_logged("making a CD", ["grub-mkrescue", "-d", disk.GRUB, "-o", path, tree], CACHE / "log" / "rescue.log")
    return path
