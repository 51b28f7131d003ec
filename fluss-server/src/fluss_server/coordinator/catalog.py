"""Databases, tables, schemas and ids: written through the metadata store, read from memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from fluss_server.coordinator.partition_registry import PartitionRegistry
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    DATABASES,
    MAX_COUNTER,
    PARTITION_ASSIGNMENTS,
    PARTITION_ID_COUNTER,
    TABLE_ASSIGNMENTS,
    TABLE_ID_COUNTER,
    WRITER_ID_COUNTER,
    AssignmentRecord,
    DatabaseRecord,
    TableRecord,
    auto_increment_path,
    database_path,
    decode_counter,
    decode_schema,
    encode_counter,
    partition_path,
    schema_path,
    schemas_path,
    table_assignment_path,
    table_path,
    tables_path,
)
from fluss_server.metadata.store import (
    Check,
    Create,
    MetadataConflict,
    MetadataStore,
    Operation,
    Set,
    deletions_below,
    missing_parents,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.model import identifiers
from fluss_server.model.identifiers import DEFAULT_DATABASE, TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import FIRST_SCHEMA_ID, Schema
from fluss_server.model.table import DatabaseDescriptor, TableDescriptor, TableInfo
from fluss_server.runtime.clock import Clock

logger = logging.getLogger(__name__)


MAX_COUNTED_WRITER_ID = 2**62
"""Clients may send any id; from here on they do not count as ids of the counter, or one client could use it up."""


class MetadataManager:
    """What databases and tables there are.

    Everything is in memory and read without waiting. A change is one transaction of the store and shows up in memory
    when it is durable, so that after a crash a table exists with all its parts or not at all. Changes are made one at a
    time; of two that exclude each other the first wins and the second gets the error for it. A change that has begun
    ends, even if its caller is cancelled. This object must be the only writer of its part of the tree.

    Call :meth:`load` first.
    """

    def __init__(self, store: MetadataStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._databases: dict[str, DatabaseRecord] = {}
        self._tables: dict[str, dict[str, TableInfo]] = {}
        self._tables_by_id: dict[int, TableInfo] = {}
        self._schemas: dict[int, dict[int, Schema]] = {}
        self._hidden: dict[int, TableInfo] = {}  # stored, and not shown yet
        self._drawn: dict[str, int] = {}  # by path of a counter: the next id, also of what is not stored yet
        self._partitions = PartitionRegistry(store)
        self._tasks = UninterruptedTasks()

    async def load(self) -> None:
        """Read everything from the store, and create what must always be there.

        Raises:
            FlussError: ``UNKNOWN_SERVER_ERROR`` when a node cannot be read, with its path; ``STORAGE_EXCEPTION``.
        """
        await self._create_frame()
        for database in await self._store.children(DATABASES):
            path = database_path(database)
            self._databases[database] = DatabaseRecord.decode(path, await self._value(path))
            self._tables[database] = {}
            for name in await self._children(tables_path(database)):
                await self._load_table(TablePath(database, name))
        if DEFAULT_DATABASE not in self._databases:
            await self.create_database(DEFAULT_DATABASE, DatabaseDescriptor())

    async def _create_frame(self) -> None:
        for path, value in (
            (DATABASES, b""),
            (TABLE_ASSIGNMENTS, b""),
            (PARTITION_ASSIGNMENTS, b""),
            (TABLE_ID_COUNTER, encode_counter(0)),
            (PARTITION_ID_COUNTER, encode_counter(0)),
            (WRITER_ID_COUNTER, encode_counter(0)),
        ):
            if await self._store.get(path) is None:
                await self._store.commit([*await missing_parents(self._store, path), Create(path, value)])

    async def _load_table(self, path: TablePath) -> None:
        record = TableRecord.decode(table_path(path), await self._value(table_path(path)))
        schemas: dict[int, Schema] = {}
        for name in await self._children(schemas_path(path)):
            if not name.isdecimal():
                raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{schemas_path(path)}/{name} is not a schema id")
            node_path = schema_path(path, int(name))
            schemas[int(name)] = decode_schema(node_path, await self._value(node_path))
        if not schemas:
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {table_path(path)} has no schema")
        newest = max(schemas)
        table = record.table_info(path, newest, schemas[newest])
        self._remember(table, schemas)
        if table.is_partitioned:
            await self._partitions.load_table(table)

    async def _value(self, path: str) -> bytes:
        node = await self._store.get(path)
        if node is None:
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} is missing")
        return node.value

    async def _children(self, path: str) -> list[str]:
        return [] if await self._store.get(path) is None else await self._store.children(path)

    # Reading

    def databases(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._databases)

    def database_exists(self, name: str) -> bool:
        return name in self._databases

    def database(self, name: str) -> DatabaseRecord:
        """A database; ``DATABASE_NOT_EXIST``."""
        record = self._databases.get(name)
        if record is None:
            raise _no_database(name)
        return record

    def tables(self) -> list[TableInfo]:
        """Every table, by id."""
        return [self._tables_by_id[table_id] for table_id in sorted(self._tables_by_id)]

    def table_names(self, database: str) -> list[str]:
        """Names of the tables of a database, sorted; ``DATABASE_NOT_EXIST``."""
        self.database(database)
        return sorted(self._tables[database])

    def find_table(self, path: TablePath) -> TableInfo | None:
        """A table, or None when it or its database does not exist."""
        return self._tables.get(path.database, {}).get(path.table)

    def table(self, path: TablePath) -> TableInfo:
        """A table; ``TABLE_NOT_EXIST``, also when the database is missing."""
        table = self.find_table(path)
        if table is None:
            raise _no_table(path)
        return table

    def table_by_id(self, table_id: int) -> TableInfo | None:
        """The table with an id, or None when there is none (any more)."""
        return self._tables_by_id.get(table_id)

    def table_path(self, table_id: int) -> TablePath | None:
        """Path of the table with an id, or None when there is none (any more)."""
        table = self._tables_by_id.get(table_id)
        return None if table is None else table.path

    def schema(self, table_id: int, schema_id: int) -> Schema:
        """A version of the schema of a table; ``SCHEMA_NOT_EXIST``, also when the table is gone."""
        schema = self._schemas.get(table_id, {}).get(schema_id)
        if schema is None:
            raise FlussError(ErrorCode.SCHEMA_NOT_EXIST, f"table {table_id} has no schema {schema_id}")
        return schema

    def older_schemas(self, table: TableInfo) -> tuple[tuple[int, Schema], ...]:
        """Schemas of a table with smaller ids than its present one, by id."""
        schemas = self._schemas.get(table.table_id, {})
        return tuple((schema_id, schemas[schema_id]) for schema_id in sorted(schemas) if schema_id < table.schema_id)

    def partitions(self, table: TableInfo) -> list[PartitionInfo]:
        """Partitions of a table, by id; ``TABLE_NOT_PARTITIONED_EXCEPTION``."""
        check_partitioned(table)
        return self._partitions.of_table(table.table_id)

    def partition_count(self, table: TableInfo) -> int:
        """``len(self.partitions(table))``, cheaper."""
        return self._partitions.count(table.table_id)

    def find_partition(self, table: TableInfo, name: str) -> PartitionInfo | None:
        """The partition of a table with a name, or None."""
        return self._partitions.find(table.table_id, name)

    def partition_by_id(self, partition_id: int) -> PartitionInfo | None:
        """The partition with an id, or None when there is none (any more)."""
        return self._partitions.by_id(partition_id)

    # Changing

    async def create_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        """Create a database with an allowed name; ``DATABASE_ALREADY_EXIST``."""
        await self._tasks.run(self._create_database(name, descriptor))

    async def drop_database(self, name: str, *, cascade: bool) -> list[TableInfo]:
        """Drop a database and, with ``cascade``, its tables.

        Returns:
            the tables that went with it.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``DATABASE_NOT_EMPTY``, ``INVALID_DATABASE_EXCEPTION`` for the default
                one.
        """
        return await self._tasks.run(self._drop_database(name, cascade))

    async def alter_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        """Give a database another definition; ``DATABASE_NOT_EXIST``."""
        await self._tasks.run(self._alter_database(name, descriptor))

    async def prepare_table(self, path: TablePath, descriptor: TableDescriptor) -> TableInfo:
        """Give a table that is to be created its id, which no other table gets.

        It is in memory only until the table is stored, so after a crash another table may get the id of one that never
        was.

        The table is not there yet, except that :meth:`schema` answers for its id. Go on with :meth:`add_table`, or end
        with :meth:`discard_table`.

        Args:
            path: allowed names.
            descriptor: checked, with all defaults applied.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``TABLE_ALREADY_EXIST``.
        """
        return await self._tasks.run(self._prepare_table(path, descriptor))

    async def add_table(
        self, table: TableInfo, assignment: Sequence[Sequence[int]], also: Sequence[Operation] = ()
    ) -> None:
        """Make a prepared table durable. Nobody sees it before :meth:`show_table`.

        Args:
            table: from :meth:`prepare_table`.
            assignment: servers of the replicas of each bucket, by bucket number.
            also: operations of the same transaction, behind those of the table.

        Raises:
            FlussError: ``DATABASE_NOT_EXIST``, ``TABLE_ALREADY_EXIST`` when that changed since it was prepared.
        """
        await self._tasks.run(self._add_table(table, assignment, also))

    async def discard_table(self, table: TableInfo) -> None:
        """Forget a prepared table that was not shown, and delete what was stored of it."""
        await self._tasks.run(self._discard_table(table))

    def is_hidden(self, table: TableInfo) -> bool:
        """Whether a table is stored, and not shown yet."""
        return table.table_id in self._hidden

    async def write_table(self, table: TableInfo) -> TableInfo:
        """Write another definition of an existing table, with the present time as its time of modification.

        It is durable when this returns. Until :meth:`show_table` everybody sees the old one, except that
        :meth:`schema` answers for a new schema at once.

        Args:
            table: a table with other options, or with a schema whose id is the next one.

        Returns:
            what :meth:`show_table` takes.

        Raises:
            FlussError: ``TABLE_NOT_EXIST`` when it is gone.
        """
        return await self._tasks.run(self._write_table(table))

    def show_table(self, table: TableInfo) -> None:
        """Let everybody see what :meth:`add_table` or :meth:`write_table` wrote."""
        self._hidden.pop(table.table_id, None)
        self._remember(table, self._schemas[table.table_id])

    async def drop_table(self, path: TablePath) -> TableInfo:
        """Drop a table and return what it was; ``TABLE_NOT_EXIST``."""
        return await self._tasks.run(self._drop_table(path))

    async def prepare_partition(self, table: TableInfo, name: str) -> PartitionInfo:
        """Give a partition that is to be created its id, as :meth:`prepare_table`.

        Args:
            table: an existing partitioned table.
            name: values joined with ``$``, allowed.

        Raises:
            FlussError: ``TABLE_NOT_EXIST`` when the table is gone, ``PARTITION_ALREADY_EXISTS``.
        """
        return await self._tasks.run(self._prepare_partition(table, name))

    async def add_partition(
        self,
        table: TableInfo,
        partition: PartitionInfo,
        assignment: Sequence[Sequence[int]],
        also: Sequence[Operation] = (),
    ) -> None:
        """Make a prepared partition durable; as :meth:`add_table`."""
        await self._tasks.run(self._add_partition(table, partition, assignment, also))

    def show_partition(self, partition: PartitionInfo) -> None:
        """Let everybody see what :meth:`add_partition` wrote."""
        self._partitions.remember(partition)

    async def discard_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        """Delete what was stored of a partition that was not shown."""
        await self._tasks.run(self._discard_partition(table, partition))

    async def drop_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        """Drop a partition; ``TABLE_NOT_EXIST``, ``PARTITION_NOT_EXISTS`` when it is gone already."""
        await self._tasks.run(self._drop_partition(table, partition))

    async def next_ids(self) -> tuple[int, int]:
        """Ids above those of everything that was ever stored: of tables, and of partitions."""
        table_id, _ = await self._advance(TABLE_ID_COUNTER, 0)
        partition_id, _ = await self._advance(PARTITION_ID_COUNTER, 0)
        return table_id, partition_id

    async def reserve_ids(self, table_id: int, count: int) -> int:
        """Reserve ids for the auto-increment column of a table, across restarts and crashes.

        Args:
            table_id: of a table with such a column.
            count: how many.

        Returns:
            the first of ``count`` numbers in a row that were never given for this table; they begin with 1.

        Raises:
            FlussError: ``TABLE_NOT_EXIST``; ``OPERATION_NOT_ATTEMPTED_EXCEPTION`` when there are not so many left.
        """
        return await self._tasks.run(self._reserve_ids(table_id, count))

    async def reserve_writer_ids(self, count: int, above: int = -1) -> int:
        """Reserve ids that no writer of this cluster ever had, also across restarts and crashes.

        Args:
            count: how many.
            above: the ids are larger than this one, which is in some log; it is ignored when no counter can have
                reached it.

        Returns:
            the first of ``count`` numbers in a row.
        """
        return await self._tasks.run(self._reserve_writer_ids(count, above))

    # Bodies of the above, each run to its end

    async def _create_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        async with self._lock:
            if name in self._databases:
                raise FlussError(ErrorCode.DATABASE_ALREADY_EXIST, f"database {name!r} already exists")
            now = self._clock.now_ms()
            record = DatabaseRecord(descriptor, now, now)
            await self._store.commit([Create(database_path(name), record.encode()), Create(tables_path(name))])
            self._databases[name] = record
            self._tables[name] = {}

    async def _alter_database(self, name: str, descriptor: DatabaseDescriptor) -> None:
        async with self._lock:
            current = self.database(name)
            modified = max(self._clock.now_ms(), current.modified_time)  # never backwards, whatever the clock does
            record = replace(current, descriptor=descriptor, modified_time=modified)
            await self._store.commit([Set(database_path(name), record.encode())])
            self._databases[name] = record

    async def _drop_database(self, name: str, cascade: bool) -> list[TableInfo]:
        async with self._lock:
            if name == DEFAULT_DATABASE:
                raise FlussError(
                    ErrorCode.INVALID_DATABASE_EXCEPTION, f"the default database {name!r} cannot be dropped"
                )
            self.database(name)
            tables = [self._tables[name][table] for table in sorted(self._tables[name])]
            if tables and not cascade:
                raise FlussError(
                    ErrorCode.DATABASE_NOT_EMPTY,
                    f"database {name!r} has {len(tables)} tables",
                    hint="drop them first, or drop the database with CASCADE",
                )
            operations = await deletions_below(self._store, database_path(name))
            operations += await self._assignment_deletions(tables)
            await self._store.commit(operations)
            for table in tables:
                self._forget(table)
            del self._databases[name]
            del self._tables[name]
            return tables

    async def _prepare_table(self, path: TablePath, descriptor: TableDescriptor) -> TableInfo:
        async with self._lock:
            self._check_absent(path)
            table_id = await self._draw(TABLE_ID_COUNTER)
            now = self._clock.now_ms()
            self._schemas[table_id] = {FIRST_SCHEMA_ID: descriptor.schema}
            return TableInfo(path, table_id, FIRST_SCHEMA_ID, descriptor, now, now)

    async def _add_table(
        self, table: TableInfo, assignment: Sequence[Sequence[int]], also: Sequence[Operation]
    ) -> None:
        async with self._lock:
            self._check_absent(table.path)
            record = AssignmentRecord({bucket: tuple(servers) for bucket, servers in enumerate(assignment)})
            await self._store.commit(
                [
                    *await self._raise_counter(TABLE_ID_COUNTER, table.table_id + 1),
                    Create(table_assignment_path(table.table_id), record.encode()),
                    Create(table_path(table.path), TableRecord.of(table).encode()),
                    Create(schemas_path(table.path)),
                    Create(schema_path(table.path, table.schema_id), table.schema.to_json_bytes()),
                    *also,
                ]
            )
            self._hidden[table.table_id] = table

    async def _discard_table(self, table: TableInfo) -> None:
        assert table.table_id not in self._tables_by_id, "a table that was shown is dropped, not discarded"
        async with self._lock:
            if table.table_id in self._hidden:
                operations = await deletions_below(self._store, table_path(table.path))
                operations += await self._assignment_deletions([table])
                await self._store.commit(operations)
                del self._hidden[table.table_id]
            self._schemas.pop(table.table_id, None)

    async def _write_table(self, table: TableInfo) -> TableInfo:
        async with self._lock:
            if (current := self.table_by_id(table.table_id)) is None:
                raise _no_table(table.path)
            path = table_path(table.path)
            # Times never go backwards, whatever the clock does.
            table = replace(table, modified_time=max(self._clock.now_ms(), current.modified_time))
            stored = TableRecord.decode(path, await self._value(path))
            record = replace(TableRecord.of(table), remote_data_dir=stored.remote_data_dir)
            operations: list[Operation] = [Set(path, record.encode())]
            if table.schema_id != current.schema_id:
                operations.append(Create(schema_path(table.path, table.schema_id), table.schema.to_json_bytes()))
            await self._store.commit(operations)
            self._schemas[table.table_id][table.schema_id] = table.schema
            return table

    async def _drop_table(self, path: TablePath) -> TableInfo:
        async with self._lock:
            table = self.table(path)
            operations = await deletions_below(self._store, table_path(path))
            operations += await self._assignment_deletions([table])
            await self._store.commit(operations)
            self._forget(table)
            return table

    async def _prepare_partition(self, table: TableInfo, name: str) -> PartitionInfo:
        async with self._lock:
            self._check_partition_absent(table, name)
            return PartitionInfo(table.table_id, await self._draw(PARTITION_ID_COUNTER), name)

    async def _add_partition(
        self,
        table: TableInfo,
        partition: PartitionInfo,
        assignment: Sequence[Sequence[int]],
        also: Sequence[Operation],
    ) -> None:
        async with self._lock:
            self._check_partition_absent(table, partition.name)
            counter = await self._raise_counter(PARTITION_ID_COUNTER, partition.partition_id + 1)
            creation = await self._partitions.creation(table, partition, assignment)
            await self._store.commit([*counter, *creation, *also])

    async def _discard_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        async with self._lock:
            if await self._store.get(partition_path(table.path, partition.name)) is not None:
                await self._store.commit(await self._partitions.deletion(table, partition))

    async def _drop_partition(self, table: TableInfo, partition: PartitionInfo) -> None:
        async with self._lock:
            self._check_present(table)
            if self._partitions.by_id(partition.partition_id) is None:
                raise no_partition(table, partition.name)
            await self._store.commit(await self._partitions.deletion(table, partition))
            self._partitions.forget(partition)

    async def _reserve_ids(self, table_id: int, count: int) -> int:
        async with self._lock:
            table = self.table_by_id(table_id)
            if table is None:
                raise FlussError(ErrorCode.TABLE_NOT_EXIST, f"there is no table with id {table_id}")
            name = table.schema.auto_increment_column
            assert name is not None, f"{table.path} has no auto-increment column"
            path = auto_increment_path(table.path, table.schema.columns[table.schema.names.index(name)].column_id)
            checks = await self._checks_of(table)
            node = await self._store.get(path)
            reserved = 0 if node is None else decode_counter(path, node.value)
            if reserved + count > MAX_COUNTER:
                raise FlussError(
                    ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION, f"column {name!r} of {table.path} has no ids left"
                )
            value = encode_counter(reserved + count)
            if node is None:
                operations = [*await missing_parents(self._store, path), Create(path, value)]
            else:
                operations = [Set(path, value, node.version)]
            try:
                # Another coordinator may have dropped the table, made one of its name, or reserved the same ids.
                await self._store.commit([*checks, *operations])
            except MetadataConflict as error:
                raise FlussError(
                    ErrorCode.STORAGE_EXCEPTION,
                    f"ids of {table.path} were not reserved, because the metadata changed meanwhile: {error.message}",
                    hint="the same batch may be sent again",
                ) from None
            return reserved + 1

    async def _checks_of(self, table: TableInfo) -> list[Operation]:
        """Operations that fail when the table is gone by then; ``TABLE_NOT_EXIST`` when it is gone now."""
        path = table_path(table.path)
        node = await self._store.get(path)
        if node is None or TableRecord.decode(path, node.value).table_id != table.table_id:
            raise _no_table(table.path)
        checks: list[Operation] = [Check(path, node.version)]
        # A new table of the same name has a node of the same version, and an assignment of its own.
        assignment = table_assignment_path(table.table_id)
        if await self._store.get(assignment) is not None:
            checks.append(Check(assignment))
        return checks

    async def _reserve_writer_ids(self, count: int, above: int) -> int:
        async with self._lock:
            next_id, _ = await self._advance(WRITER_ID_COUNTER, 0)
            first = next_id
            if next_id <= above < MAX_COUNTED_WRITER_ID:
                logger.warning(
                    "writer ids up to %d are in use, but the metadata knows only those below %d: it is older than the"
                    " data",
                    above,
                    next_id,
                )
                first = above + 1
            _, operation = await self._advance(WRITER_ID_COUNTER, first + count - next_id)
            await self._store.commit([operation])
            return first

    async def _draw(self, path: str) -> int:
        """An id that nothing else has; it is durable together with what gets it."""
        stored, _ = await self._advance(path, 0)
        drawn = max(stored, self._drawn.get(path, 0))
        self._drawn[path] = drawn + 1
        return drawn

    async def _raise_counter(self, path: str, next_id: int) -> list[Operation]:
        """What makes ids below ``next_id`` used, if they are not yet."""
        stored, _ = await self._advance(path, 0)
        if stored >= next_id:
            return []
        _, operation = await self._advance(path, next_id - stored)
        return [operation]

    async def _advance(self, path: str, step: int) -> tuple[int, Operation]:
        """Value of a counter and the operation that moves it on by ``step``."""
        node = await self._store.get(path)
        assert node is not None, "load() creates the counters"
        value = decode_counter(path, node.value)
        return value, Set(path, encode_counter(value + step), node.version)

    async def _assignment_deletions(self, tables: Sequence[TableInfo]) -> list[Operation]:
        operations: list[Operation] = []
        for table in tables:
            path = table_assignment_path(table.table_id)
            if await self._store.get(path) is not None:
                operations += await deletions_below(self._store, path)
            operations += await self._partitions.assignment_deletions(table)
        return operations

    def _check_absent(self, path: TablePath) -> None:
        self.database(path.database)
        if self.find_table(path) is not None or any(table.path == path for table in self._hidden.values()):
            raise FlussError(ErrorCode.TABLE_ALREADY_EXIST, f"table {path} already exists")

    def _check_present(self, table: TableInfo) -> None:
        if table.table_id not in self._tables_by_id:
            raise FlussError(ErrorCode.TABLE_NOT_EXIST, f"table {table.path} does not exist any more")

    def _check_partition_absent(self, table: TableInfo, name: str) -> None:
        self._check_present(table)
        if self.find_partition(table, name) is not None:
            raise FlussError(
                ErrorCode.PARTITION_ALREADY_EXISTS, f"partition {name!r} of table {table.path} already exists"
            )

    def _remember(self, table: TableInfo, schemas: dict[int, Schema]) -> None:
        self._tables[table.path.database][table.path.table] = table
        self._tables_by_id[table.table_id] = table
        self._schemas[table.table_id] = schemas

    def _forget(self, table: TableInfo) -> None:
        del self._tables[table.path.database][table.path.table]
        del self._tables_by_id[table.table_id]
        del self._schemas[table.table_id]
        self._partitions.forget_table(table.table_id)


def check_partitioned(table: TableInfo) -> None:
    """``TABLE_NOT_PARTITIONED_EXCEPTION`` unless the table has partition columns."""
    if not table.is_partitioned:
        raise FlussError(ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION, f"table {table.path} is not partitioned")


def no_partition(table: TableInfo, name: str) -> FlussError:
    """The error for a partition that does not exist."""
    keys, values = table.descriptor.partition_key, name.split("$")
    qualified = "/".join(map("=".join, zip(keys, values, strict=True))) if len(keys) == len(values) else name
    return identifiers.no_partition(table.path, qualified)


def _no_table(path: TablePath) -> FlussError:
    return FlussError(ErrorCode.TABLE_NOT_EXIST, f"table {path} does not exist")


def _no_database(name: str) -> FlussError:
    return FlussError(ErrorCode.DATABASE_NOT_EXIST, f"database {name!r} does not exist")
