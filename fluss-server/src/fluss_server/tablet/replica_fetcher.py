"""How followers get the logs of their leaders: some connections to every server that leads, a fetch at a time on each.

A fetch waits at the leader until there is something new. A replica that comes in the meantime does not wait for that:
the fetch is abandoned, once, and another one is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.replica.follower_replica import FollowerReplica
from fluss_server.rpc.bulk import FetchedBucket, parse_fetch_log_response
from fluss_server.rpc.client import RpcClient
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.waits import wait_at_most
from fluss_server.tablet.catch_up_limit import CatchUpLimit
from fluss_server.tablet.replica_config import FetcherConfig
from fluss_server.tablet.replication_protocol import (
    FetchFrom,
    error_code,
    follower_fetch_request,
    leader_epochs_request,
    read_leader_epochs,
)

logger = logging.getLogger(__name__)

CALL_DEADLINE_S = 30.0
"""For a response of a leader, beyond the time for which it may wait; then the connection is closed."""

MAX_FETCH_BUCKETS = 10_000
"""Buckets of one fetch; with more, the next fetch begins with the others."""

MAX_ALIGNED_BUCKETS = 200
"""Buckets of one LEADER_EPOCHS: each may have a long history."""

_FIRST_PAUSE_S = 0.02
"""After the first error of a bucket, which often only means that the leader does not know yet that it leads; twice as
long after each, up to the configured pause."""

_GATHER_S = 0.005  # replicas that come together are fetched together

Connect = Callable[[int], Awaitable[RpcClient]]
"""Connects to the server with an id; raises ``FlussError``."""


class FollowerDisk(Protocol):
    """See :class:`~fluss_server.tablet.full_disk.FullDisk`."""

    @property
    def state(self) -> bool | None: ...

    def noticed(self) -> None: ...


class ReplicaFetchers:
    """Fetches for all followers of a server. Lives on one event loop.

    Args:
        server_id: of this server.
        config: how to fetch.
        connect: to a leader.
        clock: for pauses.
        random: a number from 0 to 1, for their length.
        incarnation: of this server; leaders are told.
        disk: of this server; leaders are told.
    """

    def __init__(
        self,
        server_id: int,
        config: FetcherConfig,
        connect: Connect,
        clock: Clock,
        random: Callable[[], float],
        *,
        incarnation: str | None = None,
        disk: FollowerDisk | None = None,
    ) -> None:
        self._server_id = server_id
        self._incarnation = incarnation
        self._disk = disk
        self._config = config
        self._connect = connect
        self._clock = clock
        self._random = random
        self._catch_up = CatchUpLimit(config.catch_up_bytes_per_s, clock.monotonic)
        self._fetchers: dict[tuple[int, int], _Fetcher] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    def add(self, follower: FollowerReplica) -> None:
        """Begin to fetch for a replica; nothing is done for one without a leader."""
        if follower.leader < 0 or self._closed:
            return
        key = self._key(follower)
        fetcher = self._fetchers.get(key)
        if fetcher is None:
            fetcher = self._fetchers[key] = _Fetcher(
                self._server_id,
                follower.leader,
                self._config,
                self._connect,
                self._clock,
                self._random,
                self._catch_up,
                self._incarnation,
                self._disk,
            )
        fetcher.add(follower)

    def remove(self, follower: FollowerReplica) -> None:
        """Fetch no more for it. What is being appended is finished, see :meth:`FollowerReplica.stop`."""
        fetcher = self._fetchers.get(self._key(follower))
        if fetcher is not None and fetcher.remove(follower):
            del self._fetchers[self._key(follower)]
            task = fetcher.stop()
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _key(self, follower: FollowerReplica) -> tuple[int, int]:
        bucket = follower.bucket
        return follower.leader, (bucket.table_id + bucket.bucket) % self._config.per_leader

    async def close(self) -> None:
        """End every fetch."""
        self._closed = True
        fetchers, self._fetchers = list(self._fetchers.values()), {}
        await asyncio.gather(*(fetcher.stop() for fetcher in fetchers), *self._stopping, return_exceptions=True)


class _Fetcher:
    """One connection to a leader, and the replicas that use it."""

    def __init__(
        self,
        server_id: int,
        leader: int,
        config: FetcherConfig,
        connect: Connect,
        clock: Clock,
        random: Callable[[], float],
        catch_up: CatchUpLimit,
        incarnation: str | None,
        disk: FollowerDisk | None,
    ) -> None:
        self._incarnation = incarnation
        self._disk = disk
        self._catch_up = catch_up
        self._server_id = server_id
        self._leader = leader
        self._config = config
        self._connect = connect
        self._monotonic = clock.monotonic
        self._random = random
        self._followers: dict[TableBucket, FollowerReplica] = {}  # in the order in which they are served next
        self._paused: dict[TableBucket, tuple[float, float]] = {}  # until when, and for how long
        self._changed = asyncio.Event()
        self._client: RpcClient | None = None
        self._abandoned: asyncio.Future[memoryview] | None = None
        self._is_reachable = True
        self._task = asyncio.ensure_future(self._run())

    def add(self, follower: FollowerReplica) -> None:
        self._followers[follower.bucket] = follower
        self._paused.pop(follower.bucket, None)
        self._changed.set()

    def remove(self, follower: FollowerReplica) -> bool:
        """Forget a replica; returns whether none is left."""
        if self._followers.get(follower.bucket) is follower:
            del self._followers[follower.bucket]
            self._paused.pop(follower.bucket, None)
        return not self._followers

    def stop(self) -> asyncio.Task[None]:
        self._task.cancel()
        return self._task

    # ------------------------------------------------------------------ rounds

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._round()
                    continue
                except FlussError as error:
                    self._note_failure(error)
                except Exception:
                    logger.exception("fetching from server %d failed", self._leader)
                await self._disconnect()
                await asyncio.sleep(self._pause_s(self._config.backoff_s))
        finally:
            await self._disconnect()

    async def _round(self) -> None:
        """Compare the logs of those that are new, then fetch once for everybody."""
        self._changed.clear()
        ready = self._ready()
        if not ready:
            await self._wait_for_somebody()
            return
        client = await self._connected()
        await self._align(client, [follower for follower in ready if not follower.is_aligned])
        aligned = [follower for follower in ready if follower.is_aligned and self._is_here(follower)]
        if aligned:
            await self._fetch(client, aligned[:MAX_FETCH_BUCKETS])

    def _ready(self) -> list[FollowerReplica]:
        now = self._monotonic()
        return [
            follower
            for bucket, follower in self._followers.items()
            if follower.is_online and (bucket not in self._paused or self._paused[bucket][0] <= now)
        ]

    async def _wait_for_somebody(self) -> None:
        """Until a replica comes, or the pause of one is over."""
        paused = [until for bucket, (until, _) in self._paused.items() if self._followers[bucket].is_online]
        timeout = max(0.0, min(paused) - self._monotonic()) + 0.001 if paused else None
        try:
            await wait_at_most(self._changed.wait(), timeout)
        except asyncio.TimeoutError:
            return

    def _is_here(self, follower: FollowerReplica) -> bool:
        return self._followers.get(follower.bucket) is follower and not follower.is_closed

    async def _align(self, client: RpcClient, followers: Sequence[FollowerReplica]) -> None:
        for first in range(0, len(followers), MAX_ALIGNED_BUCKETS):
            part = followers[first : first + MAX_ALIGNED_BUCKETS]
            request = leader_epochs_request(
                self._server_id, ((follower.bucket, follower.leader_epoch) for follower in part)
            )
            found = read_leader_epochs(await client.call(ApiKey.LEADER_EPOCHS, request, timeout_s=CALL_DEADLINE_S))
            await asyncio.gather(*(self._align_one(follower, found.get(follower.bucket)) for follower in part))

    async def _align_one(self, follower: FollowerReplica, leader_log: object) -> None:
        if not self._is_here(follower):
            return
        if isinstance(leader_log, FlussError) or leader_log is None:
            self._pause(follower, leader_log)
            return
        try:
            await follower.align(leader_log)  # type: ignore[arg-type]
        except FlussError as error:
            self._refused(follower, error)

    async def _fetch(self, client: RpcClient, followers: Sequence[FollowerReplica]) -> None:
        config = self._config
        request = follower_fetch_request(
            self._server_id,
            (FetchFrom(follower.bucket, follower.leader_epoch, follower.fetch_offset) for follower in followers),
            max_bytes=config.max_bytes,
            max_bucket_bytes=config.max_bucket_bytes,
            wait_ms=config.wait_ms,
            min_bytes=config.min_bytes,
            incarnation=self._incarnation,
            disk_full=None if self._disk is None else self._disk.state,
        )
        deadline_s = CALL_DEADLINE_S + config.wait_ms / 1000
        call = asyncio.ensure_future(
            client.call_raw(ApiKey.FETCH_LOG, [request.SerializeToString()], timeout_s=deadline_s)
        )
        try:
            if await self._is_interrupted(call):
                self._abandoned = call
                call.add_done_callback(_forget)
                return
        except asyncio.CancelledError:
            call.cancel()
            raise
        requested = {follower.bucket: follower for follower in followers}
        results = parse_fetch_log_response(call.result())
        await asyncio.gather(*(self._take_in(requested, result) for result in results))

    async def _is_interrupted(self, call: asyncio.Future[memoryview]) -> bool:
        """Wait for the response; returns True if another replica is to be fetched first."""
        if self._abandoned is not None and not self._abandoned.done():
            await asyncio.wait([call, self._abandoned], return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return False
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
        try:
            waiting: list[asyncio.Future[Any]] = [call, changed]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if call.done():
            return False
        await asyncio.sleep(_GATHER_S)
        return not call.done()

    async def _take_in(self, requested: dict[TableBucket, FollowerReplica], result: FetchedBucket) -> None:
        bucket = TableBucket(result.table_id, result.partition_id, result.bucket_id)
        follower = requested.get(bucket)
        if follower is None or not self._is_here(follower):
            return
        if result.error_code != 0:
            code = error_code(result.error_code)
            if code is ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION:
                follower.diverged()
            self._pause(follower, FlussError(code, result.error_message))
            return
        try:
            await follower.append(
                result.records, high_watermark=result.high_watermark, leader_start=result.log_start_offset
            )
        except FlussError as error:
            self._refused(follower, error)
            return
        self._paused.pop(bucket, None)
        if follower.log.end_offset < result.high_watermark and self._is_here(follower):
            pause_s = self._catch_up.pause_s(len(result.records))
            if pause_s:
                self._paused[bucket] = self._monotonic() + pause_s, 0.0
        if len(result.records) and self._is_here(follower):  # the others come first the next time
            self._followers[bucket] = self._followers.pop(bucket)

    # ------------------------------------------------------------------ parts

    def _refused(self, follower: FollowerReplica, error: FlussError) -> None:
        """A log does not take in what is the leader's."""
        if error.code is ErrorCode.DISK_WRITE_LOCKED and self._disk is not None:
            self._disk.noticed()
        self._pause(follower, error)

    def _pause(self, follower: FollowerReplica, error: FlussError | None) -> None:
        if self._is_here(follower):
            _, before = self._paused.get(follower.bucket, (0.0, 0.0))
            longest = min(2 * before or _FIRST_PAUSE_S, self._config.backoff_s)
            self._paused[follower.bucket] = self._monotonic() + self._pause_s(longest), longest
            logger.debug("bucket %s is not fetched from server %d: %s", follower.bucket, self._leader, error)

    def _pause_s(self, longest_s: float) -> float:
        return longest_s * (0.5 + 0.5 * self._random())

    async def _connected(self) -> RpcClient:
        if self._client is None:
            # A connection that is made, or fails, when this task is cancelled does not keep it from ending.
            self._client = await wait_at_most(self._connect(self._leader), None, discard=self._connected_too_late)
            if not self._is_reachable:
                logger.info("server %d can be reached again", self._leader)
                self._is_reachable = True
        return self._client

    def _connected_too_late(self, client: RpcClient) -> None:
        self._client = client  # to be closed

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._abandoned = None
        if client is not None:
            await client.close()

    def _note_failure(self, error: FlussError) -> None:
        if self._is_reachable:
            self._is_reachable = False
            logger.warning("cannot fetch from server %d: %s", self._leader, error)


def _forget(call: asyncio.Future[memoryview]) -> None:
    """Nobody wants the response of an abandoned fetch."""
    if not call.cancelled():
        call.exception()
