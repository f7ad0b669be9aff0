# SPDX-License-Identifier: GPL-2.0-only
"""
The disk that a child boots from by its firmware: a Debian 12 with its own kernel on ext4, GRUB in the MBR.

No tool that needs a block device is used, so that neither loop devices nor privileges are asked for: mke2fs fills
the file system from a folder, and GRUB's two images go where its installer would put them.
"""

import os
import pathlib
import struct
import tempfile

from . import host
from .common import CACHE, LabError, locked, output_of, run_logged, say
from .image import UNWANTED, cache_key

SECTOR = 512
PARTITION = 2048  # its first sector; core.img has the sectors between
SIZE = 2 << 30  # of the disk, sparse
LINUX = 0x83
GRUB = pathlib.Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "echo", "serial", "terminal", "configfile",
                "search", "test", "ls", "cat", "halt", "reboot", "sleep", "minicmd")

# What makes a Debian that boots, and what the tests use in it.
SYSTEM = ("linux-image-amd64", "systemd-sysv", "udev", "dbus", "zstd")
PACKAGES = (*SYSTEM, "e2fsprogs", "kmod", "procps", "iproute2", "pciutils", "hdparm", "ethtool", "fio", "iperf3", "curl",
            "kexec-tools")

# Drivers of hardware that no child has: they are most of the kernel package.
DRIVERS = ("gpu", "media", "net/wireless", "net/ethernet/mellanox", "infiniband", "staging", "iio", "isdn", "comedi",
           "target", "scsi/lpfc", "scsi/qla2xxx")
EXCLUDE = (*UNWANTED, *(f"/lib/modules/*/kernel/drivers/{name}/*" for name in DRIVERS),
           "/lib/modules/*/kernel/sound/*")

# The initramfs has the drivers of the disk. MODULES=most would have them among hundreds of others, 20 MB more for the
# BIOS to read by PIO.
INITRAMFS = "MODULES=list\\nCOMPRESS=zstd\\n"
INITRAMFS_MODULES = "ata_piix\\nsd_mod\\next4\\ncrc32c_generic\\n"

FSTAB = "LABEL=disk / ext4 errors=remount-ro 0 1\\n"
KERNEL_LINE = "root=LABEL=disk ro console=ttyS0 quiet"

GRUB_CFG = f"""\
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
echo "GRUB: menu of $root"
set timeout=0
menuentry "Debian" {{
	linux /vmlinuz {KERNEL_LINE}
	initrd /initrd.img
}}
"""

HOOKS = (
    'mkdir -p "$1/etc/initramfs-tools/conf.d"',
    f'printf "{INITRAMFS}" >"$1/etc/initramfs-tools/conf.d/disk"',
    f'printf "{INITRAMFS_MODULES}" >"$1/etc/initramfs-tools/modules"',
)
CUSTOMIZE = (
    'echo disk >"$1/etc/hostname"',
    'echo "127.0.0.1 localhost disk" >"$1/etc/hosts"',
    'chroot "$1" passwd -d root',
    f'printf "{FSTAB}" >"$1/etc/fstab"',
    # kexec-tools would turn every reboot into a kexec.
    'sed -i s/LOAD_KEXEC=true/LOAD_KEXEC=false/ "$1/etc/default/kexec"',
    'mkdir -p "$1/boot/grub"',
    'upload GRUB_CFG /boot/grub/grub.cfg',
)


def partition_table(kind, sectors, boot=bytes(440)):
    """The first sector of a disk: `boot` code, and one partition of the type `kind`."""
    # Status, CHS that nobody reads, type, CHS, first sector, sectors.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", PARTITION, sectors)
    return boot[:440] + b"PLNT\0\0" + entry + bytes(48) + b"\x55\xaa"


def _mbr(core):
    """The first sector with GRUB's boot code, which loads core.img from sector 1."""
    boot = (GRUB / "boot.img").read_bytes()
    if len(boot) != SECTOR or PARTITION * SECTOR < len(core) + SECTOR:
        raise LabError("GRUB's images do not fit before the partition")
    return partition_table(LINUX, SIZE // SECTOR - PARTITION, boot)


def core_image(path, prefix="(hd0,msdos1)/boot/grub", config=None, modules=GRUB_MODULES):
    """Make GRUB's core.img with `modules` at `path`; the file `config` is run before what is below `prefix`."""
    argv = ["grub-mkimage", "-O", "i386-pc", "-o", str(path), "-p", prefix]
    argv += ["-c", str(config)] if config else []
    output_of([*argv, *modules])
    return path.read_bytes()


def grub_disk(path, core):
    """A disk of nothing but GRUB: for what is to be done before any operating system."""
    with open(path, "wb") as out:
        out.write(_mbr(core))
        out.write(core)
        out.truncate(1 << 20)


def _bootstrap(scratch, log):
    """Debian as a tar."""
    (scratch / "grub.cfg").write_text(GRUB_CFG, encoding="ascii")
    argv = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}"]
    argv += [f"--essential-hook={hook}" for hook in HOOKS]
    argv += [f"--customize-hook={hook}".replace("GRUB_CFG", str(scratch / "grub.cfg")) for hook in CUSTOMIZE]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDE]
    run_logged("mmdebstrap", [*argv, "bookworm", scratch / "root.tar", *host.debian_sources()], log)


def _file_system(scratch, log):
    """An ext4 of the tar's contents, with their owners also when the caller is no superuser."""
    (scratch / "root").mkdir()
    script = (f"tar -x -p --numeric-owner --exclude=./dev/* -f root.tar -C root && "
              f"mke2fs -q -F -t ext4 -L disk -d root part.img {(SIZE - PARTITION * SECTOR) >> 10}k")
    argv = ["sh", "-c", script]
    if os.geteuid() != 0:
        argv = ["unshare", "--map-auto", "--map-root-user", *argv]
    run_logged("making the file system", argv, log, cwd=scratch)


def _make(scratch, new):
    log = CACHE / "log" / "disk.log"
    _bootstrap(scratch, log)
    _file_system(scratch, log)
    core = core_image(scratch / "core.img")
    with open(new, "wb") as out:
        out.write(_mbr(core))
        out.write(core)
    run_logged("copying the file system",
               ["dd", f"if={scratch}/part.img", f"of={new}", f"seek={PARTITION}", f"bs={SECTOR}", "conv=sparse,notrunc",
                "iflag=fullblock", "status=none"], log)
    os.truncate(new, SIZE)


def disk_image():
    """The disk; made if it is not in the cache."""
    image = CACHE / f"disk-{cache_key('disk', PACKAGES, EXCLUDE, HOOKS, CUSTOMIZE, GRUB_CFG, GRUB_MODULES, SIZE)}.img"
    if image.exists():
        return image
    with locked("disk"):
        if not image.exists():
            say("making the disk that a child boots from (some minutes)")
            CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="tmp-", dir=CACHE) as scratch:
                new = pathlib.Path(scratch) / image.name
                _make(pathlib.Path(scratch), new)
                new.rename(image)
    return image
