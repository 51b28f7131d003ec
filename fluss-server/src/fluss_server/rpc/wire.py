"""The protobuf wire format, as far as hand-written codecs need it: varints, tags, skipping what is unknown.

Accepts and refuses the same bytes as the protobuf runtime (version 7; older ones also take padded lengths). Errors are
``FlussError(CORRUPT_MESSAGE)``.
"""

from __future__ import annotations

from collections.abc import Iterator

from fluss_server.errors import ErrorCode, FlussError

VARINT = 0
FIXED64 = 1
BYTES = 2
GROUP_START = 3
GROUP_END = 4
FIXED32 = 5

_MAX_VARINT_SIZE = 10
_MAX_TAG_SIZE = 5
_MAX_LENGTH = 2**31 - 1
_MAX_GROUP_DEPTH = 100
_MASK64 = 2**64 - 1
_MINUS_ONE = b"\xff" * 9 + b"\x01"
_SIGN64 = 2**63
_MASK32 = 2**32 - 1
_SIGN32 = 2**31


def corrupt(why: str) -> FlussError:
    """The error for bytes that are not a message."""
    return FlussError(ErrorCode.CORRUPT_MESSAGE, f"the message cannot be read: {why}")


def read_varint(data: memoryview, position: int, end: int, max_size: int = _MAX_VARINT_SIZE) -> tuple[int, int]:
    """Unsigned value of a varint, cut to 64 bits, and the position after it."""
    stop = min(end, position + max_size)
    value = shift = 0
    for index in range(position, stop):
        byte = data[index]
        if byte < 0x80:
            return (value | byte << shift) & _MASK64, index + 1
        if byte == 0xFF and not shift and data[position:stop] == _MINUS_ONE:  # in every append with acks = all
            return _MASK64, stop
        value |= (byte & 0x7F) << shift
        shift += 7
    raise corrupt("a varint is cut off or too long")


def read_fields(data: memoryview, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message in ``data[position:end]``.

    Yields ``(tag, value, stop)``: the tag is ``number << 3 | wire type``. For VARINT ``value`` is the unsigned value;
    for BYTES the content is ``data[value:stop]``; for everything else it is the position of the content. Groups are
    checked and skipped, because no message of the protocol has one.
    """
    while position < end:
        tag = data[position]
        position += 1
        if tag >= 0x80:
            tag, position = read_varint(data, position - 1, end, _MAX_TAG_SIZE)
            if tag > _MASK32:
                raise corrupt("a field number is too large")
        wire_type = tag & 7
        if tag < 8:
            raise corrupt("field number 0")
        if wire_type == VARINT:
            if position < end and (value := data[position]) < 0x80:
                position += 1
            else:
                value, position = read_varint(data, position, end)
            yield tag, value, position
        elif wire_type == BYTES:
            if position < end and (length := data[position]) < 0x80:
                position += 1
            else:
                length, position = read_varint(data, position, end, _MAX_TAG_SIZE)
            stop = position + length
            if stop > end or length > _MAX_LENGTH:
                raise corrupt(f"a field of {length} bytes exceeds the message")
            yield tag, position, stop
            position = stop
        else:
            stop = _skip(data, position, end, tag)
            yield tag, position, stop
            position = stop


def _skip(data: memoryview, position: int, end: int, tag: int) -> int:
    """Position behind a fixed-size field or a group."""
    wire_type = tag & 7
    if wire_type == FIXED64:
        stop = position + 8
    elif wire_type == FIXED32:
        stop = position + 4
    elif wire_type == GROUP_START:
        stop = _skip_group(data, position, end, tag)
    else:
        raise corrupt(f"wire type {wire_type} where a field should start")
    if stop > end:
        raise corrupt("a field is cut off")
    return stop


def _skip_group(data: memoryview, position: int, end: int, tag: int) -> int:
    open_groups = [tag]
    while open_groups:
        tag, position = read_varint(data, position, end, _MAX_TAG_SIZE)
        if tag < 8 or tag > _MASK32:
            raise corrupt("bad field number")
        wire_type = tag & 7
        if wire_type == VARINT:
            _, position = read_varint(data, position, end)
        elif wire_type == BYTES:
            length, position = read_varint(data, position, end, _MAX_TAG_SIZE)
            position += length
        elif wire_type == GROUP_START:
            open_groups.append(tag)
            if len(open_groups) > _MAX_GROUP_DEPTH:
                raise corrupt("groups are nested too deeply")
        elif wire_type == GROUP_END:
            if open_groups.pop() != tag - 1:
                raise corrupt("a group ends that did not start")
        else:
            position = _skip(data, position, end, tag)
        if position > end:
            raise corrupt("a group is cut off")
    return position


def as_int32(value: int) -> int:
    """A varint as the protocol's int32."""
    value &= _MASK32
    return value - 2**32 if value >= _SIGN32 else value


def as_int64(value: int) -> int:
    """A varint as the protocol's int64."""
    return value - 2**64 if value >= _SIGN64 else value


def varint(value: int) -> bytes:
    """A varint; negative numbers take ten bytes, as int32 and int64 fields do."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if 0 <= value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    value &= _MASK64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ONE_BYTE = [bytes((value,)) for value in range(0x80)]
