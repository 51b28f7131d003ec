"""Headers of log record batches (magic 0, 1 and 2) and the batches around them.

Layout, little-endian (docs/formats/log-batch.md):

===================  ====  ===========  ============  ============
field                size  magic 0      magic 1       magic 2
===================  ====  ===========  ============  ============
base offset          8     0            0             0
length (total - 12)  4     8            8             8
magic                1     12           12            12
commit timestamp ms  8     13           13            13
leader epoch         4     -            -             21
CRC-32C              4     21           21            25
schema id            2     25           25            29
attributes           1     27           27            31
last offset delta    4     28           28            32
writer id            8     32           32            36
batch sequence       4     40           40            44
record count         4     44           44            48
statistics length    4     -            48            52
statistics                 -            52            56
records                    48           52 + stats    56 + stats
===================  ====  ===========  ============  ============

The CRC covers schema id to end of batch, so that a server stamps offset, timestamp and leader epoch without touching
it. Magic 1 had another layout in Fluss 0.9.1, which nobody writes; such a batch fails the CRC check and is refused.

Records: ``[change types: one byte each, unless append-only][Arrow message or row records]``; nothing if the count is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.crc import crc32c

HEADER_SIZE_V0 = 48
HEADER_SIZE_V1 = 52
HEADER_SIZE_V2 = 56
MIN_HEADER_SIZE = HEADER_SIZE_V0
FIXED_HEADER_SIZES = (HEADER_SIZE_V0, HEADER_SIZE_V1, HEADER_SIZE_V2)
"""Header size by magic, statistics not included."""
MAX_FIXED_HEADER_SIZE = HEADER_SIZE_V2
"""Bytes that suffice to parse the header of any batch (statistics not included)."""

LENGTH_OFFSET = 8
LENGTH_OVERHEAD = 12
"""Total size of a batch minus its length field."""
MAGIC_OFFSET = 12
NO_WRITER_ID = -1
NO_BATCH_SEQUENCE = -1
NO_LEADER_EPOCH = -1

_ATTRIBUTE_APPEND_ONLY = 1
_V0 = struct.Struct("<qibqIhbiqii")
_V1 = struct.Struct("<qibqIhbiqiii")
_V2 = struct.Struct("<qibqiIhbiqiii")
_OFFSET = struct.Struct("<q")
_LENGTH = struct.Struct("<i")
_TIMESTAMP = struct.Struct("<q")
_TIMESTAMP_AND_EPOCH = struct.Struct("<qi")
_CRC = struct.Struct("<I")
_TIMESTAMP_OFFSET = 13
_CHECKED_FROM = (25, 25, 29)  # by magic: first byte the CRC covers


class ChangeType(IntEnum):
    """What a record says about its row."""

    APPEND = 0
    INSERT = 1
    UPDATE_BEFORE = 2
    UPDATE_AFTER = 3
    DELETE = 4


@dataclass(slots=True)
class BatchHeader:
    """Header of one batch.

    Attributes:
        base_offset: offset of the first record.
        size: bytes of the whole batch, header included.
        magic: 0, 1 or 2.
        commit_timestamp: epoch milliseconds, stamped by the leader.
        leader_epoch: -1 if the layout has none.
        crc: CRC-32C from the schema id to the end, unsigned.
        schema_id: of the rows.
        append_only: whether there are no change types.
        last_offset_delta: record count minus 1; 0 for an empty batch, which still takes one offset.
        writer_id: -1 for a writer that is not idempotent.
        batch_sequence: -1 for a writer that is not idempotent.
        record_count: number of records.
        header_size: position of the records in the batch, statistics included.
    """

    base_offset: int
    size: int
    magic: int
    commit_timestamp: int
    leader_epoch: int
    crc: int
    schema_id: int
    append_only: bool
    last_offset_delta: int
    writer_id: int
    batch_sequence: int
    record_count: int
    header_size: int

    @property
    def last_offset(self) -> int:
        """Offset of the last record (of the batch itself when it is empty)."""
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """Base offset of the batch after this one."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def payload_offset(self) -> int:
        """Position in an Arrow batch of the Arrow message: after the change types, if any."""
        return self.header_size if self.append_only else self.header_size + self.record_count


def parse_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """Read the header of the batch that starts at ``position``.

    The buffer may end anywhere after the fixed part of the header (48, 52 or 56 bytes); that the whole batch is there,
    and that its CRC matches, is for the caller to check.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a short buffer, an unknown magic, a length that cannot hold the
            header, or negative counts.
    """
    available = len(buffer) - position
    if available < HEADER_SIZE_V0:
        raise _corrupt(f"a log batch header needs {HEADER_SIZE_V0} bytes, only {max(available, 0)} are there")
    magic = buffer[position + MAGIC_OFFSET]
    leader_epoch = NO_LEADER_EPOCH
    header_size = HEADER_SIZE_V0
    if magic == 0:
        base, length, _, time, crc, schema_id, flags, delta, writer, sequence, count = _V0.unpack_from(buffer, position)
    elif magic > 2:
        raise _corrupt(f"unknown magic {magic} of a log batch")
    else:
        if available < FIXED_HEADER_SIZES[magic]:
            raise _corrupt(
                f"a log batch header of magic {magic} needs {FIXED_HEADER_SIZES[magic]} bytes, {available} are there"
            )
        if magic == 1:
            values = _V1.unpack_from(buffer, position)
            base, length, _, time, crc, schema_id, flags, delta, writer, sequence, count, statistics = values
        else:
            values = _V2.unpack_from(buffer, position)
            base, length, _, time, leader_epoch, crc, schema_id, flags, delta, writer, sequence, count, statistics = (
                values
            )
        if statistics < 0:
            raise _corrupt(f"negative statistics length {statistics} of a log batch")
        header_size = FIXED_HEADER_SIZES[magic] + statistics
    size = length + LENGTH_OVERHEAD
    append_only = bool(flags & _ATTRIBUTE_APPEND_ONLY)
    if size < header_size:
        raise _corrupt(f"log batch of {size} bytes cannot hold its header of {header_size} bytes")
    if count < 0 or delta < 0:
        raise _corrupt(f"negative record count {count} or last offset delta {delta} of a log batch")
    if not append_only and count > size - header_size:
        raise _corrupt(f"log batch of {size} bytes cannot hold {count} change types")
    return BatchHeader(
        base, size, magic, time, leader_epoch, crc, schema_id, append_only, delta, writer, sequence, count, header_size
    )


def crc_matches(buffer: Buffer, position: int, header: BatchHeader) -> bool:
    """Whether the whole batch is in the buffer and has the CRC its header states."""
    end = position + header.size
    if end > len(buffer):
        return False
    return crc32c(memoryview(buffer)[position + _CHECKED_FROM[header.magic] : end]) == header.crc


def iter_batches(buffer: Buffer) -> Iterator[tuple[int, BatchHeader]]:
    """Positions and headers of the batches of a buffer, in order; a batch that the buffer cuts off ends the iteration.

    Raises:
        FlussError: as :func:`parse_header`.
    """
    position = 0
    end = len(buffer)
    while end - position >= LENGTH_OVERHEAD:
        size = _LENGTH.unpack_from(buffer, position + LENGTH_OFFSET)[0] + LENGTH_OVERHEAD
        if size > end - position:
            return
        header = parse_header(buffer, position)
        yield position, header
        position += header.size


def has_more_batches(buffer: Buffer, limit: int) -> bool:
    """Whether a buffer has more than ``limit`` batches; looks at their lengths only, and at no more than it must."""
    position, end = 0, len(buffer)
    for _ in range(limit + 1):
        if end - position < HEADER_SIZE_V0:
            return False
        size = _LENGTH.unpack_from(buffer, position + LENGTH_OFFSET)[0] + LENGTH_OVERHEAD
        if not HEADER_SIZE_V0 <= size <= end - position:
            return False
        position += size
    return True


def stamp(
    buffer: bytearray | memoryview,
    position: int,
    header: BatchHeader,
    base_offset: int,
    commit_timestamp: int,
    leader_epoch: int = 0,
) -> None:
    """Write the leader's fields into a batch and into ``header``; the CRC stays valid.

    Args:
        buffer: holds the batch; writable.
        position: start of the batch.
        header: of the batch, updated too.
        base_offset: offset of the first record.
        commit_timestamp: epoch milliseconds.
        leader_epoch: written only where the layout has a place for it (magic 2).
    """
    _OFFSET.pack_into(buffer, position, base_offset)
    if header.magic == 2:
        _TIMESTAMP_AND_EPOCH.pack_into(buffer, position + _TIMESTAMP_OFFSET, commit_timestamp, leader_epoch)
        header.leader_epoch = leader_epoch
    else:
        _TIMESTAMP.pack_into(buffer, position + _TIMESTAMP_OFFSET, commit_timestamp)
    header.base_offset = base_offset
    header.commit_timestamp = commit_timestamp


def build_batch(
    schema_id: int,
    *,
    change_types: Buffer | None,
    payload: Buffer,
    record_count: int,
    writer_id: int = NO_WRITER_ID,
    batch_sequence: int = NO_BATCH_SEQUENCE,
) -> bytearray:
    """A batch of magic 0 with base offset 0 and timestamp 0, ready to be stamped.

    Args:
        schema_id: of the rows, 0 to 32767.
        change_types: one :class:`ChangeType` byte per record, or None for an append-only batch. For row records
            (:mod:`fluss_server.formats.row_log`), whose change types are inside the payload, give ``b""``.
        payload: Arrow message or row records; empty when ``record_count`` is 0.
        record_count: number of records. With 0 the batch is the header only and takes one offset.
        writer_id: -1 for none.
        batch_sequence: -1 for none.
    """
    if record_count == 0:
        change_types, payload = (None if change_types is None else b""), b""
    types_size = 0 if change_types is None else len(change_types)
    size = HEADER_SIZE_V0 + types_size + memoryview(payload).nbytes
    batch = bytearray(size)
    delta = record_count - 1 if record_count else 0
    attributes = _ATTRIBUTE_APPEND_ONLY if change_types is None else 0
    _V0.pack_into(
        batch,
        0,
        0,
        size - LENGTH_OVERHEAD,
        0,
        0,
        0,
        schema_id,
        attributes,
        delta,
        writer_id,
        batch_sequence,
        record_count,
    )
    with memoryview(batch) as view:
        if change_types:
            view[HEADER_SIZE_V0 : HEADER_SIZE_V0 + types_size] = change_types
        view[HEADER_SIZE_V0 + types_size :] = memoryview(payload).cast("B")
        _CRC.pack_into(batch, 21, crc32c(view[25:]))
    return batch


def _corrupt(message: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, message)
