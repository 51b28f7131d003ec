"""Many rows encoded column by column with numpy, the reverse of :mod:`fluss_server.formats.column_reader`.

Each column first says how many bytes each of its values takes; from that follow the sizes of the rows and the place of
every field; then each column writes its bytes of all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fluss_server.formats.arrow_arrays import Column, Mask, nulls_of, numbers_of, offsets_of, timestamps_of
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.compacted_row import field_codec
from fluss_server.formats.indexed_row import field_writer as indexed_field_writer
from fluss_server.formats.indexed_row import fixed_image_width
from fluss_server.formats.scalars import TIMESTAMP_ROOTS, fixed_width
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

_BLOCK_ROWS = 16 * 1024  # bounds the index arrays
_GROUP = np.uint64(0x7F)
_CONTINUE = np.uint64(0x80)
_MASK_32 = np.uint64(0xFFFFFFFF)
_TEXT_AND_BYTES = frozenset({TypeRoot.CHAR, TypeRoot.STRING, TypeRoot.BYTES})


class _Part(NamedTuple):
    """A field, or a piece of one, of all rows.

    Attributes:
        lengths: bytes it takes in each row, 0 for null.
        write: writes it to an array at one position per row.
    """

    lengths: Column
    write: Callable[[Column, Column], None]


def write_rows(columns: Sequence[pa.Array], types: Sequence[DataType], kv_format: KvFormat) -> list[bytes]:
    """Rows of columns of equal length.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` for a value that the row format cannot hold.
    """
    rows: list[bytes] = []
    for block in _blocks(columns):
        rows += _assemble(_row_parts(block, types, kv_format))
    return rows


def write_keys(columns: Sequence[pa.Array], types: Sequence[DataType]) -> list[bytes]:
    """Compacted fields of columns without nulls, one after the other: compacted keys."""
    keys: list[bytes] = []
    for block in _blocks(columns):
        parts: list[_Part] = []
        for column, data_type in zip(block, types, strict=True):
            parts += _compacted(column, data_type, None)
        keys += _assemble(parts)
    return keys


def _blocks(columns: Sequence[pa.Array]) -> Iterator[list[pa.Array]]:
    for start in range(0, len(columns[0]), _BLOCK_ROWS):
        yield [column.slice(start, _BLOCK_ROWS) for column in columns]


def _row_parts(columns: Sequence[pa.Array], types: Sequence[DataType], kv_format: KvFormat) -> list[_Part]:
    absent = [nulls_of(column) for column in columns]
    parts = [_null_bits(absent, len(columns[0]))]
    if kv_format is KvFormat.INDEXED:
        fields = [_indexed(*arguments) for arguments in zip(columns, types, absent, strict=True)]
        variable = [index for index, data_type in enumerate(types) if fixed_image_width(data_type) is None]
        if variable:
            parts.append(
                _length_list([fields[index].lengths for index in variable], [absent[index] for index in variable])
            )
        parts += fields
    else:
        for arguments in zip(columns, types, absent, strict=True):
            parts += _compacted(*arguments)
    return parts


def _assemble(parts: Sequence[_Part]) -> list[bytes]:
    sizes = sum((part.lengths for part in parts[1:]), parts[0].lengths)
    ends = sizes.cumsum()
    positions = ends - sizes
    out = np.zeros(int(ends[-1]), np.uint8)
    starts = positions.tolist()
    for part in parts:
        part.write(out, positions)
        positions = positions + part.lengths
    data = out.tobytes()
    return [data[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]


def _null_bits(absent: Sequence[Mask | None], count: int) -> _Part:
    width = (len(absent) + 7) // 8
    matrix = np.zeros((count, len(absent)), np.bool_)
    for index, nulls in enumerate(absent):
        if nulls is not None:
            matrix[:, index] = nulls
    return _fixed_bytes(np.packbits(matrix, axis=1, bitorder="little").reshape(count, width), None)


def _compacted(column: pa.Array, data_type: DataType, nulls: Mask | None) -> list[_Part]:
    fixed = fixed_width(data_type)
    if fixed is not None:
        numbers = numbers_of(column, data_type)
        if fixed.code == "i":
            return [_varint(numbers.astype(np.int64).view(np.uint64) & _MASK_32, nulls)]
        if fixed.code == "q":
            return [_varint(numbers.astype(np.int64).view(np.uint64), nulls)]
        return [_number(numbers, fixed.code, nulls)]
    if data_type.root in TIMESTAMP_ROOTS:
        milliseconds, nanoseconds = timestamps_of(column, data_type)
        return [_varint(milliseconds.view(np.uint64), nulls), _varint(nanoseconds.view(np.uint64), nulls)]
    if data_type.root in _TEXT_AND_BYTES:
        data = _variable(column, nulls)
        return [_varint(data.lengths.view(np.uint64), nulls), data]
    return [_encoded(column, data_type, field_codec(data_type).write)]


def _indexed(column: pa.Array, data_type: DataType, nulls: Mask | None) -> _Part:
    fixed = fixed_width(data_type)
    if fixed is not None:
        return _number(numbers_of(column, data_type), fixed.code, nulls)
    if data_type.root in (TypeRoot.STRING, TypeRoot.BYTES):
        return _variable(column, nulls)
    return _encoded(column, data_type, indexed_field_writer(data_type))


def _length_list(lengths: Sequence[Column], absent: Sequence[Mask | None]) -> _Part:
    """The list of lengths of indexed rows: entries of fields that are not null, packed to the front."""
    count = len(lengths[0])
    matrix = np.zeros((count, len(lengths)), "<i4")
    place = np.zeros(count, np.int64)
    rows = np.arange(count)
    for column, nulls in zip(lengths, absent, strict=True):
        if nulls is None:
            matrix[rows, place] = column
            place += 1
        else:
            present = np.flatnonzero(~nulls)
            matrix[present, place[present]] = column[present]
            place += ~nulls
    return _fixed_bytes(matrix.view(np.uint8), None)


def _number(numbers: Column, code: str, nulls: Mask | None) -> _Part:
    dtype = np.dtype("<" + code)
    values = np.ascontiguousarray(numbers, dtype)
    return _fixed_bytes(values.view(np.uint8).reshape(len(values), dtype.itemsize), nulls)


def _fixed_bytes(matrix: Column, nulls: Mask | None) -> _Part:
    """The same number of bytes in every row that is not null."""
    count, width = matrix.shape
    present = None if nulls is None else np.flatnonzero(~nulls)

    def write(out: Column, positions: Column) -> None:
        values = matrix
        if present is not None:
            values, positions = matrix[present], positions[present]
        for place in range(width):
            out[positions + place] = values[:, place]

    return _Part(np.full(count, width) if nulls is None else width * ~nulls, write)


def _varint(values: Column, nulls: Mask | None) -> _Part:
    """Unsigned varints of uint64."""
    lengths = np.ones(len(values), np.int64)
    limit = 0x80
    largest = int(values.max())
    while limit <= largest:
        lengths += values >= np.uint64(limit)
        limit <<= 7
    if nulls is not None:
        lengths *= ~nulls

    def write(out: Column, positions: Column) -> None:
        rest, left = values, lengths
        place = 0
        while True:
            going_on = np.flatnonzero(left > place)
            if len(going_on) < len(left):
                rest, left, positions = rest.take(going_on), left.take(going_on), positions.take(going_on)
            if not len(left):
                return
            byte = rest & _GROUP
            byte |= (left > place + 1) * _CONTINUE
            out[positions + place] = byte
            rest = rest >> np.uint64(7)
            place += 1

    return _Part(lengths, write)


def _variable(column: pa.Array, nulls: Mask | None) -> _Part:
    """Text or bytes without their length."""
    present = None if nulls is None else np.flatnonzero(~nulls)
    if present is not None:
        column = column.drop_null()
    offsets = offsets_of(column).astype(np.int64)
    sizes = np.diff(offsets)
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[first:last]
    lengths = sizes
    if nulls is not None:
        lengths = np.zeros(len(nulls), np.int64)
        lengths[present] = sizes

    def write(out: Column, positions: Column) -> None:
        if present is not None:
            positions = positions[present]
        if len(data) <= _GATHER_LIMIT * len(sizes):
            targets = np.repeat(positions - (offsets[:-1] - first), sizes)
            targets += np.arange(len(data))
            out[targets] = data
        else:
            view, source = out.data, data.data
            start = 0
            for position, size in zip(positions.tolist(), sizes.tolist(), strict=True):
                view[position : position + size] = source[start : start + size]
                start += size

    return _Part(lengths, write)


_GATHER_LIMIT = 48
"""Average bytes per value from which copying value by value beats an index per byte."""


def _encoded(column: pa.Array, data_type: DataType, encode: Callable[[Any], bytes]) -> _Part:
    """Values encoded one by one."""
    images = [b"" if value is None else encode(value) for value in from_arrow(column, data_type)]
    return _variable(pa.array(images, pa.binary()), None)
