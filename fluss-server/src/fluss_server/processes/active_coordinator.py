"""Finds the active coordinator for a tablet server: in ZooKeeper, or where the options say it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from fluss_server.errors import FlussError
from fluss_server.metadata.server_records import ACTIVE_COORDINATOR, CoordinatorRecord
from fluss_server.metadata.store import MetadataStore
from fluss_server.rpc.endpoints import Endpoint, parse_endpoints

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 1.0
"""How often the node is read although nothing was heard of a change of it."""


class ActiveCoordinator:
    """Follows the node of the active coordinator. :meth:`start` it, :meth:`close` it.

    Args:
        store: of the cluster.
        listener: name of the internal listener.

    Attributes:
        on_change: what is called when another coordinator is the active one.
    """

    def __init__(self, store: MetadataStore, listener: str) -> None:
        self._store = store
        self._listener = listener
        self._endpoint: Endpoint | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_change: Sequence[Callable[[], object]] = ()

    def endpoint(self) -> Endpoint | None:
        """Where the active coordinator was last; None before one was seen."""
        return self._endpoint

    async def start(self) -> None:
        """Look for the first time, and follow."""
        await self.look()
        self._task = asyncio.ensure_future(self._follow())

    async def close(self) -> None:
        """Follow no more."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _follow(self) -> None:
        watch = self._store.watch(ACTIVE_COORDINATOR)
        changed: asyncio.Task[object] | None = None
        try:
            while True:
                if changed is None:
                    changed = asyncio.ensure_future(watch.__anext__())
                await asyncio.wait([changed], timeout=LOOK_INTERVAL_S)
                if changed.done():
                    changed.exception()
                    changed = None
                await self.look()
        finally:
            if changed is not None:
                changed.cancel()
            watch.close()

    async def look(self) -> None:
        """Read the node; while it is gone the last coordinator stays, which refuses what it may not do."""
        with contextlib.suppress(FlussError):
            node = await self._store.get(ACTIVE_COORDINATOR)
            if node is None:
                return
            record = CoordinatorRecord.decode(ACTIVE_COORDINATOR, node.value)
            found = {entry.listener: entry for entry in parse_endpoints(ACTIVE_COORDINATOR, record.listeners)}
            endpoint = found.get(self._listener)
            if endpoint is None:
                logger.error("the coordinator %s has no listener %s", record.listeners, self._listener)
            elif endpoint != self._endpoint:
                logger.info("the coordinator is at %s:%d", endpoint.host, endpoint.port)
                self._endpoint = endpoint
                for call in self.on_change:
                    call()
