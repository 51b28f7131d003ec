"""Deleting the oldest segments of an open log."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence

from fluss_server.log.log_appender import LogAppender
from fluss_server.log.log_flush import LogFlusher
from fluss_server.log.log_segment import LogSegment
from fluss_server.log.log_state import LogState
from fluss_server.log.log_view import LogView
from fluss_server.log.retention import SegmentAge, count_expired, is_expired

logger = logging.getLogger(__name__)


class LogRetention:
    """Applies the rules of :mod:`.retention` to an open log.

    Args:
        state: of the log.
        flusher: of the log.
        appender: of the log, to begin new segments.
    """

    def __init__(self, state: LogState, flusher: LogFlusher, appender: LogAppender) -> None:
        self._state = state
        self._flusher = flusher
        self._appender = appender
        self._clock = state.runtime.clock
        self._disk = state.runtime.disk

    def expired_until(self, ttl_ms: int, *, roll_active: bool) -> int:
        """See :meth:`LogTablet.expired_until`."""
        view = self._state.view
        now_ms = self._clock.now_ms()
        count = count_expired(_sealed_ages(view), now_ms=now_ms, ttl_ms=ttl_ms, limit=view.end)
        if roll_active and count == len(view.segments) - 1 and _is_active_expired(view, now_ms, ttl_ms, view.end):
            return view.end
        return view.bases[count]

    def delete_expired(self, ttl_ms: int, limit: int, *, roll_active: bool) -> int:
        """See :meth:`LogTablet.delete_expired`."""
        with self._state.deletion_lock:
            now_ms = self._clock.now_ms()

            def count(view: LogView) -> int:
                return count_expired(_sealed_ages(view), now_ms=now_ms, ttl_ms=ttl_ms, limit=limit)

            with self._state.flush_lock:
                self._state.check_usable()
                if roll_active:
                    self._roll_expired(now_ms, ttl_ms, limit)
                to_delete = self._drop(count(self._state.view))
            return self._delete(to_delete)

    def delete_below(self, offset: int) -> int:
        """See :meth:`LogTablet.delete_below`."""
        with self._state.deletion_lock:
            with self._state.flush_lock:
                self._state.check_usable()
                to_delete = self._drop(max(bisect_right(self._state.view.bases, offset) - 1, 0))
            return self._delete(to_delete)

    def _drop(self, count: int) -> Sequence[LogSegment]:
        """Let the log begin after its first ``count`` segments; returns those, if that is durable."""
        state = self._state
        if count == 0 or not self._flusher.flush_to(self._flusher.capture(dropped=count)):
            return ()
        with state.append_lock:
            to_delete = state.view.segments[:count]
            state.view = state.view.without(count)
            state.sealed_bytes -= sum(segment.size for segment in to_delete)
        state.open_sealed.forget_below(state.view.bases[0])
        state.damage.forget_below(state.view.bases[0])
        return to_delete

    def _delete(self, to_delete: Sequence[LogSegment]) -> int:
        directory = self._state.directory
        if not to_delete:
            return 0
        for segment in to_delete:
            try:
                segment.delete()
            except OSError as error:
                logger.warning("%s is left until the next start: %s", segment.path, error)
        try:
            # A loss of power could bring a name back, and only the recovery point tells it from the start of the log.
            self._disk.sync_directory(directory)
        except OSError as error:
            logger.warning("%s: a loss of power may bring deleted segments back: %s", directory, error)
        start = to_delete[-1].next_offset
        logger.info("%s: deleted %d segments, it begins at %d now", directory, len(to_delete), start)
        return len(to_delete)

    def _roll_expired(self, now_ms: int, ttl_ms: int, limit: int) -> None:
        with self._state.append_lock:
            view = self._state.view
            count = count_expired(_sealed_ages(view), now_ms=now_ms, ttl_ms=ttl_ms, limit=limit)
            if count == len(view.segments) - 1 and _is_active_expired(view, now_ms, ttl_ms, limit):
                self._appender.roll()


def _is_active_expired(view: LogView, now_ms: int, ttl_ms: int, limit: int) -> bool:
    active = SegmentAge(view.end, view.segments[-1].max_timestamp)
    return view.size > 0 and view.end <= limit and is_expired(active, now_ms, ttl_ms)


def _sealed_ages(view: LogView) -> list[SegmentAge]:
    return [SegmentAge(segment.next_offset, segment.max_timestamp) for segment in view.segments[:-1]]
