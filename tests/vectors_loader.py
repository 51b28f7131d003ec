"""Loads the golden vectors of ``tests/vectors`` and turns their JSON notation into the server's Python values."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fluss_server.model.schema import Column, Schema
from fluss_server.model.types import DataType, TypeRoot

VECTORS = Path(__file__).parent / "vectors"


@lru_cache(maxsize=32)
def load(name: str) -> dict[str, Any]:
    """Document of ``tests/vectors/<name>.json``; callers must not change it."""
    document: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def schema_of(fields: Sequence[dict[str, Any]], primary_key: Sequence[str] = ()) -> Schema:
    """Schema of a vector's list of ``{name, json}``; nullability stays as written."""
    columns = [Column(field["name"], DataType.from_json(field["json"]), index) for index, field in enumerate(fields)]
    return Schema(tuple(columns), tuple(primary_key), highest_field_id=len(columns) - 1)


def value_of(value: Any, data_type: DataType) -> Any:
    """Python value of a vector's value."""
    if value is None:
        return None
    root = data_type.root
    if root is TypeRoot.FLOAT:
        return struct.unpack(">f", bytes.fromhex(value["bits"]))[0]
    if root is TypeRoot.DOUBLE:
        return struct.unpack(">d", bytes.fromhex(value["bits"]))[0]
    if root in (TypeRoot.BINARY, TypeRoot.BYTES):
        return bytes.fromhex(value)
    if root is TypeRoot.DECIMAL:
        return int(value.replace(".", ""))
    if root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ):
        return value["ms"], value["ns"]
    if root is TypeRoot.ARRAY:
        assert data_type.element is not None
        return [value_of(element, data_type.element) for element in value]
    if root is TypeRoot.MAP:
        assert data_type.key is not None
        assert data_type.element is not None
        return [(value_of(key, data_type.key), value_of(item, data_type.element)) for key, item in value]
    if root is TypeRoot.ROW:
        return tuple(value_of(item, field.type) for item, field in zip(value, data_type.fields, strict=True))
    return value


def row_of(values: Sequence[Any], schema: Schema) -> tuple[Any, ...]:
    """Python values of a vector's row."""
    return tuple(value_of(value, kind) for value, kind in zip(values, schema.types, strict=True))


def comparable(value: Any) -> Any:
    """The value with floats replaced by their bits, so that NaN equals NaN and -0.0 differs from 0.0."""
    if isinstance(value, float):
        return "float", struct.pack(">d", value).hex()
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    return value


def case_names(cases: Sequence[dict[str, Any]]) -> list[str]:
    """Names of cases for test ids."""
    return [str(case["name"]) for case in cases]
