"""Work that must not stop partially done because nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class UninterruptedTasks:
    """Runs coroutines to their end even when the caller is cancelled, and knows which are running."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        """Number of coroutines that have not ended."""
        return len(self._tasks)

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await ``work``. A cancellation ends the waiting, not the work."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def wait(self) -> None:
        """Wait until everything that runs now has ended, well or not."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen here too, because the caller may be gone
