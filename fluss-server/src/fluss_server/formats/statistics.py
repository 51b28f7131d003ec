"""Statistics of the columns of a log batch: null counts, smallest and largest values (docs/formats/statistics.md).

Layout, little-endian: ``[int8 version 1][int16 n][n x int16 column][n x int32 null count]``, then twice
``[int32 size][AlignedRow of n values]``: minima and maxima. A null value means that none is known: the column has no
values, or is of a type without order (CHAR, ...). Writers order FLOAT and DOUBLE totally: NaN is the largest value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.aligned_row import AlignedRowCodec
from fluss_server.formats.buffer import Buffer
from fluss_server.model.types import DataType

VERSION = 1

_HEAD = struct.Struct("<bh")
_SIZE = struct.Struct("<i")
_MAX_LAYOUTS = 16


class ColumnStatistics(NamedTuple):
    """What a batch says of a column.

    Attributes:
        null_count: nulls among its values.
        minimum: smallest value, as row codecs give it; None = unknown.
        maximum: largest value; None = unknown.
    """

    null_count: int
    minimum: Any
    maximum: Any


class StatisticsCodec:
    """Statistics of batches of one schema.

    Args:
        types: column types of the schema, in order.
    """

    def __init__(self, types: Sequence[DataType]) -> None:
        self._types = tuple(types)
        self._layouts: dict[tuple[int, ...], AlignedRowCodec] = {}

    def decode(self, data: Buffer) -> dict[int, ColumnStatistics]:
        """Statistics by column position.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION``.
        """
        try:
            version, count = _HEAD.unpack_from(data)
            if version != VERSION or count < 0:
                raise _corrupt(f"version {version}, {count} columns")
            position = _HEAD.size
            columns = struct.unpack_from(f"<{count}h", data, position)
            position += 2 * count
            null_counts = struct.unpack_from(f"<{count}i", data, position)
            position += 4 * count
            codec = self._layout(columns)
            rows = []
            for _ in range(2):
                (size,) = _SIZE.unpack_from(data, position)
                position += _SIZE.size
                if not 0 <= size <= len(data) - position:
                    raise _corrupt(f"a row of {size} bytes at position {position} of {len(data)}")
                rows.append(codec.decode(data[position : position + size]))
                position += size
        except struct.error as error:
            raise _corrupt(str(error)) from None
        return dict(zip(columns, map(ColumnStatistics, null_counts, *rows), strict=True))

    def encode(self, statistics: dict[int, ColumnStatistics]) -> bytes:
        """Reverse of :meth:`decode`; columns in the order of the mapping."""
        codec = self._layout(tuple(statistics))
        values = list(statistics.values())
        parts = [
            _HEAD.pack(VERSION, len(values)),
            struct.pack(f"<{len(values)}h", *statistics),
            struct.pack(f"<{len(values)}i", *(column.null_count for column in values)),
        ]
        for row in ([column.minimum for column in values], [column.maximum for column in values]):
            image = codec.encode(row)
            parts += (_SIZE.pack(len(image)), image)
        return b"".join(parts)

    def _layout(self, columns: tuple[int, ...]) -> AlignedRowCodec:
        codec = self._layouts.get(columns)
        if codec is None:
            if any(not 0 <= column < len(self._types) for column in columns) or len(set(columns)) < len(columns):
                raise _corrupt(f"columns {list(columns)} of {len(self._types)}")
            codec = AlignedRowCodec([self._types[column] for column in columns])
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[columns] = codec
        return codec


def _corrupt(reason: str) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"corrupt statistics of a log batch: {reason}")
