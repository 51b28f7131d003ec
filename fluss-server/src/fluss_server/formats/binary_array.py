"""Images of ARRAY and MAP values inside rows (docs/formats/rows.md).

Array: ``[int32 count n][null bits: ceil(n/32)*4 bytes][n slots][pad to 8][variable part]``. Slots of numbers are 1, 2,
4 or 8 bytes wide, all others are the 8-byte words of :mod:`fluss_server.formats.slots`.

Map: ``[int32 size of the key array][key array][value array]``, entries in order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from fluss_server.formats.scalars import corrupt_row, fixed_width
from fluss_server.formats.slots import ImageCodec, check_references, slot_codec
from fluss_server.model.types import DataType, TypeRoot

_I32 = struct.Struct("<i")
_COUNT_SIZE = 4
_CANONICAL_NAN = math.nan  # 7ff8000000000000, which struct narrows to 7fc00000


def nested_codec(rows: Callable[[tuple[DataType, ...]], ImageCodec]) -> Callable[[DataType], ImageCodec]:
    """Codecs of ARRAY, MAP and ROW images whose nested rows have the format that ``rows`` gives."""

    def codec(data_type: DataType) -> ImageCodec:
        if data_type.root is TypeRoot.ARRAY:
            assert data_type.element is not None
            return ArrayCodec(data_type.element, codec)
        if data_type.root is TypeRoot.MAP:
            assert data_type.key is not None
            assert data_type.element is not None
            return MapCodec(ArrayCodec(data_type.key, codec), ArrayCodec(data_type.element, codec))
        assert data_type.root is TypeRoot.ROW
        return rows(tuple(field.type for field in data_type.fields))

    return codec


class ArrayCodec:
    """Array images of one element type."""

    def __init__(self, element: DataType, nested: Callable[[DataType], ImageCodec]) -> None:
        self._fixed = fixed_width(element)
        self._slots = None if self._fixed is not None else slot_codec(element, nested)
        self._code = "Q" if self._fixed is None else self._fixed.code
        self._width = struct.calcsize("<" + self._code)
        self._has_nan = element.root in (TypeRoot.FLOAT, TypeRoot.DOUBLE)

    def encode(self, value: Sequence[Any]) -> bytes:
        """Image of a list; None = null element."""
        count = len(value)
        header = _COUNT_SIZE + _null_bytes(count)
        fixed_size = header + count * self._width
        fixed_size += -fixed_size % 8
        image = bytearray(fixed_size)
        if self._slots is not None:
            write = self._slots.write
            numbers = [0 if element is None else write(element, image) for element in value]
        else:
            numbers = self._numbers(value)
        _I32.pack_into(image, 0, count)
        for index, element in enumerate(value):
            if element is None:
                image[_COUNT_SIZE + (index >> 3)] |= 1 << (index & 7)
        _numbers_layout(self._code, count).pack_into(image, header, *numbers)
        return bytes(image)

    def _numbers(self, value: Sequence[Any]) -> list[Any]:
        assert self._fixed is not None
        convert = self._fixed.to_number
        if convert is not None:
            return [0 if element is None else convert(element) for element in value]
        if self._has_nan:
            return [0 if element is None else _CANONICAL_NAN if element != element else element for element in value]
        return [0 if element is None else element for element in value]

    def decode(self, data: bytes) -> list[Any]:
        """List of an image; None = null element.

        Raises:
            FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the image does not hold what its count says.
        """
        if len(data) < _COUNT_SIZE:
            raise corrupt_row(f"an array image of {len(data)} bytes")
        count = _I32.unpack_from(data)[0]
        if count < 0 or count * self._width > len(data):
            raise corrupt_row(f"an array of {count} elements in {len(data)} bytes")
        header = _COUNT_SIZE + _null_bytes(count)
        if header + count * self._width > len(data):
            raise corrupt_row(f"an array of {count} elements in {len(data)} bytes")
        numbers: list[Any] = list(_numbers_layout(self._code, count).unpack_from(data, header))
        present = None
        if any(data[_COUNT_SIZE:header]):
            present = [not data[_COUNT_SIZE + (index >> 3)] >> (index & 7) & 1 for index in range(count)]
        if self._slots is None:
            assert self._fixed is not None
            convert = self._fixed.from_number
            if convert is not None:
                numbers = [convert(number) for number in numbers]
            if present is None:
                return numbers
            return [number if there else None for number, there in zip(numbers, present, strict=True)]
        read = self._slots.read
        if present is not None:  # null slots may hold stale words
            words = [word for word, there in zip(numbers, present, strict=True) if there]
        else:
            words = numbers
        if self._slots.refers:
            check_references(words, len(data))
        if present is None:
            return [read(word, data) for word in words]
        return [read(word, data) if there else None for word, there in zip(numbers, present, strict=True)]


class MapCodec:
    """Map images of one key and one value type."""

    def __init__(self, keys: ArrayCodec, values: ArrayCodec) -> None:
        self._keys = keys
        self._values = values

    def encode(self, value: Sequence[tuple[Any, Any]]) -> bytes:
        """Image of (key, value) pairs."""
        keys = self._keys.encode([entry[0] for entry in value])
        values = self._values.encode([entry[1] for entry in value])
        return _I32.pack(len(keys)) + keys + values

    def decode(self, data: bytes) -> list[tuple[Any, Any]]:
        """Pairs of an image; ``CORRUPT_RECORD_EXCEPTION`` if keys are null or fewer or more than values."""
        if len(data) < _I32.size:
            raise corrupt_row(f"a map image of {len(data)} bytes")
        keys_end = _I32.size + _I32.unpack_from(data)[0]
        if not _I32.size <= keys_end <= len(data):
            raise corrupt_row(f"the keys of a map end at byte {keys_end} of {len(data)}")
        keys = self._keys.decode(data[_I32.size : keys_end])
        values = self._values.decode(data[keys_end:])
        if len(keys) != len(values) or None in keys:
            raise corrupt_row(f"a map of {len(keys)} keys, some null or not as many as its {len(values)} values")
        return list(zip(keys, values, strict=True))


def _null_bytes(count: int) -> int:
    return (count + 31) // 32 * 4


@lru_cache(maxsize=1024)
def _numbers_layout(code: str, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{code}")
