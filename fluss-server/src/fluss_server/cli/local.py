"""``fluss local``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.local import LocalServer
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime import event_loop
from fluss_server.runtime.logs import configure_logs


def run(parsed: argparse.Namespace) -> int:
    """``fluss local``"""
    configure_logs(parsed.log_level, parsed.log_format)
    return run_local(
        parsed.host,
        parsed.port,
        parsed.data_dir,
        parsed.options,
        grpc_port=parsed.grpc_port,
        stop_at_end_of_input=parsed.stop_at_end_of_input,
    )


def run_local(
    host: str,
    port: int,
    data_dir: Path,
    options: Sequence[str],
    *,
    grpc_port: int | None = None,
    stop_at_end_of_input: bool = False,
) -> int:
    """Run the one-process cluster until SIGTERM or SIGINT.

    Args:
        grpc_port: port of the gRPC door; None = no door.
        options: ``key=value`` texts.
        stop_at_end_of_input: stop at the end of standard input, too, which is a pipe.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` for a bad option; what ``LocalServer.start`` raises.
    """
    server = LocalServer(data_dir, host=host, port=port, grpc_port=grpc_port, options=_parse(options))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start a thread for each core, and never use them
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.set_threshold(_GC_THRESHOLD)
    event_loop.run(_serve(server, stop_at_end_of_input))
    return 0


# How long the KV thread may keep the event loop waiting when both have work; Python's default is 5 ms.
_SWITCH_INTERVAL_S = 0.001

# New containers between two looks for cycles; Python's default is 700, which a batch of upserts makes ten times over.
_GC_THRESHOLD = 10_000


async def _serve(server: LocalServer, stop_at_end_of_input: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stop_at_end_of_input:
        _at_end_of(sys.stdin.fileno(), stop.set)
    await server.start()
    gc.freeze()  # what is there now stays
    try:
        addresses = [_address(endpoint) for endpoint in server.endpoints]
        address = addresses[0]
        for endpoint, other in zip(server.endpoints[1:], addresses[1:], strict=True):
            print(f"Listener {endpoint.listener}: bootstrap.servers={other}")
        if server.metrics_address is not None:
            print(f"Metrics for Prometheus: http://{server.metrics_address}/metrics")
        print(f"Fluss is ready: bootstrap.servers={address}")
        if server.grpc_endpoint is not None:
            print(f"gRPC door, for the fluss command and health probes: {_address(server.grpc_endpoint)}")
        print("In Flink SQL:", flush=True)
        print(f"  CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{address}');", flush=True)
        await stop.wait()
    finally:
        await server.close()


def _at_end_of(pipe: int, action: Callable[[], object]) -> None:
    """Do something when the last process has closed the other end of a pipe; what comes through it is dropped."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            ended = not os.read(pipe, 4096)
        except OSError:  # a terminal that is gone; reading again would fail for ever
            ended = True
        if ended:
            loop.remove_reader(pipe)
            action()

    try:
        loop.add_reader(pipe, read)
    except OSError as error:  # an ordinary file
        raise FlussError(
            ErrorCode.INVALID_CONFIG_EXCEPTION,
            f"--stop-at-end-of-input: standard input cannot be watched: {error}",
            hint="give the server a pipe",
        ) from error


def _address(endpoint: Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _parse(options: Sequence[str]) -> dict[str, str]:
    parsed = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            raise FlussError(
                ErrorCode.INVALID_CONFIG_EXCEPTION, f"option {option!r} has no '='", hint="write KEY=VALUE"
            )
        parsed[key.strip()] = value.strip()
    return parsed
