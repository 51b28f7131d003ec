"""What clients did and saw: counted, kept for the checks, and written line by line as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from fluss_server.errors import ErrorCode, FlussError

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"

_CERTAINLY_NOT_DONE = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
        ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION,
        ErrorCode.NOT_ENOUGH_REPLICAS_EXCEPTION,
        ErrorCode.UNSUPPORTED_VERSION,
        ErrorCode.TABLE_NOT_EXIST,
        ErrorCode.DISK_WRITE_LOCKED,
    }
)


def outcome_of(error: FlussError) -> str:
    """Whether a call that failed with an error certainly had no effect (:data:`FAILED`), or may have had one."""
    if error.code in _CERTAINLY_NOT_DONE or isinstance(error.__cause__, OSError):  # it never had a connection
        return FAILED
    return UNKNOWN


class Version(NamedTuple):
    """What a writer wrote under a key.

    Attributes:
        sequence: of the batch.
        value: None = deleted.
        sent: when it was sent first, seconds of the run.
        acknowledged: when; None when it never was.
    """

    sequence: int
    value: str | None
    sent: float
    acknowledged: float | None


class Lookup(NamedTuple):
    """What a lookup found."""

    key: int
    start: float
    end: float
    value: str | None


class Window(NamedTuple):
    """A fault.

    Attributes:
        kind: of fault.
        target: what it hit.
        begin: seconds of the run.
        healed: when it was over.
        end: when everything went on as before, as far as that was waited for.
    """

    kind: str
    target: str
    begin: float
    healed: float
    end: float


class History:
    """Of one run.

    Args:
        file: where every operation goes, as a line of JSON; None = nowhere.

    Attributes:
        calls: by operation and outcome; an operation is repeated until it is acknowledged.
        operations: by operation and outcome.
        errors: by operation and name of the code.
        acknowledged: when operations were acknowledged, by (operation, bucket), in order.
        durations: how long acknowledged operations took, with all their repetitions, and when they ended; by operation.
        windows: the faults.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = None if file is None else file.open("w")
        self.calls: Counter[tuple[str, str]] = Counter()
        self.operations: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.acknowledged: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self.durations: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self.windows: list[Window] = []

    def note_error(self, operation: str, error: FlussError) -> None:
        """A call failed."""
        self.calls[operation, outcome_of(error)] += 1
        self.errors[operation, error.code.name] += 1

    def note_done(self, operation: str, bucket: int, start: float, end: float, outcome: str, **details: Any) -> None:
        """An operation has ended."""
        self.operations[operation, outcome] += 1
        if outcome == OK:
            self.calls[operation, OK] += 1
            self.acknowledged[operation, bucket].append(end)
            self.durations[operation].append((end, end - start))
        self.write({"op": operation, "bucket": bucket, "start": start, "end": end, "outcome": outcome, **details})

    def note_window(self, window: Window) -> None:
        """A fault is over."""
        self.windows.append(window)
        self.write({"fault": window.kind, **{key: value for key, value in window._asdict().items() if key != "kind"}})

    def write(self, line: dict[str, Any]) -> None:
        """Keep a line."""
        if self._file is not None:
            rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in line.items()}
            self._file.write(json.dumps(rounded, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def unavailability(self, operation: str) -> Iterator[tuple[Window, float]]:
        """For every fault: the longest time without an acknowledgement, of the bucket that had the longest."""
        buckets = [times for (name, _), times in self.acknowledged.items() if name == operation]
        for window in self.windows:
            yield window, max((longest_gap(times, window.begin, window.end) for times in buckets), default=0.0)

    def throughput(self, operation: str, seconds: float) -> list[int]:
        """How many operations were acknowledged in each second of a run of so many seconds."""
        counts = [0] * math.ceil(seconds)
        for (name, _), times in self.acknowledged.items():
            for time in times if name == operation else ():
                if time < seconds:
                    counts[int(time)] += 1
        return counts

    def durations_in(self, operation: str, window: Window) -> list[float]:
        """How long the operations took that ended within a window, seconds, the shortest first."""
        return sorted(seconds for end, seconds in self.durations[operation] if window.begin < end <= window.end)


def longest_gap(times: Sequence[float], begin: float, end: float) -> float:
    """The longest time between two acknowledgements that overlaps ``begin`` to ``end``, seconds.

    Without an acknowledgement afterwards it lasts until ``end``.
    """
    before = [time for time in times if time <= begin]
    inside = [time for time in times if begin < time <= end]
    after = [time for time in times if time > end]
    points = [before[-1] if before else begin, *inside, after[0] if after else end]
    return max(later - earlier for earlier, later in pairwise(points))
