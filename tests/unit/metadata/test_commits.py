"""Commits to ZooKeeper wait for each other, also when one that waits is not wanted any more. No ZooKeeper."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fluss_server.metadata.store import Create
from fluss_server.metadata.zookeeper.commits import Committer
from rpc_support import async_test


@pytest.mark.parametrize("iterations", range(5))
@async_test
async def test_a_commit_that_is_cancelled_when_it_could_begin_does_not_block_the_next(
    monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    first: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
    results: list[Any] = [first, 7, 7]

    async def commit(self: Committer, operations: object, deadline: float) -> list[int]:
        result = results.pop(0)
        return await result if isinstance(result, asyncio.Future) else [result]

    monkeypatch.setattr(Committer, "_commit", commit)
    client = SimpleNamespace(monotonic=lambda: 0.0, settings=SimpleNamespace(session_timeout_s=5.0))
    committer = Committer(cast(Any, client))
    running = asyncio.ensure_future(committer.commit([Create("/a")]))
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(committer.commit([Create("/b")]))
    await asyncio.sleep(0.01)
    first.set_result([3])
    for _ in range(iterations):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await running == [3]
    assert await committer.commit([Create("/c")]) == [7]
