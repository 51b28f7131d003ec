"""Data types against the golden vectors, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.types import MAX_NESTING, DataType, TypeRoot

VECTORS = Path(__file__).parents[2] / "vectors"
CASES = json.loads((VECTORS / "metadata_json.json").read_text())["data_types"]


@pytest.mark.parametrize("case", CASES, ids=[case["type"] for case in CASES])
def test_json_both_ways(case: dict[str, Any]) -> None:
    data_type = DataType.from_json(json.loads(case["json_text"]))
    assert json.dumps(data_type.to_json(), separators=(",", ":")) == case["json_text"]
    assert DataType.from_json(data_type.to_json()) == data_type


@pytest.mark.parametrize("case", CASES, ids=[case["type"] for case in CASES])
def test_sql_text(case: dict[str, Any]) -> None:
    assert str(DataType.from_json(json.loads(case["json_text"]))) == case["type"]


def test_map_keys_become_not_null() -> None:
    data_type = DataType.from_json({"type": "MAP", "key_type": {"type": "STRING"}, "value_type": {"type": "INTEGER"}})
    assert data_type.key is not None
    assert not data_type.key.nullable


def test_compact_limits() -> None:
    assert DataType.from_json({"type": "DECIMAL", "precision": 18, "scale": 0}).is_compact_decimal
    assert not DataType.from_json({"type": "DECIMAL", "precision": 19, "scale": 0}).is_compact_decimal
    assert DataType(TypeRoot.TIMESTAMP, precision=3).is_compact_timestamp
    assert not DataType(TypeRoot.TIMESTAMP, precision=4).is_compact_timestamp


def nested(levels: int) -> Any:
    document: Any = {"type": "INTEGER"}
    for _ in range(levels):
        document = {"type": "ARRAY", "element_type": document}
    return document


def test_nesting_is_bounded() -> None:
    DataType.from_json(nested(MAX_NESTING))
    with pytest.raises(FlussError, match="nested"):
        DataType.from_json(nested(MAX_NESTING + 1))


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "INTEGER",
        {},
        {"type": "VARCHAR"},
        {"type": ["INTEGER"]},
        {"type": None},
        {"type": "INTEGER", "nullable": "no"},
        {"type": "CHAR"},
        {"type": "CHAR", "length": 0},
        {"type": "CHAR", "length": True},
        {"type": "BINARY", "length": 2**31},
        {"type": "DECIMAL", "precision": 39, "scale": 0},
        {"type": "DECIMAL", "precision": 5, "scale": 6},
        {"type": "DECIMAL", "precision": 5.0, "scale": 1},
        {"type": "TIMESTAMP_WITHOUT_TIME_ZONE"},
        {"type": "TIME_WITHOUT_TIME_ZONE", "precision": 10},
        {"type": "ARRAY"},
        {"type": "MAP", "key_type": {"type": "INTEGER"}},
        {"type": "ROW"},
        {"type": "ROW", "fields": {}},
        {"type": "ROW", "fields": [1]},
        {"type": "ROW", "fields": [{"name": "a"}]},
        {"type": "ROW", "fields": [{"name": "a", "field_type": {"type": "INTEGER"}, "field_id": True}]},
        {"type": "ROW", "fields": [{"name": "a", "field_type": {"type": "INTEGER"}, "description": 1}]},
        {"type": "ROW", "fields": [{"name": "a", "field_type": {"type": "INTEGER"}}] * 2},
    ],
)
def test_refused(document: Any) -> None:
    with pytest.raises(FlussError) as caught:
        DataType.from_json(document)
    assert caught.value.code is ErrorCode.INVALID_TABLE_EXCEPTION
