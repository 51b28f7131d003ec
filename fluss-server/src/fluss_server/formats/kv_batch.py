"""KV record batches: what PUT_KV carries (docs/formats/kv-batch.md).

======  ====  =========================================
offset  size  field (little-endian)
======  ====  =========================================
0       4     length = total size - 4
4       1     magic 0
5       4     CRC-32C of [9, end), unsigned
9       2     schema id
11      1     attributes, 0
12      8     writer id, -1 = none
20      4     batch sequence, -1 = none
24      4     record count
28            records
======  ====  =========================================

A record is ``[int32 length of the rest][uvarint32 key length][key][row]``; without row bytes it deletes the key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.crc import crc32c
from fluss_server.formats.log_batch import NO_BATCH_SEQUENCE as NO_BATCH_SEQUENCE
from fluss_server.formats.log_batch import NO_WRITER_ID as NO_WRITER_ID
from fluss_server.formats.varint import decode_unsigned32, encode_unsigned

HEADER_SIZE = 28

_HEADER = struct.Struct("<ibIhbqii")
_COUNT = struct.Struct("<i")
_COUNT_OFFSET = 24
_ROW_COST_BYTES = 512  # measured: keys, old and new rows and changelog as Python objects
_LENGTH = struct.Struct("<i")
_RECORD = struct.Struct("<iB")  # length of the rest, key length if that is below 128
_CRC = struct.Struct("<I")
_CRC_OFFSET = 5
_CHECKED_FROM = 9
_LENGTH_OVERHEAD = 4
_MIN_RECORD_SIZE = 5


@dataclass(slots=True)
class KvBatch:
    """A batch whose header and CRC are right.

    Attributes:
        size: bytes of the whole batch.
        schema_id: of the rows.
        writer_id: -1 for a writer that is not idempotent.
        batch_sequence: -1 for a writer that is not idempotent.
        record_count: number of records.
        data: bytes of the batch.
    """

    size: int
    schema_id: int
    writer_id: int
    batch_sequence: int
    record_count: int
    data: bytes

    @classmethod
    def parse(cls, buffer: Buffer, position: int = 0) -> KvBatch:
        """Read the batch that starts at ``position``; bytes after it are ignored.

        Raises:
            FlussError: ``CORRUPT_MESSAGE`` if it is cut off, its CRC does not match, or its magic is unknown.
        """
        available = len(buffer) - position
        if available < HEADER_SIZE:
            raise _corrupt(f"a KV batch header needs {HEADER_SIZE} bytes, only {max(available, 0)} are there")
        length, magic, crc, schema_id, _, writer_id, sequence, count = _HEADER.unpack_from(buffer, position)
        size = length + _LENGTH_OVERHEAD
        if not HEADER_SIZE <= size <= available:
            raise _corrupt(f"a KV batch states {size} bytes, {available} are there")
        if magic != 0:
            raise _corrupt(f"unknown magic {magic} of a KV batch")
        if not 0 <= count <= (size - HEADER_SIZE) // _MIN_RECORD_SIZE:
            raise _corrupt(f"a KV batch of {size} bytes cannot hold {count} records")
        # One copy, because slices of bytes are what everybody needs: keys and rows that outlive the request.
        data = bytes(memoryview(buffer)[position : position + size])
        if crc32c(memoryview(data)[_CHECKED_FROM:]) != crc:
            raise _corrupt("the CRC of a KV batch does not match")
        return cls(size, schema_id, writer_id, sequence, count, data)

    def records(self, prefix: bytes = b"") -> tuple[list[bytes], list[bytes | None]]:
        """Keys and rows in order, ``prefix`` before each row; row None = the key is deleted.

        Raises:
            FlussError: ``CORRUPT_MESSAGE`` if the records do not fill the batch exactly.
        """
        data = self.data
        end = self.size
        position = HEADER_SIZE
        keys: list[bytes] = []
        rows: list[bytes | None] = []
        add_key = keys.append
        add_row = rows.append
        sizes_at = _RECORD.unpack_from
        try:
            for _ in range(self.record_count):
                length, key_size = sizes_at(data, position)
                start = position + 5
                position += 4 + length
                if key_size >= 0x80:
                    try:
                        key_size, start = decode_unsigned32(data, start - 1)
                    except FlussError as error:
                        raise _corrupt(error.message) from None
                key_end = start + key_size
                if not key_end <= position <= end:
                    raise _corrupt("a record of a KV batch reaches past its end")
                add_key(data[start:key_end])
                add_row(prefix + data[key_end:position] if key_end < position else None)
        except struct.error:
            raise _corrupt("a KV batch ends inside a record") from None
        if position != end:
            raise _corrupt(f"a KV batch has {end - position} bytes after its last record")
        return keys, rows


def merge_cost_bytes(batch: Buffer) -> int:
    """About how much memory it takes to merge a batch; looks at nothing but the header."""
    if len(batch) < HEADER_SIZE:
        return len(batch)
    count: int = _COUNT.unpack_from(batch, _COUNT_OFFSET)[0]
    return len(batch) + max(count, 0) * _ROW_COST_BYTES


def max_record_count(batch: Buffer) -> int:
    """Records that a batch says it has, and no more than it has space for; looks at nothing but the header."""
    if len(batch) < HEADER_SIZE:
        return 0
    count: int = _COUNT.unpack_from(batch, _COUNT_OFFSET)[0]
    return min(max(count, 0), (len(batch) - HEADER_SIZE) // _MIN_RECORD_SIZE)


def build_kv_batch(
    schema_id: int,
    records: Iterable[tuple[bytes, bytes | None]],
    *,
    writer_id: int = NO_WRITER_ID,
    batch_sequence: int = NO_BATCH_SEQUENCE,
) -> bytes:
    """A batch of (key, row) pairs; row None = delete."""
    pieces: list[bytes] = [b""]
    count = 0
    for key, row in records:
        prefix = encode_unsigned(len(key))
        pieces += (_LENGTH.pack(len(prefix) + len(key) + len(row or b"")), prefix, key)
        if row is not None:
            pieces.append(row)
        count += 1
    size = HEADER_SIZE + sum(map(len, pieces))
    pieces[0] = _HEADER.pack(size - _LENGTH_OVERHEAD, 0, 0, schema_id, 0, writer_id, batch_sequence, count)
    batch = bytearray().join(pieces)
    _CRC.pack_into(batch, _CRC_OFFSET, crc32c(bytes(batch[_CHECKED_FROM:])))
    return bytes(batch)


def _corrupt(message: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_MESSAGE, message)
