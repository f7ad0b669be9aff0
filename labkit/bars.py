# SPDX-License-Identifier: GPL-2.0-only
"""A picture of numbers of very different sizes: groups of bars on logarithmic scales, as SVG."""

import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH, LABEL, RIGHT = 920, 250, 70
BAR, GAP, TITLE, SCALE, LEGEND = 13, 12, 34, 24, 26
COLOURS = ("#c9ced6", "#a9b1bd", "#8a94a3", "#e0a458", "#1f6f8b", "#63b3ce")
GOAL = "#c0392b"


@dataclasses.dataclass
class Panel:
    """One scale, from `low` to `high`, and its groups: (label, {name: number or None}, goal or None)."""
    title: str
    low: float
    high: float
    groups: list


def _text(x, y, text, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>'


def _rect(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _line(x, top, bottom, colour, width):
    return f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class _Scale:
    def __init__(self, panel):
        self.low, self.high = math.log10(panel.low), math.log10(panel.high)

    def at(self, value):
        """Where on the picture; what is below the scale is at its begin."""
        part = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else 0
        return LABEL + max(0, min(1, part)) * (WIDTH - LABEL - RIGHT)

    def ticks(self):
        return [10 ** n for n in range(math.ceil(self.low), math.floor(self.high) + 1)]


def _group(out, scale, y, names, label, numbers, goal):
    """The bars of one group from `y` down; where they end."""
    there = [name for name in names if numbers.get(name) is not None]
    bottom = y + BAR * len(there)
    out.append(_text(LABEL - 8, (y + bottom) / 2 + 4, label, ' text-anchor="end"'))
    for name in there:
        end = scale.at(numbers[name])
        out.append(_rect(LABEL, y, max(end - LABEL, 1), BAR - 2, COLOURS[names.index(name)]))
        out.append(_text(end + 4, y + BAR - 3, _number(numbers[name]), ' class="n"'))
        y += BAR
    if goal is not None:
        out.append(_line(scale.at(goal), bottom - BAR * len(there) - 3, bottom + 2, GOAL, 2))
    return bottom


def _panel(out, panel, y, names):
    scale = _Scale(panel)
    out.append(_text(12, y + 20, panel.title, ' class="t"'))
    y += TITLE
    body, top = [], y
    for group in panel.groups:
        y = _group(body, scale, y, names, *group) + GAP
    for tick in scale.ticks():
        out.append(_line(scale.at(tick), top - 4, y - GAP + 4, "#e3e6ea", 1))
        out.append(_text(scale.at(tick), y + 6, f"{tick:,.10g}", ' class="n" text-anchor="middle"'))
    out += body
    return y + SCALE


def _legend(out, names, y):
    x = 12
    for name, colour in zip((*names, "to reach"), (*COLOURS[:len(names)], GOAL)):
        out.append(_rect(x, y + 4, 11, 11, colour) if name != "to reach" else _line(x + 5, y + 3, y + 16, colour, 2))
        out.append(_text(x + 16, y + 14, name))
        x += 36 + 6.6 * len(name)
    return y + LEGEND


def svg(names, panels):
    """The panels below each other, with the bars of a group in the order of `names`, one colour each."""
    out = []
    y = _legend(out, names, 8)
    for panel in panels:
        y = _panel(out, panel, y, names)
    style = "text{font:12px sans-serif;fill:#222}.n{font-size:10.5px;fill:#444}.t{font-weight:bold;font-size:13px}"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">',
                      f"<style>{style}</style>", _rect(0, 0, WIDTH, y, "#fff"), *out, "</svg>", ""])
