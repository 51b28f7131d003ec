"""The lease of a tablet server: until when it may lead buckets that others could lead, too.

A coordinator lets others lead a server's buckets only when it has not heard of the server for longer than a lease
lasts. The server counts from when it *sent* the heartbeat, the coordinator from when it received it, so that the
server's lease ends first. Both use monotonic clocks; only their speeds must agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fluss_server.config import Configuration
from fluss_server.errors import ErrorCode, FlussError

HEARTBEAT_INTERVAL = "tablet-server.heartbeat.interval"
LEASE_DURATION = "tablet-server.lease.duration"
SERVER_TIMEOUT = "coordinator.tablet-server.timeout"


class LeaseTimes(NamedTuple):
    """How long a coordinator waits for whom, seconds.

    Attributes:
        lease_s: how long a server may lead after a heartbeat.
        timeout_s: how long after its last heartbeat a server counts as dead; more than the lease.
    """

    lease_s: float
    timeout_s: float


def lease_times(configuration: Configuration) -> LeaseTimes:
    """The times that the options set.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when the lease is not shorter than the time-out by a fifth.
    """
    times = LeaseTimes(configuration.get_int(LEASE_DURATION) / 1000, configuration.get_int(SERVER_TIMEOUT) / 1000)
    if times.lease_s > 0.8 * times.timeout_s:
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"{LEASE_DURATION} must be at most 80 % of {SERVER_TIMEOUT}, so that two servers never lead at a time",
        )
    return times


class Lease:
    """What a tablet server has been granted.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = -math.inf
        self._losses = 0

    def grant(self, sent_at: float, lease_ms: int) -> None:
        """A coordinator has granted a lease.

        Args:
            sent_at: when the request for it was sent.
            lease_ms: 0 = without end, from a coordinator in the same process.
        """
        self._losses = self.losses
        self._until = max(self._until, sent_at + lease_ms / 1000) if lease_ms else math.inf

    @property
    def losses(self) -> int:
        """How often it has run out."""
        return self._losses + (self._until > -math.inf and not self.held)

    @property
    def until(self) -> float:
        """When it runs out, by the monotonic clock; infinite without end."""
        return self._until

    @property
    def held(self) -> bool:
        """Whether it has not run out."""
        return self._monotonic() < self._until
