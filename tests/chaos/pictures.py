"""Pictures of a run as SVG: throughput over time, and how long buckets were unavailable by kind of fault."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Gaps = Mapping[str, Mapping[str, Sequence[float]]]
"""Seconds without an acknowledgement, by kind of fault and operation."""

WIDTH = 900
SHORTEST_S, LONGEST_S = 0.05, 200.0
"""Ends of the axis of seconds; the same in all pictures, so that they can be compared."""

_MAX_POINTS = 600
_LEFT, _RIGHT = 190, 20
_PANEL, _GAP, _ROW = 110, 26, 22
_TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_CLASSES = "abc"
_STYLE = """<style>
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2933 }
  .s { font-size: 11.5px; fill: #52606d } .axis { stroke: #9aa5b1; fill: none } .grid { stroke: #e4e7eb; fill: none }
  .fault { fill: #f3c6c0 } .line { fill: none; stroke-width: 1.2 } .dot { fill-opacity: 0.65 }
  .line.a { stroke: #00796b } .line.b { stroke: #d9660a } .line.c { stroke: #3565af }
  .dot.a { fill: #00796b } .dot.b { fill: #d9660a } .dot.c { fill: #3565af }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .s { fill: #b8c2cc } .axis { stroke: #7b8794 } .grid { stroke: #3a4049 }
    .fault { fill: #5c3430 }
    .line.a { stroke: #4db6ac } .line.b { stroke: #ffb74d } .line.c { stroke: #82aaff }
    .dot.a { fill: #4db6ac } .dot.b { fill: #ffb74d } .dot.c { fill: #82aaff }
  }
</style>"""


def throughput_picture(
    name: str, counts: Mapping[str, Sequence[int]], windows: Sequence[Mapping[str, Any]], seconds: float
) -> str:
    """Acknowledged operations per second over the time of a run, with its faults behind them.

    Args:
        name: of the servers.
        counts: acknowledged operations by operation, one number per second of the run.
        windows: faults, with ``begin`` and ``healed`` in seconds of the run.
        seconds: length of the run.
    """
    step = max(1, math.ceil(seconds / _MAX_POINTS))
    height = len(counts) * (_PANEL + _GAP) + 40
    scale = (WIDTH - 60 - _RIGHT) / max(seconds, 1e-9)
    title = f"{name}: acknowledged operations per second, means of {step} s; bars are faults"
    lines = list(_head(height, title))
    for number, (operation, each) in enumerate(counts.items()):
        top = 34 + number * (_PANEL + _GAP)
        bottom = top + _PANEL
        rates = [sum(each[at : at + step]) / step for at in range(0, len(each), step)]
        highest = max([*rates, 1.0])
        for window in windows:
            begin, wide = 60 + window["begin"] * scale, max(1.0, (window["healed"] - window["begin"]) * scale)
            lines.append(f'<rect class="fault" x="{begin:.1f}" y="{top}" width="{wide:.1f}" height="{_PANEL}"/>')
        points = (
            f"{60 + (at + 0.5) * step * scale:.1f},{bottom - rate / highest * _PANEL:.1f}"
            for at, rate in enumerate(rates)
        )
        lines += [
            f'<path class="axis" d="M60 {top}V{bottom}H{WIDTH - _RIGHT}"/>',
            f'<text class="s" x="54" y="{top + 10}" text-anchor="end">{highest:,.0f}</text>',
            f'<text class="s" x="54" y="{bottom}" text-anchor="end">0</text>',
            f'<polyline class="line {_CLASSES[number]}" points="{" ".join(points)}"/>',
            f'<text class="s" x="66" y="{top - 4}">{escape(operation)}</text>',
        ]
    lines += _minutes(seconds, scale, height)
    return "\n".join([*lines, "</svg>"]) + "\n"


def unavailability_picture(name: str, gaps: Gaps, operations: Sequence[str]) -> str:
    """One point for each fault: the longest time without an acknowledgement, on a logarithmic axis.

    Args:
        name: of the servers.
        gaps: by kind of fault and operation.
        operations: the order of the points of a kind, and of the colours.
    """
    bottom = 62 + len(gaps) * _ROW
    lines = list(_head(bottom + 30, f"{name}: longest time without an acknowledgement, one point for each fault"))
    for number, operation in enumerate(operations):
        left = _LEFT + 130 * number
        lines.append(f'<circle class="dot {_CLASSES[number]}" cx="{left}" cy="38" r="5"/>')
        lines.append(f'<text class="s" x="{left + 10}" y="42">{escape(operation)}</text>')
    for tick in _TICKS_S:
        x = _position(tick)
        lines.append(f'<path class="grid" d="M{x:.1f} 54V{bottom}"/>')
        lines.append(f'<text class="s" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g} s</text>')
    for row, (kind, by_operation) in enumerate(gaps.items()):
        top = 58 + row * _ROW
        lines.append(f'<text class="s" x="{_LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(kind)}</text>')
        for number, operation in enumerate(operations):
            y = top + 4 + number * (_ROW - 8) / max(1, len(operations) - 1)
            lines += [
                f'<circle class="dot {_CLASSES[number]}" cx="{_position(gap):.1f}" cy="{y:.1f}" r="3.2"/>'
                for gap in by_operation.get(operation, ())
            ]
    lines.append(f'<path class="axis" d="M{_LEFT} 54V{bottom}H{WIDTH - _RIGHT}"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _position(seconds: float) -> float:
    inside = min(max(seconds, SHORTEST_S), LONGEST_S)
    share = math.log(inside / SHORTEST_S) / math.log(LONGEST_S / SHORTEST_S)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _head(height: int, title: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img">'
    )
    yield f"<title>{escape(title)}</title>"
    yield _STYLE
    yield f'<text x="10" y="16">{escape(title)}</text>'


def _minutes(seconds: float, scale: float, height: int) -> Iterator[str]:
    """Marks of the axis of time."""
    step_s = next(step for step in (10, 30, 60, 300, 600, 3_600, 36_000) if seconds / step <= 12 or step == 36_000)
    for at in range(0, int(seconds) + 1, step_s):
        label = f"{at} s" if step_s < 60 else f"{at // 60} min"
        yield f'<text class="s" x="{60 + at * scale:.1f}" y="{height - 8}" text-anchor="middle">{label}</text>'
