# SPDX-License-Identifier: GPL-2.0-only
"""
The root's own work, launched against bare, in one run. The APIC page is the one place where the root
pays on purpose; its accesses are counted, priced by reading the registers with and without the core,
and left out.
"""

import json

from labkit.bench import Row, tool

PARTS = ("hash", "fork", "switch")
ROWS = [Row(f"root_{part}", f"root's own work: {part}, launched against bare", "% more", 1.0)
        for part in PARTS] + [
    Row("pause", "pause of the root during the launch, 1 CPU", "ticks of 1 ns", 2_000_000),
    Row("apic", "access to the APIC page by the root", "instructions more", 1000),
    Row("text", "core text", "bytes", 96 * 1024),
]

COMMANDS = """
./rootwork >warm; ./rootwork >bare; ./apicread >>bare
plinth launch >&2 || exit 1
./rootwork >warm; plinth status --json >before; ./rootwork >launched; plinth status --json >after; ./apicread >>launched
for file in bare launched before after; do echo "@$file"; cat $file; echo; done
"""


def measure(sh):
    out = sh(COMMANDS, icount=True, put=[tool("rootwork"), tool("apicread")])
    text = {name: body for name, _, body in (part.partition("\n") for part in out.split("@")[1:])}
    bare, launched = ({key: int(value) for key, value in map(str.split, text[name].split("\n\n")[0].splitlines())}
                      for name in ("bare", "launched"))
    before, after = (json.loads(text[name]) for name in ("before", "after"))
    access = launched["apic"] - bare["apic"]
    accesses = after["root_intercepts"]["apic"] - before["root_intercepts"]["apic"]
    total = sum(launched[part] for part in PARTS)
    numbers = {"pause": after["launch_pause_cycles"], "text": after["core_text"], "apic": access}
    for part in PARTS:
        # The accesses come with the timer's ticks, so they spread over the parts as time does.
        apic = access * accesses * launched[part] / total
        numbers[f"root_{part}"] = round(100 * ((launched[part] - apic) / bare[part] - 1), 3)
    return numbers
