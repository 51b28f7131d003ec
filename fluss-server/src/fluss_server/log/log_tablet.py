"""The log of one bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from fluss_server.errors import FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader
from fluss_server.log.checked_read import MayCheck, always
from fluss_server.log.damage import BatchDamagedError
from fluss_server.log.leader_epochs import EpochStart
from fluss_server.log.log_appender import AppendResult, LogAppender
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_flush import LogFlusher
from fluss_server.log.log_reader import LogReader
from fluss_server.log.log_recovery import LogRecovery, RecoveredLog, RecoveryReport, forget_durable_offsets
from fluss_server.log.log_retention import LogRetention
from fluss_server.log.log_state import LogState
from fluss_server.log.log_truncation import LogTruncation
from fluss_server.log.log_view import LogSlice
from fluss_server.log.scrub import ScrubPosition, ScrubStep
from fluss_server.log.storage_errors import storage_error, storage_errors
from fluss_server.log.writer_snapshot import WriterSnapshots
from fluss_server.runtime.runtime import Runtime

__all__ = ["AppendResult", "LogConfig", "LogSlice", "LogTablet", "RecoveryReport"]


class LogTablet:
    """An append-only log of batches in segments, durable up to its last flush.

    Threads. Appends come from one thread at a time. Reads come from any thread and take no lock: an append publishes
    its batches by replacing one reference after their bytes are in the file. Flushes come from any thread; one runs at
    a time and covers what was appended before it began. :meth:`truncate`, :meth:`restart_at`, :meth:`close` and
    :meth:`delete` may wait for a flush. Lock order: deletion lock, flush lock, append lock.

    Durability. :meth:`flush` is the only promise: everything below the offset it returns survives the process and the
    power supply. A failed write leaves the log as it was (``LOG_STORAGE_EXCEPTION``, ``DISK_WRITE_LOCKED`` when the
    disk is full; the log stays usable). A failed fsync does not: what is on the disk is then unknown, so appends and
    flushes are refused from then on (``STORAGE_EXCEPTION``) until the log is opened again. Recovery is described in
    :class:`LogRecovery`.

    Files: see :mod:`fluss_server.log.file_names`.
    """

    def __init__(self, directory: PurePath, config: LogConfig, runtime: Runtime, recovered: RecoveredLog) -> None:
        self.recovery: RecoveryReport = recovered.report
        """What opening the log found and did."""
        self._directory = directory
        self._disk = runtime.disk
        self._clock = runtime.clock
        self._state = LogState(directory, config, runtime, recovered)
        self._flusher = LogFlusher(self._state)
        self._appender = LogAppender(self._state, self._flusher)
        self._reader = LogReader(self._state)
        self._retention = LogRetention(self._state, self._flusher, self._appender)
        self._truncation = LogTruncation(self._state, self._flusher, self._appender)

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
        with storage_errors(f"cannot open the log in {directory}"):
            tablet._state.epochs.load(tablet.start_offset, tablet.end_offset)
        if recovered.report.changed:
            with tablet._state.flush_lock:
                tablet._flusher.flush_to(tablet._flusher.capture())
        return tablet

    # ------------------------------------------------------------------ what it holds

    @property
    def start_offset(self) -> int:
        """First offset in the log."""
        return self._state.view.bases[0]

    @property
    def end_offset(self) -> int:
        """Offset that the next record will get."""
        return self._state.view.end

    @property
    def flushed_offset(self) -> int:
        """Everything below this offset is durable."""
        return self._state.flushed_offset

    @property
    def max_timestamp(self) -> int:
        """Largest commit timestamp, epoch milliseconds; -1 for an empty log."""
        return self._state.max_timestamp

    @property
    def size_bytes(self) -> int:
        """Bytes of all batches."""
        return self._state.sealed_bytes + self._state.view.size

    @property
    def segment_count(self) -> int:
        """Segments, the active one included."""
        return len(self._state.view.segments)

    @property
    def failure(self) -> FlussError | None:
        """Why the log refuses work until it is opened again, ``STORAGE_EXCEPTION``; None if it does not."""
        return self._state.failure

    @property
    def damage(self) -> list[BatchDamagedError]:
        """Damaged batches that were found and are still in the log, at most one for each segment."""
        return self._state.damage.present

    @property
    def damage_count(self) -> int:
        """How often damage was found since the log was opened; the same batch counts once."""
        return self._state.damage.count

    @property
    def writer_count(self) -> int:
        """Idempotent writers that are remembered."""
        return len(self._state.writers)

    @property
    def largest_writer_id(self) -> int:
        """The largest id of an idempotent writer that is remembered; -1 without any."""
        return self._state.writers.largest_writer_id

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
        return self._appender.append(records)

    def find_duplicate(self, writer_id: int, sequence: int) -> AppendResult | None:
        """What a repetition of this batch would get, None if it is not remembered; in the thread of the appends."""
        original = self._state.writers.find_duplicate(writer_id, sequence)
        return None if original is None else AppendResult(original.base_offset, original.last_offset, True, 1)

    def expire_writers(self) -> None:
        """Remember less of the writers that have been silent for the expiration time; any thread."""
        with self._state.append_lock:
            self._state.writers.expire(self._clock.now_ms())

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
        return self._reader.read(offset, max_bytes, max_offset, at_least_one=at_least_one, may_check=may_check)

    def batches(self, from_offset: int, to_offset: int) -> Iterator[tuple[BatchHeader, bytes]]:
        """Every batch from the one that holds ``from_offset`` to the last that begins below ``to_offset``, checked.

        Covers what is in the log when the iteration begins; memory is that of a batch or two.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``; ``LOG_STORAGE_EXCEPTION`` when a batch cannot be read;
                ``CORRUPT_MESSAGE`` (:class:`BatchDamagedError`) when one is damaged;
                ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION`` too when the log is truncated before the iteration ends.
        """
        return self._reader.batches(from_offset, to_offset)

    def offset_for_timestamp(self, timestamp_ms: int) -> int | None:
        """First offset of the first batch with a commit timestamp at or after ``timestamp_ms``, None if there is none.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` when the log cannot be read.
        """
        return self._reader.offset_for_timestamp(timestamp_ms)

    def scrub(self, start: ScrubPosition | None, max_bytes: int) -> ScrubStep:
        """Check about ``max_bytes`` of batches again from ``start`` on, None for the beginning; see :mod:`.scrub`.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` when a segment cannot be read. Damage is no error of this call: see
                :attr:`damage`.
        """
        return self._reader.scrub(start, max_bytes)

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
        return self._flusher.flush()

    # ------------------------------------------------------------------ retention

    def expired_until(self, ttl_ms: int, *, roll_active: bool) -> int:
        """Offset below which :meth:`delete_expired` would delete everything if nothing else needed it; any thread."""
        return self._retention.expired_until(ttl_ms, roll_active=roll_active)

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
        return self._retention.delete_expired(ttl_ms, limit, roll_active=roll_active)

    def delete_below(self, offset: int) -> int:
        """Delete the segments that hold nothing from ``offset`` on, as :meth:`delete_expired`; never the last one.

        Returns:
            Number of segments deleted.

        Raises:
            FlussError: as :meth:`flush`; nothing was deleted.
        """
        return self._retention.delete_below(offset)

    # ------------------------------------------------------------------ replication

    @property
    def epochs(self) -> tuple[EpochStart, ...]:
        """History of leader epochs, oldest first; empty only if the log has never held a record. Any thread, no I/O."""
        view = self._state.view
        return self._state.epochs.known(view.bases[0], view.end)

    def begin_epoch(self, epoch: int, *, may_continue: bool = False) -> None:
        """Note durably that what is appended from now on is of ``epoch``; again for the same epoch does nothing.

        A leader calls it before its first append. An epoch must not go on after the log was opened again: a loss of
        power may have taken unsynced records that followers have, and others would get their offsets in the same
        epoch, so that the histories would not show that the logs differ.

        Args:
            epoch: leader epoch, at least 0.
            may_continue: accept the epoch with which the history ends, although another process began it. Only right
                when the bucket has one replica.

        Raises:
            FlussError: ``FENCED_LEADER_EPOCH_EXCEPTION``: the history has this or a newer epoch already;
                ``DISK_WRITE_LOCKED``, ``LOG_STORAGE_EXCEPTION``, ``STORAGE_EXCEPTION`` as :meth:`append`.
        """
        state = self._state
        with state.append_lock:
            state.check_usable()
            with storage_errors(f"cannot write the leader epochs of the log in {self._directory}"):
                state.epochs.begin(epoch, state.view.bases[0], state.view.end, may_continue=may_continue)

    def append_replica(self, records: Buffer, epochs: Sequence[EpochStart]) -> AppendResult:
        """Append batches as a follower: byte for byte, with the offsets and timestamps that the leader gave them.

        The batches are visible to readers when this returns; they are durable after the next :meth:`flush`.

        Args:
            records: one or more whole batches, the first of which begins at :attr:`end_offset`.
            epochs: the whole history of the leader's log, which must have been compared with :attr:`epochs`, see
                :func:`.leader_epochs.divergence`. Entries that the batches reach are recorded, durably, before the
                batches are written.

        Raises:
            FlussError: nothing, or some of the batches, were appended, see :attr:`end_offset`.
                ``CORRUPT_RECORD_EXCEPTION``: no batch, a damaged one, a partial one, or one with another offset than
                that which is due;
                ``FENCED_LEADER_EPOCH_EXCEPTION``: the history does not continue that of the log;
                ``DISK_WRITE_LOCKED``, ``LOG_STORAGE_EXCEPTION``, ``STORAGE_EXCEPTION`` as :meth:`append`.
        """
        return self._appender.append_replica(records, epochs)

    def truncate(self, offset: int) -> int:
        """Remove all batches that end after ``offset``, durably; returns the new end offset, at most ``offset``.

        Slices handed out before may turn out short; they never show batches that are appended later. Batches before
        ``offset`` are durable too. What writers had sent in batches that retention has deleted may be forgotten.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``: before the log;
                ``LOG_STORAGE_EXCEPTION``: nothing changed;
                ``STORAGE_EXCEPTION``: it failed after a part of it, appends are refused from now on.
        """
        return self._truncation.truncate(offset)

    def restart_at(self, offset: int) -> None:
        """Drop everything; the log begins and ends at ``offset``, and has no history of leader epochs and no writers.

        Slices handed out before stay valid, or turn out short. A crash leaves the log as it was, a first part of it, or
        an empty log that begins at ``offset``.

        Raises:
            FlussError: ``LOG_OFFSET_OUT_OF_RANGE_EXCEPTION``: ``offset`` is negative;
                ``STORAGE_EXCEPTION``: it failed after a part of it, appends are refused from now on.
        """
        self._truncation.restart_at(offset)

    # ------------------------------------------------------------------ close, delete

    def close(self) -> None:
        """Flush, move the recovery point to the end, so that the next opening scans nothing, and let the files go.

        Slices handed out stay valid. Closing again does nothing.

        Raises:
            FlussError: ``STORAGE_EXCEPTION``: the last flush failed; the log is closed nevertheless.
        """
        state = self._state
        with state.flush_lock:
            with state.append_lock:
                if state.closed:
                    return
                state.closed = True
                if state.point.offset != state.view.end:
                    state.view.segments[-1].complete_time_index()
            try:
                if state.failure is None and state.point.offset != state.view.end:
                    self._flusher.flush_to(self._flusher.capture())
            finally:
                for segment in state.view.segments:
                    segment.release()

    def delete(self) -> None:
        """Remove all files of the log, and the directory if nothing else is in it. Slices handed out stay valid.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION``: some files may be left.
        """
        state = self._state
        with state.flush_lock, state.append_lock, storage_errors(f"cannot delete the log in {self._directory}"):
            state.closed = True
            forget_durable_offsets(self._directory, self._disk)
            for segment in reversed(state.view.segments):
                segment.delete()
                segment.release()
            snapshots = WriterSnapshots(self._directory, self._disk)
            for offset in snapshots.offsets():
                snapshots.delete(offset)
            state.epochs.delete()
            if not self._disk.list(self._directory):
                self._disk.remove_directory(self._directory)
                self._disk.sync_directory(self._directory.parent)
