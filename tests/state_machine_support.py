"""A coordinator's state for tests of its decisions: no store, no server, no loop."""

from __future__ import annotations

import copy

from fluss_server.cluster.messages import (
    AdjustIsr,
    BucketLeadership,
    Failure,
    IsrChange,
    ServerNode,
)
from fluss_server.coordinator.assignment import Assignment
from fluss_server.coordinator.cluster_state import (
    BucketState,
    Changes,
    ClusterState,
    PhysicalTable,
    PhysicalTableState,
    TableState,
)
from fluss_server.coordinator.events import (
    Event,
    IsrAdjustmentRequested,
    LeadershipConfirmed,
    LeadershipsConfirmed,
    PartitionCreated,
    Plan,
    ServerJoined,
    TableCreated,
    Tell,
)
from fluss_server.coordinator.state_machine import plan
from fluss_server.errors import ErrorCode
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.metadata.store import Create
from fluss_server.metadata.tree import Tree
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.model.table import TableDescriptor, TableInfo

EPOCH = 7
DESCRIPTOR = TableDescriptor.from_json(
    {"schema": {"columns": [{"name": "a", "data_type": {"type": "INTEGER"}}]}, "bucket_count": 2}
)
PARTITIONED = TableDescriptor.from_json(
    {
        "schema": {"columns": [{"name": name, "data_type": {"type": "STRING"}} for name in "ap"]},
        "partition_key": ["p"],
        "bucket_count": 2,
    }
)
KEYED = TableDescriptor.from_json(
    {
        "schema": {
            "columns": [{"name": "a", "data_type": {"type": "INTEGER", "nullable": False}}],
            "primary_key": ["a"],
        },
        "bucket_count": 1,
        "bucket_key": ["a"],
    }
)
FULL = Failure(ErrorCode.STORAGE_EXCEPTION, "no space")


def table(table_id: int = 0, descriptor: TableDescriptor = DESCRIPTOR) -> TableState:
    return TableState(TableInfo(TablePath("fluss", f"t{table_id}"), table_id, 1, descriptor, 0, 0))


class Cluster:
    """A state with a tree in which every write must be possible."""

    def __init__(self, *servers: int) -> None:
        self.state = ClusterState(EPOCH, ServerNode(99))
        self.tree = Tree()
        for path in ("/tabletservers", "/tabletservers/tables", "/tabletservers/partitions"):
            self.tree.apply(self.tree.plan([Create(path)]))
        for server_id in servers:
            self.handle(joined(server_id))

    def handle(self, event: Event) -> Plan:
        before = copy.deepcopy(vars(self.state))
        planned = plan(self.state, event)
        assert vars(self.state) == before, "planning changes nothing"
        operations = list(planned.writes)
        if isinstance(event, TableCreated):  # the catalog writes the assignment in the same transaction
            operations.insert(0, Create(f"/tabletservers/tables/{event.table.table.table_id}"))
        elif isinstance(event, PartitionCreated):
            operations.insert(0, Create(f"/tabletservers/partitions/{event.partition.partition_id}"))
        self.tree.apply(self.tree.plan(operations))
        self.state.apply(planned.changes)
        return planned

    def record(self, bucket: TableBucket) -> LeaderAndIsrRecord:
        record = self.state.buckets[bucket].record
        assert record is not None
        owner = f"tables/{bucket.table_id}" if bucket.partition_id is None else f"partitions/{bucket.partition_id}"
        node = self.tree.get(f"/tabletservers/{owner}/buckets/{bucket.bucket}/leader_isr")
        assert node is not None
        assert LeaderAndIsrRecord.decode("", node.value) == record, "what is stored is what is known"
        return record

    def confirm(self, planned: Plan, failures: dict[int, Failure] | None = None) -> list[Plan]:
        """Responses of all servers to the leaderships of a plan."""
        by_server: dict[int, list[LeadershipConfirmed]] = {}
        for leadership, server_id in leaderships(planned):
            failure = (failures or {}).get(server_id)
            by_server.setdefault(server_id, []).append(LeadershipConfirmed(leadership, failure))
        return [self.handle(LeadershipsConfirmed(server_id, tuple(all_))) for server_id, all_ in by_server.items()]

    def create(self, table_id: int, assignment: Assignment, descriptor: TableDescriptor = DESCRIPTOR) -> list[Plan]:
        return self.confirm(self.handle(TableCreated(table(table_id, descriptor), assignment)))

    def adjust(self, leader: int, isr: tuple[int, ...]) -> Plan:
        """The leader of the first bucket wants another ISR."""
        known = self.record(B0)
        change = IsrChange(B0, known.leader_epoch, isr, EPOCH, known.bucket_epoch)
        return self.handle(IsrAdjustmentRequested(AdjustIsr(leader, (change,))))


def joined(server_id: int, incarnation: str = "first", *, clean: bool = True, durable: bool = False) -> ServerJoined:
    return ServerJoined(ServerNode(server_id), incarnation, clean, durable)


def told(planned: Plan, server_id: int) -> list[object]:
    return [entry.content for entry in planned.instructions if isinstance(entry, Tell) and entry.server_id == server_id]


def leaderships(planned: Plan) -> list[tuple[BucketLeadership, int]]:
    return [
        (entry.content, entry.server_id)
        for entry in planned.instructions
        if isinstance(entry, Tell) and isinstance(entry.content, BucketLeadership)
    ]


B0, B1 = TableBucket(0, None, 0), TableBucket(0, None, 1)


def under_another_coordinator(before: Cluster, replicas: tuple[int, ...]) -> Cluster:
    """The stored state of bucket B0, and no server has registered yet."""
    again = Cluster()
    again.tree = before.tree
    changes = Changes()
    changes.tables[0] = table()
    changes.physical_tables[PhysicalTable(0)] = PhysicalTableState(None, 1, visible=True)
    changes.buckets[B0] = BucketState(replicas, before.record(B0))
    again.state.apply(changes)
    return again


def after_a_loss_of_power(replicas: tuple[int, ...]) -> Cluster:
    """All members of the ISR and the coordinator were gone at once; the coordinator is back."""
    cluster = Cluster(*replicas)
    cluster.create(0, (replicas,))
    assert cluster.record(B0).isr == replicas
    return under_another_coordinator(cluster, replicas)
