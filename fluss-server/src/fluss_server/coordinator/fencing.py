"""The coordinator epoch: which start of a coordinator may still write.

The node ``/coordinators/epoch`` holds a number as text; the first coordinator makes it 0, and every later start raises
it. Each write of a coordinator is conditional on the version of that node, so that a coordinator that was replaced
without noticing it writes nothing any more.

Neither does one that does not know what it has written: its memory may then differ from the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    Check,
    CommitLimits,
    Create,
    MetadataConflict,
    MetadataStore,
    Node,
    Set,
    StoreOperation,
    StoreSession,
    UnknownOutcome,
    Watch,
    missing_parents,
)

logger = logging.getLogger(__name__)

COORDINATOR_EPOCH = "/coordinators/epoch"
_BEFORE_THE_FIRST = -1


class FencedStore:
    """A :class:`MetadataStore` whose writes fail once another coordinator has started.

    They also fail after a commit whose outcome is unknown, and after a change of several commits that ended early: its
    coordinator has to start again, which reads everything. :meth:`stopped` says so.

    Attributes:
        epoch: of the coordinator that has this object.
    """

    def __init__(self, store: MetadataStore, epoch: int, version: int) -> None:
        """Use :func:`fence`."""
        self._store = store
        self._check = Check(COORDINATOR_EPOCH, version)
        self._stopped = asyncio.Event()
        self.epoch = epoch

    @property
    def limits(self) -> CommitLimits:
        return self._store.limits.without(self._check)

    async def get(self, path: str) -> Node | None:
        return await self._store.get(path)

    async def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        return await self._store.get_all(paths)

    async def children(self, path: str) -> list[str]:
        return await self._store.children(path)

    async def descendants(self, path: str) -> list[str]:
        return await self._store.descendants(path)

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        """See ``MetadataStore.commit``; ``NOT_COORDINATOR_LEADER_EXCEPTION`` when another coordinator has started, or
        after :meth:`stop_writing`.
        """
        if self._stopped.is_set():
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION,
                f"the coordinator of epoch {self.epoch} writes nothing any more",
                hint="it starts again, or another one does",
            )
        try:
            return (await self._store.commit([self._check, *operations]))[1:]
        except UnknownOutcome as problem:
            logger.error("the coordinator has to start again: %s", problem)
            self.stop_writing()
            raise
        except MetadataConflict as conflict:
            if conflict.path != COORDINATOR_EPOCH:
                raise
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION, f"the coordinator of epoch {self.epoch} was replaced"
            ) from None

    def stop_writing(self) -> None:
        """Write nothing any more, because what is in memory may not be what is stored."""
        self._stopped.set()

    @property
    def has_stopped(self) -> bool:
        """Whether :meth:`stop_writing` was called."""
        return self._stopped.is_set()

    async def stopped(self) -> None:
        """Return after :meth:`stop_writing`: the coordinator has to start again."""
        await self._stopped.wait()

    async def open_session(self) -> StoreSession:
        return await self._store.open_session()

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> Watch:
        return self._store.watch(path, capacity)

    async def close(self) -> None:
        await self._store.close()


async def fence(store: MetadataStore, attempted: Callable[[int], object] = lambda epoch: None) -> FencedStore:
    """Become the coordinator: raise the epoch, so that earlier ones cannot write any more.

    Args:
        store: not fenced.
        attempted: called with the new epoch before it is written.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when the node cannot be read, or when another coordinator does the same.
    """
    node = await store.get(COORDINATOR_EPOCH)
    if node is None:
        attempted(_BEFORE_THE_FIRST + 1)
        first = Create(COORDINATOR_EPOCH, str(_BEFORE_THE_FIRST + 1).encode())
        await store.commit([*await missing_parents(store, COORDINATOR_EPOCH), first])
        return FencedStore(store, _BEFORE_THE_FIRST + 1, 0)
    try:
        epoch = int(node.value) + 1
    except ValueError:
        raise FlussError(
            ErrorCode.UNKNOWN_SERVER_ERROR,
            f"metadata node {COORDINATOR_EPOCH} cannot be read: {node.value!r} is not a number",
        ) from None
    attempted(epoch)
    [version] = await store.commit([Set(COORDINATOR_EPOCH, str(epoch).encode(), node.version)])
    return FencedStore(store, epoch, version)


async def commit_steps(store: MetadataStore, steps: Sequence[Sequence[StoreOperation]]) -> None:
    """Commit one step after the other, of a change that is too large for one commit.

    Each step has to leave something that a start can read and clean up. When another step than the first one fails,
    what is in memory is not what is stored; a :class:`FencedStore` then writes nothing any more.
    """
    for number, step in enumerate(steps):
        try:
            await store.commit(step)
        except BaseException:
            if number and isinstance(store, FencedStore):
                logger.error("a change of metadata ended after %d of %d commits", number, len(steps))
                store.stop_writing()
            raise
