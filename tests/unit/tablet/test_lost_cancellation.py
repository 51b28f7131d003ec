"""Tasks end although a cancellation is lost: ``asyncio.wait_for`` prefers the failure of what it waits for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.clock import SystemClock
from fluss_server.tablet.replica_fetcher import FetcherConfig, ReplicaFetchers
from rpc_support import async_test

LIMIT_S = 5.0


async def fails_when_cancelled(waiting: asyncio.Event) -> Any:
    """What a connection is that is refused in the moment in which nobody wants it any more."""
    waiting.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise FlussError(ErrorCode.NETWORK_EXCEPTION, "refused") from None


class Follower:
    leader = 1
    bucket = TableBucket(1, None, 0)
    is_online = True
    is_aligned = False


@async_test
async def test_fetching_ends() -> None:
    waiting = asyncio.Event()
    fetchers = ReplicaFetchers(
        0, FetcherConfig(backoff_s=0.01), lambda leader: fails_when_cancelled(waiting), SystemClock(), lambda: 0.5
    )
    fetchers.add(cast(Any, Follower()))
    await asyncio.wait_for(waiting.wait(), LIMIT_S)
    await asyncio.wait_for(fetchers.close(), LIMIT_S)
