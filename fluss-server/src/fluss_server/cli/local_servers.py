"""``fluss local --tablet-servers N``: a coordinator in this process, and tablet servers in processes of their own.

Servers call each other over a listener of their own on the loopback interface. They authenticate there with a password
that is drawn at every start, so that nobody else on the machine can.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fluss_server.cli.child_server import Announcement, ChildServer
from fluss_server.cli.failures import UsageError
from fluss_server.cli.server_yaml import server_yaml
from fluss_server.errors import FlussError
from fluss_server.processes.coordinator import CoordinatorProcess
from fluss_server.processes.data_directory import lock_data_directory
from fluss_server.processes.local_directories import check_several_servers, coordinator_directory, server_directory
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.rpc.service import DEFAULT_LISTENER
from fluss_server.runtime.runtime import system_runtime

PROGRAM = (sys.executable, "-m", "fluss_server")
"""Runs the ``fluss`` command of a tablet server."""

_INTERNAL = "INTERNAL"
_LOOPBACK = "127.0.0.1"
_PROTOCOLS = "security.protocol.map"
_SUPER_USERS = "super.users"
_METRICS_PORT = "metrics.reporter.prometheus.port"
_DEFAULT_METRICS_PORT = "9249"
_MAX_PORT = 65535
_EARLIER_SERVERS_S = 10.0
"""How long servers of a command that was killed may take to end."""

_LOCK_CHECK_INTERVAL_S = 0.05

_OWN = ("bind.listeners", "advertised.listeners", "internal.listener.name", "tablet-server.id", "coordinator.address")
_OWN_PREFIXES = ("zookeeper.", "client.security.", f"security.sasl.listener.name.{_INTERNAL.lower()}.")


class LocalServers:
    """Create it, :meth:`start` it, :meth:`close` it, all on one event loop.

    Args:
        data_dir: of all servers, see ``processes/local_directories.py``.
        tablet_servers: how many, 2 or more.
        host: address to listen on for clients.
        port: of the coordinator, where clients begin; 0 for a free one.
        tablet_server_port: of the first tablet server, 0 for free ones; None = they follow the coordinator's after a
            gap of one for gRPC.
        grpc_port: of the coordinator, 0 for a free one, None for none.
        options: of all servers.
        arguments: of the command, which the tablet servers get, too.

    Attributes:
        failed: completes when a tablet server ends again and again; once started.
        tablet_servers: what each tablet server announced when it was ready.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION``.
        UsageError: an option or address does not go with several tablet servers.
    """

    def __init__(
        self,
        data_dir: Path,
        tablet_servers: int,
        *,
        host: str,
        port: int,
        tablet_server_port: int | None = None,
        grpc_port: int | None = None,
        options: Mapping[str, str],
        arguments: Sequence[str] = (),
    ) -> None:
        _check(options, host)
        self._data_dir = data_dir.resolve()
        self._host = host
        self._options = {**options, **_internal_security(options)}
        self._arguments = arguments
        self._ports = _ports_of(port, tablet_server_port, tablet_servers)
        self._metrics_ports = _metrics_ports(options.get(_METRICS_PORT, _DEFAULT_METRICS_PORT), tablet_servers + 1)
        self._coordinator = CoordinatorProcess(
            coordinator_directory(self._data_dir),
            grpc_port=grpc_port,
            options=self._options_of(port, self._metrics_ports[0]),
        )
        self.failed: asyncio.Future[FlussError] | None = None
        self.tablet_servers: dict[int, Announcement] = {}
        self._announced = False
        self._resources = contextlib.AsyncExitStack()

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where clients begin, once started."""
        return [endpoint for endpoint in self._coordinator.listening.endpoints if endpoint.listener != _INTERNAL]

    @property
    def grpc_endpoint(self) -> Endpoint | None:
        """Where the gRPC server listens, once started."""
        return self._coordinator.listening.grpc_endpoint

    @property
    def metrics_addresses(self) -> list[str]:
        """``host:port`` of the metrics of every process, once started; nothing without a reporter."""
        servers = [announcement.metrics_address for _, announcement in sorted(self.tablet_servers.items())]
        return [*self._coordinator.metrics_addresses, *(address for address in servers if address is not None)]

    def print_tablet_servers(self) -> None:
        """Say where the tablet servers are, and from now on when one of them was started again."""
        for server_id, announcement in sorted(self.tablet_servers.items()):
            _print_tablet_server(server_id, announcement)
        self._announced = True

    async def start(self) -> None:
        """Start the coordinator and then all tablet servers, and wait until every bucket has a leader.

        Raises:
            FlussError: ``STORAGE_EXCEPTION`` when the directory is in use or was made otherwise, or a bucket cannot be
                recovered; ``UNKNOWN_SERVER_ERROR`` when a tablet server does not start.
        """
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop the tablet servers, and then the coordinator. May be called twice."""
        await self._resources.aclose()

    async def _start(self) -> None:
        runtime = system_runtime()
        self.failed = asyncio.get_running_loop().create_future()
        self._resources.callback(lock_data_directory(self._data_dir, runtime))
        check_several_servers(self._data_dir, len(self._ports), runtime.disk)
        self._resources.push_async_callback(self._coordinator.close)
        await self._coordinator.start()
        children = [self._child(server_id) for server_id in range(len(self._ports))]
        self._resources.push_async_callback(_all, *(child.stop for child in children))
        await _all(*(partial(self._start_child, *child) for child in enumerate(children)))
        await self._coordinator.settled()

    async def _start_child(self, server_id: int, child: ChildServer) -> None:
        """Start a server, after one of an earlier command that was killed has ended."""
        directory, disk = server_directory(self._data_dir, server_id), system_runtime().disk
        if disk.exists(directory):
            lock, deadline = disk.lock(directory), time.monotonic() + _EARLIER_SERVERS_S
            while not lock.acquire():
                if time.monotonic() > deadline:
                    break  # the server says whose it is
                await asyncio.sleep(_LOCK_CHECK_INTERVAL_S)
            else:
                lock.release()
        await child.start()

    def _child(self, server_id: int) -> ChildServer:
        directory = server_directory(self._data_dir, server_id)
        config = self._data_dir / f"{directory.name}.yaml"
        internal = next(e for e in self._coordinator.listening.endpoints if e.listener == _INTERNAL)
        fixed = {"coordinator.address": f"{internal.host}:{internal.port}", "tablet-server.id": str(server_id)}
        self._resources.callback(partial(config.unlink, missing_ok=True))

        def command() -> list[str]:
            options = {**self._options_of(self._ports[server_id], self._metrics_ports[server_id + 1]), **fixed}
            # A file, because everybody on the machine can see the command line, and there are passwords among them.
            system_runtime().disk.replace_file(config, server_yaml(options).encode(), mode=0o600)
            program = [*PROGRAM, "tablet-server", "--stop-at-end-of-input"]
            return [*program, "--config", str(config), "--data-dir", str(directory), *self._arguments]

        def ready(announcement: Announcement) -> None:
            self._ports[server_id] = announcement.port
            self.tablet_servers[server_id] = announcement
            if self._announced:
                _print_tablet_server(server_id, announcement)

        return ChildServer(f"tablet server {server_id}", command, ready, self._fail)

    def _fail(self, error: FlussError) -> None:
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(error)

    def _options_of(self, port: int, metrics_port: str) -> dict[str, str]:
        """Options of one server; ``port`` is that of its listener for clients."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return {
            **self._options,
            "bind.listeners": f"{DEFAULT_LISTENER}://{host}:{port},{_INTERNAL}://{_LOOPBACK}:0",
            "internal.listener.name": _INTERNAL,
            _METRICS_PORT: metrics_port,
        }


def _print_tablet_server(server_id: int, announcement: Announcement) -> None:
    """Say where a tablet server is; ``LocalCluster`` reads it."""
    print(f"Tablet server {server_id}: {announcement.address}, process {announcement.pid}", flush=True)


def _check(options: Mapping[str, str], host: str) -> None:
    for key in options:
        if key in _OWN or key.startswith(_OWN_PREFIXES):
            raise UsageError(
                f"{key} cannot be set with --tablet-servers, which chooses it for every server",
                hint="start fluss coordinator and fluss tablet-server yourself for other addresses",
            )
    if _INTERNAL in options.get(_PROTOCOLS, ""):
        raise UsageError(
            f"{_PROTOCOLS}: the listener {_INTERNAL} is for the servers", hint=f"name {DEFAULT_LISTENER} only"
        )
    with contextlib.suppress(ValueError):  # a name is an address that clients can use
        if ipaddress.ip_address(host).is_unspecified:
            raise UsageError(
                f"--host {host} does not say under which address clients find the tablet servers",
                hint="give the address of one network interface",
            )


def _internal_security(options: Mapping[str, str]) -> dict[str, str]:
    """Options with which servers authenticate at each other, and nobody else does."""
    user, password = f"servers_{secrets.token_hex(8)}", secrets.token_hex(32)
    protocols = [text for text in (options.get(_PROTOCOLS), f"{_INTERNAL}:SASL") if text]
    super_users = [text for text in (options.get(_SUPER_USERS), f"User:{user}") if text]
    return {
        _PROTOCOLS: ",".join(protocols),
        _SUPER_USERS: ";".join(super_users),
        f"security.sasl.listener.name.{_INTERNAL.lower()}.plain.jaas.config": (
            f'org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required user_{user}="{password}";'
        ),
        "client.security.protocol": "SASL",
        "client.security.sasl.username": user,
        "client.security.sasl.password": password,
    }


def _ports_of(port: int, first: int | None, tablet_servers: int) -> list[int]:
    """Ports of the tablet servers: from the given one, or the second one after the coordinator's, on; or free ones."""
    if first is None:
        first = 0 if port == 0 else port + 2
    if first == 0:
        return [0] * tablet_servers
    if first + tablet_servers - 1 > _MAX_PORT:
        raise UsageError(f"there are no {tablet_servers} ports from {first} on for the tablet servers")
    return [first + number for number in range(tablet_servers)]


def _metrics_ports(configured: str, servers: int) -> list[str]:
    """A port of metrics for every server: following ones, or a range in which each finds a free one."""
    if not configured.isdecimal() or int(configured) == 0:
        return [configured] * servers
    return [str(int(configured) + number) for number in range(servers)]


async def _all(*actions: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Do things at the same time; the first failure is raised when all have ended."""
    outcomes = await asyncio.gather(*(action() for action in actions), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
