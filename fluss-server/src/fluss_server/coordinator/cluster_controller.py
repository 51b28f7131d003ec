"""Lets the state machine work: tablet servers register here, and hear of what it decides."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from fluss_server.cluster.messages import (
    AdjustIsr,
    AdjustIsrResponse,
    ControlledShutdown,
    ControlledShutdownResponse,
    DiskSpace,
    Failure,
    Heartbeat,
    IdBounds,
    Registered,
    RegisterServer,
    ReservedIds,
    ReserveIds,
    ReserveWriterIds,
    ResignLeaderships,
    ServerNode,
)
from fluss_server.coordinator.bounded_waits import BoundedWaits
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_service import ReplicaCounts
from fluss_server.coordinator.cluster_state import Draft
from fluss_server.coordinator.control_channel import Content, ControlChannel
from fluss_server.coordinator.event_queue import EventQueue, PlannedWrites
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    FailedBucketsRetried,
    Instruction,
    IsrAdjustmentRequested,
    LeadershipsResigned,
    MovesAreLate,
    RebalanceCanceled,
    RebalanceRequested,
    RetryLater,
    ServerJoined,
    ServerLeft,
    ServersTagged,
    ServersUntagged,
    SettingsChange,
    ShutdownRequested,
    TableReady,
    Tell,
)
from fluss_server.coordinator.fencing import FencedStore, commit_steps
from fluss_server.coordinator.handover_limit import HandoverLimit
from fluss_server.coordinator.presence import Presence
from fluss_server.coordinator.replicated_tables import ReplicatedTables
from fluss_server.coordinator.state_loader import load_state
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.rebalance_records import REBALANCE, SERVER_TAGS, BucketMove
from fluss_server.metadata.store import in_batches, missing_parents
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.workers import Workers

if TYPE_CHECKING:
    from fluss_server.cluster.gateways import TabletServerGateway
    from fluss_server.cluster.lease import LeaseTimes
    from fluss_server.cluster.settings_update import UpdateSettings
    from fluss_server.coordinator.rebalance_plan import RebalanceGoal
    from fluss_server.coordinator.rebalance_watch import MoveTimes, RebalanceWatch
    from fluss_server.coordinator.server_monitor import ServerMonitor
    from fluss_server.coordinator.settings_distribution import SettingsDistribution
    from fluss_server.coordinator.tenure import Tenure

logger = logging.getLogger(__name__)

DELIVERY_DEADLINE_S = 30.0
"""How long a change waits until all servers know of it."""

RETRY_DELAY_S = 60.0
"""When servers that could not lead or follow some bucket may try again."""


class ClusterController:
    """The coordinator's side of all traffic with tablet servers; a ``CoordinatorGateway``.

    Args:
        store: fenced for this coordinator.
        manager: loaded.
        node: this coordinator.
        randrange: a random number below a bound, for where the assignment of a table begins.
        clock: measures how long servers are silent.
        lease: of tablet servers; None = they are in this process and need none.
        control_timeout_s: how long a control request may take; None = 30 s.
        control_backoff_s: pause before it is sent again; None = 0.1 s.
        metadata_complete: False when the store was cut or repaired; see ``IdBounds``.
        moves_per_server: see ``ClusterState``.
        move_times: when moves of a rebalance are late, and servers are to be replaced; None = never.
        standby_replicas: see ``ClusterState``.
        workers: for plans of rebalances; None = they are made on the loop.

    Attributes:
        tables: makes and removes tables and partitions.
        versions: of the tablet servers, as they have registered.
        disks: of the tablet servers, as their last heartbeats said.
        lost_servers: tablet servers that were taken for dead.
    """

    def __init__(
        self,
        store: FencedStore,
        manager: MetadataManager,
        node: ServerNode,
        randrange: Callable[[int], int],
        *,
        clock: Clock,
        lease: LeaseTimes | None = None,
        control_timeout_s: float | None = None,
        control_backoff_s: float | None = None,
        metadata_complete: bool = True,
        moves_per_server: int = 2,
        move_times: MoveTimes | None = None,
        standby_replicas: int = 1,
        workers: Workers | None = None,
    ) -> None:
        self._planner = None if workers is None else workers.pool("rebalance-plan", 1)
        self._standby_replicas = standby_replicas
        self._store = store
        self._manager = manager
        self._node = node
        self._metadata_complete = metadata_complete
        self._queue: EventQueue | None = None
        self._channels: dict[int, ControlChannel] = {}
        self._control_timeout_s = control_timeout_s
        self._control_backoff_s = control_backoff_s
        self._sequence = count(1)  # of control requests
        self._closing: set[asyncio.Future[None]] = set()
        self._delivered: dict[int, asyncio.Future[None]] = {}  # of the newest change for each server
        self._retry: asyncio.TimerHandle | None = None
        self._lease_ms = 0 if lease is None else round(lease.lease_s * 1000)
        self._lease = lease
        self._monitor: ServerMonitor | None = None
        self._tenure: Tenure | None = None
        if lease is not None:  # a coordinator with the only server in its own process loads neither
            from fluss_server.coordinator.server_monitor import ServerMonitor
            from fluss_server.coordinator.tenure import Tenure

            self._monitor = ServerMonitor(clock, lease.timeout_s, self._silent)
            self._tenure = Tenure(store, clock)
        self._grace: asyncio.TimerHandle | None = None
        self._present = Presence()
        self._waits = BoundedWaits()
        self._handovers = HandoverLimit(clock)
        self.tables = ReplicatedTables(
            manager, lambda: self.queue, self._present, self.delivery, self._waits, randrange
        )
        self.versions: dict[int, str] = {}
        self.disks: dict[int, DiskSpace] = {}
        self.lost_servers = 0
        self._retries_of_closed = 0
        self._moves_per_server = moves_per_server
        self._rebalance_watch: RebalanceWatch | None = None
        if move_times is not None:
            from fluss_server.coordinator.rebalance_watch import RebalanceWatch

            self._rebalance_watch = RebalanceWatch(clock, move_times, self._look_at_moves)
        self._settings: SettingsDistribution | None = None
        self._checks_permissions = False

    async def load(self) -> None:
        """Read the state of the cluster; see :func:`load_state`."""
        state = await load_state(
            self._store,
            self._manager,
            self._store.epoch,
            self._node,
            standby_replicas=self._standby_replicas,
            moves_per_server=self._moves_per_server,
            has_leases=self._monitor is not None,
        )
        self._queue = EventQueue(self._store, state, self._carry_out)
        if self._monitor is None:
            self._present.servers_are_back()  # the only server is in this process
        else:
            self._note_presence()

    def distribute_settings(self, settings: SettingsDistribution, *, checks_permissions: bool) -> None:
        """Tell tablet servers, which register after this, what the settings of the cluster are.

        Args:
            settings: what they are.
            checks_permissions: whether clients need permissions; a server that does not check them is refused then.
        """
        self._settings = settings
        self._checks_permissions = checks_permissions

    async def tell_settings(self, change: SettingsChange) -> None:
        """Send a change of settings to every server; ``REQUEST_TIME_OUT`` when one has not confirmed it.

        A new coordinator waits for servers that have not registered yet, for as long as they may hold leases;
        ``NOT_COORDINATOR_LEADER_EXCEPTION`` when it stops meanwhile.
        """
        await self._present.wait()
        for server_id in list(self._channels):
            self._send(server_id, change)
        await self.delivery("the change of settings")

    @property
    def queue(self) -> EventQueue:
        """The events, and the state that they lead to."""
        assert self._queue is not None, "load() comes first"
        return self._queue

    async def hold_office(self) -> None:
        """Begin to grant leases; ``NOT_COORDINATOR_LEADER_EXCEPTION`` when this coordinator was replaced."""
        if self._tenure is not None:
            await self._tenure.start()

    def watch_servers(self) -> None:
        """Begin to notice servers that are silent, or do not come back after a change of the coordinator.

        Until then their leases may last, whatever this coordinator knows, so nobody else leads their buckets.
        """
        if self._rebalance_watch is not None:
            self._rebalance_watch.start()
        if self._monitor is not None and self._lease is not None:
            from fluss_server.coordinator.tenure import VALID_S

            self._monitor.start()
            loop = asyncio.get_running_loop()
            longest_s = max(self._lease.timeout_s, self._lease.lease_s + VALID_S)  # from when the one before was fenced
            self._grace = loop.call_later(longest_s, self._grace_is_over)

    def _grace_is_over(self) -> None:
        self._present.servers_are_back()
        self.queue.submit(AbsentServersLeft())

    def _note_presence(self) -> None:
        """Nobody has to wait for servers that are all here."""
        assigned = {server_id for bucket in self.queue.state.buckets.values() for server_id in bucket.replicas}
        if assigned <= self.queue.state.servers.keys():
            self._present.servers_are_back()

    def _silent(self, server_id: int) -> None:
        self.server_lost(server_id, None)

    def heard_at(self, server_id: int) -> float:
        """When a server sent its last heartbeat, by the monotonic clock; long ago if never."""
        return -math.inf if self._monitor is None else self._monitor.heard_at(server_id)

    def server_lost(self, server_id: int, incarnation: str | None) -> None:
        """A server is dead; its buckets get other leaders.

        Args:
            incarnation: only if this one is the member; None = whichever is.
        """
        known = self.queue.state.servers.get(server_id)
        if known is None or incarnation not in (None, known.incarnation):
            return
        self.lost_servers += 1
        channel = self._channels.pop(server_id, None)
        if channel is not None:  # nobody waits any longer for what it has not confirmed
            self._retries_of_closed += channel.retries
            closing = asyncio.ensure_future(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        if self._monitor is not None:
            self._monitor.forget(server_id)
        self.queue.submit(ServerLeft(server_id, known.incarnation))

    def end_waits(self) -> None:
        """Before :meth:`close`, and before what uses this is closed: no change waits for tablet servers that may never
        register, nor any longer than :data:`END_GRACE_S` for responses; those that wait end with
        ``NOT_COORDINATOR_LEADER_EXCEPTION``.
        """
        self._present.close()
        self._waits.end()

    async def close(self) -> None:
        """Handle the events that wait, and say nothing any more to any server."""
        self.end_waits()
        for timer in (self._retry, self._grace):
            if timer is not None:
                timer.cancel()
        if self._monitor is not None:
            self._monitor.close()
        if self._rebalance_watch is not None:
            await self._rebalance_watch.close()
        if self._tenure is not None:
            await self._tenure.close()
        if self._queue is not None:
            await self._queue.close()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()
        if self._closing:
            await asyncio.wait(tuple(self._closing))
        if self._planner is not None:
            self._planner.close()

    async def settled(self) -> None:
        """Return when no event waits and every server has responded to everything."""
        while len(self.queue) or any(not channel.idle for channel in self._channels.values()):
            await self.queue.wait()
            for channel in tuple(self._channels.values()):
                await channel.wait()

    def replica_counts(self) -> ReplicaCounts:
        """How the buckets are."""
        state = self.queue.state
        counts = [0, 0, 0, 0]
        for bucket in state.buckets.values():
            counts[0] += len(bucket.replicas)
            counts[1] += 0 if bucket.record is None else len(set(bucket.record.isr) & state.servers.keys())
            counts[2] += 1
            counts[3] += bucket.active and bucket.leader in state.servers
        return ReplicaCounts(*counts)

    @property
    def waiting_control_items(self) -> int:
        """Buckets and changes of metadata that tablet servers have not responded to."""
        return sum(len(channel) for channel in self._channels.values())

    @property
    def control_retries(self) -> int:
        """Control requests that were sent again."""
        return self._retries_of_closed + sum(channel.retries for channel in self._channels.values())

    def first_failure(self) -> Failure | None:
        """Why some bucket has no leader although its servers are there, or None."""
        return next(iter(self.queue.state.failures.values()), None)

    # ------------------------------------------------------------------ CoordinatorGateway

    async def register(self, request: RegisterServer, server: TabletServerGateway) -> Registered:
        server_id = request.server.server_id
        if self._checks_permissions and not request.checks_permissions:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"tablet server {server_id} does not check permissions, but the cluster does",
                hint="set authorizer.enabled and super.users to the same values on all servers",
            )
        self.versions[server_id] = request.fluss_version
        self.disks.pop(server_id, None)  # another process may have another disk
        known = self.queue.state.servers.get(server_id)
        if known is not None and known.incarnation == request.incarnation and server_id in self._channels:
            self._send_all_settings(server_id)
            await self.queue.submit(_joined(request))
            return self._heard(server_id)  # the response to its first request was lost
        before = self._channels.pop(server_id, None)
        if before is not None:
            self._retries_of_closed += before.retries
            await before.close()
            await self.queue.submit(ServerLeft(server_id))
        self._channels[server_id] = ControlChannel(
            server_id,
            server,
            incarnation=request.incarnation,
            next_sequence=self._sequence.__next__,
            epoch=self._store.epoch,
            coordinator=self._node,
            id_bounds=self._id_bounds,
            confirmed=self.queue.submit,
            deposed=self._deposed,
            settings=self._settings_content,
            overrun=lambda: self.server_lost(server_id, request.incarnation),
            timeout_s=self._control_timeout_s,
            first_backoff_s=self._control_backoff_s,
        )
        self._send_all_settings(server_id)  # before the metadata: with these it begins to serve
        await self.queue.submit(_joined(request))
        if not self._present:
            self._note_presence()
        return self._heard(server_id)

    async def heartbeat(self, request: Heartbeat) -> Registered:
        server = self.queue.state.servers.get(request.server_id)
        if server is None:
            raise _no_server(request.server_id)
        if server.incarnation != request.incarnation:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION,
                f"another process has registered as tablet server {request.server_id}",
                hint="give every tablet server a tablet-server.id of its own",
            )
        if request.disk is not None:
            self.disks[request.server_id] = request.disk
        self._handovers.check(request.server_id, self.queue.state)
        return self._heard(request.server_id)

    def _heard(self, server_id: int) -> Registered:
        if self._tenure is not None and not self._tenure.certain:
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
                "this coordinator cannot tell whether it is still the active one, so it grants no leases",
            )
        if self._monitor is not None:
            self._monitor.heard(server_id)
        version = None if self._settings is None else self._settings.version
        return Registered(self._store.epoch, self._lease_ms, version)

    def _send_all_settings(self, server_id: int) -> None:
        if self._settings is not None:
            self._send(server_id, self._settings.everything())

    def _settings_content(self, change: SettingsChange) -> UpdateSettings:
        assert self._settings is not None, "changes come from there"
        return self._settings.content(change, self._store.epoch)

    async def controlled_shutdown(self, request: ControlledShutdown) -> ControlledShutdownResponse:
        if request.server_id not in self.queue.state.servers:
            raise _no_server(request.server_id)
        remaining = await self.queue.submit(ShutdownRequested(request.server_id, request.incarnation))
        assert isinstance(remaining, tuple)
        return ControlledShutdownResponse(remaining)

    async def adjust_isr(self, request: AdjustIsr) -> AdjustIsrResponse:
        response = await self.queue.submit(IsrAdjustmentRequested(request))
        assert isinstance(response, AdjustIsrResponse)
        return response

    async def resign_leaderships(self, request: ResignLeaderships) -> None:
        await self.queue.submit(LeadershipsResigned(request))

    async def reserve_ids(self, request: ReserveIds) -> ReservedIds:
        return ReservedIds(await self._manager.reserve_ids(request.table_id, request.size), request.size)

    async def reserve_writer_ids(self, request: ReserveWriterIds) -> ReservedIds:
        return ReservedIds(await self._manager.reserve_writer_ids(request.size, request.above), request.size)

    async def _id_bounds(self) -> IdBounds:
        return IdBounds(*await self._manager.next_ids(), self._metadata_complete)

    async def delivery(self, what: str) -> None:
        """Wait until every live server knows everything that was decided so far.

        Raises:
            FlussError: ``REQUEST_TIME_OUT``; ``NOT_COORDINATOR_LEADER_EXCEPTION`` when the coordinator stops meanwhile.
        """
        late = await self._waits.wait(list(self._delivered.values()), DELIVERY_DEADLINE_S)
        if late and self._waits.are_ending:
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
                f"{what} is durable, but the coordinator stopped before {len(late)} servers have confirmed it",
                hint="they hear of it from the next coordinator",
            )
        if late:
            raise FlussError(
                ErrorCode.REQUEST_TIME_OUT,
                f"{what} is durable, but {len(late)} servers have not confirmed it after {DELIVERY_DEADLINE_S:.0f} s",
            )

    # ------------------------------------------------------------------ rebalance

    async def change_placement(self, event: ServersTagged | ServersUntagged | RebalanceRequested) -> object:
        """Handle an event that may write ``/cluster/rebalance`` or ``/tabletservers/server_tags``.

        Returns:
            the result of the event.
        """

        async def commit(writes: PlannedWrites) -> None:
            if not writes:
                return
            parents = [*await missing_parents(self._store, REBALANCE), *await missing_parents(self._store, SERVER_TAGS)]
            # What an event of a rebalance writes may be stored in any number of parts, in its order.
            operations = [*dict.fromkeys(parents), *writes.take()]
            await commit_steps(self._store, in_batches(operations, self._store.limits))

        return await self.queue.submit(event, commit)

    async def planned_moves(
        self, goals: Sequence[RebalanceGoal], replaced: tuple[int, ...] = ()
    ) -> tuple[BucketMove, ...]:
        """What a rebalance would move now, see :func:`plan_rebalance`; found out in a thread, for it may take long."""
        from fluss_server.coordinator.reassignments import planning  # a single server never rebalances

        found = planning(Draft(self.queue.state), goals, replaced)
        return found() if self._planner is None else await self._planner.run(found)

    async def rebalance(self, event: RebalanceRequested) -> object:
        """Begin a rebalance; returns how many buckets it moves."""
        moves = await self.planned_moves(event.goals, event.replaced)
        return await self.change_placement(event._replace(moves=moves))

    async def cancel_rebalance(self, rebalance_id: str | None) -> None:
        """See ``RebalanceCanceled``."""
        await self.queue.submit(RebalanceCanceled(rebalance_id))

    def _look_at_moves(self, watch: RebalanceWatch) -> None:
        """Raise what time alone makes happen."""
        state = self.queue.state
        if late := watch.late(state):
            self.queue.submit(MovesAreLate(late))
        replaced = watch.to_replace(state)
        if replaced:
            asyncio.ensure_future(self._replace(replaced)).add_done_callback(_log_failure)

    async def _replace(self, replaced: tuple[int, ...]) -> None:
        from fluss_server.coordinator.rebalance_watch import REPLACEMENT

        gone = list(replaced)
        event = RebalanceRequested(f"{REPLACEMENT}{self._store.epoch}-{next(self._sequence)}", (), replaced)
        if await self.rebalance(event):
            logger.warning("the tablet servers %s are gone for long: their replicas go elsewhere", gone)
        else:
            logger.warning("the tablet servers %s are gone for long: nothing of them can go elsewhere now", gone)

    # ------------------------------------------------------------------ instructions

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Tell():
                self._tell(instruction)
            case TableReady():
                self.tables.is_ready(instruction)
            case RetryLater():
                if self._retry is None:
                    self._retry = asyncio.get_running_loop().call_later(RETRY_DELAY_S, self._retry_failed)

    def _tell(self, instruction: Tell) -> None:
        self._send(instruction.server_id, instruction.content)

    def _send(self, server_id: int, content: Content) -> None:
        channel = self._channels.get(server_id)
        if channel is None:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._delivered[server_id] = done
        channel.send(content, done)

    def _retry_failed(self) -> None:
        self._retry = None
        self.queue.submit(FailedBucketsRetried())

    def _deposed(self) -> None:
        logger.error("another coordinator is active; this one makes no changes any more")


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("replicas of servers that are gone are not replaced: %s", error)


def _joined(request: RegisterServer) -> ServerJoined:
    return ServerJoined(request.server, request.incarnation, request.clean, request.durable, request.is_new)


def _no_server(server_id: int) -> FlussError:
    return FlussError(
        ErrorCode.SERVER_NOT_EXIST_EXCEPTION, f"tablet server {server_id} is no member", hint="register it again"
    )
