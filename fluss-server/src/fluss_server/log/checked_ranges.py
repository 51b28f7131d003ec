"""Which bytes of a segment were checked since it was opened."""

from __future__ import annotations

from typing import NamedTuple

MAX_RANGES = 64


class CheckedRange(NamedTuple):
    """Whole, contiguous batches whose CRCs and offsets were right.

    Attributes:
        start: position of the first batch.
        end: position after the last batch.
        end_offset: offset after the last batch.
    """

    start: int
    end: int
    end_offset: int


class CheckedRanges:
    """The checked parts of one segment, at most :data:`MAX_RANGES`; of too many, the smallest is forgotten.

    Immutable: :meth:`adding` returns a new object, so that readers in other threads need no lock.
    """

    __slots__ = ("_ranges",)

    def __init__(self, ranges: tuple[CheckedRange, ...] = ()) -> None:
        self._ranges = ranges  # disjoint, not even touching, ascending

    def __len__(self) -> int:
        return len(self._ranges)

    def at(self, position: int) -> CheckedRange | None:
        """The range that holds ``position`` or ends there."""
        for found in self._ranges:
            if found.start <= position <= found.end:
                return found
        return None

    def adding(self, added: CheckedRange) -> CheckedRanges:
        """These ranges and another one, merged with those that it overlaps or touches."""
        kept = []
        for other in self._ranges:
            if other.end < added.start or other.start > added.end:
                kept.append(other)
            else:
                last = max(added, other, key=lambda each: each.end)
                added = CheckedRange(min(added.start, other.start), last.end, last.end_offset)
        kept.append(added)
        if len(kept) > MAX_RANGES:
            kept.remove(min(kept, key=lambda each: each.end - each.start))
        return CheckedRanges(tuple(sorted(kept)))
