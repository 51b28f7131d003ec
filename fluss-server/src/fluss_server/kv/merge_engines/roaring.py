"""Union of serialized roaring bitmaps, as the functions rbm32 and rbm64 need it.

A 32-bit bitmap is in the portable format of the Roaring specification, which pyroaring reads, checks and writes.

A 64-bit bitmap is what ``Roaring64Bitmap`` of the Java library (1.3) writes, little-endian: a radix tree (ART) from the
high 48 bits of a value to the number of a container, then the containers, which hold the low 16 bits::

    [0]                                                            an empty bitmap
    [1][int64 leaves][nodes, each before its children][containers] any other

    node        [type][int16 children][prefix length][prefix bytes][body][children in key order]
    leaf        type 4, no children; body: [6 bytes key, big-endian][int64 number of its container]
    inner node  types 0 to 3 for up to 4, 16, 48, 256 children; body by type: 4 key bytes, 16 key bytes, 256 child
                numbers (0xFF = none), 256 bits. All but the bits are big-endian words (of 4, 8, 8 bytes) written
                little-endian.

    containers  [int32 blocks], per block [mark -2][int32 slots], per slot [0] or [1][kind][int32 cardinality][content];
                then [int64 containers][int32 last block][int32 last slot]
    content     kind 0: [int16 runs] and (int16 first, int16 length - 1) per run; kind 1: 65 536 bits;
                kind 2: int16 values in order

The number of a container is its block in the high 32 bits and its slot in the low ones. Containers whose keys share
the high 32 bits become one 32-bit bitmap for pyroaring.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fluss_server.errors import FlussError
from fluss_server.formats.scalars import corrupt_row

if TYPE_CHECKING:
    from pyroaring import BitMap

_NODE = struct.Struct("<BHB")
_LEAF_TYPE = 4
_LEAF = struct.Struct("<6sq")
_BODY_SIZES = (4, 16, 256, 32)
_CAPACITIES = (4, 16, 48, 256)
_WORD_SIZES = (4, 8, 8, 1)
_KEY_BYTES = 6
_MAX_DEPTH = _KEY_BYTES + 1

_BLOCK = struct.Struct("<bi")
_TRIMMED = -2
_CONTAINER = struct.Struct("<Bi")
_RUN, _BITS, _ARRAY = 0, 1, 2
_BITS_SIZE = 8192
_MAX_ARRAY = 4096  # values; more are kept as bits
_END = struct.Struct("<qii")

_I32, _I64, _U16, _U32 = struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<H"), struct.Struct("<I")
_COOKIE_WITH_RUNS, _COOKIE = 12347, 12346
_DESCRIPTOR = struct.Struct("<HH")
_OFFSETS_FROM = 4  # containers, in a bitmap with runs

_Container = tuple[int, int, bytes]
"""Kind, cardinality and content, the same in both formats."""


def union32(left: bytes, right: bytes) -> bytes:
    """Union of two bitmaps of 32-bit numbers; ``CORRUPT_RECORD_EXCEPTION`` if one is none."""
    bitmap = _bitmap(left)
    bitmap |= _bitmap(right)
    bitmap.run_optimize()
    return bitmap.serialize()


def union64(left: bytes, right: bytes) -> bytes:
    """Union of two bitmaps of 64-bit numbers; ``CORRUPT_RECORD_EXCEPTION`` if one is none."""
    union = _read64(left)
    for high, bitmap in _read64(right).items():
        if high in union:
            union[high] |= bitmap
        else:
            union[high] = bitmap
    return _write64(union)


def _bitmap(data: bytes) -> BitMap:
    from pyroaring import BitMap  # only tables with bitmaps need it

    try:
        return BitMap.deserialize(data)  # checks all of it
    except (ValueError, IndexError) as error:
        raise _corrupt(str(error)) from None


# ---------------------------------------------------------------------- 64 bits


def _read64(data: bytes) -> dict[bytes, BitMap]:
    """Bitmaps of the low 32 bits by the high 32 bits (big-endian)."""
    if data == b"\0":
        return {}
    try:
        if data[0] != 1:
            raise _corrupt(f"unknown mark {data[0]}")
        leaves, position = _read_tree(data)
        containers = _read_containers(data, position)
        leaves.sort()
        return {
            high: _bitmap(_portable([(int.from_bytes(key[4:], "big"), containers[number]) for key, number in same]))
            for high, same in groupby(leaves, key=lambda leaf: leaf[0][:4])
        }
    except (IndexError, KeyError, struct.error) as error:
        raise _corrupt(f"it ends early or refers to what is not there ({error})") from None


def _read_tree(data: bytes) -> tuple[list[tuple[bytes, int]], int]:
    """Keys and container numbers of the leaves, and the position after the tree."""
    leaves: list[tuple[bytes, int]] = []
    position = 1 + _I64.size
    expected = _I64.unpack_from(data, 1)[0]
    waiting = [1]  # nodes still to come on each level
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        kind, children, prefix = _NODE.unpack_from(data, position)
        position += _NODE.size + prefix
        if kind == _LEAF_TYPE:
            leaves.append(_LEAF.unpack_from(data, position))
            position += _LEAF.size
            continue
        if children < 1 or len(waiting) >= _MAX_DEPTH:
            raise _corrupt("its tree is not one of 6-byte keys")
        position += _BODY_SIZES[kind]
        waiting.append(children)
    if len(leaves) != expected:
        raise _corrupt(f"its tree has {len(leaves)} leaves instead of {expected}")
    return leaves, position


def _read_containers(data: bytes, position: int) -> dict[int, _Container]:
    containers: dict[int, _Container] = {}
    blocks = _I32.unpack_from(data, position)[0]
    position += _I32.size
    for block in range(blocks):
        _, slots = _BLOCK.unpack_from(data, position)
        position += _BLOCK.size
        for slot in range(slots):
            used = data[position]
            position += 1
            if not used:
                continue
            kind, cardinality = _CONTAINER.unpack_from(data, position)
            position += _CONTAINER.size
            if kind == _RUN:
                size = _U16.size + 4 * _U16.unpack_from(data, position)[0]
            else:
                size = _BITS_SIZE if kind == _BITS else 2 * cardinality
            if size < 0 or position + size > len(data) or kind > _ARRAY:
                raise _corrupt(f"a container of kind {kind} takes {size} bytes")
            containers[block << 32 | slot] = kind, cardinality, data[position : position + size]
            position += size
    return containers


def _write64(bitmaps: dict[bytes, BitMap]) -> bytes:
    keys: list[bytes] = []
    containers: list[_Container] = []
    for high in sorted(bitmaps):
        bitmap = bitmaps[high]
        bitmap.run_optimize()
        for low, container in _split(bitmap.serialize()):
            keys.append(high + low.to_bytes(2, "big"))
            containers.append(container)
    if not keys:
        return b"\0"
    pieces = [b"\1", _I64.pack(len(keys))]
    _write_tree(pieces, keys, 0, len(keys), 0)
    pieces += (_I32.pack(1), _BLOCK.pack(_TRIMMED, len(keys)))
    for kind, cardinality, content in containers:
        pieces += (b"\1", _CONTAINER.pack(kind, cardinality), content)
    pieces.append(_END.pack(len(keys), 0, len(keys) - 1))
    return b"".join(pieces)


def _write_tree(pieces: list[bytes], keys: Sequence[bytes], start: int, end: int, depth: int) -> None:
    """Append the node of the sorted keys ``start`` to ``end``, which share their first ``depth`` bytes."""
    if end - start == 1:
        pieces += (_NODE.pack(_LEAF_TYPE, 0, 0), _LEAF.pack(keys[start], start))
        return
    first, last = keys[start], keys[end - 1]  # they are sorted, so what these share all share
    split = next(index for index in range(depth, _KEY_BYTES) if first[index] != last[index])
    children = [
        (byte, [index for index, _ in same])
        for byte, same in groupby(enumerate(keys[start:end], start), key=lambda entry: entry[1][split])
    ]
    kind = next(kind for kind, capacity in enumerate(_CAPACITIES) if len(children) <= capacity)
    prefix = first[depth:split]
    pieces += (_NODE.pack(kind, len(children), len(prefix)), prefix, _body(kind, [byte for byte, _ in children]))
    for _, indexes in children:
        _write_tree(pieces, keys, indexes[0], indexes[-1] + 1, split + 1)


def _body(kind: int, key_bytes: Sequence[int]) -> bytes:
    if kind == 2:
        body = bytearray(b"\xff" * _BODY_SIZES[kind])
        for number, byte in enumerate(key_bytes):
            body[byte] = number
    elif kind == 3:
        body = bytearray(_BODY_SIZES[kind])
        for byte in key_bytes:
            body[byte >> 3] |= 1 << (byte & 7)
    else:
        body = bytearray(key_bytes).ljust(_BODY_SIZES[kind], b"\0")
    word = _WORD_SIZES[kind]
    return b"".join(bytes(body[at : at + word][::-1]) for at in range(0, len(body), word))


# ---------------------------------------------------------------------- containers in the portable format


def _portable(containers: Sequence[tuple[int, _Container]]) -> bytes:
    """A bitmap of containers by the bits 16 to 31 of their values, in order. pyroaring checks the contents."""
    has_runs = any(kind == _RUN for _, (kind, _, _) in containers)
    count = len(containers)
    descriptors, contents = [], []
    for low, (kind, cardinality, content) in containers:
        if kind == _BITS and cardinality <= _MAX_ARRAY:  # the portable format has no mark for it
            bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
            content = np.flatnonzero(bits).astype("<u2").tobytes()
            cardinality = len(content) // 2
        if not 0 < cardinality <= 0x10000 or (kind == _ARRAY and cardinality > _MAX_ARRAY):
            raise _corrupt(f"a container of kind {kind} has {cardinality} values")
        descriptors.append(_DESCRIPTOR.pack(low, cardinality - 1))
        contents.append(content)
    if has_runs:
        flags = sum(1 << index for index, (_, (kind, _, _)) in enumerate(containers) if kind == _RUN)
        head = _U32.pack(_COOKIE_WITH_RUNS | count - 1 << 16) + flags.to_bytes((count + 7) // 8, "little")
    else:
        head = _U32.pack(_COOKIE) + _U32.pack(count)
    offsets = []
    if not has_runs or count >= _OFFSETS_FROM:
        position = len(head) + 8 * count
        for content in contents:
            offsets.append(_U32.pack(position))
            position += len(content)
    return b"".join((head, *descriptors, *offsets, *contents))


def _split(data: bytes) -> Iterator[tuple[int, _Container]]:
    """Containers of a bitmap that pyroaring wrote."""
    cookie = _U32.unpack_from(data)[0]
    flags = 0
    if cookie & 0xFFFF == _COOKIE_WITH_RUNS:
        count = (cookie >> 16) + 1
        position = 4 + (count + 7) // 8
        flags = int.from_bytes(data[4:position], "little")
        at = position + 4 * count + (4 * count if count >= _OFFSETS_FROM else 0)
    else:
        count = _U32.unpack_from(data, 4)[0]
        position = 8
        at = position + 8 * count
    for index in range(count):
        low, last = _DESCRIPTOR.unpack_from(data, position + 4 * index)
        if flags >> index & 1:
            kind = _RUN
            size = _U16.size + 4 * _U16.unpack_from(data, at)[0]
        else:
            kind = _BITS if last >= _MAX_ARRAY else _ARRAY
            size = _BITS_SIZE if kind == _BITS else 2 * (last + 1)
        yield low, (kind, last + 1, data[at : at + size])
        at += size


def _corrupt(reason: str) -> FlussError:
    return corrupt_row(f"not a roaring bitmap: {reason}")
