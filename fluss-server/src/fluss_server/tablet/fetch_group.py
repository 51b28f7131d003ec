"""Some of the replicas that follow buckets of one leader, fetched together: one request at a time names all of them.

A fetch waits at the leader until there is something new. A replica that comes in the meantime does not wait for that:
the fetch is abandoned, once, and another one is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from fluss_server.tablet.fetch_waits import FetchWaits
from fluss_server.tablet.leader_connection import LeaderConnection
from fluss_server.tablet.replica_config import FetcherConfig
from fluss_server.tablet.replication_protocol import (
    FetchFrom,
    error_code,
    follower_fetch_request,
    leader_epochs_request,
    read_leader_epochs,
)
from fluss_server.tablet.response_shares import ResponseShares

logger = logging.getLogger(__name__)

CALL_DEADLINE_S = 30.0
"""For a response of a leader, beyond the time for which it may wait; then the connection is closed."""

MAX_FETCH_BUCKETS = 10_000
"""Buckets of one fetch; with more, the next fetch begins with the others."""

MAX_ALIGNED_BUCKETS = 200
"""Buckets of one LEADER_EPOCHS: each may have a long history."""

QUIET_ROUNDS = 4
"""After so many fetches without anything new the next one may wait longer."""

_FIRST_PAUSE_S = 0.02
"""After the first error of a bucket, which often only means that the leader does not know yet that it leads; twice as
long after each, up to the configured pause."""

_GATHER_S = 0.005  # replicas that come together are fetched together


class FollowerDisk(Protocol):
    """See :class:`~fluss_server.tablet.full_disk.FullDisk`."""

    @property
    def state(self) -> bool | None: ...

    def noticed(self) -> None: ...


@dataclass(frozen=True)
class Fetching:
    """What all fetches of a server have in common.

    Attributes:
        server_id: of this server.
        config: how to fetch.
        clock: for pauses.
        random: a number from 0 to 1, for their length.
        catch_up: limits what replicas that lack something get.
        incarnation: of this server; leaders are told.
        disk: of this server; leaders are told.
    """

    server_id: int
    config: FetcherConfig
    clock: Clock
    random: Callable[[], float]
    catch_up: CatchUpLimit
    incarnation: str | None = None
    disk: FollowerDisk | None = None

    def part_of_pause(self) -> float:
        """Which part of the longest pause to pause: between half and all of it."""
        return 0.5 + 0.5 * self.random()


class FetchGroup:
    """Fetches for some replicas until it is stopped. Lives on one event loop.

    Args:
        fetching: what all fetches have in common.
        connection: to the leader.
        shares: how many bytes a response may have.
        waits: how long a fetch may wait.

    Attributes:
        is_open: whether more replicas may come, which should not have to wait for long.
    """

    def __init__(
        self, fetching: Fetching, connection: LeaderConnection, shares: ResponseShares, waits: FetchWaits
    ) -> None:
        self._fetching = fetching
        self._connection = connection
        self._shares = shares
        self._waits = waits
        self._monotonic = fetching.clock.monotonic
        self._followers: dict[TableBucket, FollowerReplica] = {}  # in the order in which they are served next
        self._paused: dict[TableBucket, tuple[float, float]] = {}  # until when, and for how long
        self._changed = asyncio.Event()
        self._abandoned: asyncio.Future[memoryview] | None = None
        self._abandoned_long: asyncio.Future[memoryview] | None = None  # which may wait for a longer time
        self._wants_more = False  # the last response was a long one
        self._quiet_rounds = 0  # in a row
        # Buckets that fail together are fetched together again: their pauses begin with the response, with one length.
        self._responded_at = self._monotonic()
        self._part_of_pause = 1.0
        self.is_open = True
        self._task = asyncio.ensure_future(self._run())

    def __len__(self) -> int:
        return len(self._followers)

    @property
    def takes_in_at_once(self) -> bool:
        """Whether another replica is fetched at once: no fetch that was abandoned waits at the leader."""
        return _has_ended(self._abandoned)

    def add(self, follower: FollowerReplica) -> None:
        """Fetch for a replica, too, instead of another one of the same bucket."""
        self._followers[follower.bucket] = follower
        follower.on_failure = self._hurry
        self._paused.pop(follower.bucket, None)
        self._hurry()

    def _hurry(self) -> None:
        """Send another fetch soon."""
        self._quiet_rounds = 0
        self._changed.set()

    def remove(self, follower: FollowerReplica) -> bool:
        """Forget a replica; returns whether it was here."""
        if self._followers.get(follower.bucket) is not follower:
            return False
        del self._followers[follower.bucket]
        self._paused.pop(follower.bucket, None)
        return True

    def stop(self) -> asyncio.Task[None]:
        """Fetch no more; returns what ends then."""
        self._task.cancel()
        return self._task

    # ------------------------------------------------------------------ rounds

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            if not self._ready():
                await self._wait_for_somebody()
                continue
            client = await self._connection.client()
            try:
                await self._round(client)
                continue
            except FlussError as error:
                failure: FlussError | None = error
            except Exception:
                logger.exception("fetching from server %d failed", self._connection.leader)
                failure = None
            self._abandoned = self._abandoned_long = None
            await self._connection.failed(client, failure)

    async def _round(self, client: RpcClient) -> None:
        """Compare the logs of those that are new, then fetch once for everybody."""
        self._changed.clear()
        self._part_of_pause = self._fetching.part_of_pause()
        ready = self._ready()
        await self._align(client, [each for each in ready if not each.is_aligned or each.has_to_report])
        aligned = [
            follower for follower in ready if follower.is_aligned and follower.is_online and self._is_here(follower)
        ]
        if aligned:
            await self._fetch(client, aligned[:MAX_FETCH_BUCKETS])

    def _ready(self) -> list[FollowerReplica]:
        now = self._monotonic()
        return [
            follower
            for bucket, follower in self._followers.items()
            if _has_something_to_do(follower) and (bucket not in self._paused or self._paused[bucket][0] <= now)
        ]

    async def _wait_for_somebody(self) -> None:
        """Until a replica comes, or the pause of one is over."""
        paused = [until for bucket, (until, _) in self._paused.items() if _has_something_to_do(self._followers[bucket])]
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
                self._fetching.server_id,
                ((follower.bucket, follower.leader_epoch, not follower.is_online) for follower in part),
            )
            failed = {follower for follower in part if not follower.is_online}
            found = read_leader_epochs(await client.call(ApiKey.LEADER_EPOCHS, request, timeout_s=CALL_DEADLINE_S))
            self._responded_at = self._monotonic()
            await asyncio.gather(
                *(self._align_one(follower, found.get(follower.bucket), follower in failed) for follower in part)
            )

    async def _align_one(self, follower: FollowerReplica, leader_log: object, has_reported: bool) -> None:
        if not self._is_here(follower):
            return
        if isinstance(leader_log, FlussError) or leader_log is None:
            self._pause(follower, leader_log)
            return
        if has_reported:
            follower.reported()
            return
        try:
            await follower.align(leader_log)  # type: ignore[arg-type]
        except FlussError as error:
            self._refused(follower, error)

    async def _fetch(self, client: RpcClient, followers: Sequence[FollowerReplica]) -> None:
        max_bytes = self._shares.take(self, wants_more=self._wants_more)
        try:
            results = await self._fetched(client, followers, max_bytes)
            if results is None:
                return
            self._responded_at = self._monotonic()
            self._waits.give_back(self)
            requested = {follower.bucket: follower for follower in followers}
            self._wants_more = sum([len(result.records) for result in results]) > max_bytes // 2
            appends = [self._take_in(requested, result) for result in results if not self._is_noted(requested, result)]
            if appends:
                await asyncio.gather(*appends)
            self._quiet_rounds = 0 if appends or not self._is_quiet(followers) else self._quiet_rounds + 1
        finally:
            self._shares.give_back(self)
            self._waits.give_back(self)

    def _may_wait_longer(self) -> bool:
        if self.is_open or self._fetching.config.min_bytes > 1:  # fewer bytes have to wait only for the usual time
            return False
        return self._quiet_rounds >= QUIET_ROUNDS and _has_ended(self._abandoned_long)

    def _is_quiet(self, fetched: Sequence[FollowerReplica]) -> bool:
        """Whether all replicas have everything, and know that it is acknowledged."""
        return len(fetched) == len(self._followers) and all(
            follower.high_watermark.value == follower.log.end_offset for follower in fetched
        )

    async def _fetched(
        self, client: RpcClient, followers: Sequence[FollowerReplica], max_bytes: int
    ) -> list[FetchedBucket] | None:
        """What the leader has; None if another replica is to be fetched first."""
        fetching, config = self._fetching, self._fetching.config
        disk_full = None if fetching.disk is None else fetching.disk.state
        wait_ms = self._waits.take(
            self,
            self._hurry,
            is_quiet=self._may_wait_longer(),
            disk_full=disk_full,
        )
        request = follower_fetch_request(
            fetching.server_id,
            (FetchFrom(follower.bucket, follower.leader_epoch, follower.fetch_offset) for follower in followers),
            max_bytes=max_bytes,
            max_bucket_bytes=config.max_bucket_bytes,
            wait_ms=wait_ms,
            min_bytes=config.min_bytes,
            incarnation=fetching.incarnation,
            disk_full=disk_full,
        )
        deadline_s = CALL_DEADLINE_S + wait_ms / 1000
        call = asyncio.ensure_future(
            client.call_raw(ApiKey.FETCH_LOG, [request.SerializeToString()], timeout_s=deadline_s)
        )
        try:
            if await self._is_interrupted(call):
                if wait_ms > config.wait_ms:
                    self._abandoned_long = call
                else:
                    self._abandoned = call
                call.add_done_callback(_forget)
                return None
        except asyncio.CancelledError:
            call.cancel()
            raise
        return parse_fetch_log_response(call.result())

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

    def _is_noted(self, requested: dict[TableBucket, FollowerReplica], result: FetchedBucket) -> bool:
        """Take in the result of a bucket that has no records, as most of them; False if there is more to do."""
        if result.error_code != 0 or len(result.records):
            return False
        bucket = TableBucket(result.table_id, result.partition_id, result.bucket_id)
        follower = requested.get(bucket)
        if follower is not None and self._is_here(follower):
            follower.follow_leader(high_watermark=result.high_watermark, leader_start=result.log_start_offset)
            if self._paused:
                self._paused.pop(bucket, None)
        return True

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
        if not self._is_here(follower):
            return
        if follower.log.end_offset < result.high_watermark:
            pause_s = self._fetching.catch_up.pause_s(len(result.records))
            if pause_s:
                self._paused[bucket] = self._monotonic() + pause_s, 0.0
        self._followers[bucket] = self._followers.pop(bucket)  # the others come first the next time

    # ------------------------------------------------------------------ parts

    def _refused(self, follower: FollowerReplica, error: FlussError) -> None:
        """A log does not take in what is the leader's."""
        disk = self._fetching.disk
        if error.code is ErrorCode.DISK_WRITE_LOCKED and disk is not None:
            disk.noticed()
        self._pause(follower, error)

    def _pause(self, follower: FollowerReplica, error: FlussError | None) -> None:
        if self._is_here(follower):
            _, before = self._paused.get(follower.bucket, (0.0, 0.0))
            longest = min(2 * before or _FIRST_PAUSE_S, self._fetching.config.backoff_s)
            self._paused[follower.bucket] = self._responded_at + longest * self._part_of_pause, longest
            logger.debug("bucket %s is not fetched from server %d: %s", follower.bucket, self._connection.leader, error)


def _has_something_to_do(follower: FollowerReplica) -> bool:
    return follower.is_online or follower.has_to_report


def _has_ended(call: asyncio.Future[memoryview] | None) -> bool:
    return call is None or call.done()


def _forget(call: asyncio.Future[memoryview]) -> None:
    """Nobody wants the response of an abandoned fetch."""
    if not call.cancelled():
        call.exception()
