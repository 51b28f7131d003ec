"""When a standby removes the first participant of the election, over real sockets; the election is a list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from fluss_server.cluster.peer import PeerConnection
from fluss_server.metadata.embedded import EmbeddedMetadataStore
from fluss_server.metadata.participant import Participant
from fluss_server.metadata.server_records import CoordinatorRecord, coordinator_id_path
from fluss_server.metadata.store import Create, missing_parents
from fluss_server.processes import takeover
from fluss_server.processes.takeover import Takeover
from fluss_server.rpc.endpoints import Endpoint, format_endpoints
from fluss_server.rpc.server import RpcServer
from fluss_server.rpc.service import ServiceRegistry
from fluss_server.runtime.clock import Clock, ManualClock
from fluss_server.runtime.runtime import system_runtime
from fluss_server.runtime.system_network import SystemNetwork
from rpc_support import async_test, eventually

RUNTIME = system_runtime()
SOON_S = 0.05
LOOKS = 8

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class Election:
    """A ``Latch`` of participants that the test sets.

    Attributes:
        ids: of the participants, the leader first.
        removed: ids in the order in which they were removed.
        looks: how often somebody looked who takes part.
        gate: a look waits for it.
        failures: what the next looks raise.
    """

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)
        self.removed: list[str] = []
        self.looks = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.waits = False
        self.failures: list[Exception] = []

    async def nodes(self) -> list[Participant]:
        self.looks += 1
        if self.failures:
            raise self.failures.pop()
        self.waits = True
        await self.gate.wait()
        self.waits = False
        return [Participant(f"node-{name}", name) for name in self.ids]

    async def remove(self, participant: Participant) -> None:
        self.removed.append(participant.participant_id)
        with contextlib.suppress(ValueError):
            self.ids.remove(participant.participant_id)

    async def acquire(self) -> None:
        raise AssertionError("it only watches")

    async def lost(self) -> None:
        raise AssertionError("it only watches")

    async def release(self) -> None:
        raise AssertionError("it only watches")

    def close(self) -> None:
        """Nothing is open."""


class Stallable:
    """The way to a process, which stands still from when the test says so: connections stay open, without responses.

    Attributes:
        port: of this side.
        stalls: whether nothing gets through.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.stalls = False
        self._process = port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        its_reader, its_writer = await asyncio.open_connection("127.0.0.1", self._process)
        for source, target in ((reader, its_writer), (its_reader, writer)):
            self._tasks.add(asyncio.ensure_future(self._pass_on(source, target)))

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            if not self.stalls:
                target.write(data)
        target.close()


class DroppingNetwork(SystemNetwork):
    """Drops the packets that would open a connection."""

    async def connect(self, host: str, port: int, protocol_factory: Callable[[], _P]) -> tuple[asyncio.Transport, _P]:
        await asyncio.Event().wait()
        raise AssertionError("whoever connects bounds the time")


Connect = Callable[[str, Callable[[], Endpoint | None]], PeerConnection]


def connect(name: str, address: Callable[[], Endpoint | None]) -> PeerConnection:
    return PeerConnection(name, address, network=RUNTIME.network)


@asynccontextmanager
async def watching(
    path: Path,
    election: Election,
    ports: dict[str, int],
    connect: Connect = connect,
    clock: Clock = RUNTIME.clock,
) -> AsyncIterator[Takeover]:
    """Coordinator ``own`` watches; the others listen on these ports."""
    store = EmbeddedMetadataStore.open(path / "m", RUNTIME)
    for name, port in ports.items():
        record = CoordinatorRecord(name, format_endpoints((Endpoint("FLUSS", "127.0.0.1", port),)))
        parents = await missing_parents(store, coordinator_id_path(name))
        await store.commit([*parents, Create(coordinator_id_path(name), record.encode())])
    own = CoordinatorRecord("own", format_endpoints((Endpoint("FLUSS", "127.0.0.1", 1),)))
    watch = Takeover(store, election, own, "FLUSS", connect, clock)
    await watch.start()
    try:
        yield watch
    finally:
        await watch.close()
        await store.close()


async def listening() -> RpcServer:
    server = RpcServer(ServiceRegistry(), "127.0.0.1", 0, runtime=RUNTIME)
    await server.start()
    return server


async def looked(election: Election, times: int = LOOKS) -> None:
    until = election.looks + times
    await eventually(lambda: election.looks >= until)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "LOOK_INTERVAL_S", SOON_S / 5)
    monkeypatch.setattr(takeover, "REFUSED_S", SOON_S)


@async_test
async def test_a_participant_whose_process_has_ended_is_removed(tmp_path: Path) -> None:
    active = await listening()
    election = Election("active", "own")
    async with watching(tmp_path, election, {"active": active.port}):
        await looked(election)
        assert election.removed == [], "it lives"
        await active.close(0.0)
        await eventually(lambda: bool(election.removed))
        await looked(election)
    assert election.removed == ["active"]


@async_test
async def test_the_one_after_a_participant_that_has_ended_is_not_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another standby was first, and this one was just looking who takes part."""
    before, active = await listening(), await listening()
    election = Election("before", "active", "own")
    async with watching(tmp_path, election, {"before": before.port, "active": active.port}):
        await looked(election)
        election.gate.clear()
        await eventually(lambda: election.waits)
        await before.close(0.0)
        await eventually(lambda: "it has ended" in caplog.text)
        election.ids.remove("before")
        election.gate.set()
        await looked(election)
    assert election.removed == []
    await active.close(0.0)


@async_test
async def test_a_participant_that_does_not_respond_over_an_open_connection_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "SILENCE_S", 4 * SOON_S)
    process = await listening()
    way = Stallable(process.port)
    async with way.running():
        election = Election("stalled", "own")
        async with watching(tmp_path, election, {"stalled": way.port}):
            await looked(election)
            assert election.removed == [], "it responds"
            way.stalls = True
            await eventually(lambda: bool(election.removed))
            election.ids = ["own", "stalled"]
            await looked(election)
    assert election.removed == ["stalled"], "it may take part again"
    await process.close(0.0)


class LateClock(ManualClock):
    """Late for some measurements, and then it stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 6

    def monotonic(self) -> float:
        if self.late > 0:
            self.late -= 1
            self.advance(60_000)
        return super().monotonic()


@async_test
async def test_a_watch_that_was_late_itself_waits_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the connection stays open meanwhile: to a process that stands still no other one can be opened."""
    monkeypatch.setattr(takeover, "SILENCE_S", SOON_S)
    process = await listening()
    way = Stallable(process.port)
    async with way.running():
        election = Election("stalled", "own")
        async with watching(tmp_path, election, {"stalled": way.port}, clock=(clock := LateClock())):
            await looked(election)
            clock.late = 6
            way.stalls = True
            await eventually(lambda: bool(election.removed))
    assert clock.late == 0
    assert election.removed == ["stalled"]
    await process.close(0.0)


@pytest.mark.slow
@async_test
async def test_a_participant_that_cannot_be_reached_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "SILENCE_S", 4 * SOON_S)

    def hanging(name: str, address: Callable[[], Endpoint | None]) -> PeerConnection:
        return PeerConnection(name, address, network=DroppingNetwork(), connect_timeout_s=8 * SOON_S)

    election = Election("far", "own")
    async with watching(tmp_path, election, {"far": 9}, hanging):
        await looked(election)
    assert election.removed == [], "only its session says whether it is gone"


@async_test
async def test_an_unexpected_error_does_not_end_the_watch(tmp_path: Path) -> None:
    active = await listening()
    election = Election("active", "own")
    async with watching(tmp_path, election, {"active": active.port}):
        await looked(election)
        election.failures.append(ValueError("unexpected"))
        await looked(election)
        await active.close(0.0)
        await eventually(lambda: bool(election.removed))
    assert election.removed == ["active"]
