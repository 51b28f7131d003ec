"""Control requests to one tablet server: in order, each with a deadline, repeated until there is a response."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fluss_server.cluster.gateways import TabletServerGateway
from fluss_server.cluster.messages import (
    BucketLeadership,
    BucketResult,
    ControlStamp,
    Failure,
    IdBounds,
    NotifyLeaderAndIsr,
    ReplicaStop,
    ServerNode,
    StopReplicas,
    UpdateMetadata,
)
from fluss_server.coordinator.events import (
    LeadershipConfirmed,
    LeadershipsConfirmed,
    MetadataChange,
    ReplicasStopped,
    SettingsChange,
)
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.waits import wait_at_most

if TYPE_CHECKING:
    from fluss_server.cluster.settings_update import UpdateSettings

logger = logging.getLogger(__name__)

REQUEST_DEADLINE_S = 30.0
FIRST_BACKOFF_S = 0.1
_GRACE = 1.1  # times the deadline: a gateway over a network keeps it, too, and then closes its connection
MAX_BACKOFF_S = 10.0
MAX_WAITING = 200_000
"""Buckets and changes of metadata that may wait for one server. A server that is further behind has to join again."""

MAX_PER_REQUEST = 10_000

Content = MetadataChange | BucketLeadership | ReplicaStop | SettingsChange
_ALONE = (MetadataChange, SettingsChange)


class _Item(NamedTuple):
    content: Content
    done: asyncio.Future[None] | None


class ControlChannel:
    """Sends to one tablet server what the coordinator instructs. Lives on one event loop.

    Requests of one kind that stand behind each other travel together. A request that fails as a whole is repeated, with
    a growing pause, until there is a response, or the channel is closed because its server is gone.

    Args:
        server_id: of the tablet server.
        gateway: reaches it.
        incarnation: of the tablet server.
        next_sequence: numbers the requests of this coordinator to all servers.
        epoch: coordinator epoch.
        coordinator: this coordinator, for the server's metadata.
        id_bounds: the ids in use, for a snapshot.
        confirmed: called with responses to NOTIFY_LEADER_AND_ISR and STOP_REPLICA.
        deposed: called when the server knows a newer coordinator.
        settings: what to say of a change of settings; None = there are no changes to be sent.
        overrun: called when the server is too far behind; nothing is sent to it any more.
        timeout_s: how long a request may take; a little longer if the gateway has the same limit.
        first_backoff_s: pause before the first repetition.

    Attributes:
        retries: requests that were sent again.
    """

    def __init__(
        self,
        server_id: int,
        gateway: TabletServerGateway,
        *,
        incarnation: str,
        next_sequence: Callable[[], int],
        epoch: int,
        coordinator: ServerNode,
        id_bounds: Callable[[], Awaitable[IdBounds]],
        confirmed: Callable[[LeadershipsConfirmed | ReplicasStopped], object],
        deposed: Callable[[], object],
        overrun: Callable[[], object],
        settings: Callable[[SettingsChange], UpdateSettings] | None = None,
        timeout_s: float | None = None,
        first_backoff_s: float | None = None,
    ) -> None:
        self.server_id = server_id
        self._gateway = gateway
        self._incarnation = incarnation
        self._next_sequence = next_sequence
        self._epoch = epoch
        self._coordinator = coordinator
        self._id_bounds = id_bounds
        self._confirmed = confirmed
        self._deposed = deposed
        self._settings = settings
        self._overrun = overrun
        self._timeout_s = REQUEST_DEADLINE_S if timeout_s is None else timeout_s
        self._first_backoff_s = FIRST_BACKOFF_S if first_backoff_s is None else first_backoff_s
        self._waiting: deque[_Item] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._in_flight = 0
        self.retries = 0

    def __len__(self) -> int:
        """Buckets and changes of metadata that have no response yet."""
        return len(self._waiting) + self._in_flight

    @property
    def idle(self) -> bool:
        """Whether there is a response to everything that was sent."""
        return self._task is None

    def send(self, content: Content, done: asyncio.Future[None] | None = None) -> None:
        """Queue something.

        Args:
            content: what to tell the server.
            done: completed when the server has responded, or when the content will never be sent.
        """
        if not self._closed and len(self._waiting) >= MAX_WAITING:
            logger.error("server %d is %d control requests behind and has to join again", self.server_id, MAX_WAITING)
            self._closed = True
            self._overrun()
        if self._closed:
            _complete(done)
            return
        self._waiting.append(_Item(content, done))
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    async def wait(self) -> None:
        """Return when the channel is idle."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Send nothing any more, and complete what waits."""
        self._closed = True
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            _complete(item.done)
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                items = self._next_request()
                self._in_flight = len(items)
                try:
                    await self._deliver(items)
                finally:
                    self._in_flight = 0
                    for item in items:
                        _complete(item.done)
        finally:
            self._task = None

    def _next_request(self) -> list[_Item]:
        """The next items of one kind; metadata one change at a time, since a later one may undo an earlier one."""
        first = self._waiting.popleft()
        if isinstance(first.content, _ALONE):
            return [first]
        items = {first.content.bucket: first}
        while self._waiting and len(items) < MAX_PER_REQUEST:
            item = self._waiting[0]
            if isinstance(item.content, _ALONE) or type(item.content) is not type(first.content):
                break
            superseded = items.get(item.content.bucket)
            if superseded is not None:
                _complete(superseded.done)
            items[item.content.bucket] = self._waiting.popleft()
        return list(items.values())

    async def _deliver(self, items: Sequence[_Item]) -> None:
        stamp = ControlStamp(self._incarnation, self._next_sequence())
        backoff_s = self._first_backoff_s
        request = partial(self._request, items, stamp)
        if isinstance(change := items[0].content, SettingsChange):
            assert self._settings is not None, "changes come from there"
            # Repetitions are equal: one that is late must not undo what is newer.
            request = partial(self._gateway.update_settings, self._settings(change)._replace(stamp=stamp))
        while True:
            try:
                await wait_at_most(request(), self._timeout_s * _GRACE)
                return
            except (FlussError, asyncio.TimeoutError) as error:
                if isinstance(error, FlussError) and error.code is ErrorCode.INVALID_COORDINATOR_EXCEPTION:
                    logger.error("server %d refuses this coordinator: %s", self.server_id, error)
                    self._deposed()
                    return
                logger.warning(
                    "a control request to server %d failed and is repeated: %s", self.server_id, error or "no response"
                )
            except Exception:
                logger.exception("a control request to server %d failed and is repeated", self.server_id)
            self.retries += 1
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _request(self, items: Sequence[_Item], stamp: ControlStamp) -> None:
        contents = [item.content for item in items]
        first = contents[0]
        if isinstance(first, MetadataChange):
            await self._gateway.update_metadata(await self._update(first, stamp))
        elif isinstance(first, BucketLeadership):
            leaderships = tuple(content for content in contents if isinstance(content, BucketLeadership))
            response = await self._gateway.notify_leader_and_isr(NotifyLeaderAndIsr(self._epoch, leaderships, stamp))
            self._confirmed(LeadershipsConfirmed(self.server_id, _outcomes(leaderships, response.buckets)))
        else:
            stops = tuple(content for content in contents if isinstance(content, ReplicaStop))
            stopped = await self._gateway.stop_replicas(StopReplicas(self._epoch, stops, stamp))
            for result in stopped.replicas:
                if result.failure is not None:  # what is left is removed when the server starts the next time
                    logger.error(
                        "server %d could not remove bucket %s: %s",
                        self.server_id,
                        result.bucket,
                        result.failure.message,
                    )
            self._confirmed(ReplicasStopped(self.server_id, _stopped(stopped.replicas)))

    async def _update(self, change: MetadataChange, stamp: ControlStamp) -> UpdateMetadata:
        return UpdateMetadata(
            self._epoch,
            self._coordinator,
            change.servers,
            change.tables,
            change.partitions,
            change.dropped_tables,
            change.dropped_partitions,
            await self._id_bounds() if change.snapshot else None,
            stamp,
        )


def _outcomes(
    leaderships: Sequence[BucketLeadership], results: Sequence[BucketResult]
) -> tuple[LeadershipConfirmed, ...]:
    """What became of each leadership; one that the server does not mention has failed."""
    by_bucket = {result.bucket: result for result in results}
    outcomes = []
    for leadership in leaderships:
        result = by_bucket.get(leadership.bucket)
        if result is None:
            failure: Failure | None = Failure(
                ErrorCode.UNKNOWN_SERVER_ERROR, f"the server says nothing about bucket {leadership.bucket}"
            )
        else:
            failure = result.failure
        outcomes.append(LeadershipConfirmed(leadership, failure))
    return tuple(outcomes)


def _stopped(results: Sequence[BucketResult]) -> tuple[TableBucket, ...]:
    """Buckets that a server does not serve any more; files that it could not remove change nothing about that."""
    return tuple(
        result.bucket
        for result in results
        if result.failure is None or result.failure.code is not ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION
    )


def _complete(done: asyncio.Future[None] | None) -> None:
    if done is not None and not done.done():
        done.set_result(None)
