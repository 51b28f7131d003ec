"""Where the newest batches of the active segment start."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

_KEEP = 256


class TailPositions:
    """Base offset and position of each of the newest 256 to 511 batches, without gaps.

    Readers near the end, which are most of them, find their batches here and read no headers. One thread adds; others
    may search at the same time (see :class:`~fluss_server.log.offset_index.OffsetIndex`).
    """

    def __init__(self) -> None:
        self._columns = (array("q"), array("q"))  # base offsets, positions

    def add(self, base_offset: int, position: int) -> None:
        """Add a batch after all others."""
        offsets, positions = self._columns
        if len(offsets) == 2 * _KEEP - 1:
            offsets, positions = offsets[-_KEEP + 1 :], positions[-_KEEP + 1 :]
            positions.append(position)
            offsets.append(base_offset)
            self._columns = (offsets, positions)
        else:
            positions.append(position)
            offsets.append(base_offset)

    def at_or_before(self, offset: int) -> tuple[int, int] | None:
        """(base offset, position) of the batch that holds ``offset``, which must be in the segment; None if too old."""
        offsets, positions = self._columns
        index = bisect_right(offsets, offset) - 1
        return (offsets[index], positions[index]) if index >= 0 else None

    def within(self, position: int, offset: int) -> tuple[int, int] | None:
        """(base offset, position) of the last batch that starts neither after ``position`` nor after ``offset``."""
        offsets, positions = self._columns
        index = min(bisect_right(positions, position), bisect_right(offsets, offset)) - 1
        return (offsets[index], positions[index]) if index >= 0 else None

    def truncate(self, size: int) -> None:
        """Drop batches that start at position ``size`` or after it."""
        offsets, positions = self._columns
        count = bisect_left(positions, size)
        self._columns = (offsets[:count], positions[:count])
