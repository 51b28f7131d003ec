"""Schemas against the golden vectors, ids of columns and fields, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.schema import Schema, parse_json

VECTORS = Path(__file__).parents[2] / "vectors"
CASES = json.loads((VECTORS / "metadata_json.json").read_text())["schemas"]

INT = {"type": "INTEGER"}
BIGINT = {"type": "BIGINT"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_json_both_ways(case: dict[str, Any]) -> None:
    text = case.get("input_text", case["json_text"]).encode()
    schema = Schema.from_json_bytes(text)
    assert schema.to_json_bytes().decode() == case["json_text"]
    assert Schema.from_json_bytes(schema.to_json_bytes()) == schema
    if "column_ids" in case:
        assert [column.column_id for column in schema.columns] == case["column_ids"]
        assert schema.highest_field_id == case["highest_field_id"]


def column(name: str, data_type: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type or INT, **other}


def test_key_columns_become_not_null() -> None:
    schema = Schema.from_json({"columns": [column("a"), column("b")], "primary_key": ["b"]})
    assert [data_type.nullable for data_type in schema.types] == [True, False]
    assert schema.primary_key_indexes == (1,)


def test_fields_without_ids_get_the_next_free_ones_depth_first() -> None:
    inner = {"type": "ROW", "fields": [{"name": "z", "field_type": INT, "field_id": -1}]}
    row = {
        "type": "ROW",
        "fields": [{"name": "x", "field_type": INT}, {"name": "y", "field_type": inner}],
    }
    array = {"type": "ARRAY", "element_type": {"type": "ROW", "fields": [{"name": "q", "field_type": INT}]}}
    document = {"columns": [column("r", row, id=0), column("b", array, id=7)], "highest_field_id": 8}
    schema = Schema.from_json(document)
    first, second = schema.types
    assert [field.field_id for field in first.fields] == [9, 10]
    assert first.fields[1].type.fields[0].field_id == 11
    assert second.element is not None
    assert second.element.fields[0].field_id == 12
    assert schema.highest_field_id == 12
    assert Schema.from_json(schema.to_json()) == schema


def test_highest_field_id_survives_a_dropped_column() -> None:
    schema = Schema.from_json({"columns": [column("a", id=0)], "highest_field_id": 5})
    assert schema.highest_field_id == 5


def test_unknown_column_is_named() -> None:
    schema = Schema.from_json({"columns": [column("a"), column("b")]})
    with pytest.raises(FlussError, match=r"'c'.*a, b"):
        schema.indexes_of(["a", "c"])


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"columns": {}},
        {"columns": ["a"]},
        {"columns": [{"name": "", "data_type": INT}]},
        {"columns": [{"name": 1, "data_type": INT}]},
        {"columns": [{"name": "a"}]},
        {"columns": [column("a"), column("a")]},
        {"columns": [column("a", comment=1)]},
        {"columns": [column("a", id="0")]},
        {"columns": [column("a", id=True)]},
        {"columns": [column("a", id=2**31)]},
        {"columns": [column("a", id=-2)]},
        {"columns": [column("a", id=0), column("b")]},
        {"columns": [column("a", id=1), column("b", id=1)]},
        {
            "columns": [
                column("a", id=0),
                column("r", {"type": "ROW", "fields": [{"name": "x", "field_type": INT, "field_id": 0}]}, id=1),
            ]
        },
        {"columns": [column("a")], "highest_field_id": "1"},
        {"columns": [column("a")], "highest_field_id": False},
        {"columns": [column("a")], "primary_key": "a"},
        {"columns": [column("a")], "primary_key": ["b"]},
        {"columns": [column("a")], "primary_key": ["a", "a"]},
        {"columns": [column("a"), column("b", BIGINT)], "auto_increment_column": ["b"]},
        {"columns": [column("a"), column("b", BIGINT)], "primary_key": ["a"], "auto_increment_column": ["a"]},
        {"columns": [column("a"), column("b", BIGINT)], "primary_key": ["a"], "auto_increment_column": ["c"]},
        {"columns": [column("a"), column("b", BIGINT)], "primary_key": ["a"], "auto_increment_column": ["b", "b"]},
        {
            "columns": [column("a"), column("b", {"type": "STRING"})],
            "primary_key": ["a"],
            "auto_increment_column": ["b"],
        },
        {"columns": [column("a", agg_function="sum")]},
        {"columns": [column("a", agg_function={})]},
        {"columns": [column("a", agg_function={"type": "sum", "parameters": [1]})]},
        {"columns": [column("a", agg_function={"type": "sum"})], "primary_key": ["a"]},
    ],
)
def test_refused(document: Any) -> None:
    with pytest.raises(FlussError) as caught:
        Schema.from_json(document)
    assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b"\x00", b'{"a": "\\ud800"}', b"[" * 100_000, b"1" * 10_000, '{"a": 1}'.encode("utf-16")],
)
def test_not_json(data: bytes) -> None:
    with pytest.raises(FlussError) as caught:
        parse_json(data, "schema", ErrorCode.INVALID_DATABASE_EXCEPTION)
    assert caught.value.code is ErrorCode.INVALID_DATABASE_EXCEPTION


def test_escaped_pairs_are_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00"}', "schema") == {"a": "\U0001f600"}
