# SPDX-License-Identifier: GPL-2.0-only
"""
./lab bench: runs the modules of bench/ and shows their numbers as a table and as JSON.

A module bench/<name>.py has ROWS, a list of Row, and measure(sh), which returns {row's key: number}. `sh` is
Machine.run in one call: sh(commands, **options) gives what the commands printed, or ends the bench.
"""

import dataclasses
import importlib.util
import json
import pathlib
import subprocess

from . import machine
from .common import BUILD, TOP, LabError, say, shown


@dataclasses.dataclass
class Row:
    """One line of the table."""
    key: str
    what: str
    unit: str
    goal: float  # what is to be reached
    kvm: str = ""  # key of the number of stock KVM in the same lab, if there is one
    relative: bool = False  # the goal is a factor of KVM's number


def tool(name):
    """Build bench/<name>.c for the machine; its path, for `put`."""
    out = BUILD / "bench" / name
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", f"-I{TOP}/include",
                    "-o", str(out), str(TOP / "bench" / f"{name}.c")], check=True)
    return str(out)


def sh(commands, **options):
    """Run commands in a machine and return their output; anything but status 0 ends the bench."""
    lab = machine.Machine(machine.Options(commands=commands, **options))
    out = []
    try:
        lab.prepare().start().run(out.append)
    finally:
        lab.stop()
    status = machine.report(lab)
    text = b"".join(out).decode(errors="replace")
    if status:
        raise LabError(f"bench: commands ended with status {status}: {text.strip().splitlines()[-1:]}")
    return text


def _modules(names):
    found = sorted(path for path in (TOP / "bench").glob("*.py") if not path.name.startswith("_"))
    unknown = set(names) - {path.stem for path in found}
    if unknown:
        raise LabError(f"bench: there is no bench/{unknown.pop()}.py")
    for path in found:
        if names and path.stem not in names:
            continue
        spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield path.stem, module


def _limit(row, numbers):
    if not row.relative:
        return row.goal
    return row.goal * numbers[row.kvm] if row.kvm in numbers else None


def _table(results):
    heads = ("what", "unit", "stock KVM", "Plinth", "to reach", "reached")
    lines = [heads]
    for result in results:
        lines.append(tuple("-" if result[name] is None else
                           f"{result[name]:.6g}" if isinstance(result[name], float) else str(result[name])
                           for name in heads))
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
                     for line in lines)


def run(names, json_path):
    """Measure, print the table, write the JSON; status 1 if a number was missed or could not be taken."""
    results, errors = [], []
    for name, module in _modules(names):
        say(f"measuring {name}")
        try:
            numbers = module.measure(sh)
        except LabError as error:
            errors.append(f"{name}: {error}")
            numbers = {}
        for row in module.ROWS:
            limit, number = _limit(row, numbers), numbers.get(row.key)
            known = number is not None and limit is not None
            results.append({"key": row.key, "what": row.what, "unit": row.unit,
                            "stock KVM": numbers.get(row.kvm), "Plinth": number, "to reach": limit,
                            "reached": ("yes" if number <= limit else "no") if known else "not measured"})
    if not results:
        raise LabError("bench: there are no benches in bench/")
    print(_table(results))
    for error in errors:
        print(f"not measured: {error}")
    path = pathlib.Path(json_path or BUILD / "bench.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    say(f"as JSON: {shown(path)}")
    return 0 if all(result["reached"] == "yes" for result in results) else 1
