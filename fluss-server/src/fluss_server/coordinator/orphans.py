"""Removes what an interrupted creation or deletion has left in the metadata store.

That is: nodes of tables without a value, and assignments, with the leaders below them, of tables and partitions that do
not exist. Official coordinators leave the same.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from fluss_server.coordinator.catalog_reader import unfinished_tables
from fluss_server.coordinator.fencing import commit_steps
from fluss_server.metadata.records import (
    PARTITION_ASSIGNMENTS,
    TABLE_ASSIGNMENTS,
    partition_assignment_path,
    table_assignment_path,
)
from fluss_server.metadata.store import MetadataStore, deletions_below, in_batches

logger = logging.getLogger(__name__)


async def remove_orphans(
    store: MetadataStore, databases: Collection[str], table_ids: Collection[int], partition_ids: Collection[int]
) -> None:
    """Remove them.

    Args:
        store: with container nodes.
        databases: that exist.
        table_ids: of tables that exist.
        partition_ids: of partitions that exist.
    """
    paths = [path for database in databases for path in await unfinished_tables(store, database)]
    paths += [table_assignment_path(number) for number in await _ids(store, TABLE_ASSIGNMENTS, table_ids)]
    paths += [partition_assignment_path(number) for number in await _ids(store, PARTITION_ASSIGNMENTS, partition_ids)]
    for path in paths:
        logger.info("removing metadata node %s, which is left of an interrupted change", path)
        await commit_steps(store, in_batches(await deletions_below(store, path), store.limits))


async def _ids(store: MetadataStore, path: str, known: Collection[int]) -> list[int]:
    """Ids that have an assignment and are not known."""
    ids = [int(name) for name in await store.children(path) if name.isdecimal()]
    return [number for number in ids if number not in known]
