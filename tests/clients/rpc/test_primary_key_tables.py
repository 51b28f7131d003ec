"""RPCs that read and write primary-key tables through every official client."""

from __future__ import annotations

from typing import Any

import pytest

from clients.rpc.client import ALL, JAVA, JAVA_1_0, Client, ClientError, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

COLUMNS = columns("id BIGINT NOT NULL, name STRING, n INT")
PREFIX_COLUMNS = columns("city STRING NOT NULL, id INT NOT NULL, v STRING")


def changes_of(records: list[dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """Kind and row of log records in their order."""
    return [(record["change"], record["row"]) for record in records]


class TestPutKv:
    API = ApiKey.PUT_KV
    CLIENTS = ALL

    def test_upserts_and_deletes_and_their_changelog(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "ada", 1], [2, "bob", None]])
        client.upsert(name, [[1, "Ada", 2]])
        client.delete(name, [[2, None, None]])
        assert client.lookup(name, [[1], [2], [3]]) == [[[1, "Ada", 2]], [], []]
        assert changes_of(client.scan(name, 5)) == [
            ("+I", [1, "ada", 1]),
            ("+I", [2, "bob", None]),
            ("-U", [1, "ada", 1]),
            ("+U", [1, "Ada", 2]),
            ("-D", [2, "bob", None]),
        ]

    def test_some_columns_only(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "ada", 1]])
        client.upsert(name, [[1, None, 7], [2, None, 8]], columns=["id", "n"])
        assert client.lookup(name, [[1], [2]]) == [[[1, "ada", 7]], [[2, None, 8]]]

    def test_deleting_some_columns_only(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "ada", 1]])
        client.delete(name, [[1, None, None]], columns=["id", "n"])
        assert client.lookup(name, [[1]]) == [[[1, "ada", None]]]
        client.delete(name, [[1, None, None]], columns=["id", "name"])
        assert client.lookup(name, [[1]]) == [[]], "nothing but the key is left"

    def test_deletes_ignored(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], properties={"table.delete.behavior": "ignore"})
        client.upsert(name, [[1, "ada", 1]])
        client.delete(name, [[1, None, None]])
        assert client.lookup(name, [[1]]) == [[[1, "ada", 1]]]

    def test_deletes_refused(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], properties={"table.delete.behavior": "disable"})
        client.upsert(name, [[1, "ada", 1]])
        with pytest.raises(ClientError) as error:
            client.delete(name, [[1, None, None]])
        assert code_of(error) is ErrorCode.DELETION_DISABLED_EXCEPTION
        assert client.lookup(name, [[1]]) == [[[1, "ada", 1]]]


class TestLookup:
    API = ApiKey.LOOKUP
    CLIENTS = ALL

    def test_many_keys_in_many_buckets(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], buckets=3)
        client.upsert(name, [[key, f"n{key}", key] for key in range(0, 20, 2)])
        expected = [[[key, f"n{key}", key]] if key % 2 == 0 else [] for key in range(8)]
        assert client.lookup(name, [[key] for key in range(8)]) == expected

    def test_a_key_of_several_columns(self, client: Client, name: str) -> None:
        client.create_table(name, PREFIX_COLUMNS, primary_key=["city", "id"])
        client.upsert(name, [["Köln", 1, "a"], ["Köln", 2, "b"]])
        assert client.lookup(name, [["Köln", 2], ["Bonn", 2]]) == [[["Köln", 2, "b"]], []]


class TestLookupThatInserts:
    API = ApiKey.LOOKUP
    CLIENTS = JAVA

    def test_missing_keys_are_inserted_with_an_id(self, client: Client, name: str) -> None:
        client.create_table(name, columns("name STRING NOT NULL, id BIGINT"), primary_key=["name"], auto_increment="id")
        found = client.lookup(name, [["a"], ["b"]], insert_if_not_exists=True)
        assert sorted(row[1] for [row] in found) == [1, 2]
        assert client.lookup(name, [["a"], ["b"]], insert_if_not_exists=True) == found
        assert client.lookup(name, [["a"], ["b"], ["c"]]) == [*found, []]

    def test_in_several_partitions(self, client: Client, name: str) -> None:
        table = columns("day DATE NOT NULL, name STRING NOT NULL, id BIGINT")
        key = ["name", "day"]
        client.create_table(name, table, primary_key=key, partitioned_by=["day"], auto_increment="id")
        for day in ("1970-01-02", "1970-01-03"):
            client.create_partition(name, {"day": day})
        keys = [["a", 1], ["a", 2], ["b", 2]]
        found = client.lookup(name, keys, insert_if_not_exists=True)
        assert [row[:2] for [row] in found] == [[1, "a"], [2, "a"], [2, "b"]]
        assert client.lookup(name, keys) == found


class TestAutoIncrement:
    API = ApiKey.PUT_KV
    CLIENTS = ALL

    def test_ids_are_given_to_new_rows(self, client: Client, name: str) -> None:
        table = columns("name STRING NOT NULL, id BIGINT, v INT")
        client.create_table(name, table, primary_key=["name"], auto_increment="id")
        client.upsert(name, [["a", None, 1], ["b", None, 2]], columns=["name", "v"])
        client.upsert(name, [["a", None, 3], ["c", None, 4]], columns=["name", "v"])
        assert client.lookup(name, [["a"], ["b"], ["c"]]) == [[["a", 1, 3]], [["b", 2, 2]], [["c", 3, 4]]]


class TestPrefixLookup:
    API = ApiKey.PREFIX_LOOKUP
    CLIENTS = ALL

    def test_all_rows_with_a_bucket_key(self, client: Client, name: str) -> None:
        client.create_table(name, PREFIX_COLUMNS, primary_key=["city", "id"], bucket_key=["city"], buckets=2)
        client.upsert(name, [["Köln", 2, "b"], ["Köln", 1, "a"], ["Kölner", 1, "no"], ["Bonn", 1, "c"]])
        found = client.lookup(name, [["Köln"], ["Bonn"], ["Ulm"]], by=["city"])
        assert [sorted(rows) for rows in found] == [[["Köln", 1, "a"], ["Köln", 2, "b"]], [["Bonn", 1, "c"]], []]


class TestLimitScanOfPrimaryKeyTables:
    API = ApiKey.LIMIT_SCAN
    CLIENTS = ALL

    def test_rows_of_the_state(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[key, "x", 0] for key in range(5)])
        client.upsert(name, [[3, "y", 1]])
        expected = [[key, "y" if key == 3 else "x", 1 if key == 3 else 0] for key in range(5)]
        assert sorted(client.limit_scan(name, 100)) == expected
        assert len(client.limit_scan(name, 2)) == 2

    def test_only_some_columns(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "x", 7]])
        assert client.limit_scan(name, 100, columns=["n", "id"]) == [[7, 1]]


class TestFetchLogOfPrimaryKeyTables:
    API = ApiKey.FETCH_LOG
    CLIENTS = ALL

    def test_only_some_columns_of_the_changelog(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"])
        client.upsert(name, [[1, "x", 7]])
        client.upsert(name, [[1, "y", 7]])
        assert changes_of(client.scan(name, 3, columns=["name"])) == [("+I", ["x"]), ("-U", ["x"]), ("+U", ["y"])]


class TestGetTableStatsOfPrimaryKeyTables:
    API = ApiKey.GET_TABLE_STATS
    CLIENTS = JAVA

    def test_live_rows_are_counted(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], buckets=2)
        client.upsert(name, [[key, "x", 0] for key in range(9)])
        client.upsert(name, [[1, "y", 1]])
        client.delete(name, [[2, None, None], [77, None, None]])
        assert client.table_stats(name) == 8


class TestGetLatestKvSnapshots:
    API = ApiKey.GET_LATEST_KV_SNAPSHOTS
    CLIENTS = JAVA

    def test_there_are_none(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], buckets=2)
        assert client.latest_kv_snapshots(name) == {0: None, 1: None}

    def test_log_tables_have_none(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as error:
            client.latest_kv_snapshots(name)
        assert code_of(error) is ErrorCode.NON_PRIMARY_KEY_TABLE_EXCEPTION


class TestScanKv:
    API = ApiKey.SCAN_KV
    CLIENTS = (JAVA_1_0,)

    def test_every_row_of_every_bucket(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["id"], buckets=3)
        client.upsert(name, [[key, "x" * 100, key] for key in range(2000)])
        client.delete(name, [[5, None, None]])
        with client.fresh(**{"scanner.kv.batch-strategy": "server-scan"}) as scanning:
            found = sorted(scanning.scan_kv(name))
            assert found == [[key, "x" * 100, key] for key in range(2000) if key != 5]
            assert sorted(scanning.scan_kv(name, columns=["n"]))[:6] == [[0], [1], [2], [3], [4], [6]]
