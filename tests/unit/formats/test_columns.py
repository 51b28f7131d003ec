"""Rows to Arrow batches and back: the vectorised way against the way row by row, and both against golden vectors."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import pyarrow as pa
import pytest

import vectors_loader as vectors
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats import columns
from fluss_server.formats.arrow_values import from_arrow
from fluss_server.formats.columns import record_batch_to_rows, rows_to_record_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Column, Schema
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot

CASES = vectors.load("rows")["cases"]
ROW_COUNT = 100


def both_ways(
    monkeypatch: pytest.MonkeyPatch, schema: Schema, kv_format: KvFormat, rows: list[bytes]
) -> pa.RecordBatch:
    """The batch, after checking that both ways make the same one."""
    monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", 0)
    vectorised = rows_to_record_batch(schema, kv_format, rows)
    monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", 10**9)
    one_by_one = rows_to_record_batch(schema, kv_format, rows)
    # Not RecordBatch.equals: NaN differs from itself there.
    assert vectors.comparable(values_of(vectorised, schema)) == vectors.comparable(values_of(one_by_one, schema))
    return vectorised


def values_of(batch: pa.RecordBatch, schema: Schema) -> list[list[Any]]:
    return [from_arrow(column, kind) for column, kind in zip(batch.columns, schema.types, strict=True)]


@pytest.mark.parametrize("kv_format", KvFormat)
@pytest.mark.parametrize("case", CASES, ids=vectors.case_names(CASES))
def test_vectors(case: dict[str, Any], kv_format: KvFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = vectors.schema_of(case["schema"])
    codec = row_codec(schema.types, kv_format)
    entries = [entry for entry in case["rows"] if entry[kv_format.value.lower()] is not None]
    rows = [bytes.fromhex(entry[kv_format.value.lower()]) for entry in entries]
    good = []
    for row in rows:
        if fits_arrow(codec.decode(row), schema):
            good.append(row)
            continue
        for threshold in (0, 10**9):
            monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
            with pytest.raises(FlussError) as caught:
                rows_to_record_batch(schema, kv_format, [row])
            assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION
    if not good:
        return
    rows = list(islice(cycle(good), ROW_COUNT))
    batch = both_ways(monkeypatch, schema, kv_format, rows)
    expected = [codec.decode(row) for row in rows]
    for index, data_type in enumerate(schema.types):
        values = from_arrow(batch.column(index), data_type)
        assert vectors.comparable(values) == vectors.comparable([in_arrow(row[index], data_type) for row in expected])
    kept = [tuple(in_arrow(value, kind) for value, kind in zip(row, schema.types, strict=True)) for row in expected]
    if vectors.comparable(kept) != vectors.comparable(expected):
        return  # something was truncated; the bytes cannot come back
    for threshold in (0, 10**9):
        monkeypatch.setattr(columns, "WRITE_VECTORISED_FROM_ROWS", threshold)
        assert record_batch_to_rows(schema, kv_format, batch) == rows
        assert record_batch_to_rows(schema, kv_format, batch.slice(3, 50)) == rows[3:53]


def fits_arrow(values: Any, schema: Schema) -> bool:
    """Whether a row's values fit its Arrow columns: BINARY(n) of n bytes, times in range."""
    for value, data_type in zip(values, schema.types, strict=True):
        if value is None:
            continue
        if data_type.root is TypeRoot.BINARY and len(value) != data_type.length:
            return False
        if data_type.root is TypeRoot.TIME and not 0 <= value < 86_400_000:
            return False
        if data_type.root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
            unit = 1_000_000 if data_type.precision > 6 else 1000
            if data_type.precision > 3 and abs(value[0]) > (2**63 - 1) // unit - 1:
                return False
    return True


def in_arrow(value: Any, data_type: DataType) -> Any:
    """The value after the truncation to its Arrow unit."""
    if value is None:
        return None
    if data_type.root is TypeRoot.TIME and data_type.precision == 0:
        return value // 1000 * 1000
    if data_type.root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        milliseconds, nanoseconds = value
        if data_type.precision == 0:
            return int(milliseconds / 1000) * 1000, 0
        return milliseconds, nanoseconds // 1000 * 1000 if data_type.precision <= 6 else nanoseconds
    if data_type.root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return [in_arrow(item, data_type.element) for item in value]
    if data_type.root is TypeRoot.MAP:
        assert data_type.element is not None
        return [(key, in_arrow(item, data_type.element)) for key, item in value]
    if data_type.root is TypeRoot.ROW:
        return tuple(in_arrow(item, field.type) for item, field in zip(value, data_type.fields, strict=True))
    return value


def of_types(*types: DataType) -> Schema:
    return Schema(tuple(Column(f"c{index}", kind, index) for index, kind in enumerate(types)))


@pytest.mark.parametrize("threshold", [0, 10**9])
def test_null_in_a_not_null_column(threshold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
    schema = of_types(DataType(TypeRoot.INTEGER), DataType(TypeRoot.STRING, False))
    codec = row_codec(schema.types, KvFormat.COMPACTED)
    rows = [codec.encode((1, "a")), codec.encode((2, None))]
    with pytest.raises(FlussError, match=r"null in column 'c1', which is STRING NOT NULL") as caught:
        rows_to_record_batch(schema, KvFormat.COMPACTED, rows)
    assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


@pytest.mark.parametrize("threshold", [0, 10**9])
def test_values_that_arrow_cannot_hold(threshold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
    for kind, value in (
        (DataType(TypeRoot.DECIMAL, precision=4, scale=2), 10_000),
        (DataType(TypeRoot.DECIMAL, precision=20), 10**20),
        (DataType(TypeRoot.TIMESTAMP, precision=9), (2**62, 0)),
        (DataType(TypeRoot.TIMESTAMP, precision=6), (-(2**60), 0)),
        (DataType(TypeRoot.TIME, precision=3), 86_400_000),
        (DataType(TypeRoot.TIME), -1),
        (DataType(TypeRoot.BINARY, length=3), b"1234"),
        (DataType(TypeRoot.BINARY, length=3), b"12"),
        (DataType(TypeRoot.STRING), "\ud800"),
    ):
        schema = of_types(kind)
        if kind.root is TypeRoot.STRING:
            row = b"\0\3\xed\xa0\x80"  # a lone surrogate, which is not UTF-8
        else:
            row = row_codec(schema.types, KvFormat.COMPACTED).encode((value,))
        with pytest.raises(FlussError) as caught:
            rows_to_record_batch(schema, KvFormat.COMPACTED, [row])
        assert caught.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


@pytest.mark.parametrize("threshold", [0, 10**9])
def test_a_binary_column_of_excessive_width(threshold: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow would spend gigabytes on these nulls."""
    monkeypatch.setattr(columns, "READ_VECTORISED_FROM_ROWS", threshold)
    old, new = (
        of_types(DataType(TypeRoot.INTEGER)),
        of_types(DataType(TypeRoot.INTEGER), DataType(TypeRoot.BINARY, length=2**31 - 1)),
    )
    array = of_types(DataType(TypeRoot.ARRAY, element=DataType(TypeRoot.BINARY, length=2**30)))
    for schema, of_rows, values in ((new, new, (1, None)), (new, old, (1,)), (array, array, ([None, None],))):
        row = row_codec(of_rows.types, KvFormat.COMPACTED).encode(values)
        with pytest.raises(FlussError) as caught:
            rows_to_record_batch(schema, KvFormat.COMPACTED, [row], of_rows)
        assert caught.value.code is ErrorCode.RECORD_TOO_LARGE_EXCEPTION


@pytest.mark.parametrize("kv_format", KvFormat)
def test_long_texts_and_many_rows(kv_format: KvFormat) -> None:
    """More rows than one block of the writer, and texts long enough to be copied one by one."""
    schema = of_types(DataType(TypeRoot.STRING), DataType(TypeRoot.BIGINT), DataType(TypeRoot.BYTES))
    codec = row_codec(schema.types, kv_format)
    values = [
        (None if n % 7 == 0 else "x" * (n % 300), (-1) ** n * n**4, None if n % 5 else bytes(n % 3))
        for n in range(40_000)
    ]
    rows = [codec.encode(value) for value in values]
    batch = rows_to_record_batch(schema, kv_format, rows)
    assert batch.column(0).to_pylist() == [value[0] for value in values]
    assert record_batch_to_rows(schema, kv_format, batch) == rows


def test_no_rows() -> None:
    schema = of_types(DataType(TypeRoot.STRING), DataType(TypeRoot.BIGINT))
    batch = rows_to_record_batch(schema, KvFormat.COMPACTED, [])
    assert (batch.num_rows, batch.schema.names) == (0, ["c0", "c1"])
    assert record_batch_to_rows(schema, KvFormat.COMPACTED, batch) == []


def test_rows_of_a_newer_schema() -> None:
    old, new = of_types(DataType(TypeRoot.INTEGER)), of_types(DataType(TypeRoot.INTEGER), DataType(TypeRoot.INTEGER))
    with pytest.raises(ValueError, match="newer"):
        rows_to_record_batch(old, KvFormat.COMPACTED, [], new)
