"""KV batches against golden vectors, and how broken ones are refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.crc import crc32c
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.kv_batch import HEADER_SIZE, KvBatch, build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.table import KvFormat

CASES = vectors.load("kv_batches")["cases"]


@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    schema = vectors.schema_of(case["schema"], case["primary_key"])
    codec = row_codec(schema.types, KvFormat(case["kv_format"]))
    encoder = key_encoder([schema.types[index] for index in schema.primary_key_indexes])
    for batch in (KvBatch.parse(data), KvBatch.parse(memoryview(b"ab" + data + b"rest"), 2)):
        for name in ("size", "schema_id", "writer_id", "batch_sequence", "record_count"):
            assert getattr(batch, name) == case[name]
        keys, rows = batch.records()
        assert [key.hex() for key in keys] == [record["key"] for record in case["records"]]
        assert [row and row.hex() for row in rows] == [record["row_bytes"] for record in case["records"]]
    for record, row in zip(case["records"], rows, strict=True):
        values = [
            vectors.value_of(value, schema.types[index])
            for value, index in zip(record["key_values"], schema.primary_key_indexes, strict=True)
        ]
        assert encoder.encode(values).hex() == record["key"]
        if row is not None:
            expected = vectors.row_of(record["row"], schema)
            assert vectors.comparable(codec.decode(row)) == vectors.comparable(expected)
            assert codec.encode(expected) == row
    built = build_kv_batch(
        case["schema_id"],
        zip(keys, rows, strict=True),
        writer_id=case["writer_id"],
        batch_sequence=case["batch_sequence"],
    )
    assert built == data


def sample() -> bytes:
    return build_kv_batch(1, [(b"k1", b"row"), (b"k" * 200, b"r" * 300), (b"k1", None)], writer_id=5, batch_sequence=0)


def code_of(data: bytes) -> ErrorCode:
    with pytest.raises(FlussError) as caught:
        KvBatch.parse(data).records()
    return caught.value.code


def with_crc(data: bytearray) -> bytes:
    """The batch with length and CRC made right again."""
    struct.pack_into("<i", data, 0, len(data) - 4)
    struct.pack_into("<I", data, 5, crc32c(bytes(data[9:])))
    return bytes(data)


def test_every_cut_and_every_changed_byte() -> None:
    data = sample()
    for size in range(len(data)):
        assert code_of(data[:size]) is ErrorCode.CORRUPT_MESSAGE
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x01
        assert code_of(bytes(changed)) is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("count", [2, 4, -1, 2**31 - 1])
def test_wrong_record_count(count: int) -> None:
    data = bytearray(sample())
    struct.pack_into("<i", data, 24, count)
    assert code_of(with_crc(data)) is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("length", [-1, 0, 1, 2**31 - 1, -(2**31)])
def test_wrong_record_length(length: int) -> None:
    data = bytearray(sample())
    struct.pack_into("<i", data, HEADER_SIZE, length)
    assert code_of(with_crc(data)) is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("key_size", ["7f", "ffffffff0f", "ffffffffff0f", "8080808080808080", "ff"])
def test_wrong_key_length(key_size: str) -> None:
    record = bytes.fromhex(key_size) + b"key"
    data = bytearray(sample()[:HEADER_SIZE]) + struct.pack("<i", len(record)) + record
    struct.pack_into("<i", data, 24, 1)
    assert code_of(with_crc(data)) is ErrorCode.CORRUPT_MESSAGE


def test_unknown_magic() -> None:
    data = bytearray(sample())
    data[4] = 1
    assert code_of(with_crc(data)) is ErrorCode.CORRUPT_MESSAGE
