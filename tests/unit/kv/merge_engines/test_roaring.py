"""Roaring bitmaps of the Java library: read, united, written so that it reads them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from pyroaring import BitMap

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.merge_engines.roaring import _read64, union32, union64
from vectors_loader import load

BITMAPS: list[dict[str, Any]] = load("roaring")["bitmaps"]
EMPTY_64 = b"\0"
# Java grows the array of containers in steps; what it does not use it writes as null slots, and we leave out.
SPARE_SLOTS = {"node of 48", "node of 256", "runs and arrays", "everything"}


def values_of(case: dict[str, Any]) -> set[int]:
    return {(start + n * step) % (1 << 64) for start, count, step in case["ranges"] for n in range(count)}


def bitmap64(values: Sequence[int]) -> bytes:
    """A serialized bitmap, made of Java bitmaps of one value each."""
    one = bytes.fromhex(next(case["rbm64"] for case in BITMAPS if case["name"] == "one value"))
    result = EMPTY_64
    for value in values:
        single = bytearray(one)
        single[13:19] = (value >> 16).to_bytes(6, "big")
        single[-18:-16] = (value & 0xFFFF).to_bytes(2, "little")
        result = union64(result, bytes(single))
    return result


def read64(data: bytes) -> set[int]:
    """Values of a bitmap."""
    return {int.from_bytes(high, "big") << 32 | low for high, bitmap in _read64(data).items() for low in bitmap}


@pytest.mark.parametrize("case", BITMAPS, ids=lambda case: case["name"])
def test_java_bitmaps_of_64_bits(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["rbm64"])
    assert read64(data) == values_of(case)
    again = union64(data, EMPTY_64)
    assert read64(again) == values_of(case)
    assert union64(data, data) == again
    if case["name"] not in SPARE_SLOTS:
        assert again == data


@pytest.mark.parametrize("case", [case for case in BITMAPS if "rbm32" in case], ids=lambda case: case["name"])
def test_java_bitmaps_of_32_bits(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["rbm32"])
    assert set(BitMap.deserialize(data)) == values_of(case)
    assert union32(data, data) == data
    assert union32(BitMap().serialize(), data) == data
    other = BitMap([7, 1 << 31])
    assert set(BitMap.deserialize(union32(data, other.serialize()))) == values_of(case) | {7, 1 << 31}


def test_unions_of_64_bits() -> None:
    small = [case for case in BITMAPS if len(case["rbm64"]) < 10_000]
    for left in small:
        for right in small:
            union = union64(bytes.fromhex(left["rbm64"]), bytes.fromhex(right["rbm64"]))
            assert read64(union) == values_of(left) | values_of(right)
    values = [1, 2, 1 << 16, 1 << 40, (1 << 64) - 1]
    assert read64(bitmap64(values)) == set(values)
    assert bitmap64(values) == bitmap64(values[::-1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1",
        b"\2" + bytes(30),
        b"\1" + bytes(7) + b"\x7f" + bytes(30),
        b"\1\1" + bytes(7) + b"\0\xff\xff\0" + bytes(300),
        b"\1\1" + bytes(7) + b"\0\0\0\0" + bytes(300),
    ],
)
def test_garbage_is_corrupt(data: bytes) -> None:
    for union in (union32, union64):
        with pytest.raises(FlussError) as caught:
            union(data, data)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_damaged_bitmaps_never_do_worse_than_raise() -> None:
    chance = random.Random(17)
    whole = [bytes.fromhex(case["rbm64"]) for case in BITMAPS if len(case["rbm64"]) < 5_000]
    refused = 0
    for _ in range(1_000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 127, 255, chance.randrange(256)])
        try:
            union64(bytes(data), whole[3])
        except FlussError:
            refused += 1
    assert refused > 300
