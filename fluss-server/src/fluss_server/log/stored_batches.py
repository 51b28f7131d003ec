"""Checking batches that lie in a ``.log`` file, as fast as the checksum allows."""

from __future__ import annotations

import struct
from typing import NamedTuple

from fluss_server.formats.crc import crc32c, extend_crc32c
from fluss_server.formats.log_batch import FIXED_HEADER_SIZES, LENGTH_OVERHEAD, MAGIC_OFFSET, MAX_FIXED_HEADER_SIZE
from fluss_server.runtime.disk import DiskFile

CHUNK_BYTES = 64 << 10
"""Read at a time; small enough for the cache of a processor core."""

_REST_BYTES = 256 << 10
"""Read at a time of a batch that is larger: its CRC is computed where they are."""

# Base offset, length, magic, CRC, last offset delta; by magic.
_FRAMES = (struct.Struct("<qib8xI3xi"), struct.Struct("<qib8xI3xi"), struct.Struct("<qib12xI3xi"))
_FRAME_BYTES = max(frame.size for frame in _FRAMES)
_STATISTICS = struct.Struct("<i")  # length
_CRC_FROM = (25, 25, 29)  # by magic: first byte that the CRC covers


class CheckResult(NamedTuple):
    """How far batches are undamaged.

    Attributes:
        position: after the last undamaged batch.
        offset: offset after it.
        damage: what is wrong with the batch there; None if everything was undamaged.
    """

    position: int
    offset: int
    damage: str | None


def check_stored_batches(file: DiskFile, position: int, offset: int, limit: int, end: int) -> CheckResult:
    """Check the batches from ``position`` on: length, CRC, and that each begins with the offset that is due.

    Commit timestamp and leader epoch are covered by no checksum, nor is the difference between magic 1 and 0.

    Reads every byte once. Memory: :data:`CHUNK_BYTES`. About 60 us a MiB besides reading, and 1 us a batch.

    Args:
        file: the ``.log`` file.
        position: of a batch.
        offset: that this batch must have.
        limit: stop at the first end of a batch at or after this position.
        end: of the last batch in the file.

    Raises:
        OSError: the file cannot be read.
    """
    buffer = bytearray(min(CHUNK_BYTES, max(limit - position, MAX_FIXED_HEADER_SIZE)))
    view = memoryview(buffer)
    while position < limit:
        wanted = min(len(buffer), max(limit - position, MAX_FIXED_HEADER_SIZE), end - position)
        filled = file.read_into(view[:wanted], position)
        at, last, to_limit = 0, filled - _FRAME_BYTES, limit - position
        while at <= last and at < to_limit:
            magic = buffer[at + MAGIC_OFFSET]
            if magic >= len(_FRAMES):
                return CheckResult(position + at, offset, f"unknown magic {magic}")
            base_offset, length, _, crc, delta = _FRAMES[magic].unpack_from(buffer, at)
            size = length + LENGTH_OVERHEAD
            if not FIXED_HEADER_SIZES[magic] <= size <= end - position - at:
                return CheckResult(position + at, offset, f"it cannot have {size} bytes")
            if magic:
                if at + FIXED_HEADER_SIZES[magic] > filled:
                    break  # read again from its start
                # The CRC does not cover the magic: a batch of magic 0 must not pass for one of magic 1.
                statistics = _STATISTICS.unpack_from(buffer, at + FIXED_HEADER_SIZES[magic] - _STATISTICS.size)[0]
                if not 0 <= statistics <= size - FIXED_HEADER_SIZES[magic]:
                    return CheckResult(position + at, offset, f"it cannot have {statistics} bytes of statistics")
            stop = at + size
            # A copy in the processor's cache: NumPy would avoid it, but costs 0.1 s and 15 MB when it is loaded.
            actual = crc32c(bytes(view[at + _CRC_FROM[magic] : min(stop, filled)]))
            if stop > filled:
                actual = _extended(actual, file, position + filled, position + stop)
            if actual != crc:
                return CheckResult(position + at, offset, "its CRC does not match")
            if base_offset != offset or delta < 0:
                return CheckResult(position + at, offset, f"it has offset {base_offset} instead of {offset}")
            offset += delta + 1
            at = stop
        if at == 0:
            return CheckResult(position, offset, "the file ends in it")
        position += at
    return CheckResult(position, offset, None)


def _extended(crc: int, file: DiskFile, position: int, stop: int) -> int:
    """CRC of bytes with the CRC ``crc`` and what follows them in the file; -1 if the file is too short."""
    while position < stop:
        data = file.read(min(_REST_BYTES, stop - position), position)
        if not data:
            return -1
        crc = extend_crc32c(crc, data)
        position += len(data)
    return crc
