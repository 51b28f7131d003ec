"""Commits whose outcome is known although responses get lost.

A response that is lost with its connection says nothing about its transaction. Therefore every transaction also writes
its number into a node of its own, which belongs to the session: the *commit marker*. When a response is lost, the same
session reads the marker after a ``sync``: ZooKeeper handles the requests of a session in their order, also through
another connection, so the marker then says what became of the transaction. When the session is lost, too, so is the
marker: that outcome is unknown, and whoever commits has lost more than that.

The marker also ties a transaction to its session: it fails when another session carries it out.

Commits are made one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from itertools import count

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.store import (
    UNKNOWN_VERSION,
    Check,
    CommitLimits,
    Conflict,
    Create,
    MetadataConflict,
    Set,
    StoreOperation,
    UnknownOutcome,
    check_path,
    operation_bytes,
    value_of,
)
from fluss_server.metadata.zookeeper.client import PAUSE_S, ZooKeeperClient
from fluss_server.metadata.zookeeper.connection import Connection, Failed, NodePresent, NoResponse, StoredNode
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

MARKERS = "/commits"
"""Parent of the commit markers; hidden from readers of the store."""

MAX_REQUEST_BYTES = 0xFFFFF
"""Largest request that ZooKeeper takes by default (``jute.maxbuffer``)."""

_RESERVED_BYTES = 4096
_MARKER_BYTES = operation_bytes(Set(f"{MARKERS}/{0:016x}", bytes(8)))
_AVAILABLE_BYTES = MAX_REQUEST_BYTES - _RESERVED_BYTES - _MARKER_BYTES

LIMITS = CommitLimits(operations=1023, size_bytes=_AVAILABLE_BYTES, value_bytes=_AVAILABLE_BYTES - 2048)
"""1,024 operations, as official servers, and a request that every ensemble takes; one operation is for the marker."""

_CONFLICTS = {
    "BadVersionError": Conflict.BAD_VERSION,
    "NoChildrenForEphemeralsError": Conflict.EPHEMERAL_PARENT,
    "NodeExistsError": Conflict.NODE_EXISTS,
    "NoNodeError": Conflict.NO_NODE,
    "NotEmptyError": Conflict.NOT_EMPTY,
}


class Committer:
    """Makes the commits of one store. Calls wait for each other.

    Args:
        client: started.
    """

    def __init__(self, client: ZooKeeperClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._numbers = count(1)
        self._marked: Connection | None = None  # the session that has its marker

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        """See ``MetadataStore.commit``."""
        check_operations(operations)
        if not operations:
            return []
        client = self._client
        deadline = client.monotonic() + client.settings.session_timeout_s
        try:
            await wait_at_most(
                self._lock.acquire(), client.settings.session_timeout_s, discard=lambda _: self._lock.release()
            )
        except asyncio.TimeoutError:
            raise FlussError(
                ErrorCode.STORAGE_EXCEPTION, "earlier changes of metadata wait for ZooKeeper; nothing was changed"
            ) from None
        try:
            return await self._commit(operations, deadline)
        finally:
            self._lock.release()

    async def _commit(self, operations: Sequence[StoreOperation], deadline: float) -> list[int]:
        problem = NoResponse("")
        for _ in range(self._client.settings.max_attempts):
            connection = await self._client.connected(min(deadline, self._client.deadline_of_call()))
            marker = await self._marker(connection, deadline)
            if marker is None:
                continue
            if (ephemeral := _ephemeral_of_another_session(operations)) is not None:
                raise MetadataConflict(Conflict.SESSION_CLOSED, ephemeral.path)
            number = next(self._numbers)
            sent = [*operations, Set(marker, number.to_bytes(8, "big"))]
            try:
                result = await self._client.once(partial(_transact, sent), connection, deadline)
            except NoResponse as error:
                problem = error
                written = await self._written(connection, marker, deadline, error)
                if written.value == number.to_bytes(8, "big"):
                    return await self._versions_of(operations, written, deadline)
                logger.info("a change of metadata did not arrive at ZooKeeper: %s", error)
                continue
            if isinstance(result, Failed):
                if result.position < len(operations):
                    raise _failure(operations[result.position], result)
                self._marked = None  # the session ended, and with it the marker
                continue
            return [UNKNOWN_VERSION if version is None else version for version in result[:-1]]
        raise FlussError(
            ErrorCode.STORAGE_EXCEPTION,
            f"a change of metadata did not arrive at ZooKeeper {self._client.settings.max_attempts} times: {problem}",
            hint="nothing was changed; see whether ZooKeeper limits requests to less than 1 MiB (jute.maxbuffer)",
        )

    async def _marker(self, connection: Connection, deadline: float) -> str | None:
        """Path of the session's marker, which exists; None when the session is over."""
        path = f"{MARKERS}/{connection.session_id:016x}"
        if connection is self._marked:
            return path
        client = self._client
        while True:
            try:
                node = await client.once(lambda on, timeout_s: on.get(path, timeout_s), connection, deadline)
                if node is None:
                    await client.once(
                        lambda on, timeout_s: on.create(path, bytes(8), timeout_s, ephemeral=True), connection, deadline
                    )
                elif node.owner == connection.session_id:
                    self._marked = connection
                    return path
                else:
                    return None
            except NodePresent:
                continue  # an earlier attempt made it
            except NoResponse:
                if await client.connected(min(deadline, client.deadline_of_call())) is not connection:
                    return None
                await asyncio.sleep(PAUSE_S)

    async def _written(self, connection: Connection, marker: str, deadline: float, cause: NoResponse) -> StoredNode:
        """The marker after everything that this session has sent; :class:`UnknownOutcome` when that cannot be read."""
        client = self._client
        while client.monotonic() < deadline:
            try:
                if await client.connected(deadline) is not connection:
                    break
                await client.once(lambda on, timeout_s: on.sync(timeout_s), connection, deadline)
                node = await client.once(lambda on, timeout_s: on.get(marker, timeout_s), connection, deadline)
            except NoResponse:
                await asyncio.sleep(PAUSE_S)
                continue
            except FlussError:
                break
            if node is None or node.owner != connection.session_id:
                break
            return node
        raise UnknownOutcome(f"the session with ZooKeeper ended before it was known whether a change was made: {cause}")

    async def _versions_of(
        self, operations: Sequence[StoreOperation], marker: StoredNode, deadline: float
    ) -> list[int]:
        """The versions that the lost response had, as far as they can be known."""
        versions = []
        for operation in operations:
            if isinstance(operation, Create):
                versions.append(0)
            elif isinstance(operation, Set):
                versions.append(await self._version_of(operations, operation, marker, deadline))
            else:
                versions.append(UNKNOWN_VERSION if operation.version is None else operation.version)
        return versions

    async def _version_of(
        self, operations: Sequence[StoreOperation], operation: Set, marker: StoredNode, deadline: float
    ) -> int:
        if operation.version is not None:
            return operation.version + 1
        if sum(other.path == operation.path and not isinstance(other, Check) for other in operations) > 1:
            return UNKNOWN_VERSION
        try:
            node = await self._client.read(
                lambda connection, timeout_s: connection.exists(operation.path, timeout_s), deadline
            )
        except FlussError:
            return UNKNOWN_VERSION
        # All operations of a transaction have its number: with another one the node was set again.
        return node.version if node is not None and node.modified == marker.modified else UNKNOWN_VERSION


async def _transact(
    operations: Sequence[StoreOperation], connection: Connection, timeout_s: float
) -> list[int | None] | Failed:
    return await connection.transact(operations, timeout_s)


def check_operations(operations: Sequence[StoreOperation]) -> None:
    """``ValueError`` for what no state of the tree allows, so that it is not sent."""
    for operation in operations:
        path = operation.path
        check_path(path)
        if path == "/":
            raise ValueError("the root of the metadata tree cannot be changed")
        if path == MARKERS or path.startswith(MARKERS + "/"):
            raise ValueError(f"{MARKERS} belongs to the metadata store")
        if not isinstance(operation, Create) and operation.version is not None and operation.version < 0:
            raise ValueError(f"{operation.version} is not a version of metadata node {path}")
        if len(value_of(operation)) > LIMITS.value_bytes:
            raise ValueError(
                f"the value of metadata node {path} has {len(value_of(operation))} bytes,"
                f" the limit is {LIMITS.value_bytes}"
            )
    if len(operations) > LIMITS.operations:
        raise ValueError(f"{len(operations)} operations in one commit, the limit is {LIMITS.operations}")
    if (size := sum(map(operation_bytes, operations))) > LIMITS.size_bytes:
        raise ValueError(f"{size} bytes in one commit, the limit is {LIMITS.size_bytes}")


def _ephemeral_of_another_session(operations: Sequence[StoreOperation]) -> Create | None:
    """A node that cannot be made, because the session that should have it is over."""
    for operation in operations:
        if isinstance(operation, Create) and operation.session is not None and operation.session.closed:
            return operation
    return None


def _failure(operation: StoreOperation, failed: Failed) -> FlussError:
    reason = _CONFLICTS.get(failed.error)
    if reason is None:
        return FlussError(ErrorCode.STORAGE_EXCEPTION, f"ZooKeeper refuses to change {operation.path}: {failed.error}")
    if reason is Conflict.NO_NODE and isinstance(operation, Create):
        reason = Conflict.NO_PARENT
    return MetadataConflict(reason, operation.path)
