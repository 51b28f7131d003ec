"""Columns of nulls, as they stand in an Arrow batch: what a batch of an older schema lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_message import CODEC_LZ4_FRAME, CODEC_ZSTD, parse_message
from fluss_server.formats.buffer import Buffer
from fluss_server.model.table import ArrowCompression
from fluss_server.model.types import DataType

MAX_BYTES = 256 << 20
"""Most bytes of nulls, before compression, that are made for one batch."""

_SAMPLE_ROWS = 64
_COMPRESSIONS = {
    None: ArrowCompression.NONE,
    CODEC_LZ4_FRAME: ArrowCompression.LZ4_FRAME,
    CODEC_ZSTD: ArrowCompression.ZSTD,
}


class EncodedColumns(NamedTuple):
    """Columns of an Arrow batch.

    Attributes:
        nodes: number of values, number of nulls of each field, depth first, flat.
        buffers: offset in ``body`` and length of each buffer, flat.
        body: the buffers.
    """

    nodes: tuple[int, ...]
    buffers: tuple[int, ...]
    body: Buffer


def null_columns(types: Sequence[DataType], count: int, codec: int | None) -> EncodedColumns:
    """One column of ``count`` nulls for each type.

    Args:
        codec: compression of the buffers, as in the metadata of a batch.

    Raises:
        FlussError: ``RECORD_TOO_LARGE_EXCEPTION`` if they take more than :data:`MAX_BYTES`.
    """
    import pyarrow as pa  # with the first batch of an older schema that is projected

    from fluss_server.formats.arrow_batch import encode_payload
    from fluss_server.formats.arrow_types import arrow_type

    arrow_types = [arrow_type(data_type) for data_type in types]
    sample_bytes = sum(pa.nulls(_SAMPLE_ROWS, kind).nbytes for kind in arrow_types)
    if sample_bytes * count > MAX_BYTES * _SAMPLE_ROWS:
        raise FlussError(
            ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
            f"a batch of {count} rows has not the newest columns, which would take more than {MAX_BYTES} bytes",
            hint="read without these columns",
        )
    columns = [pa.nulls(count, kind) for kind in arrow_types]
    batch = pa.RecordBatch.from_arrays(columns, names=[str(index) for index in range(len(columns))])
    payload = memoryview(encode_payload(batch, _COMPRESSIONS[codec]))
    message = parse_message(payload, 0, len(payload))
    body = payload[message.body_position : message.body_position + message.body_length]
    return EncodedColumns(message.nodes, message.buffers, body)
