"""Log, KV and value batches: what goes in comes out, and broken bytes end in an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import format_strategies as strategies
from example_support import examples
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import decode_batch, encode_payload
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.arrow_values import from_arrow, to_arrow
from fluss_server.formats.kv_batch import KvBatch, build_kv_batch
from fluss_server.formats.log_batch import build_batch, crc_matches, iter_batches, parse_header
from fluss_server.formats.projection import BatchProjector, TableProjector
from fluss_server.formats.row_log import decode_row_batch, encode_row_payload
from fluss_server.formats.value_batch import build_value_batch, parse_value_batch
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression
from fluss_server.model.types import DataType

CORRUPT = (ErrorCode.CORRUPT_MESSAGE, ErrorCode.CORRUPT_RECORD_EXCEPTION)
READERS: tuple[Callable[[bytes], object], ...] = (
    parse_header,
    lambda data: list(iter_batches(data)),
    lambda data: decode_row_batch(data, parse_header(data)),
    lambda data: KvBatch.parse(data).records(),
    parse_value_batch,
)
records = st.lists(st.tuples(st.binary(max_size=200), st.none() | st.binary(min_size=1, max_size=50)), max_size=8)


def read_or_refuse(work: Callable[[], object]) -> None:
    """Run ``work``, which may end in the error of corrupt bytes and in no other."""
    try:
        work()
    except FlussError as error:
        if error.code not in CORRUPT:
            raise


@st.composite
def arrow_batches(draw: st.DrawFn) -> tuple[Schema, list[tuple[Any, ...]], bytes]:
    """A schema, its rows, and the log batch of them."""
    schema, rows = draw(strategies.tables())
    columns = [to_arrow([row[index] for row in rows], kind) for index, kind in enumerate(schema.types)]
    batch = pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))
    change_types = draw(st.none() | st.binary(min_size=len(rows), max_size=len(rows)))
    if change_types is not None:
        change_types = bytes(kind % 5 for kind in change_types)
    payload = encode_payload(batch, draw(st.sampled_from(ArrowCompression)), 1)
    return schema, rows, bytes(build_batch(1, change_types=change_types, payload=payload, record_count=len(rows)))


def rows_of(data: bytes, schema: Schema) -> list[tuple[Any, ...]]:
    _, batch = decode_batch(data, parse_header(data), arrow_schema(schema))
    columns = [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
    return list(zip(*columns, strict=True))


@given(arrow_batches(), st.data())
@settings(max_examples=examples(10))
def test_arrow_batches_come_back_projected_or_not(
    case: tuple[Schema, list[tuple[Any, ...]], bytes], data: st.DataObject
) -> None:
    schema, rows, batch = case
    header = parse_header(batch)
    assert crc_matches(batch, 0, header)
    assert rows_of(batch, schema) == rows
    fields = tuple(sorted(data.draw(st.sets(st.integers(0, len(schema.columns) - 1), min_size=1))))
    projected = b"".join(BatchProjector(schema, fields).project(batch, header))
    narrow = Schema(tuple(schema.columns[field] for field in fields))
    assert rows_of(projected, narrow) == [tuple(row[field] for field in fields) for row in rows]
    assert parse_header(projected).size == len(projected)


@given(arrow_batches(), st.lists(strategies.data_types(), min_size=1, max_size=3), st.data())
@settings(max_examples=examples(10))
def test_batches_of_an_older_schema_have_nulls_for_newer_columns(
    case: tuple[Schema, list[tuple[Any, ...]], bytes], added: list[DataType], data: st.DataObject
) -> None:
    old, rows, batch = case
    new = strategies.schema_of_types([*old.types, *(kind.with_nullable(True) for kind in added)])
    fields = tuple(sorted(data.draw(st.sets(st.integers(0, len(new.columns) - 1), min_size=1))))
    projector = TableProjector(fields, new, {1: old, 2: new}.__getitem__)
    projected = b"".join(projector.project(batch, parse_header(batch)))
    narrow = Schema(tuple(new.columns[field] for field in fields))
    filled = [row + (None,) * len(added) for row in rows]
    assert rows_of(projected, narrow) == [tuple(row[field] for field in fields) for row in filled]
    assert parse_header(projected).size == len(projected)


@given(arrow_batches(), st.data())
@settings(max_examples=examples(15))
def test_broken_arrow_batches(case: tuple[Schema, list[tuple[Any, ...]], bytes], data: st.DataObject) -> None:
    schema, _, batch = case
    forged = data.draw(strategies.broken(batch, data.draw(st.sampled_from([0, 48]))))
    read_or_refuse(lambda: BatchProjector(schema, (0,)).project(forged, parse_header(forged)))
    read_or_refuse(lambda: rows_of(forged, schema))


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
@settings(max_examples=examples(40))
def test_row_batches(rows: list[bytes], data: st.DataObject) -> None:
    change_types = bytes(index % 5 for index in range(len(rows)))
    payload = encode_row_payload(rows, change_types)
    batch = bytes(build_batch(1, change_types=b"", payload=payload, record_count=len(rows)))
    assert decode_row_batch(batch, parse_header(batch)) == (change_types, rows)
    forged = data.draw(strategies.broken(batch))
    read_or_refuse(lambda: decode_row_batch(forged, parse_header(forged)))


@given(st.lists(st.binary(max_size=30), max_size=4), st.data())
@settings(max_examples=examples(40))
def test_iterating_broken_batches_ends(payloads: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(build_batch(1, change_types=None, payload=part, record_count=1) for part in payloads)
    assert len(list(iter_batches(whole))) == len(payloads)
    forged = data.draw(strategies.broken(whole))

    def walk() -> None:
        previous_end = 0
        for position, header in iter_batches(forged):
            assert position == previous_end
            previous_end = position + header.size
            assert position < previous_end <= len(forged)

    read_or_refuse(walk)


@given(st.binary(max_size=80))
@settings(max_examples=examples(50))
def test_random_bytes(data: bytes) -> None:
    for read in READERS:
        read_or_refuse(partial(read, data))


@given(records, st.integers(0, 32767), st.integers(-1, 2**63 - 1), st.integers(-1, 2**31 - 1), st.data())
@settings(max_examples=examples(50))
def test_kv_batches(
    entries: list[tuple[bytes, bytes | None]], schema_id: int, writer_id: int, sequence: int, data: st.DataObject
) -> None:
    encoded = build_kv_batch(schema_id, entries, writer_id=writer_id, batch_sequence=sequence)
    batch = KvBatch.parse(encoded)
    assert (batch.schema_id, batch.writer_id, batch.batch_sequence) == (schema_id, writer_id, sequence)
    assert list(zip(*batch.records(), strict=True)) == entries
    # With a right CRC, so that the records themselves are read.
    forged = KvBatch(len(encoded), schema_id, writer_id, sequence, len(entries), data.draw(strategies.broken(encoded)))
    forged.size = len(forged.data)
    read_or_refuse(forged.records)


@given(st.lists(st.binary(min_size=2, max_size=40), max_size=6), st.data())
@settings(max_examples=examples(30))
def test_value_batches(values: list[bytes], data: st.DataObject) -> None:
    encoded = build_value_batch(values)
    assert parse_value_batch(encoded) == values
    forged = data.draw(strategies.broken(encoded))
    read_or_refuse(lambda: parse_value_batch(forged))
