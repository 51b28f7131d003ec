"""Responses of one connection on their way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.frames import Piece, error_frame, failure_frame, success_frame
from fluss_server.rpc.output import OutputQueue
from fluss_server.rpc.response_memory import ResponseMemory, ResponseOwner
from fluss_server.rpc.response_slots import ResponseSlots
from fluss_server.rpc.started_request import StartedRequest
from fluss_server.runtime.network import DirectOutput

if TYPE_CHECKING:
    from fluss_server.rpc.service import ResponseBody

logger = logging.getLogger(__name__)

_MAX_COLLECTED = 64 * 1024  # bytes of responses that may wait for the end of a tick


class ResponseWriter:
    """Encodes responses and sends them, those of one tick of the event loop in one system call.

    Args:
        loop: of the server.
        monotonic: its clock, in seconds.
        memory: where unread responses are counted.
        owner: the connection, as the memory sees it.
        running: the connection's running requests; while there are some, more may become ready in the same tick.
        slow_request_ms: a request that takes longer is logged.
        on_sent: called when collected responses were sent at the end of a tick.
        on_progress: called when more of a long response was sent.

    Attributes:
        slots: which request may build a large response.
        batching: whether the caller will flush soon.
        closed: whether nothing more is sent.
        output: what the client has not taken.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        monotonic: Callable[[], float],
        memory: ResponseMemory,
        owner: ResponseOwner,
        running: Collection[StartedRequest],
        *,
        slow_request_ms: float,
        on_sent: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._monotonic = monotonic
        self._memory = memory
        self._owner = owner
        self._running = running
        self._slow_request_ms = slow_request_ms
        self._on_sent = on_sent
        self._on_progress = on_progress
        self._collected: list[Piece] = []
        self._collected_size = 0
        self._scheduled = False
        self._kept_bytes = 0
        self.output: OutputQueue
        self.slots = ResponseSlots(lambda: not (self.closed or self.output.blocked))
        self.batching = False
        self.closed = False

    def attach(self, transport: asyncio.Transport, direct: DirectOutput | None) -> None:
        """The connection is made."""
        self.output = OutputQueue(transport, direct, self._backlog_changed, self._on_progress)

    @property
    def empty(self) -> bool:
        """Whether everything was handed to the system."""
        return not self._collected and self.output.empty

    def respond(self, request: StartedRequest, body: ResponseBody) -> None:
        """Send the response of a request."""
        try:
            pieces, size = success_frame(request.request_id, body)
        except Exception as error:
            self.fail(request, error)
            return
        self._collect(pieces, size)
        self._record(request)
        if self.slots.holder is request:
            self._release_slot()

    def fail(self, request: StartedRequest, error: BaseException) -> None:
        """Send an error instead of the response of a request."""
        if isinstance(error, FlussError):
            logger.debug("%s: %s %s", request, error.name, error)
        else:
            logger.error(
                "%s failed", request, exc_info=error, extra={"event": "request_failed", **request.log_fields()}
            )
            text = f"{type(error).__name__}: {error}"
            error = FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, text, hint="the server's log has the details")
        self.send_error(request.request_id, error)
        request.stats.errors += 1
        self._record(request)
        if self.slots.holder is request:
            self._release_slot()

    def send_error(self, request_id: int, error: FlussError) -> None:
        """Send an error for a request that was not started."""
        frame = error_frame(request_id, error.code, str(error))
        self._collect((frame,), len(frame))

    def send_failure(self, error: FlussError) -> None:
        """Send an error for the whole connection; nothing is sent after it."""
        self.flush()
        frame = failure_frame(error.code, str(error))
        self.output.send((frame,), len(frame))
        self.closed = True

    def flush(self) -> None:
        """Send what was collected."""
        if self._collected:
            pieces, size = self._collected, self._collected_size
            self._collected, self._collected_size = [], 0
            self.output.send(pieces, size)

    def keep(self, size: int) -> None:
        """``size`` bytes of requests wait after the responses and count with them."""
        self._kept_bytes = size
        self._backlog_changed(self.output.backlog_bytes)

    def clear(self) -> None:
        """Forget what is unsent; the connection is gone."""
        self.closed = True
        self._collected = []
        self.output.clear()
        self._memory.update(self._owner, 0)

    def _collect(self, pieces: Sequence[Piece], size: int) -> None:
        """Send a frame, now or together with others that become ready in this tick."""
        if self.closed:
            return
        self._collected.extend(pieces)
        self._collected_size += size
        if self._collected_size >= _MAX_COLLECTED:
            self.flush()
        elif self.batching:
            pass
        elif not self._running:
            self.flush()  # nothing else can become ready in this tick
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        self._scheduled = False
        if not self.closed:
            self.flush()
        self._on_sent()

    def _backlog_changed(self, size: int) -> None:
        """The client makes us keep ``size`` bytes of responses."""
        self._memory.update(self._owner, size + self._kept_bytes)

    def _release_slot(self) -> None:
        if self.slots.end():
            self.flush()  # so that the next one sees whether the client keeps up
            self.slots.give()

    def _record(self, request: StartedRequest) -> None:
        elapsed_ms = (self._monotonic() - request.arrived) * 1000
        request.stats.record(request.frame_bytes, elapsed_ms)
        if elapsed_ms >= self._slow_request_ms and not request.handler.cancel_on_disconnect:
            logger.warning(
                "%s took %.0f ms",
                request,
                elapsed_ms,
                extra={"event": "slow_request", "elapsed_ms": round(elapsed_ms), **request.log_fields()},
            )
