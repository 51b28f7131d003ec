"""A connection to ZooKeeper that comes back: one :class:`Connection` after the other, one session each.

A session ends when ZooKeeper says so, or when the connection was suspended for as long as the session may live: the
ensemble has ended it by then, or will be told to. Its connection is replaced, so that a request of one session is never
made in another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.zookeeper.connection import Connection, NoResponse, Refused
from fluss_server.metadata.zookeeper.settings import ZooKeeperSettings
from fluss_server.metadata.zookeeper.states import ConnectionState, StateListener
from fluss_server.runtime import Runtime
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

PAUSE_S = 0.02
"""Between a request without a response and the next one; the loss of the connection is reported within it."""

_T = TypeVar("_T")


class ZooKeeperClient:
    """Belongs to one event loop. Create it, :meth:`start` it, :meth:`close` it.

    Attributes:
        settings: as given.
        state: of the present connection; LOST before the first one.
    """

    def __init__(self, settings: ZooKeeperSettings, runtime: Runtime) -> None:
        self.settings = settings
        self.state = ConnectionState.LOST
        self._clock = runtime.clock
        self._worker = runtime.workers.pool("zookeeper", 1)
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._inflight = asyncio.Semaphore(settings.max_inflight)
        self._listeners: list[StateListener] = []
        self._closed = False

    async def start(self) -> None:
        """Connect and make the root.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when that takes longer than the time-out of connections.
        """
        self._replace()
        deadline = self.deadline_of_call()
        await self.read(lambda connection, timeout_s: connection.create_root(timeout_s), deadline)

    async def close(self) -> None:
        """End the session, with its ephemeral nodes; nothing happens the second time."""
        if self._closed:
            return
        self._closed = True
        self._connected.set()  # who waits for a connection shall hear that it is closed
        if self._expiry is not None:
            self._expiry.cancel()
        self._listeners.clear()
        self.state = ConnectionState.LOST
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._worker.run(_stop, connection)
        self._worker.close()

    def add_listener(self, listener: StateListener) -> None:
        """Call ``listener`` with each new state, from now on."""
        self._listeners.append(listener)

    def remove_listener(self, listener: StateListener) -> None:
        """Do not call it any more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def is_alive(self, connection: Connection) -> bool:
        """Whether the session of a connection may still have its ephemeral nodes."""
        return connection is self._connection and self.state is not ConnectionState.LOST

    def monotonic(self) -> float:
        """Seconds of the clock of deadlines."""
        return self._clock.monotonic()

    def deadline_of_call(self) -> float:
        """When a call that begins now has to end."""
        return self._clock.monotonic() + self.settings.connection_timeout_s

    async def connected(self, deadline: float) -> Connection:
        """The connection, once there is one; ``STORAGE_EXCEPTION`` when there is none until ``deadline``."""
        while True:
            if self._closed:
                raise FlussError(ErrorCode.STORAGE_EXCEPTION, "the metadata store is closed")
            if self.state is ConnectionState.CONNECTED and self._connection is not None:
                return self._connection
            try:
                await wait_at_most(self._connected.wait(), deadline - self._clock.monotonic())
            except asyncio.TimeoutError:
                raise FlussError(
                    ErrorCode.STORAGE_EXCEPTION,
                    f"there is no connection to ZooKeeper at {self.settings.hosts}",
                    hint="see whether it runs, and whether zookeeper.address is right",
                ) from None

    async def read(self, request: Callable[[Connection, float], Awaitable[_T]], deadline: float | None = None) -> _T:
        """Make a request that may be made twice, again and again until there is a response.

        Args:
            request: gets a connection and the seconds that are left.
            deadline: by default :meth:`deadline_of_call`.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` without a response until the deadline, or when ZooKeeper refuses.
        """
        until = self.deadline_of_call() if deadline is None else deadline
        while True:
            connection = await self.connected(until)
            try:
                return await self.once(request, connection, until)
            except NoResponse as problem:
                if self._clock.monotonic() >= until:
                    raise FlussError(
                        ErrorCode.STORAGE_EXCEPTION, f"ZooKeeper at {self.settings.hosts} does not respond: {problem}"
                    ) from None
                await asyncio.sleep(PAUSE_S)

    async def once(
        self, request: Callable[[Connection, float], Awaitable[_T]], connection: Connection, deadline: float
    ) -> _T:
        """Make a request in one session.

        Raises:
            NoResponse: nobody knows its effect.
            FlussError: ``STORAGE_EXCEPTION`` when ZooKeeper refuses: it had no effect.
        """
        async with self._inflight:
            try:
                return await request(connection, max(0.001, deadline - self._clock.monotonic()))
            except Refused as refusal:
                raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"ZooKeeper refuses a request: {refusal}") from None

    # The life of a session

    def _replace(self) -> None:
        """Begin another session, and end the present one in the background."""
        settings = self.settings
        before = self._connection
        self._connection = connection = Connection(
            settings.hosts, settings.prefix, settings.session_timeout_s, settings.retry_wait_s, self._state_changed
        )
        connection.start()
        if before is not None:
            self._worker.submit(lambda: _stop(before))

    def _state_changed(self, connection: Connection, state: ConnectionState) -> None:
        if connection is not self._connection or state is self.state:
            return
        if state is ConnectionState.LOST:
            self._lose()
        else:
            self._enter(state)

    def _enter(self, state: ConnectionState) -> None:
        if state is self.state:
            return
        self.state = state
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if state is ConnectionState.CONNECTED:
            self._connected.set()
        elif not self._closed:
            self._connected.clear()
        if state is ConnectionState.SUSPENDED:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self.settings.session_timeout_s, self._lose)
        level = logging.INFO if state is ConnectionState.CONNECTED else logging.WARNING
        logger.log(level, "the connection to ZooKeeper at %s is %s", self.settings.hosts, state.value)
        for listener in tuple(self._listeners):
            listener(state)

    def _lose(self) -> None:
        """The session is over."""
        self._enter(ConnectionState.LOST)
        if not self._closed:
            self._replace()


def _stop(connection: Connection) -> None:
    try:
        connection.stop()
    except Exception:
        logger.warning("a session of ZooKeeper was not closed in order; it ends by itself", exc_info=True)
