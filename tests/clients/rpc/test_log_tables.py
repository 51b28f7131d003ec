"""RPCs that read and write log tables through every official client."""

from __future__ import annotations

import time
from typing import Any

import pytest

from clients.rpc.client import ALL, JAVA, JAVA_1_0, PYFLUSS, Client, ClientError, Start, code_of, columns
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode

COLUMNS = columns("a INT NOT NULL, b STRING, c DOUBLE")
ROWS: list[list[Any]] = [[1, "one", 1.5], [2, None, -2.0], [3, "drei Äpfel", None]]


def rows_of(records: list[dict[str, Any]]) -> list[list[Any]]:
    """The rows of log records in their order."""
    return [record["row"] for record in records]


class TestInitWriter:
    API = ApiKey.INIT_WRITER
    CLIENTS = ALL

    def test_an_idempotent_writer_asks_for_its_id(self, client: Client, name: str) -> None:
        with client.fresh() as fresh:
            fresh.create_table(name, COLUMNS)
            fresh.append(name, ROWS)
            assert rows_of(fresh.scan(name, 3)) == ROWS


class TestProduceLog:
    API = ApiKey.PRODUCE_LOG
    CLIENTS = ALL

    def test_rows_get_offsets_and_times(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        before = int(time.time() * 1000)
        client.append(name, ROWS)
        records = client.scan(name, 3)
        assert rows_of(records) == ROWS
        assert [record["offset"] for record in records] == [0, 1, 2]
        assert {record["change"] for record in records} == {"+A"}
        assert before <= records[0]["timestamp"] <= int(time.time() * 1000)

    def test_a_bucket_key_keeps_equal_values_together(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, buckets=4, bucket_key=["a"])
        client.append(name, [[key, "x", 0.0] for key in range(40)] * 2)
        records = client.scan(name, 80, starts=[Start(bucket) for bucket in range(4)])
        buckets: dict[int, set[int]] = {}
        for record in records:
            buckets.setdefault(record["row"][0], set()).add(record["bucket"])
        assert len(records) == 80
        assert all(len(found) == 1 for found in buckets.values())
        assert set().union(*buckets.values()) == {0, 1, 2, 3}


class TestFetchLog:
    API = ApiKey.FETCH_LOG
    CLIENTS = ALL

    def test_from_an_offset_in_the_middle_of_a_batch(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, ROWS)
        assert [record["offset"] for record in client.scan(name, 1, starts=[Start(offset=2)])] == [2]

    def test_only_some_columns(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, ROWS)
        assert rows_of(client.scan(name, 3, columns=["c", "a"])) == [[1.5, 1], [-2.0, 2], [None, 3]]

    def test_what_is_written_while_waiting_arrives(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        assert client.scan(name, 0) == []
        client.append(name, ROWS)
        assert rows_of(client.scan(name, 3)) == ROWS

    def test_an_offset_beyond_the_end(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, ROWS)
        with pytest.raises(ClientError) as error:
            client.scan(name, 1, starts=[Start(offset=100)])
        # All of them wrap it in an error of their own that has no code.
        assert error.value.code < 0
        assert "The fetching offset 100 is out of range" in error.value.message


class TestFetchLogWithAFilter:
    API = ApiKey.FETCH_LOG
    CLIENTS = (PYFLUSS, JAVA_1_0)

    def test_batches_without_a_match_are_left_out(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, properties={"table.statistics.columns": "*"})
        for first in (0, 100, 200):
            client.append(name, [[first + n, "x", 0.0] for n in range(10)])
        found = rows_of(client.scan(name, 10, filter={"column": "a", "operator": "=", "value": 105}))
        assert [row[0] for row in found] == list(range(100, 110))
        found = rows_of(client.scan(name, 20, filter={"column": "a", "operator": ">=", "value": 109}))
        assert [row[0] for row in found] == [*range(100, 110), *range(200, 210)]
        assert client.scan(name, 0, filter={"column": "a", "operator": "=", "value": 50}) == []


class TestRowFormats:
    API = ApiKey.PRODUCE_LOG
    CLIENTS = JAVA  # pyfluss writes columns whatever the table says

    @pytest.mark.parametrize("log_format", ["INDEXED", "COMPACTED"])
    def test_rows_instead_of_columns(self, client: Client, name: str, log_format: str) -> None:
        name = f"{name}_{log_format}"
        client.create_table(name, COLUMNS, properties={"table.log.format": log_format})
        client.append(name, ROWS)
        assert rows_of(client.scan(name, 3)) == ROWS
        assert client.limit_scan(name, 2) == ROWS[1:]


class TestListOffsets:
    API = ApiKey.LIST_OFFSETS
    CLIENTS = ALL

    def test_earliest_latest_and_times(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, buckets=2, bucket_key=["a"])
        client.append(name, [[key, "x", 0.0] for key in range(20)])
        moment = max(record["timestamp"] for record in client.scan(name, 20, starts=[Start(0), Start(1)]))
        assert client.list_offsets(name, "earliest", buckets=[0, 1]) == {0: 0, 1: 0}
        latest = client.list_offsets(name, "latest", buckets=[0, 1])
        assert sum(latest.values()) == 20
        assert client.list_offsets(name, 0, buckets=[0, 1]) == {0: 0, 1: 0}
        while int(time.time() * 1000) <= moment + 1:
            time.sleep(0.002)
        assert client.list_offsets(name, moment + 1, buckets=[0, 1]) == latest

    def test_a_time_in_the_future(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        with pytest.raises(ClientError) as error:
            client.list_offsets(name, int(time.time() * 1000) + 3_600_000)
        assert code_of(error) is ErrorCode.INVALID_TIMESTAMP_EXCEPTION


class TestLimitScan:
    API = ApiKey.LIMIT_SCAN
    CLIENTS = ALL

    def test_the_newest_rows(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, ROWS)
        assert client.limit_scan(name, 2) == ROWS[1:]
        assert client.limit_scan(name, 10) == ROWS

    def test_only_some_columns(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS)
        client.append(name, ROWS)
        assert client.limit_scan(name, 10, columns=["b"]) == [["one"], [None], ["drei Äpfel"]]


class TestGetTableStats:
    API = ApiKey.GET_TABLE_STATS
    CLIENTS = JAVA

    def test_rows_are_counted(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, buckets=2, bucket_key=["a"])
        assert client.table_stats(name) == 0
        client.append(name, ROWS)
        assert client.table_stats(name) == 3
