"""What became of many seeds, and the same for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from simulation.cluster_clients import OPERATIONS

OUTCOMES = ("ok", "failed", "without response")


class Result(NamedTuple):
    """What became of a seed.

    Attributes:
        seed: which.
        problem: what was wrong, None for nothing.
        report: for people: the last steps and the traceback of a problem.
        trace: hash of the first run.
        seconds: of virtual time, of all runs.
        faults: by kind, of all runs.
        counts: of other things, of all runs.
        cpu_s: seconds of a processor, of all runs.
    """

    seed: int
    problem: str | None
    report: str = ""
    trace: str = ""
    seconds: float = 0.0
    faults: Mapping[str, int] = {}
    counts: Mapping[str, int] = {}
    cpu_s: float = 0.0


@dataclass
class Totals:
    """Seeds that were run, each twice.

    Attributes:
        results: the newest of every seed.
    """

    results: dict[int, Result] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """One more; it replaces an earlier one of the same seed."""
        self.results[result.seed] = result

    @property
    def failed(self) -> list[Result]:
        """Seeds with a problem."""
        return [result for result in self.results.values() if result.problem is not None]

    @property
    def hours(self) -> float:
        """Of virtual time."""
        return sum(result.seconds for result in self.results.values()) / 3600

    @property
    def cpu_s(self) -> float:
        """Seconds of a processor for a seed, on average."""
        return sum(result.cpu_s for result in self.results.values()) / max(1, len(self.results))

    @property
    def faults(self) -> Counter[str]:
        """By kind."""
        return _sum(result.faults for result in self.results.values())

    @property
    def counts(self) -> Counter[str]:
        """Of other things."""
        return _sum(result.counts for result in self.results.values())


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


class Record:
    """Results of seeds in a file, a line of JSON for each, so that a long run can be continued.

    Args:
        path: of the file, which is made by the first result.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Result]:
        """What is in the file, oldest first."""
        if not self._path.exists():
            return []
        return [Result(**json.loads(line)) for line in self._path.read_text().splitlines()]

    def add(self, result: Result) -> None:
        """Append a result."""
        with self._path.open("a") as file:
            file.write(json.dumps(result._asdict()) + "\n")


class PlantedBug(NamedTuple):
    """In how many seeds a planted bug was found.

    Attributes:
        name: of the bug.
        found: what each seed said that found it.
        seeds: that were tried.
    """

    name: str
    found: Mapping[int, str]
    seeds: int


def markdown(totals: Totals, *, date: str, commit: str, run: str) -> str:
    """The section of the report about seeds.

    Args:
        totals: of the seeds.
        date: of the run.
        commit: that was run.
        run: how fast it was, on what.
    """
    counts, faults, failed = totals.counts, totals.faults, totals.failed
    seeds = sorted(totals.results)
    lines = [
        f"{date}, commit {commit}: {len(seeds):,} seeds from {seeds[0]} to {seeds[-1]}, each twice; {run},"
        f" {totals.cpu_s:.1f} s of a processor for each seed. {totals.hours:.1f} simulated hours,"
        f" {faults.total():,} faults, {counts['checks']:,} checks, {counts['acknowledged rows']:,} acknowledged rows,"
        f" {counts['promoted standby replicas']:,} standby replicas that were promoted, {len(failed)} violations. Both"
        f" runs of every {'other ' if failed else ''}seed had the same trace hash.",
        "",
        "| calls of clients | ok | failed | without response |",
        "|---|---|---|---|",
    ]
    for operation in OPERATIONS.values():
        cells = [f"{counts[f'{operation} {outcome}']:,}" for outcome in OUTCOMES]
        lines.append(f"| {operation} | " + " | ".join(cells) + " |")
    lines += ["", "| fault | times |", "|---|---|"]
    lines += [f"| {kind} | {count:,} |" for kind, count in faults.most_common()]
    if failed:
        lines += ["", "Violations:", "", *(f"* seed {result.seed}: {result.problem}" for result in failed)]
    return "\n".join(lines) + "\n"


def planted_markdown(bugs: Sequence[PlantedBug], *, date: str, commit: str) -> str:
    """The section of the report about planted bugs."""
    lines = [f"{date}, commit {commit}.", "", "| bug | found in | by, for example |", "|---|---|---|"]
    for bug in bugs:
        seed, said = next(iter(bug.found.items()), (None, "not found"))
        example = said if seed is None else f"seed {seed}: {said.removeprefix('AssertionError: ')}"
        lines.append(f"| {bug.name} | {len(bug.found)} of {bug.seeds} seeds | {example.replace('|', ' ')} |")
    return "\n".join(lines) + "\n"


def summary(totals: Totals) -> list[str]:
    """Some lines for the terminal."""
    counts: dict[str, Any] = dict(totals.counts)
    return [
        f"{totals.cpu_s:.1f} s of a processor for each seed",
        ", ".join([f"{totals.hours:.1f} simulated hours", *(f"{count} {name}" for name, count in counts.items())]),
        "faults: " + ", ".join(f"{count} {kind}" for kind, count in totals.faults.most_common()),
        f"failed seeds: {', '.join(str(result.seed) for result in totals.failed) or 'none'}",
    ]
