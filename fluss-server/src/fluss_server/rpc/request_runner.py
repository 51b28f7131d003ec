"""Started requests of one connection, until they have their responses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
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
        monotonic: the server's clock, in seconds.
        charge: told from when to when the loop was used for a request after it was started.

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
        *,
        monotonic: Callable[[], float],
        charge: Callable[[float, float], None],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._memory = memory
        self._writer = writer
        self._on_end = on_end
        self._monotonic = monotonic
        self._charge = charge
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
        waits_for: object = None
        try:
            handler.check(request.api_version, len(frame), self._limits.max_message_bytes)
            result = handler.method(handler.parse(frame), request)
            if handler.starts_at_once and asyncio.iscoroutine(result):
                try:
                    waits_for = result.send(None)
                except StopIteration as end:
                    result = end.value
        except Exception as error:
            self._writer.fail(request, error)
            request.forget_memory()
            return
        if type(result) is list:  # pieces; checked first, because asyncio's checks take longer than most responses
            self._writer.respond(request, result)
            if request.arrival is not None:
                request.forget_memory()
            return
        if (handler.is_async and not handler.starts_at_once) or asyncio.iscoroutine(result):
            request.future = self._loop.create_task(
                self._run(request, cast("Coroutine[Any, Any, ResponseBody]", result), waits_for)
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
        request.charge(self._memory)
        self.running_bytes += request.size

    def abandon_waiting(self) -> None:
        """Cancel what only waits or reads."""
        for request in list(self.running):
            if request.handler.cancel_on_disconnect:
                request.abandon()

    def abandon_all(self) -> None:
        """Cancel everything."""
        for request in list(self.running):
            request.abandon()

    async def _run(self, request: StartedRequest, method: Coroutine[Any, Any, ResponseBody], waits_for: object) -> None:
        """Run an asynchronous method to its response; a task of its own.

        Args:
            waits_for: what it waits for, if it has been started.
        """
        request.started = True
        try:
            if request.abandoned:
                method.close()
                raise asyncio.CancelledError
            body = await ChargedSteps(method, self._monotonic, self._charge, waits_for)
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


class ChargedSteps:
    """Runs a coroutine, and tells from when to when each of its steps used the event loop.

    Args:
        coroutine: what to run.
        monotonic: the clock.
        charge: told the beginning and the end of each step.
        waits_for: the future that the coroutine waits for if its first step has been run, else None.
    """

    __slots__ = ("_charge", "_coroutine", "_monotonic", "_waits_for")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, ResponseBody],
        monotonic: Callable[[], float],
        charge: Callable[[float, float], None],
        waits_for: object = None,
    ) -> None:
        self._coroutine = coroutine
        self._monotonic = monotonic
        self._charge = charge
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, ResponseBody]:
        coroutine, monotonic, charge = self._coroutine, self._monotonic, self._charge
        error: BaseException | None = None
        if self._waits_for is not None:
            try:
                yield self._waits_for
            except BaseException as thrown:
                error = thrown
        while True:
            begin = monotonic()
            try:
                waits_for = coroutine.send(None) if error is None else coroutine.throw(error)
            except StopIteration as end:
                body: ResponseBody = end.value
                return body
            finally:
                error = None  # its traceback has this frame
                charge(begin, monotonic())
            try:
                yield waits_for
            except BaseException as thrown:  # of the future, or because the task is cancelled
                error = thrown


def _abandoned() -> FlussError:
    return FlussError(
        ErrorCode.NETWORK_EXCEPTION,
        "the request was abandoned: its client is gone, the server is closing, or others need its memory",
    )
