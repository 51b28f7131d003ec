"""Making the batches of an open log durable."""

from __future__ import annotations

import logging

from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.log_state import LogState
from fluss_server.log.log_view import LogView
from fluss_server.log.recovery_point_writer import LogSnapshot
from fluss_server.log.storage_errors import storage_failure

logger = logging.getLogger(__name__)


class LogFlusher:
    """Syncs segments, and moves flush checkpoint and recovery point after them.

    Args:
        state: of the log.
    """

    def __init__(self, state: LogState) -> None:
        self._state = state
        self._disk = state.runtime.disk
        self._checkpoint = FlushCheckpoint(state.directory, state.runtime.disk)

    def flush(self) -> int:
        """See :meth:`LogTablet.flush`."""
        state = self._state
        target = state.view.end
        if target > state.flushed_offset or state.point.is_due(target):
            with state.flush_lock:
                due = state.point.is_due(state.view.end)
                if target > state.flushed_offset or due:
                    state.check_usable()
                    self.flush_to(self.capture() if due else None)
        elif state.failure is not None:
            raise state.failure
        return state.flushed_offset

    def capture(self, dropped: int = 0) -> LogSnapshot:
        """A snapshot of the log as it is now, without its first ``dropped`` segments."""
        state = self._state
        with state.append_lock:
            return state.point.capture(state.view.without(dropped), state.writers)

    def flush_to(self, snapshot: LogSnapshot | None) -> bool:
        """Flush, holding the flush lock, and move the recovery point to ``snapshot``; returns whether it moved.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``: fsync failed; the log refuses work from now on.
        """
        state = self._state
        view = snapshot.view if snapshot else state.view
        try:
            self._sync(view)
        except OSError as error:
            state.failure = storage_failure(f"cannot make the log in {state.directory} durable", error)
            logger.error("%s", state.failure)
            raise state.failure from error
        state.flushed_offset = view.end
        try:
            self._checkpoint.advance(view.end)
        except OSError as error:  # an older one is true as well
            logger.warning("cannot write the flush checkpoint of %s: %s", state.directory, error)
        if snapshot is None:
            return False
        moved = state.point.write(snapshot)
        for segment in view.segments[:-1]:
            if segment.is_loaded:
                state.open_sealed.note_use(segment)
        return moved

    def _sync(self, view: LogView) -> None:
        unsynced = [view.segments[-1]]
        for segment in reversed(view.segments[:-1]):
            if segment.synced:
                break
            unsynced.append(segment)
        for segment in reversed(unsynced):
            segment.sync()
        if self._state.directory_changed:
            self._state.directory_changed = False
            self._disk.sync_directory(self._state.directory)
