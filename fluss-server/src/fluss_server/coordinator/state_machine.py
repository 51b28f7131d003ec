"""The coordinator's decisions: a state and an event in, changes, writes and instructions out. Pure.

Nothing here reads a clock, a file or a random source, and nothing changes the state: :func:`plan` works on a draft. The
event queue writes what a plan says, applies its changes when they are durable, and then carries out its instructions.

What the events do:

* ``ServerJoined``: everything there is to the newcomer, the list of servers to all, then leaders for what has none.
* ``AbsentServersLeft``: the same for servers that a new coordinator has not seen. Leases of the coordinator before are
  over then, so leaders that it elected, and that have not heard of it, lead from now on.
* ``ServerLeft``: the list of servers first, so that no leader takes the dead back into an ISR; then its replicas go
  offline, then others are elected.
* ``ShutdownRequested``: its leaderships move; what cannot move is the result.
* ``TableCreated``, ``PartitionCreated``: the definition to the servers, then leaders; clients see it when every bucket
  has one (``TableReady``).
* ``TableAltered``: the definition to all, and its buckets get the standby replicas that it says.
* ``TablesDropped``, ``PartitionDropped``: gone for clients, then its replicas are deleted.
* ``LeadershipsConfirmed``: a leader counts as active; a failure makes another one lead, and is retried later. A leader
  that has begun the epoch before it was restarted is elected again, in a new epoch.
* ``ReplicasStopped``: a leader that waits until a server without replica serves its bucket no more waits no longer.
* ``LeadershipsResigned``: a leader that cannot go on leaves the ISR, another one leads, and it follows. One that names
  who can lead instead has nothing but a full disk.
* ``IsrAdjustmentRequested``: validated, stored, returned. ISRs are not sent to anybody else, except to those who become
  standby replicas, or are it no more. A leader that knows an older one is told the present one.
* ``ServersTagged``, ``ServersUntagged``: stored; it counts for what is decided from then on.
* ``RebalanceRequested``, ``RebalanceCanceled``, ``MovesAreLate``: see ``reassignments.py``. While a rebalance runs,
  every event may let a bucket of it go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from fluss_server.cluster.messages import (
    NO_LEADER,
    PartitionMetadata,
    ReplicaStop,
)
from fluss_server.coordinator.cluster_state import (
    BucketState,
    BucketStatus,
    ClusterState,
    LiveServer,
    PhysicalTable,
    PhysicalTableState,
)
from fluss_server.coordinator.elections import (
    elect,
    with_leader,
    without_replica,
)
from fluss_server.coordinator.events import (
    AbsentServersLeft,
    Event,
    FailedBucketsRetried,
    IsrAdjustmentRequested,
    LeadershipsConfirmed,
    LeadershipsResigned,
    MetadataChange,
    MovesAreLate,
    PartitionCreated,
    PartitionDropped,
    Plan,
    RebalanceCanceled,
    RebalanceRequested,
    ReplicasStopped,
    ServerJoined,
    ServerLeft,
    ServersTagged,
    ServersUntagged,
    ShutdownRequested,
    TableAltered,
    TableCreated,
    TablesDropped,
)
from fluss_server.coordinator.leader_changes import LeaderChanges
from fluss_server.coordinator.metadata_view import everything, table_metadata
from fluss_server.coordinator.server_tags import tag_servers, untag_servers
from fluss_server.model.identifiers import TableBucket

if TYPE_CHECKING:
    from fluss_server.coordinator.reassignments import Reassignments

_MAY_START_MOVES = (RebalanceRequested, MovesAreLate, ServerJoined, FailedBucketsRetried, TablesDropped)


def plan(state: ClusterState, event: Event) -> Plan:
    """What to do about an event. The state does not change."""
    planner = _Planner(state)
    result: object = None
    match event:
        case ServerJoined():
            planner.server_joined(event)
        case ServerLeft():
            planner.server_left(event.server_id, event.incarnation)
        case AbsentServersLeft():
            planner.absent_servers_left()
        case ShutdownRequested():
            result = planner.shutdown_requested(event.server_id, event.incarnation)
        case TableCreated():
            planner.table_created(event)
        case TableAltered():
            planner.table_altered(event)
        case TablesDropped():
            planner.tables_dropped(event.table_ids)
        case PartitionCreated():
            planner.partition_created(event)
        case PartitionDropped():
            planner.partition_dropped(event)
        case LeadershipsConfirmed():
            planner.leaderships_confirmed(event)
        case ReplicasStopped():
            planner.replicas_stopped(event)
        case IsrAdjustmentRequested():
            result = planner.isr_adjustment_requested(event)
        case LeadershipsResigned():
            planner.leaderships_resigned(event.request)
        case FailedBucketsRetried():
            planner.failed_buckets_retried()
        case ServersTagged():
            planner.servers_tagged(event)
        case ServersUntagged():
            planner.servers_untagged(event)
        case RebalanceRequested():
            result = planner.reassignments.request(event)
        case RebalanceCanceled():
            planner.reassignments.cancel(event)
        case MovesAreLate():
            planner.reassignments.late(event)
    if planner.draft.rebalance is not None:
        planner.reassignments.advance(start_more=isinstance(event, _MAY_START_MOVES))
    return planner.finish(result)


class _Planner(LeaderChanges):
    """What each event does."""

    @cached_property
    def reassignments(self) -> Reassignments:
        """What moves replicas. Loaded with the first rebalance, which a single server never has."""
        from fluss_server.coordinator.reassignments import Reassignments

        return Reassignments(self.draft, self)

    # ------------------------------------------------------------------ servers

    def server_joined(self, event: ServerJoined) -> None:
        node, incarnation = event.server, event.incarnation
        known = self.draft.server(node.server_id)
        if known is not None and known.incarnation == incarnation and not known.shutting_down:
            # The response to its first request was lost. It does not serve what it led before until that is repeated.
            self.tell(node.server_id, everything(self.draft))
            for bucket, state in self._buckets_of(node.server_id).items():
                if state.status is BucketStatus.ONLINE:
                    self.tell_leadership(bucket, node.server_id)
            self._stop_what_it_served(node.server_id)
            return
        if known is not None:
            self.server_left(node.server_id)
        if not event.clean:
            self._end_uncertain_memberships(node.server_id, durable=event.durable)
        self._forget_failures(node.server_id)
        self.draft.put_server(LiveServer(node, incarnation, is_new=event.is_new))
        self.note(None, "server-joined", f"server {node.server_id}, incarnation {incarnation}")
        self.tell_servers(but=node.server_id)
        self.tell(node.server_id, everything(self.draft))
        for bucket, state in self.draft.buckets().items():
            if node.server_id in state.replicas and state.status is BucketStatus.ONLINE:
                self.draft.put_bucket(bucket, state._replace(active=False) if state.leader == node.server_id else state)
                self.tell_leadership(bucket, node.server_id)
        self._stop_what_it_served(node.server_id)
        for bucket, state in self._buckets_of(node.server_id).items():
            if state.inherited is not None and self._has_no_former_leader(bucket, state):
                self.leases_are_over(bucket)
        self._elect_where_needed(self.draft.buckets())

    def _has_no_former_leader(self, bucket: TableBucket, state: BucketState) -> bool:
        """Whether all other replicas are on processes that were started since. While a bucket moves, servers that have
        no replica any more may be former leaders, too.
        """
        if self.draft.move(bucket) is not None:
            return False
        others = (self.draft.server(server) for server in state.replicas if server != state.leader)
        return all(server is not None and server.is_new for server in others)

    def _stop_what_it_served(self, server_id: int) -> None:
        """A server that registers may serve a bucket of which it has no replica any more: it held its lease, and knows
        nothing of that. The leader of the bucket waits for its response.
        """
        for bucket, state in self._once_served_by(server_id).items():
            if server_id not in state.replicas and state.record is not None:
                self.tell(server_id, ReplicaStop(bucket, state.record.leader_epoch, delete=True))

    def server_left(self, server_id: int, incarnation: str | None = None) -> None:
        known = self.draft.server(server_id)
        if known is None or incarnation not in (None, known.incarnation):
            return
        self.draft.remove_server(server_id)
        self._forget_failures(server_id)
        self.note(None, "server-left", f"server {server_id}")
        self.tell_servers()
        affected = self._buckets_of(server_id)
        self._take_offline(affected, server_id)
        self._elect_where_needed(affected)
        for bucket in self._once_served_by(server_id):
            self.served_no_more(bucket, server_id)

    def absent_servers_left(self) -> None:
        for bucket, state in self.draft.buckets().items():
            if state.record is None:
                continue
            record = state.record
            if any(self._is_live(member) for member in record.isr):
                record = self._without_absent(record)
            elif record.leader != NO_LEADER and not self._is_live(record.leader):
                # Nobody can take over: whichever member comes back first has everything.
                record = with_leader(record, NO_LEADER)
            if record != state.record:
                self.write(bucket, record, "replica-offline")
        self._elect_where_needed(self.draft.buckets())
        for bucket, state in self.draft.buckets().items():
            for server_id in state.former:
                if not self._is_live(server_id):
                    self.served_no_more(bucket, server_id)
            self.leases_are_over(bucket)

    def _end_uncertain_memberships(self, server_id: int, *, durable: bool) -> None:
        """A server may have lost what was in its logs: others lead, and it is no ISR's member but the last.

        If what it reported was on its disk, it also stays while no other member can lead: it has everything that was
        acknowledged, and nobody else is there who could have acknowledged more.

        Its leadership ends in any case: rows that it lost may be on a follower, and what comes in their place must
        belong to another leader epoch.
        """
        for bucket, state in self._buckets_of(server_id).items():
            record = state.record
            if record is None or len(state.replicas) == 1:
                continue
            others = set(record.isr) & set(self.available(bucket, state)) - {server_id}
            if others or not durable:
                record = without_replica(record, server_id)
            elif record.leader == server_id:
                record = with_leader(record, NO_LEADER)
            if record != state.record:
                self.write(bucket, record, "replica-uncertain")

    def _buckets_of(self, server_id: int) -> dict[TableBucket, BucketState]:
        return {bucket: state for bucket, state in self.draft.buckets().items() if server_id in state.replicas}

    def _once_served_by(self, server_id: int) -> dict[TableBucket, BucketState]:
        """Buckets that a server may serve in an earlier leader epoch, although it need not have a replica any more."""
        return {bucket: state for bucket, state in self.draft.buckets().items() if server_id in state.former}

    def shutdown_requested(self, server_id: int, incarnation: str | None) -> tuple[TableBucket, ...]:
        server = self.draft.server(server_id)
        if server is None or incarnation not in (None, server.incarnation):
            return ()
        self.draft.put_server(server._replace(shutting_down=True))
        self.note(None, "shutdown-requested", f"server {server_id}")
        remaining = []
        for bucket, state in list(self.draft.buckets().items()):
            if server_id not in state.replicas or state.record is None:
                continue
            if state.leader == server_id:
                elected = elect(state.record, self.available(bucket, state))
                if elected is None:
                    remaining.append(bucket)
                    continue
                self.write(bucket, without_replica(elected, server_id), "move-leader")
            elif server_id in state.record.isr:
                self.write(bucket, without_replica(state.record, server_id), "shrink-isr")
        return tuple(remaining)

    def _take_offline(self, buckets: dict[TableBucket, BucketState], server_id: int) -> None:
        for bucket, state in buckets.items():
            if state.record is None:
                continue
            record = without_replica(state.record, server_id)
            if record != state.record:
                self.write(bucket, record, "replica-offline")

    # ------------------------------------------------------------------ tables and partitions

    def table_created(self, event: TableCreated) -> None:
        table = event.table.table
        self.draft.put_table(event.table)
        if event.assignment is None:
            self.tell_all(MetadataChange(tables=(table_metadata(self.draft, table.table_id),)))
            return
        physical = PhysicalTable(table.table_id)
        self.draft.add_physical_table(physical, PhysicalTableState(None, len(event.assignment)), event.assignment)
        self.tell_all(MetadataChange(tables=(table_metadata(self.draft, table.table_id),)))
        self._lead_new(physical)

    def partition_created(self, event: PartitionCreated) -> None:
        partition = event.partition
        physical = PhysicalTable(partition.table_id, partition.partition_id)
        self.draft.add_physical_table(physical, PhysicalTableState(partition, len(event.assignment)), event.assignment)
        self.tell_all(MetadataChange(partitions=(PartitionMetadata(partition),)))
        self._lead_new(physical)

    def _lead_new(self, physical: PhysicalTable) -> None:
        """Elect the first leaders of a physical table, and create the nodes that hold them."""
        buckets = dict(self.draft.buckets_of(physical))
        self._elect_where_needed(buckets)
        if not buckets:
            self.show(physical)

    def table_altered(self, event: TableAltered) -> None:
        table_id = event.table.table.table_id
        if self.draft.table(table_id) is None:
            return
        self.draft.put_table(event.table)
        self.note(None, "table-altered", f"table {table_id}")
        self.tell_all(MetadataChange(tables=(table_metadata(self.draft, table_id),)))
        for physical in (PhysicalTable(table_id), *self.draft.partitions_of(table_id)):
            for bucket, state in self.draft.buckets_of(physical):
                if state.record is not None and self.with_standbys(bucket, state, state.record) != state.record:
                    self.write(bucket, replace(state.record, bucket_epoch=state.record.bucket_epoch + 1), "standby")

    def tables_dropped(self, table_ids: Iterable[int]) -> None:
        for table_id in table_ids:
            if self.draft.table(table_id) is None:
                continue
            self.note(None, "table-dropped", f"table {table_id}")
            self.tell_all(MetadataChange(dropped_tables=(table_id,)))
            for physical in (PhysicalTable(table_id), *self.draft.partitions_of(table_id)):
                self._remove_replicas(physical)
            self.draft.remove_table(table_id)

    def partition_dropped(self, event: PartitionDropped) -> None:
        partition_id = event.partition.partition_id
        physical = PhysicalTable(event.partition.table_id, partition_id)
        if self.draft.physical_table(physical) is None:
            return
        self.note(None, "partition-dropped", f"partition {partition_id}")
        self.tell_all(MetadataChange(dropped_partitions=(partition_id,)))
        self._remove_replicas(physical)

    def _remove_replicas(self, physical: PhysicalTable) -> None:
        for bucket, state in self.draft.buckets_of(physical):
            epoch = 0 if state.record is None else state.record.leader_epoch
            for server_id in state.replicas:
                self.tell(server_id, ReplicaStop(bucket, epoch, delete=True, delete_remote=True))
        if self.draft.physical_table(physical) is not None:
            self.draft.remove_physical_table(physical)

    # ------------------------------------------------------------------ tags

    def servers_tagged(self, event: ServersTagged) -> None:
        tag_servers(self.draft, event.server_ids, event.tag)
        self.note(None, "tag", f"{event.tag.name} on servers {list(event.server_ids)}")

    def servers_untagged(self, event: ServersUntagged) -> None:
        untag_servers(self.draft, event.server_ids, event.tag)
        self.note(None, "untag", f"{event.tag.name} off servers {list(event.server_ids)}")
