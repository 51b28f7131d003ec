"""What readers of a log may see: an immutable snapshot of its batches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.log_segment import LogSegment
from fluss_server.runtime.disk import FileRegion


class LogSlice(NamedTuple):
    """Whole, contiguous batches of one segment.

    Attributes:
        region: their bytes.
        first_offset: base offset of the first batch; may lie before the requested offset.
        next_offset: offset after the last batch.
        segment: holds them.
        searched_from: see ``LogSegment.position_of``.
    """

    region: FileRegion
    first_offset: int
    next_offset: int
    segment: LogSegment
    searched_from: int


class SegmentPart(NamedTuple):
    """The visible part of a segment."""

    segment: LogSegment
    size: int
    end_offset: int


class LogView(NamedTuple):
    """The visible batches of a log; replaced as a whole when some come or go.

    Attributes:
        end: offset after the last batch.
        size: visible bytes of the last segment.
        segments: in order, never empty; all but the last are sealed.
        bases: their base offsets.
        truncations: how often the log was truncated since it was opened. A truncation replaces the view before it
            changes a file, so what was found with a view is right if the log still has that number afterwards.

    All methods raise ``IndexDamagedError``, ``OSError``, and ``BatchDamagedError`` when the files are damaged or were
    truncated after the view was made.
    """

    end: int
    size: int
    segments: tuple[LogSegment, ...]
    bases: tuple[int, ...]
    truncations: int = 0

    def check_range(self, offset: int) -> None:
        """Raise ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION`` unless a reader may stand at ``offset``."""
        if not self.bases[0] <= offset <= self.end:
            raise FlussError(
                ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
                f"offset {offset} is outside of the log, which has offsets {self.bases[0]} to {self.end}",
            )

    def without(self, count: int) -> LogView:
        """The view without the first ``count`` segments, fewer than all."""
        return self._replace(segments=self.segments[count:], bases=self.bases[count:]) if count else self

    def with_end(self, end: int, size: int) -> LogView:
        """The view when the last segment has grown to ``size`` bytes and ends at offset ``end``."""
        return LogView(end, size, self.segments, self.bases, self.truncations)

    def with_segment(self, segment: LogSegment) -> LogView:
        """The view with an empty segment at its end."""
        return LogView(self.end, 0, (*self.segments, segment), (*self.bases, self.end), self.truncations)

    def truncated(self, end: int, size: int, segments: Sequence[LogSegment]) -> LogView:
        """The view of these segments, the last of which has ``size`` bytes and ends at offset ``end``."""
        return LogView(end, size, tuple(segments), tuple(s.base_offset for s in segments), self.truncations + 1)

    def part(self, number: int) -> SegmentPart:
        """Visible part of a segment, by its number."""
        segment = self.segments[number]
        if number == len(self.segments) - 1:
            return SegmentPart(segment, self.size, self.end)
        return SegmentPart(segment, segment.size, segment.next_offset)

    def part_of(self, offset: int) -> SegmentPart:
        """Visible part of the segment that holds ``offset``."""
        return self.part(bisect_right(self.bases, offset) - 1)

    def slice(self, offset: int, max_bytes: int, max_offset: int, at_least_one: bool) -> LogSlice | None:
        """See :meth:`LogTablet.read`; nothing is checked."""
        self.check_range(offset)
        max_offset = min(max_offset, self.end)
        if offset >= max_offset:
            return None
        segment, size, end_offset = self.part_of(offset)
        start, first_offset, searched_from = segment.position_of(offset, size)
        limit = min(size, start + max(max_bytes, 0))
        stop, next_offset = segment.boundary(start, first_offset, limit, max_offset, size, end_offset)
        if stop == start:
            if not at_least_one:
                return None
            stop, next_offset = segment.end_of_batch(start)
            if next_offset > max_offset:
                return None
        file = segment.file
        return LogSlice(FileRegion(file, start, stop - start), first_offset, next_offset, segment, searched_from)

    def first_batch(self, offset: int) -> LogSlice:
        """The batch that holds ``offset``, whatever its size and end; nothing is checked."""
        segment, size, _ = self.part_of(offset)
        start, first_offset, searched_from = segment.position_of(offset, size)
        stop, next_offset = segment.end_of_batch(start)
        region = FileRegion(segment.file, start, stop - start)
        return LogSlice(region, first_offset, next_offset, segment, searched_from)

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, LogSegment] | None:
        """First offset of the first batch that is not older, and its segment; None if all are older."""
        for number in range(len(self.segments)):
            segment, size, end_offset = self.part(number)
            if segment.max_timestamp >= timestamp and size:
                offset = segment.first_batch_at_or_after(timestamp, size, end_offset)
                if offset is not None:
                    return offset, segment
        return None
