"""Coordinators and tablet servers as real processes, over a real ZooKeeper, with proxies on every way between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from chaos.links import HOST, Links
from fluss_server.rpc.endpoints import Endpoint
from free_ports import free_ports
from zookeeper_support import ZooKeeperServer

ZOOKEEPER = "zookeeper"
SESSION_TIMEOUT_S = 4.0
SHARED_OPTIONS = {
    "internal.listener.name": "INTERNAL",
    "default.bucket.number": "1",
    "log.replica.min-in-sync-replicas-number": "2",
    "zookeeper.client.session-timeout": f"{SESSION_TIMEOUT_S:g}s",
}
"""Both kinds of servers take these."""

_POLL_S = 0.02
_STOP_LIMIT_S = 30.0
_SUPERVISION_INTERVAL_S = 0.5


class Launch(NamedTuple):
    """How to start a process.

    Attributes:
        command: program and arguments.
        environment: beside that of this process.
        watches_input: whether it ends when its standard input does.
    """

    command: list[str]
    environment: dict[str, str]
    watches_input: bool


class Kind:
    """Which servers: how they are started. See :class:`OurServers`.

    Attributes:
        name: for the report.
        coordinators: how many there may be.
    """

    name: str
    coordinators: int

    def launch(self, server: Server, options: Mapping[str, str]) -> Launch:
        """How to start a server.

        Args:
            server: which.
            options: all that it needs, the official keys.
        """
        raise NotImplementedError


class OurServers(Kind):
    """Those of this project.

    Args:
        options: of every server, beside the others.
        bug: name of one of ``chaos.planted_bugs``, to see whether it is found.
    """

    name = "fluss-server"
    coordinators = 2

    def __init__(self, options: Mapping[str, str] | None = None, bug: str | None = None) -> None:
        self._options = dict(options or {})
        self._bug = bug

    def launch(self, server: Server, options: Mapping[str, str]) -> Launch:
        program = ["fluss_server"] if self._bug is None else ["chaos.planted_bugs", self._bug]
        command = [sys.executable, "-m", *program, server.role, "--stop-at-end-of-input"]
        command += ["--data-dir", str(server.directory / "data"), "--log-level", "info"]
        for key, value in {**options, **self._options}.items():
            command += ["--set", f"{key}={value}"]
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return Launch(command, environment, watches_input=True)


class Server:
    """One process, that can be ended and started again with its directory and ports.

    Args:
        name: unique in the cluster.
        role: ``coordinator`` or ``tablet-server``.
        number: of its kind, from 0.
        directory: of its data and its log.
    """

    def __init__(self, name: str, role: str, number: int, directory: Path) -> None:
        self.name = name
        self.role = role
        self.number = number
        self.directory = directory
        self.client_port, self.internal_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False
        self.launch: Launch
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens for clients."""
        return Endpoint("CLIENT", HOST, self.client_port)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.directory / "data"

    @property
    def pid(self) -> int | None:
        """Of the process, None while it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    @property
    def has_failed(self) -> bool:
        """Whether it has ended although nobody ended it."""
        return self._is_wanted and self.pid is None

    @property
    def log(self) -> str:
        """The end of what it printed."""
        path = self.directory / "log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def start(self) -> None:
        """Start it, unless it runs."""
        self._is_wanted = True
        if self.pid is not None:
            return
        self._close_input()
        with (self.directory / "log").open("ab") as output:
            self._process = subprocess.Popen(
                self.launch.command,
                stdin=subprocess.PIPE if self.launch.watches_input else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.launch.environment},
            )

    async def end(self, how: signal.Signals) -> None:
        """End it with a signal; one that has not ended in time is killed."""
        process, self._is_wanted = self._process, False
        if process is None:
            return
        self.send(how)
        if how is not signal.SIGKILL:
            self.send(signal.SIGCONT)
        deadline = asyncio.get_running_loop().time() + _STOP_LIMIT_S
        while process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                process.kill()
            await asyncio.sleep(_POLL_S)
        self._close_input()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


class Cluster:
    """Coordinators, tablet servers, a ZooKeeper and the links between them. Use it as an async context manager.

    Args:
        directory: of everything.
        kind: which servers.
        tablet_servers: how many.
        disk_bytes: size of a small file system for the data of the last tablet server, to be filled; None = it shares
            that of the directory. It needs the right to mount.

    Attributes:
        links: between the servers, by name; the ZooKeeper is :data:`ZOOKEEPER`.
        coordinators: by number.
        tablet_servers: by number.
        zookeeper: that they use.
        failed: servers that ended by themselves, and what they printed; they are started again.
    """

    def __init__(self, directory: Path, kind: Kind, *, tablet_servers: int = 3, disk_bytes: int | None = None) -> None:
        self._directory = directory
        self._disk_bytes = disk_bytes
        self.kind = kind
        self.links = Links(self._pids)
        self.zookeeper = ZooKeeperServer()
        self.coordinators = [
            Server(f"coordinator-{number}", "coordinator", number, directory / f"coordinator-{number}")
            for number in range(kind.coordinators)
        ]
        self.tablet_servers = [
            Server(f"server-{number}", "tablet-server", number, directory / f"server-{number}")
            for number in range(tablet_servers)
        ]
        self._mounted: Path | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.failed: list[tuple[str, str]] = []

    @property
    def servers(self) -> list[Server]:
        """All but ZooKeeper."""
        return [*self.coordinators, *self.tablet_servers]

    @property
    def small_disk(self) -> Path | None:
        """The directory of the small file system; None without one."""
        return self._mounted

    def server_at(self, client_port: int) -> Server | None:
        """Who listens there for clients."""
        return next((server for server in self.servers if server.client_port == client_port), None)

    async def __aenter__(self) -> Cluster:
        try:
            await asyncio.to_thread(self.zookeeper.start)
            if self._disk_bytes is not None:
                self._mount(self.tablet_servers[-1], self._disk_bytes)
            for server in self.servers:
                server.launch = self.kind.launch(server, await self._options(server))
                server.start()
        except BaseException:
            await self._close()
            raise
        self._supervisor = asyncio.ensure_future(self._supervise())
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._close()

    async def add_tablet_server(self) -> Server:
        """Start one more."""
        number = len(self.tablet_servers)
        server = Server(f"server-{number}", "tablet-server", number, self._directory / f"server-{number}")
        server.launch = self.kind.launch(server, await self._options(server))
        server.start()
        self.tablet_servers.append(server)
        return server

    def _pids(self) -> dict[int, str]:
        return {server.pid: server.name for server in self.servers if server.pid is not None}

    async def _options(self, server: Server) -> dict[str, str]:
        internal = await self.links.add(server.name, server.internal_port)
        zookeeper = await self.links.add(ZOOKEEPER, self.zookeeper.port, source=server.name)
        options = dict(SHARED_OPTIONS)
        options["bind.listeners"] = f"CLIENT://{HOST}:{server.client_port},INTERNAL://{HOST}:{server.internal_port}"
        options["advertised.listeners"] = f"CLIENT://{HOST}:{server.client_port},INTERNAL://{HOST}:{internal}"
        options["zookeeper.address"] = f"{HOST}:{zookeeper}"
        if server.role == "tablet-server":
            options["tablet-server.id"] = str(server.number)
        return options

    def _mount(self, server: Server, size: int) -> None:
        """Give a server a small disk, where that is possible."""
        server.data.mkdir()
        if os.geteuid() != 0 or shutil.which("mount") is None:
            return
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(server.data)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            self._mounted = server.data

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(_SUPERVISION_INTERVAL_S)
            for server in self.servers:
                if server.has_failed:
                    self.failed.append((server.name, server.log))
                    server.start()

    async def _close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
        for server in self.servers:
            await server.end(signal.SIGKILL)
        await self.links.close()
        await asyncio.to_thread(self.zookeeper.close)
        if self._mounted is not None:
            await asyncio.to_thread(subprocess.run, ["umount", str(self._mounted)], check=True)
            self._mounted = None
