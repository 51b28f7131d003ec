"""Row-based log payloads, for ``table.log.format`` INDEXED and COMPACTED (docs/formats/log-batch.md).

``[int32 length of the rest][int8 change type][row]`` per record. Offsets follow from the order. In an append-only batch
every change type is 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader, ChangeType

_RECORD_HEADER = struct.Struct("<iB")


def encode_row_payload(rows: Sequence[bytes], change_types: Buffer | None = None) -> bytes:
    """Payload of encoded rows; ``change_types`` has a byte per row, None = all are appends."""
    pieces = []
    for index, row in enumerate(rows):
        pieces.append(_RECORD_HEADER.pack(1 + len(row), 0 if change_types is None else change_types[index]))
        pieces.append(row)
    return b"".join(pieces)


def decode_row_batch(batch: Buffer, header: BatchHeader) -> tuple[bytes, list[bytes]]:
    """Change types, one byte per record, and encoded rows of a batch.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the records do not fill the batch exactly.
    """
    data = bytes(memoryview(batch)[header.header_size : header.size])
    end = len(data)
    position = 0
    change_types = bytearray()
    rows = []
    for _ in range(header.record_count):
        if end - position < _RECORD_HEADER.size:
            raise _corrupt("it ends inside a record")
        length, change_type = _RECORD_HEADER.unpack_from(data, position)
        start = position + _RECORD_HEADER.size
        position = start + length - 1
        if length < 1 or position > end:
            raise _corrupt(f"a record of {length} bytes exceeds its batch")
        if change_type > ChangeType.DELETE:
            raise _corrupt(f"unknown change type {change_type}")
        change_types.append(change_type)
        rows.append(data[start:position])
    if position != end:
        raise _corrupt(f"{end - position} bytes follow its last record")
    return bytes(change_types), rows


def _corrupt(reason: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"corrupt log batch: {reason}")
