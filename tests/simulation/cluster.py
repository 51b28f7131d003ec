"""A simulated cluster: one coordinator and three tablet servers on machines of their own, and what goes wrong there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import PurePosixPath
from random import Random
from typing import Any

from cluster_nodes import CoordinatorNode, TabletNode
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.simulation import Machine, Simulation
from fluss_server.simulation.runtime import MAX_WORK_S

SERVERS = (1, 2, 3)
COORDINATOR = "coordinator"
DATA_DIRECTORY = PurePosixPath("/data")


def host_of(server_id: int) -> str:
    """The name of a tablet server's machine."""
    return f"server-{server_id}"


class SimulatedCluster:
    """The servers of a run. Everything that they send each other and their clients goes over the simulated network.

    Args:
        simulation: that it happens in.
        options: of every server.
        loses_power: whether machines may lose what is not synced.
        servers: tablet servers that there are from the beginning.

    Attributes:
        coordinator: the present process.
        coordinator_runs: whether it has started.
        nodes: the tablet servers that run now, by id.
        faults: what was done to the cluster, by kind.
        failed: completes with the error of a server that does not start.
    """

    def __init__(
        self,
        simulation: Simulation,
        options: Mapping[str, str],
        *,
        loses_power: bool,
        servers: Sequence[int] = SERVERS,
    ) -> None:
        self._simulation = simulation
        self._options = options
        self._loses_power = loses_power
        self.servers = servers
        self._random = Random(simulation.random.getrandbits(64))
        self.failed: asyncio.Future[None] = simulation.loop.create_future()
        self._blocked: set[tuple[str, str]] = set()
        machine = simulation.machine(COORDINATOR)
        self.coordinator = CoordinatorNode(machine.runtime(), DATA_DIRECTORY, options, COORDINATOR)
        self.coordinator_runs = False
        self.nodes: dict[int, TabletNode] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}
        self.faults: Counter[str] = Counter()

    async def start(self) -> None:
        """Start everything."""
        await self._machine(0).start(self.coordinator.start())
        self.coordinator_runs = True
        await asyncio.gather(*(self.start_server(server_id) for server_id in self.servers))

    def start_server(self, server_id: int) -> asyncio.Task[None]:
        """Start a tablet server; the task ends when it is a member of the cluster."""
        machine = self._machine(server_id)
        node = TabletNode(
            server_id, self.coordinator, machine.runtime(), DATA_DIRECTORY, self._options, host_of(server_id)
        )
        self.nodes[server_id] = node
        task = machine.start(node.start())
        self._starting[server_id] = task
        task.add_done_callback(self._started)
        return task

    def stop_server(self, server_id: int, *, power: bool) -> None:
        """End a tablet server without a warning."""
        self.nodes.pop(server_id)
        if power:
            self._machine(server_id).lose_power()
        else:
            self._machine(server_id).kill()

    def endpoints(self) -> list[Endpoint]:
        """Where clients reach the tablet servers."""
        return [node.endpoint("CLIENT") for _, node in sorted(self.nodes.items()) if node.bound]

    # ------------------------------------------------------------------ faults

    async def do_harm(self, seconds: float) -> None:
        """One fault after the other, some at the same time, for so long; everything is well again afterwards."""
        loop = self._simulation.loop
        end = loop.time() + seconds
        kinds: list[tuple[Callable[[], Coroutine[Any, Any, None]], int]] = [
            (self._crash, 5),
            (self._crash_all, 1),
            (self._restart, 2),
            (self._crash_coordinator, 1),
            (self._cut_servers, 4),
            (self._cut_coordinator, 3),
            (self._hold_connection, 3),
            (self._slow_down, 2),
            (self._slow_disk, 2),
        ]
        running: list[asyncio.Task[None]] = []
        actions, weights = zip(*kinds, strict=True)
        while loop.time() < end:
            await asyncio.sleep(self._random.random() * 1.5)
            (action,) = self._random.choices(actions, weights)
            running.append(asyncio.ensure_future(action()))
        await asyncio.gather(*running)

    async def _crash(self) -> None:
        if not self.nodes:
            return
        server_id = self._random.choice(sorted(self.nodes))
        await self._crash_server(server_id)

    async def _crash_all(self) -> None:
        await asyncio.gather(*(self._crash_server(server_id) for server_id in sorted(self.nodes)))

    async def _crash_server(self, server_id: int) -> None:
        power = self._loses_power and self._random.random() < 0.5
        self.stop_server(server_id, power=power)
        self.faults["power" if power else "kill"] += 1
        await asyncio.sleep(self._random.choice((0.05, 0.5, 4.0)) * self._random.random())
        self.start_server(server_id)

    async def _restart(self) -> None:
        """A server is stopped in an orderly way, and started again."""
        if not self.nodes:
            return
        server_id = self._random.choice(sorted(self.nodes))
        node, machine = self.nodes[server_id], self._machine(server_id)
        if not self._starting[server_id].done():
            return
        self.faults["restart"] += 1
        stopping = machine.start(_stop(node))
        await asyncio.wait([stopping], timeout=10.0)
        if self.nodes.get(server_id) is node:  # else it has crashed meanwhile
            self.stop_server(server_id, power=False)
            self.start_server(server_id)

    async def _crash_coordinator(self) -> None:
        """It comes back with what it has stored; what it did not finish is finished then."""
        machine = self._machine(0)
        power = self._random.random() < 0.5
        if not self.coordinator_runs:
            return
        self.coordinator_runs = False
        if power:
            machine.lose_power()
        else:
            machine.kill()
        self.faults["coordinator"] += 1
        await asyncio.sleep(self._random.choice((0.05, 0.5, 3.0)) * self._random.random())
        self.coordinator = CoordinatorNode(machine.runtime(), DATA_DIRECTORY, self._options, COORDINATOR)
        for node in self.nodes.values():
            node.coordinator = self.coordinator
        task = machine.start(self.coordinator.start())
        task.add_done_callback(self._started)
        await asyncio.wait([task])
        self.coordinator_runs = True

    async def _cut_servers(self) -> None:
        one, other = (host_of(server_id) for server_id in self._random.sample(self.servers, 2))
        await self._cut(one, other)

    async def _cut_coordinator(self) -> None:
        await self._cut(host_of(self._random.choice(self.servers)), COORDINATOR)

    async def _cut(self, one: str, other: str) -> None:
        ways = self._random.choice((((one, other),), ((other, one),), ((one, other), (other, one))))
        if any(way in self._blocked for way in ways):
            return
        self.faults["cut"] += 1
        for way in ways:
            self._blocked.add(way)
            self._simulation.network.block(*way)
        await asyncio.sleep(self._random.choice((0.1, 2.0, 6.0)) * self._random.random())
        for way in ways:
            self._blocked.discard(way)
            self._simulation.network.unblock(*way)

    async def _hold_connection(self) -> None:
        release = self._simulation.network.hold(self._random)
        if release is not None:
            self.faults["connection held"] += 1
            await asyncio.sleep(self._random.choice((0.1, 1.0, 4.0)) * self._random.random())
            release()

    async def _slow_disk(self) -> None:
        machine = self._machine(self._random.choice(self.servers))
        self.faults["slow disk"] += 1
        machine.max_work_s = self._random.choice((0.02, 0.2)) * self._random.random()
        await asyncio.sleep(3.0 * self._random.random())
        machine.max_work_s = MAX_WORK_S

    async def _slow_down(self) -> None:
        one, other = (host_of(server_id) for server_id in self._random.sample(self.servers, 2))
        self.faults["slow"] += 1
        self._simulation.network.slow_down(one, other, 0.05 * self._random.random())
        await asyncio.sleep(2.0 * self._random.random())
        self._simulation.network.slow_down(one, other, 0.0)

    # ------------------------------------------------------------------ parts

    def _machine(self, server_id: int) -> Machine:
        return self._simulation.machine(COORDINATOR if server_id == 0 else host_of(server_id))

    def _started(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)


async def _stop(node: TabletNode) -> None:
    await node.leave()
    await node.close()
