"""The results of a run, as JSON, as Markdown and as pictures."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.experiment import Plan, Result
from chaos.pictures import throughput_picture, unavailability_picture

OPERATIONS = ("append", "upsert", "lookup")
MAX_SHOWN = 300
"""Characters of the text of a violation; all of it is in the JSON."""

TWO = "two at the same time"
CLASSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Bounds of the classes that times without an acknowledgement are counted by."""


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
        "environment": _environment(),
        "operations": {f"{operation} {outcome}": count for (operation, outcome), count in history.operations.items()},
        "calls": {f"{operation} {outcome}": count for (operation, outcome), count in history.calls.items()},
        "errors": {f"{operation} {code}": count for (operation, code), count in sorted(history.errors.items())},
        "faults": len(history.windows),
        "unavailability": {kind: dict(found) for kind, found in sorted(kinds.items())},
        "moves": latencies,
        "throughput": {operation: history.throughput(operation, result.seconds) for operation in OPERATIONS},
        "windows": [window._asdict() for window in history.windows],
        "servers_that_failed": result.failed,
        "high_watermark_regressions": result.regressions,
        "violations": [violation._asdict() for violation in result.violations],
    }


def _environment() -> dict[str, Any]:
    """What repeats a run, beside the seed."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=10", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # the sources of a release have no history
        commit = ""
    return {"commit": commit, "python": platform.python_version(), "cores": os.cpu_count(), "system": platform.system()}


def _percentiles(durations: Sequence[float], parts: Sequence[float] = (0.5, 0.99, 1.0)) -> list[float]:
    """Median, 99 % and maximum, or other parts, seconds, of what is sorted."""
    if not durations:
        return []
    return [round(durations[min(len(durations) - 1, int(len(durations) * part))], 3) for part in parts]


def by_kind(unavailability: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, list[float]]]:
    """Seconds by kind of fault and operation, the shortest first; all pairs of faults are one kind, the last one."""
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind, by_operation in unavailability.items():
        for operation, gaps in by_operation.items():
            found[TWO if " + " in kind else kind][operation] += gaps
    kinds = sorted(found, key=lambda kind: (kind == TWO, kind))
    return {kind: {operation: sorted(gaps) for operation, gaps in found[kind].items()} for kind in kinds}


def pictures(found: Mapping[str, Any]) -> dict[str, str]:
    """Pictures of a :func:`summary` as SVG, by name."""
    name = f"{found['servers']}, seed {found['seed']}"
    return {
        "throughput": throughput_picture(name, found["throughput"], found["windows"], found["seconds"]),
        "unavailability": unavailability_picture(name, by_kind(found["unavailability"]), OPERATIONS),
    }


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


def _waits(unavailability: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """How long nothing was acknowledged: a table by kind of fault, and one by classes of seconds."""
    kinds = by_kind(unavailability)
    lines = [
        "",
        "Longest time without an acknowledgement, of the slowest bucket: median, 90 % and maximum, seconds.",
        "",
        "| fault | times | append | upsert | lookup |",
        "|---|---|---|---|---|",
    ]
    for kind, by_operation in kinds.items():
        cells = [
            ", ".join(f"{value:.2f}" for value in _percentiles(by_operation.get(operation, []), (0.5, 0.9, 1.0)))
            for operation in OPERATIONS
        ]
        lines.append(f"| {kind} | {max(map(len, by_operation.values()))} | " + " | ".join(cells) + " |")
    bounds = [0.0, *CLASSES_S, float("inf")]
    titles = [f"under {CLASSES_S[0]:g} s"]
    titles += [f"{low:g} to {high:g}" for low, high in pairwise(CLASSES_S)]
    titles += [f"{CLASSES_S[-1]:g} and more"]
    lines += ["", "Number of faults by that time:", "", "| operation | " + " | ".join(titles) + " |"]
    lines.append("|" + "---|" * (len(titles) + 1))
    for operation in OPERATIONS:
        gaps = [gap for by_operation in kinds.values() for gap in by_operation.get(operation, [])]
        counts = [sum(low <= gap < high for gap in gaps) for low, high in pairwise(bounds)]
        lines.append(f"| {operation} | " + " | ".join(map(str, counts)) + " |")
    return lines


def markdown(found: dict[str, Any], picture: str = "{}.svg") -> str:
    """The same for people.

    Args:
        found: of :func:`summary`.
        picture: where a picture is, with ``{}`` for its name.
    """
    calls, operations, environment = found["calls"], found["operations"], found["environment"]
    commit = f", commit {environment['commit']}" if environment["commit"] else ""
    lines = [
        f"{found['servers']}, seed {found['seed']}: {found['seconds'] / 60:.1f} minutes, {found['faults']} faults,"
        f" {found['rows']:,} rows and changes in the end, {len(found['violations'])} violations"
        f" ({environment['cores']} cores, Python {environment['python']}{commit}).",
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
        f"![Acknowledged operations per second over time]({picture.format('throughput')})",
        "",
        f"![Longest time without an acknowledgement by kind of fault]({picture.format('unavailability')})",
        *_waits(found["unavailability"]),
    ]
    if found["moves"]:
        lines += _latencies(found["moves"])
    if found["violations"]:
        lines += _violations(found["violations"])
    return "\n".join(lines) + "\n"


def _violations(found: Sequence[Mapping[str, str]]) -> list[str]:
    """How many there were of each kind, and the first of them."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for violation in found:
        by_kind[violation["kind"]].append(" ".join(violation["text"].split()).replace("|", "\\|"))
    lines = ["", "| violation | times | the first one |", "|---|---|---|"]
    for kind, texts in by_kind.items():
        first = texts[0] if len(texts[0]) <= MAX_SHOWN else f"{texts[0][:MAX_SHOWN]}..."
        lines.append(f"| {kind} | {len(texts)} | {first} |")
    return lines


def write(directory: Path, found: dict[str, Any]) -> str:
    """Put a :func:`summary` into a directory, as Markdown with its pictures; returns the Markdown."""
    for name, picture in pictures(found).items():
        (directory / f"{name}.svg").write_text(picture)
    text = markdown(found)
    (directory / "results.md").write_text(text)
    return text


def publish(document: Path, place: str, found: dict[str, Any]) -> None:
    """Put results into a document, see :func:`put_into`; its pictures go to ``assets/`` beside it.

    Raises:
        ValueError: the document has no such place.
    """
    put_into(document, place, markdown(found, f"assets/chaos-{place}-{{}}.svg"))
    assets = document.parent / "assets"
    assets.mkdir(exist_ok=True)
    for name, picture in pictures(found).items():
        (assets / f"chaos-{place}-{name}.svg").write_text(picture)


def put_into(document: Path, place: str, text: str) -> None:
    """Put a text into a document, between ``<!-- results: place -->`` and ``<!-- end of results -->``.

    Raises:
        ValueError: the document has no such place.
    """
    pattern = re.compile(rf"(<!-- results: {re.escape(place)} -->\n).*?(<!-- end of results -->)", re.DOTALL)
    before = document.read_text()
    after, count = pattern.subn(lambda match: f"{match[1]}\n{text}\n{match[2]}", before)
    if count != 1:
        raise ValueError(f"{document} has {count} places for results of {place}")
    document.write_text(after)
