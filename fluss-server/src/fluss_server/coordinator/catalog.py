"""Changes of databases, tables, schemas and partitions: one transaction of the metadata store each, if it takes it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from fluss_server.coordinator.catalog_reader import create_frame, read_databases, read_tables
from fluss_server.coordinator.catalog_view import CatalogView, no_partition, no_table
from fluss_server.coordinator.change_steps import creation_steps, deletion_steps
from fluss_server.coordinator.definition_sizes import DefinitionSizes
from fluss_server.coordinator.fencing import commit_steps
from fluss_server.coordinator.id_counters import IdCounters
from fluss_server.coordinator.orphans import remove_orphans
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    PARTITION_ID_COUNTER,
    TABLE_ID_COUNTER,
    AssignmentRecord,
    DatabaseRecord,
    TableRecord,
    database_path,
    partition_path,
    schema_path,
    schemas_path,
    table_assignment_path,
    table_path,
    tables_path,
)
from fluss_server.metadata.store import Create, Delete, MetadataStore, Set, StoreOperation, deletions_below
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import FIRST_SCHEMA_ID
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.runtime.clock import Clock

_FRAME_OF_A_TABLE = 6
"""Nodes of a table beside schemas and partitions, at most: itself, three containers, a counter; one to be safe."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _one_at_a_time(
    change: Callable[Concatenate[MetadataManager, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[MetadataManager, _P], Coroutine[Any, Any, _T]]:
    """Run a change when no other one runs, and to its end even when its caller is cancelled."""

    async def run(self: MetadataManager, /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        return await self._tasks.run(self._exclusively(change(self, *arguments, **named)))

    functools.update_wrapper(run, change)
    return run


class MetadataManager(CatalogView):
    """What there is, and how it changes.

    A change is one transaction of the store and shows up in memory when it is durable, so that after a crash a table
    exists with all its parts or not at all. One that is too large for a transaction is several, in an order of which
    the same is true (``change_steps.py``). Changes are made one at a time; of two that exclude each other the first
    wins and the second gets the error for it. A change that has begun ends, even if its caller is cancelled. This
    object must be the only writer of its part of the tree.

    Call :meth:`load` first.
    """

    def __init__(self, store: MetadataStore, clock: Clock) -> None:
        super().__init__(store)
        self._store = store
        self._clock = clock
        self._counters = IdCounters(store)
        self._sizes = DefinitionSizes()
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()
        self._incomplete: set[int] = set()  # tables of which parts may be stored
        self._incomplete_partitions: set[int] = set()

    async def load(self) -> None:
        """Read everything from the store, and create what must always be there.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when a node cannot be read, with its path; ``STORAGE_EXCEPTION``.
        """
        await create_frame(self._store)
        self._databases = await read_databases(self._store, self._sizes)
        for database in self._databases:
            self._tables[database] = {}
            for table, schemas in await read_tables(self._store, database, self._sizes):
                self._remember(table, schemas)
                if table.is_partitioned:
                    await self._partitions.load_table(table)
        await remove_orphans(self._store, self._databases, self._tables_by_id, self._partitions.ids())
        if DEFAULT_DATABASE not in self._databases:
            await self.create_database(DEFAULT_DATABASE, DatabaseDescriptor())

    async def _exclusively(self, change: Coroutine[Any, Any, _T]) -> _T:
        async with self._lock:
            return await change

    # Databases

    @_one_at_a_time
    async def create_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        """Create a database with an allowed name; ``DATABASE_ALREADY_EXIST``, or as :meth:`DefinitionSizes.check`."""
        if name in self._databases:
            raise FlussError(ErrorCode.DATABASE_ALREADY_EXIST, f"database {name!r} already exists")
        now = self._clock.now_ms()
        record = DatabaseRecord(descriptor, now, now)
        value = record.encode()
        self._sizes.check(name, len(value))
        await self._store.commit([Create(database_path(name), value), Create(tables_path(name))])
        self._sizes.set(name, len(value))
        self._databases[name] = record
        self._tables[name] = {}

    @_one_at_a_time
    async def alter_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        """Give a database another definition; ``DATABASE_NOT_EXIST``, or as :meth:`DefinitionSizes.check`."""
        current = self.database(name)
        modified = max(self._clock.now_ms(), current.modified_time)  # never backwards, whatever the clock does
        record = replace(current, descriptor=descriptor, modified_time=modified)
        value = record.encode()
        self._sizes.check(name, len(value))
        await self._store.commit([Set(database_path(name), value)])
        self._sizes.set(name, len(value))
        self._databases[name] = record

    def check_drop_database(self, name: str, *, cascade: bool) -> None:
        """Whether :meth:`drop_database` is possible; errors as there."""
        if name == DEFAULT_DATABASE:
            raise FlussError(ErrorCode.INVALID_DATABASE_EXCEPTION, f"the default database {name!r} cannot be dropped")
        self.database(name)
        if (tables := len(self._tables[name])) and not cascade:
            raise FlussError(
                ErrorCode.DATABASE_NOT_EMPTY,
                f"database {name!r} has {tables} tables",
                hint="drop them first, or drop the database with CASCADE",
            )

    def is_large(self, name: str) -> bool:
        """Whether a database may have more nodes than one commit can delete; its tables have to be dropped before."""
        nodes = 0
        for table in self._tables[name].values():
            nodes += len(self._schemas[table.table_id]) + self._partitions.count(table.table_id) + _FRAME_OF_A_TABLE
        return nodes >= self._store.limits.operations - _FRAME_OF_A_TABLE

    @_one_at_a_time
    async def drop_database(self, name: str, also: Sequence[StoreOperation] = (), *, cascade: bool) -> list[TableInfo]:
        """Drop a database and, with ``cascade``, its tables.

        Args:
            name: which one.
            also: operations of the same transaction, or of those before it.
            cascade: also when it has tables.

        Returns:
            the tables that went with it.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``DATABASE_NOT_EMPTY``, ``INVALID_DATABASE_EXCEPTION`` for the default
                one.
        """
        self.check_drop_database(name, cascade=cascade)
        tables = [self._tables[name][table] for table in sorted(self._tables[name])]
        registration = await deletions_below(self._store, database_path(name))
        parts = await self._assignment_deletions(tables)
        if not self._store.limits.allow(registration):
            raise FlussError(
                ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION,
                f"database {name!r} is too large to be dropped at once",
                hint="drop its tables first",
            )
        await self._commit_deletion(database_path(name), registration, parts, also)
        for table in tables:
            self._forget(table)
            self._sizes.forget(table.table_id)
        self._sizes.forget(name)
        del self._databases[name]
        del self._tables[name]
        return tables

    # Tables

    @_one_at_a_time
    async def prepare_table(self, path: TablePath, descriptor: TableDescriptor) -> TableInfo:
        """Give a table that is to be created its id, which no other table gets.

        It is in memory only until the table is stored, so after a crash another table may get the id of one that never
        was.

        The table is not there yet, except that :meth:`schema` knows its id. Go on with :meth:`add_table`, or end
        with :meth:`discard_table`.

        Args:
            path: allowed names.
            descriptor: checked, with all defaults applied.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``TABLE_ALREADY_EXIST``.
        """
        self._check_absent(path)
        table_id = await self._counters.draw(TABLE_ID_COUNTER)
        now = self._clock.now_ms()
        self._schemas[table_id] = {FIRST_SCHEMA_ID: descriptor.schema}
        return TableInfo(path, table_id, FIRST_SCHEMA_ID, descriptor, now, now)

    @_one_at_a_time
    async def add_table(
        self, table: TableInfo, assignment: Sequence[Sequence[int]], also: Sequence[StoreOperation] = ()
    ) -> None:
        """Make a prepared table durable. It is hidden until :meth:`show_table`.

        Args:
            table: from :meth:`prepare_table`.
            assignment: servers of the replicas of each bucket, by bucket number; nothing of a partitioned table.
            also: operations of the same transaction, or of those before the table exists.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``TABLE_ALREADY_EXIST`` when that changed since it was prepared;
                ``INVALID_TABLE_EXCEPTION`` when the store does not take so large a definition; or as
                :meth:`DefinitionSizes.check`.
        """
        self._check_absent(table.path)
        value, schema = TableRecord.of(table).encode(), table.schema.to_json_bytes()
        self._sizes.check(table.table_id, len(value) + len(schema))
        parts = await self._counters.use(TABLE_ID_COUNTER, table.table_id)
        if not table.is_partitioned:  # else each partition has its own assignment, and the table none
            record = AssignmentRecord({bucket: tuple(servers) for bucket, servers in enumerate(assignment)})
            parts.append(Create(table_assignment_path(table.table_id), record.encode()))
        parts += also
        registration: list[StoreOperation] = []
        if (node := await self._store.get(table_path(table.path))) is not None and not node.value:
            registration += await deletions_below(self._store, table_path(table.path))  # an interrupted creation
        registration += [
            Create(table_path(table.path), value),
            Create(schemas_path(table.path)),
            Create(schema_path(table.path, table.schema_id), schema),
        ]
        if not self._store.limits.allow(registration):
            raise FlussError(ErrorCode.INVALID_TABLE_EXCEPTION, f"the definition of table {table.path} is too large")
        await self._create_in_steps(table.table_id, parts, registration)
        self._sizes.set(table.table_id, len(value) + len(schema))
        self._hidden[table.table_id] = table

    @_one_at_a_time
    async def discard_table(self, table: TableInfo, also: Sequence[StoreOperation] = ()) -> None:
        """Forget a prepared table that was not shown, and delete what was stored of it; ``also`` is stored in any case,
        as for :meth:`drop_database`.
        """
        assert table.table_id not in self._tables_by_id, "a table that was shown is dropped, not discarded"
        if table.table_id in self._hidden:
            await self._delete_table(table, also)
            del self._hidden[table.table_id]
        else:
            is_incomplete = table.table_id in self._incomplete
            parts = await self._assignment_deletions([table]) if is_incomplete else []
            await self._commit_deletion(table_path(table.path), [], parts, also)
        self._incomplete.discard(table.table_id)
        self._schemas.pop(table.table_id, None)
        self._sizes.forget(table.table_id)

    @_one_at_a_time
    async def write_table(self, table: TableInfo) -> TableInfo:
        """Write another definition of an existing table, with the present time as its time of modification.

        It is durable when this returns. Until :meth:`show_table` readers see the old one, except that
        :meth:`schema` knows a new schema at once.

        Args:
            table: a table with other options, or with a schema whose id is the next one.

        Returns:
            what :meth:`show_table` takes.

        Raises:
            FlussError: ``TABLE_NOT_EXIST`` when it is gone; or as :meth:`DefinitionSizes.check`.
        """
        if (current := self.table_by_id(table.table_id)) is None:
            raise no_table(table.path)
        path = table_path(table.path)
        # Times never go backwards, whatever the clock does.
        table = replace(table, modified_time=max(self._clock.now_ms(), current.modified_time))
        node = await self._store.get(path)
        assert node is not None, f"{path} is a table that exists"
        stored = TableRecord.decode(path, node.value)
        record = replace(TableRecord.of(table), remote_data_dir=stored.remote_data_dir)
        value = record.encode()
        operations: list[StoreOperation] = [Set(path, value)]
        size_bytes = self._sizes.get(table.table_id) - len(node.value) + len(value)
        if table.schema_id != current.schema_id:
            schema = table.schema.to_json_bytes()
            operations.append(Create(schema_path(table.path, table.schema_id), schema))
            size_bytes += len(schema)
        self._sizes.check(table.table_id, size_bytes)
        await self._store.commit(operations)
        self._sizes.set(table.table_id, size_bytes)
        self._schemas[table.table_id][table.schema_id] = table.schema
        return table

    def show_table(self, table: TableInfo) -> None:
        """Make visible what :meth:`add_table` or :meth:`write_table` wrote."""
        self._hidden.pop(table.table_id, None)
        self._remember(table, self._schemas[table.table_id])

    @_one_at_a_time
    async def drop_table(self, path: TablePath, also: Sequence[StoreOperation] = ()) -> TableInfo:
        """Drop a table and return what it was; ``TABLE_NOT_EXIST``. ``also`` as for :meth:`drop_database`."""
        table = self.table(path)
        await self._delete_table(table, also)
        self._forget(table)
        self._sizes.forget(table.table_id)
        return table

    async def _delete_table(self, table: TableInfo, also: Sequence[StoreOperation]) -> None:
        path = table_path(table.path)
        registration = await deletions_below(self._store, path)
        await self._commit_deletion(path, registration, await self._assignment_deletions([table]), also)

    # Partitions

    @_one_at_a_time
    async def prepare_partition(self, table: TableInfo, name: str) -> PartitionInfo:
        """Give a partition that is to be created its id, as :meth:`prepare_table`.

        Args:
            table: an existing partitioned table.
            name: values joined with ``$``, allowed.

        Raises:
            FlussError: ``TABLE_NOT_EXIST`` when the table is gone, ``PARTITION_ALREADY_EXISTS``.
        """
        self._check_partition_absent(table, name)
        return PartitionInfo(table.table_id, await self._counters.draw(PARTITION_ID_COUNTER), name)

    @_one_at_a_time
    async def add_partition(
        self,
        table: TableInfo,
        partition: PartitionInfo,
        assignment: Sequence[Sequence[int]],
        also: Sequence[StoreOperation] = (),
    ) -> None:
        """Make a prepared partition durable; as :meth:`add_table`."""
        self._check_partition_absent(table, partition.name)
        counter = await self._counters.use(PARTITION_ID_COUNTER, partition.partition_id)
        assigned = self._partitions.assignment(partition, assignment)
        registration = await self._partitions.registration(table, partition)
        await self._create_in_steps(partition.partition_id, [*counter, assigned, *also], registration, partition=True)
        self._hidden_partitions.add(partition.partition_id)

    def show_partition(self, partition: PartitionInfo) -> None:
        """Make visible what :meth:`add_partition` wrote."""
        self._hidden_partitions.discard(partition.partition_id)
        self._partitions.remember(partition)

    @_one_at_a_time
    async def discard_partition(
        self, table: TableInfo, partition: PartitionInfo, also: Sequence[StoreOperation] = ()
    ) -> None:
        """Delete what was stored of a partition that was not shown; ``also`` as for :meth:`discard_table`."""
        partition_id = partition.partition_id
        if partition_id in self._hidden_partitions or partition_id in self._incomplete_partitions:
            registered = partition_id in self._hidden_partitions
            await self._delete_partition(table, partition, also, registered=registered)
            self._hidden_partitions.discard(partition_id)
            self._incomplete_partitions.discard(partition_id)
        else:
            await self._commit_deletion(partition_path(table.path, partition.name), [], [], also)

    @_one_at_a_time
    async def drop_partition(
        self, table: TableInfo, partition: PartitionInfo, also: Sequence[StoreOperation] = ()
    ) -> None:
        """Drop a partition; ``TABLE_NOT_EXIST``, ``PARTITION_NOT_EXISTS`` when it is gone already. ``also`` as for
        :meth:`drop_database`.
        """
        self._check_present(table)
        if self._partitions.by_id(partition.partition_id) is None:
            raise no_partition(table, partition.name)
        await self._delete_partition(table, partition, also, registered=True)
        self._partitions.forget(partition)

    async def _delete_partition(
        self, table: TableInfo, partition: PartitionInfo, also: Sequence[StoreOperation], *, registered: bool
    ) -> None:
        path = partition_path(table.path, partition.name)
        registration: list[StoreOperation] = [Delete(path)] if registered else []
        await self._commit_deletion(path, registration, await self._partitions.assignment_deletion(partition), also)

    # Changes of any size

    async def _create_in_steps(
        self,
        object_id: int,
        parts: Sequence[StoreOperation],
        registration: Sequence[StoreOperation],
        *,
        partition: bool = False,
    ) -> None:
        """Create a table or partition; when that fails after a part, it counts as incomplete."""
        steps = creation_steps(parts, registration, self._store.limits)
        incomplete = self._incomplete_partitions if partition else self._incomplete
        if len(steps) > 1:
            incomplete.add(object_id)
        await commit_steps(self._store, steps)
        incomplete.discard(object_id)

    async def _commit_deletion(
        self,
        path: str,
        registration: Sequence[StoreOperation],
        parts: Sequence[StoreOperation],
        also: Sequence[StoreOperation],
    ) -> None:
        await commit_steps(self._store, deletion_steps(path, registration, parts, self._store.limits, also))

    async def _assignment_deletions(self, tables: Sequence[TableInfo]) -> list[StoreOperation]:
        operations: list[StoreOperation] = []
        for table in tables:
            path = table_assignment_path(table.table_id)
            if await self._store.get(path) is not None:
                operations += await deletions_below(self._store, path)
            operations += await self._partitions.assignment_deletions(table)
        return operations

    # Ids

    async def next_ids(self) -> tuple[int, int]:
        """See :meth:`IdCounters.next_ids`."""
        return await self._counters.next_ids()

    @_one_at_a_time
    async def reserve_ids(self, table_id: int, count: int) -> int:
        """See :meth:`IdCounters.reserve_column_ids`; ``TABLE_NOT_EXIST``."""
        table = self.table_by_id(table_id)
        if table is None:
            raise FlussError(ErrorCode.TABLE_NOT_EXIST, f"there is no table with id {table_id}")
        return await self._counters.reserve_column_ids(table, count)

    @_one_at_a_time
    async def reserve_writer_ids(self, count: int, above: int = -1) -> int:
        """See :meth:`IdCounters.reserve_writer_ids`."""
        return await self._counters.reserve_writer_ids(count, above)
