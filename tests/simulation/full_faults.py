"""What goes wrong in a simulated cluster of whole processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from random import Random
from typing import Any

from fluss_server.processes.cluster_process import ClusterProcess
from fluss_server.simulation.runtime import MAX_WORK_S
from simulation.ensemble import HOST as ENSEMBLE
from simulation.full_cluster import COORDINATORS, SERVERS, FullCluster, coordinator_host, server_host

STOP_TIMEOUT_S = 10.0


class Faults:
    """One fault after the other, some at the same time; each undoes itself.

    Args:
        cluster: to do it to.
        random: decides.
        loses_power: whether machines may lose what is not synced.

    Attributes:
        counts: what was done, by kind.
    """

    def __init__(self, cluster: FullCluster, random: Random, *, loses_power: bool) -> None:
        self._cluster = cluster
        self._simulation = cluster.simulation
        self._random = random
        self._loses_power = loses_power
        self._blocked: set[tuple[str, str]] = set()
        self._busy: set[str] = set()  # hosts whose process a fault stops and starts
        self.counts: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Do harm for so long; everything is well again afterwards."""
        kinds: list[tuple[Callable[[], Coroutine[Any, Any, None]], int]] = [
            (self._crash_server, 5),
            (self._crash_all_servers, 1),
            (self._lose_all_power, 1),
            (self._restart_server, 2),
            (self._pause_server, 3),
            (self._crash_coordinator, 3),
            (self._restart_coordinator, 1),
            (self._pause_coordinator, 2),
            (self._expire_session, 2),
            (self._partition, 8),
            (self._isolate, 1),
            (self._strand_server, 3),
            (self._reset_connections, 4),
            (self._hold_connection, 6),
            (self._slow_down, 3),
            (self._slow_disk, 3),
            (self._fail_disk, 2),
            (self._fill_disk, 1),
        ]
        loop = self._simulation.loop
        end = loop.time() + seconds
        running: list[asyncio.Task[None]] = []
        actions, weights = zip(*kinds, strict=True)
        while loop.time() < end:
            await asyncio.sleep(self._random.random() * 1.2)
            (action,) = self._random.choices(actions, weights)
            running.append(asyncio.ensure_future(action()))
        await asyncio.gather(*running)

    def _short_or_long(self, *choices: float) -> float:
        return self._random.choice(choices) * self._random.random()

    # ------------------------------------------------------------------ processes

    async def _crash_server(self) -> None:
        await self._crash(server_host(self._random.choice(SERVERS)), self._power())

    async def _crash_all_servers(self) -> None:
        await asyncio.gather(*(self._crash(server_host(server_id), self._power()) for server_id in SERVERS))

    async def _lose_all_power(self) -> None:
        """All servers and coordinators at once."""
        if not self._loses_power:
            return
        self.counts["power of all"] += 1
        hosts = [*map(server_host, SERVERS), *map(coordinator_host, COORDINATORS)]
        await asyncio.gather(*(self._crash(host, power=True) for host in hosts))

    async def _crash_coordinator(self) -> None:
        number = self._cluster.active or self._random.choice(COORDINATORS)
        await self._crash(coordinator_host(number), power=self._random.random() < 0.5, kind="coordinator killed")

    def _power(self) -> bool:
        return self._loses_power and self._random.random() < 0.5

    async def _crash(self, host: str, power: bool, kind: str | None = None) -> None:
        if host in self._busy:
            return
        self._busy.add(host)
        self.counts[kind or ("power lost" if power else "killed")] += 1
        self._forget(host)
        machine = self._cluster.machine(host)
        if power:
            machine.lose_power()
        else:
            machine.kill()
        await asyncio.sleep(self._short_or_long(0.05, 0.5, 4.0))
        self._start(host)

    async def _restart_server(self) -> None:
        await self._restart(server_host(self._random.choice(SERVERS)), "restarted")

    async def _restart_coordinator(self) -> None:
        number = self._cluster.active or self._random.choice(COORDINATORS)
        await self._restart(coordinator_host(number), "coordinator restarted")

    async def _restart(self, host: str, kind: str) -> None:
        """An orderly stop and a start."""
        if host in self._busy or not self._cluster.starting[host].done():
            return
        self._busy.add(host)
        self.counts[kind] += 1
        machine = self._cluster.machine(host)
        stopping = machine.start(self._process(host).close())
        await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
        self._forget(host)
        machine.kill()
        self._start(host)

    async def _pause_server(self) -> None:
        await self._pause(server_host(self._random.choice(SERVERS)), "paused")

    async def _pause_coordinator(self) -> None:
        number = self._cluster.active or self._random.choice(COORDINATORS)
        await self._pause(coordinator_host(number), "coordinator paused")

    async def _pause(self, host: str, kind: str) -> None:
        """Longer than leases and sessions, or not."""
        if host in self._busy or not self._cluster.machine(host).pause():
            return
        self._busy.add(host)
        self.counts[kind] += 1
        await asyncio.sleep(self._short_or_long(0.3, 2.0, 6.0))
        self._cluster.machine(host).resume()
        self._busy.discard(host)

    # ------------------------------------------------------------------ network and sessions

    async def _expire_session(self) -> None:
        host = self._random.choice([*map(server_host, SERVERS), *map(coordinator_host, COORDINATORS)])
        if self._cluster.ensemble.expire(host):
            self.counts["session expired"] += 1

    def _hosts(self) -> list[str]:
        return [*map(server_host, SERVERS), *map(coordinator_host, COORDINATORS), ENSEMBLE]

    async def _partition(self) -> None:
        """Between two machines, one way or both."""
        one, other = self._random.sample(self._hosts(), 2)
        await self._block(self._random.choice((((one, other),), ((other, one),), ((one, other), (other, one)))))

    async def _isolate(self) -> None:
        """One machine from all others."""
        hosts = self._hosts()
        one = self._random.choice(hosts[:-1])
        others = [host for host in hosts if host != one]
        await self._block(tuple(way for other in others for way in ((one, other), (other, one))))

    async def _block(self, ways: tuple[tuple[str, str], ...]) -> None:
        if any(way in self._blocked for way in ways):
            return
        self.counts["partition" if len(ways) > 1 else "one-way partition"] += 1
        with self._without(ways):
            await asyncio.sleep(self._short_or_long(0.1, 2.0, 6.0))

    @contextlib.contextmanager
    def _without(self, ways: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Nothing arrives on these ways, which are not blocked."""
        for way in ways:
            self._blocked.add(way)
            self._simulation.network.block(*way)
        try:
            yield
        finally:
            for way in ways:
                self._blocked.discard(way)
                self._simulation.network.unblock(*way)

    async def _strand_server(self) -> None:
        """Followers cannot fetch from a server, clients can write to it, and then it is killed.

        It comes back with batches that no other server has.
        """
        number = self._random.choice(SERVERS)
        host, others = server_host(number), [server_host(other) for other in SERVERS if other != number]
        ways = [way for other in others for way in ((host, other), (other, host))]
        if host in self._busy or any(way in self._blocked for way in ways):
            return
        self.counts["stranded"] += 1
        with self._without(ways):
            await asyncio.sleep(self._short_or_long(0.2, 1.0))
            crash = asyncio.ensure_future(self._crash(host, power=False))
            await asyncio.sleep(0)
        await crash

    async def _reset_connections(self) -> None:
        """Requests and responses on their way are lost, and requests come again over other connections."""
        one, other = self._random.sample([*self._hosts()[:-1], "client"], 2)
        if self._simulation.network.reset(one, other):
            self.counts["connections reset"] += 1

    async def _hold_connection(self) -> None:
        """What goes through one connection comes late, behind what goes through others between the same machines."""
        release = self._simulation.network.hold(self._random)
        if release is not None:
            self.counts["connection held"] += 1
            await asyncio.sleep(self._short_or_long(0.1, 1.0, 4.0))
            release()

    async def _slow_down(self) -> None:
        one, other = self._random.sample(self._hosts(), 2)
        self.counts["slow link"] += 1
        self._simulation.network.slow_down(one, other, 0.05 * self._random.random())
        await asyncio.sleep(2.0 * self._random.random())
        self._simulation.network.slow_down(one, other, 0.0)

    # ------------------------------------------------------------------ disks

    async def _slow_disk(self) -> None:
        """Flushes take long, so that followers have what their leader has not on its disk, and the other way round."""
        machine = self._cluster.machine(server_host(self._random.choice(SERVERS)))
        self.counts["slow disk"] += 1
        machine.max_work_s = self._short_or_long(0.02, 0.2)
        await asyncio.sleep(self._short_or_long(1.0, 4.0))
        machine.max_work_s = MAX_WORK_S

    async def _fail_disk(self) -> None:
        """A write or flush of a log fails; the server is killed some time later, as its operator would."""
        host = server_host(self._random.choice(SERVERS))
        if host in self._busy or not self._cluster.starting[host].done():
            return
        self.counts["I/O error"] += 1
        disk = self._cluster.machine(host).disk
        disk.fail_next(self._random.choice(("write", "sync")), ".log", errno.EIO)
        await asyncio.sleep(self._short_or_long(0.5, 3.0))
        disk.fail_no_more()
        while host in self._busy:  # noqa: ASYNC110 - it may stand still, and would go on without a restart
            await asyncio.sleep(0.05)
        await self._crash(host, power=False)

    async def _fill_disk(self) -> None:
        host = server_host(self._random.choice(SERVERS))
        self.counts["full disk"] += 1
        disk = self._cluster.machine(host).disk
        before, disk.capacity_bytes = disk.capacity_bytes, disk.used_bytes() + self._random.randrange(4096)
        await asyncio.sleep(self._short_or_long(0.5, 3.0))
        disk.capacity_bytes = max(before, 1 << 40)

    # ------------------------------------------------------------------ parts

    def _process(self, host: str) -> ClusterProcess:
        role, _, number = host.partition("-")
        if role == "server":
            return self._cluster.nodes[int(number)].process
        return self._cluster.coordinators[int(number)]

    def _forget(self, host: str) -> None:
        role, _, number = host.partition("-")
        (self._cluster.nodes if role == "server" else self._cluster.coordinators).pop(int(number), None)

    def _start(self, host: str) -> None:
        role, _, number = host.partition("-")
        if role == "server":
            self._cluster.start_server(int(number))
        else:
            self._cluster.start_coordinator(int(number))
        self._busy.discard(host)
