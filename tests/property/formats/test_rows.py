"""Rows: what goes in comes out, vectorised or not, and broken bytes end in an error of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import format_strategies as strategies
import vectors_loader as vectors
from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import columns
from fluss_server.formats.aligned_row import AlignedRowCodec
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.keys import key_encoder
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.model.types import NESTED_ROOTS

VECTORISED, ONE_BY_ONE = 0, 10**9
kv_formats = st.sampled_from(KvFormat)


@given(strategies.tables())
@settings(max_examples=examples(10))
def test_rows_come_back(table: tuple[Schema, list[tuple[Any, ...]]]) -> None:
    schema, rows = table
    for kv_format in KvFormat:
        codec = row_codec(schema.types, kv_format)
        for row in rows:
            data = codec.encode(row)
            assert codec.decode(data) == codec.decode(memoryview(data)) == row
            assert codec.join(codec.split(data)) == data
    aligned = AlignedRowCodec(schema.types)
    for row in rows:
        assert aligned.decode(aligned.encode(row)) == row


@given(strategies.tables(max_rows=4), kv_formats, st.data())
@settings(max_examples=examples(15))
def test_broken_rows(table: tuple[Schema, list[tuple[Any, ...]]], kv_format: KvFormat, data: st.DataObject) -> None:
    schema, rows = table
    codec = row_codec(schema.types, kv_format)
    encoded = [codec.encode(row) for row in rows]
    encoded[-1] = data.draw(strategies.broken(encoded[-1]))
    for read in (codec.decode, codec.split, AlignedRowCodec(schema.types).decode):
        try:
            read(encoded[-1])
        except FlussError as error:
            refused(error)
    results = [to_arrow(schema, kv_format, encoded, way) for way in (VECTORISED, ONE_BY_ONE)]
    assert vectors.comparable(results[0]) == vectors.comparable(results[1])


def to_arrow(schema: Schema, kv_format: KvFormat, rows: list[bytes], threshold: int) -> list[Any] | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
        try:
            batch = rows_to_record_batch(schema, kv_format, rows)
        except FlussError as error:
            refused(error)
            return None
    return [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]


def refused(error: FlussError) -> None:
    assert error.code in (ErrorCode.CORRUPT_RECORD_EXCEPTION, ErrorCode.RECORD_TOO_LARGE_EXCEPTION)


@given(strategies.tables(), kv_formats, st.sampled_from([VECTORISED, ONE_BY_ONE]))
@settings(max_examples=examples(10))
def test_to_arrow_and_back(table: tuple[Schema, list[tuple[Any, ...]]], kv_format: KvFormat, threshold: int) -> None:
    schema, rows = table
    codec = row_codec(schema.types, kv_format)
    encoded = [codec.encode(row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
        patch.setattr(columns, "WRITE_VECTORISED_FROM_ROWS", threshold)
        batch = rows_to_record_batch(schema, kv_format, encoded)
        found = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
        assert list(zip(*found, strict=True)) == rows
        assert record_batch_to_rows(schema, kv_format, batch) == encoded


@given(strategies.tables(), kv_formats, st.data())
@settings(max_examples=examples(10))
def test_rows_of_an_older_schema_get_nulls(
    table: tuple[Schema, list[tuple[Any, ...]]], kv_format: KvFormat, data: st.DataObject
) -> None:
    old, rows = table
    added = [kind.with_nullable(True) for kind in data.draw(st.lists(strategies.data_types(), max_size=3))]
    new = strategies.schema_of_types([*old.types, *added])
    codec = row_codec(old.types, kv_format)
    batch = rows_to_record_batch(new, kv_format, [codec.encode(row) for row in rows], old)
    found = [from_arrow(column, kind) for column, kind in zip(batch.columns, new.types, strict=True)]
    assert list(zip(*found, strict=True)) == [(*row, *([None] * len(added))) for row in rows]


@given(strategies.tables())
@settings(max_examples=examples(10))
def test_keys_of_columns_are_those_of_values(table: tuple[Schema, list[tuple[Any, ...]]]) -> None:
    schema, rows = table
    places = [index for index, kind in enumerate(schema.types) if not kind.nullable and kind.root not in NESTED_ROOTS]
    if not places:
        return
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    batch = rows_to_record_batch(schema, KvFormat.COMPACTED, [codec.encode(row) for row in rows])
    for lake in (None, "paimon"):
        encoder = key_encoder([schema.types[place] for place in places], lake)
        keys = [encoder.encode([row[place] for place in places]) for row in rows]
        assert encoder.encode_columns([batch.column(place) for place in places]) == keys


@given(st.binary(max_size=60), st.lists(strategies.data_types(), min_size=1, max_size=10), kv_formats)
@settings(max_examples=examples(15))
def test_random_bytes(data: bytes, types: list[Any], kv_format: KvFormat) -> None:
    try:
        row_codec(types, kv_format).decode(data)
    except FlussError as error:
        refused(error)
