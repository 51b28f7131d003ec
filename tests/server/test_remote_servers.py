"""A coordinator and two tablet servers over real sockets: everything between them goes through the native protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from cluster_nodes import CoordinatorNode, Node, TabletNode
from error_support import refused
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cluster.messages import NotifyLeaderAndIsr, RegisterServer, StopReplicas, UpdateMetadata
from fluss_server.errors import ErrorCode
from fluss_server.formats.kv_batch import build_kv_batch
from fluss_server.formats.row_codec import row_codec
from fluss_server.model.schema import Schema
from fluss_server.model.table import KvFormat
from fluss_server.model.types import DataType, TypeRoot
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.runtime import system_runtime
from kv_support import INT, STRING, encode_key, make_schema, make_table
from rpc_support import async_test
from table_rpc import arrow_log_batch, create_from, create_table, descriptor, fetch, produce, put, table_path

KEYED = make_schema({"id": INT, "v": STRING}, ["id"])
PLAIN = Schema(KEYED.columns, (), highest_field_id=1)
DEADLINE_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state, for a bounded time."""

    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - plain state of the servers under test
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), DEADLINE_S)


class Cluster:
    """The nodes, and clients of their listeners for clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runtime = system_runtime()
        self.coordinator = CoordinatorNode(self.runtime, directory / "coordinator")
        self.tablets: dict[int, TabletNode] = {}
        self._clients = AsyncExitStack()

    async def start_tablet(self, server_id: int) -> TabletNode:
        node = TabletNode(server_id, self.coordinator, self.runtime, self.directory / f"tablet-{server_id}")
        self.tablets[server_id] = node
        await node.start()
        return node

    async def client(self, node: Node) -> RpcClient:
        endpoint = node.endpoint("CLIENT")
        return await self._clients.enter_async_context(await RpcClient.connect(endpoint.host, endpoint.port))

    async def metadata(self, name: str, *, partition: str | None = None) -> Any:
        request = pb.MetadataRequest(table_path=[table_path(name)])
        if partition is not None:
            request.partitions_path.add(database_name="fluss", table_name=name, partition_name=partition)
        return await (await self.client(self.tablets[1])).call(ApiKey.GET_METADATA, request)

    async def leaders(self, name: str, *, partition: str | None = None) -> list[int]:
        """Server ids of the leaders of a table's or partition's buckets, by number of the bucket; -1 for none."""
        response = await self.metadata(name, partition=partition)
        table = response.table_metadata[0] if partition is None else response.partition_metadata[0]
        buckets = sorted(table.bucket_metadata, key=lambda bucket: bucket.bucket_id)
        return [bucket.leader_id if bucket.HasField("leader_id") else -1 for bucket in buckets]

    async def close(self) -> None:
        await self._clients.aclose()
        for node in self.tablets.values():
            await node.leave()
            await node.close()
        await self.coordinator.server.finish_changes()
        await self.coordinator.close()


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    running = Cluster(directory)
    try:
        await running.coordinator.start()
        for server_id in (1, 2):
            await running.start_tablet(server_id)
        yield running
    finally:
        await running.close()


def log_rows(first: int, count: int) -> bytes:
    return arrow_log_batch(PLAIN, [range(first, first + count), [f"v{value}" for value in range(first, first + count)]])


def upserts(rows: Sequence[tuple[Any, ...]], schema: Schema = KEYED, schema_id: int = 1) -> bytes:
    codec, table = row_codec(schema.types, KvFormat.COMPACTED), make_table(schema)
    return bytes(build_kv_batch(schema_id, [(encode_key(table, row[:1]), codec.encode(row)) for row in rows]))


async def look_up(client: RpcClient, table_id: int, key: int, bucket: int = 0, schema: Schema = KEYED) -> Any:
    request = pb.LookupRequest(table_id=table_id)
    request.buckets_req.add(bucket_id=bucket, keys=[encode_key(make_table(schema), [key])])
    response = (await client.call(ApiKey.LOOKUP, request)).buckets_resp[0]
    assert not response.HasField("error_code"), response
    value = response.values[0]
    return row_codec(schema.types, KvFormat.COMPACTED).decode(value.values[2:]) if value.HasField("values") else None


@async_test
async def test_tables_are_created_written_read_altered_and_dropped(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        coordinator = await running.client(running.coordinator)
        log_id = await create_table(coordinator, "log", PLAIN, buckets=4)
        leaders = await running.leaders("log")
        assert sorted(leaders) == [1, 1, 2, 2]
        for bucket, leader in enumerate(leaders):
            client = await running.client(running.tablets[leader])
            written = await produce(client, log_id, log_rows(bucket, 3), bucket=bucket)
            assert not written.HasField("error_code"), written
            assert (await fetch(client, log_id, bucket=bucket)).high_watermark == 3
            other = await running.client(running.tablets[3 - leader])
            assert (await produce(other, log_id, log_rows(0, 1), bucket=bucket)).error_code == 12
        added = pb.PbAddColumn(
            column_name="note", data_type_json=b'{"type":"STRING","nullable":true}', column_position_type=0
        )
        await coordinator.call(
            ApiKey.ALTER_TABLE,
            pb.AlterTableRequest(table_path=table_path("log"), ignore_if_not_exists=False, add_columns=[added]),
        )
        for node in running.tablets.values():
            table = node.server.metadata.table(log_id)
            assert table is not None
            assert (table.schema_id, table.schema.names) == (2, ("id", "v", "note"))
            assert node.server.metadata.schema(log_id, 1).names == ("id", "v")
        await coordinator.call(
            ApiKey.DROP_TABLE, pb.DropTableRequest(table_path=table_path("log"), ignore_if_not_exists=False)
        )
        for node in running.tablets.values():
            assert node.server.metadata.table(log_id) is None
            assert node.server.replicas.replicas() == []
            assert not node.runtime.disk.list(node.directory / "fluss")


@async_test
async def test_primary_keys_auto_increment_and_writer_ids(tmp_path: Path) -> None:
    schema = make_schema({"id": INT, "uid": DataType(TypeRoot.BIGINT)}, ["id"])
    async with cluster(tmp_path) as running:
        coordinator = await running.client(running.coordinator)
        keyed_id = await create_table(coordinator, "keyed", KEYED, buckets=1)
        [leader] = await running.leaders("keyed")
        client = await running.client(running.tablets[leader])
        for row in [(1, "a"), (2, "b"), (1, "c")]:
            written = await put(client, keyed_id, upserts([row]))
            assert not written.HasField("error_code"), written
        assert await look_up(client, keyed_id, 1) == (1, "c")
        assert await look_up(client, keyed_id, 3) is None
        document = descriptor(["id"], schema=schema.to_json() | {"auto_increment_column": ["uid"]}, bucket_count=2)
        numbered_id = await create_from(coordinator, "numbered", document)
        uids = []
        for bucket, leader in enumerate(await running.leaders("numbered")):
            client = await running.client(running.tablets[leader])
            written = await put(client, numbered_id, upserts([(7, None)], schema), bucket=bucket, target_columns=[0])
            assert not written.HasField("error_code"), written
            uids.append((await look_up(client, numbered_id, 7, bucket, schema))[1])
        assert len(set(uids)) == 2, "two servers draw ids of one counter"
        writer_ids = []
        for node in running.tablets.values():
            for _ in range(2):
                request = pb.InitWriterRequest(table_path=[table_path("keyed")])
                writer_ids.append((await (await running.client(node)).call(ApiKey.INIT_WRITER, request)).writer_id)
        assert len(set(writer_ids)) == 4


@async_test
async def test_partitions_come_and_go(tmp_path: Path) -> None:
    columns = [
        {"name": "id", "data_type": {"type": "INTEGER"}, "id": 0},
        {"name": "day", "data_type": {"type": "STRING"}, "id": 1},
    ]
    document = descriptor(
        schema={"version": 1, "columns": columns, "highest_field_id": 1}, partition_key=["day"], bucket_count=2
    )

    def spec(day: str) -> pb.PbPartitionSpec:
        return pb.PbPartitionSpec(partition_key_values=[pb.PbKeyValue(key="day", value=day)])

    async with cluster(tmp_path) as running:
        coordinator = await running.client(running.coordinator)
        table_id = await create_from(coordinator, "parted", document)
        for day in ("mon", "tue"):
            request = pb.CreatePartitionRequest(
                table_path=table_path("parted"), partition_spec=spec(day), ignore_if_not_exists=False
            )
            await coordinator.call(ApiKey.CREATE_PARTITION, request)
            assert sorted(await running.leaders("parted", partition=day)) == [1, 2]
        hosted = [len(node.server.replicas.replicas()) for node in running.tablets.values()]
        assert hosted == [2, 2]
        drop = pb.DropPartitionRequest(
            table_path=table_path("parted"), partition_spec=spec("mon"), ignore_if_not_exists=False
        )
        await coordinator.call(ApiKey.DROP_PARTITION, drop)
        for node in running.tablets.values():
            assert node.server.metadata.find_partition(table_id, "mon") is None
            assert len(node.server.replicas.replicas()) == 1


@async_test
async def test_a_tablet_server_comes_back_on_another_port(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        coordinator = await running.client(running.coordinator)
        table_id = await create_table(coordinator, "t", PLAIN, buckets=2)
        bucket = (await running.leaders("t")).index(2)
        client = await running.client(running.tablets[2])
        await produce(client, table_id, log_rows(0, 5), bucket=bucket)
        gone = running.tablets[2]
        await gone.listening.close()  # without a word to the coordinator
        await gone.close()
        live = running.coordinator.server.controller.queue.state.servers
        await until(lambda: 2 not in live)
        await until(lambda: 2 not in running.tablets[1].server.metadata.servers)
        assert (await running.leaders("t"))[bucket] == -1
        back = await running.start_tablet(2)
        assert back.endpoint("CLIENT").port != gone.endpoint("CLIENT").port
        await running.coordinator.server.settled()
        assert (await running.leaders("t"))[bucket] == 2
        known = running.tablets[1].server.metadata.servers[2].endpoint("CLIENT")
        assert known is not None
        assert known.port == back.endpoint("CLIENT").port
        client = await running.client(back)
        assert (await fetch(client, table_id, bucket=bucket)).high_watermark == 5
        await produce(client, table_id, log_rows(5, 1), bucket=bucket)
        assert (await fetch(client, table_id, bucket=bucket)).high_watermark == 6


@async_test
async def test_an_older_coordinator_changes_nothing_any_more(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        client = await running.client(running.coordinator)
        table_id = await create_table(client, "t", PLAIN, buckets=2)
        older = running.coordinator
        server = next(node for node in running.tablets.values())
        incarnation = older.server.controller.queue.state.servers[1].incarnation
        leading = len(server.server.replicas.replicas())
        await older.server.finish_changes()
        await older.close()
        running.coordinator = CoordinatorNode(running.runtime, tmp_path / "coordinator")
        await running.coordinator.start()
        for node in running.tablets.values():
            node.coordinator = running.coordinator
        controller = running.coordinator.server.controller
        await until(lambda: set(controller.queue.state.servers) == {1, 2})
        await running.coordinator.server.settled()
        epoch = running.coordinator.server.store.epoch
        await until(lambda: all(node.server.metadata.coordinator_epoch == epoch for node in running.tablets.values()))
        assert controller.queue.state.servers[1].incarnation == incarnation, "the tablet servers live on"
        member = controller.queue.state.servers[1]
        gateway = older.reach(RegisterServer(member.node, member.incarnation))
        for call in (
            gateway.notify_leader_and_isr(NotifyLeaderAndIsr(epoch - 1, ())),
            gateway.stop_replicas(StopReplicas(epoch - 1, ())),
            gateway.update_metadata(UpdateMetadata(epoch - 1, dropped_tables=(table_id,))),
        ):
            assert await refused(call) is ErrorCode.INVALID_COORDINATOR_EXCEPTION
        await gateway.close()
        assert server.server.metadata.table(table_id) is not None
        assert len(server.server.replicas.replicas()) == leading
        leader = (await running.leaders("t"))[0]
        assert not (await produce(await running.client(running.tablets[leader]), table_id, log_rows(0, 1))).error_code
        another = await create_table(await running.client(running.coordinator), "another", PLAIN, buckets=2)
        assert another > table_id


@async_test
async def test_a_tablet_server_that_cannot_reach_its_coordinator_says_so(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.coordinator.server.finish_changes()
        client = await running.client(running.tablets[1])
        await running.coordinator.listening.close()
        request = pb.InitWriterRequest(table_path=[table_path("t")])
        assert await refused(client.call(ApiKey.INIT_WRITER, request)) is ErrorCode.NETWORK_EXCEPTION
