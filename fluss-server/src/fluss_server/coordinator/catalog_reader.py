"""Reads definitions from the metadata store, and creates the nodes that must always be there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fluss_server.coordinator.definition_sizes import DefinitionSizes
from fluss_server.coordinator.id_counters import COUNTERS
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.records import (
    DATABASES,
    PARTITION_ASSIGNMENTS,
    TABLE_ASSIGNMENTS,
    DatabaseRecord,
    TableRecord,
    database_path,
    decode_schema,
    encode_counter,
    schema_path,
    schemas_path,
    table_path,
    tables_path,
)
from fluss_server.metadata.store import Create, MetadataStore, StoreOperation, missing_parents
from fluss_server.model.identifiers import TablePath
from fluss_server.model.schema import Schema
from fluss_server.model.table import TableInfo

_TABLES_AT_ONCE = 200  # each has a few requests to the store, one after the other


async def create_frame(store: MetadataStore) -> None:
    """Create container nodes and counters that are missing, in one commit: each costs two fsyncs of the first start."""
    nodes = [(path, b"") for path in (DATABASES, TABLE_ASSIGNMENTS, PARTITION_ASSIGNMENTS)]
    missing: list[StoreOperation] = []
    for path, value in [*nodes, *((path, encode_counter(0)) for path in COUNTERS)]:
        if await store.get(path) is None:
            missing += [*await missing_parents(store, path), Create(path, value)]
    if missing:
        await store.commit(list(dict.fromkeys(missing)))  # some have the same parents


async def read_databases(store: MetadataStore, sizes: DefinitionSizes) -> dict[str, DatabaseRecord]:
    """Every database by name; ``UNKNOWN_SERVER_ERROR`` for a node that cannot be read, with its path."""
    found = {}
    for database in await store.children(DATABASES):
        path = database_path(database)
        value = await _value(store, path)
        found[database] = DatabaseRecord.decode(path, value)
        sizes.set(database, len(value))
    return found


async def read_tables(
    store: MetadataStore, database: str, sizes: DefinitionSizes
) -> list[tuple[TableInfo, dict[int, Schema]]]:
    """The tables of a database, each with all its schemas by id; errors as :func:`read_databases`."""
    paths = [TablePath(database, name) for name in await _children(store, tables_path(database))]
    values = await _values(store, [table_path(path) for path in paths])
    # Without a value the creation or deletion was interrupted, and there is no table.
    tables = [(path, value) for path, value in zip(paths, values, strict=True) if value]
    found: list[tuple[TableInfo, dict[int, Schema]]] = []
    for first in range(0, len(tables), _TABLES_AT_ONCE):
        some = tables[first : first + _TABLES_AT_ONCE]
        found += await asyncio.gather(*(_read_table(store, path, value, sizes) for path, value in some))
    return found


async def unfinished_tables(store: MetadataStore, database: str) -> list[str]:
    """Paths of nodes that are no tables, because they have no value."""
    paths = [table_path(TablePath(database, name)) for name in await _children(store, tables_path(database))]
    nodes = await store.get_all(paths)
    return [path for path, node in zip(paths, nodes, strict=True) if node is not None and not node.value]


async def _read_table(
    store: MetadataStore, path: TablePath, value: bytes, sizes: DefinitionSizes
) -> tuple[TableInfo, dict[int, Schema]]:
    record = TableRecord.decode(table_path(path), value)
    size_bytes = len(value)
    names = await _children(store, schemas_path(path))
    for name in names:
        if not name.isdecimal():
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{schemas_path(path)}/{name} is not a schema id")
    node_paths = [schema_path(path, int(name)) for name in names]
    schemas: dict[int, Schema] = {}
    for name, node_path, schema in zip(names, node_paths, await _values(store, node_paths), strict=True):
        schemas[int(name)] = decode_schema(node_path, schema)
        size_bytes += len(schema)
    if not schemas:
        raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {table_path(path)} has no schema")
    newest = max(schemas)
    table = record.table_info(path, newest, schemas[newest])
    sizes.set(table.table_id, size_bytes)
    return table, schemas


async def _value(store: MetadataStore, path: str) -> bytes:
    [value] = await _values(store, [path])
    return value


async def _values(store: MetadataStore, paths: Sequence[str]) -> list[bytes]:
    values = []
    for path, node in zip(paths, await store.get_all(paths), strict=True):
        if node is None:
            raise FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"metadata node {path} is missing")
        values.append(node.value)
    return values


async def _children(store: MetadataStore, path: str) -> list[str]:
    return [] if await store.get(path) is None else await store.children(path)
