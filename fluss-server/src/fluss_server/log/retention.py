"""Which segments of a log are older than its table keeps them.

Rules (docs/log-tables.md, without remote storage): segments go from the oldest on and as a whole, when
their newest batch is older than the time to live. The active segment stays, however old it is, unless it is sealed for
this purpose, which needs ``log.retention.roll-active-segment.enabled``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SegmentAge(NamedTuple):
    """What retention knows of a segment.

    Attributes:
        next_offset: offset after its last batch.
        max_timestamp: commit timestamp of its newest batch, epoch milliseconds; -1 if it has none.
    """

    next_offset: int
    max_timestamp: int


def is_expired(segment: SegmentAge, now_ms: int, ttl_ms: int) -> bool:
    """Whether everything in the segment is older than ``ttl_ms``; never with a time to live of 0."""
    return ttl_ms > 0 and now_ms - segment.max_timestamp > ttl_ms


def count_expired(sealed: Sequence[SegmentAge], *, now_ms: int, ttl_ms: int, limit: int) -> int:
    """How many segments may be deleted.

    Args:
        sealed: the segments of the log in order, without the active one.
        now_ms: epoch milliseconds.
        ttl_ms: time to live; 0 = unlimited.
        limit: offset; batches from here on are still needed.
    """
    count = 0
    for segment in sealed:
        if segment.next_offset > limit or not is_expired(segment, now_ms, ttl_ms):
            break
        count += 1
    return count
