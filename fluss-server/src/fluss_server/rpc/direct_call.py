"""Calling a handler with an encoded request that did not come in a frame of a client's connection."""

from __future__ import annotations

import asyncio
from typing import Any

from fluss_server.rpc.frames import REQUEST_HEADER_SIZE
from fluss_server.rpc.service import Handler, RequestContext, ResponseBody
from fluss_server.runtime.disk import FileRegion

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
            result = await (task if handler.cancel_on_disconnect else asyncio.shield(task))
        elif asyncio.isfuture(result):
            result = await result
        return _encoded(result)

    async def wait(self, timeout_s: float) -> None:
        """Return when no call runs, or after a time."""
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=timeout_s)


def _encoded(body: ResponseBody) -> bytes:
    if isinstance(body, (list, tuple)):
        return b"".join(piece.read() if isinstance(piece, FileRegion) else piece for piece in body)
    return body.SerializeToString()  # type: ignore[union-attr]
