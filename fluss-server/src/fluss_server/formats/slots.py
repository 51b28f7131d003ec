"""The 8-byte slots of array images and aligned rows, for values that are not one fixed-width number.

Source: docs/formats/rows.md. A slot is a little-endian 64-bit word:

* CHAR, STRING, BINARY, BYTES of at most 7 bytes: bytes 0-6 hold the data, byte 7 is 0x80 | length;
* longer ones, wide DECIMAL, ARRAY, MAP, ROW: low 32 bits = length, high 32 bits = offset in the image;
* timestamps with nanoseconds: low = nanoseconds of the millisecond, high = offset of the int64 milliseconds.

Offsets count from the start of the image that holds the slot. Each item of the variable part is padded to 8 bytes; a
wide decimal always reserves 16.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fluss_server.formats.scalars import (
    BINARY_ROOTS,
    TEXT_ROOTS,
    TIMESTAMP_ROOTS,
    corrupt_row,
    decode_text,
    decode_unscaled,
    encode_unscaled,
    timestamp,
)
from fluss_server.model.types import DataType, TypeRoot

INLINE_LIMIT = 7
_INLINE = 1 << 63
_DECIMAL_RESERVE = 16
_LOW = 0xFFFFFFFF
_I64 = struct.Struct("<q")


class ImageCodec(Protocol):
    """Encoding of a nested value as bytes."""

    def encode(self, value: Any) -> bytes:
        """Bytes of a value."""

    def decode(self, data: bytes) -> Any:
        """Value of bytes; ``CORRUPT_RECORD_EXCEPTION`` if they are none."""


class SlotCodec(NamedTuple):
    """How values of one type become slots.

    Attributes:
        write: appends what the value needs to the image, whose length is a multiple of 8, and returns the word.
        read: value of a word of an image.
        refers: whether words that are not inline are (length, offset) pairs.
    """

    write: Callable[[Any, bytearray], int]
    read: Callable[[int, bytes], Any]
    refers: bool


def slot_codec(data_type: DataType, nested: Callable[[DataType], ImageCodec]) -> SlotCodec:
    """Slots of a type that has no fixed width.

    Args:
        data_type: the type.
        nested: gives the image codec of ARRAY, MAP and ROW types; it decides the row format inside.
    """
    root = data_type.root
    if root in TEXT_ROOTS:
        return SlotCodec(lambda value, image: _write_bytes(value.encode(), image), _read_text, True)
    if root in BINARY_ROOTS:
        return SlotCodec(_write_bytes, _read_bytes, True)
    if root is TypeRoot.DECIMAL:
        return SlotCodec(_write_decimal, lambda word, image: decode_unscaled(_read_reference(word, image)), True)
    if root in TIMESTAMP_ROOTS:
        return SlotCodec(_write_timestamp, _read_timestamp, False)
    codec = nested(data_type)
    return SlotCodec(
        lambda value, image: append_reference(codec.encode(value), image),
        lambda word, image: codec.decode(_read_reference(word, image)),
        True,
    )


def check_references(words: Sequence[int], image_size: int) -> None:
    """Refuse words whose items overlap.

    No writer shares items between slots. Without this check a few kilobytes of slots that point at the same item,
    nested a few levels deep, would decode to any number of values.
    """
    if sum(word & _LOW for word in words if word < _INLINE) > image_size:
        raise corrupt_row("the items of an array or row are longer than itself")


def append_reference(data: bytes, image: bytearray) -> int:
    """Append an item, padded, and return the word that refers to it."""
    word = len(image) << 32 | len(data)
    image += data
    image += bytes(-len(data) % 8)
    return word


def _write_bytes(value: bytes, image: bytearray) -> int:
    if len(value) > INLINE_LIMIT:
        return append_reference(value, image)
    return int.from_bytes(value, "little") | (0x80 | len(value)) << 56


def _write_decimal(value: int, image: bytearray) -> int:
    data = encode_unscaled(value)
    word = len(image) << 32 | len(data)
    image += data.ljust(_DECIMAL_RESERVE, b"\0")
    return word


def _write_timestamp(value: tuple[int, int], image: bytearray) -> int:
    word = len(image) << 32 | value[1]
    image += _I64.pack(value[0])
    return word


def _read_reference(word: int, image: bytes) -> bytes:
    offset = word >> 32
    end = offset + (word & _LOW)
    if end > len(image):
        raise corrupt_row(f"an item ends at byte {end} of {len(image)}")
    return image[offset:end]


def _read_bytes(word: int, image: bytes) -> bytes:
    if word < _INLINE:
        return _read_reference(word, image)
    length = word >> 56 & 0x7F
    if length > INLINE_LIMIT:
        raise corrupt_row(f"an inline item of {length} bytes")
    return word.to_bytes(8, "little")[:length]


def _read_text(word: int, image: bytes) -> str:
    return decode_text(_read_bytes(word, image))


def _read_timestamp(word: int, image: bytes) -> tuple[int, int]:
    offset = word >> 32
    if offset + _I64.size > len(image):
        raise corrupt_row(f"a timestamp at byte {offset} of {len(image)}")
    return timestamp(_I64.unpack_from(image, offset)[0], word & _LOW)
