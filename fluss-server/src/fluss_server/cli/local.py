"""``fluss local``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from fluss_server.cli.arguments import NEXT_PORT
from fluss_server.cli.grpc_ports import port_after
from fluss_server.cli.serving import GivenOptions, address_text, run_server
from fluss_server.processes.local import LocalServer
from fluss_server.runtime.logs import configure_logs

logger = logging.getLogger(__name__)

DEFAULT_DATA_DIR = Path("fluss-data")
_DATA_DIR = "data.dir"


def run(parsed: argparse.Namespace) -> int:
    """``fluss local``: run the one-process cluster until SIGTERM or SIGINT.

    Raises:
        UsageError: an option is unknown or has a bad value.
        FlussError: what ``LocalServer.start`` raises.
    """
    configure_logs(parsed.log_level, parsed.log_format)
    options = GivenOptions(parsed.config, parsed.options)
    configured = options.take(_DATA_DIR)
    data_dir: Path = parsed.data_dir or Path(configured or DEFAULT_DATA_DIR)

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


def _print_addresses(server: LocalServer) -> None:
    first, *others = [(endpoint.listener, address_text(endpoint)) for endpoint in server.endpoints]
    for listener, address in others:
        print(f"Listener {listener}: bootstrap.servers={address}")
    if server.metrics_address is not None:
        print(f"Metrics for Prometheus: http://{server.metrics_address}/metrics")
    print(f"Fluss is ready: bootstrap.servers={first[1]}")
    if server.grpc_endpoint is not None:
        print(f"gRPC, for the fluss command and health probes: {address_text(server.grpc_endpoint)}")
    print("In Flink SQL:", flush=True)
    print(f"  CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{first[1]}');", flush=True)
    listening = ", ".join(f"{listener} {address}" for listener, address in (first, *others))
    grpc = "no gRPC" if server.grpc_endpoint is None else f"gRPC {address_text(server.grpc_endpoint)}"
    logger.info("ready: %s, %s", listening, grpc)
