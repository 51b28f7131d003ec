"""Three tablet servers, and the disk of one is full: the others lead, and acknowledge without it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fluss_server.log.log_tablet import AppendResult, LogTablet
from fluss_server.log.storage_errors import storage_error
from fluss_server.model.identifiers import TableBucket
from fluss_server.tablet import full_disk
from replicated_cluster import ALL, Cluster, cluster, until
from rpc_support import async_test
from server.test_replication import PLAIN, produce

FULL, EMPTY = 0.99, 0.1
QUICK_FETCHES = {"log.replica.fetch.wait-max-time": "20ms"}


async def with_table(running: Cluster) -> tuple[int, TableBucket, int]:
    """A table with rows; its id, its bucket and the leader of that."""
    table_id = await running.create("t", PLAIN)
    bucket = TableBucket(table_id, None, 0)
    assert not (await produce(running, table_id, 0)).HasField("error_code")
    await until(lambda: all(running.log_of(server, bucket).end_offset == 2 for server in ALL))
    return table_id, bucket, running.leader_of(bucket)


@async_test
async def test_another_server_leads_when_the_disk_of_the_leader_is_full(tmp_path: Path) -> None:
    async with cluster(tmp_path, other_options=QUICK_FETCHES, min_in_sync_replicas_number="2") as running:
        table_id, bucket, first = await with_table(running)
        running.tablets[first].server.disk.update(FULL)
        await until(lambda: len(leader_sees_space(running, bucket)) == 2)
        refused = await produce(running, table_id, 2)
        assert refused.error_code == 70, "the write may be repeated"
        await until(lambda: running.has_other_leader(bucket, first))
        assert not (await produce(running, table_id, 2)).HasField("error_code")
        await until(lambda: running.isr_of(bucket) == set(ALL))  # a follower may write on for some time
        for server in ALL:
            running.tablets[server].server.disk.update(FULL)
        second = running.leader_of(bucket)
        await until(lambda: leader_sees_space(running, bucket) == ())
        assert (await produce(running, table_id, 4)).error_code == 70
        await until(lambda: not running.tablets[second].server._resignations._failed)
        assert running.leader_of(bucket) == second, "no other one has space, and this one serves reads"
        for server in ALL:
            running.tablets[server].server.disk.update(EMPTY)
        assert not (await produce(running, table_id, 4)).HasField("error_code")


def leader_sees_space(running: Cluster, bucket: TableBucket) -> tuple[int, ...]:
    leader = running.leader_of(bucket)
    followers = running.tablets[leader].server.replicas.replica(bucket).followers
    assert followers is not None
    return followers.with_space


@async_test
async def test_a_follower_whose_log_finds_no_space_tells_its_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, other_options=QUICK_FETCHES, min_in_sync_replicas_number="2") as running:
        table_id, bucket, first = await with_table(running)
        full, other = (server for server in ALL if server != first)
        log = running.log_of(full, bucket)
        append = LogTablet.append_replica

        def no_space(tablet: LogTablet, *arguments: Any) -> AppendResult:
            if tablet is log:
                raise storage_error("cannot write", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            return append(tablet, *arguments)

        monkeypatch.setattr(LogTablet, "append_replica", no_space)
        assert not (await produce(running, table_id, 2)).HasField("error_code")
        assert running.isr_of(bucket) == {first, other}


@async_test
async def test_a_follower_with_a_full_disk_leaves_the_isr_until_it_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_disk, "HOLD_S", 0.3)
    async with cluster(tmp_path, other_options=QUICK_FETCHES, min_in_sync_replicas_number="2") as running:
        table_id, bucket, first = await with_table(running)
        full, other = (server for server in ALL if server != first)
        running.tablets[full].server._full_disk.noticed()
        await until(lambda: running.isr_of(bucket) == {first, other})
        assert not (await produce(running, table_id, 2)).HasField("error_code")
        running.tablets[other].server._full_disk.noticed()
        await until(lambda: running.isr_of(bucket) == set(ALL))
        assert not (await produce(running, table_id, 4)).HasField("error_code"), "two replicas have to be in sync"
