"""One coordinator and two tablet servers in one process, every message between them through its protobuf bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.cluster import control_codecs, server_codecs
from fluss_server.cluster.gateways import CoordinatorGateway, TabletServerGateway
from fluss_server.cluster.messages import (
    AdjustIsr,
    AdjustIsrResponse,
    ControlledShutdown,
    ControlledShutdownResponse,
    Heartbeat,
    IdBounds,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    Registered,
    RegisterServer,
    ReservedIds,
    ReserveIds,
    ReserveWriterIds,
    ResignLeaderships,
    ServerNode,
    StopReplicas,
    StopReplicasResponse,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.cluster.settings_update import UpdateSettings, decode_update_settings, encode_update_settings
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.coordinator.coordinator_server import CoordinatorServer
from fluss_server.coordinator.service import CoordinatorService
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.model.identifiers import TablePath
from fluss_server.processes.settings import replica_config, scanner_config, table_settings
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.service import RequestContext
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet.metadata_service import MetadataService
from fluss_server.tablet.tablet_server import TabletServer
from rpc_support import async_test

T = TablePath("fluss", "t")


def through(encode: Callable[[Any], Any], decode: Callable[[Any], Any], value: Any) -> Any:
    """A value after its way over a network."""
    message = encode(value)
    return decode(type(message).FromString(message.SerializeToString()))


class RemoteTabletServer:
    """A tablet server behind the bytes of its messages."""

    def __init__(self, server: TabletServerGateway) -> None:
        self._server = server

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        sent = through(
            control_codecs.encode_notify_leader_and_isr, control_codecs.decode_notify_leader_and_isr, request
        )
        response: NotifyLeaderAndIsrResponse = through(
            control_codecs.encode_notify_leader_and_isr_response,
            control_codecs.decode_notify_leader_and_isr_response,
            await self._server.notify_leader_and_isr(sent),
        )
        return response

    async def update_metadata(self, request: UpdateMetadata) -> None:
        await self._server.update_metadata(
            through(control_codecs.encode_update_metadata, control_codecs.decode_update_metadata, request)
        )

    async def update_settings(self, request: UpdateSettings) -> None:
        await self._server.update_settings(through(encode_update_settings, decode_update_settings, request))

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        sent = through(control_codecs.encode_stop_replicas, control_codecs.decode_stop_replicas, request)
        response: StopReplicasResponse = through(
            control_codecs.encode_stop_replicas_response,
            control_codecs.decode_stop_replicas_response,
            await self._server.stop_replicas(sent),
        )
        return response


class RemoteCoordinator:
    """The coordinator behind the bytes of its messages."""

    def __init__(self, coordinator: CoordinatorGateway) -> None:
        self._coordinator = coordinator

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        sent = through(server_codecs.encode_register_server, server_codecs.decode_register_server, request)
        response: Registered = through(
            server_codecs.encode_registered,
            server_codecs.decode_registered,
            await self._coordinator.register(sent, RemoteTabletServer(server)),
        )
        return response

    async def heartbeat(self, request: Heartbeat) -> Registered:
        return await self._coordinator.heartbeat(
            through(server_codecs.encode_heartbeat, server_codecs.decode_heartbeat, request)
        )

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        sent = through(server_codecs.encode_controlled_shutdown, server_codecs.decode_controlled_shutdown, request)
        response: ControlledShutdownResponse = through(
            server_codecs.encode_controlled_shutdown_response,
            server_codecs.decode_controlled_shutdown_response,
            await self._coordinator.controlled_shutdown(sent),
        )
        return response

    async def adjust_isr(self, request: AdjustIsr) -> AdjustIsrResponse:
        return await self._coordinator.adjust_isr(
            through(server_codecs.encode_adjust_isr, server_codecs.decode_adjust_isr, request)
        )

    async def resign_leaderships(self, request: ResignLeaderships) -> None:
        await self._coordinator.resign_leaderships(
            through(server_codecs.encode_resign_leaderships, server_codecs.decode_resign_leaderships, request)
        )

    async def reserve_ids(self, request: ReserveIds) -> ReservedIds:
        return await self._coordinator.reserve_ids(
            through(server_codecs.encode_reserve_ids, server_codecs.decode_reserve_ids, request)
        )

    async def reserve_writer_ids(self, request: ReserveWriterIds) -> ReservedIds:
        return await self._coordinator.reserve_writer_ids(
            through(server_codecs.encode_reserve_writer_ids, server_codecs.decode_reserve_writer_ids, request)
        )


@dataclass
class Cluster:
    coordinator: CoordinatorServer
    servers: list[TabletServer]
    ddl: CoordinatorService

    async def create(self, name: str, buckets: int, *, primary_key: bool = False, replicas: int = 1) -> None:
        schema: dict[str, Any] = {
            "columns": [{"name": "a", "data_type": {"type": "INTEGER", "nullable": False}, "id": 0}]
        }
        if primary_key:
            schema["primary_key"] = ["a"]
        document = {
            "schema": schema,
            "bucket_count": buckets,
            "properties": {"table.replication.factor": str(replicas)},
        }
        request = pb.CreateTableRequest(
            table_path=_path(name), table_json=json.dumps(document).encode(), ignore_if_exists=False
        )
        await self.ddl.create_table(request, RequestContext(ApiKey.CREATE_TABLE))

    async def drop(self, name: str) -> None:
        request = pb.DropTableRequest(table_path=_path(name), ignore_if_not_exists=False)
        await self.ddl.drop_table(request, RequestContext(ApiKey.DROP_TABLE))

    def leaders(self, server: TabletServer, name: str) -> list[tuple[str, int]]:
        """Host and port of the leader of each bucket, as a client of a server finds them."""
        service = next(found for found in server.services if isinstance(found, MetadataService))
        response: Any = service.get_metadata(
            pb.MetadataRequest(table_path=[_path(name)]), RequestContext(ApiKey.GET_METADATA, local_port=1)
        )
        addresses = {node.node_id: (node.host, node.port) for node in response.tablet_servers}
        return [addresses[bucket.leader_id] for bucket in response.table_metadata[0].bucket_metadata]


def _path(name: str) -> pb.PbTablePath:
    return pb.PbTablePath(database_name="fluss", table_name=name)


@asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Cluster]:
    runtime = system_runtime()
    async with AsyncExitStack() as resources:
        store = EmbeddedMetadataStore.open(directory / "metadata.journal", runtime)
        resources.push_async_callback(store.close)
        configuration = DynamicConfiguration(SERVER_OPTIONS, {})
        coordinator = CoordinatorServer(
            store,
            ServerNode(0, (Endpoint("FLUSS", "coordinator", 9),)),
            configuration,
            lambda: table_settings(configuration.current),
            runtime,
        )
        resources.push_async_callback(coordinator.close)
        await coordinator.start()
        servers = []
        for number in (1, 2):
            options = DynamicConfiguration(SERVER_OPTIONS, {})
            server = TabletServer(
                ServerNode(number, (Endpoint("FLUSS", f"server-{number}", number),)),
                directory / f"server-{number}",
                options,
                replica_config(options.current),
                scanner_config(options.current),
                runtime,
                RemoteCoordinator(coordinator.gateway),
            )
            (directory / f"server-{number}").mkdir(exist_ok=True)
            resources.push_async_callback(server.close)
            await server.start()
            resources.push_async_callback(server.leave)
            servers.append(server)
        resources.push_async_callback(coordinator.finish_changes)
        await coordinator.settled()
        services = coordinator.services(None)
        yield Cluster(coordinator, servers, next(found for found in services if isinstance(found, CoordinatorService)))


@async_test
async def test_buckets_are_spread_and_every_server_knows_all_of_them(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.create("t", 4)
        await running.create("k", 2, primary_key=True)
        for name in ("t", "k"):
            first, second = (running.leaders(server, name) for server in running.servers)
            assert first == second
            assert set(first) == {("server-1", 1), ("server-2", 2)}
        hosted = [len(server.replicas.replicas()) for server in running.servers]
        assert hosted == [3, 3]
    async with cluster(tmp_path) as running:
        assert [len(server.replicas.replicas()) for server in running.servers] == [3, 3]
        assert running.leaders(running.servers[0], "t") == running.leaders(running.servers[1], "t")
        await running.drop("t")
        await running.drop("k")
        assert [len(server.replicas.replicas()) for server in running.servers] == [0, 0]
        assert all(server.metadata.find_table(T) is None for server in running.servers)
    for number in (1, 2):
        assert list((tmp_path / f"server-{number}" / "fluss").iterdir()) == []


@async_test
async def test_a_server_that_leaves_hands_its_leaderships_over(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.create("t", 4, replicas=2)
        first, second = running.servers
        assert len(first.replicas.replicas()) == len(second.replicas.replicas()) == 4
        await first.leave()
        await running.coordinator.settled()
        assert set(running.leaders(second, "t")) == {("server-2", 2)}
        leading = [second.replicas.find(replica.bucket) for replica in second.replicas.replicas()]
        assert None not in leading
        states = running.coordinator.controller.queue.state.buckets.values()
        assert {state.record.isr for state in states if state.record is not None} == {(2,)}


@async_test
async def test_a_server_closes_what_was_dropped_while_nobody_could_tell_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        await running.create("kept", 2)
        await running.create("dropped", 4, primary_key=True)
        server = running.servers[0]
        kept = [table for table in server.metadata.tables() if table.path.table == "kept"]
        hosted = {replica.bucket for replica in server.replicas.replicas() if replica.table in kept}
        snapshot = UpdateMetadata(
            server.metadata.coordinator_epoch,
            tables=tuple(TableMetadata(table, tuple(server.metadata.buckets(table.table_id, None))) for table in kept),
            snapshot=IdBounds(10, 10),
        )
        await server.update_metadata(snapshot)
        assert {replica.bucket for replica in server.replicas.replicas()} == hosted
        assert [path.name for path in (tmp_path / "server-1" / "fluss").iterdir()] == [f"kept-{kept[0].table_id}"]


@async_test
async def test_writer_ids_of_two_servers_differ(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        ids = []
        for server in running.servers:
            service = next(found for found in server.services if isinstance(found, MetadataService))
            for _ in range(3):
                response: Any = await service.init_writer(
                    pb.InitWriterRequest(table_path=[_path("t")]), RequestContext(ApiKey.INIT_WRITER)
                )
                ids.append(response.writer_id)
        assert len(set(ids)) == 6
