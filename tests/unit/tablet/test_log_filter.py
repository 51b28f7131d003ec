"""Filters across the schemas of a table, and literals of every type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fluss_server.api import messages as pb
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.formats.log_batch import BatchHeader, build_batch, parse_header
from fluss_server.formats.predicate import Leaf, LeafFunction
from fluss_server.formats.scalars import encode_unscaled
from fluss_server.formats.statistics import ColumnStatistics, StatisticsCodec
from fluss_server.model.schema import Column, Schema
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.tablet.log_filter import LogFilter, read_predicate

INT = DataType(TypeRoot.INTEGER)
STRING = DataType(TypeRoot.STRING)
OLD = Schema((Column("a", INT, 0),), (), highest_field_id=0)
NEW = Schema((Column("a", INT, 0), Column("b", STRING, 5)), (), highest_field_id=5)
SCHEMAS = {1: OLD, 2: NEW}


def schema_of(schema_id: int) -> Schema:
    if schema_id not in SCHEMAS:
        raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, f"no schema {schema_id}")
    return SCHEMAS[schema_id]


def header(schema_id: int, rows: int = 3) -> BatchHeader:
    return parse_header(build_batch(schema_id, change_types=None, payload=b"x", record_count=rows))


def statistics(schema: Schema, columns: Mapping[int, ColumnStatistics]) -> bytes:
    return StatisticsCodec(schema.types).encode(dict(columns))


def test_columns_are_found_by_their_id_in_every_schema() -> None:
    on_new = LogFilter(Leaf(5, LeafFunction.EQUAL, ("m",)), schema_of)
    on_old = LogFilter(Leaf(0, LeafFunction.GREATER_THAN, (10,)), schema_of)
    low = ColumnStatistics(0, 1, 9)
    of_old = statistics(OLD, {0: low})
    of_new = statistics(NEW, {1: ColumnStatistics(0, "n", "z"), 0: low})
    assert on_new.may_keep(header(1), of_old)  # that schema has no such column
    assert not on_new.may_keep(header(2), of_new)
    assert not on_old.may_keep(header(1), of_old)
    assert not on_old.may_keep(header(2), of_new)


def test_what_cannot_be_judged_is_kept() -> None:
    log_filter = LogFilter(Leaf(0, LeafFunction.EQUAL, (5,)), schema_of)
    good = statistics(OLD, {0: ColumnStatistics(0, 7, 9)})
    assert not log_filter.may_keep(header(1), good)
    assert log_filter.may_keep(header(1), b"")
    assert log_filter.may_keep(header(1), good[:-1])
    assert log_filter.may_keep(header(3), good)
    assert not log_filter.may_keep(header(1, rows=0), b"")  # readers see nothing of it


LITERALS: list[tuple[DataType, int, dict[str, Any], Any]] = [
    (DataType(TypeRoot.BOOLEAN), 0, {"boolean_value": False}, False),
    (DataType(TypeRoot.TINYINT), 1, {"int_value": -1}, -1),
    (DataType(TypeRoot.SMALLINT), 2, {"int_value": 7}, 7),
    (INT, 3, {"int_value": 0}, 0),
    (DataType(TypeRoot.BIGINT), 4, {"bigint_value": -(2**63)}, -(2**63)),
    (DataType(TypeRoot.FLOAT), 5, {"float_value": 1.5}, 1.5),
    (DataType(TypeRoot.DOUBLE), 6, {"double_value": 0.1}, 0.1),
    (DataType(TypeRoot.CHAR, length=2), 7, {"string_value": "ab"}, "ab"),
    (STRING, 8, {"string_value": ""}, ""),
    (DataType(TypeRoot.DECIMAL, precision=10, scale=2), 9, {"decimal_value": 150}, 150),
    (DataType(TypeRoot.DECIMAL, precision=38), 9, {"decimal_bytes": encode_unscaled(-(10**30))}, -(10**30)),
    (DataType(TypeRoot.DATE), 10, {"bigint_value": 20_000}, 20_000),
    (DataType(TypeRoot.TIME, precision=3), 11, {"int_value": 5}, 5),
    (
        DataType(TypeRoot.TIMESTAMP, precision=9),
        12,
        {"timestamp_millis_value": -5, "timestamp_nano_of_millis_value": 7},
        (-5, 7),
    ),
    (DataType(TypeRoot.TIMESTAMP_LTZ, precision=3), 13, {"timestamp_millis_value": 5}, (5, 0)),
]


@pytest.mark.parametrize(("data_type", "number", "fields", "expected"), LITERALS, ids=lambda value: str(value)[:30])
def test_literals(data_type: DataType, number: int, fields: dict[str, Any], expected: Any) -> None:
    schema = Schema((Column("a", data_type, 0),), (), highest_field_id=0)

    def read(**literal: Any) -> Any:
        message = pb.PbPredicate(type=0)
        message.leaf.function, message.leaf.field_id = int(LeafFunction.IN), 0
        message.leaf.literals.add(**literal)
        return read_predicate(message, schema)

    assert read(literal_type=number, is_null=False, **fields) == Leaf(0, LeafFunction.IN, (expected,))
    assert read(literal_type=number, is_null=True) == Leaf(0, LeafFunction.IN, (None,))
    assert read(literal_type=number, is_null=False) is None  # without its value
    assert read(literal_type=(number + 1) % 16, is_null=False, **fields) is None


@pytest.mark.parametrize(
    ("function", "literals"),
    [
        (LeafFunction.EQUAL, 0),
        (LeafFunction.EQUAL, 2),
        (LeafFunction.IS_NULL, 1),
        (LeafFunction.STARTS_WITH, 1),
        (13, 1),
    ],
)
def test_leaves_that_are_not_understood(function: int, literals: int) -> None:
    message = pb.PbPredicate(type=0)
    message.leaf.function, message.leaf.field_id = int(function), 0
    for _ in range(literals):
        message.leaf.literals.add(literal_type=3, is_null=False, int_value=1)
    assert read_predicate(message, OLD) is None
