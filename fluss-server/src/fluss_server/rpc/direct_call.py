"""Calling a handler with an encoded request that did not come in a frame of a client's connection."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from fluss_server.errors import FlussError
from fluss_server.rpc.frames import REQUEST_HEADER_SIZE
from fluss_server.rpc.service import Handler, RequestContext, ResponseBody
from fluss_server.runtime.disk import FileRegion

logger = logging.getLogger(__name__)

_NO_HEADER = bytes(REQUEST_HEADER_SIZE)


class DirectCalls:
    """Calls that go on when their callers are gone, as those of a connection do."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def call(self, handler: Handler, request: bytes, context: RequestContext, max_bytes: int) -> bytes:
        """The encoded response of a handler.

        Args:
            request: encoded message.
            context: who calls.
            max_bytes: longest request.

        Raises:
            FlussError: what the handler raises; ``CORRUPT_MESSAGE``, ``RECORD_TOO_LARGE_EXCEPTION``.
        """
        handler.check_size(len(request), max_bytes)
        message = handler.parse(_NO_HEADER + request)
        result: Any = handler.method(message, context)
        if asyncio.iscoroutine(result):
            task = asyncio.ensure_future(result)
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            # What changes something runs to its end even when its caller goes away.
            try:
                result = await (task if handler.cancel_on_disconnect else asyncio.shield(task))
            except asyncio.CancelledError:
                task.add_done_callback(partial(_ended_without_caller, handler.spec.name))
                raise
        elif asyncio.isfuture(result):
            result = await result
        return _encoded(result)

    async def wait(self, timeout_s: float) -> None:
        """Return when no call runs, or after a time."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=timeout_s)


def _ended_without_caller(api: str, task: asyncio.Future[Any]) -> None:
    """Nobody gets the outcome of a call that was cancelled; only a fault of the server is worth a line."""
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, FlussError):
        logger.error("%s failed, its caller is gone", api, exc_info=error)


def _encoded(body: ResponseBody) -> bytes:
    if isinstance(body, (list, tuple)):
        return b"".join(piece.read() if isinstance(piece, FileRegion) else piece for piece in body)
    return body.SerializeToString()  # type: ignore[union-attr]
