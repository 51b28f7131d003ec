"""Leases in a simulated cluster of processes whose coordinator has no contact to the store that they share."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

import pytest

from fluss_server.coordinator.standby_coordinators import OUTAGE_S, StandbyCoordinators
from fluss_server.coordinator.store_outage import StoreOutage
from fluss_server.errors import FlussError
from fluss_server.model.identifiers import TableBucket
from fluss_server.processes.standing_by import StandingBy
from fluss_server.simulation import Simulation
from simulation.cluster_clients import create_table
from simulation.conversation import LOG_SCHEMA
from simulation.ensemble import HOST as ENSEMBLE
from simulation.ensemble import SESSION_TIMEOUT_S
from simulation.full_cluster import COORDINATORS, SERVERS, FullCluster, coordinator_host, server_host

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LIMIT_S = 60.0
LEASE_S = 0.7
TICK_S = 0.01


async def until(condition: Callable[[], bool], at_each_tick: Callable[[], object] = lambda: None) -> None:
    """Wait for a state, in simulated time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LIMIT_S
    while not condition():
        assert loop.time() < end, "it did not happen in time"
        at_each_tick()
        await asyncio.sleep(TICK_S)


class Scene:
    """A cluster with a table of one bucket, which all servers but one have.

    Attributes:
        cluster: started.
        bucket: of the table.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.cluster = FullCluster(simulation, {"log.replica.min-in-sync-replicas-number": "2"})
        self.bucket = TableBucket(0, None, 0)
        self._blocked: list[tuple[str, str]] = []

    async def start(self) -> None:
        await self.cluster.start()
        endpoint = self.cluster.endpoints()[0]
        machine = self.simulation.machine("client")
        network = machine.runtime().network
        table_id = await machine.start(create_table(network, endpoint, "t", LOG_SCHEMA, buckets=1, replicas=3))
        self.bucket = TableBucket(table_id, None, 0)
        await until(lambda: len(self.serving()) == 1)

    async def close(self) -> None:
        """Stop everything in order."""
        for way in self._blocked:
            self.simulation.network.unblock(*way)
        machine = self.cluster.machine
        for server_id in SERVERS:
            await machine(server_host(server_id)).start(self.cluster.nodes[server_id].process.close())
        for number in COORDINATORS:
            await machine(coordinator_host(number)).start(self.cluster.coordinators[number].close())
        self.cluster.running_ensemble.cancel()

    def kill_server(self, server_id: int) -> None:
        self.cluster.nodes.pop(server_id)
        self.cluster.machine(server_host(server_id)).kill()

    def kill_coordinator(self, number: int) -> None:
        self.cluster.coordinators.pop(number)
        self.cluster.machine(coordinator_host(number)).kill()

    def serving(self) -> list[int]:
        """Servers that serve clients as leader of the bucket."""
        found = []
        for server_id, node in sorted(self.cluster.nodes.items()):
            try:
                node.server.replicas.replica(self.bucket)
            except FlussError:
                continue
            found.append(server_id)
        return found

    def block(self, sources: set[str], targets: set[str]) -> None:
        """Nothing gets from one to the other, both ways."""
        for source in sources:
            for target in targets - sources:
                for way in ((source, target), (target, source)):
                    self.simulation.network.block(*way)
                    self._blocked.append(way)


T = TypeVar("T")


def run(seed: int, play: Callable[[Scene], Coroutine[Any, Any, T]]) -> T:
    """Play in a cluster of its own."""

    async def played() -> T:
        scene = Scene(simulation)
        try:
            return await play(scene)
        finally:
            await scene.close()

    try:
        with Simulation(seed) as simulation:
            return simulation.run(played())
    finally:
        gc.collect()  # what killed processes have left, while its warnings are ignored


def test_leases_do_not_run_out_while_the_store_is_restarted() -> None:
    async def restart(scene: Scene) -> None:
        await scene.start()
        cluster = scene.cluster
        epoch = cluster.ensemble.tree.get("/coordinators/epoch")
        await asyncio.sleep(1.0)  # of simulated time: the standbys have found the active coordinator
        cluster.ensemble.stop()
        await asyncio.sleep(0.8 * SESSION_TIMEOUT_S)
        cluster.ensemble.start()
        await asyncio.sleep(SESSION_TIMEOUT_S)
        losses = {server_id: cluster.nodes[server_id].server.membership.lease.losses for server_id in SERVERS}
        assert losses == dict.fromkeys(SERVERS, 0)
        assert cluster.ensemble.tree.get("/coordinators/epoch") == epoch

    run(1, restart)


async def _say_nothing(standing_by: StandingBy) -> None:
    """Instead of ``StandingBy._tell``."""


async def _cut_off_with_its_coordinator(scene: Scene) -> int:
    """The leader and the active coordinator see each other and nothing else; returns the most leaders at a time."""
    await scene.start()
    await asyncio.sleep(1.0)  # of simulated time: the standbys have found the active coordinator
    active = scene.cluster.active
    assert active is not None
    [before] = scene.serving()
    everybody = {*map(server_host, SERVERS), *map(coordinator_host, COORDINATORS), ENSEMBLE}
    scene.block({coordinator_host(active), server_host(before)}, everybody)
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(scene.serving()))

    await until(lambda: scene.serving() not in ([], [before]) and before not in scene.serving(), look)
    await until(lambda: scene.cluster.active != active, look)
    return most


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_leader_that_is_cut_off_with_its_coordinator_does_not_serve_beside_the_next_leader(seed: int) -> None:
    assert run(seed, _cut_off_with_its_coordinator) == 1


def test_it_would_if_its_coordinator_did_not_need_the_standbys() -> None:
    """So the test before this one can fail."""
    with mock.patch.object(StandbyCoordinators, "all_stand_by", return_value=True):
        assert run(1, _cut_off_with_its_coordinator) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_successor_that_the_coordinator_does_not_know_waits_for_its_leases(seed: int) -> None:
    with mock.patch.object(StandingBy, "_tell", _say_nothing):
        assert run(seed, _cut_off_with_its_coordinator) == 1


def test_there_would_be_two_leaders_if_it_did_not_wait() -> None:
    with (
        mock.patch.object(StandingBy, "_tell", _say_nothing),
        mock.patch.object(StoreOutage, "_has_ended", return_value=True),
    ):
        assert run(1, _cut_off_with_its_coordinator) == 2


def test_nor_does_it_replace_a_server_that_is_lost_before_that() -> None:
    async def lose_the_coordinator_and_then_a_leader(scene: Scene) -> float:
        await scene.start()
        cluster, loop = scene.cluster, asyncio.get_running_loop()
        before = cluster.active
        assert before is not None
        await asyncio.sleep(1.0)  # of simulated time: the standbys have found the active coordinator
        scene.kill_coordinator(before)
        await until(lambda: cluster.active is not None)
        begun_at = loop.time()
        await asyncio.sleep(1.0)  # of simulated time: all servers have registered
        [leader] = scene.serving()
        scene.kill_server(leader)
        await until(lambda: scene.serving() not in ([], [leader]))
        await asyncio.gather(cluster.start_coordinator(before), cluster.start_server(leader))
        return loop.time() - begun_at

    assert run(1, lose_the_coordinator_and_then_a_leader) < LEASE_S + OUTAGE_S, "its successor is its standby"
    with mock.patch.object(StandingBy, "_tell", _say_nothing):
        assert run(1, lose_the_coordinator_and_then_a_leader) > LEASE_S + OUTAGE_S
