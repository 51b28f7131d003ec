"""What time makes happen to the placement of replicas: moves are late, servers are gone for too long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

from fluss_server.coordinator.cluster_state import ClusterState, Rebalance
from fluss_server.metadata.rebalance_records import RebalanceStatus
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.clock import Clock

REPLACEMENT = "replace-"
"""How the names of rebalances begin that replace servers."""


class MoveTimes(NamedTuple):
    """Times about the placement of replicas.

    Attributes:
        late_s: how long a bucket of a rebalance may take until it is looked at whether it can go on at all.
        replace_after_s: how long a server may be gone until its replicas are made elsewhere; None = they never are.
    """

    late_s: float = 120.0
    replace_after_s: float | None = None

    @property
    def interval_s(self) -> float:
        """How often it is looked at, the check interval."""
        shortest = self.late_s if self.replace_after_s is None else min(self.late_s, self.replace_after_s)
        return max(0.05, min(shortest / 4, 30.0))


class RebalanceWatch:
    """Looks at the state every now and then. Lives on one event loop.

    Args:
        clock: for how long something takes.
        times: see :class:`MoveTimes`.
        look: called with this object at every look.
    """

    def __init__(self, clock: Clock, times: MoveTimes, look: Callable[[RebalanceWatch], None]) -> None:
        self._clock = clock
        self._times = times
        self._look = look
        self._since: dict[TableBucket, float] = {}  # since when a bucket is under way
        self._idle_since: float | None = None  # since when nothing is under way although something waits
        self._gone: dict[int, float] = {}  # since when a server is gone
        # With which servers a replacement was tried last, and which rebalance was the last one then.
        self._tried: tuple[object, Rebalance | None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Look no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._times.interval_s)
            self._look(self)

    def late(self, state: ClusterState) -> tuple[TableBucket, ...]:
        """Buckets of the rebalance that take long; those that wait count together, from when nothing else moves."""
        now = self._clock.monotonic()
        self._since = {bucket: self._since.get(bucket, now) for bucket in state.moving}
        late = [bucket for bucket, since in self._since.items() if now - since > self._times.late_s]
        if state.moving or state.rebalance is None or state.rebalance.status.is_final:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > self._times.late_s:
            late += [bucket for bucket, move in state.moves.items() if move.status is RebalanceStatus.NOT_STARTED]
        return tuple(late)

    def to_replace(self, state: ClusterState) -> tuple[int, ...]:
        """Servers that are gone for so long that others get their replicas; none while a rebalance runs.

        With the same servers it is tried once, and again when others have moved replicas since, or when everything that
        could be replaced at a time was. What failed or was canceled is not repeated.
        """
        if self._times.replace_after_s is None:
            return ()
        now = self._clock.monotonic()
        assigned = {server for bucket in state.buckets.values() for server in bucket.replicas}
        self._gone = {server: self._gone.get(server, now) for server in assigned - state.servers.keys()}
        if state.rebalance is not None and not state.rebalance.status.is_final:
            return ()
        replaced = tuple(
            sorted(server for server, since in self._gone.items() if now - since > self._times.replace_after_s)
        )
        servers = frozenset(state.servers.values()), frozenset(state.tags), replaced
        if self._tried is not None and self._tried[0] == servers:
            last = state.rebalance
            if last is None or last == self._tried[1]:
                return ()
            if last.rebalance_id.startswith(REPLACEMENT) and last.status is not RebalanceStatus.COMPLETED:
                return ()
        self._tried = (servers, state.rebalance) if replaced else None
        return replaced
