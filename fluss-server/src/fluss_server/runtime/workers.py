"""Threads for work that would block the event loop, and locks between them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Lock(Protocol):
    """A lock between worker threads and the event loop; held for short pieces of work only."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


class WorkerPool(Protocol):
    """Some named threads that take work in the order in which it is given to them."""

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Run ``function(*arguments)`` in a thread of the pool; called on the event loop.

        Returns:
            its result or exception, set on the event loop. Cancelling it leaves out work that has not begun, and only
            forgets the result of work that has.
        """

    def submit(self, function: Callable[[], object]) -> None:
        """Run ``function()`` in a thread of the pool; it must not raise. May be called in any thread.

        Cheaper than :meth:`run`: results go wherever ``function`` hands them (``loop.call_soon_threadsafe``).
        """

    def close(self) -> None:
        """Wait for everything that was given, and end the threads."""


class Workers(Protocol):
    """Makes pools and locks."""

    def pool(self, name: str, threads: int) -> WorkerPool:
        """A new pool.

        Args:
            name: of its threads, for people who debug.
            threads: at most so many pieces of work at once; 1 = strictly one after the other.
        """

    def lock(self) -> Lock:
        """A lock that its holder must not take again."""

    def reentrant_lock(self) -> Lock:
        """A lock that its holder may take again."""


class ThreadWorkers:
    """Real threads."""

    def pool(self, name: str, threads: int) -> WorkerPool:
        return _ThreadPool(name, threads)

    def lock(self) -> Lock:
        return threading.Lock()

    def reentrant_lock(self) -> Lock:
        return threading.RLock()


class _ThreadPool:
    def __init__(self, name: str, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def submit(self, function: Callable[[], object]) -> None:
        self._executor.submit(function)

    def close(self) -> None:
        self._executor.shutdown()


class InlineWorkers:
    """No threads: work runs at once, in the thread that gives it. For simulation and tests."""

    def pool(self, name: str, threads: int) -> WorkerPool:
        return _InlinePool()

    def lock(self) -> Lock:
        return threading.Lock()

    def reentrant_lock(self) -> Lock:
        return threading.RLock()


class _InlinePool:
    def run(self, function: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def submit(self, function: Callable[[], object]) -> None:
        function()

    def close(self) -> None:
        pass
