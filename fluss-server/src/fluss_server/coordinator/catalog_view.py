"""What databases, tables and partitions there are: in memory, read without waiting."""

from __future__ import annotations

from fluss_server.coordinator.partition_registry import PartitionRegistry
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import DatabaseRecord
from fluss_server.metadata.store import MetadataStore
from fluss_server.model import identifiers
from fluss_server.model.identifiers import TablePath
from fluss_server.model.partition import PartitionInfo
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo


class CatalogView:
    """Definitions by name and by id. ``MetadataManager`` changes them.

    A *hidden* table or partition is stored, but its buckets have no leaders yet. Only :meth:`schema` knows it.
    """

    def __init__(self, store: MetadataStore) -> None:
        self._databases: dict[str, DatabaseRecord] = {}
        self._tables: dict[str, dict[str, TableInfo]] = {}
        self._tables_by_id: dict[int, TableInfo] = {}
        self._schemas: dict[int, dict[int, Schema]] = {}
        self._hidden: dict[int, TableInfo] = {}
        self._hidden_partitions: set[int] = set()
        self._partitions = PartitionRegistry(store)

    def databases(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._databases)

    def database_exists(self, name: str) -> bool:
        return name in self._databases

    def database(self, name: str) -> DatabaseRecord:
        """A database; ``DATABASE_NOT_EXIST``."""
        record = self._databases.get(name)
        if record is None:
            raise no_database(name)
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
            raise no_table(path)
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

    def is_hidden(self, table: TableInfo) -> bool:
        """Whether a table is stored, and not shown yet."""
        return table.table_id in self._hidden

    # For changes

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


def no_table(path: TablePath) -> FlussError:
    """The error for a table that does not exist."""
    return FlussError(ErrorCode.TABLE_NOT_EXIST, f"table {path} does not exist")


def no_database(name: str) -> FlussError:
    """The error for a database that does not exist."""
    return FlussError(ErrorCode.DATABASE_NOT_EXIST, f"database {name!r} does not exist")
