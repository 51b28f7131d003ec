"""Metadata of an Arrow IPC RecordBatch message: a reader and a writer for just that flatbuffer.

An encapsulated message is ``ffffffff``, int32 metadata length (padding included), metadata, body. The metadata is a
flatbuffer ``Message{version, header_type, header, bodyLength}`` whose header is ``RecordBatch{length, nodes, buffers,
compression}``; nodes are pairs of int64 (values, nulls), buffers are pairs of int64 (offset in the body, length).
Source: Message.fbs of the Arrow format. Projection and compression only move buffers around, so they need no more than
this and nothing of the column data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer

CODEC_LZ4_FRAME = 0
CODEC_ZSTD = 1

_CONTINUATION = 0xFFFFFFFF
_PREFIX = struct.Struct("<Ii")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")
_HEADER_TYPE_RECORD_BATCH = 3
_VERSION_V5 = 4
_PAIR_SIZE = 16


@dataclass(slots=True)
class RecordBatchMessage:
    """What the metadata of a RecordBatch message says.

    Attributes:
        row_count: rows of the batch.
        nodes: number of values, number of nulls of each field, depth first, flat.
        buffers: offset in the body and length in bytes of each buffer, flat.
        codec: :data:`CODEC_LZ4_FRAME`, :data:`CODEC_ZSTD` or None.
        body_position: first byte of the body, counted as the position given to :func:`parse_message`.
        body_length: bytes of the body.
    """

    row_count: int
    nodes: tuple[int, ...]
    buffers: tuple[int, ...]
    codec: int | None
    body_position: int
    body_length: int


def parse_message(data: Buffer, position: int, end: int) -> RecordBatchMessage:
    """Read the metadata of the message at ``position``; all of it must lie before ``end`` and the end of the data.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if it is not a RecordBatch message, is cut off, or its buffers are not
            inside the body.
    """
    return parse_message_head(data, position, min(end, len(data)))


def metadata_end(data: Buffer, position: int) -> int:
    """Position after the metadata of the message at ``position``, as its prefix says; nothing is checked."""
    size: int = _PREFIX.unpack_from(data, position)[1]
    return position + _PREFIX.size + size


def parse_message_head(data: Buffer, position: int, end: int) -> RecordBatchMessage:
    """As :func:`parse_message` for data that may end with the metadata; ``end`` counts the body."""
    if min(end, len(data)) - position < _PREFIX.size:
        raise _corrupt("it is shorter than its prefix")
    continuation, size = _PREFIX.unpack_from(data, position)
    start = position + _PREFIX.size
    if continuation != _CONTINUATION or not 0 < size <= min(end, len(data)) - start:
        raise _corrupt(f"bad prefix {continuation:08x} or metadata length {size}")
    meta = bytes(data[start : start + size])
    try:
        message = _parse_metadata(meta)
    except struct.error:
        raise _corrupt("its metadata points outside itself") from None
    message.body_position = start + size
    length = message.body_length
    if not 0 <= length <= end - message.body_position:
        raise _corrupt(f"body of {length} bytes, but {end - message.body_position} bytes are there")
    if message.row_count < 0 or (message.nodes and min(message.nodes) < 0):
        raise _corrupt("negative row, value or null count")
    buffers = message.buffers
    if buffers and (min(buffers) < 0 or max(map(add, buffers[0::2], buffers[1::2])) > length):
        raise _corrupt(f"a buffer is not inside the body of {length} bytes")
    return message


def _parse_metadata(meta: bytes) -> RecordBatchMessage:
    message = _U32.unpack_from(meta, 0)[0]
    version, header_type, header, body_length = _fields(meta, message, 4)
    if not header or not header_type or meta[header_type : header_type + 1] != bytes((_HEADER_TYPE_RECORD_BATCH,)):
        raise _corrupt("it is not a RecordBatch message")
    if not version or _U16.unpack_from(meta, version)[0] != _VERSION_V5:
        raise _corrupt("its metadata version is not V5")
    batch = header + _U32.unpack_from(meta, header)[0]
    length, nodes, buffers, compression = _fields(meta, batch, 4)
    codec = None
    if compression:
        codec_field, method = _fields(meta, compression + _U32.unpack_from(meta, compression)[0], 2)
        codec = meta[codec_field] if codec_field else CODEC_LZ4_FRAME
        if codec > CODEC_ZSTD or (method and meta[method]):
            raise _corrupt(f"unknown body compression {codec}")
    return RecordBatchMessage(
        _I64.unpack_from(meta, length)[0] if length else 0,
        _pairs(meta, nodes),
        _pairs(meta, buffers),
        codec,
        0,
        _I64.unpack_from(meta, body_length)[0] if body_length else 0,
    )


def _fields(meta: bytes, table: int, count: int) -> list[int]:
    """Positions of the first fields of a flatbuffer table, 0 for those it does not have."""
    vtable = table - _I32.unpack_from(meta, table)[0]
    if vtable < 0:
        raise struct.error("vtable before the start")
    size = _U16.unpack_from(meta, vtable)[0]
    present = min(count, (size - 4) // 2) if size >= 4 else 0
    entries = _shorts(present).unpack_from(meta, vtable + 4)
    limit = len(meta)
    positions = [table + entry if entry else 0 for entry in entries]
    if any(entry >= limit for entry in positions):
        raise struct.error("field past the end")
    return positions + [0] * (count - present)


def _pairs(meta: bytes, field: int) -> tuple[int, ...]:
    if not field:
        return ()
    vector = field + _U32.unpack_from(meta, field)[0]
    count = _U32.unpack_from(meta, vector)[0]
    if count * _PAIR_SIZE > len(meta) - vector - 4:
        raise struct.error("vector past the end")
    return longs(2 * count).unpack_from(meta, vector + 4)


# The writer always lays the metadata out like this; the numbers are byte positions after the 8-byte prefix.
_MESSAGE_VTABLE = 4
_MESSAGE = 16
_BATCH_VTABLE = 36
_BATCH = 48
_COMPRESSION_VTABLE = 72
_COMPRESSION = 80
_NODES = 92
_HEAD = struct.Struct(
    "<Ii"  # prefix: continuation, metadata length
    "I"  # root: Message
    "HHHHHH"  # vtable of Message: its size, table size, version, header type, header, body length
    "iIqhBx"  # Message: to vtable, to header, body length, version, header type
    "HHHHHH"  # vtable of RecordBatch: its size, table size, length, nodes, buffers, compression
    "iIqII"  # RecordBatch: to vtable, to nodes, length, to buffers, to compression
    "HHHH"  # vtable of BodyCompression: its size, table size, codec, method
    "ibb2x4x"  # BodyCompression: to vtable, codec, method
    "I"  # number of nodes
)


def build_metadata(
    row_count: int, nodes: Sequence[int], buffers: Sequence[int], body_length: int, codec: int | None
) -> bytes:
    """Prefix and metadata of a message; the body follows directly.

    Args:
        row_count: rows of the batch.
        nodes: as :attr:`RecordBatchMessage.nodes`.
        buffers: as :attr:`RecordBatchMessage.buffers`.
        body_length: bytes of the body, padding included.
        codec: body compression or None.

    Returns:
        Bytes, a multiple of 8.
    """
    nodes_size = 8 * len(nodes)
    buffers_position = _NODES + 4 + nodes_size + 4
    size = buffers_position + 4 + 8 * len(buffers)
    head = _HEAD.pack(
        _CONTINUATION,
        size,
        _MESSAGE,
        *(12, 20, 16, 18, 4, 8),
        _MESSAGE - _MESSAGE_VTABLE,
        _BATCH - (_MESSAGE + 4),
        body_length,
        _VERSION_V5,
        _HEADER_TYPE_RECORD_BATCH,
        *(12, 24, 8, 4, 16, 0 if codec is None else 20),
        _BATCH - _BATCH_VTABLE,
        _NODES - (_BATCH + 4),
        row_count,
        buffers_position - (_BATCH + 16),
        _COMPRESSION - (_BATCH + 20),
        *(8, 8, 4, 5),
        _COMPRESSION - _COMPRESSION_VTABLE,
        codec or 0,
        0,
        len(nodes) // 2,
    )
    return b"".join(
        (
            head,
            longs(len(nodes)).pack(*nodes),
            _COUNT_AFTER_PADDING.pack(len(buffers) // 2),
            longs(len(buffers)).pack(*buffers),
        )
    )


_COUNT_AFTER_PADDING = struct.Struct("<4xI")  # puts the pairs on a multiple of 8


@lru_cache(maxsize=4096)
def longs(count: int) -> struct.Struct:
    """``count`` little-endian int64."""
    return struct.Struct(f"<{count}q")


@lru_cache(maxsize=8)
def _shorts(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


def _corrupt(reason: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"corrupt Arrow message: {reason}")
