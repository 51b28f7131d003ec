"""Base-128 unsigned varints of the row formats, one at a time.

Low group first, bit 7 = another byte follows. Negative numbers are written as their unsigned two's complement: -1 takes
5 bytes as 32-bit and 10 bytes as 64-bit number. Source: docs/formats/rows.md. Whole columns are read and
written by :mod:`fluss_server.formats.column_reader` and :mod:`fluss_server.formats.column_writer`.
"""

from __future__ import annotations

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.buffer import Buffer

MAX_UVARINT32_BYTES = 5
MAX_UVARINT64_BYTES = 10
_MASK_32 = 0xFFFFFFFF
_MASK_64 = 0xFFFFFFFFFFFFFFFF
_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def encode_int32(value: int) -> bytes:
    """A signed 32-bit number as uvarint32, 1 to 5 bytes."""
    return encode_unsigned(value & _MASK_32)


def encode_int64(value: int) -> bytes:
    """A signed 64-bit number as uvarint64, 1 to 10 bytes."""
    return encode_unsigned(value & _MASK_64)


def encode_unsigned(value: int) -> bytes:
    """A number that is not negative, in as few bytes as possible."""
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_unsigned32(data: Buffer, position: int) -> tuple[int, int]:
    """Read a uvarint32 as a number from 0 to 2^32-1.

    Returns:
        The number and the position after it.

    Raises:
        FlussError: ``CORRUPT_RECORD_EXCEPTION`` if the data ends inside it or it is longer than 5 bytes.
    """
    return _decode(data, position, MAX_UVARINT32_BYTES, _MASK_32)


def decode_int32(data: Buffer, position: int) -> tuple[int, int]:
    """Read a uvarint32 as a signed number; otherwise as :func:`decode_unsigned32`."""
    value, position = _decode(data, position, MAX_UVARINT32_BYTES, _MASK_32)
    return (value - 0x100000000 if value & 0x80000000 else value), position


def decode_int64(data: Buffer, position: int) -> tuple[int, int]:
    """Read a uvarint64 as a signed number; at most 10 bytes, otherwise as :func:`decode_unsigned32`."""
    value, position = _decode(data, position, MAX_UVARINT64_BYTES, _MASK_64)
    return (value - 0x10000000000000000 if value & 0x8000000000000000 else value), position


def skip(data: Buffer, position: int, max_bytes: int) -> int:
    """Position after the varint at ``position``; errors as :func:`decode_unsigned32`."""
    limit = min(position + max_bytes, len(data))
    while position < limit:
        if data[position] < 0x80:
            return position + 1
        position += 1
    raise _corrupt(position)


def _decode(data: Buffer, position: int, max_bytes: int, mask: int) -> tuple[int, int]:
    if position >= len(data):
        raise _corrupt(position)
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    shift = 7
    limit = min(position + max_bytes, len(data))
    position += 1
    while position < limit:
        byte = data[position]
        position += 1
        if byte < 0x80:
            return (value | byte << shift) & mask, position
        value |= (byte & 0x7F) << shift
        shift += 7
    raise _corrupt(position)


def _corrupt(position: int) -> FlussError:
    return FlussError(ErrorCode.CORRUPT_RECORD_EXCEPTION, f"truncated or over-long varint before byte {position}")
