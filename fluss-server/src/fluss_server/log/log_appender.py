"""Appending to an open log."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader, stamp
from fluss_server.log.batch_check import check_batches, check_offsets
from fluss_server.log.file_names import LOG, path_of
from fluss_server.log.leader_epochs import EpochStart
from fluss_server.log.log_config import MAX_SEGMENT_BYTES
from fluss_server.log.log_flush import LogFlusher
from fluss_server.log.log_segment import LogSegment
from fluss_server.log.log_state import LogState
from fluss_server.log.stalled_writers import StalledWriters
from fluss_server.log.storage_errors import storage_error, storage_errors, storage_failure

_STAMPED_BYTES = 25
"""Bytes at the start of a batch among which are all that the leader stamps."""


class AppendResult(NamedTuple):
    """What became of an append.

    Attributes:
        base_offset: offset of the first record; for a duplicate that of the original, or one after it if the original
            is too old to be remembered.
        last_offset: offset of the last record; for a duplicate as before.
        duplicate: whether nothing was written because the batches are in the log already.
        batches: number of batches in the append.
    """

    base_offset: int
    last_offset: int
    duplicate: bool
    batches: int


class LogAppender:
    """Writes batches at the end of the log, those of clients and those of a leader, and begins new segments.

    Args:
        state: of the log.
        flusher: of the log.
    """

    def __init__(self, state: LogState, flusher: LogFlusher) -> None:
        self._state = state
        self._flusher = flusher
        self._clock = state.runtime.clock
        self._stalled = StalledWriters()

    def append(self, records: Buffer) -> AppendResult:
        """See :meth:`LogTablet.append`."""
        state = self._state
        data = memoryview(records)
        headers = check_batches(data, state.config.max_batch_bytes)
        if state.point.is_behind:
            self._flusher.flush()
        with state.append_lock:
            state.check_usable()
            if state.epochs.is_stale:
                self._save_epochs()
            try:
                original = state.writers.check(headers)
            except FlussError as error:
                if error.code is not ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION:
                    raise
                raise self._stalled.refused(headers[0].writer_id, self._clock.now_ms(), error) from None
            if original is not None:
                return AppendResult(original.base_offset, original.last_offset, True, len(headers))
            if self._stalled:
                self._stalled.in_order(headers[0].writer_id)
            return self._append_stamped(data, headers)

    def append_replica(self, records: Buffer, epochs: Sequence[EpochStart]) -> AppendResult:
        """See :meth:`LogTablet.append_replica`."""
        state = self._state
        data = memoryview(records)
        headers = check_batches(data, MAX_SEGMENT_BYTES)
        if state.point.is_behind:
            self._flusher.flush()
        with state.append_lock:
            state.check_usable()
            base_offset = state.view.end
            end_offset = check_offsets(headers, base_offset)
            with storage_errors(f"cannot write the leader epochs of the log in {state.directory}"):
                bases = [header.base_offset for header in headers]
                state.epochs.follow(epochs, state.view.bases[0], bases, end_offset)
            number = position = 0
            while number < len(headers):
                # Segments end where those of the leader do, if each of its appends had one batch.
                count = 0 if state.must_roll else state.view.segments[-1].count_fitting(headers[number:])
                if count == 0:
                    self.roll()
                    continue
                run = headers[number : number + count]
                size = sum(header.size for header in run)
                self._write(state.view.segments[-1], (data[position : position + size],), run)
                self._publish(run, size, max(header.commit_timestamp for header in run))
                number, position = number + count, position + size
            return AppendResult(base_offset, end_offset - 1, False, len(headers))

    def _append_stamped(self, data: memoryview, headers: Sequence[BatchHeader]) -> AppendResult:
        state = self._state
        base_offset = offset = state.view.end
        timestamp = max(state.max_timestamp, self._clock.now_ms())
        pieces: list[Buffer] = []
        position = 0
        for header in headers:
            body, end = position + _STAMPED_BYTES, position + header.size
            head = bytearray(data[position:body])
            stamp(head, 0, header, offset, timestamp)
            pieces += (head, data[body:end])
            offset, position = header.next_offset, end
        segment = state.view.segments[-1]
        if state.must_roll or not segment.has_capacity(position, offset - 1):
            segment = self.roll()
        if offset - 1 - segment.base_offset > MAX_SEGMENT_BYTES:
            raise FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, "the batches of one append count too many records")
        self._write(segment, pieces, headers)
        self._publish(headers, position, timestamp)
        return AppendResult(base_offset, offset - 1, False, len(headers))

    def _write(self, segment: LogSegment, pieces: Sequence[Buffer], headers: Sequence[BatchHeader]) -> None:
        """Write to the segment, or leave it as it was."""
        state = self._state
        try:
            segment.append(pieces, headers)
        except BaseException as error:
            try:
                segment.restore(state.view.size, state.view.end)
            except OSError as second:
                # Whole batches of the failed append may lie after the end and reappear after a crash.
                state.failure = storage_failure(f"{segment.path} cannot be cut after a failed write", second)
                raise state.failure from error
            if isinstance(error, OSError):
                raise storage_error(f"cannot append to {segment.path}", error) from error
            raise

    def _publish(self, headers: Sequence[BatchHeader], size: int, timestamp: int) -> None:
        """Show batches of ``size`` bytes, which are in the last segment, to readers."""
        state = self._state
        for header in headers:
            state.writers.record(header)
        state.max_timestamp = max(state.max_timestamp, timestamp)
        state.point.note_append(size)
        view = state.view
        state.view = view.with_end(headers[-1].next_offset, view.segments[-1].size)

    def roll(self) -> LogSegment:
        """Seal the last segment and begin another one; with the append lock.

        Raises:
            FlussError: nothing has changed; see :meth:`LogTablet.append`.
        """
        state = self._state
        view = state.view
        try:
            segment = LogSegment.create(state.directory, view.end, state.config, state.runtime)
        except OSError as error:
            with contextlib.suppress(OSError):
                path = path_of(state.directory, view.end, LOG)
                if state.runtime.disk.size(path) == 0:
                    state.runtime.disk.remove(path)
            raise storage_error(f"cannot begin a new segment in {state.directory}", error) from error
        state.directory_changed = True
        state.must_roll = False
        view.segments[-1].seal()
        state.point.note_seal(view.end, state.writers)
        state.sealed_bytes += view.size
        state.view = view.with_segment(segment)
        return segment

    def _save_epochs(self) -> None:
        with storage_errors(f"cannot write the leader epochs of the log in {self._state.directory}"):
            self._state.epochs.save()
