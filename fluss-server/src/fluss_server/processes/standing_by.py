"""Tells the active coordinator, again and again, that this one is a standby.

The active one may count on that when it cannot see the store: see :mod:`fluss_server.coordinator.store_outage`.
"""

from __future__ import annotations

import asyncio
import logging
import math

from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.cluster.peer import PeerConnection
from fluss_server.coordinator.standby_coordinators import MEMORY_S, SETTLE_S, Enrollment
from fluss_server.errors import FlussError
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

INTERVAL_S = 0.15
PAUSE_AFTER_FAILURE_S = 0.5
CALL_S = 1.0


class StandingBy:
    """:meth:`start` it, :meth:`pause` before an epoch begins, :meth:`resume` after that, :meth:`close` it.

    Args:
        connection: to the active coordinator; closed by the caller.
        coordinator_id: of this process.
        clock: measures.
    """

    def __init__(self, connection: PeerConnection, coordinator_id: str, clock: Clock) -> None:
        self._connection = connection
        self._id = coordinator_id
        self._now = clock.monotonic
        self._enrollment: Enrollment | None = None
        self._issued_us = 0
        self._received_at = -math.inf
        self._paused = False
        self._pauses = 0
        self._oldest_epoch = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell it."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Tell it no more."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def pause(self) -> Enrollment | None:
        """Be no standby from now on; returns what another coordinator knows of this one, None if nothing."""
        self._paused = True
        self._pauses += 1
        while (remaining_s := self._received_at + SETTLE_S - self._now()) > 0:  # noqa: ASYNC110 - a timer ends early
            await asyncio.sleep(remaining_s)
        return self._enrollment

    def resume(self, attempted_epoch: int | None) -> None:
        """Be a standby again, of coordinators that this one has not replaced.

        Args:
            attempted_epoch: that this process has begun, or tried to begin; None = it did not come to that.
        """
        self._oldest_epoch = max(self._oldest_epoch, attempted_epoch or 0)
        self._paused = False
        self._enrollment = None

    async def _run(self) -> None:
        while True:
            pause_s = INTERVAL_S
            if not self._paused:
                try:
                    await self._tell()
                except FlussError as error:
                    logger.debug("the active coordinator does not hear this standby: %s", error)
                    pause_s = PAUSE_AFTER_FAILURE_S
                except Exception:
                    logger.exception(
                        "a call of the active coordinator failed in an unexpected way; the next one follows"
                    )
                    pause_s = PAUSE_AFTER_FAILURE_S
            await asyncio.sleep(pause_s)

    async def _tell(self) -> None:
        request = message_class("StandByRequest")(coordinator_id=self._id)
        if self._enrollment is not None:
            request.coordinator_epoch = self._enrollment.epoch
            request.confirmed_us = self._issued_us
        sent_at, pauses = self._now(), self._pauses
        response = await self._connection.call(ApiKey.STAND_BY, request, timeout_s=CALL_S)
        if pauses != self._pauses:
            return  # it was active since
        if response.coordinator_epoch < self._oldest_epoch:
            self._enrollment = None
            return  # this process has replaced that coordinator
        self._enrollment = Enrollment(response.coordinator_id, response.coordinator_epoch, sent_at + MEMORY_S)
        self._issued_us, self._received_at = response.issued_us, self._now()
