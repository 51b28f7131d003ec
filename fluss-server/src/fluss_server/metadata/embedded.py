"""The metadata store of a single process: the tree in memory, every change in one file before it is visible."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import PurePath
from typing import Any

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.journal import JournalDamaged
from fluss_server.metadata.journal_file import JournalFile, Recovery
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    MAX_OPERATIONS,
    MAX_VALUE_BYTES,
    CommitLimits,
    Delete,
    Node,
    StoreOperation,
    check_path,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.metadata.tree import Plan, Tree
from fluss_server.metadata.watch import QueueWatch
from fluss_server.runtime import Runtime, WorkerPool

logger = logging.getLogger(__name__)

MIN_COMPACTION_BYTES = 1 << 20
GARBAGE_FACTOR = 2
MAX_PENDING_COMMITS = 4096
LIMITS = CommitLimits(operations=MAX_OPERATIONS, size_bytes=1 << 40, value_bytes=MAX_VALUE_BYTES)
"""The size is not limited; a commit is in memory already."""


class EmbeddedSession:
    """A session that ends when it is closed; it cannot outlive the process."""

    def __init__(self, session_id: int, end: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        self._session_id = session_id
        self._end = end
        self._closed = False

    @property
    def session_id(self) -> int:
        return self._session_id

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._end(self._session_id)

    def close_with_store(self) -> None:
        """The store is closing, and its tree with it."""
        self._closed = True


class EmbeddedMetadataStore:
    """A :class:`~fluss_server.metadata.store.MetadataStore` in one file (format: ``journal.py``, ``checkpoint.py``).

    Commits run one after the other; each is appended and synced in the store's own thread and becomes visible when it
    is durable. A commit that could not be written or synced changed nothing, and the next one may succeed: after a full
    disk at once, after a failed sync when the whole file could be written again.

    The file is rewritten when it holds more than twice what is alive. Ephemeral nodes are never written.
    """

    def __init__(self, journal: JournalFile, tree: Tree, recovery: Recovery, worker: WorkerPool) -> None:
        """Use :meth:`open`."""
        self.path = journal.path
        self.recovery = recovery
        self._journal = journal
        self._tree = tree
        self._compact_from = 0
        self._closed = False
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()
        self._worker = worker
        self._watches: list[QueueWatch] = []
        self._sessions: dict[int, EmbeddedSession] = {}
        self._session_ids = count(1)

    @classmethod
    def open(cls, path: PurePath, runtime: Runtime) -> EmbeddedMetadataStore:
        """Open the file at ``path``, creating it and its directory if there is none. Blocking.

        A torn last transaction that was not acknowledged is cut.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when an acknowledged transaction is damaged or missing (everything is left
                as it is), or when the file cannot be read or written.
        """
        try:
            journal, tree, recovery = JournalFile.open(path, runtime.disk)
        except JournalDamaged as error:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"the metadata file {path} is damaged: {error}",
                hint=f"nothing was changed; {error.hint}",
            ) from None
        except OSError as error:
            raise _io_error(path, "opened", error) from error
        return cls(journal, tree, recovery, runtime.workers.pool("metadata", 1))

    # Reading

    @property
    def limits(self) -> CommitLimits:
        return LIMITS

    async def get(self, path: str) -> Node | None:
        check_path(path)
        return self._tree.get(path)

    async def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        return [await self.get(path) for path in paths]

    async def children(self, path: str) -> list[str]:
        check_path(path)
        return self._tree.children(path)

    async def descendants(self, path: str) -> list[str]:
        check_path(path)
        return self._tree.descendants(path)

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> QueueWatch:
        check_path(path)
        watch = QueueWatch(path, capacity, self._watches.remove)
        self._watches.append(watch)
        return watch

    # Writing

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        self._check_usable()
        if len(self._tasks) >= MAX_PENDING_COMMITS:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"{len(self._tasks)} changes of metadata are waiting")
        return await self._tasks.run(self._commit(tuple(operations)))

    async def open_session(self) -> EmbeddedSession:
        self._check_usable()
        session = EmbeddedSession(next(self._session_ids), self._end_session)
        self._sessions[session.session_id] = session
        return session

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._tasks.run(self._close())

    def _check_usable(self) -> None:
        if self._closed:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, "the metadata store is closed")

    async def _commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        async with self._lock:
            plan = self._tree.plan(operations)
            await self._store(plan)
            return plan.versions

    async def _end_session(self, session_id: int) -> None:
        if self._sessions.pop(session_id, None) is not None:
            await self._tasks.run(self._drop_ephemerals(session_id))

    async def _drop_ephemerals(self, session_id: int) -> None:
        async with self._lock:
            await self._store(self._tree.plan([Delete(path) for path in self._tree.owned_by(session_id)]))

    async def _store(self, plan: Plan) -> None:
        """Make ``plan`` durable, then visible. The lock is held."""
        if changes := self._durable_changes(plan):
            await self._worker.run(self._append, changes)
        self._tree.apply(plan)
        for watch in tuple(self._watches):
            watch.offer(plan.events)
        if self._journal.size > max(
            MIN_COMPACTION_BYTES, GARBAGE_FACTOR * self._tree.persistent_bytes, self._compact_from
        ):
            await self._worker.run(self._compact)

    def _durable_changes(self, plan: Plan) -> list[tuple[str, Node | None]]:
        """What goes to the file: no ephemeral nodes."""
        changes: list[tuple[str, Node | None]] = []
        for path, node in plan.changes.items():
            if node is not None and node.session_id is None:
                changes.append((path, node))
            elif (before := self._tree.get(path)) is not None and before.session_id is None:
                changes.append((path, None))
        return changes

    async def _close(self) -> None:
        async with self._lock:
            for session in tuple(self._sessions.values()):
                session.close_with_store()
            self._sessions.clear()
            for watch in tuple(self._watches):
                watch.close()
            self._worker.close()
            self._journal.close()

    # In the store's thread, with the lock held by the event loop

    def _append(self, changes: Sequence[tuple[str, Node | None]]) -> None:
        try:
            self._journal.append(changes, self._tree.persistent)
        except OSError as error:
            raise _io_error(self.path, "written", error) from error

    def _compact(self) -> None:
        """Rewrite the file with what is alive; when that fails, go on with the old one as far as that is possible."""
        before = self._journal.size
        try:
            self._journal.rewrite(self._tree.persistent())
        except OSError as error:
            self._compact_from = 2 * before  # do not try again with every commit
            logger.warning("%s: could not be compacted from %d bytes: %s", self.path, before, error)
            return
        self._compact_from = 0
        logger.info("%s: compacted from %d to %d bytes", self.path, before, self._journal.size)


def _io_error(path: PurePath, action: str, error: OSError) -> FlussError:
    return FlussError(
        ErrorCode.STORAGE_EXCEPTION,
        f"the metadata file {path} could not be {action}: {error.strerror or error}",
        hint="check free space and permissions of the data directory",
    )
