"""Reading some columns of the batches of a log file, without reading the others where that pays."""

from __future__ import annotations

from collections.abc import Iterator

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_message import metadata_end
from fluss_server.formats.log_batch import LENGTH_OFFSET, LENGTH_OVERHEAD, BatchHeader, parse_header
from fluss_server.formats.projection import ProjectedBatch, TableProjector
from fluss_server.rpc.frames import Piece
from fluss_server.runtime.disk import FileRegion

_WINDOW_BYTES = 32 << 10
"""Read at a time: several small batches, or the head of a large one."""

_BYTES_PER_SPAN = 8 << 10
"""Sending a part of a file of its own costs about as much as reading this many bytes more into memory."""


def project_batches(region: FileRegion, projector: TableProjector) -> Iterator[tuple[BatchHeader, list[Piece], int]]:
    """Header, pieces to send, and their size in bytes, of every batch of a region of whole batches, projected.

    Small batches are read and copied. Of large ones the wanted columns stay where they are: their pieces are regions of
    the file, which cost no memory until they are sent.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION``, also where the file is too short; as :meth:`TableProjector.project`.
        OSError: the file cannot be read.
    """
    position, end = region.position, region.position + region.length
    window = memoryview(b"")  # what was read, from position on
    while position < end:
        if len(window) < _stated_size(window):
            window = memoryview(region.file.read(min(_WINDOW_BYTES, end - position), position))
        header = parse_header(window)
        if header.size > end - position:
            raise _corrupt(header, f"it has {header.size} bytes, {end - position} are there")
        if header.size <= len(window):
            yield header, *_copied(window[: header.size], header, projector)
        elif (plan := _plan(window, header, projector)) is None:
            batch = memoryview(region.file.read(header.size, position))
            yield header, *_copied(batch, header, projector)
        else:
            pieces: list[Piece] = [plan.head]
            pieces += [FileRegion(region.file, position + at, to - at) for at, to in plan.spans if to > at]
            if plan.tail:
                pieces.append(plan.tail)
            yield header, pieces, plan.size
        position += header.size
        window = window[header.size :]


def _plan(window: memoryview, header: BatchHeader, projector: TableProjector) -> ProjectedBatch | None:
    """How to send parts of the file; None if reading the whole batch is cheaper, or needed."""
    if len(window) < header.payload_offset + 8 or len(window) < metadata_end(window, header.payload_offset):
        return None
    plan = projector.plan(window, header)
    return plan if len(plan.spans) * _BYTES_PER_SPAN <= header.size else None


def _copied(batch: memoryview, header: BatchHeader, projector: TableProjector) -> tuple[list[Piece], int]:
    # Joined, because its parts would keep all of the memory that was read until the client has read them.
    projected = b"".join(projector.project(batch, header))
    return [projected], len(projected)


def _stated_size(window: memoryview) -> int:
    """Size of the batch at the start of the window according to its length field."""
    if len(window) < LENGTH_OVERHEAD:
        return LENGTH_OVERHEAD
    return int.from_bytes(window[LENGTH_OFFSET:LENGTH_OVERHEAD], "little", signed=True) + LENGTH_OVERHEAD


def _corrupt(header: BatchHeader, reason: str) -> FlussError:
    return FlussError(
        ErrorCode.CORRUPT_RECORD_EXCEPTION, f"the batch at offset {header.base_offset} is damaged: {reason}"
    )
