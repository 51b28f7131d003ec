"""Takes the place of an active coordinator that has ended or stands still, without waiting for its ZooKeeper session.

The election goes by ZooKeeper, where the node of a killed process stays for a whole session time-out. Leases of tablet
servers are shorter, so that nobody could write in the meantime. A standby keeps a connection to the process of the
first participant, and removes its node, so that the election goes on, in two cases:

* The connection is lost, and new ones are refused for :data:`REFUSED_S`: the process has ended.
* The connection is open, and a request over it has no response for :data:`SILENCE_S`: the process stands still, or its
  host or the way to it was lost while the connection was open.

That is as safe as the end of the session: what a coordinator may write is decided by its epoch, and leases that the
other one has granted are waited for. Where no connection can be opened, and none is refused, nothing is concluded, and
the end of the session is waited for: that this process cannot reach the other one does not say that others cannot.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from fluss_server.api import messages as pb
from fluss_server.api.keys import SOFTWARE_NAME, ApiKey
from fluss_server.cluster.peer import PeerConnection
from fluss_server.coordinator.process_watch import ProcessWatch
from fluss_server.errors import FlussError
from fluss_server.metadata.participant import Participant
from fluss_server.metadata.server_records import CoordinatorRecord, coordinator_id_path
from fluss_server.metadata.store import MetadataStore
from fluss_server.processes.shared_metadata import Latch
from fluss_server.rpc.endpoints import Endpoint, parse_endpoints
from fluss_server.runtime.clock import Clock
from fluss_server.runtime.waits import wait_at_most

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.25
"""How often a standby looks who is the first participant, and whether it responds."""

REFUSED_S = 0.3
"""How long a process has to refuse connections until it counts as ended."""

SILENCE_S = 1.0
"""How long a process may leave a request without response. Twice as long after each time that one was removed for it:
it may have been slow, and another change of the coordinator makes nothing faster."""

Connect = Callable[[str, Callable[[], Endpoint | None]], PeerConnection]
"""Makes a connection to a coordinator, from a name and an address."""


_PROBE = pb.ApiVersionsRequest(client_software_name=SOFTWARE_NAME, client_software_version="1")


class Takeover:
    """Watches the first participant of the election. :meth:`start` it, :meth:`close` it.

    A participant that was removed because its process had ended, and comes back, was alive: the network refuses
    connections of processes that live. Then nobody is removed by this process any more.

    Args:
        store: where coordinators say where they listen.
        latch: of this coordinator.
        own: record of this coordinator.
        listener: for calls between servers.
        connect: to another coordinator; the connection is closed here.
        clock: measures.
    """

    def __init__(
        self,
        store: MetadataStore,
        latch: Latch,
        own: CoordinatorRecord,
        listener: str,
        connect: Connect,
        clock: Clock,
    ) -> None:
        self._store = store
        self._latch = latch
        self._own = own
        self._listener = listener
        self._connect = connect
        self._clock = clock
        self._watched: _Watched | None = None
        self._removed: set[str] = set()
        self._is_trusted = True
        self._silence_s = SILENCE_S
        self._wake = asyncio.Event()  # look now
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Remove who had this coordinator's address before it, and begin to watch."""
        try:
            own = self._endpoint_of(self._own)
            for participant in await self._latch.nodes():
                if own is not None and await self._find(participant) == own:
                    logger.info("the coordinator that was at %s:%d before has ended", own.host, own.port)
                    await self._latch.remove(participant)
        except FlussError as error:
            logger.warning("another coordinator may have to wait for a session to end: %s", error)
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Watch no more."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._watch_nobody()

    async def _run(self) -> None:
        while self._is_trusted:
            try:
                await self._look()
            except FlussError as error:
                logger.debug("the election cannot be seen: %s", error)
            except Exception:
                logger.exception("a look at the active coordinator failed in an unexpected way; the next one follows")
            try:
                await wait_at_most(self._wake.wait(), LOOK_INTERVAL_S)
            except asyncio.TimeoutError:
                continue
        await self._watch_nobody()

    async def _look(self) -> None:
        """Remove the watched participant if it has ended; watch who is the first one now."""
        self._wake.clear()
        if self._watched is not None and self._watched.has_ended:
            self._removed.add(self._watched.participant.participant_id)
            await self._remove(self._watched.participant, "has ended")
        participants = await self._latch.nodes()
        if self._removed.intersection(each.participant_id for each in participants):
            logger.warning("a coordinator lives whose address refuses connections; sessions decide from now on")
            self._is_trusted = False
            return
        first = participants[0] if participants else None
        if first is None or first.participant_id == self._own.coordinator_id:
            await self._watch_nobody()
            return
        if self._watched is None or self._watched.participant != first:
            await self._watch_nobody()
            endpoint = await self._find(first)
            if endpoint is None:
                return
            connection = self._connect("the active coordinator", lambda: endpoint)
            self._watched = _Watched(first, connection, self._clock, self._wake.set)
        if not await self._watched.responds(self._silence_s):
            self._silence_s *= 2
            await self._remove(first, "does not respond")

    async def _remove(self, participant: Participant, why: str) -> None:
        logger.warning("the active coordinator %s: taking its place in the election", why)
        await self._latch.remove(participant)
        await self._watch_nobody()

    async def _watch_nobody(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            await watched.close()

    async def _find(self, participant: Participant) -> Endpoint | None:
        """Where a participant listens for other servers; None if it does not say so."""
        path = coordinator_id_path(participant.participant_id)
        node = await self._store.get(path)
        return None if node is None else self._endpoint_of(CoordinatorRecord.decode(path, node.value))

    def _endpoint_of(self, record: CoordinatorRecord) -> Endpoint | None:
        endpoints = parse_endpoints(record.coordinator_id, record.listeners)
        return next((endpoint for endpoint in endpoints if endpoint.listener == self._listener), None)


class _Watched:
    """A participant, and a connection to its process.

    Attributes:
        participant: as given.
        has_ended: whether its process has ended; ``wake`` is called then.
    """

    def __init__(
        self, participant: Participant, connection: PeerConnection, clock: Clock, wake: Callable[[], object]
    ) -> None:
        self.participant = participant
        self.has_ended = False
        self._wake = wake
        self._connection = connection
        self._now = clock.monotonic
        self._watch = ProcessWatch(connection, clock, lambda: -math.inf, self._ended, silence_s=REFUSED_S)

    async def responds(self, silence_s: float) -> bool:
        """False when a request has no response over an open connection; what cannot be reached is watched."""
        try:
            await self._connection.open()
        except FlussError:
            self._watch.look()
            return True
        probe = asyncio.ensure_future(self._connection.call(ApiKey.API_VERSIONS, _PROBE, may_open=False))
        try:
            while not probe.done():
                begin = self._now()
                await asyncio.wait((probe,), timeout=silence_s)
                # When this process was late itself, the response may be there already: it waits once more.
                if not probe.done() and self._now() - begin < 1.25 * silence_s:
                    return False
        finally:
            probe.cancel()
            await asyncio.wait((probe,))
        if (error := probe.exception()) is not None and not isinstance(error, FlussError):
            raise error
        if not self._connection.is_open:
            self._watch.look()
        return True

    def _ended(self) -> None:
        self.has_ended = True
        self._wake()

    async def close(self) -> None:
        await self._watch.close()
        await self._connection.close()
