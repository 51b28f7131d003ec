"""The offset index of a segment: from offsets to positions."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import islice
from operator import lt

_SWAP = sys.byteorder == "little"
_MAX_RELATIVE = 2**31 - 1


class OffsetIndex:
    """Sparse map from offsets to positions of batches.

    File format (``{base:020d}.index``): entries of 8 bytes, big-endian, ascending in both fields:

    ======  ====  =================================================================
    offset  size  field
    ======  ====  =================================================================
    0       4     last offset of a batch minus the base offset of the segment, int32
    4       4     position of that batch in the ``.log`` file, int32
    ======  ====  =================================================================

    A batch gets an entry when it starts more than the index interval after the batch of the previous entry (after the
    start of the file for the first one). Official servers preallocate the file of the active segment with zeros; ours
    never does.

    This class does no I/O. One thread adds; others may search at the same time: the two columns only grow, positions
    first, and :meth:`truncate` replaces them.
    """

    ENTRY_BYTES = 8

    def __init__(self, base_offset: int, max_bytes: int) -> None:
        self.base_offset = base_offset
        self._max_entries = max_bytes // self.ENTRY_BYTES
        self._columns = (array("I"), array("I"))  # relative last offsets, positions

    def __len__(self) -> int:
        return len(self._columns[0])

    @property
    def is_full(self) -> bool:
        """Whether the file has no space for another entry."""
        return len(self) >= self._max_entries

    @property
    def free_entries(self) -> int:
        """How many entries can be added before it is full."""
        return self._max_entries - len(self)

    @property
    def last_position(self) -> int:
        """Position of the newest entry, 0 if there is none."""
        positions = self._columns[1]
        return positions[-1] if positions else 0

    def add(self, last_offset: int, position: int) -> None:
        """Add an entry after all others."""
        offsets, positions = self._columns
        positions.append(position)
        offsets.append(last_offset - self.base_offset)

    def at_or_before(self, offset: int) -> tuple[int, int] | None:
        """(last offset, position) of the last entry whose batch ends at or before ``offset``."""
        offsets, positions = self._columns
        index = bisect_right(offsets, offset - self.base_offset) - 1
        return (offsets[index] + self.base_offset, positions[index]) if index >= 0 else None

    def within(self, position: int, next_offset: int) -> tuple[int, int] | None:
        """(last offset, position) of the last entry that starts by ``position`` and ends before ``next_offset``."""
        offsets, positions = self._columns
        index = min(bisect_right(positions, position), bisect_left(offsets, next_offset - self.base_offset)) - 1
        return (offsets[index] + self.base_offset, positions[index]) if index >= 0 else None

    def truncate(self, size: int) -> None:
        """Drop entries of batches that start at position ``size`` or after it."""
        offsets, positions = self._columns
        count = bisect_left(positions, size)
        self._columns = (offsets[:count], positions[:count])

    def encode(self, first: int, end: int) -> bytes:
        """File image of the entries ``first`` to ``end`` (exclusive)."""
        offsets, positions = self._columns
        both = array("I", bytes(self.ENTRY_BYTES * (end - first)))
        both[0::2] = offsets[first:end]
        both[1::2] = positions[first:end]
        if _SWAP:
            both.byteswap()
        return both.tobytes()

    def load(self, data: bytes, size: int, next_offset: int) -> bool:
        """Take the entries of a file image; False, and no entry, unless all of them can be true.

        Args:
            data: image of the entries.
            size: bytes of the ``.log`` file they describe.
            next_offset: offset after the last batch of it.
        """
        if len(data) % self.ENTRY_BYTES:
            return False
        both = array("I", data)
        if _SWAP:
            both.byteswap()
        offsets, positions = both[0::2], both[1::2]
        if offsets and not (
            self.base_offset + offsets[-1] < next_offset
            and offsets[-1] <= _MAX_RELATIVE
            and positions[0] > 0
            and positions[-1] < size
            and all(map(lt, offsets, islice(offsets, 1, None)))
            and all(map(lt, positions, islice(positions, 1, None)))
        ):
            return False
        self._columns = (offsets, positions)
        return True
