"""How long another leader waits for the one before it, which may still serve clients."""

from __future__ import annotations

import logging

from fluss_server.coordinator.cluster_state import ClusterState
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)

LIMIT_S = 20.0
"""A server that lives, and does not confirm for so long that it leads a bucket no more, gets no lease. Its response may
have to wait for thousands of replicas that it opens."""


class HandoverLimit:
    """Ends the leases of servers that do not confirm. Lives on one event loop.

    A former leader keeps its lease with heartbeats, although control requests do not reach it, or it cannot end its
    role. Without other leases it counts as dead soon, surely serves nothing then, and its buckets have leaders again.

    Args:
        clock: measures.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._looked_at = 0.0
        self._since: dict[tuple[int, TableBucket], float] = {}

    def check(self, server_id: int, state: ClusterState) -> None:
        """Called with every heartbeat.

        Raises:
            FlussError: ``REQUEST_TIME_OUT``: it must not count.
        """
        now = self._now()
        if now - self._looked_at > LIMIT_S / 4:
            self._since.clear()  # this coordinator was held, and so were responses
        self._looked_at = now
        if not state.handovers and not self._since:
            return
        waits = [(server, bucket) for bucket in state.handovers for server in state.buckets[bucket].former]
        self._since = {wait: self._since.get(wait, now) for wait in waits}
        late = [
            bucket for (server, bucket), since in self._since.items() if server == server_id and now - since > LIMIT_S
        ]
        if late:
            logger.warning("tablet server %d does not confirm that it leads %s no more", server_id, late[0])
            raise FlussError(
                ErrorCode.REQUEST_TIME_OUT,
                f"tablet server {server_id} gets no lease: it has not confirmed for {LIMIT_S:.0f} s that it leads"
                f" bucket {late[0]} no more",
            )
