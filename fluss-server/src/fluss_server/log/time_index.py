"""The time index of a segment: from commit timestamps to offsets."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from operator import le, lt

_SWAP = sys.byteorder == "little"
_HIGH, _LOW = (1, 0) if _SWAP else (0, 1)  # halves of a native 64-bit number
_MAX_RELATIVE = 2**31 - 1


class TimeIndex:
    """Sparse map from commit timestamps to base offsets of batches.

    File format (``{base:020d}.timeindex``): entries of 12 bytes, big-endian, timestamps strictly ascending:

    ======  ====  ===========================================================================================
    offset  size  field
    ======  ====  ===========================================================================================
    0       8     largest commit timestamp so far, epoch milliseconds, int64
    8       4     base offset of the first batch with that timestamp minus the base offset of the segment, int32
    ======  ====  ===========================================================================================

    An entry is added with each entry of the offset index, and when the segment is closed, if the timestamp has grown.
    Commit timestamps never decrease in a log, so that all batches before an entry's batch are older than it.

    This class does no I/O. One thread adds; others may search at the same time (see :class:`OffsetIndex`).
    """

    ENTRY_BYTES = 12

    def __init__(self, base_offset: int, max_bytes: int) -> None:
        self.base_offset = base_offset
        self._max_entries = max_bytes // self.ENTRY_BYTES
        self._columns = (array("q"), array("I"))  # timestamps, relative base offsets

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def is_full(self) -> bool:
        """Whether there is space only for the entry that closes the segment."""
        return len(self) >= self._max_entries - 1

    @property
    def free_entries(self) -> int:
        """How many entries can be added before it is full."""
        return self._max_entries - 1 - len(self)

    def add(self, timestamp: int, offset: int) -> None:
        """Add an entry after all others; nothing happens when the timestamp has not grown."""
        timestamps, offsets = self._columns
        if not timestamps or timestamp > timestamps[-1]:
            offsets.append(offset - self.base_offset)
            timestamps.append(timestamp)

    def at_or_before(self, timestamp: int) -> tuple[int, int] | None:
        """(timestamp, offset) of the last entry that is not newer than ``timestamp``."""
        timestamps, offsets = self._columns
        index = bisect_right(timestamps, timestamp) - 1
        return (timestamps[index], offsets[index] + self.base_offset) if index >= 0 else None

    @property
    def last(self) -> tuple[int, int] | None:
        """(timestamp, offset) of the newest entry."""
        timestamps, offsets = self._columns
        return (timestamps[-1], offsets[-1] + self.base_offset) if timestamps else None

    def truncate(self, offset: int) -> None:
        """Drop entries of batches that start at ``offset`` or after it."""
        timestamps, offsets = self._columns
        count = bisect_left(offsets, offset - self.base_offset)
        self._columns = (timestamps[:count], offsets[:count])

    def encode(self, first: int, end: int) -> bytes:
        """File image of the entries ``first`` to ``end`` (exclusive)."""
        timestamps, offsets = self._columns
        halves = array("I", timestamps[first:end].tobytes())
        words = array("I", bytes(self.ENTRY_BYTES * (end - first)))
        words[0::3] = halves[_HIGH::2]
        words[1::3] = halves[_LOW::2]
        words[2::3] = offsets[first:end]
        if _SWAP:
            words.byteswap()
        return words.tobytes()

    def load(self, data: bytes, next_offset: int) -> bool:
        """Take the entries of a file image; False, and no entry, unless all of them can be true.

        Args:
            data: image of the entries.
            next_offset: offset after the last batch they describe.
        """
        if len(data) % self.ENTRY_BYTES:
            return False
        words = array("I", data)
        if _SWAP:
            words.byteswap()
        halves = array("I", bytes(8 * (len(words) // 3)))
        halves[_HIGH::2] = words[0::3]
        halves[_LOW::2] = words[1::3]
        timestamps, offsets = array("q", halves.tobytes()), words[2::3]
        if offsets and not (
            self.base_offset + offsets[-1] < next_offset
            and offsets[-1] <= _MAX_RELATIVE
            and all(map(lt, timestamps, islice(timestamps, 1, None)))
            and all(map(le, offsets, islice(offsets, 1, None)))
        ):
            return False
        self._columns = (timestamps, offsets)
        return True
