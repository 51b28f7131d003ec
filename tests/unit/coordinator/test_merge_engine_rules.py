"""Merge engines, functions and delete behaviors of new tables."""

from __future__ import annotations

from typing import Any

import pytest

from fluss_server.coordinator.validation import TableSettings, check_descriptor, complete_descriptor
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.table import TableDescriptor

ENGINE, VERSION = "table.merge-engine", "table.merge-engine.versioned.ver-column"
DELETES, IMAGE = "table.delete.behavior", "table.changelog.image"
TYPES = {"id": "INTEGER", "amount": "BIGINT", "name": "STRING"}


def created(
    properties: dict[str, str], functions: dict[str, dict[str, Any]] | None = None, *, keyed: bool = True
) -> TableDescriptor:
    columns: list[dict[str, Any]] = [{"name": name, "data_type": {"type": kind}} for name, kind in TYPES.items()]
    columns.append({"name": "at", "data_type": {"type": "TIMESTAMP_WITH_LOCAL_TIME_ZONE", "precision": 6}})
    for column in columns:
        if functions and column["name"] in functions:
            column["agg_function"] = functions[column["name"]]
    schema = {"columns": columns, "primary_key": ["id"] if keyed else []}
    descriptor = complete_descriptor(
        TableDescriptor.from_json({"schema": schema, "properties": properties}), TableSettings()
    )
    check_descriptor(descriptor, TableSettings())
    return descriptor


@pytest.mark.parametrize(
    "properties",
    [
        {ENGINE: "first_row"},
        {ENGINE: "FIRST_ROW", IMAGE: "WAL"},
        {ENGINE: "versioned", VERSION: "amount"},
        {ENGINE: "versioned", VERSION: "at", IMAGE: "WAL"},
        {ENGINE: "versioned", VERSION: "id"},
        {ENGINE: "aggregation"},
    ],
)
def test_engines_ignore_deletes_unless_told_otherwise(properties: dict[str, str]) -> None:
    assert created(properties).properties[DELETES] == "IGNORE"
    assert created(properties | {DELETES: "disable"}).properties[DELETES] == "disable"


def test_the_default_engine_says_nothing_about_deletes() -> None:
    assert DELETES not in created({}).properties


def test_aggregation_may_delete() -> None:
    assert created({ENGINE: "aggregation", DELETES: "ALLOW"}).properties[DELETES] == "ALLOW"


def test_functions_stay_as_they_are_written() -> None:
    functions: dict[str, dict[str, Any]] = {
        "amount": {"type": "SUM"},
        "name": {"type": "listagg", "parameters": {"delimiter": "|"}},
    }
    schema = created({ENGINE: "aggregation"}, functions).schema
    assert schema.columns[1].agg_function == ("SUM", ())
    assert schema.columns[2].agg_function == ("listagg", (("delimiter", "|"),))


@pytest.mark.parametrize(
    ("properties", "functions", "words"),
    [
        ({ENGINE: "first_row", DELETES: "allow"}, {}, "cannot delete rows"),
        ({ENGINE: "versioned", VERSION: "amount", DELETES: "ALLOW"}, {}, "cannot delete rows"),
        ({ENGINE: "versioned"}, {}, "needs table.merge-engine.versioned.ver-column"),
        ({ENGINE: "versioned", VERSION: "nope"}, {}, "no such column"),
        ({ENGINE: "versioned", VERSION: "name"}, {}, "has the type STRING"),
        ({ENGINE: "aggregation", IMAGE: "wal"}, {}, "WAL"),
        ({}, {"amount": {"type": "sum"}}, "does not aggregate"),
        ({ENGINE: "first_row"}, {"amount": {"type": "sum"}}, "does not aggregate"),
        ({ENGINE: "aggregation"}, {"name": {"type": "sum"}}, "not defined for STRING"),
        ({ENGINE: "aggregation"}, {"name": {"type": "median"}}, "unknown function"),
        ({ENGINE: "aggregation"}, {"amount": {"type": "sum", "parameters": {"x": "y"}}}, "no parameter"),
    ],
)
def test_refused(properties: dict[str, str], functions: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises(FlussError) as caught:
        created(properties, functions)
    assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert words in str(caught.value)


def test_log_tables_have_no_engine() -> None:
    for properties, functions in (({ENGINE: "first_row"}, {}), ({}, {"amount": {"type": "sum"}})):
        with pytest.raises(FlussError) as caught:
            created(properties, functions, keyed=False)
        assert caught.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
