"""Stored values of a KvStore and the batches in which LIMIT_SCAN returns them (docs/formats/kv-values.md).

A value is ``[int16 schema id][row]``, little-endian. A value batch is ``[int32 length of the rest][int8 magic 0][int32
count]`` and per value ``[int32 length][value]``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer

SCHEMA_ID_SIZE = 2

_SCHEMA_ID = struct.Struct("<h")
_BATCH_HEADER = struct.Struct("<ibi")
_LENGTH = struct.Struct("<i")
_MIN_RECORD_SIZE = _LENGTH.size + SCHEMA_ID_SIZE


def encode_value(schema_id: int, row: bytes) -> bytes:
    """Value of a row written with the schema version ``schema_id``."""
    return _SCHEMA_ID.pack(schema_id) + row


def decode_value(value: Buffer) -> tuple[int, memoryview]:
    """Schema id and row of a value.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if it is shorter than a schema id.
    """
    if len(value) < SCHEMA_ID_SIZE:
        raise _corrupt(f"a stored value of {len(value)} bytes has no schema id")
    return _SCHEMA_ID.unpack_from(value)[0], memoryview(value)[SCHEMA_ID_SIZE:]


def build_value_batch(values: Sequence[bytes]) -> bytes:
    """Batch of values, in order."""
    pieces = [b""]
    for value in values:
        pieces += (_LENGTH.pack(len(value)), value)
    size = sum(map(len, pieces)) + _BATCH_HEADER.size - _LENGTH.size
    pieces[0] = _BATCH_HEADER.pack(size, 0, len(values))
    return b"".join(pieces)


def parse_value_batch(batch: Buffer) -> list[bytes]:
    """Values of a batch, in order.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if it is not one whole batch.
    """
    if len(batch) < _BATCH_HEADER.size:
        raise _corrupt(f"a value batch of {len(batch)} bytes has no header")
    length, magic, count = _BATCH_HEADER.unpack_from(batch)
    end = length + _LENGTH.size
    if end != len(batch) or magic != 0:
        raise _corrupt(f"a value batch states magic {magic} and {end} bytes, {len(batch)} are there")
    position = _BATCH_HEADER.size
    if not 0 <= count <= (end - position) // _MIN_RECORD_SIZE:
        raise _corrupt(f"a value batch of {end} bytes cannot hold {count} values")
    data = bytes(batch)
    values = []
    for _ in range(count):
        if end - position < _LENGTH.size:
            raise _corrupt("a value batch ends inside a value")
        start = position + _LENGTH.size
        size = _LENGTH.unpack_from(data, position)[0]
        position = start + size
        if size < SCHEMA_ID_SIZE or position > end:
            raise _corrupt(f"a value of {size} bytes exceeds its batch")
        values.append(data[start:position])
    if position != end:
        raise _corrupt("a value batch has bytes after its last value")
    return values


def _corrupt(message: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, message)
