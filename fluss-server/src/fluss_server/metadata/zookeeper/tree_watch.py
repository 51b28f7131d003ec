"""Notices changes at and below a path of ZooKeeper.

ZooKeeper tells once that a node or its children changed, and not at all while there is no connection. So every node of
the tree is read with two watches, for itself and for its children, and again whenever one of them fires; what differs
from before becomes events. After a connection all of it is read again. An ``OVERFLOW`` says when watching begins, at
first and in another session: what was read before may be old.
"""

from __future__ import annotations

import asyncio
import logging

from fluss_server.errors import FlussError
from fluss_server.metadata.store import Event, EventKind, join_path
from fluss_server.metadata.watch import QueueWatch
from fluss_server.metadata.zookeeper.client import ZooKeeperClient
from fluss_server.metadata.zookeeper.connection import Connection, NodeMissing, NoResponse, StoredNode
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MAX_WATCHED_NODES = 20_000
"""Most nodes of one watched tree; of what is beyond only an ``OVERFLOW`` in each interval of polling tells."""

POLLING_INTERVAL_S = 10.0
RETRY_PAUSE_S = 0.2


class TreeWatch:
    """Feeds one :class:`QueueWatch` until it is closed.

    Args:
        client: started.
        path: node that is watched with everything below it; it need not exist.
        target: gets the events.
        hidden: name of a child of the root that does not count.
    """

    def __init__(self, client: ZooKeeperClient, path: str, target: QueueWatch, hidden: str) -> None:
        self._client = client
        self._path = path
        self._target = target
        self._hidden = hidden
        self._connection: Connection | None = None
        self._known: dict[str, StoredNode] = {}
        self._below: dict[str, set[str]] = {}
        self._incomplete = False
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        """Stop."""
        self._task.cancel()
        self._forget()

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.forget(self._fired)
        self._connection = None
        self._known.clear()
        self._below.clear()
        self._incomplete = False

    def _fired(self, path: str | None) -> None:
        """Something happened to a node, or to the connection."""
        self._dirty.add(self._path if path is None else path)
        if path is None:
            self._dirty.update(self._known)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._watch_one_session()
            except (FlussError, NoResponse) as problem:
                logger.debug("watching %s goes on later: %s", self._path, problem)
            except Exception:
                logger.exception("watching %s failed and begins again", self._path)
                self._forget()
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _watch_one_session(self) -> None:
        connection = await self._client.connected(self._client.deadline_of_call())
        if connection is not self._connection:
            self._forget()
            self._connection = connection
            self._dirty = {self._path}
            await self._read_dirty(connection, report=False)
            self._target.offer([Event(EventKind.OVERFLOW, self._path)])
        while connection is await self._client.connected(self._client.deadline_of_call()):
            await self._read_dirty(connection, report=True)
            self._wake.clear()
            try:
                await wait_at_most(self._wake.wait(), POLLING_INTERVAL_S)
            except asyncio.TimeoutError:
                if self._incomplete:
                    self._target.offer([Event(EventKind.OVERFLOW, self._path)])

    async def _read_dirty(self, connection: Connection, *, report: bool) -> None:
        """Read what changed, with watches, until nothing is left to read."""
        while self._dirty:
            paths = sorted(self._dirty)
            self._dirty.difference_update(paths)
            results = await asyncio.gather(*(self._read(connection, path) for path in paths), return_exceptions=True)
            problem: BaseException | None = None
            for path, result in zip(paths, results, strict=True):
                if isinstance(result, BaseException):
                    self._dirty.add(path)
                    problem = result
                elif report:
                    self._target.offer(result)
            if problem is not None:
                raise problem

    async def _read(self, connection: Connection, path: str) -> list[Event]:
        node, names = await self._fetch(connection, path)
        before = self._known.get(path)
        if node is None:
            return [Event(EventKind.DELETED, gone) for gone in self._remove(path)]
        events: list[Event] = []
        if before is None:
            events.append(Event(EventKind.CREATED, path))
        elif before.created != node.created:
            events += [Event(EventKind.DELETED, gone) for gone in self._remove(path)]
            events.append(Event(EventKind.CREATED, path))
        elif before.modified != node.modified:
            events.append(Event(EventKind.CHANGED, path))
        self._known[path] = node
        children = {join_path(path, name) for name in names if join_path(path, name) != self._hidden}
        for gone_child in self._below.get(path, set()) - children:
            events += [Event(EventKind.DELETED, gone) for gone in self._remove(gone_child)]
        new = children - self._below.get(path, set())
        space = max(0, MAX_WATCHED_NODES - len(self._known) - len(self._dirty))
        self._dirty.update(sorted(new)[:space])
        self._incomplete = self._incomplete or len(new) > space
        self._below[path] = children
        return events

    async def _fetch(self, connection: Connection, path: str) -> tuple[StoredNode | None, list[str]]:
        deadline = self._client.deadline_of_call()
        node: StoredNode | None
        if path == self._path:  # watched even when it does not exist
            node = await self._client.once(
                lambda on, timeout_s: on.exists(path, timeout_s, self._fired), connection, deadline
            )
        else:
            node = await self._client.once(
                lambda on, timeout_s: on.get(path, timeout_s, self._fired), connection, deadline
            )
        if node is None:
            return None, []
        try:
            names = await self._client.once(
                lambda on, timeout_s: on.children(path, timeout_s, self._fired), connection, deadline
            )
        except NodeMissing:  # deleted just now; the first watch tells that
            names = []
        return node, names

    def _remove(self, path: str) -> list[str]:
        """Forget a node and what is below it; the paths, deepest first."""
        gone: list[str] = []
        for child in sorted(self._below.pop(path, ())):
            gone += self._remove(child)
        if self._known.pop(path, None) is not None:
            gone.append(path)
        return gone
