"""Which changes of replicas are under way: one at a time for a bucket, in the order in which they were requested."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fluss_server.model.identifiers import TableBucket

_T = TypeVar("_T")


class BucketChanges:
    """Queues of changes, one for every bucket that is being changed. Lives on one event loop.

    The order is that of the calls. The coordinator numbers its requests and this server refuses those that come too
    late, so a replica that is to be opened after its files were removed finds nothing of them, whatever waits for the
    disk. A change goes on when the task that requested it is cancelled.
    """

    def __init__(self) -> None:
        self._last: dict[TableBucket, asyncio.Task[Any]] = {}
        self._tables: dict[int, asyncio.Task[Any]] = {}

    def is_pending(self, bucket: TableBucket) -> bool:
        """Whether a change of a bucket has not ended, or has to wait."""
        return bucket in self._last or bucket.table_id in self._tables

    def pending(self) -> list[TableBucket]:
        """The buckets with changes that have not ended."""
        return list(self._last)

    def add(self, bucket: TableBucket, change: Callable[[], Awaitable[_T]]) -> asyncio.Task[_T]:
        """Begin a change of a bucket when those before it have ended, well or not; called without waiting before."""
        return self._follow(self._last, bucket, self._last.get(bucket) or self._tables.get(bucket.table_id), change)

    def add_for_table(self, table_id: int, change: Callable[[], Awaitable[_T]]) -> asyncio.Task[_T]:
        """Begin a change of what the buckets of a table share; none of them has a change that has not ended.

        Those that are added meanwhile wait for it.
        """
        return self._follow(self._tables, table_id, self._tables.get(table_id), change)

    async def wait(self, buckets: Callable[[TableBucket], bool] = lambda bucket: True) -> None:
        """Return when the changes of some buckets that were added before have ended."""
        tasks = [task for bucket, task in self._last.items() if buckets(bucket)]
        if tasks:
            await asyncio.wait(tasks)

    def _follow(
        self, last: dict[Any, asyncio.Task[Any]], key: object, before: asyncio.Task[Any] | None, change: Any
    ) -> asyncio.Task[Any]:
        async def run() -> Any:
            if before is not None:
                await asyncio.wait([before])
            return await change()

        def ended(task: asyncio.Task[Any]) -> None:
            if last.get(key) is task:
                del last[key]

        task = asyncio.ensure_future(run())
        last[key] = task
        task.add_done_callback(ended)
        return task
