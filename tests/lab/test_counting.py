# SPDX-License-Identifier: GPL-2.0-only
"""
./lab test itself: what it counts, and that nothing bad is counted as good. And ./lab bench: what it makes of numbers. Both run on
the host, on a project made up here.
"""

import json
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]

HEAD = """
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
static void good(void **state) { (void)state; assert_int_equal(1, 1); }
static void bad(void **state) { (void)state; assert_int_equal(1, 2); }
static void skipped(void **state) { (void)state; skip(); }
static void crash(void **state) { (void)state; abort(); }
static void leak(void **state) { (void)state; *(void *volatile *)&(void *){0} = malloc(7); }
"""

MAIN = """
int main(void)
{
	(void)good; (void)bad; (void)skipped; (void)crash; (void)leak;
	const struct CMUnitTest tests[] = { %s };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


def project(folder, **programs):
    """A work tree with these programs, name=[tests], as its unit tests."""
    unit = folder / "tests" / "unit"
    unit.mkdir(parents=True)
    shutil.copytree(TOP / "labkit", folder / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / "pytest.ini", folder)
    shutil.copy(TOP / "tests" / "conftest.py", folder / "tests")
    shutil.copy(TOP / "tests" / "unit" / "Makefile", unit)
    for name, tests in programs.items():
        entries = ", ".join(f"cmocka_unit_test({test})" for test in tests)
        (unit / f"test_{name}.c").write_text(HEAD + MAIN % entries)
        (unit / f"{name}.mk").write_text(f"TESTS += {name}\n")
    return folder


def lab_test(folder, *args):
    """./lab test in that tree: its status, its last line, all of its output."""
    done = subprocess.run([sys.executable, "-m", "labkit", "test", *args], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env={"PYTHONPATH": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return done.returncode, done.stdout.splitlines()[-1], done.stdout


def test_all_good(tmp_path):
    """Each test counts, and so does each program's good end."""
    tree = project(tmp_path, one=["good"], two=["good", "skipped"])
    assert lab_test(tree, "unit")[:2] == (0, "4 passed, 0 failed, 1 skipped")


def test_a_failed_test_fails(tmp_path):
    """Only the test that failed counts as failed; its message is shown."""
    status, line, out = lab_test(project(tmp_path, one=["good", "bad"]), "unit")
    assert (status, line) == (1, "2 passed, 1 failed")
    assert "0x1 != 0x2" in out


def test_a_crash_fails_what_did_not_run(tmp_path):
    """The tests behind a crash have not passed."""
    assert lab_test(project(tmp_path, one=["good", "crash", "skipped"]), "unit")[:2] == (1, "1 passed, 3 failed")


def test_a_leak_fails_the_program(tmp_path):
    """What the sanitizers find at the end is a failure, though every test passed."""
    status, line, out = lab_test(project(tmp_path, one=["good", "leak"]), "unit")
    assert (status, line) == (1, "2 passed, 1 failed")
    assert "LeakSanitizer" in out


def test_what_is_not_built_fails(tmp_path):
    """A source that does not compile, or that no makefile fragment names, fails."""
    tree = project(tmp_path, one=["nothing_like_that"], two=["good"])
    (tree / "tests" / "unit" / "two.mk").unlink()
    assert lab_test(tree, "unit")[:2] == (1, "0 passed, 4 failed")


def test_picking(tmp_path):
    """Tests can be picked by file, by file and name, by a part of the name; picking nothing is a failure."""
    tree = project(tmp_path, one=["good", "bad"], two=["good"])
    assert lab_test(tree, "two")[:2] == (0, "2 passed, 0 failed")
    assert lab_test(tree, "one::good")[:2] == (0, "1 passed, 0 failed")
    assert lab_test(tree, "unit", "-k", "good")[:2] == (0, "2 passed, 0 failed")
    assert lab_test(tree, "unit", "-k", "no_such_thing")[:2] == (1, "0 passed, 0 failed")


BENCH = """
from labkit.bench import Row
from labkit.common import LabError
ROWS = [Row("fast", "something", "ticks", 10), Row("slow", "its like", "ticks", 0.9, kvm="kvm", relative=True)]
def measure(sh):
    if %r:
        raise LabError("the machine went away")
    return %r
"""


def lab_bench(folder, numbers, fails=False):
    """./lab bench with these numbers of a bench: its status, what it prints, its JSON by key."""
    tree = project(folder)
    (tree / "bench").mkdir()
    (tree / "bench" / "one.py").write_text(BENCH % (fails, numbers))
    done = subprocess.run([sys.executable, "-m", "labkit", "bench", "--json", "out.json"], cwd=tree, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False,
                          env={"PYTHONPATH": str(tree), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return done.returncode, done.stdout, {row["key"]: row for row in json.loads((tree / "out.json").read_text())}


def test_bench_reaches_its_goals(tmp_path):
    """All goals are reached, one of them a part of stock KVM's number."""
    status, out, rows = lab_bench(tmp_path, {"fast": 10, "slow": 17, "kvm": 20})
    assert status == 0 and out.count("| yes") == 2
    assert rows["fast"]["Plinth"] == 10 and rows["fast"]["to reach"] == 10
    assert rows["slow"]["stock KVM"] == 20 and rows["slow"]["to reach"] == 18 and rows["slow"]["reached"] == "yes"


def test_bench_says_what_was_missed(tmp_path):
    """A number above its goal, and one that is not there, are told as such, in the status too."""
    status, out, rows = lab_bench(tmp_path, {"fast": 11})
    assert status == 1 and "| no " in out and "| not measured" in out
    assert [rows[key]["reached"] for key in ("fast", "slow")] == ["no", "not measured"]


def test_bench_that_fails(tmp_path):
    """One that cannot be taken says why."""
    status, out, rows = lab_bench(tmp_path, {}, fails=True)
    assert status == 1 and "not measured: one: the machine went away" in out
    assert {row["reached"] for row in rows.values()} == {"not measured"}
