"""What must be true of what clients did and saw. Pure: histories in, violations out.

Rows of log tables are numbered, each number is written once. Under each key of a primary-key table writes one client,
one version after the other, and every value names its version and the one before it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from chaos.history import Lookup, Version
from fluss_server.formats.log_batch import ChangeType

SHOWN = 5
"""Examples in the text of a violation."""


class Violation(NamedTuple):
    """Something that must not be.

    Attributes:
        kind: of violation.
        text: what and where.
    """

    kind: str
    text: str


class Row(NamedTuple):
    """A row of a log.

    Attributes:
        offset: in its bucket.
        change: what it says about its key.
        id: number or key.
        value: its text.
    """

    offset: int
    change: int
    id: int
    value: str | None


def check_log(
    bucket: int, rows: Sequence[Row], acknowledged: Iterable[Sequence[int]], sent: set[int]
) -> Iterator[Violation]:
    """Acknowledged rows are there exactly once and in the order of their writer, and others were at least sent.

    Args:
        bucket: for the texts.
        rows: everything that is in the log in the end.
        acknowledged: numbers of rows by writer, in the order of the acknowledgements.
        sent: numbers of all rows that were sent.
    """
    counts = Counter(row.id for row in rows)
    positions = {row.id: row.offset for row in rows}
    if phantoms := [number for number in counts if number not in sent]:
        yield Violation("phantom", f"bucket {bucket}: rows that nobody has written: {phantoms[:SHOWN]}")
    if twice := [number for number, count in counts.items() if count > 1]:
        yield Violation("duplicate", f"bucket {bucket}: {len(twice)} rows are there twice: {twice[:SHOWN]}")
    for numbers in acknowledged:
        if lost := [number for number in numbers if number not in positions]:
            yield Violation("lost write", f"bucket {bucket}: {len(lost)} acknowledged rows are lost: {lost[:SHOWN]}")
        offsets = [positions[number] for number in numbers if number in positions]
        if wrong := [second for first, second in pairwise(offsets) if second < first]:
            yield Violation("order", f"bucket {bucket}: rows of a writer are not in its order at {wrong[:SHOWN]}")


def check_seen(bucket: str, seen: Sequence[Row], final: Sequence[Row]) -> Iterator[Violation]:
    """What a reader has seen while it followed the log is what is there in the end: one row per offset, none left out.

    Args:
        bucket: for the texts.
        seen: by the reader, from the beginning of the log.
        final: the whole log.
    """
    there = {row.offset: row for row in final}
    if wrong := [(row, there.get(row.offset)) for row in seen if there.get(row.offset) != row]:
        yield Violation(
            "inconsistent offset", f"bucket {bucket}: {len(wrong)} rows that were read changed: {wrong[:SHOWN]}"
        )
    read = {row.offset for row in seen}
    end = seen[-1].offset if seen else -1
    if skipped := [row.offset for row in final if row.offset <= end and row.offset not in read]:
        yield Violation("poll skip", f"bucket {bucket}: a reader has not seen the offsets {skipped[:SHOWN]}")


def check_changelog(bucket: int, rows: Sequence[Row], versions: Mapping[int, Sequence[Version]]) -> Iterator[Violation]:
    """The changelog of every key has exactly the changes that its versions make, with the rows before them.

    Args:
        bucket: for the texts.
        rows: the whole changelog.
        versions: what was written to this bucket, by key.
    """
    events: defaultdict[int, list[tuple[int, str | None]]] = defaultdict(list)
    for row in rows:
        events[row.id].append((row.change, row.value))
    if phantoms := [key for key in events if key not in versions]:
        yield Violation("phantom", f"bucket {bucket}: keys that nobody has written: {phantoms[:SHOWN]}")
    for key, written in versions.items():
        certain = [version for version in written if version.acknowledged is not None]
        possible = [changes_of(certain), changes_of(written)]
        found = events.get(key, [])
        if found not in possible:
            expected = possible[0]
            at = next(
                (at for at, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]),
                min(len(found), len(expected)),
            )
            kind = "lost write" if len(found) < len(expected) else "changelog"
            yield Violation(
                kind,
                f"bucket {bucket}: change {at} of key {key} is {found[at : at + 2]}, not {expected[at : at + 2]};"
                f" {len(found)} changes, not {len(expected)}",
            )


def changes_of(versions: Iterable[Version]) -> list[tuple[int, str | None]]:
    """Change types and rows that versions of one key make."""
    changes: list[tuple[int, str | None]] = []
    current: str | None = None
    for version in versions:
        if version.value is None:
            if current is not None:
                changes.append((ChangeType.DELETE, current))
        elif current is None:
            changes.append((ChangeType.INSERT, version.value))
        else:
            changes += [(ChangeType.UPDATE_BEFORE, current), (ChangeType.UPDATE_AFTER, version.value)]
        current = version.value
    return changes


def state_of(rows: Iterable[Row]) -> dict[int, str | None]:
    """The rows of a table after its changelog, by key."""
    state: dict[int, str | None] = {}
    for row in rows:
        if row.change == ChangeType.DELETE:
            state.pop(row.id, None)
        elif row.change != ChangeType.UPDATE_BEFORE:
            state[row.id] = row.value
    return state


def check_lookups(lookups: Iterable[Lookup], versions: Mapping[int, Sequence[Version]]) -> Iterator[Violation]:
    """Lookups are linearizable with the writes of each key's only writer.

    A lookup finds a version that is not older than the newest one acknowledged before it began, nor than one that an
    earlier lookup has found, and not newer than the newest one that was sent before it ended.
    """
    by_key: defaultdict[int, list[Lookup]] = defaultdict(list)
    for lookup in lookups:
        by_key[lookup.key].append(lookup)
    for key, found in by_key.items():
        yield from _check_key(key, found, versions.get(key, ()))


def _check_key(key: int, lookups: list[Lookup], written: Sequence[Version]) -> Iterator[Violation]:
    versions = [Version(-1, None, 0.0, 0.0), *written]
    lowest = 0
    ended: list[tuple[float, int]] = []
    for lookup in sorted(lookups, key=lambda each: each.start):
        while ended and ended[0][0] <= lookup.start:
            lowest = max(lowest, heapq.heappop(ended)[1])
        while lowest + 1 < len(versions) and _is_acknowledged(versions[lowest + 1], lookup.start):
            lowest += 1
        possible = [
            number for number in range(lowest, len(versions)) if number == 0 or versions[number].sent <= lookup.end
        ]
        fitting = [number for number in possible if versions[number].value == lookup.value]
        if fitting:
            heapq.heappush(ended, (lookup.end, fitting[0]))
            continue
        known = [number for number, version in enumerate(versions) if version.value == lookup.value]
        kind = "phantom" if not known else ("stale lookup" if known[0] < lowest else "lookup of the future")
        yield Violation(
            kind,
            f"key {key}: a lookup from {lookup.start:.3f} s to {lookup.end:.3f} s found {lookup.value!r}, possible are"
            f" {[versions[number].value for number in possible][:SHOWN]}",
        )


def _is_acknowledged(version: Version, time: float) -> bool:
    return version.acknowledged is not None and version.acknowledged <= time


def log_files(directory: Path) -> dict[str, bytes]:
    """The content of every bucket's log in the data directory of a server, by table and bucket."""
    return {
        f"{log.parent.name}/{log.name}": b"".join(segment.read_bytes() for segment in sorted(log.glob("*.log")))
        for log in sorted(directory.glob("**/log-*"))
        if log.is_dir()
    }


def check_replicas(directories: Mapping[str, Path], tables: Iterable[str]) -> Iterator[Violation]:
    """All replicas of a bucket have the same bytes.

    Args:
        directories: of the servers' data, by server.
        tables: names of the directories of the tables that are replicated on all of them.
    """
    contents = {name: log_files(path) for name, path in directories.items()}
    wanted = set(tables)
    logs = {log for found in contents.values() for log in found if log.partition("/")[0] in wanted}
    if not logs:
        yield Violation("replicas differ", f"no log of {sorted(wanted)} was found")
    for log in sorted(logs):
        bodies = {name: found.get(log) for name, found in contents.items()}
        if len(set(bodies.values())) > 1:
            sizes = {name: None if body is None else len(body) for name, body in bodies.items()}
            yield Violation("replicas differ", f"{log}: the replicas differ, bytes: {sizes}")
