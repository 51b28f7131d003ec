"""A tablet server with real files and no network, under a coordinator that only sends its metadata."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fluss_server.cluster.gateways import TabletServerGateway
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketMetadata,
    ControlledShutdown,
    ControlledShutdownResponse,
    Heartbeat,
    IdBounds,
    NotifyLeaderAndIsr,
    Registered,
    RegisterServer,
    ServerNode,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.processes.settings import replica_config, scanner_config
from fluss_server.runtime.runtime import Runtime, system_runtime
from fluss_server.tablet.tablet_server import TabletServer

DOCUMENT = {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 2}
T = TableInfo(TablePath("d", "t"), 0, 1, TableDescriptor.from_json(DOCUMENT), 0, 0)
B0 = TableBucket(0, None, 0)
BUCKETS = tuple(BucketMetadata(number, 1, (1,), 0, 0, (1,)) for number in range(2))
SNAPSHOT = UpdateMetadata(0, ServerNode(9), (ServerNode(1),), (TableMetadata(T, BUCKETS),), snapshot=IdBounds(1, 0))


def lead(bucket: int = 0, *, leader: int = 1, epoch: int = 0, bucket_epoch: int | None = None) -> BucketLeadership:
    return BucketLeadership(
        TableBucket(0, None, bucket),
        T.path,
        None,
        leader,
        epoch,
        (1, 2),
        (1, 2),
        epoch if bucket_epoch is None else bucket_epoch,
    )


class Coordinator:
    """Sends a snapshot to whoever registers, grants one lease, 0 = without end, and says no more."""

    def __init__(self, snapshot: UpdateMetadata, lease_ms: int) -> None:
        self.snapshot = snapshot
        self.lease_ms = lease_ms
        self.shutdowns: list[int] = []

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        assert len(bytes.fromhex(request.incarnation)) == 16
        sending = asyncio.ensure_future(server.update_metadata(self.snapshot))
        sending.add_done_callback(lambda done: done.exception())  # the server says so itself
        self._sending = sending
        return Registered(0, self.lease_ms)

    async def heartbeat(self, request: Heartbeat) -> Registered:
        raise FlussError(ErrorCode.REQUEST_TIME_OUT, "it says no more")

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        self.shutdowns.append(request.server_id)
        return ControlledShutdownResponse(())

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


@asynccontextmanager
async def tablet_server(
    directory: Path, snapshot: UpdateMetadata = SNAPSHOT, runtime: Runtime | None = None, lease_ms: int = 0
) -> AsyncIterator[TabletServer]:
    configuration = DynamicConfiguration(SERVER_OPTIONS, {})
    server = TabletServer(
        ServerNode(1),
        directory,
        configuration,
        replica_config(configuration.current),
        scanner_config(configuration.current),
        runtime or system_runtime(),
        Coordinator(snapshot, lease_ms),  # type: ignore[arg-type]
    )
    try:
        await server.start()
        yield server
    finally:
        await server.close()


async def notify(server: TabletServer, *leaderships: BucketLeadership, epoch: int = 0) -> list[ErrorCode | None]:
    response = await server.notify_leader_and_isr(NotifyLeaderAndIsr(epoch, leaderships))
    assert [result.bucket for result in response.buckets] == [entry.bucket for entry in leaderships]
    return [None if result.failure is None else result.failure.code for result in response.buckets]


def leads(server: TabletServer) -> bool:
    try:
        server.replicas.replica(B0)
    except FlussError as error:
        if error.code is not ErrorCode.NOT_LEADER_OR_FOLLOWER:
            raise
        return False
    return True


def names(directory: Path) -> list[str]:
    """Everything below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
