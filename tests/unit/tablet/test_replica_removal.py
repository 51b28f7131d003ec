"""Stopping and removing replicas, and what a snapshot does not have any more. Real files, no network."""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest

from fluss_server.cluster.messages import (
    BucketMetadata,
    BucketResult,
    IdBounds,
    PartitionMetadata,
    ReplicaStop,
    StopReplicas,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableDescriptor
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_disk import SystemDisk
from fluss_server.tablet.tablet_server import TabletServer
from rpc_support import async_test, eventually
from tablet_support import B0, SNAPSHOT, T, lead, leads, names, notify, tablet_server


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


class HeldDisk(SystemDisk):
    """Operations of one kind on files and directories of one name wait in their threads until they are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[str, str] | None = None
        self.reached, self.allowed = threading.Event(), threading.Event()

    def hold(self, operation: str, name: str) -> None:
        """From now on."""
        self._held = operation, name

    def _may_wait(self, operation: str, path: PurePath) -> None:
        if self._held == (operation, path.name):
            self.reached.set()
            self.allowed.wait(30)

    def rename(self, source: PurePath, target: PurePath) -> None:
        self._may_wait("rename", source)
        super().rename(source, target)

    def remove_tree(self, path: PurePath) -> None:
        self._may_wait("remove_tree", path)
        super().remove_tree(path)

    def remove_directory(self, path: PurePath) -> None:
        self._may_wait("remove_directory", path)
        super().remove_directory(path)

    def make_directories(self, path: PurePath, *, mode: int = 0o755) -> None:
        self._may_wait("make_directories", path)
        super().make_directories(path, mode=mode)

    def list(self, path: PurePath) -> list[str]:
        self._may_wait("list", path)
        return super().list(path)


async def is_waiting(task: asyncio.Future[Any]) -> bool:
    """Whether something that takes a few milliseconds at most has not ended."""
    done, _ = await asyncio.wait([task], timeout=0.1)
    return not done


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
    disk = HeldDisk()
    disk.hold("remove_tree", "t-0.deleted")
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        await notify(server, lead())
        await server.update_metadata(UpdateMetadata(0, dropped_tables=(0,)))
        request = StopReplicas(0, (ReplicaStop(B0, 0, delete=True),))
        first = asyncio.ensure_future(server.stop_replicas(request))
        await eventually(disk.reached.is_set)
        first.cancel()
        again = asyncio.ensure_future(server.stop_replicas(request))
        assert await is_waiting(again)
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


def partitioned() -> tuple[list[PartitionInfo], UpdateMetadata]:
    """The partitions of a table, and a snapshot with it."""
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
    return partitions, snapshot


@async_test
async def test_the_last_partition_takes_the_directory_of_its_table_with_it(tmp_path: Path) -> None:
    partitions, snapshot = partitioned()
    async with tablet_server(tmp_path, snapshot) as server:
        for partition in partitions:
            bucket = TableBucket(0, partition.partition_id, 0)
            assert await notify(server, lead()._replace(bucket=bucket, partition=partition.name)) == [None]
        assert sorted(path.name for path in (tmp_path / "d" / "t-0").iterdir()) == ["p3-p3", "p4-p4"]
        for left, number in ((["t-0"], 3), ([], 4)):
            stop = ReplicaStop(TableBucket(0, number, 0), 0, delete=True)
            await server.stop_replicas(StopReplicas(0, (stop,)))
            assert [path.name for path in (tmp_path / "d").iterdir()] == left


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


@async_test
async def test_directories_that_the_metadata_cannot_know_stop_the_start(tmp_path: Path) -> None:
    make(tmp_path)
    before = names(tmp_path)
    with pytest.raises(FlussError, match="holds a table or partition that the metadata does not know") as caught:
        async with tablet_server(tmp_path, SNAPSHOT._replace(snapshot=IdBounds(1, 0))):
            raise AssertionError("it has started")
    assert caught.value.code is ErrorCode.STORAGE_EXCEPTION
    assert names(tmp_path) == before


def elsewhere(*, of: int = 2) -> UpdateMetadata:
    """A snapshot in which other servers have every bucket."""
    buckets = tuple(BucketMetadata(number, 8, (8, 9)) for number in range(of))
    return SNAPSHOT._replace(tables=(TableMetadata(T, buckets),))


def stopping(server: TabletServer, *stops: ReplicaStop) -> asyncio.Future[list[ErrorCode | None]]:
    async def stop() -> list[ErrorCode | None]:
        response = await server.stop_replicas(StopReplicas(0, stops))
        return [None if result.failure is None else result.failure.code for result in response.replicas]

    return asyncio.ensure_future(stop())


@async_test
async def test_a_replica_is_opened_after_what_it_left_before_was_removed(tmp_path: Path) -> None:
    """A repetition of STOP_REPLICA may come late, so that NOTIFY_LEADER_AND_ISR comes while it removes files."""
    (tmp_path / "d" / "t-0" / "log-0").mkdir(parents=True)
    disk = HeldDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        disk.hold("rename", "log-0")
        stopped = stopping(server, ReplicaStop(B0, 0, delete=True))
        await eventually(disk.reached.is_set)
        opened = asyncio.ensure_future(notify(server, lead()))
        assert await is_waiting(opened)
        disk.allowed.set()
        assert await stopped == [None]
        assert await opened == [None]
        assert leads(server)
        assert (tmp_path / "d" / "t-0" / "log-0").is_dir()


@async_test
async def test_stopping_and_opening_happen_in_the_order_of_the_requests(tmp_path: Path) -> None:
    disk = HeldDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        disk.hold("make_directories", "log-0")
        first = asyncio.ensure_future(notify(server, lead()))
        await eventually(disk.reached.is_set)
        stopped = stopping(server, ReplicaStop(B0, 0, delete=True))
        await asyncio.sleep(0)
        again = asyncio.ensure_future(notify(server, lead(bucket_epoch=3)))
        await asyncio.sleep(0)
        disk.allowed.set()
        assert list(await asyncio.gather(first, stopped, again)) == [[None], [None], [None]]
        assert leads(server)
        assert (tmp_path / "d" / "t-0" / "log-0").is_dir()


@async_test
async def test_what_is_stopped_last_is_not_opened_by_a_notification_that_had_to_wait(tmp_path: Path) -> None:
    disk = HeldDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        disk.hold("make_directories", "log-0")
        first = asyncio.ensure_future(notify(server, lead()))
        await eventually(disk.reached.is_set)
        second = asyncio.ensure_future(notify(server, lead(epoch=1, leader=2)))
        await asyncio.sleep(0)
        stopped = stopping(server, ReplicaStop(B0, 1, delete=True))
        await asyncio.sleep(0)
        disk.allowed.set()
        assert list(await asyncio.gather(first, second, stopped)) == [[None], [None], [None]]
        assert server.replicas.replicas() == []
        assert names(tmp_path / "d") == []


@async_test
async def test_a_snapshot_leaves_replicas_that_were_opened_after_it_came(tmp_path: Path) -> None:
    """A late repetition of it does not know where the bucket is to be now, and neither does the metadata."""
    disk = HeldDisk()
    async with tablet_server(tmp_path, elsewhere(), system_runtime(disk=disk)) as server:
        (tmp_path / "d" / "t-0" / "log-1").mkdir(parents=True)
        disk.hold("list", "t-0")
        late = asyncio.ensure_future(server.update_metadata(elsewhere()))
        await eventually(disk.reached.is_set)
        assert await notify(server, lead()) == [None]
        disk.allowed.set()
        await late
        assert leads(server)
        assert [path.name for path in (tmp_path / "d" / "t-0").iterdir()] == ["log-0"]


@async_test
async def test_a_snapshot_closes_only_what_was_opened_before_it_came(tmp_path: Path) -> None:
    disk = HeldDisk()
    async with tablet_server(tmp_path, elsewhere(), system_runtime(disk=disk)) as server:
        assert await notify(server, lead(1)) == [None]
        disk.hold("make_directories", "log-0")
        before = asyncio.ensure_future(notify(server, lead(0)))
        await eventually(disk.reached.is_set)
        snapshot = asyncio.ensure_future(server.update_metadata(elsewhere()))
        assert await is_waiting(snapshot), "for what is being opened and is not to be here"
        after = asyncio.ensure_future(notify(server, lead(1)))
        assert await after == [None]
        disk.allowed.set()
        await asyncio.gather(before, snapshot)
        assert [replica.bucket.bucket for replica in server.replicas.replicas()] == [1]
        assert [path.name for path in (tmp_path / "d" / "t-0").iterdir()] == ["log-1"]


@async_test
async def test_the_next_snapshot_removes_what_a_notification_has_kept(tmp_path: Path) -> None:
    async with tablet_server(tmp_path, elsewhere()) as server:
        assert await notify(server, lead()) == [None]
        await server.update_metadata(elsewhere())
        assert server.replicas.replicas() == []
        assert names(tmp_path / "d") == []


@async_test
async def test_a_table_loses_its_directory_only_while_nothing_is_opened_there(tmp_path: Path) -> None:
    disk = HeldDisk()
    async with tablet_server(tmp_path, runtime=system_runtime(disk=disk)) as server:
        assert await notify(server, lead(0)) == [None]
        disk.hold("remove_directory", "t-0")
        stopped = stopping(server, ReplicaStop(B0, 0, delete=True))
        await eventually(disk.reached.is_set)
        opened = asyncio.ensure_future(notify(server, lead(1)))
        await is_waiting(opened)
        disk.allowed.set()
        assert await stopped == [None]
        assert await opened == [None]
        assert (tmp_path / "d" / "t-0" / "log-1").is_dir()


@async_test
async def test_a_partition_that_is_dropped_leaves_the_directory_in_which_another_is_opened(tmp_path: Path) -> None:
    disk = HeldDisk()
    partitions, snapshot = partitioned()
    async with tablet_server(tmp_path, snapshot, system_runtime(disk=disk)) as server:
        leaderships = [
            lead()._replace(bucket=TableBucket(0, partition.partition_id, 0), partition=partition.name)
            for partition in partitions
        ]
        assert await notify(server, leaderships[0]) == [None]
        await server.update_metadata(UpdateMetadata(0, dropped_partitions=(partitions[0].partition_id,)))
        disk.hold("remove_directory", "t-0")
        stopped = stopping(server, ReplicaStop(leaderships[0].bucket, 0, delete=True))
        await eventually(disk.reached.is_set)
        opened = asyncio.ensure_future(notify(server, leaderships[1]))
        await is_waiting(opened)
        disk.allowed.set()
        assert await stopped == [None]
        assert await opened == [None]
        assert [path.name for path in (tmp_path / "d" / "t-0").iterdir()] == ["p4-p4"]


class CountingDisk(SystemDisk):
    """Knows which directories were listed."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []

    def list(self, path: PurePath) -> list[str]:
        self.listed.append(path.name)
        return super().list(path)


@async_test
async def test_a_replica_is_removed_without_looking_at_other_tables(tmp_path: Path) -> None:
    """The coordinator stops up to 1,000 replicas at once."""
    (tmp_path / "d" / "other-7" / "log-0").mkdir(parents=True)
    other = replace(T, path=TablePath("d", "other"), table_id=7)
    snapshot = SNAPSHOT._replace(tables=(*SNAPSHOT.tables, TableMetadata(other)), snapshot=IdBounds(11, 0))
    disk = CountingDisk()
    async with tablet_server(tmp_path, snapshot, system_runtime(disk=disk)) as server:
        assert await notify(server, lead(0)) == [None]
        disk.listed.clear()
        stops = [ReplicaStop(TableBucket(0, None, number), 0, delete=True) for number in range(2)]
        assert await stopping(server, *stops) == [None, None]
        assert set(disk.listed) <= {"t-0", "log-0"}
        assert [path.name for path in (tmp_path / "d").iterdir()] == ["other-7"]


@async_test
async def test_what_could_not_be_removed_before_is_removed_with_the_rest(tmp_path: Path) -> None:
    async with tablet_server(tmp_path) as server:
        for name in ("log-0", "log-0.deleted"):
            (tmp_path / "d" / "t-0" / name).mkdir(parents=True)
            (tmp_path / "d" / "t-0" / name / "rows").write_text("old")
        assert await stopping(server, ReplicaStop(B0, 0, delete=True)) == [None]
        assert names(tmp_path / "d") == []
