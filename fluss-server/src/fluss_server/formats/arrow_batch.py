"""Arrow payloads of log batches: decode with pyarrow, encode in the form every Fluss client reads.

A payload is one encapsulated RecordBatch message without schema (docs/formats/arrow.md). With compression each
buffer is ``[int64 uncompressed length, -1 = stored][frame or raw bytes]``.

LZ4: the Java client's decoder wants frames of *independent* 64 KiB blocks, while Arrow C++ links the blocks of a buffer
above 64 KiB. Frames are therefore put together here from raw LZ4 blocks.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_message import (
    CODEC_LZ4_FRAME,
    CODEC_ZSTD,
    RecordBatchMessage,
    build_metadata,
    parse_message,
)
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.log_batch import BatchHeader, ChangeType
from fluss_server.model.table import ArrowCompression

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_UNCOMPRESSED_BYTES = 1 << 30
"""Largest batch that is decompressed; far above what any client sends in one request."""

_LENGTH = struct.Struct("<q")
_STORED = _LENGTH.pack(-1)
_MIN_COMPRESSED_SIZE = 256  # a smaller buffer gains too little to pay for the start of a compressor, about 10 us
_LZ4_FRAME_HEADER = bytes.fromhex("04224d18604082")  # version 1, independent blocks of at most 64 KiB, no checksums
_LZ4_BLOCK_SIZE = 64 * 1024
_LZ4_STORED = 0x80000000
_U32 = struct.Struct("<I")
_LZ4_END = bytes(4)


def decode_batch(
    batch: Buffer, header: BatchHeader, schema: pa.Schema, *, trusted: bool = False
) -> tuple[NDArray[np.uint8] | None, pa.RecordBatch]:
    """Change types and rows of one Arrow log batch.

    Args:
        batch: the whole batch, header included; the result refers to its memory.
        header: of the batch.
        schema: Arrow schema of the table schema that the batch names.
        trusted: leave out the checks of the column data (offsets inside their buffers, UTF-8, ...). Only for batches
            that this server encoded itself.

    Returns:
        One :class:`ChangeType` number per row, or None for an append-only batch; and the rows.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if it is not a batch of this schema.
    """
    change_types = None
    count = header.record_count
    if not header.payload_offset <= header.size <= len(batch):
        raise _corrupt(f"log batch of {header.size} bytes with {count} records, only {len(batch)} bytes are there")
    if not header.append_only:
        change_types = np.frombuffer(batch, dtype=np.uint8, count=count, offset=header.header_size)
        if count and int(change_types.max()) > ChangeType.DELETE:
            raise _corrupt("unknown change type in a log batch")
    if count == 0:
        return change_types, pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    message = parse_message(batch, header.payload_offset, header.size)
    if message.codec is not None:
        _check_uncompressed_size(batch, message)
    for node in _nodes_without_nulls(schema):
        # Arrow C++ ends the process when it meets a map with null keys or null entries.
        if 2 * node + 1 < len(message.nodes) and message.nodes[2 * node + 1]:
            raise _corrupt("null key or entry in a map of an Arrow batch")
    payload = pa.py_buffer(batch).slice(header.payload_offset, header.size - header.payload_offset)
    try:
        rows = pa.ipc.read_record_batch(pa.ipc.read_message(payload), schema)
        if not trusted:
            rows.validate(full=True)
    except (pa.ArrowException, OSError, EOFError, MemoryError) as error:
        raise _corrupt(f"corrupt Arrow batch: {error}") from None
    if rows.num_rows != count:
        raise _corrupt(f"the log batch states {count} records, its Arrow batch has {rows.num_rows}")
    return change_types, rows


def encode_payload(record_batch: pa.RecordBatch, compression: ArrowCompression, level: int = 3) -> Buffer:
    """Payload of a log batch.

    Args:
        record_batch: the rows, with the Arrow schema of the table.
        compression: body compression.
        level: ZSTD level 1 to 22; not used by the others.
    """
    plain = record_batch.serialize()
    if compression is ArrowCompression.NONE:
        return memoryview(plain).cast("B")
    message = parse_message(memoryview(plain).cast("B"), 0, plain.size)
    if compression is ArrowCompression.LZ4_FRAME:
        codec, compressor = CODEC_LZ4_FRAME, pa.Codec("lz4_raw")
    else:
        codec, compressor = CODEC_ZSTD, pa.Codec("zstd", compression_level=level)
    pieces: list[Buffer] = []
    buffers: list[int] = []
    position = 0
    for index in range(0, len(message.buffers), 2):
        offset, size = message.buffers[index : index + 2]
        length = 0
        if size:
            data = plain.slice(message.body_position + offset, size)
            if size < _MIN_COMPRESSED_SIZE:
                frame = None
            elif codec == CODEC_LZ4_FRAME:
                frame = _lz4_frame(data, compressor)
            else:
                frame = compressor.compress(data, asbytes=True)
            if frame is None or len(frame) >= size:
                pieces += (_STORED, data.to_pybytes())
                length = _LENGTH.size + size
            else:
                pieces += (_LENGTH.pack(size), frame)
                length = _LENGTH.size + len(frame)
            pieces.append(bytes(-length % 8))
        buffers += (position, length)
        position += length + -length % 8
    return b"".join((build_metadata(message.row_count, message.nodes, buffers, position, codec), *pieces))


def _lz4_frame(data: pa.Buffer, raw_codec: pa.Codec) -> bytes:
    pieces = [_LZ4_FRAME_HEADER]
    for position in range(0, data.size, _LZ4_BLOCK_SIZE):
        chunk = data.slice(position, min(_LZ4_BLOCK_SIZE, data.size - position))
        block = raw_codec.compress(chunk, asbytes=True)
        if len(block) < chunk.size:
            pieces += (_U32.pack(len(block)), block)
        else:
            pieces += (_U32.pack(chunk.size | _LZ4_STORED), chunk.to_pybytes())
    pieces.append(_LZ4_END)
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _nodes_without_nulls(schema: pa.Schema) -> tuple[int, ...]:
    """Positions among the nodes of a batch of the keys and entries of maps."""
    found: list[int] = []
    count = 0

    def visit(kind: pa.DataType) -> None:
        nonlocal count
        count += 1
        if pa.types.is_map(kind):
            found.extend((count, count + 1))
        for index in range(kind.num_fields):
            visit(kind.field(index).type)

    for field in schema:
        visit(field.type)
    return tuple(found)


def _check_uncompressed_size(batch: Buffer, message: RecordBatchMessage) -> None:
    """Refuse a small batch that would fill the memory when decompressed."""
    total = 0
    for index in range(0, len(message.buffers), 2):
        offset, size = message.buffers[index : index + 2]
        if size >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(batch, message.body_position + offset)
            total += max(length, 0)
    if total > MAX_UNCOMPRESSED_BYTES:
        raise _corrupt(f"Arrow batch of {total} bytes uncompressed; at most {MAX_UNCOMPRESSED_BYTES} are accepted")


def _corrupt(message: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, message)
