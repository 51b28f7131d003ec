"""Which batches fit a table: every compression and type, and one of each way not to fit."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.arrow_batch import encode_payload
from fluss_server.formats.arrow_message import parse_message
from fluss_server.formats.arrow_types import arrow_schema
from fluss_server.formats.batch_validation import BatchValidator
from fluss_server.formats.log_batch import build_batch, parse_header
from fluss_server.model.schema import Schema
from fluss_server.model.table import ArrowCompression

TYPES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"type": "BOOLEAN"}, [True, None, False]),
    ({"type": "TINYINT"}, [1, None, -1]),
    ({"type": "BIGINT"}, [1, None, -1]),
    ({"type": "DOUBLE"}, [1.0, None, 2.0]),
    ({"type": "STRING"}, ["a", None, "bcd"]),
    ({"type": "BINARY", "length": 2}, [b"ab", None, b"cd"]),
    ({"type": "DECIMAL", "precision": 20, "scale": 0}, [Decimal(1), None, Decimal(2)]),
    ({"type": "TIME_WITHOUT_TIME_ZONE", "precision": 3}, [1, None, 2]),
    ({"type": "TIME_WITHOUT_TIME_ZONE", "precision": 6}, [1, None, 2]),
    ({"type": "TIMESTAMP_WITHOUT_TIME_ZONE", "precision": 6}, [1, None, 2]),
    ({"type": "ARRAY", "element_type": {"type": "STRING"}}, [["x"], None, []]),
    (
        {"type": "MAP", "key_type": {"type": "INTEGER", "nullable": False}, "value_type": {"type": "STRING"}},
        [[(1, "x")], None, []],
    ),
    (
        {
            "type": "ROW",
            "fields": [
                {"name": "f", "field_type": {"type": "ARRAY", "element_type": {"type": "INTEGER"}}, "field_id": 99}
            ],
        },
        [{"f": [1, 2]}, None, {"f": None}],
    ),
]


def schema_of(types: list[dict[str, Any]]) -> Schema:
    columns = [{"name": f"c{index}", "data_type": data_type, "id": index} for index, data_type in enumerate(types)]
    return Schema.from_json({"version": 1, "columns": columns})


def batch_of(record_batch: pa.RecordBatch, compression: ArrowCompression) -> bytes:
    payload = encode_payload(record_batch, compression, 3)
    return bytes(build_batch(1, change_types=None, payload=payload, record_count=record_batch.num_rows))


def check(schema: Schema, batch: bytes) -> None:
    BatchValidator(schema.types).check(batch, parse_header(batch))


@pytest.mark.parametrize("compression", list(ArrowCompression))
@pytest.mark.parametrize("repeat", [0, 1, 3, 500])
def test_a_batch_of_the_tables_own_schema_fits(compression: ArrowCompression, repeat: int) -> None:
    schema = schema_of([data_type for data_type, _ in TYPES])
    arrow = arrow_schema(schema)
    arrays = [pa.array(values * repeat, field.type) for (_, values), field in zip(TYPES, arrow, strict=True)]
    check(schema, batch_of(pa.RecordBatch.from_arrays(arrays, schema=arrow), compression))


@pytest.mark.parametrize("compression", list(ArrowCompression))
@pytest.mark.parametrize("other", range(len(TYPES)))
def test_a_column_with_a_longer_type_than_the_batch_has_does_not_fit(compression: ArrowCompression, other: int) -> None:
    schema = schema_of([TYPES[other][0], {"type": "BIGINT"}])
    narrow = pa.record_batch({"c0": pa.array([1] * 100, pa.int8())})
    with pytest.raises(FlussError) as failure:
        check(schema, batch_of(narrow, compression))
    assert failure.value.code is ErrorCode.CORRUPT_RECORD_EXCEPTION


def test_types_in_another_order_do_not_fit() -> None:
    schema = schema_of([{"type": "BIGINT"}, {"type": "STRING"}])
    swapped = pa.record_batch({"c0": ["a"], "c1": pa.array([1], pa.int64())})
    with pytest.raises(FlussError, match="does not match the schema"):
        check(schema, batch_of(swapped, ArrowCompression.NONE))


def test_nulls_where_none_may_be_do_not_fit() -> None:
    schema = schema_of([{"type": "BIGINT", "nullable": False}])
    with pytest.raises(FlussError, match="1 nulls"):
        check(schema, batch_of(pa.record_batch({"c0": pa.array([1, None], pa.int64())}), ArrowCompression.NONE))


def test_null_map_keys_which_would_end_the_process_of_a_reader_do_not_fit() -> None:
    schema = schema_of([{"type": "MAP", "key_type": {"type": "INTEGER"}, "value_type": {"type": "INTEGER"}}])
    # The same shape as a list of rows, which may have what a map must not.
    pairs = pa.array([[{"key": None, "value": 1}]], pa.list_(pa.struct([("key", pa.int32()), ("value", pa.int32())])))
    with pytest.raises(FlussError, match="nulls"):
        check(schema, batch_of(pa.record_batch({"c0": pairs}), ArrowCompression.NONE))


def with_shorter_buffer(batch: bytes, index: int, by: int) -> bytes:
    """The batch, with the length of one of its Arrow buffers in the metadata made smaller."""
    header = parse_header(batch)
    offset, length = parse_message(batch, header.payload_offset, header.size).buffers[2 * index : 2 * index + 2]
    before, after = (struct.pack("<qq", offset, size) for size in (length, length - by))
    assert batch.count(before) == 1
    return batch.replace(before, after)


@pytest.mark.parametrize(
    ("kind", "values", "buffer"),
    [
        pytest.param({"type": "BIGINT"}, [1] * 1_001, 1, id="fixed width"),
        pytest.param({"type": "BOOLEAN"}, [True] * 8_009, 1, id="bits"),
        pytest.param({"type": "STRING"}, ["a"] * 1_001, 1, id="offsets"),
        pytest.param({"type": "BIGINT"}, [None, *range(8_008)], 0, id="validity"),
    ],
)
def test_a_buffer_that_is_one_byte_short_is_refused(kind: dict[str, Any], values: list[Any], buffer: int) -> None:
    schema = schema_of([kind])
    rows = pa.record_batch([pa.array(values, arrow_schema(schema).field(0).type)], names=["c0"])
    batch = batch_of(rows, ArrowCompression.NONE)
    check(schema, batch)
    with pytest.raises(FlussError, match=r"its buffer has|is too short"):
        check(schema, with_shorter_buffer(batch, buffer, 1))
