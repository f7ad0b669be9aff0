# SPDX-License-Identifier: GPL-2.0-only
"""The lab itself: what ./lab promises to those who call it."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from labkit import host
from labkit.common import STATUS_INTERRUPTED, STATUS_KERNEL, STATUS_LAB, STATUS_TIMEOUT

TOP = pathlib.Path(__file__).resolve().parents[2]
LAB = str(TOP / "lab")


def call(*args, **kwargs):
    """./lab as a user runs it."""
    return subprocess.run([LAB, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          **kwargs)


def test_status_and_output_pass_through():
    """Both of the commands' streams, nothing else, and their status."""
    done = call("sh", "--no-plinth", "--", "echo one; echo two >&2; exit 23")
    assert done.returncode == 23
    assert done.stdout == b"one\ntwo\n"
    assert b"kernel log: " in done.stderr


def test_output_is_byte_clean(lab):
    """Every byte value arrives, in a megabyte, while the kernel logs."""
    result = lab.sh("""
        i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i + 1)); done
        echo noise >/dev/kmsg
        head -c 1048576 /dev/urandom >data; cat data; sha256sum <data
    """, plinth=False)
    assert result.status == 0
    assert result.raw[:256] == bytes(range(256))
    data, line = result.raw[256:256 + 1048576], result.raw[256 + 1048576:]
    assert line.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert "noise" in result.klog


def test_put_keeps_bytes_and_mode(lab, tmp_path):
    """--put copies files, with their modes, to where they are asked for."""
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho ran $1\n")
    tool.chmod(0o755)
    out = lab.sh("./tool a; /opt/x/tool b", put=[str(tool), f"{tool}:/opt/x/"], plinth=False).check()
    assert out == "ran a\nran b\n"


def test_machine_is_as_asked(lab):
    """CPUs, memory, model, kernel parameters; unmodified Debian kernel with its modules and headers' release."""
    out = lab.sh("nproc; grep MemTotal /proc/meminfo; grep -m1 model.name /proc/cpuinfo; cat /proc/cmdline; "
                 "uname -r; ls /boot /lib/modules; cat /etc/debian_version",
                 cpus=3, memory="1G", cpu="EPYC", append="some.word=1", plinth=False).check().splitlines()
    assert out[0] == "3"
    assert 900_000 < int(out[1].split()[1]) < 1_048_576
    assert "EPYC" in out[2]
    assert out[3].endswith("some.word=1")
    release = out[4]
    assert f"vmlinuz-{release}" in out
    assert release in out[5:]
    assert pathlib.Path("/usr/src", f"linux-headers-{release}").is_dir()
    assert out[-1].startswith("12.")


def test_full_kernel(lab):
    """Debian's other kernel boots too."""
    out = lab.sh("uname -r; modprobe tulip; echo $?", kernel="full", plinth=False).check().split()
    assert out[0].endswith("-amd64") and "cloud" not in out[0]
    assert out[1] == "0"


def test_packages(lab):
    """--packages adds Debian's packages."""
    out = lab.sh("command -v bc; echo 6*7 | bc", packages="bc", plinth=False).check()
    assert out == "/usr/bin/bc\n42\n"


def test_systemd(lab):
    """The real thing: systemd as init, with the same commands and status."""
    result = lab.sh("cat /proc/1/comm; systemctl is-system-running --wait; exit 5", systemd=True, plinth=False)
    assert result.out == "systemd\nrunning\n"
    assert result.status == 5


def test_stock_kvm_loads(lab):
    """The emulated SVM is good enough for Debian's own kvm-amd, with nested paging."""
    out = lab.sh("modprobe kvm-amd && test -c /dev/kvm && cat /sys/module/kvm_amd/parameters/npt", plinth=False)
    assert out.check().strip() in ("Y", "1")


def test_no_svm(lab):
    """
    A machine without SVM can be had, for the tests of refusals. The leaf is named because QEMU otherwise takes
    leaf 8000_0008 away with SVM, and programs do not run on the resulting mixture with 57-bit addresses.
    """
    out = lab.sh("grep -c -w svm /proc/cpuinfo; modprobe kvm-amd || echo refused",
                 cpu="max,-svm,xlevel=0x8000000a", plinth=False).check()
    assert out.split()[0] == "0"
    assert "refused" in out


def test_counted_runs_are_equal(lab):
    """Two runs with --icount take the same instructions."""
    commands = "cat /proc/interrupts; date +%s.%N; dmesg | tail -n 3"
    first, second = (lab.sh(commands, icount=True, plinth=False) for _ in range(2))
    assert first.check() == second.check()
    assert first.klog == second.klog


def test_panic_is_told(lab):
    """A crash of the root fails the call with its own status and shows the lines."""
    done = call("sh", "--no-plinth", "--", "echo before; echo c >/proc/sysrq-trigger; echo after")
    assert done.returncode == STATUS_KERNEL
    assert done.stdout == b"before\n"
    assert b"sysrq triggered crash" in done.stderr


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    """The module trouble.ko, built against the headers of the lab's kernel."""
    folder = tmp_path_factory.mktemp("trouble")
    source = pathlib.Path(__file__).parent / "trouble"
    for name in ("trouble.c", "Kbuild"):
        shutil.copy(source / name, folder / name)
    headers = host.kernel_dir(host.kernel_version("cloud"))
    subprocess.run(["make", "-s", "-C", str(headers), f"M={folder}", "modules"],
                   stdin=subprocess.DEVNULL, check=True)
    return str(folder / "trouble.ko")


@pytest.mark.parametrize("kind, line", [
    ("warn", "trouble was asked for"),
    ("oops", "BUG: kernel NULL pointer dereference"),
    ("bug", "kernel BUG at"),
    ("gp", "general protection fault"),
    ("lockup", "soft lockup"),
    ("stall", "self-detected stall"),
])
def test_trouble_is_told(lab, trouble, kind, line, capsys):
    """Whatever trouble the root's kernel is in fails the call, also when the commands ended well."""
    result = lab.sh(f"""
        echo {60 if kind == "stall" else 2} >/proc/sys/kernel/watchdog_thresh
        insmod trouble.ko kind={kind} &
        {"sleep 15" if kind in ("lockup", "stall") else "wait"}
        exit 0
    """, put=[trouble], cpus=2, append="rcupdate.rcu_cpu_stall_timeout=5" if kind == "stall" else (),
    plinth=False)
    assert result.status == STATUS_KERNEL
    assert line in result.klog
    assert line in capsys.readouterr().err


def test_trouble_can_be_allowed(lab, trouble):
    """A test that provokes a message names it, and only that one passes."""
    commands = "insmod trouble.ko kind=warn; exit 0"
    assert lab.sh(commands, put=[trouble], allow="WARNING: .*trouble_init", plinth=False).status == 0
    assert lab.sh(commands, put=[trouble], allow="elsewhere", plinth=False).status == STATUS_KERNEL


def test_faults_of_programs_are_not_trouble(lab):
    """A program that crashes is no failure of the root."""
    result = lab.sh("sh -c 'kill -SEGV $$'; /usr/lib/plinth-lab/busybox sh -c 'kill -ILL $$'; dmesg -n 8; exit 0",
                    plinth=False)
    assert result.status == 0


def test_reset_is_told(lab):
    """A machine that resets under the commands is a failure of the root."""
    result = lab.sh("echo b >/proc/sysrq-trigger; while :; do :; done", plinth=False)
    assert result.status == STATUS_KERNEL
    assert "reset" in result.why


def test_power_off_is_told(lab):
    """Neither may it power off."""
    result = lab.sh("/usr/lib/plinth-lab/busybox poweroff -f", plinth=False)
    assert result.status == STATUS_KERNEL


def test_timeout_is_told(lab):
    """A hang ends in time, with the registers of every CPU kept."""
    result = lab.sh("echo hanging; tail -f /dev/null", timeout=15, cpus=2, plinth=False)
    assert result.status == STATUS_TIMEOUT
    assert result.out == "hanging\n"
    registers = (TOP / result.folder / "registers.txt").read_text()
    assert "CPU#1" in registers and "RIP=" in registers


def test_parallel_calls_do_not_meet():
    """Two machines at once, each with its own files and output."""
    calls = [subprocess.Popen([LAB, "sh", "--no-plinth", "--cpus", "2", "--", f"echo {n} >f; cat f; exit {n}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
             for n in (3, 4)]
    for number, running in zip((3, 4), calls):
        out, _ = running.communicate(timeout=300)
        assert (running.returncode, out) == (number, f"{number}\n".encode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_machine(number):
    """Ctrl-C leaves no QEMU behind. (A shell has its background jobs ignore it, these tests perhaps too.)"""
    with subprocess.Popen([LAB, "sh", "--no-plinth", "--", "echo up; tail -f /dev/null"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as running:
        assert running.stdout.readline() == b"up\n"
        children = pathlib.Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        assert len(children) == 1
        running.send_signal(number)
        assert running.wait(timeout=30) == STATUS_INTERRUPTED
        assert not os.path.exists(f"/proc/{children[0]}")


@pytest.mark.parametrize("args, word", [
    ((), b"COMMAND"),
    (("sh",), b"commands"),
    (("sh", "--cpus", "many", "--", "true"), b"--cpus"),
    (("sh", "--cpus", "0", "--", "true"), b"--cpus"),
    (("sh", "--memory", "lots", "--", "true"), b"--memory"),
    (("sh", "--kernel", "other", "--", "true"), b"--kernel"),
    (("sh", "--put", "/no/such/file", "--", "true"), b"/no/such/file"),
    (("sh", "--packages", "No_Package", "--", "true"), b"No_Package"),
    (("sh", "--icount", "--cpus", "2", "--", "true"), b"--icount"),
    (("sh", "--emulator", "bochs", "--disk", "--", "true"), b"--disk"),
    (("shell", "--emulator", "bochs"), b"bochs"),
    (("demo", "--emulator", "bochs"), b"bochs"),
    (("dance",), b"dance"),
    (("test", "no-such-file::test"), b"no-such-file"),
    (("test", "run::test_help", "part-of-a-name"), b"part-of-a-name"),
    (("test", "lab::test_help"), b"FILE::TEST"),
])
def test_wrong_calls_get_one_line(args, word):
    """A wrong call ends with the lab's status and one line that names the cause."""
    done = call(*args)
    assert done.returncode == STATUS_LAB
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and word in lines[0], done.stderr


def test_unknown_cpu_model_is_told():
    """What QEMU refuses is the lab's failure, with QEMU's own words."""
    done = call("sh", "--no-plinth", "--cpu", "no-such-model", "--", "true")
    assert done.returncode == STATUS_LAB
    assert b"no-such-model" in done.stderr


def test_child_initramfs():
    """The initramfs for children boots: here as a machine of its own, started by QEMU."""
    done = call("sh", "--no-plinth", "--", "cat /usr/lib/plinth-lab/child.cpio.gz")
    assert done.returncode == 0
    folder = TOP / "build" / "lab"
    kernel = next(folder.glob("cache/kernel-*-cloud-*/vmlinuz"))
    initrd = folder / f"child-{os.getpid()}.cpio.gz"
    initrd.write_bytes(done.stdout)
    try:
        ran = subprocess.run(
            ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-serial", "stdio", "-m", "512M",
             "-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd),
             "-append", 'console=ttyS0 quiet plinth.run="echo sum $((40 + 2)); cat /proc/self/comm"'],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    finally:
        initrd.unlink()
    lines = ran.stdout.decode(errors="replace").replace("\r", "").splitlines()
    assert ran.returncode == 0
    assert "child: up" in lines and "sum 42" in lines and "child: exit 0" in lines


def test_shell(tmp_path):
    """./lab shell gives a terminal and passes the shell's status on; what is typed may come from a file."""
    keys = tmp_path / "keys"
    keys.write_bytes(b"tty; echo $((6 * 7))\nexit 3\n")
    with open(keys, "rb") as file:
        done = subprocess.run([LAB, "shell", "--no-plinth"], stdin=file, capture_output=True, timeout=120, check=False)
    assert done.returncode == 3
    assert b"/dev/hvc0\r\n42\r\n" in done.stdout
    piped = subprocess.run([LAB, "shell", "--no-plinth"], input=b"exit 4\n", capture_output=True, timeout=120,
                           check=False)
    assert piped.returncode == 4
