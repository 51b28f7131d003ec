"""Tells the coordinator which buckets this server cannot lead any more, so that others do.

A leader whose storage fails refuses writes, and one whose rows cannot be opened refuses everything; the coordinator
does not see that by itself. A report is repeated until it is taken in, or the leadership has ended in another way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fluss_server.cluster.gateways import CoordinatorGateway
from fluss_server.cluster.messages import Failure, ResignedLeadership, ResignLeaderships
from fluss_server.errors import FlussError
from fluss_server.replica.replica import Replica
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MAX_BUCKETS = 500
"""Buckets of one request."""

MAX_MESSAGE_CHARACTERS = 500
REQUEST_DEADLINE_S = 10.0
FIRST_RETRY_S = 0.1
MAX_RETRY_S = 5.0
"""Between requests without success: twice as long after each, up to this; between half and all of it."""


class Resignations:
    """All reports of a server. Lives on one event loop.

    Args:
        server_id: of this server.
        coordinator: gets them.
        random: a number from 0 to 1, for pauses.
    """

    def __init__(self, server_id: int, coordinator: CoordinatorGateway, random: Callable[[], float]) -> None:
        self._server_id = server_id
        self._coordinator = coordinator
        self._random = random
        self._failed: dict[Replica, tuple[Failure, tuple[int, ...]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def failed(self, replica: Replica, error: FlussError, candidates: tuple[int, ...] = ()) -> None:
        """A leader went offline, or others can lead better. Nothing is said of a bucket that has no other replica.

        Args:
            replica: the leader.
            error: why.
            candidates: who can lead instead; empty = whoever the coordinator finds.
        """
        if replica.followers is None or self._closed or (candidates and replica in self._failed):
            return
        self._failed[replica] = Failure(error.code, error.message[:MAX_MESSAGE_CHARACTERS]), candidates
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Say nothing any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        delay_s = FIRST_RETRY_S
        try:
            while self._failed:
                part = {
                    replica: failure
                    for replica, failure in list(self._failed.items())[:MAX_BUCKETS]
                    if not replica.is_closed
                }
                self._failed = {replica: failure for replica, failure in self._failed.items() if not replica.is_closed}
                if not part or await self._request(part):
                    for replica in part:
                        self._failed.pop(replica, None)
                    delay_s = FIRST_RETRY_S
                    continue
                await asyncio.sleep(delay_s * (0.5 + 0.5 * self._random()))
                delay_s = min(2 * delay_s, MAX_RETRY_S)
        finally:
            self._task = None

    async def _request(self, part: dict[Replica, tuple[Failure, tuple[int, ...]]]) -> bool:
        """Report some buckets; returns False when the coordinator may not have heard of them."""
        buckets = []
        for replica, (failure, candidates) in part.items():
            assert replica.followers is not None, "the bucket has followers"
            epoch = replica.followers.leader_epoch
            buckets.append(ResignedLeadership(replica.bucket, epoch, failure, replica.is_serving, candidates))
        try:
            request = ResignLeaderships(self._server_id, tuple(buckets))
            await wait_at_most(self._coordinator.resign_leaderships(request), REQUEST_DEADLINE_S)
        except (FlussError, asyncio.TimeoutError) as error:
            logger.warning("the coordinator has not taken in what cannot be led: %s", error or "no response")
            return False
        return True
