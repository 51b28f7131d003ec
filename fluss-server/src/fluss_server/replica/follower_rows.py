"""The rows of a primary-key bucket on a follower.

Of a *standby replica* the KvTablet is open and applies the changelog, as far as it is acknowledged, soon after the log
has it; so a promotion replays only the rest. On other followers it is closed. Its files stay, as they were when this
server led the bucket or was a standby; it is opened for a while when retention would take what it lacks.

RocksDB holds only acknowledged rows. A truncation could remove them all the same, when acknowledgements did not wait
for the disk and power was lost: then the rows are removed before the log is cut, and built again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.model.table import TableInfo
from fluss_server.replica.replay_queue import ReplayQueue
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet

logger = logging.getLogger(__name__)

GATHER_S = 0.05
"""How long commits of an idle bucket are gathered before they are applied together."""

FIRST_RETRY_S = 0.1
MAX_RETRY_S = 30.0
"""Between attempts after an error: twice as long after each, up to this."""

SECURE_DEADLINE_S = 60.0
"""How long retention waits for rows; they are brought further the next time."""

_PASSING = frozenset(
    {
        ErrorCode.STORAGE_BACKPRESSURE_EXCEPTION,
        ErrorCode.SCHEMA_NOT_EXIST,  # the leader has heard of it earlier
        ErrorCode.DISK_WRITE_LOCKED,
    }
)
"""Errors after which the KvTablet stays open."""


class RowsAccess:
    """How the files of one KvTablet are reached; see ``TabletOpener``.

    Attributes:
        uncertain: whether rows that were acknowledged may be cut from the log: acknowledgements do not wait for the
            disk.
    """

    def __init__(
        self,
        open_standby: Callable[[TableInfo], Awaitable[KvTablet]],
        close: Callable[[KvTablet], Awaitable[None]],
        remove_beyond: Callable[[int], Awaitable[None]],
        *,
        uncertain: bool,
    ) -> None:
        self.open_standby = open_standby
        self.close = close
        self.remove_beyond = remove_beyond
        self.uncertain = uncertain


class FollowerRows:
    """The KvTablet of a bucket while this server does not lead it. Used from one event loop.

    Args:
        bucket: which bucket.
        table: its table.
        access: opens and closes the KvTablet.
        kv_worker: where KvTablets change.
        queue: of the server.

    Attributes:
        table: see above; with the present definition.
        kv: while it is open here.
        is_standby: whether it is to be open.
    """

    def __init__(
        self,
        bucket: TableBucket,
        table: TableInfo,
        access: RowsAccess,
        kv_worker: WorkerPool,
        queue: ReplayQueue,
    ) -> None:
        self._bucket = bucket
        self.table = table
        self._access = access
        self._kv_worker = kv_worker
        self._queue = queue
        self.kv: KvTablet | None = None
        self.is_standby = False
        self._committed = 0
        self._tried = 0  # committed offset up to which no whole batch was left to apply
        self._needed = 0  # retention wants the rows up to here to be durable
        self._is_active = True
        self._is_closed = False
        self._files = asyncio.Lock()  # held while the KvTablet changes
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._running: asyncio.Future[None] | None = None
        self._retry_s = 0.0
        self._moved: asyncio.Future[None] | None = None  # while somebody waits for the end of a step

    # ------------------------------------------------------------------ following

    def set_standby(self, is_standby: bool) -> None:
        """Be a standby replica, or end to be one."""
        if is_standby != self.is_standby:
            self.is_standby = is_standby
            self._proceed()

    def committed(self, offset: int) -> None:
        """Everything below ``offset`` is acknowledged and in the log."""
        if offset > self._committed:
            self._committed = offset
            self._proceed()

    @property
    def applied_offset(self) -> int:
        """Up to where the open KvTablet has the changelog; 0 without one."""
        return 0 if self.kv is None else self.kv.applied_offset

    @property
    def _content_end(self) -> int:
        """Up to where the open KvTablet may contain the changelog. Closed files are another matter.

        When acknowledgements wait for the disk, no row of any process was in RocksDB before it was acknowledged, and
        nothing that was acknowledged is cut.
        """
        if self.kv is None or not self._access.uncertain:
            return self.applied_offset
        return self.kv.content_end

    @property
    def lag(self) -> int:
        """Acknowledged changelog rows that a standby replica has not applied; 0 on other followers."""
        return max(0, self._committed - self.applied_offset) if self.is_standby else 0

    @property
    def _has_work(self) -> bool:
        if self.is_standby:
            return self._lacks(self._committed)
        if self._needed:
            return self._lacks(self._needed)
        return self.kv is not None

    def _lacks(self, end: int) -> bool:
        """Whether rows before ``end`` are missing that can be applied now."""
        return self.applied_offset < end and self._tried != self._committed

    def _proceed(self, delay_s: float = GATHER_S) -> None:
        """Take a step after a while, if there is something to do."""
        if self._is_active and not self._is_due and self._running is None and self._has_work:
            self._is_due = True
            if delay_s:
                self._timer = asyncio.get_running_loop().call_later(delay_s, self._queue.add, self)
            else:
                self._queue.add(self)

    async def step(self) -> None:
        """Open or close the KvTablet, or apply a slice of the changelog."""
        self._is_due = False
        if not self._is_active or not self._has_work:
            return
        self._running = asyncio.get_running_loop().create_future()
        try:
            async with self._files:
                await self._step()
            self._retry_s = 0.0
        except FlussError as error:
            await self._failed(error)
        except Exception as error:
            logger.exception("the rows of bucket %s could not be brought further", self._bucket)
            await self._failed(FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, f"{type(error).__name__}: {error}"))
        finally:
            running, self._running = self._running, None
            if not running.done():
                running.set_result(None)
            self._tell_waiting()
            self._proceed(self._retry_s)

    async def _wait_for_step(self, limit_s: float) -> None:
        if self._moved is None:
            self._moved = asyncio.get_running_loop().create_future()
        # Not wait_for, which loses a cancellation that comes together with the result.
        await asyncio.wait([self._moved], timeout=limit_s)

    def _tell_waiting(self) -> None:
        moved, self._moved = self._moved, None
        if moved is not None:
            moved.set_result(None)

    async def _step(self) -> None:
        if not (self.is_standby or self._needed):
            await self._close_kv()
        elif self.kv is None:
            self.kv = await self._access.open_standby(self.table)
        elif self.kv.suspended is not None:
            await self._kv_worker.run(self.kv.recover)
        else:
            end = self._committed
            if not await self._kv_worker.run(self.kv.apply_changelog, end):
                self._tried = end

    async def _failed(self, error: FlussError) -> None:
        """Close a KvTablet that may be damaged; it is tried again after a while."""
        if not self._retry_s:
            logger.warning(
                "the rows of bucket %s of %s cannot be brought further: %s", self._bucket, self.table.path, error
            )
        self._retry_s = min(max(FIRST_RETRY_S, 2 * self._retry_s), MAX_RETRY_S)
        if error.code not in _PASSING:
            try:
                async with self._files:
                    await self._close_kv()
            except FlussError as closing:
                logger.warning("the rows of bucket %s could not be closed: %s", self._bucket, closing)
            except Exception:
                logger.exception("the rows of bucket %s could not be closed", self._bucket)

    async def _close_kv(self) -> None:
        kv = self._take()
        if kv is not None:
            await self._access.close(kv)

    async def _delete_kv(self) -> None:
        kv = self._take()
        if kv is not None:
            await self._kv_worker.run(kv.delete)

    # ------------------------------------------------------------------ changes of the log

    async def cut(self, end: int) -> None:
        """The log is about to be cut to ``end``: remove rows that are not of what stays.

        Raises:
            FlussError: they may still be there; the log must not be cut.
        """
        async with self._files:
            self._committed = min(self._committed, end)
            self._tried = 0  # batches after the cut may end elsewhere
            if self._content_end > end:
                logger.error(
                    "bucket %s: its rows may be those of the changelog up to offset %d, of which the leader has %d"
                    " only; they are built again",
                    self._bucket,
                    self._content_end,
                    end,
                )
                await self._delete_kv()
            else:
                if self.kv is not None and self.kv.suspended is not None:
                    await self._close_kv()  # it may have no rows yet: only its files tell what is in them
                if self.kv is None:
                    await self._access.remove_beyond(end)
        self._proceed()

    async def secure(self, end: int) -> int:
        """Make the rows durable, so that the changelog before ``end`` is not needed any more.

        Returns:
            from where on the changelog is needed; less than ``end`` when the rows could not be brought that far.

        Raises:
            FlussError: as ``KvTablet.persist``.
        """
        loop = asyncio.get_running_loop()
        self._needed = end = min(end, self._committed)
        deadline = loop.time() + SECURE_DEADLINE_S
        try:
            self._proceed()
            while self._is_active and not self._retry_s and self._lacks(end) and loop.time() < deadline:
                await self._wait_for_step(1.0)
            async with self._files:
                kv = self.kv
                if kv is None or not self._is_active or kv.suspended is not None:
                    return 0
                if kv.retention_floor < end:
                    await self._kv_worker.run(kv.persist)
                return kv.retention_floor
        finally:
            self._needed = 0
            self._proceed()

    async def update_table(self, table: TableInfo) -> None:
        """Take in a new definition of the table."""
        self.table = table
        async with self._files:
            if self.kv is not None:
                await self._kv_worker.run(self.kv.update_table, table)

    async def persist(self) -> None:
        """Let RocksDB write its memory to disk."""
        async with self._files:
            if self.kv is not None and self.kv.suspended is None:
                await self._kv_worker.run(self.kv.persist)

    # ------------------------------------------------------------------ roles

    async def pause(self) -> None:
        """Change nothing until :meth:`resume`; returns when nothing is changed any more."""
        self._is_active = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.remove(self)
        self._is_due = False
        if self._running is not None:
            await asyncio.wait([self._running])
        self._tell_waiting()
        async with self._files:
            pass  # what has begun has ended

    def resume(self) -> None:
        """Go on, as a follower again."""
        if not self._is_closed:
            self._is_active = True
            self._proceed()

    def hand_over(self) -> KvTablet | None:
        """The open KvTablet, for the leader of the bucket, which then closes it; after :meth:`pause`."""
        return self._take()

    def _take(self) -> KvTablet | None:
        kv, self.kv, self._tried = self.kv, None, 0
        return kv

    async def close(self) -> None:
        """Close the KvTablet, for good."""
        self._is_closed = True
        await self.pause()
        async with self._files:
            await self._close_kv()

    async def delete(self) -> None:
        """Close it and remove its files if it is open; others remain."""
        self._is_closed = True
        await self.pause()
        async with self._files:
            await self._delete_kv()
