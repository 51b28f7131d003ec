"""One client's connection to the server: requests in, responses out.

* Requests are started in the order they arrive; answers leave when they are ready, whole frames at a time.
* Every request is answered: with its response, or with an ERROR frame for an unknown API, a body that cannot be read,
  or an exception of its method. Only bytes that cannot be cut into frames end the connection: SERVER_FAILURE, close.
* Nothing more is read from a client while too many of its requests are unanswered or output waits for it, nor a long
  request before there is memory for it.
* Clients that stop in the middle, of a request or of an answer, are disconnected in time.
* Answers that become ready in the same turn of the event loop go out in one system call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, cast

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.authentication import Authenticator, ConnectionAuthentication, not_authenticated
from fluss_server.rpc.endpoints import address_of
from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import (
    REQUEST_HEADER_SIZE,
    FrameReader,
    Piece,
    error_frame,
    failure_frame,
    parse_request_header,
    success_frame,
)
from fluss_server.rpc.limits import MIN_RECEIVE_RATE, RequestMemory, ResponseMemory, RpcLimits
from fluss_server.rpc.output import OutputQueue
from fluss_server.rpc.progress import Progress
from fluss_server.rpc.response_slots import ResponseSlots
from fluss_server.rpc.service import ResponseBody, ServiceRegistry
from fluss_server.rpc.started_request import StartedRequest
from fluss_server.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

_MAX_COLLECTED = 64 * 1024  # bytes of answers that may wait for the end of a turn
_BEFORE_AUTHENTICATION = frozenset({ApiKey.API_VERSIONS, ApiKey.AUTHENTICATE})
_LINGER_S = 1.0  # how long a refused client gets to read the reason


class ConnectionHost(Protocol):
    """What a connection needs from its server."""

    registry: ServiceRegistry
    limits: RpcLimits
    listener: str
    authenticator: Authenticator | None
    request_memory: RequestMemory
    response_memory: ResponseMemory
    receive_buffer: memoryview
    frame_memory: FrameMemory
    runtime: Runtime

    def connection_opened(self, connection: ServerConnection) -> bool:
        """A client connected; False refuses it, with a word if the connection was not aborted."""

    def connection_closed(self, connection: ServerConnection) -> None:
        """The client is gone and none of its requests runs any more."""


class ServerConnection(asyncio.BufferedProtocol):
    """The server's side of one connection.

    Attributes:
        listener: name of the listener that accepted it.
        peer: ``host:port`` of the client.
        local_host: address the client connected to.
        local_port: port the client connected to.
        last_activity: time of the monotonic clock when bytes last moved.
        login: who uses the connection.
    """

    def __init__(self, host: ConnectionHost, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._registry = host.registry
        self._limits = host.limits
        self._memory = host.request_memory
        self.authentication = ConnectionAuthentication(host.authenticator, host.limits.max_authentication_failures)
        self._ready = self.authentication.principal is not None
        self._monotonic = host.runtime.clock.monotonic
        self._opened = self.last_activity = self._monotonic()
        self._authentication_refused = False  # a failed login is not answered yet
        max_frame_bytes = host.limits.max_frame_bytes if self._ready else host.limits.max_unauthenticated_frame_bytes
        self._reader = FrameReader(
            max_frame_bytes, REQUEST_HEADER_SIZE, host.receive_buffer, admit=True, memory=host.frame_memory
        )
        self._responses = host.response_memory
        self._admitted = 0  # bytes reserved for the request that is arriving
        self._awaits_admission = False
        self._kept_bytes = 0  # of requests that arrived and must wait
        self.listener = host.listener
        self.peer = ""
        self.local_host = ""
        self.local_port = 0
        self._progress = Progress(~0, self.last_activity)  # as if the first request had begun with the connection
        self._transport: asyncio.Transport
        self._quick_ack: Callable[[], None] | None = None
        self._output: OutputQueue
        self._running: set[StartedRequest] = set()
        self._running_bytes = 0
        self._collected: list[Piece] = []
        self._collected_size = 0
        self._send_scheduled = False
        self._pumping = False
        self._reading_paused = False
        self._closing = False  # no request is started any more
        self._discarding: memoryview | None = None  # where input goes after a SERVER_FAILURE
        self._linger: asyncio.TimerHandle | None = None
        self._lost = False
        self._slots = ResponseSlots(lambda: not (self._output.blocked or self._lost))

    # ---- callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        network = self._host.runtime.network
        self._output = OutputQueue(self._transport, network.direct_output(transport), self._backlog_changed)
        self.peer = "{}:{}".format(*address_of(transport.get_extra_info("peername")))
        self.local_host, self.local_port = address_of(transport.get_extra_info("sockname"))
        self._quick_ack = network.prepare_accepted(transport)
        if not self._host.connection_opened(self):
            self._refuse(FlussError(ErrorCode.NETWORK_EXCEPTION, "the server takes no more connections"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer() if self._discarding is None else self._discarding

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarding is None:
            self.last_activity = self._monotonic()
            self._reader.received(nbytes)
            self._pump()
            if self._running and self._quick_ack is not None:
                # Something waits, a parked fetch perhaps. The kernel would hold its acknowledgement back for up to
                # 40 ms, and a client without TCP_NODELAY (pyfluss) its next request.
                self._quick_ack()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same; the official clients never do the latter.
        self._forget_client()

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self.last_activity = self._monotonic()
        self._output.resume()
        self._slots.give()
        if self._reading_paused:
            self._pump()
        self._close_if_done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._linger is not None:
            self._linger.cancel()
        self._output.clear()
        self._forget_arriving()
        self._responses.update(self, 0)
        self._forget_client()
        if not self._running:
            self._host.connection_closed(self)

    # ---- calls of the server

    @property
    def requests_in_flight(self) -> int:
        """Requests that were started and are not answered."""
        return len(self._running)

    def shut_down(self) -> None:
        """Start nothing more, give up what only waits or reads, and close when the rest is answered."""
        self._closing = True
        self._pause_reading()
        self._cancel_parked()
        self._close_if_done()

    def abort(self) -> None:
        """Close at once and cancel everything."""
        self._closing = True
        for request in list(self._running):
            request.abandon()
        self._transport.abort()

    def drop_unread(self) -> None:
        """See :class:`fluss_server.rpc.limits.ResponseOwner`."""
        self._disconnect()
        self._output.clear()

    def check_deadlines(self, now: float) -> None:
        """Close when nothing has moved for too long, or nobody has logged in in time; called every few seconds.

        Args:
            now: of the monotonic clock.
        """
        limits = self._limits
        reader = self._reader
        if not self._ready and now - self._opened >= limits.max_authentication_s:
            self._drop("it has not authenticated within %.0f s", limits.max_authentication_s)
        elif self._output.blocked:
            # The system's buffers hide a slow reader from us, so ask how much of them is taken.
            if self._progress.stalls(now, self._output.unacknowledged_bytes(), limits.send_timeout_s):
                self._drop("it has read nothing of its answers for %.0f s", limits.send_timeout_s)
        elif not self._running and now - self.last_activity >= limits.max_idle_s:
            logger.info("closing the idle connection of %s", self.peer)
            self._disconnect()
        elif not self._reading_paused and (not reader.idle or not reader.frames):
            allowed = limits.receive_timeout_s + reader.arriving_bytes / MIN_RECEIVE_RATE
            if self._progress.stalls(now, ~reader.frames, allowed):
                self._drop("a request did not arrive within %.0f s", allowed)
        else:
            self._progress.forget()

    def _drop(self, reason: str, seconds: float) -> None:
        logger.warning(
            "closing the connection of %s: " + reason,
            self.peer,
            seconds,
            extra={"event": "client_dropped", "peer": self.peer, "listener": self.listener},
        )
        self._disconnect()

    def _disconnect(self) -> None:
        """Close at once; what changes something and was started runs to its end."""
        self._closing = True
        self._transport.abort()

    def _backlog_changed(self, size: int) -> None:
        """The client makes us keep ``size`` bytes of answers, and requests that must wait."""
        self._responses.update(self, size + self._kept_bytes)

    # ---- requests

    def _may_start(self) -> bool:
        limits = self._limits
        if (
            self._closing
            or len(self._running) >= limits.max_requests_in_flight
            or self._running_bytes >= limits.max_request_bytes_in_flight
            or self._output.blocked
        ):
            return False
        if self._memory.full and not self._admitted:
            self._memory.wait(self, self._wake)
            return False
        return True

    def _wake(self) -> None:
        if self._reading_paused and not self._lost:
            self._pump()

    def _pump(self) -> None:
        """Start the requests that have arrived, as many as may be started."""
        reader = self._reader
        self._pumping = True
        try:
            while self._may_start():
                frame = reader.next_frame()
                if frame is None:
                    if reader.announced and not self._admit():
                        self._pause_reading()
                    else:
                        self._resume_reading()
                    break
                self._start(frame)
                if reader.idle and not (self._running or self._reading_paused):
                    break  # a single request, answered at once: the usual case, and nothing more to look at
            else:
                reader.leave()
                self._pause_reading()
                self._keep(reader.kept_bytes)
        except FlussError as error:
            self._fail(error)
        finally:
            self._pumping = False
        self._send_collected()

    def _keep(self, size: int) -> None:
        if size != self._kept_bytes:
            self._kept_bytes = size
            self._backlog_changed(self._output.backlog_bytes)

    def _admit(self) -> bool:
        """Reserve memory for the announced request; if there is none yet, go on when there is."""
        length = self._reader.announced
        if not self._awaits_admission:
            if self._memory.admit(length, self, self._granted):
                self._begin_arriving(length)
                return True
            self._awaits_admission = True
        return False

    def _granted(self) -> None:
        self._awaits_admission = False
        self._begin_arriving(self._reader.announced)
        self._wake()

    def _begin_arriving(self, length: int) -> None:
        self._admitted = length
        self._reader.begin()

    def _forget_arriving(self) -> None:
        """No request arrives any more."""
        self._memory.forget(self)
        self._reader.clear()
        admitted, self._admitted = self._admitted, 0
        if admitted:
            self._memory.dismiss(admitted)

    def _start(self, frame: bytes | memoryview) -> None:
        admitted, self._admitted = self._admitted, 0
        api_key, version, request_id = parse_request_header(frame)
        if not self._ready and api_key not in _BEFORE_AUTHENTICATION:
            self._collect_error(request_id, not_authenticated())
            if admitted:
                self._memory.dismiss(admitted)
            return
        handler = self._registry.get(api_key)
        if handler is None:
            error = FlussError(ErrorCode.UNSUPPORTED_VERSION, f"this server does not serve API {api_key}")
            self._collect_error(request_id, error)
            if admitted:
                self._memory.dismiss(admitted)
            return
        request = StartedRequest(self, handler, version, request_id, len(frame), admitted)
        try:
            handler.check_version(version)
            handler.check_size(len(frame), self._limits.max_message_bytes)
            result = handler.method(handler.parse(frame), request)
        except Exception as error:
            self._respond_with_error(request, error)
            self._dismiss(request)
            return
        if type(result) is list:  # pieces, looked for first because asyncio's questions take longer than most answers
            self._respond(request, result)
            if admitted:
                self._memory.dismiss(admitted)
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
            self._respond(request, cast("ResponseBody", result))
            self._dismiss(request)
            return
        self._running.add(request)
        self._running_bytes += request.size
        self._memory.hold(request.size - admitted)

    def _dismiss(self, request: StartedRequest) -> None:
        """Give back what was reserved for a request that never ran."""
        if request.admitted:
            self._memory.dismiss(request.admitted)

    async def _run(self, request: StartedRequest, method: Coroutine[Any, Any, ResponseBody]) -> None:
        """Run an asynchronous method to its answer; a task of its own."""
        request.started = True
        try:
            if request.abandoned:
                method.close()
                raise asyncio.CancelledError
            body = await method
        except asyncio.CancelledError:
            self._ended(request)
            self._respond_with_error(request, _abandoned())
        except Exception as error:
            self._ended(request)
            self._respond_with_error(request, error)
        else:
            self._ended(request)
            self._respond(request, body)
        self._go_on(request)

    def _finish(self, request: StartedRequest, future: asyncio.Future[ResponseBody]) -> None:
        """Answer a request whose method returned a future."""
        self._ended(request)
        if future.cancelled():
            self._respond_with_error(request, _abandoned())
        elif (error := future.exception()) is not None:
            self._respond_with_error(request, error)
        else:
            self._respond(request, future.result())
        self._go_on(request)

    def _ended(self, request: StartedRequest) -> None:
        self._running.discard(request)
        self._running_bytes -= request.size

    def _go_on(self, request: StartedRequest) -> None:
        """``request`` is answered: start others, or end the connection."""
        if self._lost:
            if not self._running:
                self._host.connection_closed(self)
        elif self._reading_paused:
            self._pump()
        if self._closing:
            self._close_if_done()
        # Last, because it may start requests of other connections.
        self._memory.release(request.size - request.admitted)
        self._dismiss(request)

    # ---- answers

    def _respond(self, request: StartedRequest, body: ResponseBody) -> None:
        try:
            self._collect(*success_frame(request.request_id, body))
        except Exception as error:
            self._respond_with_error(request, error)
            return
        self._record(request)
        self._release_slot(request)

    def _record(self, request: StartedRequest) -> None:
        elapsed_ms = (self._monotonic() - request.arrived) * 1000
        request.handler.stats.record(request.frame_bytes, elapsed_ms)
        if elapsed_ms >= self._limits.slow_request_ms and not request.handler.cancel_on_disconnect:
            logger.warning(
                "%s took %.0f ms",
                request,
                elapsed_ms,
                extra={"event": "slow_request", "elapsed_ms": round(elapsed_ms), **request.log_fields()},
            )

    def _respond_with_error(self, request: StartedRequest, error: BaseException) -> None:
        if isinstance(error, FlussError):
            logger.debug("%s: %s %s", request, error.name, error)
        else:
            logger.error(
                "%s failed", request, exc_info=error, extra={"event": "request_failed", **request.log_fields()}
            )
            text = f"{type(error).__name__}: {error}"
            error = FlussError(ErrorCode.UNKNOWN_SERVER_ERROR, text, hint="the server's log has the details")
        self._collect_error(request.request_id, error)
        request.handler.stats.errors += 1
        self._record(request)
        self._release_slot(request)

    def _collect_error(self, request_id: int, error: FlussError) -> None:
        frame = error_frame(request_id, error.code, str(error))
        self._collect((frame,), len(frame))

    def _collect(self, pieces: Sequence[Piece], size: int) -> None:
        """Send a frame, now or together with others that become ready in this turn of the loop."""
        if self._lost or self._discarding is not None:
            return
        self._collected.extend(pieces)
        self._collected_size += size
        if self._collected_size >= _MAX_COLLECTED:
            self._send_collected()
        elif not self._running and (self._reader.idle or not self._pumping):
            self._send_collected()  # nothing else can become ready in this turn
        elif not self._pumping and not self._send_scheduled:
            self._send_scheduled = True
            self._loop.call_soon(self._send_scheduled_now)

    def _send_scheduled_now(self) -> None:
        self._send_scheduled = False
        self._send_collected()
        self._close_if_done()

    def _send_collected(self) -> None:
        if self._collected and not self._lost:
            pieces, size = self._collected, self._collected_size
            self._collected, self._collected_size = [], 0
            self._output.send(pieces, size)

    # ---- login: see RequestContext.log_in

    def authenticate(self, mechanism: str, token: bytes) -> Awaitable[None] | None:
        if self._authentication_refused:
            # Otherwise the delay would cost a client nothing: it could send many passwords at once.
            raise not_authenticated()
        try:
            self.authentication.attempt(mechanism, token)
        except FlussError as error:
            self._authentication_refused = True
            logger.warning("a login from %s on listener %s failed: %s", self.peer, self.listener, error)
            return self._refuse_authentication(error)
        if not self._ready:
            self._ready = True
            self._reader.max_frame_size = self._limits.max_frame_bytes
            logger.debug("%s logged in as %s", self.peer, self.authentication.principal)
        return None

    async def _refuse_authentication(self, error: FlussError) -> None:
        await asyncio.sleep(self._limits.authentication_failure_delay_s)
        self._authentication_refused = False
        if self.authentication.exhausted:
            self._closing = True
            self._pause_reading()
        raise error

    # ---- turns: see RequestContext.response_slot

    def response_capacity(self) -> int:
        """See RequestContext."""
        return self._responses.capacity

    def try_response_slot(self, request: StartedRequest) -> bool:
        return self._slots.try_take(request)

    async def wait_for_response_slot(self, request: StartedRequest) -> None:
        if self._lost:
            raise _client_gone()
        await self._slots.take(request)

    def _release_slot(self, request: StartedRequest) -> None:
        if self._slots.holder is request and self._slots.end():
            self._send_collected()  # so that the next one sees whether the client keeps up
            self._slots.give()

    # ---- ends

    def _fail(self, error: FlussError) -> None:
        """The stream cannot be read any further: say why, then close."""
        logger.warning(
            "closing the connection of %s: %s",
            self.peer,
            error,
            extra={"event": "client_dropped", "peer": self.peer, "listener": self.listener},
        )
        self._refuse(error)

    def _refuse(self, error: FlussError) -> None:
        self._send_collected()
        frame = failure_frame(error.code, str(error))
        self._output.send((frame,), len(frame))
        self._closing = True
        self._discarding = self._host.receive_buffer
        self._forget_arriving()
        self._resume_reading()
        self._cancel_parked()
        # Closing with input unread would reset the connection, and the client might never see the reason.
        self._linger = self._loop.call_later(_LINGER_S, self._transport.abort)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._closing or self._lost or self._collected or not self._output.empty:
            return
        if self._discarding is not None:
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        elif not self._running:
            self._transport.close()

    def _forget_client(self) -> None:
        self._closing = True
        self._cancel_parked()
        self._slots.refuse(_client_gone)

    def _cancel_parked(self) -> None:
        for request in list(self._running):
            if request.handler.cancel_on_disconnect:
                request.abandon()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._keep(0)
            self._transport.resume_reading()


def _abandoned() -> FlussError:
    return FlussError(ErrorCode.NETWORK_EXCEPTION, "the request was given up because the server is closing")


def _client_gone() -> FlussError:
    return FlussError(ErrorCode.NETWORK_EXCEPTION, "the client is gone")
