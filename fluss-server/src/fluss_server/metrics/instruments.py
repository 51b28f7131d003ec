"""What is counted while requests are served: plain attributes, changed by one thread, read by scrapes.

A step costs a tenth of a microsecond; nothing is computed before a scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, fields

TIME_BOUNDS_MS = (
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1_000.0,
    2_000.0,
    5_000.0,
    10_000.0,
    30_000.0,
)
"""Upper bounds of the classes of a :class:`Distribution` of times, in milliseconds."""


class Distribution:
    """How often values fell into classes.

    Attributes:
        counts: per class; the last one has no upper bound.
        total: sum of all values.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(TIME_BOUNDS_MS) + 1)
        self.total = 0.0

    def record(self, milliseconds: float) -> None:
        """Count a value."""
        self.counts[bisect_left(TIME_BOUNDS_MS, milliseconds)] += 1
        self.total += milliseconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper bounds as text, with how many values were at most that; the last bound is ``+Inf``."""
        found, count = [], 0
        for bound, number in zip((*map(str, TIME_BOUNDS_MS), "+Inf"), self.counts, strict=True):
            count += number
            found.append((bound, float(count)))
        return found


class RequestStats:
    """Requests of one API.

    Attributes:
        errors: those that got an error of the whole request.
        request_bytes: bytes of their frames.
        times: milliseconds from the arrival to the response, waiting for data included.
    """

    __slots__ = ("errors", "request_bytes", "times")

    def __init__(self) -> None:
        self.errors = 0
        self.request_bytes = 0
        self.times = Distribution()

    def record(self, size_bytes: int, elapsed_ms: float) -> None:
        """Count a request that has its response."""
        self.request_bytes += size_bytes
        times = self.times  # as Distribution.record does, without the price of a call for every request
        times.counts[bisect_left(TIME_BOUNDS_MS, elapsed_ms)] += 1
        times.total += elapsed_ms

    @property
    def count(self) -> int:
        """Requests that have their responses."""
        return sum(self.times.counts)


@dataclass(slots=True)
class BucketCounters:
    """What happened to one bucket, or, added up, to several.

    Attributes:
        messages_in: rows written by clients; those of a changelog for a primary-key table.
        bytes_in: bytes of the batches that clients sent.
        bytes_out: bytes of log that clients were sent.
        produce_requests: appends; a request counts for each bucket it has.
        failed_produce_requests: those that failed for a reason that lies in the server.
        put_requests: upserts and deletes, counted likewise.
        failed_put_requests: see above.
        fetch_requests: fetches that have their responses.
        lookup_requests: lookups by key.
        prefix_lookup_requests: lookups by prefix.
        limit_scan_requests: reads of the first or newest rows.
        replicated_bytes_in: bytes of log that were fetched from the leader.
    """

    messages_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    produce_requests: int = 0
    failed_produce_requests: int = 0
    put_requests: int = 0
    failed_put_requests: int = 0
    fetch_requests: int = 0
    lookup_requests: int = 0
    prefix_lookup_requests: int = 0
    limit_scan_requests: int = 0
    replicated_bytes_in: int = 0

    def add(self, other: BucketCounters) -> None:
        """Add what happened to another bucket."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
