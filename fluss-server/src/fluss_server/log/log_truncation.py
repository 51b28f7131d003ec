"""Taking batches back from the end of an open log."""

from __future__ import annotations

import contextlib
import logging
from bisect import bisect_right

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.file_names import FLUSH_CHECKPOINT
from fluss_server.log.log_appender import LogAppender
from fluss_server.log.log_flush import LogFlusher
from fluss_server.log.log_recovery import forget_durable_offsets
from fluss_server.log.log_segment import IndexDamagedError, LogSegment
from fluss_server.log.log_state import LogState
from fluss_server.log.storage_errors import storage_errors, storage_failure
from fluss_server.log.writer_replay import replay_writers
from fluss_server.log.writer_snapshot import WriterSnapshots

logger = logging.getLogger(__name__)


class LogTruncation:
    """Truncates a log, or drops all of it.

    Order of the steps. First the view is replaced, so that readers notice (see :class:`LogReader`). Then nothing
    durable claims any more that the log reaches beyond its new end: the recovery point moves back or goes, the flush
    checkpoint goes. Then the files are cut, and after them the leader epochs. So a crash at any point leaves a log that
    opens and has at least what was to be kept, and of the rest a part without a gap; and once a call has returned,
    nothing of the rest comes back.

    No file is appended to after it was cut: others may still be sending what it had. A new segment begins instead.

    Args:
        state: of the log.
        flusher: of the log.
        appender: of the log, to begin new segments.
    """

    def __init__(self, state: LogState, flusher: LogFlusher, appender: LogAppender) -> None:
        self._state = state
        self._flusher = flusher
        self._appender = appender
        self._disk = state.runtime.disk
        self._snapshots = WriterSnapshots(state.directory, state.runtime.disk)

    def truncate(self, offset: int) -> int:
        """See :meth:`LogTablet.truncate`."""
        state = self._state
        with state.flush_lock, state.append_lock:
            state.check_usable()
            view = state.view
            with storage_errors(f"cannot read the log in {state.directory}"):  # also damaged batches can be cut off
                first = view.slice(offset, 0, view.end, at_least_one=True) if offset < view.end else None
            if first is not None:
                try:
                    self._cut(first.first_offset, first.region.position)
                except (OSError, FlussError, IndexDamagedError) as error:
                    state.failure = storage_failure(f"truncation of {state.directory} was not completed", error)
                    raise state.failure from error
                self._forget_epochs(first.first_offset)
                if state.must_roll:
                    with contextlib.suppress(FlussError):  # the next append tries it again
                        self._appender.roll()
                self._flusher.flush_to(self._flusher.capture())
            return state.view.end

    def _cut(self, end: int, size: int) -> None:
        """Let the log end at offset ``end``, at position ``size`` of the segment that has it."""
        state = self._state
        view = state.view
        count = bisect_right(view.bases, end)
        *before, last = view.segments[:count]
        if size == 0:
            last = self._empty_segment(end)
        state.view = view.truncated(end, size, (*before, last))
        state.must_roll = size > 0
        state.point.retreat(state.view)
        self._disk.remove(state.directory / FLUSH_CHECKPOINT, missing_ok=True)
        self._disk.sync_directory(state.directory)
        state.flushed_offset = min(state.flushed_offset, end)
        state.open_sealed.forget_from(last.base_offset)
        state.damage.forget_from(last.base_offset)
        for segment in reversed(view.segments[count:]):
            segment.delete()
        if size:
            last.truncate(size, end)
            last.file.sync()
        else:
            self._disk.replace_file(last.path, b"")
        self._disk.sync_directory(state.directory)
        state.sealed_bytes = sum(segment.size for segment in before)
        state.max_timestamp = max(segment.max_timestamp for segment in state.view.segments)
        replay_writers(state.writers, self._snapshots, state.view.segments, end)

    def restart_at(self, offset: int) -> None:
        """See :meth:`LogTablet.restart_at`."""
        if offset < 0:
            raise FlussError(ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION, f"a log cannot begin at offset {offset}")
        state = self._state
        with state.deletion_lock, state.flush_lock, state.append_lock:
            state.check_usable()
            try:
                self._drop(offset)
            except OSError as error:
                state.failure = storage_failure(f"dropping the log in {state.directory} was not completed", error)
                raise state.failure from error
            self._forget_epochs(offset)

    def _drop(self, offset: int) -> None:
        state = self._state
        dropped = state.view.segments
        empty = self._empty_segment(offset)
        state.view = state.view.truncated(offset, 0, (empty,))
        state.must_roll = False
        state.flushed_offset, state.sealed_bytes, state.max_timestamp = offset, 0, -1
        state.writers.restore([])
        state.open_sealed.restart_at(offset)
        state.damage.forget_from(0)
        forget_durable_offsets(state.directory, self._disk)
        state.point.forget_behind(-1)
        self._disk.replace_file(empty.path, b"")  # what the old log has from here on is gone now
        try:
            state.point.write_empty(offset)  # and this is the end of what was before
        except OSError as error:
            logger.warning("cannot write the recovery point of %s yet: %s", state.directory, error)
        for segment in reversed(dropped):
            if segment.base_offset == offset:
                segment.delete_indexes()
            else:
                segment.delete()
        self._disk.sync_directory(state.directory)

    def _empty_segment(self, base_offset: int) -> LogSegment:
        """A segment whose file is still to be made."""
        segment = LogSegment(self._state.directory, base_offset, self._state.config, self._state.runtime)
        segment.start_indexes()
        return segment

    def _forget_epochs(self, end: int) -> None:
        """Have the history end with the log; the next append takes care of the file if that is not possible now."""
        epochs = self._state.epochs
        epochs.truncate(self._state.view.bases[0], end)
        try:
            epochs.save()
        except OSError as error:
            logger.warning("cannot write the leader epochs of %s yet: %s", self._state.directory, error)
