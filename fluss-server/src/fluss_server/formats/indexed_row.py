"""Indexed rows (docs/formats/rows.md).

``[null bits: ceil(fields/8)][int32 length x number of variable-width columns][fields]``. The list of lengths has space
for all STRING, BYTES, wide DECIMAL, ARRAY, MAP and ROW columns, but only those that are not null take an entry, in
column order; the entries left over are zero. Null fields occupy nothing. CHAR(n) and BINARY(n) take exactly n bytes,
padded with zeros. A CHAR value loses trailing zero bytes when read. A BINARY value is read with all its n bytes,
because that is what its Arrow column holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.binary_array import nested_codec
from fluss_server.formats.buffer import Buffer
from fluss_server.formats.scalars import (
    TIMESTAMP_ROOTS,
    corrupt_row,
    decode_text,
    decode_unscaled,
    encode_unscaled,
    fixed_width,
    timestamp,
)
from fluss_server.model.types import DataType, TypeRoot

_TIMESTAMP = struct.Struct("<qi")


class _FieldCodec(NamedTuple):
    width: int | None  # None = takes an entry in the list of lengths
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


class IndexedRowCodec:
    """Rows of a list of types."""

    def __init__(self, types: Sequence[DataType]) -> None:
        self._fields = [_field_codec(data_type) for data_type in types]
        self._bits = (len(types) + 7) // 8
        variable = sum(field.width is None for field in self._fields)
        self._lengths = struct.Struct(f"<{variable}i")
        self._header = self._bits + self._lengths.size

    def encode(self, value: Sequence[Any]) -> bytes:
        """Row of one value per field; None = null.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if a CHAR or BINARY value is longer than its column.
        """
        return self.join(
            [
                None if element is None else field.write(element)
                for field, element in zip(self._fields, value, strict=True)
            ]
        )

    def decode(self, data: Buffer) -> tuple[Any, ...]:
        """Values of a row; ``CORRUPT_RECORD_EXCEPTION`` if its fields do not fill it exactly."""
        return tuple(
            None if image is None else field.read(image)
            for field, image in zip(self._fields, self.split(data), strict=True)
        )

    def field(self, data: Buffer, index: int) -> Any:
        """Value of one field; errors as :meth:`decode`."""
        image = self.split(data)[index]
        return None if image is None else self._fields[index].read(image)

    def split(self, data: Buffer) -> list[bytes | None]:
        """Bytes of each field as they stand in the row, None = null; errors as :meth:`decode`."""
        row = bytes(data)
        if len(row) < self._header:
            raise corrupt_row(f"{len(row)} bytes, its header takes {self._header}")
        lengths = iter(self._lengths.unpack_from(row, self._bits))
        position = self._header
        images: list[bytes | None] = []
        for index, field in enumerate(self._fields):
            if row[index >> 3] >> (index & 7) & 1:
                images.append(None)
                continue
            end = position + (next(lengths) if field.width is None else field.width)
            if not position <= end <= len(row):
                raise corrupt_row(f"a field ends at byte {end} of {len(row)}")
            images.append(row[position:end])
            position = end
        if position != len(row):
            raise corrupt_row(f"{len(row)} bytes, its fields take {position}")
        return images

    def join(self, images: Sequence[bytes | None]) -> bytes:
        """Row of the bytes of its fields, the reverse of :meth:`split`."""
        header = bytearray(self._header)
        pieces: list[bytes | bytearray] = [header]
        lengths = []
        for index, (field, image) in enumerate(zip(self._fields, images, strict=True)):
            if image is None:
                header[index >> 3] |= 1 << (index & 7)
                continue
            if field.width is None:
                lengths.append(len(image))
            pieces.append(image)
        header[self._bits : self._bits + 4 * len(lengths)] = struct.pack(f"<{len(lengths)}i", *lengths)
        return b"".join(pieces)


def fixed_image_width(data_type: DataType) -> int | None:
    """Bytes of every value of a type; None for the types that have an entry in the list of lengths."""
    return _field_codec(data_type).width


def field_writer(data_type: DataType) -> Callable[[Any], bytes]:
    """Function from a value that is not null to the bytes of its field; errors as :meth:`IndexedRowCodec.encode`."""
    return _field_codec(data_type).write


def field_reader(data_type: DataType) -> Callable[[bytes], Any]:
    """Function from the bytes of a field to its value; errors as :meth:`IndexedRowCodec.decode`."""
    return _field_codec(data_type).read


@lru_cache(maxsize=1024)
def _field_codec(data_type: DataType) -> _FieldCodec:
    root = data_type.root
    fixed = fixed_width(data_type)
    if fixed is not None:
        layout, to_number, from_number = fixed.layout, fixed.to_number, fixed.from_number
        if to_number is None or from_number is None:
            return _FieldCodec(layout.size, layout.pack, lambda image: layout.unpack(image)[0])
        return _FieldCodec(
            layout.size,
            lambda value: layout.pack(to_number(value)),
            lambda image: from_number(layout.unpack(image)[0]),
        )
    if root in TIMESTAMP_ROOTS:
        return _FieldCodec(
            _TIMESTAMP.size, lambda value: _TIMESTAMP.pack(*value), lambda image: timestamp(*_TIMESTAMP.unpack(image))
        )
    if root is TypeRoot.CHAR:
        return _FieldCodec(
            data_type.length,
            lambda value: _padded(value.encode(), data_type),
            lambda image: decode_text(image.rstrip(b"\0")),
        )
    if root is TypeRoot.BINARY:
        return _FieldCodec(data_type.length, lambda value: _padded(value, data_type), bytes)
    if root is TypeRoot.STRING:
        return _FieldCodec(None, str.encode, decode_text)
    if root is TypeRoot.BYTES:
        return _FieldCodec(None, bytes, bytes)
    if root is TypeRoot.DECIMAL:
        return _FieldCodec(None, encode_unscaled, decode_unscaled)
    codec = image_codec(data_type)
    return _FieldCodec(None, codec.encode, codec.decode)


def _padded(data: bytes, data_type: DataType) -> bytes:
    if len(data) > data_type.length:
        raise FlussError(
            ErrorCode.CORRUPT_RECORD_EXCEPTION,
            f"a value of {len(data)} bytes exceeds {data_type} in an indexed row",
        )
    return data.ljust(data_type.length, b"\0")


image_codec = lru_cache(maxsize=1024)(nested_codec(IndexedRowCodec))
"""Codec of the image of an ARRAY, MAP or ROW value inside a row of this format."""
