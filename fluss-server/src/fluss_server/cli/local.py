"""``fluss local``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fluss_server import __version__
from fluss_server.cli.arguments import NEXT_PORT
from fluss_server.cli.failures import UsageError
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.local import LocalServer
from fluss_server.rpc.endpoints import Endpoint, parse_endpoints
from fluss_server.runtime import event_loop
from fluss_server.runtime.logs import configure_logs

logger = logging.getLogger(__name__)

DEFAULT_DATA_DIR = Path("fluss-data")
_DATA_DIR = "data.dir"
_MAX_PORT = 65535

# How long the KV thread may keep the event loop waiting when both have work; Python's default is 5 ms.
_SWITCH_INTERVAL_S = 0.001

# When the cycle collector runs. Of the youngest objects after so many new containers: Python's default is 700, which a
# batch of upserts makes ten times over. Of those that have survived one run after 4 runs (default 10) and of all after
# 800 (default 100, but soon again while many requests wait): it holds the event loop for about 0.1 us for each object,
# of which 20,000 waiting fetches are made of a million. Few objects of requests are in cycles.
_GC_THRESHOLDS = (10_000, 4, 200)


def run(parsed: argparse.Namespace) -> int:
    """``fluss local``: run the one-process cluster until SIGTERM or SIGINT.

    Raises:
        UsageError: an option is unknown or has a bad value.
        FlussError: what ``LocalServer.start`` raises.
    """
    configure_logs(parsed.log_level, parsed.log_format)
    options, lines = _options(parsed.config, parsed.options)
    data_dir = Path(options.pop(_DATA_DIR, DEFAULT_DATA_DIR))
    if parsed.data_dir is not None:
        data_dir = parsed.data_dir
    try:
        grpc_port = parsed.grpc_port
        if grpc_port == NEXT_PORT:
            grpc_port = port_after(parsed.port, options.get("bind.listeners"))
        server = LocalServer(data_dir, host=parsed.host, port=parsed.port, grpc_port=grpc_port, options=options)
    except FlussError as error:
        if error.code is not ErrorCode.INVALID_CONFIG_EXCEPTION:
            raise
        key = max((key for key in lines if key in error.message), key=len, default=None)
        place = "" if key is None else f"{parsed.config}, line {lines[key]}: "
        raise UsageError(f"{place}{error.message}", hint=error.hint) from None
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start a thread for each core, and never use them
    # gRPC's native library would print lines of its own about what is reported here as an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.set_threshold(*_GC_THRESHOLDS)
    logger.info(
        "fluss-server %s starts, Python %s, process %d, data directory %s",
        __version__,
        sys.version.split()[0],
        os.getpid(),
        data_dir.resolve(),
    )
    event_loop.run(_serve(server, parsed.stop_at_end_of_input))
    logger.info("stopped")
    return 0


def port_after(port: int, listeners: str | None) -> int:
    """Port of the gRPC server: the one after that of the first listener, or after it the first that no other uses.

    Args:
        port: of the only listener when there is no list of them; 0 = a free one, for gRPC too.
        listeners: value of ``bind.listeners``, None = not set.

    Raises:
        UsageError: there is no port left.
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when the list cannot be read.
    """
    ports = (
        [port] if listeners is None else [endpoint.port for endpoint in parse_endpoints("bind.listeners", listeners)]
    )
    if ports[0] == 0:
        return 0
    found = next(number for number in range(ports[0] + 1, _MAX_PORT + len(ports) + 2) if number not in ports)
    if found > _MAX_PORT:
        raise UsageError(f"there is no port after {ports[0]} for gRPC", hint="choose one with --grpc-port")
    return found


async def _serve(server: LocalServer, stop_at_end_of_input: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop_on(reason: str) -> None:
        logger.info("stopping: %s", reason)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_on, number.name)
    # The end of a terminal session is no reason to stop, and there is no configuration to be read again.
    loop.add_signal_handler(signal.SIGHUP, logger.info, "SIGHUP changes nothing")
    if stop_at_end_of_input:
        _at_end_of(sys.stdin.fileno(), lambda: stop_on("end of the standard input"))
    await server.start()
    gc.freeze()  # what is there now stays
    try:
        _print_addresses(server)
        await stop.wait()
    finally:
        await server.close()


def _print_addresses(server: LocalServer) -> None:
    first, *others = [(endpoint.listener, _address(endpoint)) for endpoint in server.endpoints]
    for listener, address in others:
        print(f"Listener {listener}: bootstrap.servers={address}")
    if server.metrics_address is not None:
        print(f"Metrics for Prometheus: http://{server.metrics_address}/metrics")
    print(f"Fluss is ready: bootstrap.servers={first[1]}")
    if server.grpc_endpoint is not None:
        print(f"gRPC, for the fluss command and health probes: {_address(server.grpc_endpoint)}")
    print("In Flink SQL:", flush=True)
    print(f"  CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{first[1]}');", flush=True)
    listening = ", ".join(f"{listener} {address}" for listener, address in (first, *others))
    grpc = "no gRPC" if server.grpc_endpoint is None else f"gRPC {_address(server.grpc_endpoint)}"
    logger.info("ready: %s, %s", listening, grpc)


def _at_end_of(pipe: int, action: Callable[[], object]) -> None:
    """Do something when the last process has closed the other end of a pipe; what comes through it is dropped."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            ended = not os.read(pipe, 4096)
        except OSError:  # a terminal that is gone; reading again would always fail
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


def _options(config: Path | None, settings: Sequence[str]) -> tuple[dict[str, str], Mapping[str, int]]:
    """Options of the configuration file and, before them, of ``--set``; lines of those that only the file has."""
    values: dict[str, tuple[str, int]] = {}
    if config is not None:
        from fluss_server.cli.server_yaml import parse_server_yaml

        try:
            values = parse_server_yaml(config.read_text(encoding="utf-8"), str(config))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {config}: {getattr(error, 'strerror', None) or error}") from None
    options = {key: value for key, (value, _) in values.items()}
    lines = {key: line for key, (_, line) in values.items()}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise UsageError(f"option {setting!r} has no '='", hint="write KEY=VALUE")
        options[key.strip()] = value.strip()
        lines.pop(key.strip(), None)
    return options, lines
