"""What happens to a cluster, and what the coordinator does about it: values of the state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fluss_server.cluster.messages import (
    AdjustIsr,
    BucketLeadership,
    Failure,
    PartitionMetadata,
    ReplicaStop,
    ResignLeaderships,
    ServerNode,
    TableMetadata,
)
from fluss_server.coordinator.assignment import Assignment
from fluss_server.coordinator.cluster_state import Changes, PhysicalTable, TableState
from fluss_server.metadata.rebalance_records import BucketMove, ServerTag
from fluss_server.metadata.store import StoreOperation
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.partition import PartitionInfo

if TYPE_CHECKING:
    from fluss_server.coordinator.rebalance_plan import RebalanceGoal
    from fluss_server.model.acl import Resource

# Events


class ServerJoined(NamedTuple):
    """A tablet server has registered, perhaps again after a restart.

    Attributes:
        server: who and where.
        incarnation: other with every start of its process.
        clean: its logs have everything that was ever in them.
        durable: its logs have everything that it reported to have, if its disk did not lie.
        is_new: see ``RegisterServer``.
    """

    server: ServerNode
    incarnation: str
    clean: bool
    durable: bool = False
    is_new: bool = False


class ServerLeft(NamedTuple):
    """A tablet server is gone; ``incarnation`` None = whichever is a member."""

    server_id: int
    incarnation: str | None = None


class AbsentServersLeft(NamedTuple):
    """Servers that were members under an earlier coordinator and have not come back in time are gone."""


class ShutdownRequested(NamedTuple):
    """A tablet server is about to stop; with an ``incarnation`` only if it is still that process."""

    server_id: int
    incarnation: str | None = None


class TableCreated(NamedTuple):
    """A table is to exist; ``assignment`` None for a partitioned one, whose partitions bring theirs."""

    table: TableState
    assignment: Assignment | None


class TableAltered(NamedTuple):
    """A table has another definition."""

    table: TableState


class TablesDropped(NamedTuple):
    """Tables are gone, with all their partitions."""

    table_ids: tuple[int, ...]


class PartitionCreated(NamedTuple):
    """A partition of an existing table is to exist."""

    partition: PartitionInfo
    assignment: Assignment


class PartitionDropped(NamedTuple):
    """A partition is gone."""

    partition: PartitionInfo


class LeadershipConfirmed(NamedTuple):
    """A server's response to one :class:`BucketLeadership`."""

    leadership: BucketLeadership
    failure: Failure | None


class LeadershipsConfirmed(NamedTuple):
    """A server has responded to a NOTIFY_LEADER_AND_ISR."""

    server_id: int
    outcomes: tuple[LeadershipConfirmed, ...]


class ReplicasStopped(NamedTuple):
    """A server has responded to a STOP_REPLICA: it serves nothing of these buckets."""

    server_id: int
    buckets: tuple[TableBucket, ...]


class IsrAdjustmentRequested(NamedTuple):
    """A leader wants other ISRs. The result of the event is an ``AdjustIsrResponse``."""

    request: AdjustIsr


class LeadershipsResigned(NamedTuple):
    """A leader cannot lead some buckets any more."""

    request: ResignLeaderships


class FailedBucketsRetried(NamedTuple):
    """Servers that could not lead or follow some buckets may try again."""


class ServersTagged(NamedTuple):
    """Servers are to have nothing from now on; all of them get the tag, or none."""

    server_ids: tuple[int, ...]
    tag: ServerTag


class ServersUntagged(NamedTuple):
    """Servers may have replicas again."""

    server_ids: tuple[int, ...]
    tag: ServerTag


class RebalanceRequested(NamedTuple):
    """Replicas and leaders are to move.

    Attributes:
        rebalance_id: how it is called.
        goals: see ``rebalance_plan.py``.
        replaced: dead servers whose replicas are to be elsewhere.
        moves: what was planned for this; None = it is planned now. What has changed since is left out.
    """

    rebalance_id: str
    goals: tuple[RebalanceGoal, ...]
    replaced: tuple[int, ...] = ()
    moves: tuple[BucketMove, ...] | None = None


class RebalanceCanceled(NamedTuple):
    """Nothing more is to move; ``rebalance_id`` None = whichever runs."""

    rebalance_id: str | None = None


class MovesAreLate(NamedTuple):
    """These buckets of the rebalance have made no step for longer than the time-out."""

    buckets: tuple[TableBucket, ...]


Event: TypeAlias = (
    ServerJoined
    | ServerLeft
    | AbsentServersLeft
    | ShutdownRequested
    | TableCreated
    | TableAltered
    | TablesDropped
    | PartitionCreated
    | PartitionDropped
    | LeadershipsConfirmed
    | ReplicasStopped
    | IsrAdjustmentRequested
    | LeadershipsResigned
    | FailedBucketsRetried
    | ServersTagged
    | ServersUntagged
    | RebalanceRequested
    | RebalanceCanceled
    | MovesAreLate
)

# Instructions: what to tell whom, once the writes are durable


class SettingsChange(NamedTuple):
    """What a tablet server has to be told; its content is read when it is sent.

    Attributes:
        version: of the settings with this change.
        overrides: whether settings were changed.
        resources: whose access control entries were changed.
        snapshot: it is to get everything.
    """

    version: int
    overrides: bool = False
    resources: tuple[Resource, ...] = ()
    snapshot: bool = False


class MetadataChange(NamedTuple):
    """The content of an UPDATE_METADATA; ``snapshot`` = it is everything there is."""

    servers: tuple[ServerNode, ...] | None = None
    tables: tuple[TableMetadata, ...] = ()
    partitions: tuple[PartitionMetadata, ...] = ()
    dropped_tables: tuple[int, ...] = ()
    dropped_partitions: tuple[int, ...] = ()
    snapshot: bool = False


class Tell(NamedTuple):
    """Send something to a tablet server, behind everything that was sent to it before."""

    server_id: int
    content: MetadataChange | BucketLeadership | ReplicaStop


class TableReady(NamedTuple):
    """Every bucket of a new physical table has a leader; ``failure`` when one of them cannot have one."""

    physical_table: PhysicalTable
    failure: Failure | None = None


class RetryLater(NamedTuple):
    """Raise :class:`FailedBucketsRetried` after a delay."""


Instruction: TypeAlias = Tell | TableReady | RetryLater


class Transition(NamedTuple):
    """One named step, for the story log.

    Attributes:
        bucket: which bucket, None for something else.
        name: for example ``elect``.
        detail: for people.
    """

    bucket: TableBucket | None
    name: str
    detail: str


class Plan(NamedTuple):
    """What the state machine decides about an event.

    Attributes:
        changes: of the state, to apply when the writes are durable.
        writes: for the metadata store.
        instructions: in order, to carry out after that.
        transitions: what was done and why.
        result: of the event, for its caller.
    """

    changes: Changes
    writes: tuple[StoreOperation, ...]
    instructions: tuple[Instruction, ...]
    transitions: tuple[Transition, ...]
    result: object = None
