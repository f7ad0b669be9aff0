# SPDX-License-Identifier: GPL-2.0-only
"""The commands of ./lab."""

import argparse
import os
import signal
import sys

from . import bench, bochs, demo, fuzz, host, machine, shell, testing
from .common import STATUS_INTERRUPTED, STATUS_LAB, LabError, say, shown


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and end with the lab's own status."""

    def error(self, message):
        print(f"lab: {message} (see ./lab --help)", file=sys.stderr)
        sys.exit(STATUS_LAB)


def _count(text):
    """A number of CPUs; 0 only stands for an option that is not given."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of CPUs")
    return int(text)


def _time(text):
    """A time that is more than nothing."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is no time")
    return value


SH_HELP = """\
Boots a fresh lab machine, runs COMMANDS (joined by blanks, as ssh does) with sh as root in it, with Plinth
installed, and powers it off. Their output, and nothing else, goes to standard output."""

SH_STATUS = """\
Exit status: that of the commands, or
  97  the root's kernel is in trouble (oops, BUG, WARNING, lockup, RCU stall, panic), or the machine was reset or
      went off before the commands ended
  98  the commands did not end in time
  99  the lab failed or was called wrongly
 130  interrupted
Logs of each call are in a folder of build/lab/runs: kernel.log, core.log (the core's own, from the debug port
0xe9), registers.txt (after a timeout), cpu-resets.log (the registers at a triple fault), qemu.cmd, qemu.log."""


def _machine_options(parser):
    group = parser.add_argument_group("the machine")
    group.add_argument("--cpus", type=_count, default=0, metavar="N", help="default 4; 1 with --icount")
    group.add_argument("--memory", default="2G", metavar="M", help="such as 512M or 2G (default 2G)")
    group.add_argument("--cpu", default="", metavar="MODEL",
                       help="QEMU's CPU model: max (default; 5-level paging), EPYC (4 levels), ...")
    group.add_argument("--kernel", choices=("cloud", "full"), default="cloud",
                       help="which of Debian's kernels (default cloud)")
    group.add_argument("--packages", action="append", default=[], metavar='"P ..."',
                       help="Debian packages to have in it as well")
    group.add_argument("--append", action="append", default=[], metavar="ARGS",
                       help="more words for the kernel's command line")
    group.add_argument("--qemu", action="append", default=[], metavar="ARGS", help="more options for QEMU")
    group.add_argument("--icount", action="store_true",
                       help="count: one tick is one instruction of the one CPU, and two runs are equal")
    group.add_argument("--put", action="append", default=[], metavar="FILE[:DEST]",
                       help="copy a file or folder into it (default to /root)")
    group.add_argument("--disk", action="store_true",
                       help="the disk that a child boots Debian from, as /dev/vdd; what is written to it is lost")
    group.add_argument("--accel", choices=("tcg", "kvm"), default="tcg",
                       help="emulate (default), or use this host's own nested SVM")
    group.add_argument("--emulator", choices=("qemu", "bochs"), default="qemu",
                       help="bochs: a second opinion on QEMU's SVM, slow")
    group.add_argument("--systemd", action="store_true", help="systemd instead of the lab's own init")
    group.add_argument("--allow", default="", metavar="REGEX",
                       help="kernel messages that are no failure of this call")
    group.add_argument("--no-plinth", action="store_true", help="leave Plinth out, and do not build it")


def _options(args, **more):
    packages = tuple(name for text in args.packages for name in text.replace(",", " ").split())
    return machine.Options(
        cpus=args.cpus, memory=args.memory, cpu=args.cpu, kernel=args.kernel, packages=packages,
        append=tuple(args.append), qemu=tuple(args.qemu), put=tuple(args.put), disk=args.disk, icount=args.icount,
        systemd=args.systemd, accel=args.accel, emulator=args.emulator, allow=args.allow,
        plinth=not args.no_plinth, **more)


def _to_stdout(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]


def cmd_sh(args):
    """Boot the machine, run the commands, pass on their output and status."""
    commands = " ".join(args.commands)
    if not commands.strip():
        raise LabError("sh: give the commands to run after --")
    host.prepare()
    lab = bochs.machine_for(_options(args, commands=commands, timeout=args.timeout))
    try:
        lab.prepare()
        say(f"kernel log: {shown(lab.log_path)}")
        lab.start().run(_to_stdout)
    finally:
        lab.stop()
    return machine.report(lab)


def cmd_shell(args):
    """Boot the machine and connect this terminal to a shell in it."""
    host.prepare()
    lab = bochs.machine_for(_options(args, commands=shell.commands(), interactive=True,
                                     timeout=float("inf")))
    try:
        lab.prepare()
        say(f"kernel log: {shown(lab.log_path)}; leave with 'exit', or Ctrl-] to kill the machine")
        with shell.raw_terminal():
            lab.start().run(_to_stdout, terminal=_to_stdout, keys=0)
    finally:
        lab.stop()
    return machine.report(lab)


def cmd_demo(args):
    """Show the main job."""
    host.prepare()
    args.disk = True
    args.cpus = args.cpus or 2
    return demo.run(_options(args, commands=demo.commands(), interactive=True, timeout=args.timeout,
                             helpers=False))


def cmd_bench(args):
    """Take the numbers."""
    host.prepare()
    return bench.run(args.names, args.json, args.pictures)


def cmd_test(args):
    """Run the tests that were picked, or all."""
    host.prepare(tests=True)
    return testing.run(args.names, args.expression, args.long, args.pytest)


def cmd_fuzz(args):
    """Run the fuzzers."""
    host.prepare(tests=True)
    return fuzz.run(args.names, args.minutes)


def main():
    """Find the command and run it."""
    parser = Parser(prog="./lab", description="Plinth's test machine: an emulated AMD computer with Debian 12.",
                    epilog="./lab COMMAND --help explains a command.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")
    sub = commands.add_parser("demo", help="Plinth's main job, narrated, in some minutes")
    _machine_options(sub)
    sub.add_argument("--timeout", type=_time, default=900, metavar="S", help="default 900")
    sub.set_defaults(handler=cmd_demo)
    sub = commands.add_parser("test", help="the unit tests and the lab's tests; all, or those that are named")
    sub.add_argument("--long", action="store_true", help="repeat the heavy loops many times over")
    sub.add_argument("-k", dest="expression", default="", metavar="EXPR",
                     help="only tests that match, as in pytest")
    sub.add_argument("--pytest", action="append", default=[], metavar="ARG",
                     help="one more argument for pytest, as in --pytest=-x")
    sub.add_argument("names", nargs="*", metavar="NAME",
                     help="unit, make, lab, or a file of tests, or FILE::TEST, or part of a test's name")
    sub.set_defaults(handler=cmd_test)
    sub = commands.add_parser("sh", help="run commands in a fresh machine", description=SH_HELP, epilog=SH_STATUS,
                              formatter_class=argparse.RawDescriptionHelpFormatter,
                              usage="./lab sh [OPTION...] -- COMMANDS")
    _machine_options(sub)
    sub.add_argument("--timeout", type=_time, default=600, metavar="S", help="default 600")
    sub.add_argument("commands", nargs="*", metavar="COMMANDS", help="what to run")
    sub.set_defaults(handler=cmd_sh)
    sub = commands.add_parser("shell", help="a terminal on a fresh machine")
    _machine_options(sub)
    sub.set_defaults(handler=cmd_shell)
    sub = commands.add_parser("bench", help="the numbers, as a table and as JSON")
    sub.add_argument("--json", default="", metavar="FILE", help="where to (default build/lab/bench.json)")
    sub.add_argument("--pictures", default="", metavar="FOLDER", help="where pictures go (default build/lab)")
    sub.add_argument("names", nargs="*", metavar="NAME", help="only these files of bench/")
    sub.set_defaults(handler=cmd_bench)
    sub = commands.add_parser("fuzz", help="the fuzzers, for longer than ./lab test runs them")
    sub.add_argument("--minutes", type=_time, default=1, metavar="N", help="for each (default 1)")
    sub.add_argument("names", nargs="*", metavar="NAME", help="only these of tests/fuzz")
    sub.set_defaults(handler=cmd_fuzz)
    args = parser.parse_args()

    def interrupted(number, _frame):
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    try:
        return args.handler(args)
    except LabError as error:
        say(str(error))
        return STATUS_LAB
    except KeyboardInterrupt:
        say("interrupted")
        return STATUS_INTERRUPTED
    except OSError as error:
        say(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return STATUS_LAB


sys.exit(main())
