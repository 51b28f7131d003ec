"""A cluster of real processes on loopback: coordinators, tablet servers and, if wanted, a ZooKeeper."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from fluss_server.testing.server_process import ServerProcess

READY = " is ready: bootstrap.servers="
GRPC = "gRPC, for the fluss command and health probes: "
METRICS = "Metrics for Prometheus: "
START_TIMEOUT_S = 60.0


class ClusterServer:
    """One server, which keeps its directory and, after the first start, its port.

    Attributes:
        port: of the native protocol.
        grpc_address: ``host:port`` of gRPC, when it was started with it.
        metrics_url: of its metrics, when it was started with a reporter.
    """

    def __init__(self, role: str, directory: Path, options: Mapping[str, str], arguments: tuple[str, ...] = ()) -> None:
        self.port = 0
        self.grpc_address = ""
        self.metrics_url = ""
        self._role = role
        self._directory = directory
        self._options = options
        self._arguments = arguments
        self._process: ServerProcess | None = None

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> ServerProcess:
        """The process, which may have ended."""
        assert self._process is not None, "the server was started"
        return self._process

    def start(self, *, new_port: bool = False) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "fluss_server", self._role, "--stop-at-end-of-input"]
        command += ["--port", "0" if new_port else str(self.port), "--data-dir", str(self._directory)]
        for key, value in self._options.items():
            command += ["--set", f"{key}={value}"]
        self._process = ServerProcess([*command, *self._arguments], self._is_ready)
        self._process.start(START_TIMEOUT_S)

    def stop(self) -> int:
        """Stop it cleanly and return its exit code."""
        return 0 if self._process is None else self._process.end(signal.SIGTERM, 30.0)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.end(signal.SIGKILL, 30.0)

    def _is_ready(self, line: str) -> bool:
        _, has_grpc, grpc_address = line.partition(GRPC)
        if has_grpc:
            self.grpc_address = grpc_address.strip()
        _, has_metrics, metrics_url = line.partition(METRICS)
        if has_metrics:
            self.metrics_url = metrics_url.strip()
        _, ready, address = line.partition(READY)
        if ready:
            self.port = int(address.rpartition(":")[2])
        return bool(ready)


class ProcessCluster:
    """Start it, stop it, or use it as a context manager.

    Args:
        directory: of all data.
        tablet_servers: how many; their ids begin with 0.
        coordinators: how many; more than one need a ZooKeeper.
        zookeeper: address of one, None = the coordinator keeps the metadata itself.
        options: of every server.
        grpc: whether they serve gRPC.

    Attributes:
        coordinators: the first is active after the start.
        servers: tablet servers by id.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tablet_servers: int = 3,
        coordinators: int = 1,
        zookeeper: str | None = None,
        options: Mapping[str, str] | None = None,
        grpc: bool = False,
    ) -> None:
        self._arguments = ("--grpc-port", "0" if grpc else "none")
        self._zookeeper = zookeeper
        self._directory = directory
        self._given = dict(options or {})
        if zookeeper is not None:
            self._given = {"zookeeper.client.session-timeout": "2s", **self._given, "zookeeper.address": zookeeper}
        self.coordinators = [
            ClusterServer("coordinator", directory / f"coordinator-{number}", self._given, self._arguments)
            for number in range(coordinators)
        ]
        self._server_count = tablet_servers
        self.servers: list[ClusterServer] = []

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of all tablet servers, for clients."""
        return ",".join(server.address for server in self.servers)

    @property
    def pids(self) -> list[int]:
        """Of all processes that run."""
        return [each.process.pid for each in (*self.coordinators, *self.servers) if each.process.is_running]

    def add_server(self, options: Mapping[str, str] | None = None) -> ClusterServer:
        """Start one more tablet server, with options of its own."""
        number = len(self.servers)
        options = {**self._given, **(options or {})}
        if self._zookeeper is None:
            options["coordinator.address"] = self.coordinators[0].address
        arguments = ("--id", str(number), *self._arguments)
        server = ClusterServer("tablet-server", self._directory / f"server-{number}", options, arguments)
        self.servers.append(server)
        server.start()
        return server

    def start(self) -> ProcessCluster:
        """Start everything; returns when every tablet server is a member."""
        try:
            for coordinator in self.coordinators:
                coordinator.start()
            for _ in range(self._server_count):
                self.add_server()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything."""
        for server in (*self.servers, *self.coordinators):
            server.stop()

    def __enter__(self) -> ProcessCluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
