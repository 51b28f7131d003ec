"""Aggregation functions and auto-increment columns declared in Flink SQL."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from aggregation_model import COLUMNS, ORDERED_SESSION, AggregationModel
from doc_examples import example
from flink.sql import environment, insert, rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.rpc.client import RpcClient
from fluss_server.testing import LocalCluster

pytestmark = [pytest.mark.flink, pytest.mark.slow]


@pytest.fixture(scope="module")
def ordered(flink: StandaloneFlink, fluss: LocalCluster) -> Any:
    """A session whose INSERTs keep the order of their rows."""
    return environment(flink, fluss.bootstrap_servers, ORDERED_SESSION, batch=True)


def test_every_function_equals_the_model(ordered: Any) -> None:
    model = AggregationModel("every_function")
    ordered.execute_sql(model.create())
    insert(ordered, model.insert(12))
    insert(ordered, model.insert(6, share=0.5))
    insert(ordered, model.insert(12))
    model.compare(rows(ordered, model.select()))


def test_the_documented_table(ordered: Any) -> None:
    for statement in example("aggregation", "docs/flink.md").split(";\n"):
        if statement.strip():
            insert(ordered, statement)
    found = sorted(rows(ordered, "SELECT * FROM page_stats"))
    assert found == [("help", 1, 4.0, "ada"), ("home", 2, 9.0, "ada bob")]


def test_functions_are_shown_and_copied(ordered: Any) -> None:
    model = AggregationModel("shown", seed=5)
    ordered.execute_sql(model.create())
    [(text,)] = rows(ordered, "SHOW CREATE TABLE shown")
    for column in COLUMNS:
        for option in column.options():
            function = column.function
            assert option.replace(function, function.lower().replace("-", "_")) in text
    ordered.execute_sql("CREATE TABLE copied LIKE shown")
    copied = AggregationModel("copied", seed=6)
    insert(ordered, copied.insert(8))
    insert(ordered, copied.insert(8))
    copied.compare(rows(ordered, copied.select()))


def test_what_is_not_a_function_of_a_column_is_refused(ordered: Any) -> None:
    key = "id INT, v INT, PRIMARY KEY (id) NOT ENFORCED"
    engine = "'table.merge-engine' = 'aggregation'"
    for options, message in (
        ("'fields.v.agg' = 'sum'", "needs an aggregation table"),
        (f"{engine}, 'fields.v.agg' = 'total'", "there is no such function"),
        (f"{engine}, 'fields.w.agg' = 'sum'", "names no column"),
        (f"{engine}, 'fields.v.agg' = 'bool_or'", "cannot aggregate column 'v'"),
    ):
        with pytest.raises(Exception, match=message):
            ordered.execute_sql(f"CREATE TABLE refused ({key}) WITH ({options})")
    ordered.execute_sql(f"CREATE TABLE fixed ({key}) WITH ({engine}, 'fields.v.agg' = 'sum')")
    with pytest.raises(Exception, match="cannot be changed"):
        ordered.execute_sql("ALTER TABLE fixed SET ('fields.v.agg' = 'max')")
    insert(ordered, "INSERT INTO fixed VALUES (1, 2)")
    with pytest.raises(Exception, match="would merge the new row with the old one"):
        ordered.execute_sql("UPDATE fixed SET v = 5 WHERE id = 1")
    ordered.execute_sql("ALTER TABLE fixed ADD (w INT)")
    insert(ordered, "INSERT INTO fixed VALUES (1, 3, 7), (1, 4, CAST(NULL AS INT))")
    assert rows(ordered, "SELECT * FROM fixed WHERE id = 1") == [(1, 9, 7)]


def test_a_table_that_lost_its_functions_is_not_written(ordered: Any, fluss: LocalCluster) -> None:
    """Earlier builds of the connector stored the function as a custom property."""
    columns = [{"name": "id", "data_type": {"type": "INTEGER"}}, {"name": "v", "data_type": {"type": "INTEGER"}}]
    descriptor = {
        "version": 1,
        "schema": {"version": 1, "columns": columns, "primary_key": ["id"], "highest_field_id": -1},
        "partition_key": [],
        "properties": {"table.merge-engine": "aggregation"},
        "custom_properties": {"fields.v.agg": "sum"},
    }

    async def create() -> None:
        path = pb.PbTablePath(database_name="fluss", table_name="lost")
        request = pb.CreateTableRequest(
            table_path=path, table_json=json.dumps(descriptor).encode(), ignore_if_exists=False
        )
        async with await RpcClient.connect("127.0.0.1", fluss.port) as client:
            await client.call(ApiKey.CREATE_TABLE, request)

    asyncio.run(create())
    assert rows(ordered, "SELECT * FROM lost") == []
    with pytest.raises(Exception, match=r"aggregation functions of columns \[v\]"):
        insert(ordered, "INSERT INTO lost VALUES (1, 1)")


def test_an_auto_increment_column(ordered: Any) -> None:
    ordered.execute_sql(
        "CREATE TABLE numbered (name STRING, number BIGINT, note STRING, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'number', 'bucket.num' = '1')"
    )
    [(text,)] = rows(ordered, "SHOW CREATE TABLE numbered")
    assert "'auto-increment.fields' = 'number'" in text
    # Flink would make a source of every row after INSERT INTO numbered (name, note) VALUES, and their order is free.
    written = "(VALUES ('a', 'x'), ('b', 'y'), ('a', 'z')) AS written (name, note)"
    insert(ordered, f"INSERT INTO numbered (name, note) SELECT * FROM {written}")
    insert(ordered, "INSERT INTO numbered (name) VALUES ('c')")
    insert(ordered, "UPDATE numbered SET note = 'updated' WHERE name = 'b'")
    assert sorted(rows(ordered, "SELECT * FROM numbered")) == [
        ("a", 1, "z"),
        ("b", 2, "updated"),
        ("c", 3, None),
    ]
    ordered.execute_sql("CREATE TABLE numbered_too LIKE numbered")
    insert(ordered, "INSERT INTO numbered_too (name) VALUES ('z')")
    assert rows(ordered, "SELECT * FROM numbered_too") == [("z", 1, None)]


def test_statements_that_would_write_generated_values_are_refused(ordered: Any) -> None:
    ordered.execute_sql(
        "CREATE TABLE generated (name STRING, number INT, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'number')"
    )
    for statement, message in (
        ("INSERT INTO generated VALUES ('a', 1)", r"INSERT INTO fluss\.generated \(name\)"),
        ("INSERT INTO generated (number, name) VALUES (1, 'a')", "generates the values of column 'number'"),
        ("UPDATE generated SET number = 5 WHERE name = 'a'", "cannot be updated"),
        ("DELETE FROM generated WHERE name = 'a'", "cannot be deleted"),
        ("ALTER TABLE generated RESET ('auto-increment.fields')", "cannot be changed"),
        ("CREATE TABLE refused (a INT) WITH ('auto-increment.fields' = 'a')", "needs a table with a primary key"),
    ):
        with pytest.raises(Exception, match=message):
            insert(ordered, statement)
