"""What goes wrong: faults in an order that a seed determines, one at a time or two."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

from chaos.servers import SESSION_TIMEOUT_S, ZOOKEEPER, Cluster, Server
from fluss_server.api import messages as pb
from fluss_server.api.keys import ApiKey
from fluss_server.errors import FlussError
from fluss_server.rpc.client import RpcClient
from simulation.conversation import path_of

RESTART_LIMIT_S = 60.0
"""How long a server may take until it serves again."""

Action = Callable[[], Awaitable[str]]


class Faults:
    """Does harm to a cluster.

    Args:
        cluster: whom.
        random: all choices; the same seed makes the same ones.
        tables: whose leaders are hit.
    """

    def __init__(self, cluster: Cluster, random: Random, tables: Sequence[str]) -> None:
        self._cluster = cluster
        self._random = random
        self._tables = list(tables)
        self.kinds: dict[str, Action] = {
            "kill leader": self._kill_leader,
            "kill server": self._kill_server,
            "kill all servers": self._kill_all,
            "stop server": self._stop_server,
            "pause leader": self._pause_leader,
            "pause server": self._pause_server,
            "cut two servers": self._cut_servers,
            "cut one way": self._cut_one_way,
            "isolate server": self._isolate_server,
            "cut coordinator": self._cut_coordinator,
            "kill coordinator": self._kill_coordinator,
            "pause coordinator": self._pause_coordinator,
            "expire session": self._expire_session,
            "restart zookeeper": self._restart_zookeeper,
            "rolling restart": self._rolling_restart,
        }
        if cluster.small_disk is not None:
            self.kinds["full disk"] = self._fill_disk

    def order(self, count: int) -> list[tuple[str, ...]]:
        """Kinds of faults: every kind once before one comes again, and now and then two at a time."""
        found: list[tuple[str, ...]] = []
        while len(found) < count:
            kinds = sorted(self.kinds)
            self._random.shuffle(kinds)
            found += [(kind,) for kind in kinds]
            found += [tuple(sorted(self._random.sample(kinds, 2))) for _ in range(len(kinds) // 4)]
        return found[:count]

    async def do(self, kinds: tuple[str, ...]) -> str:
        """Do one of :meth:`order`, and undo it; returns whom it hit."""
        return ", ".join(await asyncio.gather(*(self.kinds[kind]() for kind in kinds)))

    async def heal(self) -> None:
        """Everything runs, every link is open."""
        for server in self._cluster.servers:
            server.send(signal.SIGCONT)
            server.start()
        names = [ZOOKEEPER, *(server.name for server in self._cluster.servers)]
        for source in names:
            for target in names:
                await self._cluster.links.unblock(source, target, lose=False)
        self._remove_ballast()

    # ------------------------------------------------------------------ processes

    async def _kill_leader(self) -> str:
        return await self._down(await self.some_leader(), signal.SIGKILL)

    async def _kill_server(self) -> str:
        return await self._down(self._any_server(), signal.SIGKILL)

    async def _stop_server(self) -> str:
        return await self._down(self._any_server(), signal.SIGTERM)

    async def _kill_coordinator(self) -> str:
        return await self._down(await self.active_coordinator(), signal.SIGKILL)

    async def _kill_all(self) -> str:
        return ", ".join(
            await asyncio.gather(*(self._down(each, signal.SIGKILL) for each in self._cluster.tablet_servers))
        )

    async def _down(self, server: Server, how: signal.Signals) -> str:
        pause_s = self._random.choice((0.0, 1.0, 5.0)) * self._random.random()
        await server.end(how)
        await asyncio.sleep(pause_s)
        server.start()
        await serving(server)
        return f"{server.name} for {pause_s:.1f} s"

    async def _pause_leader(self) -> str:
        return await self._pause(await self.some_leader())

    async def _pause_server(self) -> str:
        return await self._pause(self._any_server())

    async def _pause_coordinator(self) -> str:
        return await self._pause(await self.active_coordinator())

    async def _pause(self, server: Server) -> str:
        pause_s = self._random.choice((1.0, 4.0, 8.0)) * (0.5 + 0.5 * self._random.random())
        server.send(signal.SIGSTOP)
        await asyncio.sleep(pause_s)
        server.send(signal.SIGCONT)
        return f"{server.name} for {pause_s:.1f} s"

    async def _rolling_restart(self) -> str:
        for server in self._cluster.tablet_servers:
            await server.end(signal.SIGTERM)
            server.start()
            await serving(server)
            await asyncio.sleep(1.0)
        return "all tablet servers"

    # ------------------------------------------------------------------ links

    async def _cut_servers(self) -> str:
        one, other = (server.name for server in self._random.sample(self._cluster.tablet_servers, 2))
        return await self._cut([(one, other), (other, one)])

    async def _cut_one_way(self) -> str:
        one, other = (server.name for server in self._random.sample(self._cluster.tablet_servers, 2))
        return await self._cut([(one, other)])

    async def _cut_coordinator(self) -> str:
        one, other = self._any_server().name, (await self.active_coordinator()).name
        ways = [(one, other), (other, one)]
        return await self._cut(ways if self._random.random() < 0.5 else [self._random.choice(ways)])

    async def _isolate_server(self) -> str:
        """From all other servers and ZooKeeper; clients reach it."""
        server = self._any_server().name
        others = [each.name for each in self._cluster.servers if each.name != server] + [ZOOKEEPER]
        return await self._cut([way for other in others for way in ((server, other), (other, server))], shown=server)

    async def _expire_session(self) -> str:
        """ZooKeeper does not hear a server for longer than its session lives."""
        server = await self.active_coordinator() if self._random.random() < 0.5 else self._any_server()
        ways = [(server.name, ZOOKEEPER), (ZOOKEEPER, server.name)]
        return await self._cut(ways, seconds=SESSION_TIMEOUT_S * (1.2 + self._random.random()), shown=server.name)

    async def _cut(
        self, ways: Sequence[tuple[str, str]], *, seconds: float | None = None, shown: str | None = None
    ) -> str:
        if seconds is None:
            seconds = self._random.choice((1.0, 5.0, 10.0)) * (0.5 + 0.5 * self._random.random())
        lose = self._random.random() < 0.5
        for way in ways:
            self._cluster.links.block(*way)
        await asyncio.sleep(seconds)
        for way in ways:
            await self._cluster.links.unblock(*way, lose=lose)
        text = shown or ", ".join(f"{source} to {target}" for source, target in ways)
        return f"{text} for {seconds:.1f} s, {'lost' if lose else 'late'}"

    # ------------------------------------------------------------------ what they share

    async def _restart_zookeeper(self) -> str:
        pause_s = self._random.choice((0.0, 2.0, 6.0)) * self._random.random()
        zookeeper = self._cluster.zookeeper
        zookeeper.stop()
        await asyncio.sleep(pause_s)
        await asyncio.to_thread(zookeeper.start)
        return f"for {pause_s:.1f} s"

    async def _fill_disk(self) -> str:
        """The disk of the last tablet server takes nothing any more."""
        disk = self._cluster.small_disk
        assert disk is not None
        seconds = 3.0 + 4.0 * self._random.random()
        _fill(disk / "ballast")
        await asyncio.sleep(seconds)
        self._remove_ballast()
        return f"{self._cluster.tablet_servers[-1].name} for {seconds:.1f} s"

    def _remove_ballast(self) -> None:
        if self._cluster.small_disk is not None:
            (self._cluster.small_disk / "ballast").unlink(missing_ok=True)

    # ------------------------------------------------------------------ choices

    def _any_server(self) -> Server:
        return self._random.choice(self._cluster.tablet_servers)

    async def some_leader(self) -> Server:
        """The leader of the first bucket of a table; some server when there is none."""
        table = self._random.choice(self._tables)
        fallback = self._any_server()
        metadata = await metadata_of(self._cluster, table)
        for entry in () if metadata is None else metadata.table_metadata[0].bucket_metadata[:1]:
            if entry.HasField("leader_id") and 0 <= entry.leader_id < len(self._cluster.tablet_servers):
                return self._cluster.tablet_servers[entry.leader_id]
        return fallback

    async def active_coordinator(self) -> Server:
        """The active one; the first when that is not known."""
        metadata = await metadata_of(self._cluster, self._tables[0])
        active = None if metadata is None else self._cluster.server_at(metadata.coordinator_server.port)
        return active or self._cluster.coordinators[0]


async def metadata_of(cluster: Cluster, table: str) -> pb.MetadataResponse | None:
    """What some tablet server knows of a table; None when none responds at once."""
    for server in cluster.tablet_servers:
        try:
            async with await RpcClient.connect(*server.endpoint[1:], timeout_s=1.0) as client:
                request = pb.MetadataRequest(table_path=[path_of(table)])
                found: pb.MetadataResponse = await client.call(ApiKey.GET_METADATA, request, timeout_s=1.0)
                return found
        except FlussError:
            continue
    return None


async def serving(server: Server) -> None:
    """Wait until a server responds to clients: a tablet server that has joined the cluster, a coordinator that listens.

    Raises:
        RuntimeError: it does not in time; the message carries what it printed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RESTART_LIMIT_S
    while loop.time() < deadline:
        try:
            async with await RpcClient.connect(*server.endpoint[1:], timeout_s=2.0) as client:
                if server.role == "tablet-server":
                    await client.call(ApiKey.GET_METADATA, pb.MetadataRequest(), timeout_s=2.0)
                return
        except FlussError:
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{server.name} does not serve; it printed:\n{server.log}")


def _fill(path: Path) -> None:
    """A file that takes what is left of its file system."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
            except OSError:
                continue
