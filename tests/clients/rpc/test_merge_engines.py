"""Merge engines, delete behaviours and changelog images as official clients see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clients.rpc.client import ALL, JAVA, Client, ClientError, Column, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

COLUMNS = columns("id INT NOT NULL, v STRING, n BIGINT")


def changes(client: Client, name: str, count: int) -> list[tuple[str, list[Any]]]:
    """Kind and row of the log records of a table."""
    return [(record["change"], record["row"]) for record in client.scan(name, count)]


class TestFirstRow:
    API = ApiKey.PUT_KV
    CLIENTS = ALL

    def test_the_first_row_stays(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], properties={"table.merge-engine": "first_row"})
        client.upsert(name, [[1, "a", 1], [1, "b", 2]])
        client.upsert(name, [[1, "c", 3], [2, "d", 4]])
        client.delete(name, [[1, None, None]])
        assert client.lookup(name, [[1], [2]]) == [[[1, "a", 1]], [[2, "d", 4]]]
        assert changes(client, name, 2) == [("+I", [1, "a", 1]), ("+I", [2, "d", 4])]


class TestVersioned:
    API = ApiKey.PUT_KV
    CLIENTS = ALL

    def test_the_highest_version_stays(self, client: Client, name: str) -> None:
        options = {"table.merge-engine": "versioned", "table.merge-engine.versioned.ver-column": "n"}
        client.create_table(name, COLUMNS, primary_key=["id"], properties=options)
        client.upsert(name, [[1, "five", 5]])
        client.upsert(name, [[1, "four", 4]])
        client.upsert(name, [[1, "five again", 5]])
        assert client.lookup(name, [[1]]) == [[[1, "five again", 5]]]
        assert changes(client, name, 3) == [
            ("+I", [1, "five", 5]),
            ("-U", [1, "five", 5]),
            ("+U", [1, "five again", 5]),
        ]


class TestAggregation:
    API = ApiKey.PUT_KV
    CLIENTS = JAVA

    @pytest.fixture
    def aggregate(self, client: Client, name: str) -> Callable[..., list[Any]]:
        """Merge rows of several columns into one row with key 1, and return that row without the key."""

        def run(declared: list[Column], *rows: list[Any]) -> list[Any]:
            client.create_table(
                name,
                [Column("id", "INT NOT NULL"), *declared],
                primary_key=["id"],
                properties={"table.merge-engine": "aggregation"},
            )
            for row in rows:
                client.upsert(name, [[1, *row]])
            [[found]] = client.lookup(name, [[1]])
            return found[1:]

        return run

    def test_numbers(self, aggregate: Callable[..., list[Any]]) -> None:
        declared = [
            Column("s", "BIGINT", "sum"),
            Column("d", "DECIMAL(10, 2)", "sum"),
            Column("p", "INT", "product"),
            Column("hi", "DOUBLE", "max"),
            Column("lo", "STRING", "min"),
        ]
        found = aggregate(declared, [1, "1.50", 2, 1.5, "b"], [None, "2.25", 3, 9.25, "a"], [5, None, None, -1.0, "c"])
        assert found == [6, "3.75", 6, 9.25, "a"]

    def test_first_and_last_values(self, aggregate: Callable[..., list[Any]]) -> None:
        declared = [
            Column("l", "INT", "last_value"),
            Column("li", "INT", "last_value_ignore_nulls"),
            Column("f", "INT", "first_value"),
            Column("fi", "INT", "first_value_ignore_nulls"),
            Column("none", "INT"),
        ]
        assert aggregate(declared, [1, 1, 1, None, 1], [2, 2, 2, 2, 2], [None, None, 3, 3, None]) == [None, 2, 1, 2, 2]

    def test_texts_and_booleans(self, aggregate: Callable[..., list[Any]]) -> None:
        declared = [
            Column("l", "STRING", "listagg"),
            Column("s", "STRING", "string_agg", {"delimiter": "; "}),
            Column("a", "BOOLEAN", "bool_and"),
            Column("o", "BOOLEAN", "bool_or"),
        ]
        assert aggregate(declared, ["x", "x", True, False], ["y", "y", False, True]) == ["x,y", "x; y", False, True]

    def test_overwriting(self, client: Client, name: str) -> None:
        declared = [Column("id", "INT NOT NULL"), Column("s", "BIGINT", "sum")]
        client.create_table(name, declared, primary_key=["id"], properties={"table.merge-engine": "aggregation"})
        client.upsert(name, [[1, 10]])
        client.upsert(name, [[1, 5]])
        client.upsert(name, [[1, 7]], merge_mode="OVERWRITE")
        assert client.lookup(name, [[1]]) == [[[1, 7]]]
        assert changes(client, name, 5) == [
            ("+I", [1, 10]),
            ("-U", [1, 10]),
            ("+U", [1, 15]),
            ("-U", [1, 15]),
            ("+U", [1, 7]),
        ]

    def test_a_function_that_does_not_fit_its_column(self, client: Client, name: str) -> None:
        # The client checks types of functions as well; parameters and engines only the server.
        with pytest.raises(ClientError) as error:
            client.create_table(name, [Column("id", "INT NOT NULL"), Column("s", "BIGINT", "sum")], primary_key=["id"])
        assert code_of(error) is ErrorCode.INVALID_CONFIG_EXCEPTION
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "a", 1]])


class TestChangelogImage:
    API = ApiKey.PUT_KV
    CLIENTS = ALL

    def test_only_the_row_after(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], properties={"table.changelog.image": "WAL"})
        client.upsert(name, [[1, "a", 1]])
        client.upsert(name, [[1, "b", 2]])
        client.delete(name, [[1, None, None]])
        assert changes(client, name, 3) == [("+U", [1, "a", 1]), ("+U", [1, "b", 2]), ("-D", [1, "b", 2])]
