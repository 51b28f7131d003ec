"""A metadata store that several simulated processes share, with the promises of ZooKeeper and no more.

Requests and responses travel over the simulated network between the machine of a process and that of the ensemble, and
may be held up or come too late. A process has a session, which the ensemble ends when it has not heard of it for the
time-out, counted from its start when it was restarted; its ephemeral nodes and its place in the election end with it. A
commit belongs to the session in which it was begun. When its response is lost the outcome is found out in the same
session, and is unknown after its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import NamedTuple, TypeVar

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.metadata.participant import Participant
from fluss_server.metadata.store import (
    DEFAULT_WATCH_CAPACITY,
    CommitLimits,
    Delete,
    Node,
    StoreOperation,
    UnknownOutcome,
    check_path,
)
from fluss_server.metadata.tree import Tree
from fluss_server.metadata.watch import QueueWatch
from fluss_server.processes.shared_metadata import Latch, SharedStore
from fluss_server.runtime.runtime import Runtime
from fluss_server.simulation.event_loop import SimulatedEventLoop
from fluss_server.simulation.network import SimulatedNetwork

HOST = "ensemble"
SESSION_TIMEOUT_S = 2.0
LIMITS = CommitLimits(operations=1_023, size_bytes=1 << 20, value_bytes=1 << 20)
_PAUSE_S = 0.03
_MAX_PAUSE_S = 0.5
"""After which a candidate looks again, whatever it has heard."""

_T = TypeVar("_T")


class Candidate(NamedTuple):
    """A node of the election, which ends with its session."""

    session_id: int
    participant: Participant


class Ensemble:
    """What is stored, and who is connected. It loses nothing; it may be restarted, and the ways to it fail.

    Args:
        loop: of the run.
        network: over which it is reached.

    Attributes:
        tree: what is stored.
        sessions: when each was heard of last, by id.
        election: candidates, first come first.
        expired: sessions that ended because nothing was heard of them, or by force.
        is_down: whether it does not run.
    """

    def __init__(self, loop: SimulatedEventLoop, network: SimulatedNetwork) -> None:
        self.loop = loop
        self.network = network
        self.tree = Tree()
        self.sessions: dict[int, float] = {}
        self.election: tuple[Candidate, ...] = ()
        self.expired = 0
        self.is_down = False
        self._hosts: dict[int, str] = {}
        self._ids = count(1)
        self._nodes = count(1)
        self._watches: list[tuple[str, QueueWatch]] = []
        self._election_watches: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        """End sessions of which nothing is heard, until cancelled."""
        while True:
            await asyncio.sleep(0.05)
            for session_id, heard_at in list(self.sessions.items()):
                if not self.is_down and self.loop.time() - heard_at > SESSION_TIMEOUT_S:
                    self.end(session_id)

    def stop(self) -> None:
        """Serve nobody."""
        self.is_down = True

    def start(self) -> None:
        """Go on, with all sessions and their whole time-outs."""
        self.is_down = False
        self.sessions = dict.fromkeys(self.sessions, self.loop.time())

    def open(self, host: str) -> int:
        session_id = next(self._ids)
        self.sessions[session_id] = self.loop.time()
        self._hosts[session_id] = host
        return session_id

    def end(self, session_id: int) -> None:
        """End a session, whoever has it."""
        if self.sessions.pop(session_id, None) is None:
            return
        self.expired += 1
        self.set_election(entry for entry in self.election if entry.session_id != session_id)
        self.apply([Delete(path) for path in self.tree.owned_by(session_id)])

    def stand(self, session_id: int, participant_id: str) -> Participant | None:
        """The node of a candidate, made if there is none; None without a session."""
        if session_id not in self.sessions:
            return None
        for entry in self.election:
            if entry.session_id == session_id and entry.participant.participant_id == participant_id:
                return entry.participant
        made = Participant(f"node-{next(self._nodes)}", participant_id)
        self.set_election((*self.election, Candidate(session_id, made)))
        return made

    def set_election(self, candidates: Iterable[Candidate]) -> None:
        """Change the candidates; who waits for that goes on."""
        before, self.election = self.election, tuple(candidates)
        if self.election != before:
            watches, self._election_watches = self._election_watches, []
            for changed in watches:
                if not changed.done():
                    changed.set_result(None)

    def election_changed(self) -> asyncio.Future[None]:
        """Completes when the candidates change."""
        changed: asyncio.Future[None] = self.loop.create_future()
        self._election_watches = [watch for watch in self._election_watches if not watch.done()]
        self._election_watches.append(changed)
        return changed

    def expire(self, host: str) -> bool:
        """End the sessions of a machine, although it is heard of; returns whether there was one."""
        found = [session_id for session_id in self.sessions if self._hosts[session_id] == host]
        for session_id in found:
            self.end(session_id)
        return bool(found)

    def apply(self, operations: Sequence[StoreOperation]) -> list[int]:
        plan = self.tree.plan(operations)
        self.tree.apply(plan)
        for host, watch in self._watches:
            if not self.network.is_blocked(HOST, host):
                watch.offer(plan.events)
        return plan.versions

    def watch(self, host: str, path: str, capacity: int) -> QueueWatch:
        def forget(closed: QueueWatch) -> None:
            self._watches = [entry for entry in self._watches if entry[1] is not closed]

        watch = QueueWatch(path, capacity, forget)
        self._watches.append((host, watch))
        return watch


class EnsembleMetadata:
    """See :class:`fluss_server.processes.shared_metadata.SharedMetadata`.

    Args:
        ensemble: to connect to.
        host: the machine of the process.
    """

    def __init__(self, ensemble: Ensemble, host: str) -> None:
        self._ensemble = ensemble
        self._host = host

    async def connect(self, runtime: Runtime) -> SharedStore:
        store = EnsembleStore(self._ensemble, self._host)
        await store.start()

        def latch(participant_id: str) -> Latch:
            return EnsembleLatch(store, participant_id)

        return SharedStore(store, latch)


class EnsembleSession:
    """See :class:`fluss_server.metadata.store.StoreSession`: a part of the session of a store."""

    def __init__(self, store: EnsembleStore, session_id: int) -> None:
        self._store = store
        self._session_id = session_id
        self._closed = False

    @property
    def session_id(self) -> int:
        return self._session_id

    @property
    def closed(self) -> bool:
        return self._closed or self._store.session_id != self._session_id

    async def close(self) -> None:
        if self.closed:
            return
        self._closed = True
        await self._store.commit([Delete(path) for path in await self._store.owned(self._session_id)])


class EnsembleStore:
    """See :class:`fluss_server.metadata.store.MetadataStore`: a connection of one process.

    Attributes:
        session_id: of the present session; None before the next one.
        is_certain: whether the ensemble was heard lately, so that the session cannot have ended.
    """

    limits = LIMITS

    def __init__(self, ensemble: Ensemble, host: str) -> None:
        self._ensemble = ensemble
        self._host = host
        self._heard_at = 0.0
        self._order = asyncio.Lock()
        self._pinging: asyncio.Task[None] | None = None
        self._watches: list[QueueWatch] = []
        self.session_id: int | None = None

    async def start(self) -> None:
        """Connect, for as long as that takes: a process that gives up is started again by its supervisor."""
        while self.session_id is None:
            with contextlib.suppress(FlussError):
                await self._ping()
        self._pinging = asyncio.ensure_future(self._keep_session())

    @property
    def is_certain(self) -> bool:
        return self.session_id is not None and self._ensemble.loop.time() - self._heard_at < SESSION_TIMEOUT_S * 2 / 3

    async def _keep_session(self) -> None:
        while True:
            await asyncio.sleep(SESSION_TIMEOUT_S / 4)
            try:
                await self._ping()
            except FlussError:
                if self._ensemble.loop.time() - self._heard_at > SESSION_TIMEOUT_S:
                    self.session_id = None

    async def _ping(self) -> None:
        sent_at, known = self._ensemble.loop.time(), self.session_id

        def heard() -> int:
            if known in self._ensemble.sessions:
                assert known is not None
                self._ensemble.sessions[known] = self._ensemble.loop.time()
                return known
            return self._ensemble.open(self._host)

        self.session_id = await self._round_trip(heard)
        self._heard_at = sent_at

    # ---- requests

    async def _travel(self, source: str, target: str, deadline: float) -> None:
        loop, network = self._ensemble.loop, self._ensemble.network
        while network.is_blocked(source, target) or self._ensemble.is_down:
            if loop.time() > deadline:
                raise FlussError(ErrorCode.STORAGE_EXCEPTION, "the ensemble does not respond")
            await asyncio.sleep(_PAUSE_S)
        await asyncio.sleep(network.delay(source, target))

    async def _round_trip(self, action: Callable[[], _T]) -> _T:
        """A request that may be made again."""
        deadline = self._ensemble.loop.time() + SESSION_TIMEOUT_S / 2
        await self._travel(self._host, HOST, deadline)
        result = action()
        await self._travel(HOST, self._host, deadline)
        return result

    async def get(self, path: str) -> Node | None:
        check_path(path)
        return await self._round_trip(lambda: self._ensemble.tree.get(path))

    async def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        return await self._round_trip(lambda: [self._ensemble.tree.get(path) for path in paths])

    async def children(self, path: str) -> list[str]:
        check_path(path)
        return await self._round_trip(lambda: self._ensemble.tree.children(path))

    async def descendants(self, path: str) -> list[str]:
        check_path(path)
        return await self._round_trip(lambda: self._ensemble.tree.descendants(path))

    async def owned(self, session_id: int) -> list[str]:
        """Paths of the ephemeral nodes of a session."""
        return await self._round_trip(lambda: self._ensemble.tree.owned_by(session_id))

    async def commit(self, operations: Sequence[StoreOperation]) -> list[int]:
        async with self._order:
            return await self._commit(tuple(operations))

    async def _commit(self, operations: tuple[StoreOperation, ...]) -> list[int]:
        if not LIMITS.allow(operations):
            raise ValueError("more than a commit takes")
        loop, session_id = self._ensemble.loop, self.session_id
        if session_id is None:
            raise FlussError(ErrorCode.STORAGE_EXCEPTION, "there is no session with the ensemble")
        await self._travel(self._host, HOST, loop.time() + SESSION_TIMEOUT_S / 2)
        if session_id not in self._ensemble.sessions:
            raise UnknownOutcome("the session ended before the outcome was known")
        problem: FlussError | None = None
        versions: list[int] = []
        try:
            versions = self._ensemble.apply(operations)
        except FlussError as conflict:
            problem = conflict
        while True:
            try:
                await self._travel(HOST, self._host, loop.time() + SESSION_TIMEOUT_S / 4)
                break
            except FlussError:
                if self.session_id != session_id:
                    raise UnknownOutcome("the session ended before the outcome was known") from None
        if problem is not None:
            raise problem
        return versions

    async def open_session(self) -> EnsembleSession:
        if self.session_id is None:
            await self._ping()
        assert self.session_id is not None
        return EnsembleSession(self, self.session_id)

    def watch(self, path: str, capacity: int = DEFAULT_WATCH_CAPACITY) -> QueueWatch:
        watch = self._ensemble.watch(self._host, path, capacity)
        self._watches.append(watch)
        return watch

    # ---- election

    async def stand(self, participant_id: str) -> Participant | None:
        """Take part in the election; returns the node of this participant when it is the first."""
        session_id = self.session_id

        def look() -> Participant | None:
            node = None if session_id is None else self._ensemble.stand(session_id, participant_id)
            return node if node is not None and self._ensemble.election[0].participant == node else None

        node = await self._round_trip(look)
        return node if self.session_id == session_id and self.is_certain else None

    def election_changed(self) -> asyncio.Future[None]:
        """Completes when the candidates change; a hint."""
        return self._ensemble.election_changed()

    async def candidates(self) -> list[Participant]:
        """The nodes of the election, the first one first."""
        return await self._round_trip(lambda: [entry.participant for entry in self._ensemble.election])

    async def withdraw(self, participant_id: str, node: str | None = None) -> None:
        """A participant takes part no more, or only not with this node of it."""

        def remains(found: Participant) -> bool:
            return found.participant_id != participant_id or node not in (None, found.node)

        def remove() -> None:
            self._ensemble.set_election(entry for entry in self._ensemble.election if remains(entry.participant))

        await self._round_trip(remove)

    async def close(self) -> None:
        if self._pinging is None:
            return
        self._pinging.cancel()
        self._pinging = None
        for watch in self._watches:
            watch.close()
        session_id, self.session_id = self.session_id, None
        if session_id is not None:
            try:
                await self._round_trip(lambda: self._ensemble.end(session_id))
            except FlussError:
                return  # it ends by itself


class EnsembleLatch:
    """See :class:`fluss_server.processes.shared_metadata.Latch`."""

    def __init__(self, store: EnsembleStore, participant_id: str) -> None:
        self._store = store
        self._id = participant_id
        self._session_id: int | None = None
        self._node: Participant | None = None

    async def acquire(self) -> None:
        while True:
            changed = self._store.election_changed()
            try:
                session_id = self._store.session_id
                self._node = await self._store.stand(self._id)
                if self._node is not None:
                    self._session_id = session_id
                    return
            except FlussError:
                await asyncio.sleep(_PAUSE_S)  # another time
            else:
                await asyncio.wait([changed], timeout=_MAX_PAUSE_S)

    async def lost(self) -> None:
        changed: asyncio.Future[None] | None = None
        while self._leads():
            if changed is None or changed.done():
                changed = self._store.election_changed()
                try:
                    if self._node not in await self._store.candidates():
                        return
                except FlussError:
                    changed = None  # another time, while the session is certain
            await asyncio.sleep(_PAUSE_S)

    def _leads(self) -> bool:
        return self._session_id is not None and self._session_id == self._store.session_id

    async def release(self) -> None:
        self._session_id = None
        try:
            await self._store.withdraw(self._id)
        except FlussError:
            return  # its place ends with its session

    async def nodes(self) -> list[Participant]:
        return await self._store.candidates()

    async def remove(self, participant: Participant) -> None:
        await self._store.withdraw(participant.participant_id, participant.node)

    def close(self) -> None:
        self._session_id = None
