"""``fluss coordinator`` and ``fluss tablet-server``: the servers of a cluster, each a process."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fluss_server.cli.arguments import NEXT_PORT
from fluss_server.cli.grpc_ports import port_after
from fluss_server.cli.serving import GivenOptions, address_text, run_server
from fluss_server.runtime.logs import configure_logs

if TYPE_CHECKING:
    from fluss_server.processes.server_process import ServerProcess

_DATA_DIR = "data.dir"
COORDINATOR_DIR = Path("fluss-coordinator")
TABLET_SERVER_DIR = Path("fluss-tablet-server")


def coordinator(parsed: argparse.Namespace) -> int:
    """``fluss coordinator``: run a coordinator until SIGTERM or SIGINT.

    Raises:
        UsageError: an option is unknown or has a bad value.
        FlussError: what ``CoordinatorProcess.start`` raises.
    """
    from fluss_server.processes.coordinator import CoordinatorProcess

    configure_logs(parsed.log_level, parsed.log_format)
    options = GivenOptions(parsed.config, parsed.options)
    configured = options.take(_DATA_DIR)
    data_dir: Path = parsed.data_dir or Path(configured or COORDINATOR_DIR)
    process = options.checked(
        lambda values: CoordinatorProcess(
            data_dir, host=parsed.host, port=parsed.port, grpc_port=_grpc_port(parsed, values), options=values
        )
    )
    run_server(
        process.start,
        process.close,
        lambda: _print_ready("Coordinator", process),
        data_dir,
        stop_at_end_of_input=parsed.stop_at_end_of_input,
    )
    return 0


def tablet_server(parsed: argparse.Namespace) -> int:
    """``fluss tablet-server``: run a tablet server until SIGTERM or SIGINT.

    Raises:
        UsageError: an option is unknown or has a bad value.
        FlussError: what ``TabletServerProcess.start`` raises; ``INVALID_CONFIG_EXCEPTION`` when another process takes
            its server id.
    """
    from fluss_server.processes.tablet_server import SERVER_ID, TabletServerProcess

    configure_logs(parsed.log_level, parsed.log_format)
    options = GivenOptions(parsed.config, parsed.options)
    configured = options.take(_DATA_DIR)
    if parsed.id is not None:
        options.values[SERVER_ID] = str(parsed.id)
    data_dir: Path = parsed.data_dir or Path(configured or TABLET_SERVER_DIR)
    process = options.checked(
        lambda values: TabletServerProcess(
            data_dir, host=parsed.host, port=parsed.port, grpc_port=_grpc_port(parsed, values), options=values
        )
    )
    run_server(
        process.start,
        process.close,
        lambda: _print_ready("Tablet server", process),
        data_dir,
        failed=lambda: process.replaced,
        stop_at_end_of_input=parsed.stop_at_end_of_input,
    )
    return 0


def _grpc_port(parsed: argparse.Namespace, options: Mapping[str, str]) -> int | None:
    found: int | str | None = parsed.grpc_port
    return port_after(parsed.port, options.get("bind.listeners")) if found == NEXT_PORT else cast("int | None", found)


def _print_ready(what: str, process: ServerProcess) -> None:
    first, *others = process.endpoints
    for endpoint in others:
        print(f"Listener {endpoint.listener}: bootstrap.servers={address_text(endpoint)}")
    for address in process.metrics_addresses:
        print(f"Metrics for Prometheus: http://{address}/metrics")
    if (grpc := process.listening.grpc_endpoint) is not None:
        print(f"gRPC, for the fluss command and health probes: {address_text(grpc)}")
    print(f"{what} is ready: bootstrap.servers={address_text(first)}", flush=True)
