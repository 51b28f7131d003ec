"""The metadata store of a cluster: the tree in ZooKeeper, below one node of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    CommitLimits,
    Conflict,
    Create,
    Delete,
    MetadataConflict,
    Node,
    StoreOperation,
    check_path,
    join_path,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.metadata.watch import QueueWatch
from fluss_server.metadata.zookeeper.client import ZooKeeperClient
from fluss_server.metadata.zookeeper.commits import LIMITS, MARKERS, Committer
from fluss_server.metadata.zookeeper.connection import Connection, NodeMissing, NodePresent, StoredNode
from fluss_server.metadata.zookeeper.session import ZooKeeperSession
from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings
from fluss_server.metadata.zookeeper.states import ConnectionState, StateListener
from fluss_server.metadata.zookeeper.tree_watch import TreeWatch
from fluss_server.runtime import Runtime

MAX_PENDING_COMMITS = 4096

_T = TypeVar("_T")


class ZooKeeperMetadataStore:
    """A :class:`~fluss_server.metadata.store.MetadataStore` in ZooKeeper.

    Reads see everything that this store committed before, and of what others commit a state that may be a little old.
    A call ends within the time-out of connections, a commit within that of sessions.

    When the session with ZooKeeper is lost another one comes by itself; the sessions that were opened here are closed
    then, and their owners learn it through :meth:`add_listener`.

    Attributes:
        client: for recipes beside the store.
    """

    def __init__(self, client: ZooKeeperClient) -> None:
        """Use :meth:`connect`."""
        self.client = client
        self._committer = Committer(client)
        self._tasks = UninterruptedTasks()
        self._watches: dict[QueueWatch, TreeWatch] = {}
        self._closed = False

    @classmethod
    async def connect(cls, settings: ZooKeeperSettings, runtime: Runtime) -> ZooKeeperMetadataStore:
        """Connect, and make the root if it does not exist.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when there is no connection within its time-out.
        """
        client = ZooKeeperClient(settings, runtime)
        try:
            await client.start()
            await client.read(_create_markers)
        except BaseException:
            await client.close()
            raise
        return cls(client)

    @property
    def connection(self) -> ConnectionState:
        """State of the connection."""
        return self.client.state

    def add_listener(self, listener: StateListener) -> None:
        """Call ``listener`` with each new state of the connection, from now on, until the store is closed."""
        self.client.add_listener(listener)

    # Reading

    @property
    def limits(self) -> CommitLimits:
        return LIMITS

    async def get(self, path: str) -> Node | None:
        check_path(path)
        self._check_usable()
        found = await self.client.read(lambda connection, timeout_s: connection.get(path, timeout_s))
        return None if found is None else _node(found)

    async def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        return await self._at_once(self.get, paths)

    async def children(self, path: str) -> list[str]:
        check_path(path)
        self._check_usable()
        try:
            names = await self.client.read(lambda connection, timeout_s: connection.children(path, timeout_s))
        except NodeMissing:
            raise MetadataConflict(Conflict.NO_NODE, path) from None
        return sorted(name for name in names if path != "/" or f"/{name}" != MARKERS)

    async def descendants(self, path: str) -> list[str]:
        found: list[str] = []
        level = [path]
        while level:
            names = await self._at_once(self._children_of_any, level)
            level = [join_path(parent, name) for parent, below in zip(level, names, strict=True) for name in below]
            if not found and not level:
                await self.children(path)  # NO_NODE
            found += level
        return found

    async def _children_of_any(self, path: str) -> list[str]:
        """Names of the children; none when the node is gone."""
        try:
            return await self.children(path)
        except MetadataConflict:
            return []

    async def _at_once(self, read: Callable[[str], Coroutine[Any, Any, _T]], paths: Sequence[str]) -> list[_T]:
        """Read at many paths, with as many requests at a time as the settings allow."""
        results: list[_T] = []
        step = 10 * self.client.settings.max_inflight
        for first in range(0, len(paths), step):
            results += await asyncio.gather(*map(read, paths[first : first + step]))
        return results

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> QueueWatch:
        check_path(path)
        self._check_usable()
        watch = QueueWatch(path, capacity, self._end_watch)
        self._watches[watch] = TreeWatch(self.client, path, watch, MARKERS)
        return watch

    # Writing

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        self._check_usable()
        if len(self._tasks) >= MAX_PENDING_COMMITS:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"{len(self._tasks)} changes of metadata are waiting")
        for operation in operations:
            if isinstance(operation, Create) and operation.session is not None:
                assert isinstance(operation.session, ZooKeeperSession), "sessions are those of this store"
                operation.session.paths.add(operation.path)
        return await self._tasks.run(self._committer.commit(tuple(operations)))

    async def open_session(self) -> ZooKeeperSession:
        self._check_usable()
        connection = await self.client.connected(self.client.deadline_of_call())
        return ZooKeeperSession(self.client, connection, self._end_session)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for watch in tuple(self._watches):
            watch.close()
        await self._tasks.wait()
        await self.client.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, "the metadata store is closed")

    def _end_watch(self, watch: QueueWatch) -> None:
        self._watches.pop(watch).close()

    async def _end_session(self, session: ZooKeeperSession) -> None:
        """Delete the ephemeral nodes of a session, unless they have become those of somebody else."""
        for path in sorted(session.paths):
            node = await self.get(path)
            if node is None or node.session_id != session.session_id:
                continue
            try:
                await self.commit([Delete(path, node.version)])
            except MetadataConflict as conflict:
                if conflict.reason not in (Conflict.NO_NODE, Conflict.BAD_VERSION):
                    raise


async def _create_markers(connection: Connection, timeout_s: float) -> None:
    if await connection.exists(MARKERS, timeout_s) is None:
        with contextlib.suppress(NodePresent):  # another store made it
            await connection.create(MARKERS, b"", timeout_s)


def _node(found: StoredNode) -> Node:
    return Node(found.value, found.version, found.owner or None)
