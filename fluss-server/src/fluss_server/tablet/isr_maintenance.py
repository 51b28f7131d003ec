"""Keeps the ISRs of the buckets that this server leads: who lags leaves, who has caught up comes back.

The coordinator decides, see ADJUST_ISR. One request is under way at a time; its outcome may stay unknown, and then it
is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Sequence

from fluss_server.cluster.gateways import CoordinatorGateway
from fluss_server.cluster.messages import AdjustedBucket, AdjustIsr, IsrChange
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.replica.replica import Replica
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MAX_CHANGES = 1_000
"""Buckets of one request."""

REQUEST_DEADLINE_S = 10.0
RETRY_PAUSE_S = 1.0
"""After a request without success; between half and all of it."""

_CLOCK_RESOLUTION_S = 0.001
"""A timer may fire so much before its time; waiting for the rest would not let any time go by."""


class IsrMaintenance:
    """One task over all leaders of a server. Lives on one event loop.

    Args:
        server_id: of this server.
        coordinator: takes in the changes.
        leaders: the replicas that lead.
        metadata: tells which servers are live, and the coordinator's epoch.
        max_lag_s: how long a member may lag.
        random: a number from 0 to 1, for pauses.
        monotonic: seconds.
        max_silence_s: how long a member that lacks something may send no fetch.

    Attributes:
        expansions: members added so far.
        shrinks: members removed so far.
        failures: requested changes that did not succeed.
    """

    def __init__(
        self,
        server_id: int,
        coordinator: CoordinatorGateway,
        leaders: Callable[[], Iterable[Replica]],
        metadata: MetadataCache,
        max_lag_s: float,
        random: Callable[[], float],
        monotonic: Callable[[], float],
        *,
        max_silence_s: float,
    ) -> None:
        self._server_id = server_id
        self._coordinator = coordinator
        self._leaders = leaders
        self._metadata = metadata
        self._max_lag_s = max_lag_s
        self._max_silence_s = max_silence_s
        self._interval_s = min(max_lag_s / 2, max_silence_s / 3)
        self._now = monotonic
        self._heard_at: dict[int, float] = {}
        self._looked_at = self._held_at = -math.inf
        self._random = random
        self._noticed: dict[Replica, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.expansions = 0
        self.shrinks = 0
        self.failures = 0

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Change nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def fetched(self, replica: Replica, server: int) -> None:
        """A follower has fetched, or failed. If it may join the ISR, or must leave it at once, that is requested."""
        followers = replica.followers
        assert followers is not None, "it has followers"
        high_watermark = replica.acknowledging_end
        if server in followers.isr.members:
            changes = (
                followers.offset_of(server) < high_watermark
                or followers.is_full(server)
                or followers.has_failed(server)
            )
        else:
            changes = server in self._metadata.servers and followers.may_join(server, high_watermark)
        if changes and not followers.isr.is_requested:
            self._noticed[replica] = None
            self._wake.set()

    def heard(self, server: int) -> None:
        """A server has sent a fetch as a follower."""
        self._heard_at[server] = self._now()

    def responding(self, replica: Replica, server: int) -> None:
        """A fetch of a follower that has waited for long gets its response."""
        if replica.followers is not None:
            replica.followers.responded(server, self._heard_at.get(server, -math.inf))

    @property
    def longest_wait_s(self) -> float:
        """How long a fetch may wait here without making its follower lag."""
        return self._max_lag_s / 3

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + self._interval_s
        checked_at = self._now()
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await wait_at_most(self._wake.wait(), max(0.0, check_at - loop.time()))
            self._wake.clear()
            now = self._now()
            replicas: Iterable[Replica] = self._noticed
            if loop.time() >= check_at - _CLOCK_RESOLUTION_S:
                if now - checked_at > self._interval_s + self._max_silence_s / 4:
                    self._held_at = now
                if self._must_look_at_all(now):
                    replicas = self._leaders()
                else:
                    replicas = dict.fromkeys([*self._noticed, *self._lacking()])
                check_at, checked_at = loop.time() + self._interval_s, now
            # Fetches may wait to be read when this server was held itself.
            silence_s = math.inf if now - self._held_at < self._max_silence_s else self._max_silence_s
            wanted = [
                (replica, isr)
                for replica in replicas
                if (isr := replica.wanted_isr(self._max_lag_s, self._metadata.servers, silence_s, self._heard_at))
                is not None
            ]
            self._noticed.clear()
            while wanted:
                part, wanted = wanted[:MAX_CHANGES], wanted[MAX_CHANGES:]
                try:
                    succeeded = await self._request(part)
                except Exception:
                    logger.exception("changes of ISRs failed")
                    succeeded = False
                if not succeeded:
                    await asyncio.sleep(RETRY_PAUSE_S * (0.5 + 0.5 * self._random()))
                    self._noticed.update((replica, None) for replica, _ in part)
                    self._wake.set()

    def _must_look_at_all(self, now: float) -> bool:
        """Whether some member may have to leave the ISR: one that lags, or one that does not fetch."""
        silent = [
            server
            for server in self._metadata.servers
            if server != self._server_id and now - self._heard_at.setdefault(server, now) > self._max_silence_s
        ]
        if silent:
            followers = [replica.followers for replica in self._leaders()]
            members = {server for each in followers if each is not None for server in each.isr.members}
            self._heard_at.update(
                (server, now) for server in silent if server not in members
            )  # it follows nothing here
            silent = [server for server in silent if server in members]
        if silent or now - self._looked_at >= self._max_lag_s / 2:
            self._looked_at = now
            return True
        return False

    def _lacking(self) -> list[Replica]:
        """Leaders of which some member of the ISR may lack something: it may have stopped to fetch for this bucket
        while it fetches for others."""
        if len(self._metadata.servers) < 2:
            return []
        return [replica for replica in self._leaders() if replica.high_watermark.value < replica.log.end_offset]

    async def _request(self, wanted: Sequence[tuple[Replica, tuple[int, ...]]]) -> bool:
        """Request some changes; returns False when one of them has failed."""
        sent = []
        for replica, members in wanted:
            followers = replica.followers
            assert followers is not None, "it has followers"
            isr = followers.isr
            sent.append(
                IsrChange(
                    replica.bucket,
                    followers.leader_epoch,
                    members,
                    self._metadata.coordinator_epoch,
                    isr.bucket_epoch,
                    tuple(server for server in replica.standby_replicas if server in members),
                    followers.incarnations_of(server for server in members if server not in isr.members),
                )
            )
            isr.requested(members)
        results: dict[object, AdjustedBucket] = {}
        try:
            request = AdjustIsr(self._server_id, tuple(sent))
            response = await wait_at_most(self._coordinator.adjust_isr(request), REQUEST_DEADLINE_S)
            results = {result.bucket: result for result in response.buckets}
        except (FlussError, asyncio.TimeoutError) as error:
            logger.warning("the coordinator does not take in changes of ISRs: %s", error or "no response")
        finally:
            outcomes = [
                self._take_in(replica, change, results.get(replica.bucket))
                for (replica, _), change in zip(wanted, sent, strict=True)
            ]
        self.failures += outcomes.count(False)
        return all(outcomes)

    def _take_in(self, replica: Replica, change: IsrChange, result: AdjustedBucket | None) -> bool:
        followers = replica.followers
        assert followers is not None, "it has followers"
        isr = followers.isr
        refused = result is not None and result.failure is not None
        isr.ended(refused=refused)
        if result is None:
            return False
        if result.failure is not None:
            logger.info("bucket %s keeps the ISR %s: %s", replica.bucket, isr.members, result.failure.message)
            if result.failure.code is ErrorCode.INELIGIBLE_REPLICA_EXCEPTION:
                followers.forget(set(change.isr).difference(isr.members), self._now())
            return False
        if result.leader_epoch != change.leader_epoch:
            return False
        before = set(isr.members)
        if isr.confirmed(result.isr, result.bucket_epoch):
            replica.standby_replicas = result.standby_replicas
            self.expansions += len(set(result.isr) - before)
            self.shrinks += len(before - set(result.isr))
            logger.info("the ISR of bucket %s is %s now", replica.bucket, list(result.isr))
            replica.advance()
        return True
