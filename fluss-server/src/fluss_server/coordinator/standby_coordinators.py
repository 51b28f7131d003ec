"""What the active coordinator knows of the others: whether one of them may have become the active one since.

Who becomes active needs the store, and so does a coordinator that wants to see it. One that has no contact to the store
relies on the others instead. A standby sends STAND_BY again and again, each time with the time of the last response, by
the clock of the active coordinator: it has read that response, so it was a standby then. Before it becomes active it
stops.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fluss_server.api.keys import ApiKey
from fluss_server.api.own_messages import message_class
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.service import RequestContext, ResponseBody, rpc
from fluss_server.runtime.clock import Clock

VOUCHED_S = 0.8
"""How long after a response to a standby it counts that the standby has read it."""

SETTLE_S = 0.3
"""How long a standby waits after the last response before it begins an epoch.

So leases are granted for at most ``VOUCHED_S - SETTLE_S`` after that, which is no longer than ``tenure.VALID_S``.
"""

OUTAGE_S = 10.0
"""How long a coordinator grants leases without contact to the store."""

MEMORY_S = 10.0
"""How long after a request that had a response a standby may count on the active coordinator to need its next one."""

CLOCK_MARGIN = 1.25
"""Two monotonic clocks differ in speed by less."""

FORGET_S = CLOCK_MARGIN * (MEMORY_S + OUTAGE_S)
"""How long a coordinator needs the requests of a standby that is silent.

A standby that becomes active :data:`MEMORY_S` after its last request has replaced this coordinator by then, so that it
has had no contact to the store for longer than it grants leases.
"""

MAX_STANDBYS = 64


class Enrollment(NamedTuple):
    """What a standby knows when it becomes active.

    Attributes:
        coordinator_id: of the active coordinator that counts on this one.
        epoch: of that coordinator.
        until: until when that coordinator surely counts on this one, by the monotonic clock of the standby.
    """

    coordinator_id: str
    epoch: int
    until: float


class StandbyCoordinators:
    """The standbys of one active coordinator; serves STAND_BY.

    Args:
        coordinator_id: of this coordinator.
        epoch: of this coordinator.
        clock: measures.
    """

    def __init__(self, coordinator_id: str, epoch: int, clock: Clock) -> None:
        self._id = coordinator_id
        self._epoch = epoch
        self._now = clock.monotonic
        self._heard_at: dict[str, float] = {}
        self._standby_at: dict[str, float] = {}

    def stand_by(self, standby_id: str, confirmed_us: int | None) -> int:
        """A standby lets others lead.

        Args:
            standby_id: its coordinator id.
            confirmed_us: what this returned for the last request of this epoch to which it has a response.

        Returns:
            now, by the monotonic clock of this coordinator, microseconds.

        Raises:
            FlussError: ``INVALID_CONFIG_EXCEPTION`` when there are too many.
        """
        now = self._now()
        self._forget(now)
        if standby_id not in self._heard_at and len(self._heard_at) >= MAX_STANDBYS:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"{MAX_STANDBYS} coordinators are standbys already",
                hint="a cluster needs two or three coordinators",
            )
        self._heard_at[standby_id] = now
        if confirmed_us is not None and confirmed_us / 1e6 <= now:
            self._standby_at[standby_id] = max(self._standby_at.get(standby_id, -math.inf), confirmed_us / 1e6)
        return int(now * 1e6)

    def all_stand_by(self) -> bool:
        """Whether each of them was a standby at most :data:`VOUCHED_S` ago; also when there are none."""
        now = self._now()
        self._forget(now)
        return all(now - self._standby_at.get(each, -math.inf) < VOUCHED_S for each in self._heard_at)

    def _forget(self, now: float) -> None:
        for each in [standby_id for standby_id, heard in self._heard_at.items() if now - heard > FORGET_S]:
            del self._heard_at[each]
            self._standby_at.pop(each, None)

    @rpc(ApiKey.STAND_BY)
    def stand_by_call(self, request: Any, context: RequestContext) -> ResponseBody:
        is_of_this_epoch = request.HasField("confirmed_us") and request.coordinator_epoch == self._epoch
        issued = self.stand_by(request.coordinator_id, request.confirmed_us if is_of_this_epoch else None)
        return message_class("StandByResponse")(  # type: ignore[no-any-return]
            coordinator_id=self._id, coordinator_epoch=self._epoch, issued_us=issued
        )
