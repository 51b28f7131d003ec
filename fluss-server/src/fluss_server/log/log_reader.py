"""Reading an open log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.log.checked_read import MayCheck, always, read_checked
from fluss_server.log.damage import BatchDamagedError, UncheckedError
from fluss_server.log.log_replay import replay_segment
from fluss_server.log.log_segment import IndexDamagedError
from fluss_server.log.log_state import LogState
from fluss_server.log.log_view import LogSlice, LogView
from fluss_server.log.scrub import ScrubPosition, ScrubStep, scrub
from fluss_server.log.storage_errors import storage_errors

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_READ_ERRORS = (IndexDamagedError, FlussError, OSError)
_Result = TypeVar("_Result")


class LogReader:
    """Finds batches without a lock, in any thread, whatever else happens to the log.

    A search uses one view from its beginning to its end. A truncation replaces the view before it changes files, so a
    search after which the number of truncations is the same has seen none of these changes; else it is repeated.
    What it has found stays as it was or becomes too short, but never becomes something else: no file is appended to
    after a truncation has cut it, see :class:`LogTruncation`.

    Args:
        state: of the log.
    """

    def __init__(self, state: LogState) -> None:
        self._state = state
        self._disk = state.runtime.disk

    def read(
        self, offset: int, max_bytes: int, max_offset: int, *, at_least_one: bool, may_check: MayCheck
    ) -> LogSlice | None:
        """See :meth:`LogTablet.read`."""

        def find(view: LogView) -> LogSlice | None:
            found, damage = read_checked(
                view, offset, max_bytes, max_offset, at_least_one=at_least_one, may_check=may_check
            )
            if damage is not None and self._state.view.segments is view.segments:
                self._state.damage.found(damage)
            return found

        found = self._search(find, may_check)
        if found is not None and found.segment is not self._state.view.segments[-1]:
            self._state.open_sealed.note_use(found.segment)
        return found

    def offset_for_timestamp(self, timestamp_ms: int) -> int | None:
        """See :meth:`LogTablet.offset_for_timestamp`."""
        found = self._search(lambda view: view.offset_for_timestamp(timestamp_ms), always)
        if found is None:
            return None
        offset, segment = found
        if segment is not self._state.view.segments[-1]:
            self._state.open_sealed.note_use(segment)
        return offset

    def batches(self, from_offset: int, to_offset: int) -> Iterator[tuple[BatchHeader, bytes]]:
        """See :meth:`LogTablet.batches`."""
        view = self._state.view
        view.check_range(from_offset)
        offset, to_offset = from_offset, min(to_offset, view.end)
        while offset < to_offset:
            segment, size, end_offset = view.part_of(offset)
            first = self.read(offset, 0, to_offset, at_least_one=True, may_check=always)
            position, due = (size, end_offset) if first is None else (first.region.position, first.first_offset)
            self._check_not_truncated(view)
            with storage_errors(f"cannot read {segment.path}"):
                try:
                    for batch in replay_segment(segment, position, size, due, to_offset):
                        self._check_not_truncated(view)
                        yield batch
                except (BatchDamagedError, OSError) as error:
                    self._check_not_truncated(view)
                    if isinstance(error, BatchDamagedError):
                        self._state.damage.found(error)
                    raise
            offset = end_offset

    def scrub(self, start: ScrubPosition | None, max_bytes: int) -> ScrubStep:
        """See :meth:`LogTablet.scrub`."""
        with storage_errors(f"cannot read the log in {self._state.directory}"):
            return scrub(lambda: self._state.view, self._disk, self._state.damage, start, max_bytes)

    def _search(self, find: Callable[[LogView], _Result], may_check: MayCheck) -> _Result:
        """The result of ``find`` in the log as it is."""
        state = self._state
        repaired = False
        for attempt in range(_ATTEMPTS):
            view = state.view
            try:
                result = find(view)
            except _READ_ERRORS as error:
                if state.view.segments is not view.segments and attempt < _ATTEMPTS - 1:
                    continue  # truncated or deleted meanwhile
                if isinstance(error, IndexDamagedError) and not repaired:
                    if not may_check(None):
                        raise UncheckedError from error
                    self._repair_indexes(error)
                    repaired = True
                    continue
                if isinstance(error, BatchDamagedError):
                    state.damage.found(error)
                with storage_errors(f"cannot read the log in {state.directory}"):
                    raise
            if state.view.truncations == view.truncations:
                return result
        raise FlussError(
            ErrorCode.LOG_STORAGE_EXCEPTION, f"the log in {state.directory} was truncated again and again during a read"
        )

    def _repair_indexes(self, damage: IndexDamagedError) -> None:
        state = self._state
        known = state.damage.of(damage.segment.base_offset)
        if known is not None:
            raise known  # the index is right: it cannot be rebuilt either
        logger.warning("rebuilding the indexes of %s: %s", damage.segment.path, damage)
        with state.flush_lock, state.append_lock, storage_errors(f"cannot read {damage.segment.path}"):
            if damage.segment not in state.view.segments:
                return
            try:
                damage.segment.rebuild_indexes()
            except BatchDamagedError as error:
                state.damage.found(error)
                raise
            state.point.offset = -1  # it covers the indexes too

    def _check_not_truncated(self, view: LogView) -> None:
        if self._state.view.truncations != view.truncations:
            raise FlussError(
                ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
                f"the log in {self._state.directory} was truncated while it was read",
            )
