"""Reading and checking the batches of a ``.log`` file from a position on."""

from __future__ import annotations

from collections.abc import Iterator

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import (
    HEADER_SIZE_V0,
    LENGTH_OFFSET,
    LENGTH_OVERHEAD,
    MAX_FIXED_HEADER_SIZE,
    BatchHeader,
    crc_matches,
    parse_header,
)
from fluss_server.runtime.disk import DiskFile

CHUNK_BYTES = 1 << 20
_SEARCH_CHUNK_BYTES = 4 << 20
_MAX_OFFSET_GAP = 2**31


class NoBatchError(FlussError):
    """``CORRUPT_RECORD_EXCEPTION``: no whole, undamaged batch begins at a position.

    Attributes:
        reason: why not.
    """

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"no undamaged batch at position {position}: {reason}")
        self.reason = reason


def read_batches(file: DiskFile, position: int, end: int) -> Iterator[tuple[int, BatchHeader, memoryview]]:
    """Position, header and bytes of every batch in ``[position, end)``, whole and with a matching CRC.

    The bytes are valid until the next step. Memory: one chunk of 1 MiB, or one batch if that is larger.

    Raises:
        NoBatchError: at the first byte that does not begin a whole, undamaged batch.
        OSError: the file cannot be read.
    """
    buffer = memoryview(bytearray(min(CHUNK_BYTES, max(end - position, 0))))
    window = buffer[:0]  # unread bytes, from position on
    while position < end:
        remaining = end - position
        if _stated_size(window) > len(window):
            window = buffer[: file.read_into(buffer[:remaining], position)]
            size = _stated_size(window)
            if size > remaining:
                raise NoBatchError(position, f"{remaining} bytes are left, a batch needs at least {size}")
            if size > len(window):
                buffer = memoryview(bytearray(size))
                window = buffer[: file.read_into(buffer, position)]
        try:
            header = parse_header(window)
        except FlussError as error:
            raise NoBatchError(position, error.message) from error
        if not crc_matches(window, 0, header):
            raise NoBatchError(position, "its CRC does not match")
        yield position, header, window[: header.size]
        position += header.size
        window = window[header.size :]


def find_intact_batch(file: DiskFile, position: int, end: int, min_offset: int) -> int | None:
    """Position of some undamaged batch that starts in ``[position, end)`` at an offset of ``min_offset`` or later.

    Tries every byte: the length field before it may be the damaged one. None if there is no such batch. Offsets more
    than 2^31 after ``min_offset`` are taken for garbage.

    Raises:
        OSError: the file cannot be read.
    """
    import numpy as np

    while end - position >= HEADER_SIZE_V0:
        data = file.read(min(_SEARCH_CHUNK_BYTES, end - position), position)
        candidates: list[int] = []
        for shift in range(min(8, len(data) - 7)):
            count = (len(data) - shift) // 8
            offsets = np.frombuffer(data, dtype="<i8", count=count, offset=shift)
            hits = np.flatnonzero((offsets >= min_offset) & (offsets < min_offset + _MAX_OFFSET_GAP))
            candidates.extend((hits * 8 + shift).tolist())
        for candidate in sorted(candidates):
            if _is_intact(file, position + candidate, end, min_offset):
                return position + candidate
        if len(data) < 8:
            return None
        position += len(data) - 7
    return None


def _is_intact(file: DiskFile, position: int, end: int, min_offset: int) -> bool:
    try:
        header = parse_header(file.read(MAX_FIXED_HEADER_SIZE, position))
        if header.base_offset < min_offset or header.size > end - position:
            return False
        return crc_matches(file.read(header.size, position), 0, header)
    except FlussError:
        return False


def _stated_size(data: memoryview) -> int:
    """Size of the batch at the start of ``data`` according to its length field, never less than a header."""
    if len(data) < LENGTH_OVERHEAD:
        return HEADER_SIZE_V0
    return max(
        int.from_bytes(data[LENGTH_OFFSET:LENGTH_OVERHEAD], "little", signed=True) + LENGTH_OVERHEAD, HEADER_SIZE_V0
    )
