"""Makes tables and partitions with their replicas, changes and removes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fluss_server.cluster.messages import Failure
from fluss_server.coordinator.assignment import Assignment, assign
from fluss_server.coordinator.bounded_waits import BoundedWaits
from fluss_server.coordinator.catalog import MetadataManager
from fluss_server.coordinator.cluster_state import PhysicalTable, TableState
from fluss_server.coordinator.event_queue import Commit, EventQueue, PlannedWrites
from fluss_server.coordinator.events import (
    Event,
    PartitionCreated,
    PartitionDropped,
    TableAltered,
    TableCreated,
    TableReady,
    TablesDropped,
)
from fluss_server.coordinator.presence import Presence
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.table import TableInfo

logger = logging.getLogger(__name__)

CREATION_DEADLINE_S = 120.0
"""How long a new table or partition may take to get leaders."""


class ReplicatedTables:
    """See :class:`fluss_server.coordinator.ddl.TableLifecycle`.

    Args:
        manager: of the metadata.
        queue: of events, once it is there.
        present: of the servers that were members under an earlier coordinator.
        deliver: waits until every server knows what was decided so far; takes what that is.
        waits: of the term.
        randrange: a random number below a bound, for where the assignment of a table begins.
    """

    def __init__(
        self,
        manager: MetadataManager,
        queue: Callable[[], EventQueue],
        present: Presence,
        deliver: Callable[[str], Awaitable[None]],
        waits: BoundedWaits,
        randrange: Callable[[int], int],
    ) -> None:
        self._manager = manager
        self._queue = queue
        self._present = present
        self._deliver = deliver
        self._waits = waits
        self._randrange = randrange
        self._ready: dict[PhysicalTable, asyncio.Future[Failure | None]] = {}

    def is_ready(self, instruction: TableReady) -> None:
        """A new table or partition has leaders, or cannot have them."""
        ready = self._ready.get(instruction.physical_table)
        if ready is not None and not ready.done():
            ready.set_result(instruction.failure)

    async def servers_present(self) -> None:
        await self._present.wait()

    @property
    def usable_servers(self) -> int:
        """Servers that can get replicas of new tables."""
        return len(self._queue().state.live_server_ids())

    def bucket_count(self, partition: PartitionInfo) -> int:
        """Buckets of a partition; 0 when it is gone."""
        physical = PhysicalTable(partition.table_id, partition.partition_id)
        found = self._queue().state.physical_tables.get(physical)
        return 0 if found is None else found.bucket_count

    def assign(self, bucket_count: int, replication_factor: int) -> Assignment:
        """Servers for the replicas of new buckets; ``INVALID_REPLICATION_FACTOR``."""
        servers = self._queue().state.live_server_ids()
        start = self._randrange(len(servers)) if len(servers) > 1 else 0
        shift = self._randrange(len(servers)) if len(servers) > 1 else 0
        racks = {server_id: self._queue().state.servers[server_id].node.rack for server_id in servers}
        return assign(bucket_count, replication_factor, servers, racks=racks, start=start, shift=shift)

    async def create_table(self, table: TableInfo, assignment: Assignment | None) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.add_table(table, assignment or (), writes.take())

        try:
            physical = None if assignment is None else PhysicalTable(table.table_id)
            await self._create(TableCreated(TableState(table), assignment), physical, commit)
        except BaseException:
            await self._discard_table(table)
            raise
        self._manager.show_table(table)

    async def _discard_table(self, table: TableInfo) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.discard_table(table, writes.take())

        try:
            await self._drop(TablesDropped((table.table_id,)), commit)
        except Exception:
            logger.exception("what was made of table %s with id %d could not be removed", table.path, table.table_id)
            if self._manager.is_hidden(table):  # it is durable, so let it be seen
                self._manager.show_table(table)

    async def alter_table(self, table: TableInfo) -> None:
        await self._submit(TableAltered(TableState(table, self._manager.older_schemas(table))))
        await self._deliver(f"the new definition of table {table.path}")

    async def drop_table(self, table: TableInfo) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.drop_table(table.path, writes.take())

        await self._drop(TablesDropped((table.table_id,)), commit)

    async def drop_database(self, name: str, *, cascade: bool) -> list[TableInfo]:
        dropped: list[TableInfo] = []

        async def commit(writes: PlannedWrites) -> None:
            dropped.extend(await self._manager.drop_database(name, writes.take(), cascade=cascade))

        self._manager.check_drop_database(name, cascade=cascade)
        tables = [table for table in self._manager.tables() if table.path.database == name]
        if self._manager.is_large(name):
            for table in tables:
                await self.drop_table(table)
            dropped, tables = tables, []
        await self._drop(TablesDropped(tuple(table.table_id for table in tables)), commit)
        return dropped

    async def create_partition(self, table: TableInfo, partition: PartitionInfo, assignment: Assignment) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.add_partition(table, partition, assignment, writes.take())

        try:
            physical = PhysicalTable(table.table_id, partition.partition_id)
            await self._create(PartitionCreated(partition, assignment), physical, commit)
        except BaseException:
            await self._discard_partition(table, partition)
            raise
        self._manager.show_partition(partition)

    async def _discard_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.discard_partition(table, partition, writes.take())

        try:
            await self._drop(PartitionDropped(partition), commit)
        except Exception:
            logger.exception("what was made of partition %s of %s could not be removed", partition.name, table.path)

    async def drop_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        async def commit(writes: PlannedWrites) -> None:
            await self._manager.drop_partition(table, partition, writes.take())

        await self._drop(PartitionDropped(partition), commit)

    async def _create(self, event: Event, physical: PhysicalTable | None, commit: Commit) -> None:
        """Store something new and wait until clients can use it."""
        if self._waits.are_ending:
            raise _stopping("nothing was made")
        if physical is None:
            await self._submit(event, commit)
            await self._deliver("a new table")
            return
        ready = self._ready[physical] = asyncio.get_running_loop().create_future()
        try:
            await self._submit(event, commit)
            if await self._waits.wait([ready], CREATION_DEADLINE_S):
                raise self._no_leaders()
        finally:
            self._ready.pop(physical, None)
        failure = ready.result()
        if failure is not None:
            raise failure.error()
        await self._deliver("a new table or partition")

    def _no_leaders(self) -> FlussError:
        if self._waits.are_ending:
            return _stopping("the buckets had no leaders yet")
        return FlussError(
            ErrorCode.REQUEST_TIME_OUT,
            f"the buckets had no leaders after {CREATION_DEADLINE_S:.0f} s",
            hint="see the logs of the tablet servers",
        )

    async def _drop(self, event: Event, commit: Commit) -> None:
        """Delete something from the store, and then from the servers; what stays there is removed when they start."""
        await self._submit(event, commit)
        try:
            await self._deliver("the removal of a table or partition")
        except FlussError as error:
            logger.warning("%s", error)

    async def _submit(self, event: Event, commit: Commit | None = None) -> object:
        return await self._queue().submit(event, commit)


def _stopping(what: str) -> FlussError:
    return FlussError(
        ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
        f"the coordinator stops: {what}",
        hint="send the request again, to the next coordinator",
    )
