"""What the parts of an open log share."""

from __future__ import annotations

from pathlib import PurePath

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.damage import DamageRegister
from fluss_server.log.leader_epochs import LeaderEpochs
from fluss_server.log.log_config import LogConfig
from fluss_server.log.log_recovery import RecoveredLog
from fluss_server.log.log_view import LogView
from fluss_server.log.open_segments import OpenSegments
from fluss_server.log.recovery_point_writer import RecoveryPointWriter
from fluss_server.runtime.runtime import Runtime


class LogState:
    """The segments of an open log and what is known of them.

    Attributes:
        directory: of the log.
        config: of the log.
        runtime: its clock, disk and locks.
        view: what readers see; replaced as a whole, with the append lock.
        deletion_lock: held while old segments are deleted, or all; taken before the other two.
        flush_lock: held while batches become durable or go; taken before the append lock.
        append_lock: held while the view changes.
        flushed_offset: everything below it is durable.
        max_timestamp: largest commit timestamp, epoch milliseconds; -1 for an empty log.
        sealed_bytes: bytes of all segments but the last.
        directory_changed: whether the name of the last segment may be younger than the last sync of the directory.
        must_roll: whether the last segment takes no more batches: it was truncated, and somebody may still be reading
            what it had.
        writers: idempotent writers as of the end of the log.
        epochs: leader epochs.
        point: moves the recovery point.
        damage: damaged batches that were found.
        open_sealed: which sealed segments keep their files open.
        failure: why the log refuses work, None if it does not.
        closed: whether the log was closed or deleted.
    """

    def __init__(self, directory: PurePath, config: LogConfig, runtime: Runtime, recovered: RecoveredLog) -> None:
        segments = tuple(recovered.segments)
        last = segments[-1]
        self.directory = directory
        self.config = config
        self.runtime = runtime
        self.view = LogView(last.next_offset, last.size, segments, tuple(s.base_offset for s in segments))
        self.deletion_lock = runtime.workers.lock()
        self.flush_lock = runtime.workers.reentrant_lock()
        self.append_lock = runtime.workers.reentrant_lock()
        self.flushed_offset = last.next_offset
        self.max_timestamp = max(segment.max_timestamp for segment in segments)
        self.sealed_bytes = sum(segment.size for segment in segments[:-1])
        self.directory_changed = True
        self.must_roll = False
        self.writers = recovered.writers
        self.epochs = LeaderEpochs(directory, runtime.disk)
        recovery_offset = -1 if recovered.report.changed else last.next_offset
        self.point = RecoveryPointWriter(directory, config, runtime, recovery_offset)
        self.damage = DamageRegister()
        self.open_sealed = OpenSegments(runtime.workers.lock())
        self.failure: FlussError | None = None
        self.closed = False

    def check_usable(self) -> None:
        """Raise unless the log may be changed.

        Raises:
            FlussError: :attr:`failure`; ``LOG_STORAGE_EXCEPTION`` when the log is closed.
        """
        if self.failure is not None:
            raise self.failure
        if self.closed:
            raise FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, f"the log in {self.directory} is closed")
