"""``fluss local``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from fluss_server.cli.arguments import NEXT_PORT
from fluss_server.cli.grpc_ports import port_after
from fluss_server.cli.serving import GivenOptions, address_text, run_server
from fluss_server.processes.local import LocalServer
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.logs import configure_logs

logger = logging.getLogger(__name__)

DEFAULT_DATA_DIR = Path("fluss-data")
_DATA_DIR = "data.dir"


def run(parsed: argparse.Namespace) -> int:
    """``fluss local``: run a cluster on this machine until SIGTERM or SIGINT.

    Raises:
        UsageError: an option is unknown or has a bad value.
        FlussError: what ``LocalServer.start`` raises.
    """
    configure_logs(parsed.log_level, parsed.log_format)
    options = GivenOptions(parsed.config, parsed.options)
    configured = options.take(_DATA_DIR)
    data_dir: Path = parsed.data_dir or Path(configured or DEFAULT_DATA_DIR)

    if parsed.tablet_servers > 1:
        return _run_several(parsed, options, data_dir)

    def make(values: Mapping[str, str]) -> LocalServer:
        grpc_port = parsed.grpc_port
        if grpc_port == NEXT_PORT:
            grpc_port = port_after(parsed.port, values.get("bind.listeners"))
        return LocalServer(data_dir, host=parsed.host, port=parsed.port, grpc_port=grpc_port, options=values)

    server = options.checked(make)
    run_server(
        server.start,
        server.close,
        lambda: _print_addresses(server),
        data_dir,
        stop_at_end_of_input=parsed.stop_at_end_of_input,
    )
    return 0


def _run_several(parsed: argparse.Namespace, options: GivenOptions, data_dir: Path) -> int:
    """A coordinator in this process, tablet servers in processes of their own."""
    from fluss_server.cli.local_servers import LocalServers  # a server in one process need not load it

    grpc_port = port_after(parsed.port, None) if parsed.grpc_port == NEXT_PORT else parsed.grpc_port
    servers = options.checked(
        lambda values: LocalServers(
            data_dir,
            parsed.tablet_servers,
            host=parsed.host,
            port=parsed.port,
            tablet_server_port=parsed.tablet_server_port,
            grpc_port=grpc_port,
            options=values,
            arguments=["--log-level", parsed.log_level, "--log-format", parsed.log_format],
        )
    )

    def ready() -> None:
        servers.print_tablet_servers()
        _print_addresses(servers)

    run_server(
        servers.start,
        servers.close,
        ready,
        data_dir,
        failed=lambda: servers.failed,
        stop_at_end_of_input=parsed.stop_at_end_of_input,
    )
    return 0


class _Addresses(Protocol):
    """What a started server tells of itself."""

    @property
    def endpoints(self) -> list[Endpoint]: ...

    @property
    def grpc_endpoint(self) -> Endpoint | None: ...

    @property
    def metrics_addresses(self) -> list[str]: ...


def _print_addresses(server: _Addresses) -> None:
    first, *others = [(endpoint.listener, address_text(endpoint)) for endpoint in server.endpoints]
    for listener, address in others:
        print(f"Listener {listener}: bootstrap.servers={address}")
    for address in server.metrics_addresses:
        print(f"Metrics for Prometheus: http://{address}/metrics")
    print(f"Fluss is ready: bootstrap.servers={first[1]}")
    if server.grpc_endpoint is not None:
        print(f"gRPC, for the fluss command and health probes: {address_text(server.grpc_endpoint)}")
    print("In Flink SQL:", flush=True)
    print(f"  CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{first[1]}');", flush=True)
    listening = ", ".join(f"{listener} {address}" for listener, address in (first, *others))
    grpc = "no gRPC" if server.grpc_endpoint is None else f"gRPC {address_text(server.grpc_endpoint)}"
    logger.info("ready: %s, %s", listening, grpc)
