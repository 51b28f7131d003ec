"""What is checked before batches enter a log."""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader, crc_matches, parse_header


def check_batches(data: memoryview, max_batch_bytes: int) -> list[BatchHeader]:
    """Headers of one or more batches, all of which are whole and undamaged.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION``: no batch, a damaged one, or a partial one;
            ``RECORD_TOO_LARGE_EXCEPTION``: a batch of more than ``max_batch_bytes``.
    """
    headers: list[BatchHeader] = []
    position, end = 0, len(data)
    while position < end or not headers:
        header = parse_header(data, position)
        if header.size > max_batch_bytes:
            raise FlussError(
                ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
                f"a log batch has {header.size} bytes, allowed are {max_batch_bytes}",
                hint="make the client's batches smaller",
            )
        if not crc_matches(data, position, header):
            raise FlussError(
                ErrorCode.CORRUPT_RECORD_EXCEPTION,
                f"the log batch at byte {position} is cut off or damaged (its CRC does not match)",
            )
        if header.last_offset_delta != max(header.record_count - 1, 0):
            raise FlussError(
                ErrorCode.CORRUPT_RECORD_EXCEPTION,
                f"the log batch at byte {position} has {header.record_count} records but a last offset delta of "
                f"{header.last_offset_delta}",
            )
        headers.append(header)
        position += header.size
    return headers


def check_offsets(headers: Sequence[BatchHeader], offset: int) -> int:
    """Check that replicated batches follow one another from ``offset`` on; returns the offset after them.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION``: there is a gap, or an overlap.
    """
    for header in headers:
        if header.base_offset != offset:
            raise FlussError(
                ErrorCode.CORRUPT_RECORD_EXCEPTION,
                f"a replicated batch has offset {header.base_offset} instead of {offset}",
            )
        offset = header.next_offset
    return offset
