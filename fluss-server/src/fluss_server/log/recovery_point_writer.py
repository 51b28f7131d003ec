"""Moving the recovery point of an open log."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import NamedTuple

from fluss_server.formats.crc import crc32c
from fluss_server.log.file_names import RECOVERY_POINT
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_view import LogView
from fluss_server.log.recovery_point import RecoveryPoint
from fluss_server.log.writer_snapshot import WriterSnapshots, encode_snapshot
from fluss_server.log.writer_state import WriterEntry, WriterStates
from fluss_server.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0
_MAX_PENDING_SNAPSHOTS = 8


class LogSnapshot(NamedTuple):
    """A state of a log from which a recovery point can be made once its batches are durable."""

    view: LogView
    max_timestamp: int
    max_timestamp_offset: int
    offset_entries: int
    time_entries: int
    writers: list[WriterEntry]


class RecoveryPointWriter:
    """Decides when the recovery point moves, and writes it with what it promises: index files and writer snapshots.

    Index and snapshot files are written here and nowhere else, after the fsync of their batches: so a crash can leave
    them missing, short or torn, but never with entries for batches that are not there.

    It moves when many bytes were appended, after some time, and when a segment was sealed. The owner calls
    :meth:`note_append`, :meth:`note_seal` and :meth:`capture` while nothing is appended, the rest from one thread
    at a time.

    Args:
        directory: of the log.
        config: of the log.
        runtime: its clock for the intervals and the expiration of writers, its disk for the files.
        offset: where the recovery point is; -1 if there is none that counts.

    Attributes:
        offset: of the recovery point; -1 if there is none.
    """

    def __init__(self, directory: PurePath, config: LogConfig, runtime: Runtime, offset: int) -> None:
        self.offset = offset
        self._directory = directory
        self._config = config
        self._clock = runtime.clock
        self._disk = runtime.disk
        self._snapshots = WriterSnapshots(directory, runtime.disk)
        self._pending: dict[int, list[WriterEntry]] = {}
        self._appended_bytes = 0
        self._last_snapshot = self._clock.monotonic()
        self._not_before = self._last_snapshot

    def note_append(self, size: int) -> None:
        """Take note of appended bytes."""
        self._appended_bytes += size

    def note_seal(self, end_offset: int, writers: WriterStates) -> None:
        """Take note of a sealed segment that ends at ``end_offset`` with that writer state."""
        self._pending[end_offset] = writers.entries()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that the log should be flushed before it grows further."""
        return len(self._pending) >= _MAX_PENDING_SNAPSHOTS

    def is_due(self, end_offset: int) -> bool:
        """Whether the recovery point should move to the end of the log."""
        if self.offset >= end_offset:
            return False
        now = self._clock.monotonic()
        return now >= self._not_before and (
            bool(self._pending)
            or self._appended_bytes >= self._config.recovery_point_bytes
            or (now - self._last_snapshot) * 1000 >= self._config.recovery_point_interval_ms
        )

    def capture(self, view: LogView, writers: WriterStates) -> LogSnapshot:
        """A snapshot of the log as it is now."""
        active = view.segments[-1]
        offset_index, time_index = active.indexes
        writers.expire(self._clock.now_ms())
        self._appended_bytes = 0
        self._last_snapshot = self._clock.monotonic()
        return LogSnapshot(
            view,
            active.max_timestamp,
            active.max_timestamp_offset,
            len(offset_index),
            len(time_index),
            writers.entries(),
        )

    def write(self, snapshot: LogSnapshot) -> bool:
        """Move the recovery point to a snapshot whose batches are durable; returns whether it succeeded.

        A failure costs time at the next opening, nothing else; it is logged, and tried again some seconds later.
        """
        view = snapshot.view
        try:
            for segment in view.segments[:-1]:
                if not segment.indexes_durable:
                    offset_index, time_index = segment.indexes
                    segment.write_indexes(len(offset_index), len(time_index))
            view.segments[-1].write_indexes(snapshot.offset_entries, snapshot.time_entries)
            for offset, entries in list(self._pending.items()):
                if offset <= view.end:
                    self._snapshots.write(offset, entries)
                    del self._pending[offset]
            self._point(snapshot, self._snapshots.write(view.end, snapshot.writers)).write(self._directory, self._disk)
            self.offset = view.end
            for offset in self._snapshots.offsets():
                if offset < view.end and offset not in view.bases:
                    self._snapshots.delete(offset)
            return True
        except OSError as error:
            logger.warning("cannot move the recovery point of %s: %s", self._directory, error)
            self._not_before = self._clock.monotonic() + _RETRY_SECONDS
            for offset in list(self._pending)[: -_MAX_PENDING_SNAPSHOTS // 2]:
                del self._pending[offset]  # an older one serves as well
            return False

    def forget_behind(self, end_offset: int) -> None:
        """Discard the recovery point, and the snapshots after ``end_offset``, because the log is cut there.

        Raises:
            OSError: snapshots may be left.
        """
        self.offset = -1
        for offset in self._snapshots.offsets():
            if offset > end_offset:
                self._snapshots.delete(offset)
        self._pending = {offset: entries for offset, entries in self._pending.items() if offset <= end_offset}

    def retreat(self, view: LogView) -> None:
        """Have recovery point and snapshots cover nothing after the end of ``view``, because the log is cut there.

        A recovery point before that end stays. One after it moves back to the start of the last segment that is left,
        so that a crash soon after costs no check of the whole log; on a full disk it is removed. The caller syncs the
        directory.

        Raises:
            OSError: they may be as they were.
        """
        self.forget_behind(view.end)
        point = RecoveryPoint.read(self._directory, self._disk)
        if point is not None and point.offset <= view.end:
            return
        if point is not None:
            base = view.bases[-1]
            try:
                RecoveryPoint(view.bases[0], base, base, 0, -1, base, 0, 0, 0).write(self._directory, self._disk)
                return
            except OSError as error:
                logger.warning("removing the recovery point of %s: %s", self._directory, error)
        self._disk.remove(self._directory / RECOVERY_POINT, missing_ok=True)

    def write_empty(self, offset: int) -> None:
        """Have the log begin and end at ``offset``, without writers, whatever other files there are.

        Raises:
            OSError: the recovery point is what it was.
        """
        point = RecoveryPoint(offset, offset, offset, 0, -1, offset, 0, 0, crc32c(encode_snapshot([])))
        point.write(self._directory, self._disk)
        self.offset = offset

    @staticmethod
    def _point(snapshot: LogSnapshot, snapshot_crc: int) -> RecoveryPoint:
        view = snapshot.view
        return RecoveryPoint(
            log_start_offset=view.bases[0],
            offset=view.end,
            segment_base=view.bases[-1],
            segment_size=view.size,
            max_timestamp=snapshot.max_timestamp,
            max_timestamp_offset=snapshot.max_timestamp_offset,
            offset_entries=snapshot.offset_entries,
            time_entries=snapshot.time_entries,
            snapshot_crc=snapshot_crc,
        )
