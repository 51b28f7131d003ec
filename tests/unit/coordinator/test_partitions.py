"""Partitions over a real connection: creation, removal, listing, metadata, and a code for everything refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from coordinator_support import coordinator
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.validation import TableSettings
from fluss_server.errors import FlussError
from fluss_server.rpc.client import RpcClient

COLUMNS = [{"name": name, "data_type": {"type": "STRING"}} for name in ("id", "dt", "region")]
TWO_KEYS: dict[str, Any] = {"schema": {"columns": COLUMNS}, "partition_key": ["dt", "region"], "bucket_count": 2}
ONE_KEY = {"schema": {"columns": COLUMNS, "primary_key": ["id", "dt"]}, "partition_key": ["dt"], "bucket_count": 2}
PLAIN = {"schema": {"columns": COLUMNS, "primary_key": ["id"]}, "bucket_count": 2}
DAYS: dict[str, Any] = {
    **ONE_KEY,
    "properties": {"table.auto-partition.enabled": "true", "table.auto-partition.time-zone": "UTC"},
}
NOW = "20231114"  # of the ManualClock


class Client:
    """Calls with plain arguments."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    def call(self, key: ApiKey, request: Any) -> Awaitable[Any]:
        return self._rpc.call(key, request, timeout_s=10)

    def create_table(self, table: str, document: Any) -> Awaitable[Any]:
        data = json.dumps(document).encode()
        request = pb.CreateTableRequest(table_path=path(table), table_json=data, ignore_if_exists=False)
        return self.call(ApiKey.CREATE_TABLE, request)

    def create(self, table: str, *, ignore: bool = False, **values: str) -> Awaitable[Any]:
        request = pb.CreatePartitionRequest(
            table_path=path(table), partition_spec=spec(values), ignore_if_not_exists=ignore
        )
        return self.call(ApiKey.CREATE_PARTITION, request)

    def drop(self, table: str, *, ignore: bool = False, **values: str) -> Awaitable[Any]:
        request = pb.DropPartitionRequest(
            table_path=path(table), partition_spec=spec(values), ignore_if_not_exists=ignore
        )
        return self.call(ApiKey.DROP_PARTITION, request)

    async def list(self, table: str, **values: str) -> dict[int, str]:
        """Qualified names by id; without ``values`` all."""
        wanted = spec(values) if values else None
        request = pb.ListPartitionInfosRequest(table_path=path(table), partial_partition_spec=wanted)
        response = await self.call(ApiKey.LIST_PARTITION_INFOS, request)
        assert all(info.bucket_count == 2 for info in response.partitions_info)
        return {
            info.partition_id: "/".join(f"{e.key}={e.value}" for e in info.partition_spec.partition_key_values)
            for info in response.partitions_info
        }

    def metadata(self, **lists: Any) -> Awaitable[Any]:
        return self.call(ApiKey.GET_METADATA, pb.MetadataRequest(**lists))


def path(table: str) -> pb.PbTablePath:
    return pb.PbTablePath(database_name="fluss", table_name=table)


def physical(table: str, partition: str | None) -> pb.PbPhysicalTablePath:
    return pb.PbPhysicalTablePath(database_name="fluss", table_name=table, partition_name=partition)


def spec(values: dict[str, str]) -> pb.PbPartitionSpec:
    return pb.PbPartitionSpec(
        partition_key_values=[pb.PbKeyValue(key=key, value=value) for key, value in values.items()]
    )


def run(directory: Path, scenario: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    async def all_of_it() -> None:
        async with (
            coordinator(directory / "metadata", **options) as port,
            await RpcClient.connect("127.0.0.1", port) as client,
        ):
            await scenario(Client(client))

    asyncio.run(all_of_it())


def test_create_list_and_drop(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", TWO_KEYS)
        assert await client.list("t") == {}
        await client.create("t", region="eu", dt="2024")
        await client.create("t", dt="2024", region="us")
        await client.create("t", dt="2025", region="eu")
        names = {0: "dt=2024/region=eu", 1: "dt=2024/region=us", 2: "dt=2025/region=eu"}
        assert await client.list("t") == names
        assert await client.list("t", region="eu") == {0: names[0], 2: names[2]}
        assert await client.list("t", region="us", dt="2024") == {1: names[1]}
        assert await client.list("t", dt="2023") == {}

        assert await refused(client.create("t", dt="2024", region="eu")) == 42
        await client.create("t", ignore=True, dt="2024", region="eu")
        await client.drop("t", dt="2024", region="eu")
        assert await refused(client.drop("t", dt="2024", region="eu")) == 36
        await client.drop("t", ignore=True, dt="2024", region="eu")
        await client.create("t", dt="2024", region="eu")
        assert await client.list("t", dt="2024") == {1: names[1], 3: names[0]}

    run(tmp_path, scenario)


def test_a_restart_has_the_partitions_and_draws_new_ids(tmp_path: Path) -> None:
    async def before(client: Client) -> None:
        await client.create_table("t", TWO_KEYS)
        await client.create_table("u", ONE_KEY)
        for dt in ("1", "2", "3"):
            await client.create("t", dt=dt, region="eu")
        await client.create("u", dt="1")
        await client.drop("t", dt="2", region="eu")
        await client.drop("u", dt="1")

    async def after(client: Client) -> None:
        assert await client.list("t") == {0: "dt=1/region=eu", 2: "dt=3/region=eu"}
        assert await client.list("u") == {}
        await client.create("u", dt="1")
        assert await client.list("u") == {4: "dt=1"}
        drop = pb.DropTableRequest(table_path=path("t"), ignore_if_not_exists=False)
        await client.call(ApiKey.DROP_TABLE, drop)
        assert await refused(client.list("t")) == 7
        assert await refused(client.metadata(partitions_id=[0])) == 36
        await client.create_table("t", TWO_KEYS)
        assert await client.list("t") == {}

    run(tmp_path, before)
    run(tmp_path, after)


def test_a_dropped_database_takes_its_partitions_along(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.call(ApiKey.CREATE_DATABASE, pb.CreateDatabaseRequest(database_name="d", ignore_if_exists=False))
        place = pb.PbTablePath(database_name="d", table_name="t")
        data = json.dumps(ONE_KEY).encode()
        await client.call(
            ApiKey.CREATE_TABLE, pb.CreateTableRequest(table_path=place, table_json=data, ignore_if_exists=False)
        )
        request = pb.CreatePartitionRequest(
            table_path=place, partition_spec=spec({"dt": "1"}), ignore_if_not_exists=False
        )
        await client.call(ApiKey.CREATE_PARTITION, request)
        await client.metadata(partitions_id=[0])
        drop = pb.DropDatabaseRequest(database_name="d", ignore_if_not_exists=False, cascade=True)
        await client.call(ApiKey.DROP_DATABASE, drop)
        assert await refused(client.metadata(partitions_id=[0])) == 36

    run(tmp_path, scenario)
    run(tmp_path, lambda client: client.metadata())  # nothing unreadable is left


@pytest.mark.parametrize(
    ("table", "values", "code"),
    [
        ("missing", {"dt": "1"}, 7),
        ("plain", {"dt": "1"}, 37),
        ("two", {"dt": "1"}, 43),
        ("two", {"dt": "1", "region": "a", "x": "1"}, 43),
        ("two", {"dt": "1", "x": "1"}, 43),
        ("two", {}, 43),
        ("two", {"dt": "", "region": "a"}, 43),
        ("two", {"dt": "a$b", "region": "a"}, 43),
        ("two", {"dt": "a/b", "region": ".."}, 43),
        ("two", {"dt": "x" * 201, "region": "a"}, 43),
    ],
)
def test_what_is_refused_for_creation_and_removal(
    tmp_path: Path, table: str, values: dict[str, str], code: int
) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("plain", PLAIN)
        await client.create_table("two", TWO_KEYS)
        for ignore in (False, True):
            assert await refused(client.create(table, ignore=ignore, **values)) == code
            assert await refused(client.drop(table, ignore=ignore, **values)) == code

    run(tmp_path, scenario)


def test_reserved_values_are_refused_only_for_creation(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", ONE_KEY)
        assert await refused(client.create("t", dt="__historical__")) == 43
        assert await refused(client.drop("t", dt="__historical__")) == 36

    run(tmp_path, scenario)


def test_listing_is_refused(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("plain", PLAIN)
        await client.create_table("t", ONE_KEY)
        assert await refused(client.list("missing")) == 7
        assert await refused(client.list("plain")) == 37
        assert await refused(client.list("t", region="eu")) == 43

    run(tmp_path, scenario)


def test_limits(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", ONE_KEY)
        for dt in ("1", "2", "3"):
            await client.create("t", dt=dt)
        assert await refused(client.create("t", dt="4")) == 45
        assert await refused(client.create("t", dt="3")) == 42
        await client.create("t", ignore=True, dt="3")
        await client.drop("t", dt="1")
        await client.create("t", dt="4")

    async def fewer_buckets(client: Client) -> None:
        await client.drop("t", dt="2")
        assert await refused(client.create("t", dt="5")) == 49

    run(tmp_path, scenario, max_partitions=3)
    run(tmp_path, fewer_buckets, max_partitions=3, settings=TableSettings(max_bucket_count=1))


def test_time_values_of_auto_partitioned_tables(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", DAYS)
        await client.create("t", dt=NOW)
        await client.create("t", dt="20231107")
        assert await refused(client.create("t", dt="20231106")) == 43
        assert await refused(client.create("t", dt="2023-11-14")) == 43
        assert await refused(client.drop("t", dt="anything")) == 36
        properties = {**DAYS["properties"], "table.auto-partition.key": "dt"}
        document = {**TWO_KEYS, "partition_key": ["region", "dt"], "properties": properties}
        await client.create_table("u", document)
        await client.create("u", region="eu", dt=NOW)
        assert await refused(client.create("u", region=NOW, dt="eu")) == 43
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path("u")))
        assert json.loads(info.table_json)["properties"]["table.auto-partition.num-precreate"] == "0"

    run(tmp_path, scenario)


def test_of_concurrent_creations_one_wins(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", ONE_KEY)
        results = await asyncio.gather(*(client.create("t", dt="1") for _ in range(20)), return_exceptions=True)
        assert sorted(int(r.code) if isinstance(r, FlussError) else 0 for r in results) == [0] + [42] * 19
        await asyncio.gather(*(client.create("t", ignore=True, dt=str(n % 3)) for n in range(30)))
        assert sorted((await client.list("t")).values()) == ["dt=0", "dt=1", "dt=2"]
        # Creations, removals and the end of the table at once: everyone gets an answer, and nothing stays.
        drop = pb.DropTableRequest(table_path=path("t"), ignore_if_not_exists=False)
        calls = [client.create("t", ignore=True, dt=f"x{n}") for n in range(10)]
        calls.insert(5, client.call(ApiKey.DROP_TABLE, drop))
        responses = await asyncio.gather(*calls, return_exceptions=True)
        assert {int(a.code) for a in responses if isinstance(a, FlussError)} <= {7}
        assert await refused(client.list("t")) == 7

    run(tmp_path, scenario)
    run(tmp_path, lambda client: client.metadata())


def test_metadata_of_partitions(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", ONE_KEY)
        await client.create_table("plain", PLAIN)
        await client.create("t", dt="1")
        await client.create("t", dt="2")
        response = await client.metadata(table_path=[path("t")])
        assert not response.table_metadata[0].bucket_metadata
        assert not response.partition_metadata
        response = await client.metadata(
            table_path=[path("t")], partitions_path=[physical("t", "2")], partitions_id=[0, 1]
        )
        assert [entry.table_id for entry in response.table_metadata] == [0]
        found = [(entry.table_id, entry.partition_name, entry.partition_id) for entry in response.partition_metadata]
        assert sorted(found) == [(0, "1", 0), (0, "2", 1)]
        for entry in response.partition_metadata:
            assert entry.bucket_count == 2
            buckets = [(b.bucket_id, b.leader_id, list(b.replica_id), b.leader_epoch) for b in entry.bucket_metadata]
            assert buckets == [(0, 4, [4], 0), (1, 4, [4], 0)]
        for unknown in (physical("t", "3"), physical("t", None), physical("plain", "1"), physical("missing", "1")):
            assert await refused(client.metadata(partitions_path=[physical("t", "1"), unknown])) == 36
        assert await refused(client.metadata(partitions_id=[0, 7])) == 36

    run(tmp_path, scenario)


def test_latest_snapshots_of_a_partition(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create_table("t", ONE_KEY)
        await client.create_table("log", TWO_KEYS)
        await client.create("t", dt="1")

        def latest(table: str, partition: str | None = None) -> Awaitable[Any]:
            request = pb.GetLatestKvSnapshotsRequest(table_path=path(table), partition_name=partition)
            return client.call(ApiKey.GET_LATEST_KV_SNAPSHOTS, request)

        response = await latest("t", "1")
        assert (response.table_id, response.partition_id) == (0, 0)
        assert [snapshot.bucket_id for snapshot in response.latest_snapshots] == [0, 1]
        assert await refused(latest("t")) == 36
        assert await refused(latest("t", "2")) == 36
        assert await refused(latest("log", "1")) == 20

    run(tmp_path, scenario)
