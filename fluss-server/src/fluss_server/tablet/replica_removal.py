"""Closing replicas and removing their files: as STOP_REPLICA says, and what a snapshot of the metadata does not have.

A server may lack the newest metadata of a bucket: the coordinator tells it of a replica with NOTIFY_LEADER_AND_ISR
first and of the assignment after that. So what it was notified of since the last snapshot is never taken for a replica
that other servers have now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import PurePath
from typing import TypeVar

from fluss_server.cluster.messages import BucketResult, Failure, IdBounds, ReplicaStop, StopReplicas
from fluss_server.cluster.metadata_cache import MetadataCache
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.metrics.instruments import BucketCounters
from fluss_server.model.identifiers import TableBucket
from fluss_server.runtime.workers import WorkerPool
from fluss_server.tablet.bucket_changes import BucketChanges
from fluss_server.tablet.replica_directories import ReplicaDirectories
from fluss_server.tablet.replica_roles import HostedReplica, ReplicaRoles
from fluss_server.tablet.tablet_opener import TabletOpener

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_PhysicalTable = tuple[int, int | None]
"""Ids of a table and of its partition."""


class ReplicaRemoval:
    """Lives on one event loop.

    Args:
        server_id: of this server.
        hosted: the replicas that are open; closed ones are taken out.
        changes: the changes of all replicas.
        roles: closes replicas.
        opener: knows the directories of tables that exist.
        directories: finds and removes files.
        metadata: definitions and assignments.
        io_pool: for what blocks.
        dropped: gets what clients did to buckets that were removed.
    """

    def __init__(
        self,
        server_id: int,
        hosted: dict[TableBucket, HostedReplica],
        changes: BucketChanges,
        roles: ReplicaRoles,
        opener: TabletOpener,
        directories: ReplicaDirectories,
        metadata: MetadataCache,
        io_pool: WorkerPool,
        dropped: BucketCounters,
    ) -> None:
        self._server_id = server_id
        self._hosted = hosted
        self._changes = changes
        self._roles = roles
        self._opener = opener
        self._directories = directories
        self._metadata = metadata
        self._io_pool = io_pool
        self._dropped = dropped
        self._notified: set[TableBucket] = set()  # since the last snapshot, and not stopped since
        self._one_at_a_time = asyncio.Lock()  # so that flushes find free threads
        self._tasks = UninterruptedTasks()

    async def wait(self) -> None:
        """Return when everything that was begun has ended."""
        await self._tasks.wait()

    # ------------------------------------------------------------------ what is to be here

    def notified(self, buckets: Iterable[TableBucket]) -> None:
        """A notification has come, whose replicas are to be here."""
        self._notified.update(buckets)

    def snapshot_begins(self) -> None:
        """A snapshot has come; notifications after it are newer than what it says."""
        self._notified.clear()

    def _exists(self, bucket: TableBucket) -> bool:
        """Whether the metadata has the table and the partition of a bucket."""
        if bucket.partition_id is not None and self._metadata.partition(bucket.partition_id) is None:
            return False
        return self._metadata.table(bucket.table_id) is not None

    def _is_moved(self, bucket: TableBucket) -> bool:
        """Whether other servers have a bucket now; False while nothing is known about it."""
        if bucket in self._notified:
            return False
        for entry in self._metadata.buckets(bucket.table_id, bucket.partition_id):
            if entry.bucket == bucket.bucket:
                return self._server_id not in entry.replicas
        return False

    def _is_orphan(self, bucket: TableBucket) -> bool:
        return bucket not in self._notified and (not self._exists(bucket) or self._is_moved(bucket))

    def _is_in_use(self, table_id: int) -> bool:
        """Whether a bucket of a table is open, or may be opened."""
        return any(bucket.table_id == table_id for bucket in (*self._hosted, *self._changes.pending()))

    # ------------------------------------------------------------------ STOP_REPLICA

    async def stop(self, request: StopReplicas) -> tuple[BucketResult, ...]:
        """Close replicas, or delete them; a table or partition without any replica left loses its directory, too.

        It goes on when the caller is cancelled; a repetition waits for it.
        """
        stops = request.replicas
        self._notified.difference_update(stop.bucket for stop in stops)
        stopping = [self._changes.add(stop.bucket, partial(self._stop, stop)) for stop in stops]
        return await self._tasks.run(self._finish(stops, stopping))

    async def _stop(self, stop: ReplicaStop) -> tuple[BucketResult, PurePath | None]:
        """Stop one replica; gives the directory of its table or partition, too, if it is known."""
        bucket = stop.bucket
        hosted = self._hosted.get(bucket)
        directory = None if hosted is None else hosted.directory
        if hosted is not None and stop.leader_epoch < hosted.leadership.leader_epoch:
            failure = Failure(
                ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION,
                f"leader epoch {stop.leader_epoch} of bucket {bucket} is older than {hosted.leadership.leader_epoch}",
            )
            return BucketResult(bucket, failure), None
        try:
            if hosted is not None:
                await self._close(hosted, delete=stop.delete)
        except Exception as error:
            return BucketResult(bucket, failure_of(error, f"bucket {bucket} cannot be stopped")), directory
        try:
            if stop.delete and self._exists(bucket):  # it was moved; others of its table may be here, and not open
                table = self._metadata.table(bucket.table_id)
                if directory is None and table is not None:
                    directory = self._opener.directory_of(bucket, table)
                if directory is not None:
                    await self._run(self._directories.remove_replica, directory, bucket.bucket)
        except Exception as error:
            return BucketResult(bucket, failure_of(error, f"the files of {bucket} cannot be removed")), directory
        return BucketResult(bucket), directory

    async def _close(self, hosted: HostedReplica, *, delete: bool) -> None:
        del self._hosted[hosted.replica.bucket]
        self._roles.hide(hosted.replica)
        async with self._one_at_a_time:
            if delete:
                self._dropped.add(hosted.replica.counters)
                await self._roles.delete_replica(hosted)
            else:
                await self._roles.close_replica(hosted)

    async def _finish(
        self, stops: Iterable[ReplicaStop], stopping: Iterable[asyncio.Task[tuple[BucketResult, PurePath | None]]]
    ) -> tuple[BucketResult, ...]:
        results: dict[TableBucket, BucketResult] = {}
        dropped: dict[_PhysicalTable, PurePath | None] = {}
        tables: dict[int, PurePath] = {}  # directories that may be empty now
        for stop, (result, directory) in zip(stops, await asyncio.gather(*stopping), strict=True):
            bucket = result.bucket
            results[bucket] = result
            if not stop.delete:
                continue
            if not self._exists(bucket):
                key = bucket.table_id, bucket.partition_id
                dropped[key] = dropped.get(key) or directory
            elif directory is not None:
                tables[bucket.table_id] = directory if bucket.partition_id is None else directory.parent
        for key, failure in (await self._remove_dropped(dropped, tables)).items():
            results.update(
                (bucket, BucketResult(bucket, failure))
                for bucket in results
                if (bucket.table_id, bucket.partition_id) == key
            )
        for table_id, failure in (await self._remove_empty(tables)).items():
            results.update((bucket, BucketResult(bucket, failure)) for bucket in results if bucket.table_id == table_id)
        return tuple(results.values())

    async def _remove_dropped(
        self, dropped: Mapping[_PhysicalTable, PurePath | None], tables: dict[int, PurePath]
    ) -> dict[_PhysicalTable, Failure]:
        """Remove directories of dropped tables and partitions.

        Args:
            dropped: where they are; None when that is not known.
            tables: gets the directories of the tables of the partitions.

        Returns:
            what could not be removed.
        """
        in_use = {(bucket.table_id, bucket.partition_id) for bucket in (*self._hosted, *self._changes.pending())}
        unused = {key: directory for key, directory in dropped.items() if key not in in_use}
        failures = {}
        try:
            unknown = frozenset(key for key, directory in unused.items() if directory is None)
            found = await self._run(self._directories.find, unknown) if unknown else {}
        except Exception as error:
            failure = failure_of(error, "the directories of dropped tables cannot be found")
            return dict.fromkeys(unused, failure)
        for key, known in unused.items():
            directory = known or found.get(key)
            if directory is None:
                continue
            try:
                await self._run(self._directories.remove, directory)
            except Exception as error:
                failures[key] = failure_of(error, f"the directory of table {key[0]} cannot be removed")
            if key[1] is not None:
                tables[key[0]] = directory.parent
        return failures

    async def _remove_empty(self, tables: Mapping[int, PurePath]) -> dict[int, Failure]:
        """Remove the directories of tables without replicas; returns what could not be removed."""
        failures = {}
        in_use = {bucket.table_id for bucket in self._hosted}  # nearly always all of them; the search below takes long
        for table_id, directory in tables.items():
            if table_id in in_use or self._is_in_use(table_id):
                continue
            try:
                # A replica that is opened makes this directory, or finds it: not both at once.
                remove = partial(self._run, self._directories.remove_if_empty, directory)
                await self._changes.add_for_table(table_id, remove)
            except Exception as error:
                failures[table_id] = failure_of(error, f"the directory of table {table_id} cannot be removed")
        return failures

    # ------------------------------------------------------------------ snapshots

    async def orphans(self) -> tuple[ReplicaStop, ...]:
        """How to close the replicas of tables and partitions that the metadata does not have, and of buckets that
        other servers have now.

        Their directories are for :meth:`remove_orphans`, which knows whether the metadata can be trusted.
        """
        await self._changes.wait(self._is_orphan)
        return tuple(
            ReplicaStop(bucket, hosted.leadership.leader_epoch, delete=False)
            for bucket, hosted in self._hosted.items()
            if self._is_orphan(bucket)
        )

    async def remove_orphans(self, bounds: IdBounds) -> None:
        """Remove or set aside directories of what the metadata does not have; see :class:`ReplicaDirectories`.

        It goes on when the caller is cancelled.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when metadata and data do not belong together; nothing is touched.
            OSError: of the disk.
        """
        await self._tasks.run(self._remove_orphans(bounds))

    async def _remove_orphans(self, bounds: IdBounds) -> None:
        def is_partitioned(table_id: int) -> bool | None:
            table = self._metadata.table(table_id)
            return None if table is None else table.is_partitioned

        def has_partition(partition_id: int) -> bool:
            return self._metadata.partition(partition_id) is not None

        await self._run(self._directories.remove_orphans, is_partitioned, has_partition, bounds)
        if self._metadata.has_buckets_without(self._server_id) and bounds.complete:
            await self._remove_moved()  # this server may have been away when they were moved

    async def _remove_moved(self) -> None:
        """Remove the replicas of buckets that other servers have now. None of them is open.

        Another life of the bucket on this server must begin with nothing: what was not acknowledged when it was moved
        may differ from what is in the log of its leader since.
        """
        replicas, empty = await self._run(self._directories.replicas)
        moved = {bucket: directory for bucket, directory in replicas.items() if self._is_moved(bucket)}
        removing = [
            self._changes.add(bucket, partial(self._remove_closed, bucket, directory))
            for bucket, directory in moved.items()
        ]
        for result in await asyncio.gather(*removing, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        for bucket, directory in moved.items():
            empty[bucket.table_id] = directory if bucket.partition_id is None else directory.parent
        await self._remove_empty(empty)

    async def _remove_closed(self, bucket: TableBucket, directory: PurePath) -> None:
        if bucket in self._hosted:
            return  # it could not be closed
        logger.info("removing bucket %s from %s: other servers have it now", bucket, directory)
        await self._run(self._directories.remove_replica, directory, bucket.bucket)

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        async with self._one_at_a_time:
            return await self._io_pool.run(function, *arguments)


def failure_of(error: Exception, what: str) -> Failure:
    """What the coordinator hears of an error; the log gets it, too."""
    if isinstance(error, OSError):
        logger.error("%s: %s", what, error)
    elif not isinstance(error, FlussError):
        logger.error("%s", what, exc_info=error)
    return Failure.of(error)
