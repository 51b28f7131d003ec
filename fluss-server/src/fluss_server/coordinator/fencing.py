"""The coordinator epoch: which start of a coordinator may still write.

The node ``/coordinators/epoch`` holds a number as text; the first coordinator makes it 0, and every later start raises
it. Each write of a coordinator is conditional on the version of that node, so that a coordinator that was replaced
without noticing it writes nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    Check,
    Create,
    MetadataConflict,
    MetadataStore,
    Node,
    Set,
    StoreOperation,
    StoreSession,
    Watch,
    missing_parents,
)

COORDINATOR_EPOCH = "/coordinators/epoch"
_BEFORE_THE_FIRST = -1


class FencedStore:
    """A :class:`MetadataStore` whose writes fail once another coordinator has started.

    Attributes:
        epoch: of the coordinator that has this object.
    """

    def __init__(self, store: MetadataStore, epoch: int, version: int) -> None:
        """Use :func:`fence`."""
        self._store = store
        self._check = Check(COORDINATOR_EPOCH, version)
        self.epoch = epoch

    async def get(self, path: str) -> Node | None:
        return await self._store.get(path)

    async def children(self, path: str) -> list[str]:
        return await self._store.children(path)

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        """See ``MetadataStore.commit``; ``NOT_COORDINATOR_LEADER_EXCEPTION`` when another coordinator has started."""
        try:
            return (await self._store.commit([self._check, *operations]))[1:]
        except MetadataConflict as conflict:
            if conflict.path != COORDINATOR_EPOCH:
                raise
            raise FlussError(
                ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION, f"the coordinator of epoch {self.epoch} was replaced"
            ) from None

    async def open_session(self) -> StoreSession:
        return await self._store.open_session()

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> Watch:
        return self._store.watch(path, capacity)

    async def close(self) -> None:
        await self._store.close()


async def fence(store: MetadataStore) -> FencedStore:
    """Become the coordinator: raise the epoch, so that earlier ones cannot write any more.

    Raises:
        FlussError: ``UNKNOWN_SERVER_ERROR`` when the node cannot be read, or when another coordinator does the same.
    """
    node = await store.get(COORDINATOR_EPOCH)
    if node is None:
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
    [version] = await store.commit([Set(COORDINATOR_EPOCH, str(epoch).encode(), node.version)])
    return FencedStore(store, epoch, version)
