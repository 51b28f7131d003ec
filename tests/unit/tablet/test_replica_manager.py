"""A server opens, changes and stops replicas as it is told, and refuses what is out of date. Real files, no network."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from error_support import refused
from fluss_server.cluster.gateways import TabletServerGateway
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketMetadata,
    BucketResult,
    ControlledShutdown,
    ControlledShutdownResponse,
    IdBounds,
    NotifyLeaderAndIsr,
    PartitionMetadata,
    Registered,
    RegisterServer,
    ReplicaStop,
    ServerNode,
    StopReplicas,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.config import SERVER_OPTIONS
from fluss_server.config.dynamic import DynamicConfiguration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor, TableInfo
from fluss_server.processes.settings import replica_config, scanner_config
from fluss_server.replica.follower_rows import FollowerRows
from fluss_server.runtime.runtime import Runtime, system_runtime
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet.tablet_server import TabletServer
from rpc_support import async_test, eventually

COLUMNS = {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}
DOCUMENT = {"schema": COLUMNS, "bucket_count": 2}
T = TableInfo(TablePath("d", "t"), 0, 1, TableDescriptor.from_json(DOCUMENT), 0, 0)
B0 = TableBucket(0, None, 0)
BUCKETS = tuple(BucketMetadata(number, 1, (1,), 0, 0, (1,)) for number in range(2))
KEYED = replace(T, descriptor=TableDescriptor.from_json({**DOCUMENT, "schema": {**COLUMNS, "primary_key": ["a"]}}))
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
    """Sends a snapshot to whoever registers, and says no more."""

    def __init__(self, snapshot: UpdateMetadata) -> None:
        self.snapshot = snapshot
        self.shutdowns: list[int] = []

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        assert len(bytes.fromhex(request.incarnation)) == 16
        sending = asyncio.ensure_future(server.update_metadata(self.snapshot))
        sending.add_done_callback(lambda done: done.exception())  # the server says so itself
        self._sending = sending
        return Registered(0, 0)

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        self.shutdowns.append(request.server_id)
        return ControlledShutdownResponse(())

    def __getattr__(self, name: str) -> object:
        raise AttributeError(name)


@asynccontextmanager
async def tablet_server(
    directory: Path, snapshot: UpdateMetadata = SNAPSHOT, runtime: Runtime | None = None
) -> AsyncIterator[TabletServer]:
    configuration = DynamicConfiguration(SERVER_OPTIONS, {})
    server = TabletServer(
        ServerNode(1),
        directory,
        configuration,
        replica_config(configuration.current),
        scanner_config(configuration.current),
        runtime or system_runtime(),
        Coordinator(snapshot),  # type: ignore[arg-type]
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


@async_test
async def test_nothing_is_open_before_it_is_told_so(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER, "the metadata knows the bucket"
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(TableBucket(7, None, 0))
        assert caught.value.code is ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION
        assert names(tmp_path) == []
        assert await notify(server, lead(0), lead(1)) == [None, None]
        assert server.replicas.replica(B0).is_online
        assert sorted(path.name for path in (tmp_path / "d" / "t-0").iterdir()) == ["log-0", "log-1"]


@async_test
async def test_a_repetition_changes_nothing(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        first, second = await asyncio.gather(notify(server, lead()), notify(server, lead()))
        assert first == second == [None]
        replica = server.replicas.replica(B0)
        assert await notify(server, lead()) == [None]
        assert await notify(server, lead(bucket_epoch=3)) == [None]
        assert server.replicas.replica(B0) is replica


@async_test
async def test_a_bucket_may_be_named_twice(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(), lead(leader=2, epoch=1)) == [None, None]
        assert server.replicas.find(B0) is None, "the later one counts"


@async_test
async def test_a_request_that_is_given_up_goes_on(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        first = asyncio.ensure_future(notify(server, lead()))
        await asyncio.sleep(0)
        first.cancel()
        assert await notify(server, lead()) == [None]
        assert server.replicas.replica(B0).is_online


@async_test
async def test_what_is_out_of_date_is_refused(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead(epoch=5, bucket_epoch=8))
        stale = [lead(epoch=4, bucket_epoch=9), lead(epoch=5, bucket_epoch=7)]
        assert await notify(server, stale[0]) == [ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION]
        assert await notify(server, stale[1]) == [ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION]
        strange = lead(1)._replace(replicas=(2, 3))
        assert await notify(server, strange) == [ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION]
        unknown = lead()._replace(bucket=TableBucket(5, None, 0))
        assert await notify(server, unknown) == [ErrorCode.UNKNOWN_TABLE_OR_BUCKET_EXCEPTION]
        stop = ReplicaStop(B0, 4, delete=True)
        response = await server.stop_replicas(StopReplicas(0, (stop,)))
        failure = response.replicas[0].failure
        assert failure is not None
        assert failure.code is ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION
        assert server.replicas.replica(B0).is_online
        await notify(server, lead(1), epoch=3)
        requests = (
            server.notify_leader_and_isr(NotifyLeaderAndIsr(2, (lead(1, epoch=9),))),
            server.update_metadata(UpdateMetadata(2, dropped_tables=(0,))),
            server.stop_replicas(StopReplicas(2, (ReplicaStop(B0, 9, delete=True),))),
        )
        for request in requests:
            assert await refused(request) is ErrorCode.INVALID_COORDINATOR_EXCEPTION
        assert server.metadata.table(0) == T


@async_test
async def test_a_replica_that_another_server_leads_serves_nothing(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead())
        replica = server.replicas.replica(B0)
        assert await notify(server, lead(leader=2, epoch=1)) == [None]
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert server.replicas.find(B0) is None
        assert await notify(server, lead(epoch=2)) == [None]
        assert replica.is_closed, "it was of an earlier leader epoch"
        assert server.replicas.replica(B0).log is replica.log


@async_test
async def test_stopping(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead(0), lead(1))
        kept = await server.stop_replicas(StopReplicas(0, (ReplicaStop(B0, 0, delete=False),)))
        assert kept.replicas == (BucketResult(B0),)
        assert (tmp_path / "d" / "t-0" / "log-0").is_dir()
        assert await notify(server, lead(0, epoch=1)) == [None]
        both = tuple(ReplicaStop(TableBucket(0, None, number), 1, delete=True) for number in (0, 1))
        await server.update_metadata(UpdateMetadata(0, dropped_tables=(0,)))
        for _ in range(2):  # a repetition finds nothing to do
            stopped = await server.stop_replicas(StopReplicas(0, both))
            assert [result.failure for result in stopped.replicas] == [None, None]
        assert list((tmp_path / "d").iterdir()) == []
        assert server.replicas.replicas() == []


def open_files(directory: Path) -> list[str]:
    """Files of the directory that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return [path for path in found if path.startswith(f"{directory}/")]


def fail_at_the_end(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
    """The method does what it is for, and raises."""
    method = getattr(kind, name)
    failure = FlussError(ErrorCode.KV_STORAGE_EXCEPTION, f"{name} failed")

    def fail(self: object) -> None:
        method(self)
        raise failure

    async def fail_async(self: object) -> None:
        await method(self)
        raise failure

    monkeypatch.setattr(kind, name, fail_async if asyncio.iscoroutinefunction(method) else fail)


@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize(("leader", "kind"), [(1, KvTablet), (1, FollowerRows), (2, FollowerRows)])
@async_test
async def test_rows_that_cannot_be_closed_do_not_keep_the_log_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delete: bool, leader: int, kind: type
) -> None:
    snapshot = SNAPSHOT._replace(tables=(TableMetadata(KEYED, BUCKETS),))
    async with tablet_server(tmp_path, snapshot) as server:
        assert await notify(server, lead(leader=leader)) == [None]
        directory = tmp_path / "d" / "t-0" / "log-0"
        assert open_files(directory)
        with monkeypatch.context() as failing:
            fail_at_the_end(failing, kind, "delete" if delete else "close")
            stopped = await server.stop_replicas(StopReplicas(0, (ReplicaStop(B0, 0, delete=delete),)))
        assert stopped.replicas[0].failure is not None
        assert stopped.replicas[0].failure.code is ErrorCode.KV_STORAGE_EXCEPTION
        assert open_files(directory) == [], "another replica may be opened over them"
        assert directory.exists() is not delete


class SlowDisk(SystemDisk):
    """Removing a directory waits until it is allowed."""

    def __init__(self) -> None:
        self.removing, self.allowed = threading.Event(), threading.Event()

    def remove_tree(self, path: PurePath) -> None:
        self.removing.set()
        self.allowed.wait(30)
        super().remove_tree(path)


class FailingDisk(SystemDisk):
    """Directories cannot be synced while it is told so."""

    fails = False

    def sync_directory(self, path: PurePath) -> None:
        if self.fails:
            raise OSError(errno.EIO, "Input/output error", str(path))
        super().sync_directory(path)


@async_test
async def test_a_directory_that_a_bad_disk_does_not_remove_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FailingDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        await notify(server, lead(0))
        disk.fails = True
        await server.update_metadata(UpdateMetadata(0, dropped_tables=(0,)))
        stopped = await server.stop_replicas(StopReplicas(0, (ReplicaStop(B0, 0, delete=True),)))
        disk.fails = False
    assert stopped.replicas[0].failure is not None
    (record,) = (record for record in caplog.records if "directory of table 0 cannot be removed" in record.message)
    assert "Input/output error" in record.message
    assert record.exc_info is None


@async_test
async def test_a_stop_whose_sender_has_given_up_is_finished_before_it_is_repeated(tmp_path: Path) -> None:
    disk = SlowDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        await notify(server, lead())
        await server.update_metadata(UpdateMetadata(0, dropped_tables=(0,)))
        request = StopReplicas(0, (ReplicaStop(B0, 0, delete=True),))
        first = asyncio.ensure_future(server.stop_replicas(request))
        await eventually(disk.removing.is_set)
        first.cancel()
        again = asyncio.ensure_future(server.stop_replicas(request))
        done, _ = await asyncio.wait([again], timeout=0.05)
        assert not done
        disk.allowed.set()
        assert (await again).replicas == (BucketResult(B0),)
        assert names(tmp_path / "d") == []


@async_test
async def test_files_of_replicas_that_are_not_open_are_removed_too(tmp_path: Path) -> None:
    for name in ("t-0/log-0", "t-0/kv-0", "other-10/log-0"):
        (tmp_path / "d" / name).mkdir(parents=True)
    other = replace(T, path=TablePath("d", "other"), table_id=10)
    snapshot = SNAPSHOT._replace(tables=(*SNAPSHOT.tables, TableMetadata(other)), snapshot=IdBounds(11, 0))
    async with tablet_server(tmp_path, snapshot) as server:
        await server.stop_replicas(StopReplicas(0, (ReplicaStop(B0, 0, delete=True),)))
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["other-10"]


@async_test
async def test_a_replica_that_was_moved_away_leaves_the_others_of_its_table(tmp_path: Path) -> None:
    (tmp_path / "d" / "t-0" / "log-7").mkdir(parents=True)  # could not be opened
    async with tablet_server(tmp_path) as server:
        await notify(server, lead(0))
        assert (tmp_path / "d" / "t-0" / "log-0").is_dir()
        stopped = await server.stop_replicas(StopReplicas(0, (ReplicaStop(B0, 0, delete=True),)))
        assert stopped.replicas == (BucketResult(B0),)
        assert names(tmp_path / "d" / "t-0") == ["log-7"]


@async_test
async def test_what_was_moved_away_while_the_server_was_away_is_removed(tmp_path: Path) -> None:
    for name in ("log-0", "kv-0", "log-1", "log-2.deleted"):
        (tmp_path / "d" / "t-0" / name).mkdir(parents=True)
    buckets = (BucketMetadata(0, 8, (8, 9)), BucketMetadata(1, 1, (1, 8)))
    snapshot = SNAPSHOT._replace(tables=(TableMetadata(T, buckets),))
    async with tablet_server(tmp_path, snapshot):
        assert names(tmp_path / "d" / "t-0") == ["log-1"]


@async_test
async def test_the_last_partition_takes_the_directory_of_its_table_with_it(tmp_path: Path) -> None:
    document = {
        "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in "ap"]},
        "partition_key": ["p"],
        "bucket_count": 1,
    }
    table = replace(T, descriptor=TableDescriptor.from_json(document))
    partitions = [PartitionInfo(0, number, f"p{number}") for number in (3, 4)]
    snapshot = SNAPSHOT._replace(
        tables=(TableMetadata(table),),
        partitions=tuple(map(PartitionMetadata, partitions)),
        snapshot=IdBounds(1, 5),
    )
    async with tablet_server(tmp_path, snapshot) as server:
        for partition in partitions:
            bucket = TableBucket(0, partition.partition_id, 0)
            assert await notify(server, lead()._replace(bucket=bucket, partition=partition.name)) == [None]
        assert sorted(path.name for path in (tmp_path / "d" / "t-0").iterdir()) == ["p3-p3", "p4-p4"]
        for left, number in ((["t-0"], 3), ([], 4)):
            stop = ReplicaStop(TableBucket(0, number, 0), 0, delete=True)
            await server.stop_replicas(StopReplicas(0, (stop,)))
            assert [path.name for path in (tmp_path / "d").iterdir()] == left


@async_test
async def test_replicas_meet_a_new_definition_before_clients_do(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await notify(server, lead())
        columns = [*DOCUMENT["schema"]["columns"], {"name": "b", "data_type": {"type": "INTEGER"}}]  # type: ignore[index]
        wider = TableDescriptor.from_json({**DOCUMENT, "schema": {"columns": columns}})
        altered = replace(T, schema_id=2, descriptor=wider)
        await server.update_metadata(UpdateMetadata(0, tables=(TableMetadata(altered, BUCKETS, ((1, T.schema),)),)))
        assert server.replicas.replica(B0).table == altered
        assert server.metadata.find_table(T.path) == altered
        assert [server.metadata.schema(0, number).names for number in (1, 2)] == [("a",), ("a", "b")]


@async_test
async def test_a_server_leaves_when_it_is_asked_to(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        await server.leave()
        coordinator = server._coordinator
        assert isinstance(coordinator, Coordinator)
        assert coordinator.shutdowns == [1]


def make(tmp_path: Path) -> None:
    for name in ("t-0/log-0", "gone-1/log-0", "half-2.deleted/log-0", "t-0/p-p7/log-0"):
        (tmp_path / "d" / name).mkdir(parents=True)
    (tmp_path / "d" / "gone-1" / "log-0" / "rows").write_text("acknowledged")


@async_test
async def test_orphans_are_removed_when_the_metadata_is_complete(tmp_path: Path) -> None:
    make(tmp_path)
    async with tablet_server(tmp_path, SNAPSHOT._replace(snapshot=IdBounds(3, 9))):
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["t-0"]


@async_test
async def test_orphans_are_set_aside_when_the_metadata_was_repaired(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "d" / "gone-1.orphaned").mkdir()
    repaired = SNAPSHOT._replace(snapshot=IdBounds(3, 9, complete=False))
    for _ in range(2):
        async with tablet_server(tmp_path, repaired):
            assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [
                "gone-1.orphaned",
                "gone-1.orphaned2",
                "half-2.deleted",
                "t-0",
            ]
    assert (tmp_path / "d" / "gone-1.orphaned2" / "log-0" / "rows").read_text() == "acknowledged"


def names(directory: Path) -> list[str]:
    """Everything below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@async_test
async def test_directories_that_the_metadata_cannot_know_stop_the_start(tmp_path: Path) -> None:
    make(tmp_path)
    before = names(tmp_path)
    with pytest.raises(FlussError, match="holds a table or partition that the metadata does not know") as caught:
        async with tablet_server(tmp_path, SNAPSHOT._replace(snapshot=IdBounds(1, 0))):
            raise AssertionError("it has started")
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
    assert names(tmp_path) == before


def leads(server: TabletServer) -> bool:
    try:
        server.replicas.replica(B0)
    except FlussError as error:
        if error.code is not ErrorCode.NOT_LEADER_OR_FOLLOWER:
            raise
        return False
    return True


@async_test
async def test_after_a_lapse_of_the_lease_a_leadership_counts_when_it_is_repeated(tmp_path: Path) -> None:
    """The new lease may come before the news that another server has been elected meanwhile."""
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead()) == [None]
        assert leads(server)
        server.replicas.begin_rejoining()
        server.replicas.end_rejoining(lease_was_held=False)
        assert not leads(server)
        assert await notify(server, lead()) == [None]
        assert not leads(server), "a notification from before the new membership"
        await server.update_metadata(SNAPSHOT)
        assert not leads(server)
        assert await notify(server, lead()) == [None]
        assert leads(server)


@async_test
async def test_a_server_that_leaves_leads_only_what_nobody_else_can(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead(0), lead(1)) == [None, None]
        server.replicas.pause_reads()
        with pytest.raises(FlussError) as caught:
            server.replicas.replica(B0)
        assert caught.value.code is ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, "another may acknowledge more by now"
        assert server.replicas.leader(B0).is_online, "writes and followers go on"
        await server.replicas.hand_over((TableBucket(0, None, 1),))
        assert not leads(server)
        assert server.replicas.replica(TableBucket(0, None, 1)).is_serving
        assert await notify(server, lead(epoch=1)) == [None]
        assert leads(server), "it did not stop after all"
        server.replicas.pause_reads()
        await server.replicas.hand_over(None)
        assert leads(server), "without a coordinator nobody else leads"


@async_test
async def test_a_lease_that_was_held_keeps_leaderships(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead()) == [None]
        server.replicas.begin_rejoining()
        assert leads(server)
        server.replicas.end_rejoining(lease_was_held=True)
        assert leads(server)


@async_test
async def test_what_another_server_leads_is_refused_before_the_role_has_changed(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        assert await notify(server, lead()) == [None]
        changing = asyncio.ensure_future(notify(server, lead(leader=2, epoch=1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not leads(server)
        assert await changing == [None]
