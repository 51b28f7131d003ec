"""The metadata store of a single process: the tree in memory, every change in one file before it is visible."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.journal import (
    JournalDamaged,
    encode_file,
    encode_transaction,
    read_file,
)
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    Delete,
    MetadataConflict,
    Node,
    Operation,
    check_path,
)
from fluss_server.metadata.tasks import UninterruptedTasks
from fluss_server.metadata.tree import Plan, Tree
from fluss_server.metadata.watch import QueueWatch
from fluss_server.runtime.files import fsync_directory, make_directories_durably, write_all

logger = logging.getLogger(__name__)

MIN_COMPACTION_BYTES = 1 << 20
GARBAGE_FACTOR = 2
MAX_PENDING_COMMITS = 4096

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening the file found.

    Attributes:
        created: there was no file; this store is new.
        nodes: nodes read.
        transactions: transactions read, marks not counted.
        cut_bytes: length of the torn tail that was removed.
    """

    created: bool
    nodes: int
    transactions: int
    cut_bytes: int


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
    """A :class:`~fluss_server.metadata.store.MetadataStore` in one file (format: ``journal.py``).

    Commits run one after the other; each is appended and fsynced in the store's own thread and becomes visible when it
    is durable. A commit whose bytes could not be written changed nothing, and the next one may succeed (a full disk). A
    failed fsync leaves unknown what is on disk: from then on the store only reads, until it is opened again.

    The file is rewritten when it holds more than twice what is alive. Ephemeral nodes are never written.
    """

    def __init__(self, path: Path, tree: Tree, fd: int, end: int, next_id: int, recovery: Recovery) -> None:
        """Use :meth:`open`."""
        self.path = path
        self.recovery = recovery
        self._tree = tree
        self._fd = fd
        self._end = end
        self._next_id = next_id
        self._commit_marked = True
        self._compact_from = 0
        self._failure: str | None = None
        self._closed = False
        self._lock = asyncio.Lock()
        self._tasks = UninterruptedTasks()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metadata")
        self._watches: list[QueueWatch] = []
        self._sessions: dict[int, EmbeddedSession] = {}
        self._session_ids = count(1)

    @classmethod
    def open(cls, path: Path) -> EmbeddedMetadataStore:
        """Open the file at ``path``, creating it and its directory if there is none. Blocking.

        A torn last transaction, which nobody was told is stored, is cut.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when the file is damaged before its tail (it is left as it is), or cannot
                be read or written.
        """
        try:
            return cls._open(path)
        except JournalDamaged as error:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"the metadata file {path} is damaged: {error}",
                hint="nothing was changed; restore the file from a copy, or move it away to begin without any tables",
            ) from None
        except OSError as error:
            raise _io_error(path, "opened", error) from error

    @classmethod
    def _open(cls, path: Path) -> EmbeddedMetadataStore:
        make_directories_durably(path.parent)
        _temporary(path).unlink(missing_ok=True)  # a compaction that did not finish
        created = not path.exists()
        if created:
            _put_in_place(path, encode_file([], 1)[0])
        data = path.read_bytes()
        contents = read_file(data)
        tree = Tree()
        for position, changes in enumerate(contents.transactions):
            try:
                tree.apply(Plan([], dict(changes), []))
            except (KeyError, MetadataConflict) as error:
                raise JournalDamaged(f"transaction number {position} does not fit the ones before: {error}") from None
        transactions = sum(1 for changes in contents.transactions if changes)
        recovery = Recovery(created, len(tree), transactions, len(data) - contents.end)
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
        try:
            if recovery.cut_bytes:
                logger.warning(
                    "%s: cut %d bytes of a transaction that was being written when the server ended",
                    path,
                    recovery.cut_bytes,
                )
                os.ftruncate(fd, contents.end)
                os.fsync(fd)
        except OSError:
            os.close(fd)
            raise
        store = cls(path, tree, fd, contents.end, contents.next_id, recovery)
        store._commit_marked = contents.ends_with_commit_marker
        return store

    # Reading

    async def get(self, path: str) -> Node | None:
        check_path(path)
        return self._tree.get(path)

    async def children(self, path: str) -> list[str]:
        check_path(path)
        return self._tree.children(path)

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> QueueWatch:
        check_path(path)
        watch = QueueWatch(path, capacity, self._watches.remove)
        self._watches.append(watch)
        return watch

    # Writing

    async def commit(self, operations: Sequence[Operation]) -> list[int]:
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
        if self._failure is not None:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION,
                f"the metadata store takes no more changes: {self._failure}",
                hint="repair the disk and restart the server",
            )

    async def _commit(self, operations: Sequence[Operation]) -> list[int]:
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
            if self._failure is not None:
                self._check_usable()
            await self._in_thread(self._append, encode_transaction(self._next_id, changes))
            self._commit_marked = False
        self._tree.apply(plan)
        for watch in tuple(self._watches):
            watch.offer(plan.events)
        live_bytes = self._tree.persistent_bytes
        if self._end > max(MIN_COMPACTION_BYTES, GARBAGE_FACTOR * live_bytes, self._compact_from):
            await self._in_thread(self._compact)

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
            if not self._commit_marked and self._failure is None:
                with contextlib.suppress(FlussError):  # the mark only helps to tell damage from a torn tail
                    await self._in_thread(self._append, encode_transaction(self._next_id, ()))
            self._thread.shutdown(wait=False)
            os.close(self._fd)

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    # In the store's thread, with the lock held by the event loop

    def _append(self, frame: bytes) -> None:
        try:
            write_all(self._fd, frame)
        except OSError as error:
            try:
                os.ftruncate(self._fd, self._end)
            except OSError as second:
                self._failure = f"{second} after {error}"
            raise _io_error(self.path, "written", error) from error
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._failure = f"fsync of {self.path} failed: {error}"
            raise _io_error(self.path, "made durable", error) from error
        self._end += len(frame)
        self._next_id += 1

    def _compact(self) -> None:
        """Rewrite the file with what is alive; when that fails, go on with the old one."""
        data, next_id = encode_file(self._tree.persistent(), self._next_id)
        before = self._end
        try:
            _write_temporary(self.path, data)
            fd = os.open(_temporary(self.path), os.O_RDWR | os.O_APPEND)
        except OSError as error:
            self._compact_from = 2 * self._end  # do not try again with every commit
            logger.warning("%s: could not be compacted, goes on with %d bytes: %s", self.path, self._end, error)
            with contextlib.suppress(OSError):
                _temporary(self.path).unlink(missing_ok=True)
            return
        try:
            os.replace(_temporary(self.path), self.path)
            fsync_directory(self.path.parent)
        except OSError as error:
            # Which of the two files a restart will find is unknown, so neither may be written any more.
            self._failure = f"replacing {self.path} failed: {error}"
            os.close(fd)
            logger.error("%s", self._failure)
            return
        os.close(self._fd)
        self._fd, self._end, self._next_id = fd, len(data), next_id
        self._commit_marked = True
        self._compact_from = 0
        logger.info("%s: compacted from %d to %d bytes", self.path, before, self._end)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _write_temporary(path: Path, data: bytes) -> None:
    # Only its owner may read it: settings changed while the server ran hold passwords.
    fd = os.open(_temporary(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _put_in_place(path: Path, data: bytes) -> None:
    _write_temporary(path, data)
    os.replace(_temporary(path), path)
    fsync_directory(path.parent)


def _io_error(path: Path, action: str, error: OSError) -> FlussError:
    return FlussError(
        ErrorCode.STORAGE_EXCEPTION,
        f"the metadata file {path} could not be {action}: {error.strerror or error}",
        hint="check free space and permissions of the data directory",
    )
