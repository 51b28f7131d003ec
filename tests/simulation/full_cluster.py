"""A simulated cluster of whole processes: three coordinators with a shared store, and four tablet servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from cluster_nodes import LISTENERS, QUICK
from fluss_server.coordinator.cluster_state import BucketState
from fluss_server.metadata.records import LeaderAndIsrRecord
from fluss_server.model.identifiers import TableBucket
from fluss_server.processes.cluster_process import ClusterProcess
from fluss_server.processes.coordinator import CoordinatorProcess
from fluss_server.processes.tablet_server import TabletServerProcess
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.simulation import Machine, Simulation
from fluss_server.tablet.tablet_server import TabletServer
from simulation.ensemble import Ensemble, EnsembleMetadata

SERVERS = (1, 2, 3, 4)
COORDINATORS = (1, 2, 3)
DATA_DIRECTORY = PurePosixPath("/data")


def server_host(server_id: int) -> str:
    """The name of a tablet server's machine."""
    return f"server-{server_id}"


def coordinator_host(number: int) -> str:
    """The name of a coordinator's machine."""
    return f"coordinator-{number}"


class RunningServer:
    """A tablet server process, as the checks look at it."""

    def __init__(self, process: TabletServerProcess) -> None:
        self.process = process

    @property
    def server(self) -> TabletServer:
        """``AttributeError`` before it has got so far."""
        server = self.process._tablet_server
        if server is None:
            raise AttributeError("not started")
        return server

    def endpoint(self, listener: str) -> Endpoint | None:
        """Where a listener is; None before it is known."""
        try:
            found = self.process.listening.reachable_endpoints
        except (AssertionError, ValueError):
            return None
        return next((endpoint for endpoint in found if endpoint.listener == listener), None)


class FullCluster:
    """The processes of a run. Everything that they send goes over the simulated network.

    Args:
        simulation: that it happens in.
        options: of every process.

    Attributes:
        ensemble: the store that they share.
        nodes: the tablet servers that run now, by id.
        coordinators: the coordinators that run now, by number.
    """

    def __init__(self, simulation: Simulation, options: Mapping[str, str]) -> None:
        self.simulation = simulation
        self._options = {**QUICK, **options}
        self.ensemble = Ensemble(simulation.loop, simulation.network)
        self.nodes: dict[int, RunningServer] = {}
        self.coordinators: dict[int, CoordinatorProcess] = {}
        self.starting: dict[str, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] = simulation.loop.create_future()
        self._buckets: dict[TableBucket, tuple[bytes, BucketState]] = {}

    async def start(self) -> None:
        """Start everything; returns when every tablet server is a member."""
        self.running_ensemble = asyncio.ensure_future(self.ensemble.run())
        for number in COORDINATORS:
            self.start_coordinator(number)
        await asyncio.gather(*(self.start_server(server_id) for server_id in SERVERS))

    def machine(self, host: str) -> Machine:
        """The machine of a host."""
        return self.simulation.machine(host)

    def start_server(self, server_id: int) -> asyncio.Task[None]:
        """Start a tablet server; the task ends when it is a member of the cluster."""
        host = server_host(server_id)
        process = TabletServerProcess(
            DATA_DIRECTORY,
            **self._arguments(host, {"tablet-server.id": str(server_id)}),
        )
        self.nodes[server_id] = RunningServer(process)
        return self._start(host, process)

    def start_coordinator(self, number: int) -> asyncio.Task[None]:
        """Start a coordinator; the task ends when it takes part in the election."""
        host = coordinator_host(number)
        process = CoordinatorProcess(DATA_DIRECTORY, **self._arguments(host, {}))
        self.coordinators[number] = process
        return self._start(host, process)

    def _arguments(self, host: str, options: Mapping[str, str]) -> dict[str, Any]:
        listeners = {key: value.format(host=host) for key, value in LISTENERS.items()}
        return {
            "options": {**self._options, **listeners, **options},
            "runtime": self.machine(host).runtime(),
            "metadata": EnsembleMetadata(self.ensemble, host),
        }

    def _start(self, host: str, process: ClusterProcess) -> asyncio.Task[None]:
        task = self.machine(host).start(process.start())
        self.starting[host] = task
        task.add_done_callback(self._started)
        return task

    def _started(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    @property
    def active(self) -> int | None:
        """Number of the coordinator that takes itself for the active one; the newest of several."""
        terms = []
        for number, process in self.coordinators.items():
            try:
                epoch = process.epoch
            except AttributeError:  # its term has just begun
                continue
            if epoch is not None:
                terms.append((epoch, number))
        return max(terms)[1] if terms else None

    def endpoints(self) -> list[Endpoint]:
        """Where clients reach the tablet servers."""
        found = [node.endpoint("CLIENT") for _, node in sorted(self.nodes.items())]
        return [endpoint for endpoint in found if endpoint is not None]

    # ---- for the checks

    def bucket_states(self, assignments: Mapping[TableBucket, tuple[int, ...]]) -> dict[TableBucket, BucketState]:
        """What is stored of some buckets."""
        states = {}
        for bucket, replicas in assignments.items():
            path = f"/tabletservers/tables/{bucket.table_id}/buckets/{bucket.bucket}/leader_isr"
            node = self.ensemble.tree.get(path)
            if node is None:
                continue
            known = self._buckets.get(bucket)
            if known is None or known[0] != node.value:
                state = BucketState(replicas, LeaderAndIsrRecord.decode(path, node.value))
                known = self._buckets[bucket] = node.value, state
            states[bucket] = known[1]
        return states
