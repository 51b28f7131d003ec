"""Keeps a tablet server a member of its cluster: it registers, sends heartbeats and holds the lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fluss_server.cluster.gateways import CoordinatorGateway, TabletServerGateway
from fluss_server.cluster.lease import Lease
from fluss_server.cluster.messages import ControlledShutdown, DiskSpace, Heartbeat, Registered, RegisterServer
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.waits import wait_at_most

_T = TypeVar("_T")

logger = logging.getLogger(__name__)

REQUEST_DEADLINE_S = 5.0
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 1.0
_REPORT_INTERVAL_S = 10.0

_COORDINATOR_IS_AWAY = frozenset(
    {
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.REQUEST_TIME_OUT,
        ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
        ErrorCode.STORAGE_EXCEPTION,  # it is there, and ZooKeeper is away
    }
)


class Membership:
    """Create it, :meth:`join`, :meth:`leave`, :meth:`close`, all on one event loop.

    Args:
        registration: who this server is.
        coordinator: finds the active coordinator by itself.
        server: takes control requests.
        clock: measures the lease.
        interval_s: between heartbeats.
        replaced: called when another process has taken the server id; this one must stop.
        rejoining: called before every attempt to register, with the lease from before: the coordinator will repeat what
            the server leads.
        registered: called when a coordinator has heard how the process before this one ended.
        heard: called with each response of the coordinator, and when its request was sent.
        disk: what heartbeats say of the disk.

    Attributes:
        lease: what it holds.
        registered: whether the coordinator has this server as a member, as far as it knows.
    """

    def __init__(
        self,
        registration: RegisterServer,
        coordinator: CoordinatorGateway,
        server: TabletServerGateway,
        clock: Clock,
        *,
        interval_s: float,
        replaced: Callable[[FlussError], object],
        rejoining: Callable[[], object] = lambda: None,
        registered: Callable[[], object] = lambda: None,
        heard: Callable[[float, Registered], object] = lambda sent_at, registered: None,
        disk: Callable[[], DiskSpace | None] = lambda: None,
    ) -> None:
        self.lease = Lease(clock.monotonic)
        self._registration = registration
        self._coordinator = coordinator
        self._server = server
        self._now = clock.monotonic
        self._interval_s = interval_s
        self._replaced = replaced
        self._rejoining = rejoining
        self.registered = False
        self._on_registered = registered
        self._on_heard = heard
        self._disk = disk
        self._task: asyncio.Task[None] | None = None
        self._coordinator_changed = asyncio.Event()
        self._reported_at: float | None = None
        self._coordinator_epoch = -1

    async def join(self, *, clean: bool = False, durable: bool = False) -> None:
        """Register; returns when the coordinator has taken the server in. Heartbeats follow if it grants a lease.

        It waits for a coordinator as long as there is none.

        Args:
            clean: see ``RegisterServer``.
            durable: see ``RegisterServer``.

        Raises:
            FlussError: why the coordinator refuses the server.
        """
        self._registration = self._registration._replace(clean=clean, durable=durable, is_new=True)
        registered = await self._register()
        self._on_registered()
        if registered.lease_ms:
            self._task = asyncio.ensure_future(self._keep_alive())

    async def leave(self) -> tuple[TableBucket, ...] | None:
        """Request that the coordinator moves leaderships to other servers.

        Returns:
            what this server still leads, because nobody else can; None when the coordinator does not respond.
        """
        registration = self._registration
        request = ControlledShutdown(registration.server.server_id, incarnation=registration.incarnation)
        try:
            left = await self._ask(self._coordinator.controlled_shutdown(request), REQUEST_DEADLINE_S)
        except FlussError as error:
            logger.warning("server %d leaves without the coordinator: %s", request.server_id, error)
            return None
        logger.debug("server %d stops as leader of %d buckets", request.server_id, len(left.remaining))
        return left.remaining

    def coordinator_changed(self) -> None:
        """Another coordinator is the active one: it is sent a heartbeat now, because the lease may soon end."""
        self._coordinator_changed.set()

    async def close(self) -> None:
        """Send no heartbeats any more."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _register(self) -> Registered:
        self.registered = False
        backoff_s = FIRST_BACKOFF_S
        while True:
            self._rejoining()
            sent_at = self._now()
            try:
                registered = await self._ask(
                    self._coordinator.register(self._registration, self._server), REQUEST_DEADLINE_S
                )
                self._heard(sent_at, registered)
            except FlussError as error:
                if error.code not in _COORDINATOR_IS_AWAY:
                    raise
                self._report(error)
            else:
                self.registered = True
                # What this process has in its logs stays complete while it lives.
                self._registration = self._registration._replace(clean=True, is_new=False)
                return registered
            await self._pause(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _pause(self, seconds: float) -> None:
        """Until the time is over, or another coordinator is the active one."""
        with contextlib.suppress(asyncio.TimeoutError):
            await wait_at_most(self._coordinator_changed.wait(), seconds)
            self._coordinator_changed.clear()

    async def _keep_alive(self) -> None:
        """Send heartbeats until the coordinator refuses this server; nothing else may end this."""
        pause_s = self._interval_s
        while True:
            await self._pause(pause_s)
            pause_s = self._interval_s
            try:
                await self._beat()
            except FlussError as refusal:
                self._replaced(refusal)
                return
            except Exception:
                logger.exception("a heartbeat failed in an unexpected way; the next one follows")
                pause_s = MAX_BACKOFF_S

    async def _beat(self) -> None:
        """One heartbeat, or another registration; raises why the coordinator refuses this server."""
        heartbeat = Heartbeat(self._registration.server.server_id, self._registration.incarnation, self._disk())
        sent_at = self._now()
        try:
            self._heard(sent_at, await self._ask(self._coordinator.heartbeat(heartbeat), 2 * self._interval_s))
        except FlussError as error:
            if error.code is ErrorCode.SERVER_NOT_EXIST_EXCEPTION:
                logger.warning("the coordinator does not know this server any more: registering again")
                await self._register()
            elif error.code is ErrorCode.INVALID_CONFIG_EXCEPTION:
                raise
            else:
                self._report(error)

    async def _ask(self, call: Coroutine[Any, Any, _T], deadline_s: float) -> _T:
        try:
            return await wait_at_most(call, deadline_s)
        except asyncio.TimeoutError:
            raise FlussError(ErrorCode.REQUEST_TIME_OUT, f"the coordinator did not respond in {deadline_s} s") from None

    def _heard(self, sent_at: float, registered: Registered) -> None:
        if registered.coordinator_epoch < self._coordinator_epoch:
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
                f"the coordinator of epoch {registered.coordinator_epoch} was replaced by that of epoch"
                f" {self._coordinator_epoch}",
            )
        self._coordinator_epoch = registered.coordinator_epoch
        self.lease.grant(sent_at, registered.lease_ms)
        self._on_heard(sent_at, registered)
        if self._reported_at is not None:
            self._reported_at = None
            logger.warning("the coordinator responds again")

    def _report(self, error: FlussError) -> None:
        """Say that the coordinator is away, now and then."""
        now = self._now()
        if self._reported_at is None or now - self._reported_at > _REPORT_INTERVAL_S:
            self._reported_at = now
            logger.warning("the coordinator does not respond, trying on: %s", error)
