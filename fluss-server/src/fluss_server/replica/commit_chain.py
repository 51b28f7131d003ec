"""What follows an append: make it durable, wait for the followers, commit the rows of a primary-key table, acknowledge.

Without followers one chain does it: flush → ``KvTablet.commit`` → high watermark. With followers the flush moves the
durable end; the high watermark then goes as far as the followers are, which their fetches tell, and for a primary-key
table as far as the KvTablet has committed.

Commits are grouped: while one runs, later appends gather for the next. A chain is one of callbacks. A task and the
futures of an executor would cost every write that waits for its fsync two more iterations of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fluss_server.log.log_tablet import LogTablet
from fluss_server.metrics.instruments import Distribution
from fluss_server.replica.watched_offset import WatchedOffset
from fluss_server.runtime.workers import WorkerPool

if TYPE_CHECKING:
    from fluss_server.kv.kv_tablet import KvTablet
    from fluss_server.replica.followers import Followers

T = TypeVar("T")


class CommitChain:
    """The commits of one bucket. Used from one event loop.

    Args:
        log: of the bucket.
        kv: open KvTablet of a primary-key table; with followers it may be set later.
        high_watermark: is advanced.
        followers: None = the bucket has no other replica.
        monotonic: seconds; measures how long flushes take.
        flush_pool: where flushes run.
        kv_worker: where the KvTablet commits.
        max_unflushed: see ``Replica``.
        flush_times: where to count how long flushes take.
        failed: called with the error that has ended a commit.

    Attributes:
        durable_end: up to where the leader's own log is as durable as the flush policy demands; moves only with
            followers.
    """

    def __init__(
        self,
        log: LogTablet,
        kv: KvTablet | None,
        high_watermark: WatchedOffset,
        followers: Followers | None,
        *,
        monotonic: Callable[[], float],
        flush_pool: WorkerPool,
        kv_worker: WorkerPool,
        max_unflushed: int,
        flush_times: Distribution,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._log = log
        self.kv = kv
        self._high_watermark = high_watermark
        self._followers = followers
        self._monotonic = monotonic
        self._flush_pool = flush_pool
        self._kv_worker = kv_worker
        self._max_unflushed = max_unflushed
        self._flush_times = flush_times
        self._failed = failed
        self.durable_end = WatchedOffset(log.flushed_offset)
        self._flushing: asyncio.Future[None] | None = None  # completes when the running chain has ended
        self._target = 0  # of the last commit that follows the followers
        self._committing: asyncio.Future[None] | None = None  # the same of a commit that follows the followers

    def start(self) -> None:
        """Commit what is not committed yet; appends of this iteration of the event loop are covered too."""
        if self._flushing is None:
            loop = asyncio.get_running_loop()
            self._flushing = loop.create_future()
            loop.call_soon(self._step, self._next, self._end)

    async def wait(self) -> None:
        """Return when no commit runs."""
        while running := [future for future in (self._flushing, self._committing) if future is not None]:
            await asyncio.wait(running)

    def _next(self) -> None:
        end = self._log.end_offset
        if (self._high_watermark if self._followers is None else self.durable_end).value >= end:
            self._end()
            if self._followers is not None:
                self.advance()
        elif end - self._log.flushed_offset <= self._max_unflushed:
            self._flushed(end)
        else:
            flushed = partial(self._flush_ended, self._monotonic())
            self._submit(self._flush_pool, self._log.flush, flushed, self._end)

    def _flush_ended(self, started: float, target: int) -> None:
        self._flush_times.record((self._monotonic() - started) * 1000)
        self._flushed(target)

    def _flushed(self, target: int) -> None:
        if self._followers is not None:
            self.durable_end.advance(target)
            self.advance()
            self._next()
        elif self.kv is None:
            self._committed(target)
        else:
            self._submit(self._kv_worker, partial(self.kv.commit, target), lambda _: self._committed(target), self._end)

    def _committed(self, target: int) -> None:
        self._high_watermark.advance(target)
        self._next()

    # ------------------------------------------------------------------ with followers

    @property
    def acknowledging_end(self) -> int:
        """What is acknowledged, or will be by the commit that runs: whoever comes into the ISR now must have it."""
        return max(self._high_watermark.value, self._target)

    def advance(self) -> None:
        """Move the high watermark as far as the followers are now."""
        assert self._followers is not None, "the bucket has followers"
        if self._committing is not None or (self.kv is not None and self.kv.suspended is not None):
            return  # repeated when that has ended
        high_watermark = self._high_watermark
        target = self._followers.committable(self.durable_end.value, high_watermark.value)
        if target <= high_watermark.value:
            return
        if self.kv is None:
            high_watermark.advance(target)
            return
        self._target = target
        self._committing = asyncio.get_running_loop().create_future()
        committed = partial(self._kv_committed, target)
        self._submit(self._kv_worker, partial(self.kv.commit, target), committed, self._end_commit)

    def _kv_committed(self, target: int, _: object) -> None:
        self._high_watermark.advance(target)
        self._end_commit()
        self.advance()

    def _end_commit(self) -> None:
        committing, self._committing = self._committing, None
        if committing is not None and not committing.done():
            committing.set_result(None)

    # ------------------------------------------------------------------ parts

    def _submit(
        self, pool: WorkerPool, work: Callable[[], T], then: Callable[[T], None], end: Callable[[], None]
    ) -> None:
        """Run ``work`` in ``pool`` and then, in the event loop, ``then`` with what it returned; ``end`` if it fails."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                step = partial(then, work())
            except BaseException as error:
                step = partial(self._fail, error, end)
            loop.call_soon_threadsafe(self._step, step, end)

        pool.submit(run)

    def _step(self, step: Callable[[], None], end: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._fail(error, end)

    def _fail(self, error: BaseException, end: Callable[[], None]) -> None:
        self._failed(error)
        end()

    def _end(self) -> None:
        flushing, self._flushing = self._flushing, None
        if flushing is not None and not flushing.done():
            flushing.set_result(None)
