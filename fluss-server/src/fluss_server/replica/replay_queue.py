"""Shares the KV worker between tablets that replay their changelogs and those that serve clients.

The worker takes what it is given one after the other. Of all buckets that are to be led only one slice of a replay is
given to it at a time, and of all standby replicas one more, while nothing is to be led. So a write waits for two slices
at most, however many buckets replay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from fluss_server.runtime.workers import WorkerPool

logger = logging.getLogger(__name__)


class Replaying(Protocol):
    """What has to be brought further."""

    async def step(self) -> None:
        """Do a short piece of work; puts itself into the queue again if there is more. Does not raise."""


class ReplayQueue:
    """One for all tablets of a server. Used from one event loop.

    Args:
        kv_worker: where KvTablets change.
    """

    def __init__(self, kv_worker: WorkerPool) -> None:
        self._kv_worker = kv_worker
        self._promotions = asyncio.Lock()
        self._promoting = 0
        self._no_promotions = asyncio.Event()
        self._no_promotions.set()
        self._ready: dict[Replaying, None] = {}  # in the order in which they came
        self._task: asyncio.Task[None] | None = None

    async def promote(self, work: Callable[[], bool], is_wanted: Callable[[], bool]) -> None:
        """Run slices of a bucket that is to be led until one returns False, or while ``is_wanted``."""
        self._promoting += 1
        self._no_promotions.clear()
        try:
            while is_wanted():
                async with self._promotions:
                    if not await self._kv_worker.run(work):
                        return
        finally:
            self._promoting -= 1
            if not self._promoting:
                self._no_promotions.set()

    def add(self, rows: Replaying) -> None:
        """Call its ``step`` when it is due; once, however often it is added."""
        self._ready.setdefault(rows)
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def remove(self, rows: Replaying) -> None:
        """Undo :meth:`add`; a step that has begun goes on."""
        self._ready.pop(rows, None)

    async def _run(self) -> None:
        try:
            while self._ready:
                await self._no_promotions.wait()
                if (rows := next(iter(self._ready), None)) is not None:
                    del self._ready[rows]
                    try:
                        await rows.step()
                    except Exception:  # the others go on
                        logger.exception("a step of a replay failed")
        finally:
            self._task = None
