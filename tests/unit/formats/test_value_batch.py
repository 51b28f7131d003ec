"""Stored values and value batches against golden vectors."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.row_codec import row_codec
from fluss_server.formats.value_batch import build_value_batch, decode_value, encode_value, parse_value_batch
from fluss_server.model.table import KvFormat

DOCUMENT = vectors.load("kv_values")


@pytest.mark.parametrize("entry", DOCUMENT["values"], ids=lambda entry: entry["value"][:20])
def test_values(entry: dict[str, Any]) -> None:
    schema = vectors.schema_of(entry["schema"])
    codec = row_codec(schema.types, KvFormat(entry["kv_format"]))
    data = bytes.fromhex(entry["value"])
    schema_id, row = decode_value(data)
    values = vectors.row_of(entry["row"], schema)
    assert schema_id == entry["schema_id"]
    assert vectors.comparable(codec.decode(row)) == vectors.comparable(values)
    assert encode_value(schema_id, codec.encode(values)) == data


@pytest.mark.parametrize("entry", DOCUMENT["value_record_batches"], ids=lambda entry: f"{len(entry['records'])}")
def test_batches(entry: dict[str, Any]) -> None:
    schema = vectors.schema_of(entry["schema"])
    codec = row_codec(schema.types, KvFormat(entry["kv_format"]))
    data = bytes.fromhex(entry["bytes"])
    values = parse_value_batch(data)
    found = [(schema_id, codec.decode(row)) for schema_id, row in map(decode_value, values)]
    wanted = [(record["schema_id"], vectors.row_of(record["row"], schema)) for record in entry["records"]]
    assert vectors.comparable(found) == vectors.comparable(wanted)
    assert build_value_batch(values) == data
    assert build_value_batch([encode_value(schema_id, codec.encode(row)) for schema_id, row in wanted]) == data


def test_broken_batches() -> None:
    data = build_value_batch([b"\1\0row", b"\1\0"])
    broken = [data[:size] for size in range(len(data))]
    broken += [data + b"\0", data[:4] + b"\1" + data[5:]]
    for position in (0, 5, 9, 18):
        for number in (-1, 1, 3, 2**31 - 1):
            forged = bytearray(data)
            struct.pack_into("<i", forged, position, number)
            broken.append(bytes(forged))
    for one in broken:
        with pytest.raises(FlussError) as caught:
            parse_value_batch(one)
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_a_value_without_schema_id() -> None:
    with pytest.raises(FlussError):
        decode_value(b"\1")
