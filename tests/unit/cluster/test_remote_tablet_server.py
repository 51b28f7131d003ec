"""Control requests of any size reach a tablet server in frames of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from error_support import refused
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketResult,
    ControlStamp,
    NotifyLeaderAndIsr,
    NotifyLeaderAndIsrResponse,
    ReplicaStop,
    StopReplicas,
    StopReplicasResponse,
    UpdateMetadata,
)
from fluss_server.cluster.peer import PeerConnection
from fluss_server.cluster.remote_tablet_server import MAX_BUCKETS, RemoteTabletServer
from fluss_server.cluster.settings_update import UpdateSettings
from fluss_server.cluster.update_parts import MAX_PART_BYTES, SnapshotParts
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import Handler, ServiceRegistry
from fluss_server.runtime.runtime import system_runtime
from fluss_server.tablet.control_service import ControlService
from rpc_support import async_test
from unit.cluster.test_settings_update import large
from unit.cluster.test_update_parts import snapshot, table

RUNTIME = system_runtime()


class Recorder:
    """A tablet server that puts snapshots together and remembers what it was told."""

    def __init__(self) -> None:
        self.parts = SnapshotParts()
        self.updates: list[UpdateMetadata] = []
        self.snapshots: list[UpdateMetadata] = []
        self.notified: list[NotifyLeaderAndIsr] = []
        self.stopped: list[StopReplicas] = []
        self.settings: list[UpdateSettings] = []
        self.sizes: list[int] = []
        self.failures: dict[int, ErrorCode] = {}  # by the number of the update
        self.settings_failures: dict[int, ErrorCode] = {}

    async def notify_leader_and_isr(self, request: NotifyLeaderAndIsr) -> NotifyLeaderAndIsrResponse:
        self.notified.append(request)
        return NotifyLeaderAndIsrResponse(tuple(BucketResult(entry.bucket) for entry in request.buckets))

    async def update_metadata(self, request: UpdateMetadata) -> None:
        number = len(self.updates)
        self.updates.append(request)
        if (code := self.failures.get(number)) is not None:
            raise FlussError(code, "not now")
        whole = request if request.part is None else self.parts.add(request)
        if whole is not None:
            self.snapshots.append(whole)

    async def update_settings(self, request: UpdateSettings) -> None:
        number = len(self.settings)
        self.settings.append(request)
        if (code := self.settings_failures.get(number)) is not None:
            raise FlussError(code, "not now")

    async def stop_replicas(self, request: StopReplicas) -> StopReplicasResponse:
        self.stopped.append(request)
        return StopReplicasResponse(tuple(BucketResult(entry.bucket) for entry in request.replicas))

    def measured(self, handler: Handler) -> Handler:
        """Note the size of every request."""

        def parse(frame: bytes | memoryview) -> Any:
            self.sizes.append(len(frame))
            return handler.parse(frame)

        return Handler(handler.spec, handler.method, parse, handler.is_async)


@asynccontextmanager
async def remote(recorder: Recorder) -> AsyncIterator[RemoteTabletServer]:
    registry = ServiceRegistry(ControlService(recorder), interceptors=[recorder.measured], internal_listener="INTERNAL")
    server = RpcServer(registry, "127.0.0.1", 0, runtime=RUNTIME, listener="INTERNAL")
    await server.start()
    endpoint = Endpoint("INTERNAL", "127.0.0.1", server.port)
    gateway = RemoteTabletServer(PeerConnection("tablet server 1", lambda: endpoint, network=RUNTIME.network))
    try:
        yield gateway
    finally:
        await gateway.close()
        await server.close(0)


@async_test
async def test_a_snapshot_of_10_000_buckets_goes_through_short_frames() -> None:
    recorder = Recorder()
    whole = snapshot(*(table(number, buckets=5) for number in range(2_000)))
    async with remote(recorder) as gateway:
        await gateway.update_metadata(whole)
        assert recorder.snapshots == [whole]
        assert len(recorder.updates) > 3
        assert max(recorder.sizes) <= MAX_PART_BYTES


@async_test
async def test_a_repeated_update_begins_with_the_part_that_failed() -> None:
    recorder = Recorder()
    whole = snapshot(*(table(number, buckets=5) for number in range(2_000)))
    recorder.failures = {1: ErrorCode.NETWORK_EXCEPTION}
    async with remote(recorder) as gateway:
        assert await refused(gateway.update_metadata(whole)) is ErrorCode.NETWORK_EXCEPTION
        assert [update.part for update in recorder.updates] == [0, 1]
        await gateway.update_metadata(whole)
        assert [update.part for update in recorder.updates[2:4]] == [1, 2]
        assert recorder.snapshots == [whole]


@async_test
async def test_a_server_that_lost_the_parts_gets_all_of_them_again() -> None:
    recorder = Recorder()
    whole = snapshot(*(table(number, buckets=5) for number in range(2_000)))
    recorder.failures = {2: ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION}
    async with remote(recorder) as gateway:
        assert await refused(gateway.update_metadata(whole)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
        await gateway.update_metadata(whole)
        assert [update.part for update in recorder.updates[3:5]] == [0, 1]
        assert recorder.snapshots == [whole]
        later = whole._replace(stamp=ControlStamp("first", 8))
        await gateway.update_metadata(later)
        assert recorder.snapshots == [whole, later]


@async_test
async def test_repeated_settings_begin_with_the_part_that_failed() -> None:
    recorder = Recorder()
    update = large(20_000)
    recorder.settings_failures = {1: ErrorCode.NETWORK_EXCEPTION, 3: ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION}
    async with remote(recorder) as gateway:
        assert await refused(gateway.update_settings(update)) is ErrorCode.NETWORK_EXCEPTION
        assert await refused(gateway.update_settings(update)) is ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION
        assert [part.part for part in recorder.settings] == [0, 1, 1, 2]
        del recorder.settings[:]
        recorder.settings_failures = {}
        await gateway.update_settings(update)
        parts = recorder.settings
        assert [part.part for part in parts] == list(range(len(parts))), "the server may have lost those before"
        assert len(parts) > 20
        assert tuple(acl for part in parts for acl in part.acls) == update.acls
        await gateway.update_settings(large(1))
        assert parts[-1] == large(1)


@async_test
async def test_leaderships_and_stops_of_10_000_buckets_go_through_short_frames() -> None:
    recorder = Recorder()
    path = TablePath("fluss", "t" * 100)
    leaderships = tuple(
        BucketLeadership(TableBucket(1, None, number), path, None, 1, 2, (1, 2, 3), (1, 2, 3), 4)
        for number in range(10_000)
    )
    stops = tuple(ReplicaStop(entry.bucket, 2, delete=True) for entry in leaderships)
    stamp = ControlStamp("first", 3)
    async with remote(recorder) as gateway:
        notified = await gateway.notify_leader_and_isr(NotifyLeaderAndIsr(1, leaderships, stamp))
        assert [result.bucket for result in notified.buckets] == [entry.bucket for entry in leaderships]
        stopped = await gateway.stop_replicas(StopReplicas(1, stops, stamp))
        assert [result.bucket for result in stopped.replicas] == [entry.bucket for entry in leaderships]
    assert [len(request.buckets) for request in recorder.notified] == [MAX_BUCKETS] * 10
    assert [len(request.replicas) for request in recorder.stopped] == [MAX_BUCKETS] * 10
    assert (
        {request.stamp for request in recorder.notified} == {request.stamp for request in recorder.stopped} == {stamp}
    )
    assert max(recorder.sizes) < 256 << 10
