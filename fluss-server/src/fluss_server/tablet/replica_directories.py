"""Where the files of replicas are, and what happens to directories that are no longer needed.

Layout below the data directory (the official one)::

    {database}/{table}-{tableId}/log-{bucket}/     LogTablet
    {database}/{table}-{tableId}/kv-{bucket}/      KvTablet, primary-key tables only
    {database}/{table}-{tableId}/{partition}-p{partitionId}/log-{bucket}/     the same of a partition
    {database}/{table}-{tableId}/{partition}-p{partitionId}/kv-{bucket}/

A table or partition that is dropped loses its metadata first; its directory is then renamed to ``*.deleted`` and
removed. Whatever a crash leaves of that is finished at the next start, unless the metadata had to be repaired: then
directories that it does not know are renamed to ``*.orphaned`` and kept.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePath

from fluss_server.cluster.messages import IdBounds
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket, TablePath
from fluss_server.runtime.disk import Disk

logger = logging.getLogger(__name__)

_TABLE_DIRECTORY = re.compile(r"(?P<name>.+)-(?P<id>\d+)\Z")
_PARTITION_DIRECTORY = re.compile(r"(?P<name>.+)-p(?P<id>\d+)\Z")
_BUCKET_DIRECTORY = re.compile(r"(log|kv)-(?P<number>\d+)(?P<deleted>\.deleted)?\Z")
_DELETED = ".deleted"
ORPHANED = ".orphaned"
"""End of the name of a directory that the metadata does not know and that was kept; a number may follow."""


class ReplicaDirectories:
    """The directories of one server. All methods block, and raise ``OSError``.

    Args:
        root: data directory; this object expects to be its only user.
        disk: where it is.
    """

    def __init__(self, root: PurePath, disk: Disk) -> None:
        self._root = root
        self._disk = disk

    def of_table(self, path: TablePath, table_id: int) -> PurePath:
        """The directory of a table."""
        return self._root / path.database / f"{path.table}-{table_id}"

    def of_physical_table(
        self, path: TablePath, table_id: int, partition: str | None, partition_id: int | None
    ) -> PurePath:
        """The directory of a table without partitions, or of a partition."""
        directory = self.of_table(path, table_id)
        return directory if partition is None else directory / f"{partition}-p{partition_id}"

    def remove(self, directory: PurePath) -> None:
        """Remove the directory of a table or partition, if it is there.

        A crash leaves it under a name that the next start removes.
        """
        if self._disk.exists(directory):
            self._remove(directory)

    def remove_replica(self, directory: PurePath, bucket: int) -> None:
        """Remove the files of a replica that is not open, from the directory of its table or partition."""
        for kind in ("kv", "log"):  # rows without their log would be taken for those of the next one
            if self._disk.exists(path := directory / f"{kind}-{bucket}"):
                self._remove(path)

    def remove_if_empty(self, table_directory: PurePath) -> None:
        """Remove the directories of partitions that hold nothing, and that of the table if it is empty then.

        No replica of the table is opened at the same time: that makes the same directories.
        """
        if not self._disk.exists(table_directory):
            return
        for directory in (*[path for path, _ in self._partitions(table_directory)], table_directory):
            if not self._disk.list(directory):
                self._disk.remove_directory(directory)
                self._disk.sync_directory(directory.parent)

    def find(self, physical_tables: Collection[tuple[int, int | None]]) -> dict[tuple[int, int | None], PurePath]:
        """The directories of tables and partitions that the metadata does not name any more, as far as there are any.

        Args:
            physical_tables: id of the table and, for a partition, its id.
        """
        found: dict[tuple[int, int | None], PurePath] = {}
        partitioned = {table_id for table_id, partition_id in physical_tables if partition_id is not None}
        for table, table_id in self._tables():
            owners: list[tuple[PurePath, int | None]] = [(table, None)]
            if table_id in partitioned:
                owners += self._partitions(table)
            found.update(
                ((table_id, partition_id), directory)
                for directory, partition_id in owners
                if (table_id, partition_id) in physical_tables
            )
        return found

    def _remove(self, directory: PurePath) -> None:
        to_delete = directory.with_name(directory.name + _DELETED)
        if self._disk.exists(to_delete):  # not all of it could be removed
            self._disk.remove_tree(to_delete)
        self._disk.rename(directory, to_delete)
        self._disk.sync_directory(directory.parent)
        self._disk.remove_tree(to_delete)

    def remove_orphans(
        self,
        is_partitioned: Callable[[int], bool | None],
        has_partition: Callable[[int], bool],
        bounds: IdBounds,
    ) -> None:
        """Remove or set aside what dropped tables and partitions left, once all other directories are known.

        Args:
            is_partitioned: of the table with an id; None when there is no such table.
            has_partition: whether there is a partition with an id.
            bounds: smaller ids than these were of tables and partitions that were dropped.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when a directory has a larger id: metadata and data do not belong
                together, and nothing is touched.
        """
        orphans: list[PurePath] = []
        for directory in self._database_entries():
            match = _TABLE_DIRECTORY.match(directory.name)
            if directory.name.endswith(_DELETED):
                orphans.append(directory)
            elif match is not None and self._disk.is_directory(directory):
                partitioned = is_partitioned(int(match["id"]))
                if partitioned is None:
                    _check_drawn(directory, int(match["id"]), bounds.next_table_id)
                    orphans.append(directory)
                elif partitioned:
                    orphans += self._partition_orphans(directory, has_partition, bounds.next_partition_id)
        for orphan in orphans:
            if not bounds.complete:
                if not orphan.name.endswith(_DELETED):
                    self._set_aside(orphan)
                continue
            logger.info("removing %s, left over from a dropped table or partition", orphan)
            if orphan.name.endswith(_DELETED):
                self._disk.remove_tree(orphan)
            else:
                self._remove(orphan)

    def replicas(self) -> tuple[dict[TableBucket, PurePath], dict[int, PurePath]]:
        """What is there; files that a crash did not let be removed are removed now.

        Returns:
            the directory of the table or partition of every replica; and by table id the directories of tables that
            are empty or have empty partitions.
        """
        replicas: dict[TableBucket, PurePath] = {}
        empty: dict[int, PurePath] = {}
        for table, number in list(self._tables()):
            owners: list[tuple[PurePath, int | None]] = [(table, None), *self._partitions(table)]
            for directory, partition_id in owners:
                names = self._disk.list(directory)
                deleted = [name for name in names if _BUCKET_DIRECTORY.match(name) and name.endswith(_DELETED)]
                for name in deleted:
                    self._disk.remove_tree(directory / name)
                if len(names) == len(deleted):
                    empty[number] = table
                for name in names:
                    match = _BUCKET_DIRECTORY.match(name)
                    if match is not None and not match["deleted"]:
                        replicas[TableBucket(number, partition_id, int(match["number"]))] = directory
        return replicas, empty

    def _partition_orphans(
        self, table_directory: PurePath, has_partition: Callable[[int], bool], next_partition_id: int
    ) -> list[PurePath]:
        orphans = []
        for name in self._disk.list(table_directory):
            path = table_directory / name
            match = _PARTITION_DIRECTORY.match(name)
            if name.endswith(_DELETED):
                orphans.append(path)
            elif match is not None and self._disk.is_directory(path) and not has_partition(int(match["id"])):
                _check_drawn(path, int(match["id"]), next_partition_id)
                orphans.append(path)
        return orphans

    def _set_aside(self, directory: PurePath) -> None:
        """Rename a directory so that it is not taken for a table or partition."""
        target = directory.with_name(directory.name + ORPHANED)
        number = 1
        while self._disk.exists(target):
            number += 1
            target = directory.with_name(f"{directory.name}{ORPHANED}{number}")
        self._disk.rename(directory, target)
        self._disk.sync_directory(directory.parent)
        logger.error(
            "%s belongs to a table or partition that the repaired metadata does not know; it is kept as %s. If it is"
            " not needed, stop the server and remove it",
            directory,
            target.name,
        )

    def _database_entries(self) -> Iterator[PurePath]:
        if not self._disk.exists(self._root):
            return
        for database in self._disk.list(self._root):
            if self._disk.is_directory(self._root / database):
                for name in self._disk.list(self._root / database):
                    yield self._root / database / name

    def _tables(self) -> Iterator[tuple[PurePath, int]]:
        for directory in self._database_entries():
            match = _TABLE_DIRECTORY.match(directory.name)
            if match is not None:
                yield directory, int(match["id"])

    def _partitions(self, table_directory: PurePath) -> Iterator[tuple[PurePath, int]]:
        for name in self._disk.list(table_directory):
            match = _PARTITION_DIRECTORY.match(name)
            if match is not None:
                yield table_directory / name, int(match["id"])


def _check_drawn(path: PurePath, number: int, next_id: int) -> None:
    """Refuse a directory whose id was never drawn, as far as the metadata knows."""
    if number >= next_id:
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"{path} holds a table or partition that the metadata does not know",
            hint="the metadata file is missing or older than the data; restore it, or move the directory away",
        )
