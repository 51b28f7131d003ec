"""The coordinator's RPCs over a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from coordinator_support import coordinator
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.coordinator.validation import TableSettings
from fluss_server.errors import FlussError
from fluss_server.rpc.client import RpcClient

LOG: dict[str, Any] = {
    "version": 1,
    "schema": {"version": 1, "columns": [{"name": "a", "data_type": {"type": "INTEGER"}, "id": 0}]},
    "partition_key": [],
    "bucket_key": [],
    "bucket_count": 3,
    "properties": {},
    "custom_properties": {"owner": "me"},
}
KV = {**LOG, "schema": {**LOG["schema"], "primary_key": ["a"]}}


class Client:
    """Calls with plain arguments."""

    def __init__(self, rpc: RpcClient, port: int) -> None:
        self._rpc = rpc
        self.port = port

    def call(self, key: ApiKey, request: Any) -> Awaitable[Any]:
        return self._rpc.call(key, request, timeout_s=10)

    def create_database(self, name: str, ignore: bool = False, data: bytes | None = None) -> Awaitable[Any]:
        request = pb.CreateDatabaseRequest(database_name=name, ignore_if_exists=ignore, database_json=data)
        return self.call(ApiKey.CREATE_DATABASE, request)

    def drop_database(self, name: str, ignore: bool = False, cascade: bool = False) -> Awaitable[Any]:
        request = pb.DropDatabaseRequest(database_name=name, ignore_if_not_exists=ignore, cascade=cascade)
        return self.call(ApiKey.DROP_DATABASE, request)

    def create(self, table: str = "t", document: Any = LOG, database: str = "fluss") -> Awaitable[Any]:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        request = pb.CreateTableRequest(table_path=path(table, database), table_json=data, ignore_if_exists=False)
        return self.call(ApiKey.CREATE_TABLE, request)

    def drop(self, table: str = "t", ignore: bool = False) -> Awaitable[Any]:
        request = pb.DropTableRequest(table_path=path(table), ignore_if_not_exists=ignore)
        return self.call(ApiKey.DROP_TABLE, request)

    def metadata(self, *tables: pb.PbTablePath, **other: Any) -> Awaitable[Any]:
        return self.call(ApiKey.GET_METADATA, pb.MetadataRequest(table_path=tables, **other))


def path(table: str = "t", database: str = "fluss") -> pb.PbTablePath:
    return pb.PbTablePath(database_name=database, table_name=table)


def run(directory: Path, scenario: Callable[[Client], Awaitable[None]], *settings: Any, advertised: Any = None) -> None:
    async def all_of_it() -> None:
        async with (
            coordinator(directory / "metadata", advertised, *settings) as port,
            await RpcClient.connect("127.0.0.1", port) as client,
        ):
            await scenario(Client(client, port))

    asyncio.run(all_of_it())


def test_databases(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        descriptor = {"version": 1, "comment": "c", "custom_properties": {"k": "v"}}
        await client.create_database("d", data=json.dumps(descriptor).encode())
        assert await refused(client.create_database("d")) == 6
        await client.create_database("d", ignore=True)
        assert await refused(client.create_database("a.b")) == 16
        assert await refused(client.create_database("e", data=b"{")) == 16

        response = await client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest())
        assert list(response.database_name) == ["d", "fluss"]
        assert not response.database_summary
        await client.create("t", database="d")
        response = await client.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest(include_summary=True))
        assert not response.database_name
        assert [(entry.database_name, entry.table_count) for entry in response.database_summary] == [
            ("d", 1),
            ("fluss", 0),
        ]

        info = await client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name="d"))
        assert json.loads(info.database_json) == descriptor
        assert info.created_time == info.modified_time > 0
        assert await refused(client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name="x"))) == 4
        for name, exists in (("d", True), ("x", False), ("..", False)):
            request = pb.DatabaseExistsRequest(database_name=name)
            assert (await client.call(ApiKey.DATABASE_EXISTS, request)).exists is exists

        assert await refused(client.drop_database("d")) == 5
        await client.drop_database("d", cascade=True)
        assert await refused(client.drop_database("d")) == 4
        await client.drop_database("d", ignore=True)
        assert await refused(client.drop_database("fluss", cascade=True)) == 16

    run(tmp_path, scenario)


def test_tables(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create()
        assert await refused(client.create()) == 8
        assert await refused(client.create(database="x")) == 4
        assert await refused(client.create("a b")) == 15
        assert await refused(client.create("u", b"{")) == 15
        assert await refused(client.create("u", {})) == 15

        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path()))
        assert (info.table_id, info.schema_id) == (0, 1)
        assert info.created_time == info.modified_time > 0
        expected = {**LOG, "properties": {"table.replication.factor": "1"}}
        expected["schema"] = {**LOG["schema"], "highest_field_id": 0}
        assert json.loads(info.table_json) == expected

        response = await client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="fluss"))
        assert list(response.table_name) == ["t"]
        assert await refused(client.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name="x"))) == 4
        for name, exists in (("t", True), ("u", False), ("", False)):
            response = await client.call(ApiKey.TABLE_EXISTS, pb.TableExistsRequest(table_path=path(name)))
            assert response.exists is exists

        for schema_id in (None, 1):
            request = pb.GetTableSchemaRequest(table_path=path(), schema_id=schema_id)
            schema = await client.call(ApiKey.GET_TABLE_SCHEMA, request)
            assert schema.schema_id == 1
            assert json.loads(schema.schema_json) == expected["schema"]
        for schema_id, code in ((2, 9), (0, 9)):
            request = pb.GetTableSchemaRequest(table_path=path(), schema_id=schema_id)
            assert await refused(client.call(ApiKey.GET_TABLE_SCHEMA, request)) == code

        await client.drop()
        assert await refused(client.drop()) == 7
        await client.drop(ignore=True)
        await client.create()
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path()))
        assert info.table_id == 1

    run(tmp_path, scenario)


def test_alter_database(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        def alter(name: str = "d", ignore: bool = False, **fields: Any) -> Awaitable[Any]:
            request = pb.AlterDatabaseRequest(database_name=name, ignore_if_not_exists=ignore, **fields)
            return client.call(ApiKey.ALTER_DATABASE, request)

        async def info() -> Any:
            response = await client.call(ApiKey.GET_DATABASE_INFO, pb.GetDatabaseInfoRequest(database_name="d"))
            return json.loads(response.database_json)

        await client.create_database("d", data=b'{"version":1,"comment":"c","custom_properties":{"k":"v"}}')
        await alter(
            config_changes=[
                pb.PbAlterConfig(config_key="l", config_value="w", op_type=0),
                pb.PbAlterConfig(config_key="k", op_type=1),
            ]
        )
        assert await info() == {"version": 1, "comment": "c", "custom_properties": {"l": "w"}}
        await alter(comment="")
        assert await info() == {"version": 1, "custom_properties": {"l": "w"}}
        await alter(comment="new")
        assert (await info())["comment"] == "new"
        assert await refused(alter("x", comment="y")) == 4
        await alter("x", ignore=True, comment="y")
        append = pb.PbAlterConfig(config_key="l", config_value="w", op_type=2)
        assert await refused(alter(config_changes=[append])) == 39

    run(tmp_path, scenario)


def test_alter_table(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        def alter(table: str = "t", ignore: bool = False, **fields: Any) -> Awaitable[Any]:
            request = pb.AlterTableRequest(table_path=path(table), ignore_if_not_exists=ignore, **fields)
            return client.call(ApiKey.ALTER_TABLE, request)

        ttl = pb.PbAlterConfig(config_key="table.log.ttl", config_value="1 d", op_type=0)
        column = pb.PbAddColumn(column_name="b", data_type_json=b'{"type":"STRING"}', column_position_type=0)
        assert await refused(alter(config_changes=[ttl])) == 7
        assert await refused(alter(add_columns=[column])) == 7
        await alter(ignore=True, config_changes=[ttl])
        await alter()  # asks for nothing, and Fluss then looks at nothing
        assert await refused(alter("a b")) == 15
        await client.create()
        await alter(config_changes=[ttl])
        await alter(add_columns=[column])
        assert await refused(alter(add_columns=[column])) == 56
        assert await refused(alter(add_columns=[column], config_changes=[ttl])) == 56

        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path()))
        assert info.schema_id == 2
        document = json.loads(info.table_json)
        assert document["properties"] == {"table.replication.factor": "1", "table.log.ttl": "1 d"}
        columns = [*LOG["schema"]["columns"], {"name": "b", "data_type": {"type": "STRING"}, "id": 1}]
        assert document["schema"] == {"version": 1, "columns": columns, "highest_field_id": 1}
        (entry,) = (await client.metadata(path())).table_metadata
        assert (entry.schema_id, entry.table_json) == (2, info.table_json)
        for schema_id, count in ((None, 2), (2, 2), (1, 1)):
            request = pb.GetTableSchemaRequest(table_path=path(), schema_id=schema_id)
            response = await client.call(ApiKey.GET_TABLE_SCHEMA, request)
            assert response.schema_id == (schema_id or 2)
            assert json.loads(response.schema_json)["columns"] == columns[:count]

    run(tmp_path, scenario)


def test_calls_about_a_missing_table(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        calls: list[tuple[ApiKey, Any]] = [
            (ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest),
            (ApiKey.GET_TABLE_SCHEMA, pb.GetTableSchemaRequest),
            (ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest),
            (ApiKey.GET_LATEST_KV_SNAPSHOTS, pb.GetLatestKvSnapshotsRequest),
            (ApiKey.GET_LAKE_SNAPSHOT, pb.GetLakeSnapshotRequest),
        ]
        for key, request_class in calls:
            for missing in (path("missing"), path("t", "missing")):
                code = await refused(client.call(key, request_class(table_path=missing)))
                assert code == (9 if key is ApiKey.GET_TABLE_SCHEMA else 7)

    run(tmp_path, scenario)


def test_errors_of_create_table(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        assert await refused(client.create("u", {**LOG, "partition_key": ["b"]})) == 15
        assert await refused(client.create("u", {**LOG, "properties": {"table.log.tll": "1 d"}})) == 39
        assert await refused(client.create("u", {**LOG, "properties": {"table.replication.factor": "2"}})) == 17
        assert await refused(client.create("u", {**LOG, "bucket_count": 9})) == 49
        without_count = {key: value for key, value in LOG.items() if key not in ("bucket_count", "bucket_key")}
        await client.create("u", without_count)
        info = await client.call(ApiKey.GET_TABLE_INFO, pb.GetTableInfoRequest(table_path=path("u")))
        assert json.loads(info.table_json)["bucket_count"] == 2

    run(tmp_path, scenario, TableSettings(default_bucket_count=2, max_bucket_count=8))


def test_metadata(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        response = await client.metadata()
        server = response.coordinator_server
        assert (server.node_id, server.host, server.port) == (4, "127.0.0.1", client.port)
        assert list(response.tablet_servers) == [server]
        assert not response.table_metadata

        await client.create()
        await client.create("k", KV)
        response = await client.metadata(path("k"), path(), path("k"))  # a table is told once
        assert [table.table_path.table_name for table in response.table_metadata] == ["k", "t"]
        table = response.table_metadata[0]
        assert (table.table_id, table.schema_id) == (1, 1)
        document = json.loads(table.table_json)
        assert document["bucket_key"] == ["a"]
        assert document["properties"] == {
            "table.replication.factor": "1",
            "table.kv.format-version": "2",
            "table.kv.standby-replica.enabled": "true",
        }
        assert [bucket.bucket_id for bucket in table.bucket_metadata] == [0, 1, 2]
        for bucket in table.bucket_metadata:
            assert (bucket.leader_id, list(bucket.replica_id), bucket.leader_epoch) == (4, [4], 0)
        assert not response.partition_metadata

        assert await refused(client.metadata(path(), path("missing"))) == 7
        assert await refused(client.metadata(path("t", "missing"))) == 7
        partition = pb.PbPhysicalTablePath(database_name="fluss", table_name="t", partition_name="p")
        assert await refused(client.metadata(partitions_path=[partition])) == 36
        assert await refused(client.metadata(path(), partitions_id=[1])) == 36

    run(tmp_path, scenario)


def test_advertised_address(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        response = await client.metadata()
        for server in (response.coordinator_server, *response.tablet_servers):
            assert (server.host, server.port) == ("fluss.example", 19123)

    run(tmp_path, scenario, advertised={"FLUSS": ("fluss.example", 19123)})


def test_writer_ids(tmp_path: Path) -> None:
    ids: list[int] = []

    async def scenario(client: Client) -> None:
        request = pb.InitWriterRequest(table_path=[path()])
        responses = await asyncio.gather(*(client.call(ApiKey.INIT_WRITER, request) for _ in range(150)))
        ids.extend(response.writer_id for response in responses)

    run(tmp_path, scenario)
    run(tmp_path, scenario)
    assert min(ids) == 0
    assert len(set(ids)) == 300


def test_what_tables_do_not_have(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        await client.create()
        await client.create("k", KV)
        spec = pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="a", value="1")])
        partition_calls: list[tuple[ApiKey, Any]] = [
            (ApiKey.LIST_PARTITION_INFOS, pb.ListPartitionInfosRequest(table_path=path())),
            (
                ApiKey.CREATE_PARTITION,
                pb.CreatePartitionRequest(table_path=path(), partition_spec=spec, ignore_if_not_exists=True),
            ),
            (
                ApiKey.DROP_PARTITION,
                pb.DropPartitionRequest(table_path=path(), partition_spec=spec, ignore_if_not_exists=True),
            ),
            (
                ApiKey.GET_LATEST_KV_SNAPSHOTS,
                pb.GetLatestKvSnapshotsRequest(table_path=path("k"), partition_name="p"),
            ),
        ]
        for key, request in partition_calls:
            assert await refused(client.call(key, request)) == 37

        request = pb.GetLatestKvSnapshotsRequest(table_path=path())
        assert await refused(client.call(ApiKey.GET_LATEST_KV_SNAPSHOTS, request)) == 20
        request = pb.GetLatestKvSnapshotsRequest(table_path=path("k"))
        response = await client.call(ApiKey.GET_LATEST_KV_SNAPSHOTS, request)
        assert response.table_id == 1
        assert not response.HasField("partition_id")
        assert [snapshot.bucket_id for snapshot in response.latest_snapshots] == [0, 1, 2]
        for snapshot in response.latest_snapshots:
            assert not snapshot.HasField("snapshot_id")
            assert not snapshot.HasField("log_offset")

        lake = pb.GetLakeSnapshotRequest(table_path=path())
        assert await refused(client.call(ApiKey.GET_LAKE_SNAPSHOT, lake)) == 53
        token = await client.call(ApiKey.GET_FILESYSTEM_SECURITY_TOKEN, pb.GetFileSystemSecurityTokenRequest())
        assert (token.schema, token.token, token.HasField("expiration_time")) == ("file", b"", False)

    run(tmp_path, scenario)


def test_concurrent_creations_over_many_connections(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        clients = [Client(await RpcClient.connect("127.0.0.1", client.port), client.port) for _ in range(5)]
        results = await asyncio.gather(*(c.create() for c in clients for _ in range(4)), return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        assert all(result.code == 8 for result in results if isinstance(result, FlussError))
        for other in clients:
            await other._rpc.close()

    run(tmp_path, scenario)
