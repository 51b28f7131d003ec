"""A log is closed, or deleted, whatever happens to the rows. Real files, no network."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fluss_server.cluster.messages import ReplicaStop, StopReplicas, TableMetadata
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.kv.kv_tablet import KvTablet
from fluss_server.model.table import TableDescriptor
from fluss_server.replica.follower_rows import FollowerRows
from rpc_support import async_test
from tablet_support import B0, BUCKETS, SNAPSHOT, T, lead, notify, tablet_server

SCHEMA = {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}], "primary_key": ["a"]}
KEYED = replace(T, descriptor=TableDescriptor.from_json({"schema": SCHEMA, "bucket_count": 2}))


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
