"""Started requests of one connection, until they have their responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.request_memory import RequestMemory
from fluss_server.rpc.response_writer import ResponseWriter
from fluss_server.rpc.started_request import StartedRequest

if TYPE_CHECKING:
    from fluss_server.rpc.service import ResponseBody


class RequestRunner:
    """Calls the methods of requests and hands their results to the writer.

    Args:
        loop: of the server.
        limits: how many requests may run, and how long a message may be.
        memory: where running requests are counted.
        writer: takes the responses.
        running: empty; kept here, and looked at by the writer.
        on_end: called when a request that had to wait has its response.

    Attributes:
        running: requests whose method has not ended.
        running_bytes: what they count for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: RpcLimits,
        memory: RequestMemory,
        writer: ResponseWriter,
        running: set[StartedRequest],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._memory = memory
        self._writer = writer
        self._on_end = on_end
        self.running = running
        self.running_bytes = 0

    @property
    def busy(self) -> bool:
        """Whether no further request may be started."""
        limits = self._limits
        return (
            len(self.running) >= limits.max_requests_in_flight
            or self.running_bytes >= limits.max_request_bytes_in_flight
        )

    def start(self, request: StartedRequest, frame: bytes | memoryview) -> None:
        """Call the method of a request; its response follows, now or later."""
        handler = request.handler
        try:
            handler.check_version(request.api_version)
            handler.check_size(len(frame), self._limits.max_message_bytes)
            result = handler.method(handler.parse(frame), request)
        except Exception as error:
            self._writer.fail(request, error)
            request.forget_memory()
            return
        if type(result) is list:  # pieces; checked first, because asyncio's checks take longer than most responses
            self._writer.respond(request, result)
            request.forget_memory()
            return
        if handler.is_async or asyncio.iscoroutine(result):
            request.future = self._loop.create_task(
                self._run(request, cast("Coroutine[Any, Any, ResponseBody]", result))
            )
        elif asyncio.isfuture(result):
            request.future = result
            request.started = True
            result.add_done_callback(lambda done: self._finish(request, done))
        else:
            self._writer.respond(request, cast("ResponseBody", result))
            request.forget_memory()
            return
        self.running.add(request)
        self.running_bytes += request.size
        request.charge(self._memory)

    def abandon_waiting(self) -> None:
        """Cancel what only waits or reads."""
        for request in list(self.running):
            if request.handler.cancel_on_disconnect:
                request.abandon()

    def abandon_all(self) -> None:
        """Cancel everything."""
        for request in list(self.running):
            request.abandon()

    async def _run(self, request: StartedRequest, method: Coroutine[Any, Any, ResponseBody]) -> None:
        """Run an asynchronous method to its response; a task of its own."""
        request.started = True
        try:
            if request.abandoned:
                method.close()
                raise asyncio.CancelledError
            body = await method
        except asyncio.CancelledError:
            self._ended(request)
            self._writer.fail(request, _abandoned())
        except Exception as error:
            self._ended(request)
            self._writer.fail(request, error)
        else:
            self._ended(request)
            self._writer.respond(request, body)
        self._on_end()
        request.release(self._memory)  # last, because it may start requests of other connections

    def _finish(self, request: StartedRequest, future: asyncio.Future[ResponseBody]) -> None:
        """Respond to a request whose method returned a future."""
        self._ended(request)
        if future.cancelled():
            self._writer.fail(request, _abandoned())
        elif (error := future.exception()) is not None:
            self._writer.fail(request, error)
        else:
            self._writer.respond(request, future.result())
        self._on_end()
        request.release(self._memory)

    def _ended(self, request: StartedRequest) -> None:
        self.running.discard(request)
        self.running_bytes -= request.size


def _abandoned() -> FlussError:
    return FlussError(
        ErrorCode.NETWORK_EXCEPTION,
        "the request was abandoned: its client is gone, the server is closing, or others need its memory",
    )
