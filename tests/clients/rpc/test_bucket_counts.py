"""Tables whose partitions have different numbers of buckets, through every official client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from clients.rpc.client import JAVA_0_9, JAVA_1_0, PYFLUSS, Client, ClientError, Start, code_of, columns
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode
from official.recording_cluster import RecordingCluster
from table_rpc import rpc_client, table_path

COLUMNS = columns("a INT NOT NULL, day STRING NOT NULL, v STRING")
ROWS = 30


def rows(day: str) -> list[list[object]]:
    return [[number, day, str(number)] for number in range(ROWS)]


def create(client: Client, name: str) -> None:
    """A table with two buckets for each partition, and rows in one."""
    client.create_table(name, COLUMNS, primary_key=["a", "day"], partitioned_by=["day"], buckets=2, bucket_key=["a"])
    client.create_partition(name, {"day": "old"})
    client.upsert(name, rows("old"))


class TestAlterBucketCount:
    API = ApiKey.ALTER_TABLE
    CLIENTS = (JAVA_1_0,)

    def test_rows_are_found_in_every_partition(self, client: Client, name: str) -> None:
        create(client, name)
        client.hold_table(name, "stale")
        client.alter_bucket_count(name, 4)
        client.create_partition(name, {"day": "new"})
        client.upsert(name, rows("new"))
        client.upsert(name, [[1, "old", "other"]])
        ids = client.list_partitions(name)
        for day, buckets in (("old", 2), ("new", 4)):
            assert client.lookup(name, [[number, day] for number in range(2, ROWS)]) == [
                [[number, day, str(number)]] for number in range(2, ROWS)
            ]
            starts = [Start(bucket, partition_id=ids[day]) for bucket in range(buckets)]
            changes = client.scan(name, ROWS, starts=starts)
            assert {record["row"][0] for record in changes} == set(range(ROWS))
            assert {record["bucket"] for record in changes} == set(range(buckets))
        assert client.lookup(name, [[1, "old"], [1, "new"]], handle="stale") == [
            [[1, "old", "other"]],
            [[1, "new", "1"]],
        ]
        assert client.table_stats(name) == 2 * ROWS

    def test_of_a_table_without_partitions(self, client: Client, name: str) -> None:
        client.create_table(name, COLUMNS, primary_key=["a"])
        with pytest.raises(ClientError) as error:
            client.alter_bucket_count(name, 4)
        assert code_of(error) is ErrorCode.INVALID_ALTER_TABLE_EXCEPTION


class TestOlderClients:
    CLIENTS = (PYFLUSS, JAVA_0_9)

    def test_they_are_refused(self, client: Client, name: str, recording_cluster: RecordingCluster) -> None:
        create(client, name)
        request = pb.AlterTableRequest(table_path=table_path(name), ignore_if_not_exists=False)
        request.modify_bucket_count.new_bucket_count = 4

        async def alter() -> None:
            async with rpc_client(recording_cluster.bootstrap_servers) as own:
                await own.call(ApiKey.ALTER_TABLE, request)

        asyncio.run(alter())
        client.create_partition(name, {"day": "new"})
        calls: list[Callable[[], object]] = [
            lambda: client.lookup(name, [[1, "old"]]),
            lambda: client.lookup(name, [[1, "new"]]),
            lambda: client.upsert(name, [[100, "old", "x"]]),
            lambda: client.upsert(name, [[100, "new", "x"]]),
        ]
        for call in calls:
            with pytest.raises(ClientError, match="does not say which one it used"):
                call()
