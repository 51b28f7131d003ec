"""The command line: every command, its arguments and its help. The reference in the documentation is made from it.

Nothing heavy is imported here; a command names the function that runs it, which is imported when it is used.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from fluss_server import __version__
from fluss_server.cli.arguments import (
    DATABASES,
    DEFAULT_PORT,
    FILES,
    NEXT_PORT,
    SERVER_VARIABLE,
    TABLES,
    USER_VARIABLE,
    add_buckets,
    add_columns,
    add_database,
    add_output,
    add_table,
    add_values,
    completed,
    delimiter,
    grpc_port,
    local_command,
    port,
    positive,
    remote_command,
    row_count,
)

__all__ = ["SERVER_VARIABLE", "USER_VARIABLE", "build_parser"]

_NAME = "fluss"
_DEFAULT_WIDTH = 80
_IF_EXISTS = "do not fail if it does not exist"
_IF_NOT_EXISTS = "do not fail if it exists"


def build_parser(program: str | None = None) -> argparse.ArgumentParser:
    """The whole command line.

    Args:
        program: the first word of what will be parsed. If it runs a server, the parser has that command only: the
            others would be a large part of the time until the server is ready, and stay in its memory.
    """
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="Fluss in Python: streaming storage for analytics, on Apache Fluss's own protocol.",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fluss-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog=_NAME)
    if program in _SERVER_PROGRAMS:
        _SERVER_PROGRAMS[program](commands)
        return parser
    for add_program in _SERVER_PROGRAMS.values():
        add_program(commands)
    _add_catalog(commands)
    _add_data(commands)
    _add_administration(commands)
    return parser


class _HelpFormatter(argparse.HelpFormatter):
    """Help as wide as the terminal, which the base class loads ``shutil`` for, with every argument that is added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_terminal_width() - 2)


def _terminal_width() -> int:
    """As ``shutil.get_terminal_size`` has it."""
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ is not None else 0
        except (OSError, ValueError):  # no terminal, or closed
            columns = 0
    return columns or _DEFAULT_WIDTH


# ---- the server


def _add_local(commands: Any) -> None:
    local = commands.add_parser(
        "local",
        help="run a complete Fluss in one process, or several",
        description="Run a complete Fluss in one process: Fluss's native protocol on one port, gRPC for this command "
        "and for health probes on the next. SIGTERM or Ctrl-C stops it cleanly.",
        formatter_class=_HelpFormatter,
    )
    _add_server_arguments(local, DEFAULT_PORT, "./fluss-data", "where everything is kept")
    _add_grpc_port(local, NEXT_PORT)
    local.add_argument(
        "--tablet-servers",
        type=positive,
        default=1,
        metavar="N",
        help="with 2 or more: run the coordinator in this process and N tablet servers in processes of their own, on "
        "the ports after that of gRPC (default: %(default)s, everything in this process)",
    )
    local.add_argument(
        "--tablet-server-port",
        type=port,
        metavar="PORT",
        help="port of the first of several tablet servers, 0 for free ones (default: the second one after --port)",
    )
    local.set_defaults(run=local_command("local:run"))


def _add_coordinator(commands: Any) -> None:
    coordinator = commands.add_parser(
        "coordinator",
        help="run the coordinator of a cluster",
        description="Run a coordinator of a cluster, whose data is on tablet servers. With zookeeper.address several "
        "coordinators may run: they elect the active one. Without it there is one, and it keeps the metadata in its "
        "data directory.",
        formatter_class=_HelpFormatter,
    )
    _add_server_arguments(coordinator, DEFAULT_PORT, "./fluss-coordinator", "where the metadata is kept")
    _add_grpc_port(coordinator, None)
    coordinator.set_defaults(run=local_command("cluster_programs:coordinator"))


def _add_tablet_server(commands: Any) -> None:
    tablet_server = commands.add_parser(
        "tablet-server",
        help="run a tablet server of a cluster",
        description="Run a tablet server of a cluster. It finds the coordinator through zookeeper.address or "
        "coordinator.address, and waits for it as long as it is away.",
        formatter_class=_HelpFormatter,
    )
    tablet_server.add_argument(
        "--id", type=int, help="number of this tablet server, which no other one of the cluster has (tablet-server.id)"
    )
    _add_server_arguments(tablet_server, 0, "./fluss-tablet-server", "where logs and rows are kept")
    _add_grpc_port(tablet_server, None)
    tablet_server.set_defaults(run=local_command("cluster_programs:tablet_server"))


_SERVER_PROGRAMS = {"local": _add_local, "coordinator": _add_coordinator, "tablet-server": _add_tablet_server}


def _add_grpc_port(command: Any, default: str | None) -> None:
    """``--grpc-port``"""
    following = "the one after --port, or after the first of bind.listeners; with --port 0 a free one"
    command.add_argument(
        "--grpc-port",
        type=grpc_port,
        default=default,
        help="port of gRPC, which the other commands use; 0 picks a free one, 'next' the one after --port, 'none' "
        f"disables gRPC (default: {'none' if default is None else following})",
    )


def _add_server_arguments(command: Any, default_port: int, data_dir: str, kept_there: str) -> None:
    """Arguments of every command that runs a server."""
    completed(
        command.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="read server options from this file of 'key: value' lines, as the official server.yaml has them; "
            "data.dir in it is the data directory; arguments of the command line override it",
        ),
        FILES,
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument(
        "--port",
        type=port,
        default=default_port,
        help="port of the native protocol; 0 picks a free one (default: %(default)s)",
    )
    completed(command.add_argument("--data-dir", type=Path, help=f"{kept_there} (default: {data_dir})"), FILES)
    command.add_argument(
        "--set",
        dest="options",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a server option; may be repeated (see 'fluss config options')",
    )
    command.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="least severe messages to print on standard error (default: %(default)s)",
    )
    command.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="how to print them: for people, or one JSON object a line (default: %(default)s)",
    )
    command.add_argument(
        "--stop-at-end-of-input",
        action="store_true",
        help="stop cleanly, too, when standard input, a pipe, is closed at its other end: the server then ends with "
        "the process that started it, however that ends",
    )


# ---- databases, tables, partitions


def _add_catalog(commands: Any) -> None:
    module = "catalog_commands"
    remote_command(commands, "databases", f"{module}:databases", "list the databases")
    command = remote_command(commands, "create-database", f"{module}:create_database", "create a database")
    command.add_argument("database")
    command.add_argument("--comment", help="text for people")
    command.add_argument("--if-not-exists", action="store_true", help=_IF_NOT_EXISTS)
    command = remote_command(commands, "drop-database", f"{module}:drop_database", "drop a database")
    add_database(command)
    command.add_argument("--cascade", action="store_true", help="drop its tables with it")
    command.add_argument("--if-exists", action="store_true", help=_IF_EXISTS)

    command = remote_command(
        commands, "tables", f"{module}:tables", "list the tables of a database, with the number of their rows"
    )
    completed(command.add_argument("database", nargs="?", default="fluss", help="(default: %(default)s)"), DATABASES)
    command = remote_command(commands, "describe", f"{module}:describe", "show a table's columns and options")
    add_table(command)
    command.add_argument("--sql", action="store_true", help="print the statement that creates such a table")
    command = remote_command(
        commands,
        "create-table",
        f"{module}:create_table",
        "create a table from SQL or JSON",
        "Create a table from a CREATE TABLE statement in Flink's manner, or from a JSON table descriptor.",
    )
    command.add_argument("definition", nargs="?", help="CREATE TABLE ..., or a JSON table descriptor")
    completed(command.add_argument("--file", type=Path, help="read the definition from this file"), FILES)
    command.add_argument("--name", help="TABLE or DATABASE.TABLE, instead of the name in the definition")
    command.add_argument("--if-not-exists", action="store_true", help=_IF_NOT_EXISTS)
    command = remote_command(
        commands,
        "alter-table",
        f"{module}:alter_table",
        "add columns to a table, or change its options",
        "Add columns at the end of a table, or change its options; not both at once.",
    )
    add_table(command)
    command.add_argument(
        "--add-column", action="append", metavar="'NAME TYPE'", help="a column as in CREATE TABLE; may be repeated"
    )
    command.add_argument("--set", action="append", metavar="KEY=VALUE", help="set an option; may be repeated")
    command.add_argument(
        "--reset", action="append", metavar="KEY", help="give an option its default again; may be repeated"
    )
    command = remote_command(commands, "drop-table", f"{module}:drop_table", "drop a table")
    add_table(command)
    command.add_argument("--if-exists", action="store_true", help=_IF_EXISTS)

    command = remote_command(commands, "partitions", f"{module}:partitions", "list the partitions of a table")
    add_table(command)
    command = remote_command(commands, "create-partition", f"{module}:create_partition", "create a partition")
    add_table(command)
    add_values(command, "one for every partition column")
    command.add_argument("--if-not-exists", action="store_true", help=_IF_NOT_EXISTS)
    command = remote_command(commands, "drop-partition", f"{module}:drop_partition", "drop a partition")
    add_table(command)
    add_values(command, "one for every partition column")
    command.add_argument("--if-exists", action="store_true", help=_IF_EXISTS)


# ---- rows


def _add_data(commands: Any) -> None:
    module = "row_commands"
    _add_put(commands)
    command = remote_command(
        commands,
        "export",
        "export_command:export",
        "write the rows of a table to a file",
        "Write the rows of a table to a file: the current rows of a primary-key table, of each bucket as they are at "
        "one moment; the whole log of a log table. The file appears when it is complete.",
    )
    add_table(command)
    completed(
        command.add_argument("file", help="its name says the format, .gz at its end compresses; - is standard output"),
        FILES,
    )
    command.add_argument("--format", choices=["jsonl", "csv", "tsv", "parquet"], help="of the file")
    add_columns(command)
    add_buckets(command)
    command = remote_command(
        commands,
        "tail",
        "tail_command:tail",
        "print the last rows of the log of a table, or of its changelog",
        "Print the last rows of the log of a table, or of the changelog of a primary-key table; with --from, the rows "
        "from there on. Rows of all buckets come in the order in which they were written.",
    )
    add_table(command)
    command.add_argument(
        "--follow",
        "-f",
        action="store_true",
        help="go on with what is written from now on, until Ctrl-C, also to new partitions; an unreachable server is "
        "tried again for 10 minutes",
    )
    command.add_argument(
        "--limit",
        "-n",
        type=positive,
        metavar="N",
        help="how many rows: the last ones (default: 10), or with --from the first ones from there on (default: all)",
    )
    command.add_argument(
        "--from",
        dest="start",
        metavar="START",
        help="start at earliest, latest, a UTC time such as 2026-05-31T12:00:00, or the offset of a bucket",
    )
    add_columns(command)
    add_buckets(command)
    command = remote_command(
        commands,
        "head",
        f"{module}:head",
        "print the first rows of a table",
        "Print the first rows of a log table, or some rows of a primary-key table, which has no order.",
    )
    add_table(command)
    command.add_argument(
        "--limit", "-n", type=positive, default=10, metavar="N", help="at most so many (default: %(default)s)"
    )
    add_columns(command)
    add_buckets(command)
    command = remote_command(commands, "count", f"{module}:count", "count the rows of a table")
    add_table(command)
    add_buckets(command)
    command = remote_command(
        commands,
        "get",
        f"{module}:get",
        "look up rows of a primary-key table",
        "Look up a row by its primary key, or the rows of a bucket key that begins the primary key. The exit code is 1 "
        "when there is none.",
    )
    add_table(command)
    add_values(command, "of the key")
    add_columns(command)
    command = remote_command(
        commands,
        "delete",
        f"{module}:delete",
        "delete a row of a primary-key table",
        "Delete a row of a primary-key table. The exit code is 1 when there is none.",
    )
    add_table(command)
    add_values(command, "of the primary key")
    command = remote_command(
        commands, "offsets", f"{module}:offsets", "print the first and the next offset of every bucket"
    )
    add_table(command)
    command.add_argument("--at", metavar="TIME", help="also the first offset at or after this UTC time")
    add_buckets(command)


def _add_put(commands: Any) -> None:
    command = remote_command(
        commands,
        "put",
        "put_command:put",
        "append or upsert the rows of a file",
        "Append the rows of a file to a log table, or upsert them into a primary-key table. Columns go by name; what "
        "the file lacks is null. Every batch of 5,000 rows is durable before the next one is read. When not all rows "
        "could be written, the message says which are in the table.",
    )
    add_table(command)
    completed(
        command.add_argument(
            "file",
            help="JSON lines, CSV or TSV with a header line, all three also gzipped, or Parquet; - is standard input",
        ),
        FILES,
    )
    command.add_argument(
        "--format", choices=["jsonl", "csv", "tsv", "parquet"], help="of the file (default: what its name says)"
    )
    command.add_argument(
        "--delimiter", type=delimiter, metavar="C", help="character between the fields of CSV, \\t is the tabulator"
    )
    command.add_argument(
        "--on-error",
        choices=["stop", "skip"],
        default="stop",
        help="what to do at a row that is not valid: stop, or leave it out and go on (default: %(default)s)",
    )
    completed(
        command.add_argument(
            "--rejected",
            type=Path,
            metavar="FILE",
            help="where rows go that were left out (default: a new file in the working directory, NAME.rejected.csv)",
        ),
        FILES,
    )
    command.add_argument(
        "--skip-rows",
        type=row_count,
        default=0,
        metavar="N",
        help="leave out the first N rows of the file, which an earlier run has written",
    )


# ---- administration


def _add_administration(commands: Any) -> None:
    _add_config(commands)
    _add_acl(commands)
    remote_command(
        commands, "health", "server_commands:health", "tell whether all buckets are served; exit code 0 when green"
    )
    _add_cluster_commands(commands)
    command = remote_command(
        commands,
        "bench",
        "bench:bench",
        "measure a running server with one client",
        "Append, scan, upsert and look up rows in tables of its own, which are dropped at the end.",
    )
    command.add_argument("--rows", type=positive, default=500_000, metavar="N", help="(default: %(default)s)")
    doctor = commands.add_parser(
        "doctor",
        help="check the data directory of a stopped server",
        description="Check every batch, index and snapshot of a data directory, and every block of its RocksDB stores. "
        "Nothing is changed. The exit code is 1 when something durable is damaged.",
    )
    argument = doctor.add_argument(
        "data_dir", type=Path, nargs="?", default=Path("fluss-data"), help="(default: ./fluss-data)"
    )
    completed(argument, FILES)
    add_output(doctor)
    doctor.set_defaults(run=local_command("doctor:doctor"))
    completion = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description='Print a completion script. In bash: eval "$(fluss completion bash)"; in fish: '
        "fluss completion fish | source. Names of tables, databases and columns come from the server.",
    )
    completion.add_argument("shell", choices=["bash", "zsh", "fish", "tcsh"])
    completion.set_defaults(run=local_command("completion:print_script"))


def _add_cluster_commands(commands: Any) -> None:
    module = "cluster_commands"
    remote_command(
        commands,
        "cluster",
        f"{module}:cluster",
        "list the servers of a cluster",
        "List the active coordinator and the tablet servers of a cluster, with the time since their last heartbeats, "
        "the bytes of their data, and the free and total bytes of their disks. "
        "The exit code is 1 when a tablet server that is to have replicas is not there.",
    )
    command = remote_command(
        commands,
        "buckets",
        f"{module}:buckets",
        "print who leads the buckets of a table, and which replicas are in sync",
        "Print who leads the buckets of a table, which replicas are in sync, and where their logs begin and end. The "
        "exit code is 1 when a bucket has no leader.",
    )
    add_table(command)
    rebalance = commands.add_parser("rebalance", help="move replicas and leaders between the servers of a cluster")
    actions = rebalance.add_subparsers(dest="action", required=True, metavar="ACTION")
    command = remote_command(actions, "plan", f"{module}:plan", "print what a rebalance would move")
    _add_goals(command)
    command = remote_command(
        actions,
        "run",
        f"{module}:run",
        "move replicas and leaders, so that every server has its part",
        "Move replicas and leaders, so that every server has its part. The exit code is 1 when a bucket could not be "
        "moved; it has the replicas that it had then. Ctrl-C ends the command, not the rebalance.",
    )
    _add_goals(command)
    command.add_argument("--no-wait", action="store_true", help="do not wait for the end")
    remote_command(
        actions, "progress", f"{module}:progress", "print what the current rebalance, or the last one, moves"
    )
    remote_command(actions, "cancel", f"{module}:cancel", "move nothing more")
    command = remote_command(
        commands,
        "drain",
        f"{module}:drain",
        "move everything away from a tablet server, before it is stopped for good",
        "Move all replicas away from a tablet server and give it no others. The exit code is 1 when it has replicas "
        "afterwards.",
    )
    command.add_argument("id", type=int, metavar="SERVER", help="id of the tablet server")
    command.add_argument("--undo", action="store_true", help="let it have replicas again")


def _add_goals(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--goal",
        action="append",
        choices=["replicas", "leaders", "racks"],
        help="what to balance, the most important first; may be repeated (default: racks, replicas, leaders)",
    )


def _add_config(commands: Any) -> None:
    config = commands.add_parser("config", help="options: their reference, and those of a running server")
    actions = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    options = actions.add_parser("options", help="print the reference of all server and table options")
    options.set_defaults(run=local_command("main:print_options"))
    remote_command(
        actions, "list", "server_commands:show_config", "print the effective values of a running server's options"
    )
    command = remote_command(actions, "set", "server_commands:set_config", "change options of a running server")
    command.add_argument("values", nargs="+", metavar="KEY=VALUE")
    command = remote_command(
        actions, "reset", "server_commands:reset_config", "give options the values of the start again"
    )
    command.add_argument("keys", nargs="+", metavar="KEY")


def _add_acl(commands: Any) -> None:
    acl = commands.add_parser("acl", help="permissions of users, of a server with authorizer.enabled")
    actions = acl.add_subparsers(dest="action", required=True, metavar="ACTION")
    module = "acl_commands"
    principal = "bob or User:bob; * is everybody"
    operations = "READ, WRITE, CREATE, DROP, ALTER, DESCRIBE or ALL; several with commas"
    grant = remote_command(actions, "grant", f"{module}:grant", "allow a user something")
    grant.add_argument("principal", help=principal)
    grant.add_argument("operations", help=operations)
    _resource(grant, required=True)
    grant.add_argument("--from-host", default="*", metavar="ADDRESS", help="only from this address (default: from any)")
    revoke = remote_command(
        actions,
        "revoke",
        f"{module}:revoke",
        "revoke a permission",
        "Revoke a permission. The exit code is 1 when it was not granted.",
    )
    revoke.add_argument("principal", help=principal)
    revoke.add_argument("operations", help=f"{operations}; ANY revokes all of them")
    _resource(revoke, required=True)
    revoke.add_argument("--from-host", metavar="ADDRESS", help="only what was granted from this address")
    entries = remote_command(actions, "list", f"{module}:list_entries", "list what is allowed")
    entries.add_argument("--principal", help=f"of this user only: {principal}")
    _resource(entries, required=False)


def _resource(command: argparse.ArgumentParser, *, required: bool) -> None:
    resource = command.add_mutually_exclusive_group(required=required)
    resource.add_argument("--cluster", action="store_true", help="on the cluster, and so on everything in it")
    completed(resource.add_argument("--database", help="on a database and its tables; * is all databases"), DATABASES)
    completed(
        resource.add_argument("--table", metavar="TABLE", help="on TABLE or DATABASE.TABLE; * is all tables"), TABLES
    )
