"""Reading all batches of a segment in order, each of them checked."""

from __future__ import annotations

from collections.abc import Iterator

from fluss_server.formats.log_batch import BatchHeader
from fluss_server.log.batch_reader import NoBatchError, read_batches
from fluss_server.log.log_segment import LogSegment


def replay_segment(
    segment: LogSegment, position: int, size: int, offset: int, end_offset: int
) -> Iterator[tuple[BatchHeader, bytes]]:
    """Batches of a segment up to the last one that begins below ``end_offset``; memory is that of a batch or two.

    Args:
        segment: to read.
        position: of the first batch.
        size: visible bytes of the segment.
        offset: that the first batch must have.
        end_offset: more than ``offset``.

    Raises:
        BatchDamagedError: a batch is damaged.
        OSError: the file cannot be read.
    """
    try:
        for _, header, data in read_batches(segment.file, position, size):
            if header.base_offset != offset:
                raise NoBatchError(position, f"it has offset {header.base_offset} instead of {offset}")
            yield header, bytes(data)
            position, offset = position + header.size, header.next_offset
            if offset >= end_offset:
                return
    except NoBatchError as error:
        raise segment.damaged(position, error.reason, offset) from error
