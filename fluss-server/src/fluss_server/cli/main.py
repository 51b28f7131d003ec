"""Entry point of the ``fluss`` command. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fluss_server import __version__
from fluss_server.errors import FlussError

DEFAULT_PORT = 9123
DEFAULT_GRPC_PORT = 9124
EXIT_ERROR = 1


def build_parser() -> argparse.ArgumentParser:
    """The command line; the reference in the documentation is made from it."""
    parser = argparse.ArgumentParser(
        prog="fluss", description="Fluss in Python: streaming storage for analytics, on Apache Fluss's own protocol."
    )
    parser.add_argument("--version", action="version", version=f"fluss-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    local = commands.add_parser(
        "local",
        help="run a complete Fluss in one process on one port",
        description="Run a complete Fluss in one process on one port. SIGTERM or Ctrl-C stops it cleanly.",
    )
    local.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    local.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="port to listen on; 0 picks a free one (default: %(default)s)"
    )
    local.add_argument(
        "--grpc-port",
        type=_grpc_port,
        default=DEFAULT_GRPC_PORT,
        help="port of the gRPC door, which the other commands use; 0 picks a free one, 'none' opens none "
        "(default: %(default)s)",
    )
    local.add_argument(
        "--data-dir", type=Path, default=Path("fluss-data"), help="where everything is kept (default: ./fluss-data)"
    )
    local.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a server option; may be repeated (see 'fluss config')",
    )
    local.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="least severe messages to print on standard error (default: %(default)s)",
    )
    local.set_defaults(run=_run_local)

    config = commands.add_parser("config", help="print the reference of all server and table options")
    config.set_defaults(run=_run_config)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 well, 1 failed, 2 wrong usage."""
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except FlussError as error:
        print(f"fluss: error {int(error.code)} {error.name}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return EXIT_ERROR
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR


def _run_local(parsed: argparse.Namespace) -> int:
    from fluss_server.cli.local import run_local

    logging.basicConfig(
        level=parsed.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    return run_local(parsed.host, parsed.port, parsed.data_dir, parsed.options, grpc_port=parsed.grpc_port)


def _run_config(parsed: argparse.Namespace) -> int:
    from fluss_server.config import options_reference

    print(options_reference())
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port; use 0 to 65535")
    return port


def _grpc_port(text: str) -> int | None:
    return None if text == "none" else _port(text)
