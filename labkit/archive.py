# SPDX-License-Identifier: GPL-2.0-only
"""Writers for the two archive formats that the lab hands to a guest: newc cpio and tar."""

import gzip
import io
import os
import stat
import tarfile


class Cpio:
    """A newc archive, as the kernel's initramfs documentation describes it; in memory or at the end of `out`."""

    def __init__(self, out=None):
        self.out = out or io.BytesIO()
        self.ino = 0
        self.dirs = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        path = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(path), 0)
        self.out.write(b"070701" + b"".join(b"%08x" % f for f in fields) + path)
        self._pad()
        self.out.write(data)
        self._pad()

    def _pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def _parents(self, name):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self.folder("/".join(parts[:depth]))

    def folder(self, name):
        """Add a directory and those above it, once."""
        if name in self.dirs:
            return
        self._parents(name)
        self.dirs.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        """Add a regular file with bytes `data`."""
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        """Add a symbolic link."""
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def char_device(self, name, major, minor):
        """Add a character device node; needs no privilege, being only a record."""
        self._parents(name)
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def finish(self):
        """Write the trailer; another archive may follow it."""
        self._entry("TRAILER!!!", 0)
        self.out.write(b"\0" * (-self.out.tell() % 512))

    def bytes(self):
        """The finished archive, if it is in memory."""
        self.finish()
        return self.out.getvalue()


def gzipped(data):
    """`data` compressed, the same bytes each time."""
    return gzip.compress(data, 6, mtime=0)


def _owned_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def write_tar(path, trees, files, texts):
    """
    Write a tar that is padded to whole disk sectors.

    trees: folders whose contents go to /; files: (host path, guest path); texts: {guest path: (mode, bytes)}.
    """
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for tree in trees:
            for entry in sorted(os.listdir(tree)):
                tar.add(os.path.join(tree, entry), entry, filter=_owned_by_root)
        for source, dest in files:
            tar.add(source, dest.lstrip("/"), filter=_owned_by_root)
        for dest, (mode, data) in texts.items():
            info = tarfile.TarInfo(dest.lstrip("/"))
            info.mode = mode
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
