"""Which batches of a segment are known to be undamaged, and finding out of others."""

from __future__ import annotations

import sys
from typing import Protocol

from fluss_server.log.checked_ranges import CheckedRange, CheckedRanges
from fluss_server.log.damage import UNKNOWN_OFFSET, BatchDamagedError
from fluss_server.log.offset_index import OffsetIndex
from fluss_server.log.stored_batches import CheckResult, check_stored_batches
from fluss_server.log.time_index import TimeIndex
from fluss_server.runtime.disk import DiskFile
from fluss_server.runtime.workers import Lock

_NOWHERE = sys.maxsize
_EXPLAINED_BYTES = 1 << 20
"""Damage that has misled a search lies at most so far after the place where it ended."""


class CheckedSegment(Protocol):
    """What the checks need of a ``LogSegment``; see there."""

    base_offset: int

    @property
    def file(self) -> DiskFile: ...

    @property
    def indexes(self) -> tuple[OffsetIndex, TimeIndex]: ...

    def offsets_at(self, position: int) -> tuple[int, int]: ...

    def damaged(self, position: int, reason: str, offset: int = ...) -> BatchDamagedError: ...


class SegmentChecks:
    """What was checked of a segment since it was opened; any thread.

    Batches are checked before they are read for the first time. What this process has appended, or scanned while it
    recovered the log, was checked then; sealing the segment forgets that.

    Args:
        lock: of its own.

    Attributes:
        appended_from: position from which on this process has checked everything.
    """

    def __init__(self, lock: Lock) -> None:
        self.appended_from = _NOWHERE
        self._lock = lock
        self._checked = CheckedRanges()
        self._openings = 0  # a check that began before the last one counts for nothing

    def forget(self) -> None:
        """The file is closed, or does not grow any more: check everything again."""
        with self._lock:
            self._checked, self.appended_from = CheckedRanges(), _NOWHERE
            self._openings += 1

    def cut(self, size: int) -> None:
        """The segment was cut to ``size`` and can be appended to."""
        with self._lock:
            self._checked, self.appended_from = CheckedRanges(), min(self.appended_from, size)
            self._openings += 1

    def is_checked(self, searched_from: int, stop: int, offset: int, next_offset: int) -> bool:
        """Whether all batches between two positions were checked since the segment was opened.

        Args:
            searched_from: see ``LogSegment.position_of``.
            stop: position after a batch.
            offset: that somebody has searched, and that must be in between.
            next_offset: offset after the batches according to what follows them, which may be damaged.
        """
        if searched_from >= self.appended_from:
            return True
        found = self._checked.at(searched_from)
        if found is None or found.end < min(stop, self.appended_from):
            return False
        return stop != found.end or offset < next_offset == found.end_offset

    def check(self, segment: CheckedSegment, searched_from: int, start: int, stop: int, size: int) -> CheckResult:
        """Check what is not checked yet of the batches between two positions; their headers and CRCs are right then.

        Each base offset must be the one that is due: that is known from the segment's name, from a batch that was
        checked, or from the offset index, which has checksums of its own in the batches that it names.

        Args:
            segment: whose checks these are.
            searched_from: see ``LogSegment.position_of``.
            start: position where a batch should begin.
            stop: position where a batch should end.
            size: visible bytes of the segment.

        Returns:
            how far they are undamaged, at least up to ``start``; the offset is :data:`UNKNOWN_OFFSET` when ``stop``
            lies in what this process has appended or checked before.

        Raises:
            BatchDamagedError: a batch before ``start`` is damaged, so that it is unknown what begins there.
            IndexDamagedError, OSError.
        """
        opening, file = self._openings, segment.file
        position, offset = self._anchor(segment, searched_from)
        if position < start:
            before = self._check(opening, file, position, offset, start, size)
            if before.position != start:
                reason = before.damage or f"no batch begins at position {start}"
                raise segment.damaged(before.position, reason, before.offset)
            position, offset = before.position, before.offset
        needed = min(stop, self.appended_from)
        if position > needed:
            return CheckResult(stop, UNKNOWN_OFFSET, None)  # another reader has checked further meanwhile
        result = CheckResult(position, offset, None)
        if position < needed:
            result = self._check(opening, file, position, offset, needed, size)
        if result.damage is None and needed < stop and result.position <= needed:
            return CheckResult(stop, UNKNOWN_OFFSET, None)
        return result

    def explain(self, segment: CheckedSegment, damage: BatchDamagedError, offset: int, size: int) -> BatchDamagedError:
        """The damage that has misled a search for ``offset``, which ended with ``damage``; else that itself.

        Raises:
            IndexDamagedError, OSError.
        """
        entry = segment.indexes[0].at_or_before(offset)
        position, due = self._anchor(segment, 0 if entry is None else entry[1])
        limit = min(max(damage.position, position) + _EXPLAINED_BYTES, size)
        result = check_stored_batches(segment.file, position, due, limit, size)
        return damage if result.damage is None else segment.damaged(result.position, result.damage, result.offset)

    def _check(self, opening: int, file: DiskFile, position: int, offset: int, stop: int, size: int) -> CheckResult:
        result = check_stored_batches(file, position, offset, stop, size)
        with self._lock:
            if result.position > position and opening == self._openings:
                self._checked = self._checked.adding(CheckedRange(position, result.position, result.offset))
        return result

    def _anchor(self, segment: CheckedSegment, start: int) -> tuple[int, int]:
        """Position, at most the end of what is checked around ``start``, and base offset of a batch to begin with."""
        checked = self._checked.at(start)
        if checked is not None:
            return checked.end, checked.end_offset
        entry = segment.indexes[0].within(start, _NOWHERE)
        if entry is None:
            return 0, segment.base_offset
        last_offset, position = entry
        base_offset, found_last = segment.offsets_at(position)
        return position, last_offset - (found_last - base_offset)
