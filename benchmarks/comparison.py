"""Lines of the comparison: figures of each side, what is asked of ours, and the Markdown table of all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from support import median


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run found; None where the work has no such figure.

    Attributes:
        rate: rows or lookups per second.
        cpu: CPU seconds of the server per million rows or lookups.
        value: seconds or megabytes, where that is the whole figure.
    """

    rate: float | None = None
    cpu: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    value: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.rate is not None:
            parts.append(f"{_quantity(self.rate)}/s")
        if self.p50_ms is not None and self.p99_ms is not None:
            parts.append(f"p50 {self.p50_ms:.2f} p99 {self.p99_ms:.2f} ms")
        if self.cpu is not None:
            parts.append(f"{self.cpu:.2f} CPU s/M")
        if self.value is not None:
            parts.append(f"{self.value:.3g}" if self.value < 100 else f"{self.value:.0f}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of ratios ours : official; ``rate`` from below, the others from above. ``limit`` bounds ours itself."""

    text: str
    rate: float | None = None
    cpu: float | None = None
    p50: float | None = None
    p99: float | None = None
    value: float | None = None
    limit: float | None = None

    def missed(self, ours: Figures, official: Figures) -> list[str]:
        """Names of the bounds that do not hold; ratios count as they are printed."""
        missed = []
        checks = (
            ("rate", self.rate, ours.rate, official.rate),
            ("CPU", self.cpu, ours.cpu, official.cpu),
            ("p50", self.p50, ours.p50_ms, official.p50_ms),
            ("p99", self.p99, ours.p99_ms, official.p99_ms),
            ("", self.value, ours.value, official.value),
        )
        for name, bound, own, other in checks:
            if bound is None or own is None or other is None:
                continue
            ratio = own / max(other, 1e-9)
            if ratio < bound - 0.005 if name == "rate" else ratio > bound + 0.0005:
                missed.append(name)
        if self.limit is not None and ours.value is not None and ours.value > self.limit:
            missed.append("")
        return missed


@dataclass(slots=True)
class Line:
    """One line of the table and the figures of its runs."""

    name: str
    unit: str
    target: Target | None
    runs: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, side: str, *figures: Figures) -> None:
        """Figures of runs of a side."""
        self.runs.setdefault(side, []).extend(figures)

    def of(self, side: str) -> Figures:
        """Medians of a side."""
        runs = self.runs[side]

        def middle(get: Callable[[Figures], float | None]) -> float | None:
            values = [value for value in map(get, runs) if value is not None]
            return median(values) if values else None

        return Figures(
            middle(lambda run: run.rate),
            middle(lambda run: run.cpu),
            middle(lambda run: run.p50_ms),
            middle(lambda run: run.p99_ms),
            middle(lambda run: run.value),
        )


def report(title: str, lines: Sequence[Line], *, official: str, ours: str, unsynced: str) -> str:
    """The Markdown table: the sides, the ratios of both of ours, the targets, and whether the default meets them."""
    header = [
        "work",
        "official (page cache)",
        "ours (fsync)",
        "ours (no fsync)",
        "rate or time, ours : official (no fsync)",
        "CPU, ours : official (no fsync)",
        "target",
        "",
    ]
    out = [f"### {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    met = 0
    for line in lines:
        theirs, own, fast = line.of(official), line.of(ours), line.of(unsynced)
        missed = line.target.missed(own, theirs) if line.target else []
        met += not missed
        verdict = "met" if not missed else f"**missed** {', '.join(filter(None, missed))}".rstrip()
        name = line.name if line.unit.endswith("/s") or line.unit == "ms" else f"{line.name} ({line.unit})"
        cells = [
            name,
            str(theirs),
            str(own),
            str(fast),
            f"{_main_ratio(own, theirs)} ({_main_ratio(fast, theirs)})",
            f"{ratio(own.cpu, theirs.cpu)} ({ratio(fast.cpu, theirs.cpu)})" if own.cpu is not None else "",
            line.target.text if line.target else "",
            verdict,
        ]
        out.append("| " + " | ".join(cells) + " |")
    out += [
        "",
        f"{met} of {len(lines)} targets met, with the default durability (fsync before a write is acknowledged).",
        "",
    ]
    return "\n".join(out)


def _main_ratio(own: Figures, theirs: Figures) -> str:
    if own.p50_ms is not None:
        return f"p50 {ratio(own.p50_ms, theirs.p50_ms)} p99 {ratio(own.p99_ms, theirs.p99_ms)}"
    if own.rate is not None:
        return ratio(own.rate, theirs.rate)
    return ratio(own.value, theirs.value)


def ratio(own: float | None, theirs: float | None) -> str:
    """Own : theirs, or - where one of them is missing."""
    if own is None or theirs is None or theirs == 0:
        return "-"
    quotient = own / theirs
    return f"{quotient:.2f}" if quotient >= 0.1 else f"{quotient:.3f}"


def _quantity(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.0f} k"
    return f"{value:,.0f}"
