"""The leader latch: among ourselves, and in one election with Apache Curator's."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fluss_server.metadata.store import Delete
from fluss_server.metadata.zookeeper.latch import ELECTION, LeaderLatch
from fluss_server.metadata.zookeeper.states import ConnectionState
from fluss_server.metadata.zookeeper.store import ZooKeeperMetadataStore
from fluss_server.runtime import system_runtime
from official.artifacts import compiled
from zookeeper_support import ZooKeeperServer, official_class_path

pytestmark = pytest.mark.java

WAIT_S = 30.0
MACHINE = system_runtime()


async def connect(
    zookeeper: ZooKeeperServer, root: str, session_timeout_s: float = 10.0, *, tolerant: bool = False
) -> ZooKeeperMetadataStore:
    settings = replace(zookeeper.settings(root, session_timeout_s), tolerate_suspended=tolerant)
    return await ZooKeeperMetadataStore.connect(settings, MACHINE)


async def within(work: Awaitable[object]) -> object:
    return await asyncio.wait_for(work, WAIT_S)


async def until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def participants(latch: LeaderLatch) -> list[str]:
    """Ids, the leader first."""
    return [participant.participant_id for participant in await latch.nodes()]


async def until_there_are(count: int, latch: LeaderLatch) -> None:
    for _ in range(int(WAIT_S / 0.02)):
        if len(await participants(latch)) == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{await participants(latch)} are not {count} participants")


def test_participants_lead_one_after_the_other(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        stores = [await connect(zookeeper, root) for _ in range(3)]
        latches = [LeaderLatch(store, f"id-{number}", MACHINE) for number, store in enumerate(stores)]
        await within(latches[0].acquire())
        waiting = {}
        for number in (1, 2):
            waiting[number] = asyncio.ensure_future(latches[number].acquire())
            await until_there_are(number + 1, latches[0])
        assert await participants(latches[2]) == ["id-0", "id-1", "id-2"]
        names = await stores[0].children(ELECTION)
        assert all(name.startswith("_c_") and name[3:39].count("-") == 4 and "-latch-0" in name for name in names)
        assert [latch.is_leader for latch in latches] == [True, False, False]
        await latches[0].release()
        await within(waiting[1])
        assert [latch.is_leader for latch in latches] == [False, True, False]
        await stores[1].close()  # as a process that ends: its session is closed
        await within(waiting[2])
        again = asyncio.ensure_future(latches[0].acquire())
        await latches[2].release()
        await within(again)
        assert await participants(latches[0]) == ["id-0"]
        await latches[0].release()
        assert await stores[0].children(ELECTION) == []
        for store in (stores[0], stores[2]):
            await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("tolerant", [False, True], ids=["", "tolerant"])
def test_a_leader_that_zookeeper_does_not_hear_does_not_lead(
    zookeeper: ZooKeeperServer, root: str, tolerant: bool
) -> None:
    async def scenario() -> None:
        store = await connect(zookeeper, root, 2.0, tolerant=tolerant)
        latch = LeaderLatch(store, "one", MACHINE)
        await within(latch.acquire())
        states: list[ConnectionState] = []
        store.add_listener(states.append)
        zookeeper.freeze()
        try:
            await within(latch.lost())
        finally:
            zookeeper.thaw()
        assert not latch.is_leader
        assert (ConnectionState.LOST in states) is tolerant
        await within(latch.release())
        await within(latch.acquire())
        assert await participants(latch) == ["one"]
        await until(lambda: store.connection is ConnectionState.CONNECTED)
        latch.close()
        await store.close()

    asyncio.run(scenario())


def test_a_leader_leads_on_while_zookeeper_is_restarted(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        store, other = await connect(zookeeper, root, 30.0), await connect(zookeeper, root, 30.0)
        latch = LeaderLatch(store, "one", MACHINE, outlasts_s=WAIT_S)
        await within(latch.acquire())
        lost = asyncio.ensure_future(latch.lost())
        await asyncio.to_thread(zookeeper.stop)
        await until(lambda: store.connection is ConnectionState.SUSPENDED)
        await asyncio.to_thread(zookeeper.start)
        await until(lambda: store.connection is other.connection is ConnectionState.CONNECTED)
        assert await participants(latch) == ["one"]
        assert latch.is_leader
        assert not lost.done()
        [name] = await other.children(ELECTION)
        await other.commit([Delete(f"{ELECTION}/{name}")])  # its watch goes on, too
        await within(lost)
        assert not latch.is_leader
        latch.close()
        await store.close()
        await other.close()

    asyncio.run(scenario())


def test_a_leader_leads_only_for_some_time_without_a_connection(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        store = await connect(zookeeper, root, 30.0)
        latch = LeaderLatch(store, "one", MACHINE, outlasts_s=0.5)
        await within(latch.acquire())
        await asyncio.to_thread(zookeeper.stop)
        try:
            await within(latch.lost())
            assert store.connection is ConnectionState.SUSPENDED
        finally:
            await asyncio.to_thread(zookeeper.start)
        latch.close()
        await store.close()

    asyncio.run(scenario())


def test_a_leader_whose_node_somebody_removes_does_not_lead(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        store, other = await connect(zookeeper, root), await connect(zookeeper, root)
        latch = LeaderLatch(store, "one", MACHINE)
        await within(latch.acquire())
        [name] = await other.children(ELECTION)
        await other.commit([Delete(f"{ELECTION}/{name}")])
        await within(latch.lost())
        await latch.release()
        await within(latch.acquire())
        assert await participants(latch) == ["one"]
        await store.close()
        await other.close()

    asyncio.run(scenario())


class JavaParticipant:
    """Curator's latch in a Java program."""

    def __init__(self, zookeeper: ZooKeeperServer, root: str, name: str) -> None:
        jars = official_class_path("server")
        classes = compiled("latch", [Path(__file__).parent / "java"], [Path(jar) for jar in jars.split(os.pathsep)])
        command = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}:{jars}"]
        command += ["LatchParticipant", zookeeper.address, root.lstrip("/"), ELECTION, name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    async def line(self) -> str:
        """The next line that it prints, but those of its logging."""
        assert self._process.stdout is not None
        while True:
            line: str = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), WAIT_S)
            assert line, "the program ended"
            if line.startswith(("started", "leader", "not leader", "participants")):
                return line.strip()

    async def participants(self) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write("participants\n")
        self._process.stdin.flush()
        return (await self.line()).split()[1:]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(WAIT_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_S)


def test_one_election_with_curator(zookeeper: ZooKeeperServer, root: str) -> None:
    async def scenario() -> None:
        first, last = await connect(zookeeper, root), await connect(zookeeper, root)
        ours, ours_too = LeaderLatch(first, "ours", MACHINE), LeaderLatch(last, "ours-too", MACHINE)
        await within(ours.acquire())
        java = JavaParticipant(zookeeper, root, "java")
        try:
            assert await java.line() == "started"
            await until_there_are(2, ours)
            waiting = asyncio.ensure_future(ours_too.acquire())
            await until_there_are(3, ours)
            assert await java.participants() == ["ours", "java", "ours-too"]
            await ours.release()
            assert await java.line() == "leader"
            assert await participants(ours) == ["java", "ours-too"]
            again = asyncio.ensure_future(ours.acquire())
            await until_there_are(3, ours)
            assert not waiting.done()
            java.kill()  # its session expires
            await within(waiting)
            assert await participants(ours) == ["ours-too", "ours"]
            await ours_too.release()
            await within(again)
        finally:
            java.kill()
        await first.close()
        await last.close()

    asyncio.run(scenario())
