"""A leader latch that takes part in one election with Apache Curator's.

Each participant has an ephemeral sequential node ``_c_{uuid}-latch-{number}`` whose value is its id. The lowest number
leads; everybody else watches the node directly before its own. The UUID lets a participant find its node when the
response to the creation was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from uuid import UUID

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.participant import Participant
from fluss_server.metadata.zookeeper.client import PAUSE_S, ZooKeeperClient
from fluss_server.metadata.zookeeper.connection import Connection, NodeMissing, NodePresent, NoResponse, StoredNode
from fluss_server.metadata.zookeeper.states import ConnectionState
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.runtime import Runtime

logger = logging.getLogger(__name__)

ELECTION = "/coordinators/election"
_SUFFIX = "-latch-"
_RETRY_PAUSE_S = 0.2


class LeaderLatch:
    """One participant of an election. :meth:`acquire`, :meth:`lost`, :meth:`release`, and from the beginning.

    Args:
        store: connected.
        participant_id: what others read who the participants are.
        runtime: the machine.
        path: of the election.
        outlasts_s: how long the leader leads without a connection, while its session may be alive.
    """

    def __init__(
        self,
        store: ZooKeeperMetadataStore,
        participant_id: str,
        runtime: Runtime,
        path: str = ELECTION,
        *,
        outlasts_s: float = 0.0,
    ) -> None:
        self._client: ZooKeeperClient = store.client
        self._id = participant_id
        self._secrets = runtime.secrets
        self._election = path
        self._connection: Connection | None = None
        self._node: str | None = None
        self._prefix = ""
        self._leading = False
        self._removed = False
        self._changed = asyncio.Event()
        self._outlasts_s = outlasts_s
        self._end: asyncio.TimerHandle | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._client.add_listener(self._state_changed)

    @property
    def is_leader(self) -> bool:
        """Whether this participant leads, as far as it knows; what it writes has to be fenced all the same."""
        return self._leading

    async def acquire(self) -> None:
        """Return when this participant leads; for as long as that takes, through lost connections and sessions."""
        while True:
            try:
                if await self._is_first():
                    self._leading = True
                    return
            except NoResponse as problem:
                logger.debug("the election goes on later: %s", problem)
                await asyncio.sleep(_RETRY_PAUSE_S)
            except FlussError as problem:
                if self._client.is_closed:
                    raise
                logger.warning("the election goes on later: %s", problem)
                await asyncio.sleep(_RETRY_PAUSE_S)

    async def lost(self) -> None:
        """Return when this participant does not lead any more, or does not know it."""
        while self._leading:
            self._changed.clear()
            await self._changed.wait()

    async def release(self) -> None:
        """Take part no more, until the next :meth:`acquire`; the next participant leads at once.

        Without a connection the node goes with its session.
        """
        self._lead_no_more()
        self._cancel()
        connection, prefix = self._connection, self._prefix
        self._connection, self._node = None, None
        if connection is None or not self._client.is_alive(connection):
            return
        deadline = self._client.deadline_of_call()
        while self._client.is_alive(connection) and self._client.monotonic() < deadline:
            try:
                # By its name and not by the node that is known: the response to the creation may have been lost.
                for name in await self._participants(connection, deadline):
                    if name.startswith(prefix):
                        await self._delete(connection, f"{self._election}/{name}", deadline)
                return
            except NoResponse:
                await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        """Forget the latch, after :meth:`release` or with its session."""
        self._lead_no_more()
        self._cancel()
        self._client.remove_listener(self._state_changed)

    async def nodes(self) -> list[Participant]:
        """All participants, the leader first; ``STORAGE_EXCEPTION``."""
        deadline = self._client.deadline_of_call()
        connection = await self._client.connected(deadline)
        found = []
        try:
            for name in await self._participants(connection, deadline):
                node = await self._read(connection, name, deadline)
                if node is not None:
                    found.append(Participant(name, node.value.decode(errors="replace")))
        except NoResponse as problem:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"ZooKeeper does not respond: {problem}") from None
        return found

    async def remove(self, participant: Participant) -> None:
        """Take another participant out, as the end of its session would; ``STORAGE_EXCEPTION``.

        One that lives takes part again, behind all others.
        """
        deadline = self._client.deadline_of_call()
        connection = await self._client.connected(deadline)
        try:
            await self._delete(connection, f"{self._election}/{participant.node}", deadline)
        except NoResponse as problem:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, f"ZooKeeper does not respond: {problem}") from None

    # One round

    async def _is_first(self) -> bool:
        """Whether this participant is the first; else wait until that may have changed."""
        deadline = self._client.deadline_of_call()
        connection = await self._client.connected(deadline)
        if connection is not self._connection:
            self._connection, self._node = connection, None
            self._prefix = f"_c_{UUID(bytes=self._secrets.token(16), version=4)}{_SUFFIX}"
        names = await self._participants(connection, deadline)
        own = [name for name in names if name.startswith(self._prefix)]
        if not own:
            self._node = None
            await self._enter(connection, deadline)
            return False  # look again
        self._node = own[0]
        for more in own[1:]:
            await self._delete(connection, f"{self._election}/{more}", deadline)
        position = names.index(self._node)
        if position == 0:
            self._removed = False
            own_node = await self._read(connection, self._node, deadline, self._own_node_changed)
            return (
                own_node is not None
                and not self._removed
                and self._client.state is ConnectionState.CONNECTED
                and self._client.is_alive(connection)
            )
        self._changed.clear()
        before = await self._read(connection, names[position - 1], deadline, self._fired)
        if before is not None:
            await self._changed.wait()
        return False

    async def _participants(self, connection: Connection, deadline: float) -> list[str]:
        """Names of the nodes of all participants, lowest number first."""
        try:
            names = await self._client.once(
                lambda on, timeout_s: on.children(self._election, timeout_s), connection, deadline
            )
        except NodeMissing:
            return []
        return sorted((name for name in names if _SUFFIX in name), key=lambda name: name.rpartition(_SUFFIX)[2])

    async def _enter(self, connection: Connection, deadline: float) -> None:
        """Create the node; its parents, too: Curator removes an election without participants."""
        value = self._id.encode()
        try:
            await self._client.once(
                lambda on, timeout_s: on.create(
                    f"{self._election}/{self._prefix}", value, timeout_s, ephemeral=True, sequence=True
                ),
                connection,
                deadline,
            )
        except NodeMissing:
            names = self._election.split("/")
            for depth in range(2, len(names) + 1):
                path = "/".join(names[:depth])
                with contextlib.suppress(NodePresent):
                    await self._create(connection, path, deadline)

    async def _create(self, connection: Connection, path: str, deadline: float) -> None:
        await self._client.once(lambda on, timeout_s: on.create(path, b"", timeout_s), connection, deadline)

    async def _read(
        self, connection: Connection, name: str, deadline: float, watcher: Callable[[str | None], None] | None = None
    ) -> StoredNode | None:
        path = f"{self._election}/{name}"
        return await self._client.once(lambda on, timeout_s: on.get(path, timeout_s, watcher), connection, deadline)

    async def _delete(self, connection: Connection, path: str, deadline: float) -> None:
        with contextlib.suppress(NodeMissing):
            await self._client.once(lambda on, timeout_s: on.delete(path, timeout_s), connection, deadline)

    def _fired(self, path: str | None) -> None:
        self._changed.set()

    def _own_node_changed(self, path: str | None) -> None:
        """Somebody removed the leader's node; a lost connection (None) is told by the state."""
        if path is not None and self._node is not None and path.endswith(f"/{self._node}"):
            self._removed = True
            self._lead_no_more()

    def _state_changed(self, state: ConnectionState) -> None:
        self._cancel()
        if self._leading and state is ConnectionState.CONNECTED:
            # The watch of its node has ended with the connection.
            self._verifying = asyncio.ensure_future(self._verify())
        elif state is ConnectionState.LOST:
            self._leading = False
        elif self._leading and not self._client.settings.tolerate_suspended:
            if self._outlasts_s:
                self._end = asyncio.get_running_loop().call_later(self._outlasts_s, self._lead_no_more)
            else:
                self._leading = False
        self._changed.set()

    def _lead_no_more(self) -> None:
        self._leading = False
        self._changed.set()

    def _cancel(self) -> None:
        """End what the last state of the connection has begun."""
        if self._end is not None:
            self._end.cancel()
        if self._verifying is not None:
            self._verifying.cancel()
        self._end = self._verifying = None

    async def _verify(self) -> None:
        """Look whether the node of the leader is still there, and watch it again."""
        while self._leading and self._connection is not None and self._node is not None:
            try:
                node = await self._read(
                    self._connection, self._node, self._client.deadline_of_call(), self._own_node_changed
                )
            except (NoResponse, FlussError) as problem:
                logger.debug("it is looked again whether this participant leads: %s", problem)
                await asyncio.sleep(_RETRY_PAUSE_S)
            else:
                if node is None:
                    self._lead_no_more()
                return
