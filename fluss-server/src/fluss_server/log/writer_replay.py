"""Writer state from snapshots and the batches after them."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.log.batch_reader import read_batches
from fluss_server.log.log_segment import LogSegment
from fluss_server.log.writer_snapshot import WriterSnapshots
from fluss_server.log.writer_state import WriterStates


def replay_writers(writers: WriterStates, snapshots: WriterSnapshots, segments: Sequence[LogSegment], end: int) -> int:
    """Set ``writers`` to what they are at offset ``end``, from the newest good snapshot and the batches after it.

    Args:
        writers: replaced.
        snapshots: of the log; those after ``end`` are not used.
        segments: contiguous, at least up to ``end``.
        end: end of a batch, or the start of the log.

    Returns:
        Offset of the snapshot used; the start of the log if there is none.

    Raises:
        FlussError: ``LOG_STORAGE_EXCEPTION`` for a damaged batch.
        OSError: a file cannot be read.
    """
    start = segments[0].base_offset
    writers.restore([])
    for offset in reversed(snapshots.offsets()):
        if start <= offset <= end and (entries := snapshots.read(offset)) is not None:
            writers.restore(entries)
            start = offset
            break
    for segment in segments:
        if not (segment.next_offset > start and segment.base_offset < end):
            continue
        try:
            for _, header, _ in read_batches(segment.file, 0, segment.size):
                if header.base_offset >= end:
                    break
                if header.base_offset >= start:
                    writers.record(header)
        except FlussError as error:
            raise FlussError(ErrorCode.LOG_STORAGE_EXCEPTION, f"{segment.path}: {error.message}") from error
    return start
