"""The command line: every command, its arguments and its help. The reference in the documentation is made from it.

Nothing heavy is imported here; a command names the function that runs it, which is imported when it is used.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluss_server import __version__
from fluss_server.cli.output import OutputFormat

if TYPE_CHECKING:
    from fluss_server.cli.session import Session

DEFAULT_PORT = 9123
DEFAULT_GRPC_PORT = 9124
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_GRPC_PORT}"
SERVER_VARIABLE, USER_VARIABLE, PASSWORD_VARIABLE = "FLUSS_SERVER", "FLUSS_USER", "FLUSS_PASSWORD"

Run = Callable[[argparse.Namespace], int]
"""What a command does; returns the exit code."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="fluss", description="Fluss in Python: streaming storage for analytics, on Apache Fluss's own protocol."
    )
    parser.add_argument("--version", action="version", version=f"fluss-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_local(commands)
    _add_catalog(commands)
    _add_data(commands)
    _add_administration(commands)
    return parser


# ---- the server


def _add_local(commands: Any) -> None:
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
        help="set a server option; may be repeated (see 'fluss config options')",
    )
    local.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="least severe messages to print on standard error (default: %(default)s)",
    )
    local.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="how to print them: for people, or one JSON object a line (default: %(default)s)",
    )
    local.add_argument(
        "--stop-at-end-of-input",
        action="store_true",
        help="stop cleanly, too, when standard input, a pipe, is closed at its other end: the server then ends with "
        "the process that started it, however that ends",
    )
    local.set_defaults(run=_plain("local:run"))


# ---- databases, tables, partitions


def _add_catalog(commands: Any) -> None:
    module = "catalog_commands"
    _remote(commands, "databases", f"{module}:databases", "list the databases")
    command = _remote(commands, "create-database", f"{module}:create_database", "create a database")
    command.add_argument("database")
    command.add_argument("--comment", help="text for people")
    command.add_argument("--if-not-exists", action="store_true", help="an existing one is fine")
    command = _remote(commands, "drop-database", f"{module}:drop_database", "drop a database")
    command.add_argument("database")
    command.add_argument("--cascade", action="store_true", help="drop its tables with it")
    command.add_argument("--if-exists", action="store_true", help="a missing one is fine")

    command = _remote(commands, "tables", f"{module}:tables", "list the tables of a database")
    command.add_argument("database", nargs="?", default="fluss", help="(default: %(default)s)")
    command = _remote(commands, "describe", f"{module}:describe", "show a table's columns and options")
    _table(command)
    command.add_argument("--sql", action="store_true", help="print the statement that creates such a table")
    command = _remote(
        commands,
        "create-table",
        f"{module}:create_table",
        "create a table from SQL or JSON",
        "Create a table from a CREATE TABLE statement in Flink's manner, or from a JSON table descriptor.",
    )
    command.add_argument("definition", nargs="?", help="CREATE TABLE ..., or a JSON table descriptor")
    command.add_argument("--file", type=Path, help="read the definition from this file")
    command.add_argument("--name", help="TABLE or DATABASE.TABLE, instead of the name in the definition")
    command.add_argument("--if-not-exists", action="store_true", help="an existing one is fine")
    command = _remote(commands, "drop-table", f"{module}:drop_table", "drop a table")
    _table(command)
    command.add_argument("--if-exists", action="store_true", help="a missing one is fine")

    command = _remote(commands, "partitions", f"{module}:partitions", "list the partitions of a table")
    _table(command)
    command = _remote(commands, "create-partition", f"{module}:create_partition", "create a partition")
    _table(command)
    _values(command, "one for every partition column")
    command.add_argument("--if-not-exists", action="store_true", help="an existing one is fine")
    command = _remote(commands, "drop-partition", f"{module}:drop_partition", "drop a partition")
    _table(command)
    _values(command, "one for every partition column")
    command.add_argument("--if-exists", action="store_true", help="a missing one is fine")


# ---- rows


def _add_data(commands: Any) -> None:
    module = "data_commands"
    command = _remote(
        commands,
        "put",
        f"{module}:put",
        "append or upsert the rows of a file",
        "Append the rows of a file to a log table, or upsert them into a primary-key table. Columns go by name; what "
        "the file lacks is null. Every page of 5,000 rows is durable before the next one is read.",
    )
    _table(command)
    command.add_argument("file", help="JSON lines, CSV with a header line, or Parquet; - is standard input")
    command.add_argument(
        "--format", choices=["jsonl", "csv", "parquet"], help="of the file (default: what its name says)"
    )
    command = _remote(commands, "tail", f"{module}:tail", "print the log of a table, or its changelog")
    _table(command)
    command.add_argument("--follow", "-f", action="store_true", help="go on with what is written from now on")
    command.add_argument(
        "--from",
        dest="start",
        default="earliest",
        metavar="START",
        help="earliest, latest, an offset, or a UTC time such as 2026-05-31T12:00:00 (default: %(default)s)",
    )
    command.add_argument("--limit", "-n", type=_positive, help="stop after so many rows")
    command.add_argument("--columns", help="print these columns only: a,b,c")
    command = _remote(commands, "head", f"{module}:head", "print some rows of a primary-key table")
    _table(command)
    command.add_argument("--limit", "-n", type=_positive, default=10, help="at most so many (default: %(default)s)")
    command = _remote(
        commands,
        "get",
        f"{module}:get",
        "look up rows of a primary-key table",
        "Look up a row by its primary key, or the rows of a bucket key that begins the primary key. The exit code is 1 "
        "when there is none.",
    )
    _table(command)
    _values(command, "of the key")
    command = _remote(commands, "delete", f"{module}:delete", "delete a row of a primary-key table")
    _table(command)
    _values(command, "of the primary key")
    command = _remote(commands, "offsets", f"{module}:offsets", "print the first and the next offset of every bucket")
    _table(command)
    command.add_argument("--at", metavar="TIME", help="also the first offset at or after this UTC time")


# ---- administration


def _add_administration(commands: Any) -> None:
    config = commands.add_parser("config", help="options: their reference, and those of a running server")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    options = actions.add_parser("options", help="print the reference of all server and table options")
    options.set_defaults(run=_plain("main:print_options"))
    _remote(actions, "list", "server_commands:show_config", "print the options of a running server")
    command = _remote(actions, "set", "server_commands:set_config", "change options of a running server")
    command.add_argument("values", nargs="+", metavar="KEY=VALUE")
    command = _remote(actions, "reset", "server_commands:reset_config", "give options their value at start again")
    command.add_argument("keys", nargs="+", metavar="KEY")

    _remote(commands, "health", "server_commands:health", "tell whether all buckets are served; exit code 0 when green")
    command = _remote(
        commands,
        "bench",
        "bench:bench",
        "measure a running server with one client",
        "Append, scan, upsert and look up rows in tables of its own, which are dropped at the end.",
    )
    command.add_argument("--rows", type=_positive, default=500_000, help="(default: %(default)s)")
    doctor = commands.add_parser(
        "doctor",
        help="check the data directory of a stopped server",
        description="Check every batch, index and snapshot of a data directory, and every block of its RocksDB stores. "
        "Nothing is changed. The exit code is 1 when something durable is damaged.",
    )
    doctor.add_argument("data_dir", type=Path, nargs="?", default=Path("fluss-data"), help="(default: ./fluss-data)")
    _output(doctor)
    doctor.set_defaults(run=_plain("doctor:doctor"))
    completion = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description='Print a completion script. In bash: eval "$(fluss completion bash)"',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    completion.set_defaults(run=_plain("main:print_completion"))


# ---- pieces


def _remote(
    commands: Any, name: str, function: str, summary: str, description: str | None = None
) -> argparse.ArgumentParser:
    """A command that needs a running server."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description or f"{summary[0].upper()}{summary[1:]}."
    )
    connection = command.add_argument_group("connection")
    connection.add_argument(
        "--server",
        default=os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER),
        metavar="HOST:PORT",
        help=f"gRPC door of the server (default: ${SERVER_VARIABLE}, else {DEFAULT_SERVER})",
    )
    connection.add_argument(
        "--user",
        default=os.environ.get(USER_VARIABLE),
        help=f"user to log in as (default: ${USER_VARIABLE}); the password is taken from ${PASSWORD_VARIABLE}",
    )
    _output(command)

    def run(parsed: argparse.Namespace) -> int:
        from fluss_server.cli.session import Session
        from fluss_server.grpc_server.client import GrpcClient

        action: Callable[[Session, argparse.Namespace], int | None] = _find(function)
        with GrpcClient(parsed.server, user=parsed.user, password=os.environ.get(PASSWORD_VARIABLE, "")) as client:
            return action(Session(client), parsed) or 0

    command.set_defaults(run=run)
    return command


def _plain(function: str) -> Run:
    """A command that needs no server."""
    return lambda parsed: _find(function)(parsed) or 0


def _find(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(f"fluss_server.cli.{module}"), name)


def _output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output",
        "-o",
        type=OutputFormat,
        choices=list(OutputFormat),
        default=OutputFormat.TABLE,
        metavar="{table,json,arrow}",
        help="aligned columns, JSON lines or an Arrow stream (default: table)",
    )


def _table(command: argparse.ArgumentParser) -> None:
    command.add_argument("table", help="TABLE or DATABASE.TABLE")


def _values(command: argparse.ArgumentParser, which: str) -> None:
    command.add_argument("values", nargs="+", metavar="COLUMN=VALUE", help=which)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port; use 0 to 65535")
    return port


def _grpc_port(text: str) -> int | None:
    return None if text == "none" else _port(text)
