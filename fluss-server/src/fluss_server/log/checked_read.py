"""Reading batches that are known to be undamaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fluss_server.log.damage import UNKNOWN_OFFSET, BatchDamagedError, UncheckedError
from fluss_server.log.log_view import LogSlice, LogView

MayCheck: TypeAlias = Callable[[LogSlice | None], bool]
"""Whether a read may check these batches first. None: whether it may do all that it needs, such as rebuild an index."""


def always(batches: LogSlice | None) -> bool:
    """For workers, which may take as long as they need."""
    return True


def read_checked(
    view: LogView, offset: int, max_bytes: int, max_offset: int, *, at_least_one: bool, may_check: MayCheck
) -> tuple[LogSlice | None, BatchDamagedError | None]:
    """See :meth:`LogTablet.read`.

    The search for a batch follows lengths and offsets in headers, which may be damaged. So nothing it found counts
    before the batches on its way were checked: not the position, not the offset after the batches, and not that a
    batch reaches past the limit, which makes a reader wait.

    Returns:
        the undamaged batches, and what is wrong after them if that was found out.

    Raises:
        BatchDamagedError: not even the batch that should hold ``offset`` is undamaged.
        UncheckedError: batches must be checked, and ``may_check`` refuses.
        IndexDamagedError, OSError.
    """
    try:
        found = view.slice(offset, max_bytes, max_offset, at_least_one)
        waits = found is None and at_least_one and offset < min(max_offset, view.end)
        searched = view.first_batch(offset) if waits else found
    except BatchDamagedError as error:
        if not may_check(None):
            raise UncheckedError from error
        segment, size, _ = view.part_of(error.segment_base)
        raise segment.checks.explain(segment, error, offset, size) from error
    if searched is None:
        return None, None
    stop = searched.region.position + searched.region.length
    if searched.segment.checks.is_checked(searched.searched_from, stop, offset, searched.next_offset):
        return found, None
    if not may_check(searched):
        raise UncheckedError
    checked, damage = _check(view, searched, offset, view.end if waits else max_offset)
    return (None if waits else checked), damage


def _check(view: LogView, found: LogSlice, offset: int, max_offset: int) -> tuple[LogSlice, BatchDamagedError | None]:
    segment, start = found.segment, found.region.position
    stop = start + found.region.length
    size = view.size if segment is view.segments[-1] else segment.size
    try:
        result = segment.checks.check(segment, found.searched_from, start, stop, size)
    except BatchDamagedError as error:
        raise segment.checks.explain(segment, error, offset, size) from error
    end_offset = found.next_offset if result.offset == UNKNOWN_OFFSET else result.offset
    if result.damage is None:
        if result.position == stop and offset < end_offset <= min(max_offset, view.end):
            return found._replace(next_offset=end_offset), None
        misled = segment.damaged(result.position, f"the search for offset {offset} was misled", end_offset)
        raise segment.checks.explain(segment, misled, offset, size)
    damage = segment.damaged(result.position, result.damage, end_offset)
    if end_offset <= offset or result.position <= start:
        raise damage
    return found._replace(region=found.region.part(start, result.position - start), next_offset=end_offset), damage
