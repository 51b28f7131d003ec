"""Watches of a tree that lives in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from fluss_server.metadata.store import Event, EventKind


class QueueWatch:
    """A :class:`~fluss_server.metadata.store.Watch` fed by :meth:`offer`.

    When more than ``capacity`` events wait, all of them are dropped and one ``OVERFLOW`` takes their place.
    """

    def __init__(self, path: str, capacity: int, on_close: Callable[[QueueWatch], None]) -> None:
        if capacity < 1:
            raise ValueError(f"a watch needs a capacity of at least one event, not {capacity}")
        self._path = path
        self._below = path if path == "/" else path + "/"
        self._capacity = capacity
        self._on_close = on_close
        self._events: deque[Event] = deque()
        self._readable = asyncio.Event()
        self._closed = False

    def offer(self, events: Iterable[Event]) -> None:
        """Queue those events that this watch is about."""
        if self._closed:
            return
        for event in events:
            if event.path == self._path or event.path.startswith(self._below):
                if len(self._events) >= self._capacity:
                    self._events.clear()
                    event = Event(EventKind.OVERFLOW, self._path)
                self._events.append(event)
                self._readable.set()

    def __aiter__(self) -> QueueWatch:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
        return self._events.popleft()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._events.clear()
            self._readable.set()
            self._on_close(self)
