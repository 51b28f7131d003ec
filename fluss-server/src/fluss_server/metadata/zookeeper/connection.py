"""One session of ZooKeeper as coroutines: the only module that uses kazoo.

kazoo has threads of its own: one for the socket, one for completions, one for watches. What they call here does nothing
but hand over to the event loop. Nothing blocks the loop, except :meth:`Connection.stop`, which belongs in a worker.

The methods add the root to paths, and take it off again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadArgumentsError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    OperationTimeoutError,
    RequestTimeoutError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    SessionMovedError,
)
from kazoo.protocol.states import KazooState, WatchedEvent, ZnodeStat
from kazoo.retry import KazooRetry

from fluss_server.metadata.store import Check, Create, Delete, Set, StoreOperation
from fluss_server.metadata.zookeeper.states import ConnectionState
from fluss_server.runtime.waits import wait_at_most

ANY_VERSION = -1
"""What ZooKeeper takes for "whatever version it has"."""

_FIRST_RETRY_DELAY_S = 0.05
_RETRY_JITTER = 0.2
_RETRY_BACKOFF = 1.2
"""Each pause between two attempts to connect is so much longer than the one before: about a fifth of the time since the
connection was lost, so that it comes back soon after a restart of ZooKeeper."""

_LOGGER = logging.getLogger(f"{__name__}.kazoo")
_LOGGER.setLevel(logging.WARNING)  # it tells of each attempt to connect
_STATES = {
    KazooState.CONNECTED: ConnectionState.CONNECTED,
    KazooState.SUSPENDED: ConnectionState.SUSPENDED,
    KazooState.LOST: ConnectionState.LOST,
}
_NO_RESPONSE = (
    ConnectionClosedError,
    ConnectionLoss,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionExpiredError,
    SessionMovedError,
)
_NOT_THE_CAUSE = (RolledBackError, RuntimeInconsistency)


class NoResponse(Exception):
    """There was no response: nobody knows whether the request had an effect."""


class Refused(Exception):
    """ZooKeeper refused a request, which had no effect; the text is its reason."""


class NodeMissing(Exception):
    """There is no such node, or the parent of a new one is missing."""


class NodePresent(Exception):
    """The node exists."""


class StoredNode(NamedTuple):
    """What ZooKeeper says of a node.

    Attributes:
        value: its bytes; empty when only its state was read.
        version: number of times that it was set.
        created: transaction that created it.
        modified: transaction that created or set it last.
        owner: session of an ephemeral node, else 0.
    """

    value: bytes
    version: int
    created: int
    modified: int
    owner: int


class Failed(NamedTuple):
    """The operation because of which a transaction had no effect.

    Attributes:
        position: its place in the transaction, from 0.
        error: name of kazoo's error, for example ``BadVersionError``.
    """

    position: int
    error: str


class Connection:
    """Create it and :meth:`start` it on an event loop; :meth:`stop` it in a worker.

    Args:
        hosts: as ``ZooKeeperSettings.hosts``.
        prefix: as ``ZooKeeperSettings.prefix``.
        session_timeout_s: as in the settings.
        retry_wait_s: as in the settings.
        on_state: called on the event loop with each new state and the session it is about.
    """

    def __init__(
        self,
        hosts: str,
        prefix: str,
        session_timeout_s: float,
        retry_wait_s: float,
        on_state: Callable[[Connection, ConnectionState], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._prefix = prefix
        self._on_state = on_state
        self._session_id = 0
        self._watchers: dict[Callable[[str | None], None], Callable[[WatchedEvent], None]] = {}
        retry = KazooRetry(
            max_tries=-1,
            delay=min(_FIRST_RETRY_DELAY_S, retry_wait_s),
            backoff=_RETRY_BACKOFF,
            max_jitter=_RETRY_JITTER,
            max_delay=retry_wait_s,
        )
        self._client = KazooClient(hosts, timeout=session_timeout_s, connection_retry=retry, logger=_LOGGER)
        self._client.add_listener(self._state_changed)

    @property
    def session_id(self) -> int:
        """Of the session, once connected; 0 before."""
        return self._session_id

    def start(self) -> None:
        """Begin to connect, for as long as that takes."""
        self._client.start_async()

    def stop(self) -> None:
        """End the session. Blocking: up to the session time-out when ZooKeeper does not respond."""
        self._client.stop()
        self._client.close()

    # Requests

    async def get(
        self, path: str, timeout_s: float, watcher: Callable[[str | None], None] | None = None
    ) -> StoredNode | None:
        """The node, or None. The watcher is called as by :meth:`exists`, but not for a node that is None now."""
        watch = None if watcher is None else self._watch(watcher)
        try:
            value, stat = await self._call(lambda: self._client.get_async(self._full(path), watch), timeout_s)
        except NodeMissing:
            return None
        return _stored(value or b"", stat)

    async def exists(
        self, path: str, timeout_s: float, watcher: Callable[[str | None], None] | None = None
    ) -> StoredNode | None:
        """The node without its value, or None.

        Args:
            watcher: called once with ``path`` when the node is created, set or deleted, or with None when the
                connection is lost before that.
        """
        watch = None if watcher is None else self._watch(watcher)
        stat = await self._call(lambda: self._client.exists_async(self._full(path), watch), timeout_s)
        return None if stat is None else _stored(b"", stat)

    async def children(
        self, path: str, timeout_s: float, watcher: Callable[[str | None], None] | None = None
    ) -> list[str]:
        """Names of the children; :class:`NodeMissing`. The watcher is called once for created and deleted children."""
        watch = None if watcher is None else self._watch(watcher)
        names: list[str] = await self._call(lambda: self._client.get_children_async(self._full(path), watch), timeout_s)
        return names

    async def create(
        self, path: str, value: bytes, timeout_s: float, *, ephemeral: bool = False, sequence: bool = False
    ) -> str:
        """Create a node and return its path; :class:`NodePresent`, :class:`NodeMissing` without a parent."""
        created: str = await self._call(
            lambda: self._client.create_async(self._full(path), value, ephemeral=ephemeral, sequence=sequence),
            timeout_s,
        )
        return created[len(self._prefix) :]

    async def create_root(self, timeout_s: float) -> None:
        """Create the root and what is missing above it."""
        names = self._prefix.split("/")
        for depth in range(2, len(names) + 1):
            path = "/".join(names[:depth])
            if await self._call(partial(self._client.exists_async, path), timeout_s) is None:
                with contextlib.suppress(NodePresent):  # somebody else made it
                    await self._call(partial(self._client.create_async, path, b""), timeout_s)

    async def delete(self, path: str, timeout_s: float) -> None:
        """Delete a node whatever its version; :class:`NodeMissing`."""
        await self._call(lambda: self._client.delete_async(self._full(path)), timeout_s)

    async def sync(self, timeout_s: float) -> None:
        """What is read afterwards in this session includes everything that was committed before."""
        await self._call(lambda: self._client.sync_async(self._full("/")), timeout_s)

    async def transact(self, operations: Sequence[StoreOperation], timeout_s: float) -> list[int | None] | Failed:
        """Apply operations atomically.

        Returns:
            the version of each node after its operation, None where ZooKeeper does not say; or why nothing changed.
        """
        transaction = self._client.transaction()
        for operation in operations:
            path = self._full(operation.path)
            match operation:
                case Create(value=value, session=session):
                    transaction.create(path, value, ephemeral=session is not None)
                case Set(value=value, version=version):
                    transaction.set_data(path, value, ANY_VERSION if version is None else version)
                case Delete(version=version):
                    transaction.delete(path, ANY_VERSION if version is None else version)
                case Check(version=version):
                    transaction.check(path, ANY_VERSION if version is None else version)
        results: list[object] = await self._call(transaction.commit_async, timeout_s)
        for index, result in enumerate(results):
            if isinstance(result, Exception) and not isinstance(result, _NOT_THE_CAUSE):
                return Failed(index, type(result).__name__)
        if len(results) != len(operations) or any(isinstance(result, Exception) for result in results):
            raise NoResponse(f"the response has {len(results)} results for {len(operations)} operations: {results[:3]}")
        return [_version(operation, result) for operation, result in zip(operations, results, strict=True)]

    async def _call(self, begin: Callable[[], Any], timeout_s: float) -> Any:
        """The result of what ``begin`` starts.

        Raises:
            NoResponse: within the time.
            NodeMissing, NodePresent, Refused: what they say.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def completed(result: Any) -> None:  # in a thread of kazoo
            self._hand_over(_settle, future, result)

        begin().rawlink(completed)
        try:
            return await wait_at_most(future, timeout_s)
        except asyncio.TimeoutError:
            raise NoResponse(f"there was no response within {timeout_s:.1f} s") from None
        except NoNodeError:
            raise NodeMissing from None
        except NodeExistsError:
            raise NodePresent from None
        except BadArgumentsError:
            raise ValueError("ZooKeeper does not take this path") from None
        except (*_NO_RESPONSE, RuntimeError) as error:  # RuntimeError: a response that kazoo cannot read
            raise NoResponse(_name(error)) from None
        except KazooException as error:
            raise Refused(_name(error)) from None

    # From threads of kazoo to the event loop

    def _state_changed(self, state: str) -> None:
        client_id = self._client.client_id
        self._hand_over(self._enter, _STATES[state], 0 if client_id is None else client_id[0])

    def _enter(self, state: ConnectionState, session_id: int) -> None:
        if state is ConnectionState.CONNECTED and session_id:
            self._session_id = session_id
        self._on_state(self, state)

    def _watch(self, watcher: Callable[[str | None], None]) -> Callable[[WatchedEvent], None]:
        """One callback for each watcher: kazoo then registers it once for a node, however often it is read."""

        def fired(event: WatchedEvent) -> None:  # in a thread of kazoo
            self._hand_over(watcher, None if event.path is None else event.path[len(self._prefix) :] or "/")

        return self._watchers.setdefault(watcher, fired)

    def forget(self, watcher: Callable[[str | None], None]) -> None:
        """The watcher is not used any more."""
        self._watchers.pop(watcher, None)

    def _hand_over(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():  # else nobody is left who wants to know
                raise

    def _full(self, path: str) -> str:
        return (self._prefix + path).rstrip("/") or "/"


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        if result.exception is None:
            future.set_result(result.value)
        else:
            future.set_exception(result.exception)


def _stored(value: bytes, stat: ZnodeStat) -> StoredNode:
    return StoredNode(value, stat.version, stat.czxid, stat.mzxid, stat.ephemeralOwner)


def _version(operation: StoreOperation, result: object) -> int | None:
    if isinstance(operation, Create):
        return 0
    if isinstance(result, ZnodeStat):
        version: int = result.version
        return version
    return operation.version


def _name(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
