"""The log of one bucket."""

from __future__ import annotations

import contextlib
import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader, stamp
from fluss_server.log.batch_check import check_batches
from fluss_server.log.checked_read import MayCheck, always, read_checked
from fluss_server.log.damage import BatchDamagedError, DamageRegister, UncheckedError
from fluss_server.log.file_names import LOG, path_of
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.log_config import MAX_SEGMENT_BYTES, LogConfig
from fluss_server.log.log_recovery import LogRecovery, RecoveredLog, RecoveryReport, forget_durable_offsets
from fluss_server.log.log_replay import replay_segment
from fluss_server.log.log_segment import IndexDamagedError, LogSegment
from fluss_server.log.log_view import LogSlice, LogView
from fluss_server.log.open_segments import OpenSegments
from fluss_server.log.recovery_point_writer import LogSnapshot, RecoveryPointWriter
from fluss_server.log.retention import SegmentAge, count_expired, is_expired
from fluss_server.log.scrub import ScrubPosition, ScrubStep, scrub
from fluss_server.log.stalled_writers import StalledWriters
from fluss_server.log.storage_errors import storage_error, storage_errors, storage_failure
from fluss_server.log.writer_replay import replay_writers
from fluss_server.log.writer_snapshot import WriterSnapshots
from fluss_server.runtime.runtime import Runtime

__all__ = ["AppendResult", "LogConfig", "LogSlice", "LogTablet", "RecoveryReport"]

logger = logging.getLogger(__name__)

_STAMPED_BYTES = 25
"""Bytes at the start of a batch among which are all that the leader stamps."""

_READ_ERRORS = (IndexDamagedError, FlussError, OSError)


@dataclass(frozen=True, slots=True)
class AppendResult:
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


class LogTablet:
    """An append-only log of batches in segments, durable up to its last flush.

    Threads. Appends come from one thread at a time. Reads come from any thread and take no lock: an append publishes
    its batches by replacing one reference after their bytes are in the file. Flushes come from any thread; one runs at
    a time and covers what was appended before it began. :meth:`truncate_to`, :meth:`close` and :meth:`delete` may wait
    for a flush. Lock order: flush lock, append lock.

    Durability. :meth:`flush` is the only promise: everything below the offset it returns survives the process and the
    power supply. A failed write leaves the log as it was (``LOG_STORAGE_EXCEPTION``, ``DISK_WRITE_LOCKED`` when the
    disk is full; the log stays usable). A failed fsync does not: what is on the disk is then unknown, so appends and
    flushes are refused from then on (``STORAGE_EXCEPTION``) until the log is opened again. Recovery is described in
    :class:`LogRecovery`.

    Files: see :mod:`fluss_server.log.file_names`.
    """

    def __init__(self, directory: PurePath, config: LogConfig, runtime: Runtime, recovered: RecoveredLog) -> None:
        self._directory = directory
        self._config = config
        self._runtime = runtime
        self._clock = runtime.clock
        self._disk = runtime.disk
        self._snapshots = WriterSnapshots(directory, runtime.disk)
        self._checkpoint = FlushCheckpoint(directory, runtime.disk)
        self._writers = recovered.writers
        self._stalled = StalledWriters()
        self._append_lock = runtime.workers.reentrant_lock()
        self._flush_lock = runtime.workers.reentrant_lock()
        self._closed = False
        self._failure: FlussError | None = None
        self._directory_changed = (
            True  # the name of the last segment may be younger than the last fsync of its directory
        )
        self._damage = DamageRegister()
        self._open_sealed = OpenSegments(runtime.workers.lock())
        self.recovery: RecoveryReport = recovered.report
        """What opening the log found and did."""
        segments = tuple(recovered.segments)
        last = segments[-1]
        self._view = LogView(last.next_offset, last.size, segments, tuple(s.base_offset for s in segments))
        self._max_timestamp = max(segment.max_timestamp for segment in segments)
        self._flushed_offset = last.next_offset
        self._sealed_bytes = sum(segment.size for segment in segments[:-1])
        recovery_offset = -1 if recovered.report.changed else last.next_offset
        self._point = RecoveryPointWriter(directory, config, runtime, recovery_offset)

    @classmethod
    def open(cls, directory: PurePath, config: LogConfig, runtime: Runtime) -> LogTablet:
        """Open the log in ``directory``, or create an empty one there; blocks while it recovers.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` when the disk cannot be read or written, or when acknowledged batches
                are damaged in a way that no crash explains (see :class:`LogRecovery`).
        """
        try:
            runtime.disk.make_directories(directory)
            recovered = LogRecovery(directory, config, runtime).run()
        except OSError as error:
            raise storage_error(f"cannot open the log in {directory}", error) from error
        tablet = cls(directory, config, runtime, recovered)
        if recovered.report.changed:
            with tablet._flush_lock:
                tablet._flush(tablet._capture())
        return tablet

    # ------------------------------------------------------------------ what it holds

    @property
    def start_offset(self) -> int:
        """First offset in the log."""
        return self._view.bases[0]

    @property
    def end_offset(self) -> int:
        """Offset that the next record will get."""
        return self._view.end

    @property
    def flushed_offset(self) -> int:
        """Everything below this offset is durable."""
        return self._flushed_offset

    @property
    def max_timestamp(self) -> int:
        """Largest commit timestamp, epoch milliseconds; -1 for an empty log."""
        return self._max_timestamp

    @property
    def size_bytes(self) -> int:
        """Bytes of all batches."""
        return self._sealed_bytes + self._view.size

    @property
    def segment_count(self) -> int:
        """Segments, the active one included."""
        return len(self._view.segments)

    @property
    def damage(self) -> list[BatchDamagedError]:
        """Damaged batches that were found and are still in the log, at most one for each segment."""
        return self._damage.present

    @property
    def damage_count(self) -> int:
        """How often damage was found since the log was opened; the same batch counts once."""
        return self._damage.count

    @property
    def writer_count(self) -> int:
        """Idempotent writers that are remembered."""
        return len(self._writers)

    @property
    def largest_writer_id(self) -> int:
        """The largest id of an idempotent writer that is remembered; -1 without any."""
        return self._writers.largest_writer_id

    # ------------------------------------------------------------------ append

    def append(self, records: Buffer) -> AppendResult:
        """Append batches as the leader of the bucket: they get the next offsets and a commit timestamp.

        ``records`` is not changed. The batches are visible to readers when this returns; they are durable after the
        next :meth:`flush`.

        Args:
            records: one or more whole batches.

        Raises:
            FlussError: nothing was appended.
                ``CORRUPT_RECORD_EXCEPTION``: no batch, a damaged one, or a partial one;
                ``RECORD_TOO_LARGE_EXCEPTION``: a batch larger than the limit;
                ``OUT_OF_ORDER_SEQUENCE_EXCEPTION``: see :class:`WriterStates`;
                ``UNKNOWN_WRITER_ID_EXCEPTION``: see :class:`StalledWriters`;
                ``DISK_WRITE_LOCKED``: the disk is full; ``LOG_STORAGE_EXCEPTION``: it failed to write, or the log is
                closed;
                ``STORAGE_EXCEPTION``: an earlier flush failed.
        """
        data = memoryview(records)
        headers = check_batches(data, self._config.max_batch_bytes)
        if self._point.is_behind:
            self.flush()
        with self._append_lock:
            self._check_usable()
            try:
                original = self._writers.check(headers)
            except FlussError as error:
                if error.code is not ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION:
                    raise
                raise self._stalled.refused(headers[0].writer_id, self._clock.now_ms(), error) from None
            if original is not None:
                return AppendResult(original.base_offset, original.last_offset, True, len(headers))
            if self._stalled:
                self._stalled.in_order(headers[0].writer_id)
            return self._append(data, headers)

    def find_duplicate(self, writer_id: int, sequence: int) -> AppendResult | None:
        """What a repetition of this batch would get, None if it is not remembered; in the thread of the appends."""
        original = self._writers.find_duplicate(writer_id, sequence)
        return None if original is None else AppendResult(original.base_offset, original.last_offset, True, 1)

    def expire_writers(self) -> None:
        """Remember less of the writers that have been silent for the expiration time; any thread."""
        with self._append_lock:
            self._writers.expire(self._clock.now_ms())

    def _append(self, data: memoryview, headers: Sequence[BatchHeader]) -> AppendResult:
        base_offset = offset = self._view.end
        timestamp = max(self._max_timestamp, self._clock.now_ms())
        pieces: list[Buffer] = []
        position = 0
        for header in headers:
            body, end = position + _STAMPED_BYTES, position + header.size
            head = bytearray(data[position:body])
            stamp(head, 0, header, offset, timestamp)
            pieces += (head, data[body:end])
            offset, position = header.next_offset, end
        segment = self._view.segments[-1]
        if not segment.has_capacity(position, offset - 1):
            segment = self._roll()
        if offset - 1 - segment.base_offset > MAX_SEGMENT_BYTES:
            raise FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, "the batches of one append count too many records")
        self._write(segment, pieces, headers)
        for header in headers:
            self._writers.record(header)
        self._max_timestamp = timestamp
        self._point.note_append(position)
        view = self._view
        self._view = LogView(offset, segment.size, view.segments, view.bases)
        return AppendResult(base_offset, offset - 1, False, len(headers))

    def _write(self, segment: LogSegment, pieces: Sequence[Buffer], headers: Sequence[BatchHeader]) -> None:
        """Write to the segment, or leave it as it was."""
        try:
            segment.append(pieces, headers)
        except BaseException as error:
            try:
                segment.restore(self._view.size, self._view.end)
            except OSError as second:
                # Whole batches of the failed append may lie after the end and reappear after a crash.
                self._failure = storage_failure(f"{segment.path} cannot be cut after a failed write", second)
                raise self._failure from error
            if isinstance(error, OSError):
                raise storage_error(f"cannot append to {segment.path}", error) from error
            raise

    def _roll(self) -> LogSegment:
        """Seal the active segment and begin another one."""
        view = self._view
        try:
            segment = LogSegment.create(self._directory, view.end, self._config, self._runtime)
        except OSError as error:
            with contextlib.suppress(OSError):
                path = path_of(self._directory, view.end, LOG)
                if self._disk.size(path) == 0:
                    self._disk.remove(path)
            raise storage_error(f"cannot begin a new segment in {self._directory}", error) from error
        self._directory_changed = True
        view.segments[-1].seal()
        self._point.note_seal(view.end, self._writers)
        self._sealed_bytes += view.size
        self._view = LogView(view.end, 0, (*view.segments, segment), (*view.bases, view.end))
        return segment

    # ------------------------------------------------------------------ read

    def read(
        self, offset: int, max_bytes: int, max_offset: int, *, at_least_one: bool, may_check: MayCheck = always
    ) -> LogSlice | None:
        """Whole, undamaged batches from the one that holds ``offset`` on, of one segment.

        Batches that were not read since their segment was opened are checked before they are returned.

        Args:
            offset: from the start offset to the end offset.
            max_bytes: most bytes to return.
            max_offset: all batches end at or before this offset; the high watermark, for example.
            at_least_one: return the first batch even if it has more than ``max_bytes``.
            may_check: whether this call may read all of what it returns; always in a worker.

        Returns:
            None if nothing can be returned under these limits.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``; ``LOG_STORAGE_EXCEPTION`` when the log cannot be read;
                ``CORRUPT_MESSAGE`` (:class:`BatchDamagedError`) when the batch at ``offset`` is damaged.
            UncheckedError: ``may_check`` refuses: repeat the call in a worker.
        """
        view = self._view
        try:
            found = self._slice(view, offset, max_bytes, max_offset, at_least_one, may_check)
        except _READ_ERRORS as error:
            if isinstance(error, IndexDamagedError) and not may_check(None):
                raise UncheckedError from error
            view = self._view_after(view, error)
            with storage_errors(f"cannot read the log in {self._directory}"):
                found = self._slice(view, offset, max_bytes, max_offset, at_least_one, may_check)
        if found is not None and found.segment is not view.segments[-1]:
            self._open_sealed.note_use(found.segment)
        return found

    def _slice(
        self, view: LogView, offset: int, max_bytes: int, max_offset: int, at_least_one: bool, may_check: MayCheck
    ) -> LogSlice | None:
        found, damage = read_checked(
            view, offset, max_bytes, max_offset, at_least_one=at_least_one, may_check=may_check
        )
        if damage is not None and self._view.segments is view.segments:
            self._damage.found(damage)
        return found

    def batches(self, from_offset: int, to_offset: int) -> Iterator[tuple[BatchHeader, bytes]]:
        """Every batch from the one that holds ``from_offset`` to the last that begins below ``to_offset``, checked.

        Covers what is in the log when the iteration begins; memory is that of a batch or two.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``; ``LOG_STORAGE_EXCEPTION`` when a batch cannot be read;
                ``CORRUPT_MESSAGE`` (:class:`BatchDamagedError`) when one is damaged.
        """
        view = self._view
        view.check_range(from_offset)
        offset, to_offset = from_offset, min(to_offset, view.end)
        while offset < to_offset:
            segment, size, end_offset = view.part_of(offset)
            first = self.read(offset, 0, to_offset, at_least_one=True)
            position, due = (size, end_offset) if first is None else (first.region.position, first.first_offset)
            with storage_errors(f"cannot read {segment.path}"):
                try:
                    yield from replay_segment(segment, position, size, due, to_offset)
                except BatchDamagedError as error:
                    self._damage.found(error)
                    raise
            offset = end_offset

    def offset_for_timestamp(self, timestamp_ms: int) -> int | None:
        """First offset of the first batch with a commit timestamp at or after ``timestamp_ms``, None if there is none.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` when the log cannot be read.
        """
        view = self._view
        try:
            found = view.offset_for_timestamp(timestamp_ms)
        except _READ_ERRORS as error:
            view = self._view_after(view, error)
            with storage_errors(f"cannot read the log in {self._directory}"):
                found = view.offset_for_timestamp(timestamp_ms)
        if found is None:
            return None
        offset, segment = found
        if segment is not view.segments[-1]:
            self._open_sealed.note_use(segment)
        return offset

    def _view_after(self, view: LogView, error: Exception) -> LogView:
        """The view to repeat a failed read with: after a repair, or after a truncation that has caused the failure.

        Raises:
            FlussError: repeating is of no use.
        """
        current = self._view
        if current.segments is not view.segments or current.end < view.end:
            return current
        if isinstance(error, IndexDamagedError):
            self._repair_indexes(error)
            return self._view
        if isinstance(error, BatchDamagedError):
            self._damage.found(error)
        if isinstance(error, FlussError):
            raise error
        raise storage_error(f"cannot read the log in {self._directory}", error) from error

    def _repair_indexes(self, damage: IndexDamagedError) -> None:
        known = self._damage.of(damage.segment.base_offset)
        if known is not None:
            raise known  # the index is right: it cannot be rebuilt either
        logger.warning("rebuilding the indexes of %s: %s", damage.segment.path, damage)
        with self._flush_lock, self._append_lock, storage_errors(f"cannot read {damage.segment.path}"):
            try:
                damage.segment.rebuild_indexes()
            except BatchDamagedError as error:
                self._damage.found(error)
                raise
            self._point.offset = -1  # it covers the indexes too

    def scrub(self, start: ScrubPosition | None, max_bytes: int) -> ScrubStep:
        """Check about ``max_bytes`` of batches again from ``start`` on, None for the beginning; see :mod:`.scrub`.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` when a segment cannot be read. Damage is no error of this call: see
                :attr:`damage`.
        """
        with storage_errors(f"cannot read the log in {self._directory}"):
            return scrub(lambda: self._view, self._disk, self._damage, start, max_bytes)

    # ------------------------------------------------------------------ flush

    def flush(self) -> int:
        """Make everything appended before this call durable; any thread.

        Now and then it also moves the recovery point: some more small files are written.

        Returns:
            The offset below which everything is durable, also :attr:`flushed_offset`.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``: fsync failed, now or before;
                ``LOG_STORAGE_EXCEPTION``: the log is closed.
        """
        target = self._view.end
        if target > self._flushed_offset or self._point.is_due(target):
            with self._flush_lock:
                due = self._point.is_due(self._view.end)
                if target > self._flushed_offset or due:
                    self._check_usable()
                    self._flush(self._capture() if due else None)
        elif self._failure is not None:
            raise self._failure
        return self._flushed_offset

    def _capture(self, dropped: int = 0) -> LogSnapshot:
        """A snapshot of the log as it is now, without its first ``dropped`` segments."""
        with self._append_lock:
            return self._point.capture(self._view.without(dropped), self._writers)

    def _flush(self, snapshot: LogSnapshot | None) -> bool:
        """Flush, holding the flush lock, and move the recovery point to ``snapshot``; returns whether it moved."""
        view = snapshot.view if snapshot else self._view
        try:
            self._sync(view)
        except OSError as error:
            self._failure = storage_failure(f"cannot make the log in {self._directory} durable", error)
            logger.error("%s", self._failure)
            raise self._failure from error
        self._flushed_offset = view.end
        try:
            self._checkpoint.advance(view.end)
        except OSError as error:  # an older one is true as well
            logger.warning("cannot write the flush checkpoint of %s: %s", self._directory, error)
        if snapshot is None:
            return False
        moved = self._point.write(snapshot)
        for segment in view.segments[:-1]:
            if segment.is_loaded:
                self._open_sealed.note_use(segment)
        return moved

    def _sync(self, view: LogView) -> None:
        unsynced = [view.segments[-1]]
        for segment in reversed(view.segments[:-1]):
            if segment.synced:
                break
            unsynced.append(segment)
        for segment in reversed(unsynced):
            segment.sync()
        if self._directory_changed:
            self._directory_changed = False
            self._disk.sync_directory(self._directory)

    # ------------------------------------------------------------------ retention

    def expired_until(self, ttl_ms: int, *, roll_active: bool) -> int:
        """Offset below which :meth:`delete_expired` would delete everything if nothing else needed it; any thread."""
        view = self._view
        now_ms = self._clock.now_ms()
        count = count_expired(_sealed_ages(view), now_ms=now_ms, ttl_ms=ttl_ms, limit=view.end)
        if roll_active and count == len(view.segments) - 1 and self._is_active_expired(view, now_ms, ttl_ms, view.end):
            return view.end
        return view.bases[count]

    def delete_expired(self, ttl_ms: int, limit: int, *, roll_active: bool) -> int:
        """Delete the oldest segments, as far as everything in them is older than ``ttl_ms`` and below ``limit``.

        Slices handed out before stay valid. A crash at any point leaves a log that begins where it did or where it
        should: the new start is made durable with the recovery point, and what is left of segments before it
        is removed at the next opening.

        Args:
            ttl_ms: time to live; 0 = unlimited.
            limit: offset; batches from here on are still needed.
            roll_active: seal the active segment when it would be the next one to go.

        Returns:
            Number of segments deleted.

        Raises:
            FlussError: as :meth:`flush`; nothing was deleted.
        """
        with self._flush_lock:
            self._check_usable()
            now_ms = self._clock.now_ms()
            if roll_active:
                self._roll_expired(now_ms, ttl_ms, limit)
            count = count_expired(_sealed_ages(self._view), now_ms=now_ms, ttl_ms=ttl_ms, limit=limit)
            if count == 0 or not self._flush(self._capture(dropped=count)):
                return 0
            with self._append_lock:
                to_delete = self._view.segments[:count]
                self._view = self._view.without(count)
                self._sealed_bytes -= sum(segment.size for segment in to_delete)
            self._open_sealed.forget_below(self._view.bases[0])
            self._damage.forget_below(self._view.bases[0])
        for segment in to_delete:
            try:
                segment.delete()
            except OSError as error:
                logger.warning("%s is left until the next start: %s", segment.path, error)
        try:
            # A loss of power could bring a name back, and only the recovery point tells it from the start of the log.
            self._disk.sync_directory(self._directory)
        except OSError as error:
            logger.warning("%s: a loss of power may bring deleted segments back: %s", self._directory, error)
        logger.info("%s: deleted %d segments, it begins at %d now", self._directory, count, to_delete[-1].next_offset)
        return count

    def _roll_expired(self, now_ms: int, ttl_ms: int, limit: int) -> None:
        with self._append_lock:
            view = self._view
            count = count_expired(_sealed_ages(view), now_ms=now_ms, ttl_ms=ttl_ms, limit=limit)
            if count == len(view.segments) - 1 and self._is_active_expired(view, now_ms, ttl_ms, limit):
                self._roll()

    @staticmethod
    def _is_active_expired(view: LogView, now_ms: int, ttl_ms: int, limit: int) -> bool:
        active = SegmentAge(view.end, view.segments[-1].max_timestamp)
        return view.size > 0 and view.end <= limit and is_expired(active, now_ms, ttl_ms)

    # ------------------------------------------------------------------ truncate, close, delete

    def truncate_to(self, offset: int) -> int:
        """Remove all batches that end after ``offset``; returns the new end offset, at most ``offset``.

        Slices handed out before may turn out short, or hold batches that are appended later. What writers had sent in
        batches that retention has deleted may be forgotten.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``: before the log;
                ``LOG_STORAGE_EXCEPTION``: nothing changed;
                ``STORAGE_EXCEPTION``: it failed after a part of it, appends are refused from now on.
        """
        with self._flush_lock, self._append_lock:
            self._check_usable()
            view = self._view
            with storage_errors(f"cannot read the log in {self._directory}"):  # also damaged batches can be cut off
                first = view.slice(offset, 0, view.end, at_least_one=True) if offset < view.end else None
            if first is not None:
                self._truncate(first.first_offset, first.region.position)
                self._flush(self._capture())
            return self._view.end

    def _truncate(self, end: int, size: int) -> None:
        view = self._view
        count = bisect_right(view.bases, end)
        *before, last = view.segments[:count]
        self._view = LogView(end, size, (*before, last), view.bases[:count])
        try:
            forget_durable_offsets(self._directory, self._disk)
            self._point.forget_behind(end)
            self._flushed_offset = min(self._flushed_offset, end)
            self._open_sealed.forget_from(view.bases[count - 1])
            self._damage.forget_from(view.bases[count - 1])
            for segment in reversed(view.segments[count:]):
                segment.delete()
            last.truncate(size, end)
            last.file.sync()
            self._disk.sync_directory(self._directory)
            replay_writers(self._writers, self._snapshots, self._view.segments, end)
        except (OSError, FlussError, IndexDamagedError) as error:
            self._failure = storage_failure(f"truncation of the log in {self._directory} was not completed", error)
            raise self._failure from error
        self._sealed_bytes = sum(segment.size for segment in before)
        self._max_timestamp = max(segment.max_timestamp for segment in self._view.segments)

    def close(self) -> None:
        """Flush, move the recovery point to the end, so that the next opening scans nothing, and let the files go.

        Slices handed out stay valid. Closing again does nothing.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``: the last flush failed; the log is closed nevertheless.
        """
        with self._flush_lock:
            with self._append_lock:
                if self._closed:
                    return
                self._closed = True
                if self._point.offset != self._view.end:
                    self._view.segments[-1].complete_time_index()
            try:
                if self._failure is None and self._point.offset != self._view.end:
                    self._flush(self._capture())
            finally:
                for segment in self._view.segments:
                    segment.release()

    def delete(self) -> None:
        """Remove all files of the log, and the directory if nothing else is in it. Slices handed out stay valid.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION``: some files may be left.
        """
        with self._flush_lock, self._append_lock, storage_errors(f"cannot delete the log in {self._directory}"):
            self._closed = True
            forget_durable_offsets(self._directory, self._disk)
            for segment in reversed(self._view.segments):
                segment.delete()
                segment.release()
            for offset in self._snapshots.offsets():
                self._snapshots.delete(offset)
            if not self._disk.list(self._directory):
                self._disk.remove_directory(self._directory)
                self._disk.sync_directory(self._directory.parent)

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, f"the log in {self._directory} is closed")


def _sealed_ages(view: LogView) -> list[SegmentAge]:
    return [SegmentAge(segment.next_offset, segment.max_timestamp) for segment in view.segments[:-1]]
