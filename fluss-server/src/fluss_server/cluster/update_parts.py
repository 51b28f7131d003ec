"""Cuts an UPDATE_METADATA into requests of bounded size, and puts the parts of a snapshot together again.

A snapshot of a cluster with thousands of tables would be a frame of any size, and encoding or decoding it would hold
the event loop. It travels in parts that the receiver keeps until the last one, so that nobody sees half of it. Any
other update is cut into updates that are applied one after the other: each is a valid change by itself. A part holds at
least one table or partition with all its buckets; of a table with long older schemas it holds the definition and some
of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fluss_server.cluster.messages import (
    BucketMetadata,
    ControlStamp,
    PartitionMetadata,
    TableMetadata,
    UpdateMetadata,
)
from fluss_server.errors import ErrorCode, FlussError

MAX_PART_BYTES = 256 << 10
"""About the longest request; a single table may need more. Decoding it takes less than 20 ms."""

_ENTRY_BYTES = 64
_BUCKET_BYTES = 48
_SERVER_BYTES = 12  # an id in the list of replicas, and in the ISR

_Entry = TableMetadata | PartitionMetadata


def cut(update: UpdateMetadata, max_bytes: int = MAX_PART_BYTES) -> list[UpdateMetadata]:
    """The update as requests to send in order.

    Args:
        update: any; a snapshot is not cut yet.
        max_bytes: about how long the encoding of a request may be, unless a single entry needs more.
    """
    groups = list(_groups(_entries(update, max_bytes), max_bytes)) or [[]]
    if len(groups) == 1:
        return [update]
    updates = []
    for number, group in enumerate(groups):
        content = update._replace(
            tables=tuple(entry for entry in group if isinstance(entry, TableMetadata)),
            partitions=tuple(entry for entry in group if isinstance(entry, PartitionMetadata)),
            part=None if update.snapshot is None else number,
        )
        if number > 0:  # said once
            content = content._replace(dropped_tables=(), dropped_partitions=(), coordinator=None, tablet_servers=None)
        if number < len(groups) - 1:
            content = content._replace(snapshot=None)
        updates.append(content)
    return updates


def _groups(entries: Iterable[tuple[_Entry, int]], max_bytes: int) -> Iterator[list[_Entry]]:
    group: list[_Entry] = []
    total = 0
    for entry, size in entries:
        if group and total + size > max_bytes:
            yield group
            group, total = [], 0
        group.append(entry)
        total += size
    if group:
        yield group


def _entries(update: UpdateMetadata, max_bytes: int) -> Iterator[tuple[_Entry, int]]:
    """Tables and partitions with about the bytes of their encoding; a table again for each portion of older schemas."""
    for table in update.tables:
        path = table.table.path
        base = _ENTRY_BYTES + len(path.database) + len(path.table) + len(table.table.descriptor_json)
        base += _bucket_bytes(table.buckets)
        schemas: list[tuple[int, int]] = []  # id, bytes
        total = base
        older = dict(table.older_schemas)
        for schema_id, schema in table.older_schemas:
            size = _ENTRY_BYTES + len(schema.to_json_bytes())
            if schemas and total + size > max_bytes:
                yield table._replace(older_schemas=tuple((found, older[found]) for found, _ in schemas)), total
                schemas, total = [], base
            schemas.append((schema_id, size))
            total += size
        yield table._replace(older_schemas=tuple((found, older[found]) for found, _ in schemas)), total
    for partition in update.partitions:
        size = _ENTRY_BYTES + 4 * len(partition.partition.name) + _bucket_bytes(partition.buckets)
        yield partition, size


def _bucket_bytes(buckets: Sequence[BucketMetadata]) -> int:
    return sum(_BUCKET_BYTES + _SERVER_BYTES * len(bucket.replicas) for bucket in buckets)


class SnapshotParts:
    """Collects the parts of one snapshot. They come in order; each may come again."""

    def __init__(self) -> None:
        self._of: tuple[int, ControlStamp | None] | None = None  # coordinator epoch and stamp of the snapshot
        self._parts: list[UpdateMetadata] = []
        self._expected = 0

    def add(self, update: UpdateMetadata) -> UpdateMetadata | None:
        """Take a part in.

        Returns:
            the whole snapshot with the last part, until :meth:`applied`; else None.

        Raises:
            FlussError: ``INVALID_UPDATE_VERSION_EXCEPTION`` when parts before it are missing: send all of them again.
        """
        assert update.part is not None, "it is a part"
        snapshot = update.coordinator_epoch, update.stamp
        if snapshot != self._of and update.part == 0:
            self._of, self._parts, self._expected = snapshot, [], 0
        if snapshot != self._of or update.part > self._expected:
            raise FlussError(
                ErrorCode.INVALID_UPDATE_VERSION_EXCEPTION,
                f"part {update.part} of a snapshot came without the parts before it",
            )
        if update.part < self._expected:
            return None
        if update.snapshot is None:
            self._parts.append(update)
            self._expected += 1
            return None
        return _merged([*self._parts, update])

    def applied(self) -> None:
        """The snapshot that was returned has taken effect; its parts mean nothing any more."""
        self._parts = []
        self._expected = 1 << 31


def _merged(parts: Sequence[UpdateMetadata]) -> UpdateMetadata:
    first, last = parts[0], parts[-1]
    tables: dict[int, TableMetadata] = {}
    for part in parts:
        for entry in part.tables:
            known = tables.get(entry.table.table_id)
            if known is not None:
                entry = entry._replace(older_schemas=known.older_schemas + entry.older_schemas)
            tables[entry.table.table_id] = entry
    return first._replace(
        tables=tuple(tables.values()),
        partitions=tuple(partition for part in parts for partition in part.partitions),
        snapshot=last.snapshot,
        part=None,
    )
