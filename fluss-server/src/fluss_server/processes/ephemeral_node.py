"""An ephemeral node of a process in ZooKeeper, made again when its session was lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from fluss_server.errors import FlussError
from fluss_server.metadata.store import (
    Create,
    Delete,
    MetadataConflict,
    MetadataStore,
    StoreOperation,
    StoreSession,
    missing_parents,
)

logger = logging.getLogger(__name__)

RETRY_PAUSE_S = 1.0


class EphemeralNode:
    """Says to whoever reads the tree that this process is there. :meth:`start` it, :meth:`close` it.

    A node of that path that another session left is replaced: the newest process counts.

    Args:
        store: where; fenced for what only the active coordinator may write.
        path: of the node.
        value: of the node.
    """

    def __init__(self, store: MetadataStore, path: str, value: bytes) -> None:
        self._store = store
        self._path = path
        self._value = value
        self._session: StoreSession | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the node; when that fails it is tried again in the background."""
        with contextlib.suppress(FlussError):
            await self._make()
        self._task = asyncio.ensure_future(self._keep())

    async def close(self) -> None:
        """Remove the node; without a connection it goes with its session."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._session is not None:
            with contextlib.suppress(FlussError):
                await self._session.close()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RETRY_PAUSE_S)
            if self._session is None or self._session.closed:
                try:
                    await self._make()
                except FlussError as error:
                    logger.warning("the metadata node %s could not be made yet: %s", self._path, error)

    async def _make(self) -> None:
        session = await self._store.open_session()
        operations: list[StoreOperation] = [*await missing_parents(self._store, self._path)]
        if (left := await self._store.get(self._path)) is not None:
            operations.append(Delete(self._path, left.version))
        operations.append(Create(self._path, self._value, session))
        try:
            await self._store.commit(operations)
        except MetadataConflict as conflict:
            logger.debug("%s was changed meanwhile: %s", self._path, conflict)
            await session.close()
            raise
        self._session = session
