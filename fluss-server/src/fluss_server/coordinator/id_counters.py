"""Ids: of tables and partitions, of writers, and of auto-increment columns. Each is a counter of the metadata store."""

from __future__ import annotations

import logging

from fluss_server.coordinator.catalog_view import no_table
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    MAX_COUNTER,
    PARTITION_ID_COUNTER,
    TABLE_ID_COUNTER,
    WRITER_ID_COUNTER,
    TableRecord,
    auto_increment_path,
    decode_counter,
    encode_counter,
    table_assignment_path,
    table_path,
)
from fluss_server.metadata.store import (
    Check,
    Create,
    MetadataConflict,
    MetadataStore,
    Set,
    StoreOperation,
    missing_parents,
)
from fluss_server.model.table import TableInfo

logger = logging.getLogger(__name__)

COUNTERS = (TABLE_ID_COUNTER, PARTITION_ID_COUNTER, WRITER_ID_COUNTER)
"""Counters that exist always."""

MAX_COUNTED_WRITER_ID = 2**62
"""Clients may send any id; from here on they do not count as ids of the counter, or one client could use it up."""


class IdCounters:
    """Calls must not overlap; the owner of this object makes them one at a time.

    Args:
        store: has the :data:`COUNTERS`.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._store = store
        self._drawn: dict[str, int] = {}  # by path of a counter: the next id, also of what is not stored yet

    async def next_ids(self) -> tuple[int, int]:
        """Ids above those of everything that was ever stored: of tables, and of partitions."""
        table_id, _ = await self._advance(TABLE_ID_COUNTER, 0)
        partition_id, _ = await self._advance(PARTITION_ID_COUNTER, 0)
        return table_id, partition_id

    async def draw(self, path: str) -> int:
        """An id of a counter that nothing else has. It is in memory only until it is used: see :meth:`use`."""
        stored, _ = await self._advance(path, 0)
        drawn = max(stored, self._drawn.get(path, 0))
        self._drawn[path] = drawn + 1
        return drawn

    async def use(self, path: str, drawn: int) -> list[StoreOperation]:
        """What makes a drawn id durable, for the transaction of what gets it."""
        stored, _ = await self._advance(path, 0)
        if stored > drawn:
            return []
        _, operation = await self._advance(path, drawn + 1 - stored)
        return [operation]

    async def reserve_column_ids(self, table: TableInfo, count: int) -> int:
        """Reserve ids for the auto-increment column of a table, across restarts and crashes.

        Args:
            table: with such a column.
            count: how many.

        Returns:
            the first of ``count`` numbers in a row that were never given for this table; they begin with 1.

        Raises:
            FlussError: ``OPERATION_NOT_ATTEMPTED_EXCEPTION`` when there are not so many left; ``TABLE_NOT_EXIST``;
                ``STORAGE_EXCEPTION`` when somebody else changed the table or its counter at the same time.
        """
        name = table.schema.auto_increment_column
        assert name is not None, f"{table.path} has no auto-increment column"
        path = auto_increment_path(table.path, table.schema.columns[table.schema.names.index(name)].column_id)
        node = await self._store.get(path)
        reserved = 0 if node is None else decode_counter(path, node.value)
        if reserved + count > MAX_COUNTER:
            raise FlussError(
                ErrorCode.OPERATION_NOT_ATTEMPTED_EXCEPTION, f"column {name!r} of {table.path} has no ids left"
            )
        value = encode_counter(reserved + count)
        operations: list[StoreOperation] = await self._checks_of(table)
        if node is None:
            operations += [*await missing_parents(self._store, path), Create(path, value)]
        else:
            operations.append(Set(path, value, node.version))
        try:
            # Another coordinator may have dropped the table, made one of its name, or reserved the same ids.
            await self._store.commit(operations)
        except MetadataConflict as error:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"ids of {table.path} were not reserved, because the metadata changed meanwhile: {error.message}",
                hint="the same batch may be sent again",
            ) from None
        return reserved + 1

    async def _checks_of(self, table: TableInfo) -> list[StoreOperation]:
        """Operations that fail when the table is gone by then; ``TABLE_NOT_EXIST`` when it is gone now."""
        path = table_path(table.path)
        node = await self._store.get(path)
        if node is None or TableRecord.decode(path, node.value).table_id != table.table_id:
            raise no_table(table.path)
        checks: list[StoreOperation] = [Check(path, node.version)]
        # A new table of the same name has a node of the same version, and an assignment of its own.
        assignment = table_assignment_path(table.table_id)
        if await self._store.get(assignment) is not None:
            checks.append(Check(assignment))
        return checks

    async def reserve_writer_ids(self, count: int, above: int = -1) -> int:
        """Reserve ids that no writer of this cluster ever had, also across restarts and crashes.

        Args:
            count: how many.
            above: the ids are larger than this one, which is in some log; it is ignored when no counter can have
                reached it.

        Returns:
            the first of ``count`` numbers in a row.
        """
        next_id, _ = await self._advance(WRITER_ID_COUNTER, 0)
        first = next_id
        if next_id <= above < MAX_COUNTED_WRITER_ID:
            logger.warning(
                "writer ids up to %d are in use, but the metadata knows only those below %d: it is older than the data",
                above,
                next_id,
            )
            first = above + 1
        _, operation = await self._advance(WRITER_ID_COUNTER, first + count - next_id)
        await self._store.commit([operation])
        return first

    async def _advance(self, path: str, step: int) -> tuple[int, StoreOperation]:
        """Value of a counter and the operation that moves it on by ``step``."""
        node = await self._store.get(path)
        assert node is not None, "the counters exist"
        value = decode_counter(path, node.value)
        return value, Set(path, encode_counter(value + step), node.version)
