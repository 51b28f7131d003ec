"""Compacted rows, the default rows of KvStores (docs/formats/rows.md).

``[null bits: ceil(fields/8) bytes][field 0][field 1]...``. Null fields occupy nothing. Numbers up to 32 bits and
timestamps are varints, text and bytes carry a varint length. Finding a field needs a scan from the front.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fluss_server.errors import FlussError
from fluss_server.formats import varint
from fluss_server.formats.binary_array import nested_codec
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.scalars import (
    BINARY_ROOTS,
    TEXT_ROOTS,
    TIMESTAMP_ROOTS,
    corrupt_row,
    decode_text,
    decode_unscaled,
    encode_unscaled,
    fixed_width,
    timestamp,
)
from fluss_server.model.types import DataType, TypeRoot

_VARINT32_ROOTS = frozenset({TypeRoot.INTEGER, TypeRoot.DATE, TypeRoot.TIME})


class FieldCodec(NamedTuple):
    """Encoding of one field that is not null.

    Attributes:
        write: bytes of a value.
        read: value at a position and the position after it.
        skip: the position after the field at a position; may be past the end of the data.
    """

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]
    skip: Callable[[bytes, int], int]


class CompactedRowCodec:
    """Rows of a list of types."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self._fields = [field_codec(data_type) for data_type in types]
        self._bits = (len(types) + 7) // 8

    def encode(self, value: Sequence[Any]) -> bytes:
        """Row of one value per field; None = null."""
        nulls = bytearray(self._bits)
        pieces: list[bytes | bytearray] = [nulls]
        for index, (field, element) in enumerate(zip(self._fields, value, strict=True)):
            if element is None:
                nulls[index >> 3] |= 1 << (index & 7)
            else:
                pieces.append(field.write(element))
        return b"".join(pieces)

    def decode(self, data: Buffer) -> tuple[Any, ...]:
        """Values of a row; ``CORRUPT_RECORD_EXCEPTION`` if its fields do not fill it exactly."""
        row, position = self._start(data)
        values: list[Any] = []
        for index, field in enumerate(self._fields):
            if row[index >> 3] >> (index & 7) & 1:
                values.append(None)
            else:
                value, position = field.read(row, position)
                values.append(value)
        self._end(row, position)
        return tuple(values)

    def field(self, data: Buffer, index: int) -> Any:
        """Value of one field; only the fields before it are looked at. Errors as :meth:`decode`."""
        row, position = self._start(data)
        if row[index >> 3] >> (index & 7) & 1:
            return None
        for before, field in enumerate(self._fields[:index]):
            if not row[before >> 3] >> (before & 7) & 1:
                position = field.skip(row, position)
        return self._fields[index].read(row, position)[0]

    def split(self, data: Buffer) -> list[bytes | None]:
        """Bytes of each field as they stand in the row, None = null; errors as :meth:`decode`."""
        row, position = self._start(data)
        images: list[bytes | None] = []
        for index, field in enumerate(self._fields):
            if row[index >> 3] >> (index & 7) & 1:
                images.append(None)
            else:
                end = field.skip(row, position)
                images.append(row[position:end])
                position = end
        self._end(row, position)
        return images

    def join(self, images: Sequence[bytes | None]) -> bytes:
        """Row of the bytes of its fields, the reverse of :meth:`split`."""
        nulls = bytearray(self._bits)
        pieces: list[bytes | bytearray] = [nulls]
        for index, image in enumerate(images):
            if image is None:
                nulls[index >> 3] |= 1 << (index & 7)
            else:
                pieces.append(image)
        return b"".join(pieces)

    def _start(self, data: Buffer) -> tuple[bytes, int]:
        if len(data) < self._bits:
            raise corrupt_row(f"{len(data)} bytes, its null bits take {self._bits}")
        return bytes(data), self._bits

    @staticmethod
    def _end(row: bytes, position: int) -> None:
        if position != len(row):
            raise corrupt_row(f"{len(row)} bytes, its fields take {position}")


@lru_cache(maxsize=1024)
def field_codec(data_type: DataType) -> FieldCodec:
    """Field encoding of a type; the fields of a key are the same."""
    root = data_type.root
    if root in _VARINT32_ROOTS:
        return FieldCodec(varint.encode_int32, varint.decode_int32, _skip_varint32)
    fixed = fixed_width(data_type)
    if fixed is not None and fixed.code == "q":
        if fixed.to_number is None:
            return FieldCodec(varint.encode_int64, varint.decode_int64, _skip_varint64)
        return FieldCodec(_write_milliseconds, _read_milliseconds, _skip_varint64)
    if root is TypeRoot.BOOLEAN:
        return FieldCodec(_write_boolean, _read_boolean, lambda row, position: position + 1)
    if fixed is not None:
        return _fixed_codec(fixed.layout)
    if root in TIMESTAMP_ROOTS:
        return FieldCodec(_write_timestamp, _read_timestamp, _skip_timestamp)
    if root in TEXT_ROOTS:
        return FieldCodec(lambda value: _with_length(value.encode()), _read_text, _skip_bytes)
    if root in BINARY_ROOTS:
        return FieldCodec(_with_length, _read_bytes, _skip_bytes)
    if root is TypeRoot.DECIMAL:
        return FieldCodec(lambda value: _with_length(encode_unscaled(value)), _read_decimal, _skip_bytes)
    codec = image_codec(data_type)

    def read(row: bytes, position: int) -> tuple[Any, int]:
        data, position = _read_bytes(row, position)
        return codec.decode(data), position

    return FieldCodec(lambda value: _with_length(codec.encode(value)), read, _skip_bytes)


def _fixed_codec(layout: struct.Struct) -> FieldCodec:
    size = layout.size

    def read(row: bytes, position: int) -> tuple[Any, int]:
        end = position + size
        if end > len(row):
            raise _too_short(row, end)
        return layout.unpack_from(row, position)[0], end

    return FieldCodec(layout.pack, read, lambda row, position: position + size)


def _write_boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _read_boolean(row: bytes, position: int) -> tuple[bool, int]:
    if position >= len(row):
        raise _too_short(row, position + 1)
    return row[position] != 0, position + 1


def _write_milliseconds(value: tuple[int, int]) -> bytes:
    return varint.encode_int64(value[0])


def _read_milliseconds(row: bytes, position: int) -> tuple[tuple[int, int], int]:
    milliseconds, position = varint.decode_int64(row, position)
    return (milliseconds, 0), position


def _write_timestamp(value: tuple[int, int]) -> bytes:
    return varint.encode_int64(value[0]) + varint.encode_int32(value[1])


def _read_timestamp(row: bytes, position: int) -> tuple[tuple[int, int], int]:
    milliseconds, position = varint.decode_int64(row, position)
    nanoseconds, position = varint.decode_int32(row, position)
    return timestamp(milliseconds, nanoseconds), position


def _with_length(data: bytes) -> bytes:
    return varint.encode_unsigned(len(data)) + data


def _read_bytes(row: bytes, position: int) -> tuple[bytes, int]:
    length, position = varint.decode_unsigned32(row, position)
    end = position + length
    if end > len(row):
        raise _too_short(row, end)
    return row[position:end], end


def _read_text(row: bytes, position: int) -> tuple[str, int]:
    data, position = _read_bytes(row, position)
    return decode_text(data), position


def _read_decimal(row: bytes, position: int) -> tuple[int, int]:
    data, position = _read_bytes(row, position)
    return decode_unscaled(data), position


def _skip_varint32(row: bytes, position: int) -> int:
    return varint.skip(row, position, varint.MAX_UVARINT32_BYTES)


def _skip_varint64(row: bytes, position: int) -> int:
    return varint.skip(row, position, varint.MAX_UVARINT64_BYTES)


def _skip_timestamp(row: bytes, position: int) -> int:
    return _skip_varint32(row, _skip_varint64(row, position))


def _skip_bytes(row: bytes, position: int) -> int:
    length, position = varint.decode_unsigned32(row, position)
    return position + length


def _too_short(row: bytes, end: int) -> FlussError:
    return corrupt_row(f"a field ends at byte {end} of {len(row)}")


image_codec = lru_cache(maxsize=1024)(nested_codec(CompactedRowCodec))
"""Codec of the image of an ARRAY, MAP or ROW value inside a row of this format."""
