"""The results of a run, as JSON and as Markdown."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos.experiment import Plan, Result

OPERATIONS = ("append", "upsert", "lookup")


def summary(name: str, plan: Plan, result: Result) -> dict[str, Any]:
    """Everything that is published of a run, ready for JSON."""
    history = result.history
    kinds: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for operation in OPERATIONS:
        for window, gap in history.unavailability(operation):
            kinds[window.kind][operation].append(round(gap, 3))
    latencies = {
        window.kind: {
            "seconds": round(window.end - window.begin, 1),
            "moves": result.moves[window.kind],
            **{operation: _percentiles(history.durations_in(operation, window)) for operation in OPERATIONS},
        }
        for window in history.windows
        if window.kind in result.moves
    }
    return {
        "servers": name,
        "seed": plan.seed,
        "seconds": round(result.seconds, 1),
        "rows": result.rows,
        "operations": {f"{operation} {outcome}": count for (operation, outcome), count in history.operations.items()},
        "calls": {f"{operation} {outcome}": count for (operation, outcome), count in history.calls.items()},
        "errors": {f"{operation} {code}": count for (operation, code), count in sorted(history.errors.items())},
        "faults": len(history.windows),
        "unavailability": {kind: dict(found) for kind, found in sorted(kinds.items())},
        "moves": latencies,
        "windows": [window._asdict() for window in history.windows],
        "servers_that_failed": result.failed,
        "high_watermark_regressions": result.regressions,
        "violations": [violation._asdict() for violation in result.violations],
    }


def _percentiles(durations: Sequence[float]) -> list[float]:
    """Median, 99 % and maximum, seconds, of what is sorted."""
    if not durations:
        return []
    return [round(durations[min(len(durations) - 1, int(len(durations) * part))], 3) for part in (0.5, 0.99, 1.0)]


def _latencies(moves: dict[str, Any]) -> list[str]:
    """The table of operations while replicas moved."""
    lines = [
        "",
        "Acknowledged operations while replicas moved, with all their repetitions, seconds: median, 99 % and maximum.",
        "",
        "| phase | seconds | buckets moved | append | upsert | lookup |",
        "|---|---|---|---|---|---|",
    ]
    for phase, row in moves.items():
        cells = [", ".join(f"{value:.3f}" for value in row[operation]) for operation in OPERATIONS]
        lines.append(f"| {phase} | {row['seconds']:.1f} | {row['moves']} | " + " | ".join(cells) + " |")
    return lines


def markdown(found: dict[str, Any]) -> str:
    """The same for people."""
    calls, operations = found["calls"], found["operations"]
    lines = [
        f"{found['servers']}, seed {found['seed']}: {found['seconds'] / 60:.1f} minutes, {found['faults']} faults,"
        f" {found['rows']:,} rows and changes in the end, {len(found['violations'])} violations.",
        "",
        "| operation | acknowledged | unknown | calls ok | calls failed | calls with unknown outcome |",
        "|---|---|---|---|---|---|",
    ]
    for operation in (*OPERATIONS, "read"):
        cells = [operations.get(f"{operation} {outcome}", 0) for outcome in ("ok", "unknown")]
        cells += [calls.get(f"{operation} {outcome}", 0) for outcome in ("ok", "failed", "unknown")]
        lines.append(f"| {operation} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    lines += [
        "",
        f"Servers that ended by themselves: {sum(found['servers_that_failed'].values())}. High watermarks that were"
        f" smaller than before: {found['high_watermark_regressions']}.",
        "",
        "Longest time without an acknowledgement, of the bucket that had the longest, seconds: median and maximum.",
        "",
        "| fault | times | append | upsert | lookup |",
        "|---|---|---|---|---|",
    ]
    for kind, by_operation in found["unavailability"].items():
        cells = [
            f"{statistics.median(gaps):.2f}, {max(gaps):.2f}" if (gaps := by_operation.get(operation)) else ""
            for operation in OPERATIONS
        ]
        lines.append(f"| {kind} | {max(map(len, by_operation.values()))} | " + " | ".join(cells) + " |")
    if found["moves"]:
        lines += _latencies(found["moves"])
    if found["violations"]:
        lines += ["", "Violations:", ""]
        lines += [f"* {violation['kind']}: {violation['text']}" for violation in found["violations"]]
    return "\n".join(lines) + "\n"


def publish(document: Path, place: str, text: str) -> None:
    """Put results into a document, between ``<!-- results: place -->`` and ``<!-- end of results -->``.

    Raises:
        ValueError: the document has no such place.
    """
    pattern = re.compile(rf"(<!-- results: {re.escape(place)} -->\n).*?(<!-- end of results -->)", re.DOTALL)
    before = document.read_text()
    after, count = pattern.subn(lambda found: f"{found[1]}\n{text}\n{found[2]}", before)
    if count != 1:
        raise ValueError(f"{document} has {count} places for results of {place}")
    document.write_text(after)
