# SPDX-License-Identifier: GPL-2.0-only
"""One lab machine: QEMU's command line, its channels to the guest, and how a run ended."""

import ctypes
import dataclasses
import datetime
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import time

from . import archive, build, disk, image, klog, shell
from .common import (RUNS, STATUS_KERNEL, STATUS_LAB, STATUS_TIMEOUT, LabError, locked, say, shown)

LAB_LIB = "usr/lib/plinth-lab"
KEPT_RUNS = 200
DEFAULT_CPUS = 4
MAX_CPUS = 255  # of QEMU's q35 without an interrupt remapper
PR_SET_PDEATHSIG = 1


@dataclasses.dataclass
class Options:
    """What a call of ./lab sh asks for; the defaults are those of its options."""
    commands: str = ""
    cpus: int = 0  # 0: as many as DEFAULT_CPUS, or 1 with icount
    memory: str = "2G"
    cpu: str = ""
    kernel: str = "cloud"
    packages: tuple = ()
    append: tuple = ()
    qemu: tuple = ()
    put: tuple = ()
    disk: bool = False  # the disk of labkit/disk.py as /dev/vdd; what is written to it is lost
    icount: bool = False
    systemd: bool = False
    accel: str = "tcg"
    emulator: str = "qemu"
    timeout: float = 600
    allow: str = ""
    plinth: bool = True
    helpers: bool = True  # the programs and modules of tests/lab/guest
    interactive: bool = False

    def __post_init__(self):
        """Refuse what no machine can be made of."""
        if self.icount and self.cpus > 1:
            raise LabError("--icount counts one CPU: leave --cpus out")
        if self.icount and self.disk:
            raise LabError("--icount has no disks: leave --disk out")
        self.cpus = self.cpus or (1 if self.icount else DEFAULT_CPUS)
        if not 1 <= self.cpus <= MAX_CPUS:
            raise LabError(f"--cpus {self.cpus}: give a number from 1 to {MAX_CPUS}")
        if not re.fullmatch(r"[1-9]\d*[KMGkmg]?", self.memory):
            raise LabError(f"--memory {self.memory}: give a size such as 512M or 2G")
        if self.accel == "kvm" and self.icount:
            raise LabError("--icount needs --accel tcg")
        if self.accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            raise LabError("--accel kvm: /dev/kvm is missing or not yours: load kvm-amd with nested=1")
        if self.accel == "kvm" and not os.path.exists("/sys/module/kvm_amd"):
            raise LabError("--accel kvm: this host has no AMD SVM to nest: leave --accel out")


def parse_put(text):
    """FILE[:DEST] as (host path, absolute path in the guest)."""
    source, dest = text, ""
    if not os.path.exists(text) and ":" in text:
        source, _, dest = text.rpartition(":")
    if not os.path.exists(source):
        raise LabError(f"--put: there is no file {source}")
    if not dest or dest.endswith("/"):
        dest += os.path.basename(os.path.abspath(source))
    return source, os.path.normpath(os.path.join("/root", dest))


def _new_run():
    """A folder for one run's logs; the oldest ones go when there are many."""
    RUNS.mkdir(parents=True, exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S.%f")
    run = RUNS / f"{stamp}-{os.getpid()}"
    run.mkdir()
    hour_ago = time.time() - 3600
    for old in sorted(RUNS.iterdir())[:-KEPT_RUNS]:
        try:
            if old.stat().st_mtime < hour_ago:
                shutil.rmtree(old, ignore_errors=True)
        except FileNotFoundError:
            pass
    return run


# A root that is in trouble ends at once, by a panic and a reset that QEMU turns into its end.
PANICS = ("oops=panic", "softlockup_panic=1", "hung_task_panic=1", "sysctl.kernel.panic_on_rcu_stall=1",
          "panic=-1")

# QEMU's processors do not say that their TSCs run alike, as real parts do, though they do: without this word Linux takes the HPET for
# its clock, each reading of which goes through all of the emulator. A test can append tsc=unstable, which comes later and wins.
TSC = "tsc=reliable"


def kernel_line(options):
    """The command line of the root's kernel."""
    words = ["console=ttyS0", TSC, *PANICS]
    if options.icount:
        words += ["nokaslr"]
    return " ".join([*words, *options.append])


def _q(path):
    """A path inside a QEMU option, where a comma is written twice."""
    return str(path).replace(",", ",,")


class Machine:
    """A lab machine for one run of commands."""

    def __init__(self, options):
        self.options = options
        self.run_dir = None
        self.process = None
        self.channels = {}
        self.inner = []
        self.status = None
        self.events = []
        self.pending = {"ctl": b"", "qmp": b""}
        self.sinks = {}
        self.terminal_open = False
        self.typed_early = b""
        self.timed_out = False
        self.seconds = 0.0

    @property
    def log_path(self):
        """The kernel's log of this run."""
        return self.run_dir / "kernel.log"

    def prepare(self):
        """Build Plinth and the images; leave all that this run needs in its own folder."""
        options = self.options
        files = [parse_put(text) for text in options.put]
        self.kernel = image.kernel(options.kernel)
        self.disk = disk.disk_image() if options.disk else None
        self.root = image.root_image(options.packages, options.systemd)
        texts = {f"/{LAB_LIB}/{name}": (0o755, (image.GUEST / name).read_bytes())
                 for name in ("init", "run")}
        if options.systemd:
            texts["/etc/systemd/system/plinth-lab.service"] = (
                0o644, (image.GUEST / "plinth-lab.service").read_bytes())
            texts["/etc/systemd/system/multi-user.target.d/lab.conf"] = (
                0o644, b"[Unit]\nWants=plinth-lab.service\n")
        texts[f"/{LAB_LIB}/commands"] = (0o644, options.commands.encode() + b"\n")
        if options.plinth:
            with locked("build"):
                self._pack(build.staged(self.kernel, options.helpers), files, texts)
        else:
            self._pack([], files, texts)
        return self

    def _pack(self, stages, files, texts):
        self.run_dir = _new_run()
        archive.write_tar(self.run_dir / "call.tar", stages, files, texts)

    def _channel(self, name):
        """A socket pair; the number of the end that QEMU inherits."""
        ours, theirs = socket.socketpair()
        self.channels[name] = ours
        self.inner.append(theirs)
        return theirs.fileno()

    def _images(self):
        return (("root", self.root), ("kernel", self.kernel.image), ("call", self.run_dir / "call.tar"))

    def _big_initrd(self):
        """
        An initramfs that holds what would be on disks.

        A disk's requests end at moments of the host's choosing; only without disks are two runs equal.
        """
        path = self.run_dir / "initrd"
        with open(path, "wb") as out:
            out.write(self.kernel.initrd.read_bytes())
            cpio = archive.Cpio(out)
            for name, image_path in self._images():
                cpio.file(f"images/{name}", image_path.read_bytes(), 0o644)
            cpio.finish()
        return path

    def _disks(self):
        disks = []
        for name, path in self._images():
            disks += ["-drive", f"if=none,id={name},format=raw,readonly=on,file={_q(path)}",
                      "-device", f"virtio-blk-pci,drive={name}"]
        if self.disk:
            disks += ["-drive", f"if=none,id=disk,format=raw,snapshot=on,file={_q(self.disk)}",
                      "-device", "virtio-blk-pci,drive=disk"]
        return disks

    def _command(self):
        options = self.options
        accel = "kvm" if options.accel == "kvm" else "tcg,thread=multi"
        model = options.cpu or ("host" if options.accel == "kvm" else "max")
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35",
                "-accel", "tcg" if options.icount else accel, "-cpu", model,
                "-smp", str(options.cpus), "-m", options.memory,
                "-display", "none", "-vga", "none", "-nic", "none", "-no-reboot",
                "-d", "cpu_reset", "-D", str(self.run_dir / "cpu-resets.log"),
                "-kernel", str(self.kernel.vmlinuz), "-append", kernel_line(options)]
        if options.icount:
            argv += ["-initrd", str(self._big_initrd()), "-icount", "shift=0,sleep=off", "-seed", "1",
                     "-rtc", "clock=vm,base=2024-01-01"]
        else:
            argv += ["-initrd", str(self.kernel.initrd), *self._disks()]
        argv += ["-serial", f"file:{self.log_path}", "-chardev", f"file,id=core,path={_q(self.run_dir / 'core.log')}",
                 "-device", "isa-debugcon,iobase=0xe9,chardev=core",
                 "-chardev", f"socket,id=qmp,fd={self._channel('qmp')}", "-mon", "qmp,mode=control",
                 "-device", f"virtio-serial-pci,max_ports=4{',ioeventfd=off' if options.icount else ''}"]
        for name in ("out", "ctl"):
            argv += ["-chardev", f"socket,id={name},fd={self._channel(name)}",
                     "-device", f"virtserialport,chardev={name},name=lab.{name}"]
        if options.interactive:
            argv += ["-chardev", f"socket,id=tty,fd={self._channel('tty')}",
                     "-device", "virtconsole,chardev=tty,name=lab.tty"]
        for text in options.qemu:
            argv += shlex.split(text)
        return argv

    def start(self):
        """Start QEMU; it dies with this program."""
        argv = self._command()
        (self.run_dir / "qemu.cmd").write_text(shlex.join(argv) + "\n")
        self._spawn(argv, dict(os.environ, LD_PRELOAD=str(build.qemu_races())), "qemu.log")
        return self

    def _spawn(self, argv, env, log_name):
        libc = ctypes.CDLL(None)
        with open(self.run_dir / log_name, "wb") as log:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                pass_fds=[end.fileno() for end in self.inner],
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        for end in self.inner:
            end.close()

    def stop(self):
        """End QEMU however it is."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        for channel in self.channels.values():
            channel.close()
        if self.run_dir:
            for name in ("call.tar", "initrd"):
                (self.run_dir / name).unlink(missing_ok=True)

    def run(self, output, terminal=None, keys=None):
        """
        Serve the machine until it is off, dead or late. `output` gets the bytes of the commands; of an
        interactive machine `terminal` gets those of its terminal, whose keys come from descriptor `keys`.
        """
        self.sinks = {"out": output, "tty": terminal}
        begin = time.monotonic()
        self._qmp("qmp_capabilities")
        with selectors.PollSelector() as selector:  # keys may come from a file, which epoll refuses
            for name, channel in self.channels.items():
                selector.register(channel, selectors.EVENT_READ, name)
            if keys is not None:
                selector.register(keys, selectors.EVENT_READ, "keys")
            left = self.options.timeout
            while left > 0 and any(key.data != "keys" for key in selector.get_map().values()):
                for key, _ in selector.select(min(left, 3600)):
                    self._serve(selector, key)
                left = begin + self.options.timeout - time.monotonic()
        if left <= 0:
            self._late()
            self.process.kill()
        self.process.wait()
        self.seconds = time.monotonic() - begin

    def _serve(self, selector, key):
        """Take what has come from one channel, or see that it is closed."""
        try:
            data = os.read(key.fd, 65536)
        except ConnectionResetError:
            data = b""
        if not data:
            selector.unregister(key.fileobj)
            data = shell.END_OF_FILE if key.data == "keys" else b""
        if key.data == "keys":
            if shell.ESCAPE in data:
                raise KeyboardInterrupt
            self.type(data)
        elif key.data in self.sinks:
            self.sinks[key.data](data)
            if key.data == "tty" and not self.terminal_open:
                self.terminal_open = True
                self.type(self.typed_early)
        else:
            self._received(key.data, data)

    def type(self, data):
        """Send keys to the terminal of an interactive machine, once there is a program that listens."""
        if not self.terminal_open:
            self.typed_early += data
            return
        try:
            self.channels["tty"].sendall(data)
        except OSError:
            pass

    def _received(self, name, data):
        *lines, self.pending[name] = (self.pending[name] + data).split(b"\n")
        for line in lines:
            if name == "qmp":
                self._event(json.loads(line))
            elif name == "ctl" and line.startswith(b"exit "):
                self.status = int(line[5:])

    def _qmp(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        try:
            self.channels["qmp"].sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            pass

    def _event(self, message):
        if message.get("event") == "SHUTDOWN":
            self.events.append(message["data"].get("reason", ""))

    def _late(self):
        """Keep what can be seen of a machine that hangs."""
        self.timed_out = True
        self.channels["qmp"].settimeout(10)
        self._qmp("human-monitor-command", **{"command-line": "info registers -a"})
        text = b""
        try:
            while b'"return": "' not in text or not text.endswith(b"\n"):
                more = self.channels["qmp"].recv(65536)
                if not more:
                    break
                text += more
        except OSError:
            pass
        for line in text.splitlines():
            try:
                value = json.loads(line).get("return")
            except ValueError:
                continue
            if isinstance(value, str):
                (self.run_dir / "registers.txt").write_text(value.replace("\r", ""))

    def kernel_log(self):
        """The kernel's log so far, as text."""
        try:
            return self.log_path.read_text(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def verdict(self):
        """(status, one line or None, lines to show) of a run that is over."""
        text = self.kernel_log()
        found = klog.trouble(text, self.options.allow)
        if found:
            return (STATUS_KERNEL, "the root's kernel is in trouble",
                    klog.context(text, self.options.allow))
        if self.timed_out:
            return (STATUS_TIMEOUT, f"no end after {self.options.timeout:g} s", text.splitlines()[-40:])
        if self.status is None:
            if self.options.emulator == "qemu" and self.process.returncode and not self.events:
                lines = (self.run_dir / "qemu.log").read_text(errors="replace").splitlines()
                return (STATUS_LAB, f"QEMU ended with status {self.process.returncode}", lines[-20:])
            why = {"guest-reset": "was reset (a triple fault, or a reboot)",
                   "guest-shutdown": "powered off"}.get(self.events[-1] if self.events else "", "ended")
            return (STATUS_KERNEL, f"the machine {why} before the commands ended",
                    text.splitlines()[-40:])
        return (self.status, None, [])


def report(machine):
    """Tell how a run ended if it was not well; its status."""
    status, line, shown_lines = machine.verdict()
    if line:
        for text in shown_lines:
            say(f"| {text}")
        core = machine.run_dir / "core.log"
        if core.exists() and core.stat().st_size:
            say("the core's own log ends so:")
            for text in core.read_text(errors="replace").splitlines()[-60:]:
                say(f"core| {text}")
        say(f"{line}; everything is in {shown(machine.run_dir)}")
    return status
