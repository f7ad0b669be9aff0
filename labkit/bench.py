# SPDX-License-Identifier: GPL-2.0-only
"""
./lab bench: runs the modules of bench/ and shows their numbers as a table and as JSON.

A module bench/<name>.py has ROWS, a list of Row, and measure(sh), which returns {row's key: number}. `sh` is
Machine.run in one call: sh(commands, **options) gives what the commands printed, or ends the bench. It may have
picture(results), which makes the text of an SVG of the rows' results as they go into the JSON. Modules whose names
begin with "_" are there for the others to import.
"""

import dataclasses
import importlib.util
import itertools
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

from . import machine
from .common import BUILD, TOP, LabError, say, shown


@dataclasses.dataclass
class Row:
    """One line of the table."""
    key: str
    what: str
    unit: str
    goal: float | Callable  # what is to be reached; or what makes it of {key: number}, None if one is missing
    kvm: str = ""  # key of the number of stock KVM in the same lab, if there is one
    relative: bool = False  # the goal is a factor of KVM's number
    beside: dict = dataclasses.field(default_factory=dict)  # {title: key} of the columns before ours, if not stock KVM
    ours: str = "Plinth"  # title of the column of `key`

    def limit(self, numbers):
        if callable(self.goal):
            return self.goal(numbers)
        if not self.relative:
            return self.goal
        return self.goal * numbers[self.kvm] if self.kvm in numbers else None

    def result(self, numbers):
        """What goes into the table and the JSON."""
        limit, number = self.limit(numbers), numbers.get(self.key)
        known = number is not None and limit is not None
        beside = self.beside or {"stock KVM": self.kvm}
        return {"key": self.key, "what": self.what, "unit": self.unit,
                **{title: numbers.get(key) for title, key in beside.items()},
                self.ours: number, "to reach": limit,
                "reached": ("yes" if number <= limit else "no") if known else "not measured"}


def tool(name):
    """Build bench/<name>.c for the machine; its path, for `put`."""
    out = BUILD / "bench" / name
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", f"-I{TOP}/include",
                    "-o", str(out), str(TOP / "bench" / f"{name}.c")], check=True)
    return str(out)


class Failed(LabError):
    """Commands did not end well; `out` is what they printed until then."""

    def __init__(self, why, out):
        super().__init__(why)
        self.out = out


def sh(commands, **options):
    """
    Run commands in a machine and return their output, which is also in commands.log of the run's folder as it comes;
    anything but status 0 is Failed, and ends the bench if that does not catch it.
    """
    lab = machine.Machine(machine.Options(commands=commands, **options))
    try:
        lab.prepare()
        log = lab.run_dir / "commands.log"
        with open(log, "wb", buffering=0) as out:
            lab.start().run(out.write)
    finally:
        lab.stop()
    status = machine.report(lab)
    text = log.read_text(errors="replace")
    if status:
        raise Failed(f"commands ended with status {status}, see {shown(log)}", text)
    return text


def _modules(names):
    folder = TOP / "bench"
    found = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))
    unknown = set(names) - {path.stem for path in found}
    if unknown:
        raise LabError(f"bench: there is no bench/{unknown.pop()}.py")
    sys.path.insert(0, str(folder))
    for path in found:
        if names and path.stem not in names:
            continue
        spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield path.stem, module


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(results):
    """The results as a table; as one each for those that follow each other with the same columns."""
    tables = []
    for heads, group in itertools.groupby(results, key=lambda result: tuple(result)[1:]):
        lines = [heads, *(tuple(_cell(result[head]) for head in heads) for result in group)]
        widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
        lines.insert(1, tuple("-" * width for width in widths))
        tables.append("\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
                                for line in lines))
    return "\n\n".join(tables)


def _write(what, path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"{what}: {shown(path)}")


def run(names, json_path, pictures):
    """Measure, print the table, write JSON and pictures; status 1 if a number was missed or could not be taken."""
    results, errors = [], []
    for name, module in _modules(names):
        say(f"measuring {name}")
        try:
            numbers = module.measure(sh)
        except LabError as error:
            errors.append(f"{name}: {error}")
            numbers = {}
        rows = [row.result(numbers) for row in module.ROWS]
        results += rows
        if numbers and hasattr(module, "picture"):
            _write("as a picture", pathlib.Path(pictures or BUILD) / f"{name}.svg", module.picture(rows))
    if not results:
        raise LabError("bench: there are no benches in bench/")
    print(_table(results))
    for error in errors:
        print(f"not measured: {error}")
    _write("as JSON", pathlib.Path(json_path or BUILD / "bench.json"), json.dumps(results, indent=2) + "\n")
    return 0 if all(result["reached"] == "yes" for result in results) else 1
