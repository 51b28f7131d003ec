"""One client's connection to the server: requests in, responses out.

The connection is the protocol of an asyncio transport and puts the parts together::

    bytes ──► RequestIntake ──► RequestRunner ──► ResponseWriter ──► bytes
              frames, memory    methods           frames, one system call a tick

* Requests are started in the order they arrive; responses leave when they are ready, whole frames at a time.
* Every request gets its response, or an ERROR frame for an unknown API, a body that cannot be read, or an exception of
  its method. Only bytes that cannot be cut into frames end the connection: SERVER_FAILURE, close.
* Nothing more is read from a client while too many of its requests have no response or output waits for it, nor more
  of a long request than there is memory for.
* Connections share the time of the event loop (:mod:`rpc.loop_budget`).
* Clients that stop in the middle, of a request or of a response, are disconnected in time (:mod:`rpc.deadlines`), and
  within seconds when others wait for the memory (:mod:`rpc.request_memory`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from fluss_server.api.keys import ApiKey
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.authentication import Authenticator, ConnectionAuthentication, not_authenticated
from fluss_server.rpc.deadlines import Deadlines
from fluss_server.rpc.endpoints import address_of
from fluss_server.rpc.frame_memory import FrameMemory
from fluss_server.rpc.frames import parse_request_header
from fluss_server.rpc.limits import RpcLimits
from fluss_server.rpc.loop_budget import BUDGET_S, RECEIVE_S_PER_BYTE, LoopBudget, LoopUse
from fluss_server.rpc.request_intake import RequestIntake
from fluss_server.rpc.request_memory import RequestMemory
from fluss_server.rpc.request_runner import RequestRunner
from fluss_server.rpc.response_memory import ResponseMemory
from fluss_server.rpc.response_writer import ResponseWriter
from fluss_server.rpc.service import ServiceRegistry, not_served
from fluss_server.rpc.started_request import StartedRequest
from fluss_server.runtime.runtime import Runtime

logger = logging.getLogger(__name__)

_BEFORE_AUTHENTICATION = frozenset({ApiKey.API_VERSIONS, ApiKey.AUTHENTICATE})
_CHARGED_RECEPTION = 16 * 1024  # bytes; receiving fewer costs less than counting them
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
    loop_budget: LoopBudget
    runtime: Runtime

    def connection_opened(self, connection: ServerConnection) -> bool:
        """A client connected; False refuses it, with a reason if the connection was not aborted."""

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
        authentication: who uses the connection.
    """

    def __init__(self, host: ConnectionHost, loop: asyncio.AbstractEventLoop) -> None:
        limits = host.limits
        self._host = host
        self._loop = loop
        self._memory = host.request_memory
        self._monotonic = host.runtime.clock.monotonic
        self.listener = host.listener
        self.peer = ""
        self.local_host = ""
        self.local_port = 0
        self.last_activity = self._monotonic()
        self.authentication = ConnectionAuthentication(host.authenticator, limits)
        self._deadlines = Deadlines(limits, self.last_activity)
        running: set[StartedRequest] = set()
        self._writer = ResponseWriter(
            loop,
            self._monotonic,
            host.response_memory,
            self,
            running,
            slow_request_ms=limits.slow_request_ms,
            on_sent=self._close_if_done,
            on_progress=self._output_moved,
        )
        self._runner = RequestRunner(
            loop,
            limits,
            self._memory,
            self._writer,
            running,
            self._request_ended,
            monotonic=self._monotonic,
            charge=self._charge,
        )
        self._intake = RequestIntake(
            self._memory,
            self,
            max_frame_bytes=self.authentication.max_frame_bytes,
            receive_buffer=host.receive_buffer,
            frame_memory=host.frame_memory,
            on_kept=self._writer.keep,
        )
        self._reader = self._intake.reader
        self._transport: asyncio.Transport
        self._quick_ack: Callable[[], None] | None = None
        self._loop_budget = host.loop_budget
        self._loop_use = LoopUse()
        self._waits_for_loop = False
        self._closing = False  # no request is started any more
        self._discarding: memoryview | None = None  # where input goes after a SERVER_FAILURE
        self._linger: asyncio.TimerHandle | None = None
        self._lost = False

    # ---- callbacks of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        network = self._host.runtime.network
        self._intake.attach(self._transport)
        self._writer.attach(self._transport, network.direct_output(transport))
        self.peer = "{}:{}".format(*address_of(transport.get_extra_info("peername")))
        self.local_host, self.local_port = address_of(transport.get_extra_info("sockname"))
        self._quick_ack = network.prepare_accepted(transport)
        if not self._host.connection_opened(self):
            self._refuse(FlussError(ErrorCode.NETWORK_EXCEPTION, "the server takes no more connections"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.get_buffer() if self._discarding is None else self._discarding

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarding is None:
            self.last_activity = now = self._monotonic()
            if nbytes >= _CHARGED_RECEPTION:
                self._charge(now - nbytes * RECEIVE_S_PER_BYTE, now)
            self._reader.received(nbytes)
            self._pump(now)
            if self._runner.running and self._quick_ack is not None:
                # Something waits, a parked fetch perhaps. The kernel would hold its acknowledgement back for up to
                # 40 ms, and a client without TCP_NODELAY (pyfluss) its next request.
                self._quick_ack()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same; the official clients never do the latter.
        self._forget_client()

    def pause_writing(self) -> None:
        self._writer.output.pause()

    def resume_writing(self) -> None:
        self.last_activity = self._monotonic()
        self._writer.output.resume()
        self._output_moved()

    def _output_moved(self) -> None:
        self._writer.slots.give()
        if self._intake.paused:
            self._pump()
        self._close_if_done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._linger is not None:
            self._linger.cancel()
        self._writer.clear()
        self._intake.discard()
        self._forget_client()
        if not self._runner.running:
            self._host.connection_closed(self)

    # ---- calls of the server

    @property
    def requests_in_flight(self) -> int:
        """Requests that were started and have no response yet."""
        return len(self._runner.running)

    def shut_down(self) -> None:
        """Start nothing more, abandon what only waits or reads, and close when the rest has its responses."""
        self._closing = True
        self._intake.pause()
        self._runner.abandon_waiting()
        self._close_if_done()

    def abort(self) -> None:
        """Close at once and cancel everything."""
        self._closing = True
        self._runner.abandon_all()
        self._transport.abort()

    def check_deadlines(self, now: float) -> None:
        """Close when nothing has moved for too long, or the client has not authenticated in time.

        Args:
            now: of the monotonic clock; called every few seconds.
        """
        reason = self._deadlines.violated(self, now)
        if reason is not None:
            self._log_drop(reason)
            self._disconnect()
        elif self._deadlines.idle(self, now):
            logger.info("closing the idle connection of %s", self.peer)
            self._disconnect()

    # ---- what the deadlines depend on: see deadlines.Watched

    @property
    def authenticated(self) -> bool:
        return self.authentication.ready

    @property
    def receiving_since_request(self) -> int | None:
        reader = self._reader
        return reader.frames if not self._intake.paused and (not reader.idle or not reader.frames) else None

    @property
    def arriving_bytes(self) -> int:
        return self._reader.arriving_bytes

    @property
    def unacknowledged_bytes(self) -> int | None:
        output = self._writer.output
        return output.unacknowledged_bytes() if output.blocked else None

    # ---- calls of the memories of all connections

    @property
    def received_bytes(self) -> int:
        """See :class:`fluss_server.rpc.request_memory.Receiver`."""
        return self._reader.received_bytes

    @property
    def waits_for_client(self) -> bool:
        """See :class:`fluss_server.rpc.request_memory.Receiver`."""
        if not self._intake.paused:
            return True
        running = self._runner.running
        return self._writer.output.blocked or (
            bool(running) and all(request.handler.cancel_on_disconnect for request in running)
        )

    def receive_more(self) -> None:
        """See :class:`fluss_server.rpc.request_memory.Receiver`."""
        self._intake.memory_granted()
        self._wake()

    def drop_stalled(self) -> None:
        """See :class:`fluss_server.rpc.request_memory.Receiver`."""
        self._fail(
            FlussError(
                ErrorCode.REQUEST_TIME_OUT,
                f"only {self._reader.received_bytes} bytes of a request of {self._reader.arriving_bytes} have arrived,"
                " nothing follows, and others wait for its memory",
                hint="send the request again; server.request.memory-size bounds the memory of all requests",
            )
        )

    def drop_unread(self) -> None:
        """See :class:`fluss_server.rpc.response_memory.ResponseOwner`."""
        self._disconnect()
        self._writer.output.clear()

    # ---- requests

    def _may_start(self) -> bool:
        if self._closing or self._waits_for_loop or self._writer.output.blocked:
            return False
        if self._runner.running and self._runner.busy:
            return False
        if self._memory.full and not self._intake.arriving:
            self._memory.short.wait(self, 1, self._wake)
            return False
        return True

    def _has_time(self, begin: float, now: float) -> bool:
        """Whether requests may be started in this iteration of the loop; if not, wait for another one."""
        budget = self._loop_budget
        if now > begin:
            if now - begin < budget.slice_s:
                return True
        elif budget.used_s < BUDGET_S:
            return True
        single = self._reader.ends_with_next_frame
        if now == begin and budget.has_time_for(self._loop_use, single):
            return True
        self._waits_for_loop = True
        budget.wait(self._loop_granted, self._loop_use, single)
        return False

    def _charge(self, begin: float, end: float) -> None:
        """The loop was used for this connection."""
        self._loop_budget.charge(self._loop_use, end - begin)

    def _loop_granted(self) -> None:
        self._waits_for_loop = False
        self._wake()

    def _wake(self) -> None:
        if self._intake.paused and not self._lost:
            self._pump()

    def _pump(self, begin: float | None = None) -> None:
        """Start the requests that have arrived, as many as may be started.

        Args:
            begin: what the monotonic clock shows, if it was just read.
        """
        reader, writer, intake = self._reader, self._writer, self._intake
        begin = now = self._monotonic() if begin is None else begin
        started = False
        writer.batching = True
        try:
            while self._may_start() and self._has_time(begin, now):
                frame = reader.next_frame()
                if frame is None:
                    intake.receive_rest()
                    break
                self._start(frame)
                started = True
                if reader.idle and not (self._runner.running or intake.paused):
                    break  # a single request with its response: the usual case, and nothing more to look at
                now = self._monotonic()
            else:
                intake.hold_back()
        except FlussError as error:
            self._fail(error)
        finally:
            writer.batching = False
        writer.flush()
        if started:
            self._loop_budget.charge(self._loop_use, self._monotonic() - begin)  # with what was sent

    def _start(self, frame: bytes | memoryview) -> None:
        arrival = self._intake.take_arrival()
        api_key, version, request_id = parse_request_header(frame)
        handler = self._host.registry.get(api_key)  # it may be replaced while the connection is open
        if not self.authentication.ready and api_key not in _BEFORE_AUTHENTICATION:
            self._writer.send_error(request_id, not_authenticated())
        elif handler is None:
            self._writer.send_error(request_id, not_served(api_key))
        else:
            self._runner.start(StartedRequest(self, handler, version, request_id, len(frame), arrival), frame)
            return
        if arrival is not None:
            arrival.discard()

    def _request_ended(self) -> None:
        """A request that had to wait has its response: start others, or end the connection."""
        if self._lost:
            if not self._runner.running:
                self._host.connection_closed(self)
        elif self._intake.paused:
            self._pump()
        if self._closing:
            self._close_if_done()

    # ---- calls of requests: see RequestContext

    def authenticate(self, mechanism: str, token: bytes) -> Awaitable[None] | None:
        refusal = self.authentication.attempt(mechanism, token, self.peer, self.listener)
        if refusal is not None:
            return self._refuse_authentication(refusal)
        self._reader.max_frame_size = self.authentication.max_frame_bytes
        return None

    async def _refuse_authentication(self, refusal: Awaitable[None]) -> None:
        try:
            await refusal
        finally:
            if self.authentication.exhausted:
                self._closing = True
                self._intake.pause()

    def response_capacity(self) -> int:
        return self._host.response_memory.capacity

    def try_response_slot(self, request: StartedRequest) -> bool:
        return self._writer.slots.try_take(request)

    async def wait_for_response_slot(self, request: StartedRequest) -> None:
        if self._lost:
            raise _client_gone()
        await self._writer.slots.take(request)

    # ---- ends

    def _fail(self, error: FlussError) -> None:
        """The stream cannot be read any further: say why, then close."""
        self._log_drop(str(error))
        self._refuse(error)

    def _log_drop(self, reason: str) -> None:
        logger.warning(
            "closing the connection of %s: %s",
            self.peer,
            reason,
            extra={"event": "client_dropped", "peer": self.peer, "listener": self.listener},
        )

    def _refuse(self, error: FlussError) -> None:
        self._writer.send_failure(error)
        self._closing = True
        self._discarding = self._host.receive_buffer
        self._intake.discard()
        self._intake.resume()
        self._runner.abandon_waiting()
        # Closing with input unread would reset the connection, and the client might never see the reason.
        self._linger = self._loop.call_later(_LINGER_S, self._transport.abort)
        self._close_if_done()

    def _disconnect(self) -> None:
        """Close at once; what changes something and was started runs to its end."""
        self._closing = True
        self._transport.abort()

    def _close_if_done(self) -> None:
        if not self._closing or self._lost or not self._writer.empty:
            return
        if self._discarding is not None:
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        elif not self._runner.running:
            self._transport.close()

    def _forget_client(self) -> None:
        self._closing = True
        self._runner.abandon_waiting()
        self._writer.slots.refuse(_client_gone)


def _client_gone() -> FlussError:
    return FlussError(ErrorCode.NETWORK_EXCEPTION, "the client is gone")
