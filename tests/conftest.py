# SPDX-License-Identifier: GPL-2.0-only
"""
Makes pytest run the cmocka programs of tests/unit, one item for each of their tests, beside the Python tests.

The tests' names are read from the sources, so that collecting is quick; a program is built and run when the
first of its tests is due. One more item, `program`, fails when a program ends badly (a leak, a crash, a test
that was never reached) or when a test that only the program knows of has failed.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from labkit.common import LabError, locked  # noqa: E402 pylint: disable=wrong-import-position

UNIT = TOP / "tests" / "unit"
UNIT_TIMEOUT = 600
NAMED = re.compile(r"\bcmocka_unit_test(?:_\w+)?\s*\(\s*(\w+)")
TAP_LINE = re.compile(r"^(not ok|ok) \d+ (?:- |# (SKIP) )(\S+)")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="repeat the heavy loops many times over")
    parser.addoption("--counts", metavar="FILE", help="write the numbers of outcomes to FILE as JSON")


def pytest_collect_file(file_path, parent):
    if file_path.parent == UNIT and file_path.suffix == ".c" and file_path.name.startswith("test_"):
        return UnitProgram.from_parent(parent, path=file_path)
    return None


class UnitProgram(pytest.File):
    """One cmocka program."""

    outcomes = None

    def collect(self):
        # All tests of a program are one run of it: they stay together when tests run side by side.
        self.add_marker(pytest.mark.xdist_group(self.path.stem))
        names = dict.fromkeys(NAMED.findall(self.path.read_text(encoding="utf-8")))
        for name in names:
            yield UnitTest.from_parent(self, name=name)
        yield UnitEnd.from_parent(self, name="program")

    def results(self):
        """{test: 'ok' | 'not ok' | 'skip'} of the program's one run."""
        if self.outcomes is None:
            self.outcomes = {}
            _build_programs(self.session)
            self._run()
        return self.outcomes

    def _run(self):
        binary = TOP / "build" / "unit" / self.path.stem
        build = subprocess.run(["make", "-s", "-C", str(UNIT), f"../../build/unit/{self.path.stem}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, check=False)
        if build.returncode:
            self.text, self.ended = build.stdout.decode(errors="replace"), "was not built"
            return
        env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
        try:
            done = subprocess.run([binary], env=env, cwd=TOP, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                                  timeout=UNIT_TIMEOUT)
            out, self.ended = done.stdout, f"ended with status {done.returncode}"
            if done.returncode == 0:
                self.ended = ""
        except subprocess.TimeoutExpired as late:
            out, self.ended = late.stdout or b"", f"did not end in {UNIT_TIMEOUT} s"
        self.text = out.decode(errors="replace")
        for line in self.text.splitlines():
            found = TAP_LINE.match(line)
            if found:
                self.outcomes[found[3]] = "skip" if found[2] else found[1]


def _build_programs(session):
    """Build every program that is selected in one parallel make; each reports its own failure later."""
    if getattr(session, "unit_built", False):
        return
    session.unit_built = True
    stems = dict.fromkeys(item.parent.path.stem for item in session.items
                          if isinstance(item.parent, UnitProgram))
    jobs = len(os.sched_getaffinity(0))
    with locked("unit"):
        subprocess.run(["make", "-s", "-k", f"-j{jobs}", "-C", str(UNIT),
                        *(f"../../build/unit/{stem}" for stem in stems)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=False)


class UnitFailure(Exception):
    """A unit test's failure; its text is what the program printed."""


class _UnitItem(pytest.Item):
    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, UnitFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, 0, f"{self.path.stem}: {self.name}"


class UnitTest(_UnitItem):
    """One test of a cmocka program."""

    def runtest(self):
        outcome = self.parent.results().get(self.name)
        if outcome == "skip":
            pytest.skip("the test skipped itself")
        if outcome is None:
            raise UnitFailure(f"{self.name} did not run: the program "
                              f"{self.parent.ended or 'ended well without it'}\n{self.parent.text}")
        if outcome != "ok":
            raise UnitFailure(self.parent.text)


class UnitEnd(_UnitItem):
    """The end of a cmocka program, and the tests that its source does not spell out."""

    def runtest(self):
        program = self.parent
        outcomes = program.results()
        spelt = {item.name for item in self.session.items if item.parent is program}
        failed = [name for name, how in outcomes.items() if how == "not ok"]
        # A program's status is the number of its failed tests, which have their own items.
        explained = failed and program.ended == f"ended with status {len(failed)}"
        unseen = [name for name in failed if name not in spelt]
        if unseen or (program.ended and not explained):
            raise UnitFailure(f"{self.path.stem} {program.ended} {' '.join(unseen)}\n{program.text}")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    path = config.getoption("--counts")
    if not path:
        return
    stats = terminalreporter.stats
    counts = {name: len(stats.get(name, ())) for name in ("passed", "skipped")}
    bad = {report.nodeid for name in ("failed", "error") for report in stats.get(name, ())}
    counts["failed"] = len(bad)
    pathlib.Path(path).write_text(json.dumps(counts), encoding="ascii")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A LabError is a failure with one line to say, not a traceback."""
    outcome = yield
    if outcome.excinfo and isinstance(outcome.excinfo[1], LabError):
        outcome.force_exception(pytest.fail.Exception(str(outcome.excinfo[1]), pytrace=False))


@pytest.fixture(scope="session")
def long(request):
    """Whether --long was given."""
    return request.config.getoption("--long")
