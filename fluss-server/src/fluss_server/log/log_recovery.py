"""Opening a log directory, in whatever state a crash has left it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.batch_reader import CHUNK_BYTES, find_intact_batch, read_batches
from fluss_server.log.file_names import (
    FLUSH_CHECKPOINT,
    LOG,
    OFFSET_INDEX,
    RECOVERY_POINT,
    TEMPORARY,
    TIME_INDEX,
    offsets_in,
    path_of,
)
from fluss_server.log.flush_checkpoint import FlushCheckpoint
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_segment import IndexDamagedError, LogSegment
from fluss_server.log.recovery_point import RecoveryPoint
from fluss_server.log.writer_replay import replay_writers
from fluss_server.log.writer_snapshot import WriterSnapshots
from fluss_server.log.writer_state import WriterStates
from fluss_server.runtime.disk import Disk
from fluss_server.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

ACCEPT_LOSS_HINT = (
    f"restore the log directory from a copy; or delete {RECOVERY_POINT} and {FLUSH_CHECKPOINT} in it: the next start "
    "then discards everything from the damage on"
)


class RecoveryReport(NamedTuple):
    """What opening a log found and did.

    Attributes:
        scanned_from: offset from which batches were checked.
        scanned_bytes: bytes of batches that were checked and kept.
        end_offset: offset after the last batch kept.
        durable_offset: offset up to which the log is known to have been durable before.
        cut_bytes: bytes discarded.
        cut_reason: why, None if nothing was cut.
        dropped_segments: segments discarded as a whole.
        rebuilt_indexes: trusted segments whose index files were missing or damaged.
        replayed_writers_from: offset of the writer snapshot that was good.
    """

    scanned_from: int
    scanned_bytes: int
    end_offset: int
    durable_offset: int
    cut_bytes: int = 0
    cut_reason: str | None = None
    dropped_segments: int = 0
    rebuilt_indexes: int = 0
    replayed_writers_from: int = 0

    @property
    def lost_acknowledged(self) -> bool:
        """Whether batches that had been durable are gone: damage outside of our control, never the work of a crash."""
        return self.end_offset < self.durable_offset

    @property
    def changed(self) -> bool:
        """Whether the next opening would have to do some of the work again."""
        return bool(self.scanned_bytes or self.cut_reason or self.rebuilt_indexes or self.lost_acknowledged)


class RecoveredLog(NamedTuple):
    """The segments of a log, the last one active, and the writer state at its end."""

    segments: list[LogSegment]
    writers: WriterStates
    report: RecoveryReport


class LogRecovery:
    """One run over a log directory.

    What is trusted. The recovery point says up to where everything is durable and was checked; segments before it
    are only checked where they begin and end. Everything after it is read and checked: size, magic, CRC, and that
    each batch begins where the one before ends. Nothing that was not fsynced is trusted: index files and writer
    snapshots count up to the recovery point only and are rebuilt after it. If the recovery point is missing or
    damaged, the whole log is checked. What no flush has confirmed (recovery point, flush checkpoint) is written again
    as it was read: reading does not prove that it is on the disk.

    Where it begins. At the start that the recovery point names; files before it are what a crash has left of
    segments that retention was deleting, and go.

    What is cut. The first byte that does not begin an undamaged batch ends the log; it and everything after it go,
    later segments too. A crash leaves such a tail at any byte. There is one exception: the damage lies below an offset
    known to have been durable (recovery point, flush checkpoint) *and* an undamaged batch follows. No crash does this,
    and cutting would discard intact, acknowledged batches; so opening fails with ``LOG_STORAGE_EXCEPTION`` and says how
    to go on. Damage below a durable offset with nothing intact after it is cut, because refusing would save nothing,
    and is reported as loss.

    Args:
        directory: exists.
        config: of the log.
        runtime: its disk holds the directory.
    """

    def __init__(self, directory: PurePath, config: LogConfig, runtime: Runtime) -> None:
        self._directory = directory
        self._config = config
        self._runtime = runtime
        self._disk = runtime.disk
        self._snapshots = WriterSnapshots(directory, runtime.disk)
        self._writers = WriterStates(config.max_writers, config.writer_expiration_ms)
        self._segments: list[LogSegment] = []
        self._rebuilt_indexes = 0

    def run(self) -> RecoveredLog:
        """Bring the directory into order.

        Raises:
            FlussError: ``LOG_STORAGE_EXCEPTION`` as explained above.
            OSError: a file cannot be read, cut or made durable.
        """
        for name in self._disk.list(self._directory):
            if name.endswith(TEMPORARY):
                self._disk.remove(self._directory / name)
        point = RecoveryPoint.read(self._directory, self._disk)
        flushed = FlushCheckpoint(self._directory, self._disk).read()
        durable = max(point.offset if point else 0, flushed or 0)
        bases = self._finish_retention(offsets_in(self._disk, self._directory, LOG), point)
        self._check_files(bases, point, durable)
        if not bases:
            self._segments.append(LogSegment.create(self._directory, 0, self._config, self._runtime))
            self._disk.sync_directory(self._directory)
            return RecoveredLog(self._segments, self._writers, RecoveryReport(0, 0, 0, 0))
        trusted = sum(1 for base in bases if point and base < point.segment_base)
        for base, next_base in pairwise(bases[: trusted + 1]):
            self._trust(base, next_base)
        report = self._scan(bases[trusted:], point, durable)
        self._remove_orphaned_files(report.end_offset)
        return RecoveredLog(self._segments, self._writers, report)

    def _finish_retention(self, bases: list[int], point: RecoveryPoint | None) -> list[int]:
        """Remove what a crash has left of segments that retention had deleted; returns the others."""
        if point is None or point.log_start_offset not in bases:
            return bases
        count = bases.index(point.log_start_offset)
        for base in bases[:count]:
            self._disk.remove(path_of(self._directory, base, LOG))
        return bases[count:]

    def _check_files(self, bases: Sequence[int], point: RecoveryPoint | None, durable: int) -> None:
        """A crash never removes the file of a durable segment."""
        missing = None
        if not bases and durable > 0:
            missing = 0
        elif point and point.log_start_offset not in bases:
            missing = point.log_start_offset
        elif point and point.segment_base not in bases:
            missing = point.segment_base
        if missing is not None:
            raise FlussError(
                ErrorCode.LOG_STORAGE_EXCEPTION,
                f"{path_of(self._directory, missing, LOG)} is missing, the log was durable up to offset {durable}",
                hint=ACCEPT_LOSS_HINT,
            )

    # ------------------------------------------------------------------ before the recovery point

    def _trust(self, base: int, next_base: int) -> None:
        segment = LogSegment(self._directory, base, self._config, self._runtime)
        try:
            try:
                segment.check_end(next_base)
            except IndexDamagedError as damage:
                logger.warning("rebuilding the indexes of %s: %s", segment.path, damage)
                segment.size = segment.file.size()
                segment.sealed = segment.synced = True
                segment.rebuild_indexes()
                self._rebuilt_indexes += 1
                if segment.next_offset != next_base:
                    raise FlussError(
                        ErrorCode.LOG_STORAGE_EXCEPTION,
                        f"{segment.path} ends with offset {segment.next_offset - 1}, the next segment begins with "
                        f"{next_base}",
                    ) from damage
        except FlussError as error:
            raise FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, error.message, hint=ACCEPT_LOSS_HINT) from error
        if not segment.indexes_durable:
            offset_index, time_index = segment.indexes
            try:
                segment.write_indexes(len(offset_index), len(time_index))
            except OSError as error:
                logger.warning("cannot write the indexes of %s yet: %s", segment.path, error)
        if segment.indexes_durable:
            segment.release()
        self._segments.append(segment)

    # ------------------------------------------------------------------ after the recovery point

    def _scan(self, bases: Sequence[int], point: RecoveryPoint | None, durable: int) -> RecoveryReport:
        kept_before = len(self._segments)
        expected = scanned_from = bases[0]
        replayed_from = scanned_bytes = cut_bytes = 0
        reason: str | None = None
        for number, base in enumerate(bases):
            if base != expected:
                reason = f"the segment that begins with offset {expected} is missing"
                if expected < durable or (point is None and self._disk.exists(self._directory / RECOVERY_POINT)):
                    raise self._gap(expected, base)
                break
            segment = LogSegment(self._directory, base, self._config, self._runtime)
            start = self._resume(segment, point)
            if number == 0:
                scanned_from = segment.next_offset
                replayed_from = self._restore_writers(segment, point)
            if number > 0:
                self._segments[-1].seal()
            self._segments.append(segment)
            size = segment.file.size()
            if size > start:
                self._show_disk(segment, start)
                reason = self._scan_segment(segment, size, durable)
            scanned_bytes += segment.size - start
            expected = segment.next_offset
            if reason is not None:
                cut_bytes = size - segment.size
                break
        dropped = bases[len(self._segments) - kept_before :]
        if reason is not None and expected < durable and self._intact_batch_follows(dropped, expected):
            raise FlussError(
                ErrorCode.LOG_STORAGE_EXCEPTION,
                f"{self._segments[-1].path} is damaged at offset {expected}, position {self._segments[-1].size} "
                f"({reason}); the log was durable up to offset {durable} and undamaged batches follow",
                hint=ACCEPT_LOSS_HINT,
            )
        if expected < durable:
            logger.error(
                "%s ends at offset %d although it was durable up to %d: acknowledged batches are lost (%s)",
                self._directory,
                expected,
                durable,
                reason or "the file is shorter",
            )
            forget_durable_offsets(self._directory, self._disk)
        if reason is not None:
            cut_bytes += self._cut(dropped)
            logger.warning("%s: %d bytes cut from offset %d on: %s", self._directory, cut_bytes, expected, reason)
        return RecoveryReport(
            scanned_from=scanned_from,
            scanned_bytes=scanned_bytes,
            end_offset=expected,
            durable_offset=durable,
            cut_bytes=cut_bytes,
            cut_reason=reason,
            dropped_segments=len(dropped),
            rebuilt_indexes=self._rebuilt_indexes,
            replayed_writers_from=replayed_from,
        )

    def _resume(self, segment: LogSegment, point: RecoveryPoint | None) -> int:
        """Prepare a segment for scanning; returns the position from which on to scan."""
        is_active = point is not None and segment.base_offset == point.segment_base
        if point and is_active and segment.file.size() >= point.segment_size > 0:
            try:
                segment.resume_indexes(point.offset_entries, point.time_entries, point.segment_size, point.offset)
            except IndexDamagedError as damage:
                logger.warning("rebuilding the indexes of %s: %s", segment.path, damage)
                self._rebuilt_indexes += 1
            else:
                segment.size, segment.next_offset = point.segment_size, point.offset
                segment.max_timestamp = point.max_timestamp
                segment.max_timestamp_offset = point.max_timestamp_offset
                return segment.size
        segment.start_indexes()
        return 0

    def _gap(self, expected: int, base: int) -> FlussError:
        """A crash leaves no gap in what was durable, and never damages the recovery point.

        Cutting here would let the log end far before acknowledged batches, or of the offsets that retention has
        deleted, and give out these offsets a second time.
        """
        return FlussError(
            ErrorCode.LOG_STORAGE_EXCEPTION,
            f"{self._directory} has no segment with the offsets {expected} to {base - 1}, but later ones",
            hint=f"if retention has deleted them, move the segments below offset {base} away; else {ACCEPT_LOSS_HINT}",
        )

    @staticmethod
    def _show_disk(segment: LogSegment, start: int) -> None:
        """Let the next reads from ``start`` on show the disk, as far as the system lets us."""
        try:
            segment.file.sync()
            segment.file.drop_cached_pages(start)
        except OSError as error:  # of an earlier write, perhaps; what is kept is written again
            logger.warning("%s could not be synced before it is checked: %s", segment.path, error)

    def _scan_segment(self, segment: LogSegment, size: int, durable: int) -> str | None:
        """Keep undamaged, contiguous batches; returns what is wrong after them."""
        unconfirmed = None
        try:
            for position, header, _ in read_batches(segment.file, segment.size, size):
                if header.base_offset != segment.next_offset:
                    return f"a batch has offset {header.base_offset} instead of {segment.next_offset}"
                if header.base_offset >= durable and unconfirmed is None:
                    unconfirmed = position
                segment.note_batch(header)
                self._writers.record(header)
        except FlussError as error:
            return error.message
        finally:
            if unconfirmed is not None:
                self._write_again(segment, unconfirmed)
        return None

    @staticmethod
    def _write_again(segment: LogSegment, position: int) -> None:
        """Write the batches from ``position`` on over themselves, so that the next sync covers them.

        When the sync of an earlier process has failed, the kernel may still hold pages that never reached the disk, and
        that it will not write any more because it has marked them clean.
        """
        file = segment.file
        try:
            while position < segment.size:
                data = file.read(min(CHUNK_BYTES, segment.size - position), position)
                if not data:
                    raise OSError(errno.EIO, f"{segment.path} ends before position {segment.size}")
                file.write((data,), position)
                position += len(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # A file system that writes everything to new places has no space for that. The pages were dropped.
            logger.warning("%s cannot be written again, the disk is full: %s", segment.path, error)

    def _intact_batch_follows(self, dropped: Sequence[int], offset: int) -> bool:
        last = self._segments[-1]
        if find_intact_batch(last.file, last.size, last.file.size(), offset) is not None:
            return True
        for base in dropped:
            segment = LogSegment(self._directory, base, self._config, self._runtime)
            if find_intact_batch(segment.file, 0, segment.file.size(), offset) is not None:
                return True
        return False

    def _cut(self, dropped: Sequence[int]) -> int:
        """Cut the last segment after its last batch and remove later ones; returns the bytes removed with them."""
        removed = 0
        for base in reversed(dropped):
            segment = LogSegment(self._directory, base, self._config, self._runtime)
            removed += segment.file.size()
            segment.delete()
        last = self._segments[-1]
        if last.file.size() > last.size:
            last.file.truncate(last.size)
            last.file.sync()
        self._disk.sync_directory(self._directory)
        return removed

    # ------------------------------------------------------------------ writer state

    def _restore_writers(self, first: LogSegment, point: RecoveryPoint | None) -> int:
        """Writer state at the end of the trusted part of ``first``, the first segment to scan; returns its origin."""
        target = first.next_offset
        if point and target == point.offset:
            entries = self._snapshots.read(target, point.snapshot_crc)
            if entries is not None:
                self._writers.restore(entries)
                return target
        try:
            return replay_writers(self._writers, self._snapshots, [*self._segments, first], target)
        except FlussError as error:
            raise FlussError(error.code, error.message, hint=ACCEPT_LOSS_HINT) from error

    # ------------------------------------------------------------------ orphaned files

    def _remove_orphaned_files(self, end_offset: int) -> None:
        """Remove files that belong to no segment or to a future that is gone."""
        removed = False
        bases = {segment.base_offset for segment in self._segments}
        for suffix in (OFFSET_INDEX, TIME_INDEX):
            for base in offsets_in(self._disk, self._directory, suffix):
                if base not in bases:
                    self._disk.remove(path_of(self._directory, base, suffix))
                    removed = True
        for offset in self._snapshots.offsets():
            if not self._segments[0].base_offset <= offset <= end_offset:
                self._snapshots.delete(offset)
                removed = True
        if removed:
            self._disk.sync_directory(self._directory)


def forget_durable_offsets(directory: PurePath, disk: Disk) -> None:
    """Remove recovery point and flush checkpoint, durably, before batches below them go. Needs no disk space.

    Raises:
        OSError: they may still be there.
    """
    disk.remove(directory / RECOVERY_POINT, missing_ok=True)
    disk.remove(directory / FLUSH_CHECKPOINT, missing_ok=True)
    disk.sync_directory(directory)
