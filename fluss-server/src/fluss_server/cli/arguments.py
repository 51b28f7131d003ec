"""Pieces of the command line: commands with and without a server, arguments that several commands have, their types."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fluss_server.cli.output_format import OutputFormat

if TYPE_CHECKING:
    from fluss_server.cli.session import Session

DEFAULT_PORT = 9123
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_PORT + 1}"
NEXT_PORT = "next"
"""The gRPC port is the one after that of the native protocol."""
SERVER_VARIABLE, USER_VARIABLE, PASSWORD_VARIABLE = "FLUSS_SERVER", "FLUSS_USER", "FLUSS_PASSWORD"

NAMES_COMMAND = "_names"
"""``fluss _names KIND WORD...``, for completion scripts: names of a kind for the words typed so far, one a line."""

Run = Callable[[argparse.Namespace], int]
"""What a command does; returns the exit code."""

TABLES, DATABASES, COLUMNS, KEY_COLUMNS, FILES = "tables", "databases", "columns", "key-columns", "files"
"""What a shell completes an argument with; see :mod:`fluss_server.cli.completion`."""


def completed(action: argparse.Action, what: str) -> None:
    """Let shells complete an argument."""
    action.completes = what  # type: ignore[attr-defined]


def remote_command(
    commands: Any, name: str, function: str, summary: str, description: str | None = None
) -> argparse.ArgumentParser:
    """A command that needs a running server.

    Args:
        function: ``module:function`` in this package, imported when the command runs.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description or f"{summary[0].upper()}{summary[1:]}."
    )
    connection = command.add_argument_group("connection")
    connection.add_argument(
        "--server",
        default=os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER),
        metavar="HOST:PORT",
        help=f"gRPC address of the server (default: ${SERVER_VARIABLE}, else {DEFAULT_SERVER})",
    )
    connection.add_argument(
        "--user",
        default=os.environ.get(USER_VARIABLE),
        help=f"user to authenticate as (default: ${USER_VARIABLE}); the password is taken from ${PASSWORD_VARIABLE}",
    )
    add_output(command)

    def run(parsed: argparse.Namespace) -> int:
        from fluss_server.cli.session import connect

        action: Callable[[Session, argparse.Namespace], int | None] = _find(function)
        parsed.output = OutputFormat(parsed.output)
        with connect(parsed.server, parsed.user, os.environ.get(PASSWORD_VARIABLE, "")) as session:
            return action(session, parsed) or 0

    command.set_defaults(run=run)
    return command


def local_command(function: str) -> Run:
    """What runs a command that needs no server."""

    def run(parsed: argparse.Namespace) -> int:
        if hasattr(parsed, "output"):
            parsed.output = OutputFormat(parsed.output)
        return _find(function)(parsed) or 0

    return run


def _find(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(f"fluss_server.cli.{module}"), name)


# ---- arguments of several commands


def add_output(command: argparse.ArgumentParser) -> None:
    """``--output``"""
    command.add_argument(
        "--output",
        "-o",
        choices=[output_format.value for output_format in OutputFormat],
        default=OutputFormat.TABLE.value,
        help="aligned columns, JSON lines, CSV or an Arrow stream (default: %(default)s)",
    )


def add_table(command: argparse.ArgumentParser) -> None:
    """The name of a table."""
    completed(command.add_argument("table", help="TABLE or DATABASE.TABLE"), TABLES)


def add_database(command: argparse.ArgumentParser) -> None:
    """The name of a database."""
    completed(command.add_argument("database"), DATABASES)


def add_values(command: argparse.ArgumentParser, which: str, completes: str = KEY_COLUMNS) -> None:
    """Columns with values."""
    completed(command.add_argument("values", nargs="+", metavar="COLUMN=VALUE", help=which), completes)


def add_buckets(command: argparse.ArgumentParser) -> None:
    """``--bucket`` and ``--partition``"""
    command.add_argument("--bucket", type=_not_negative, metavar="N", help="of this bucket only")
    command.add_argument(
        "--partition",
        action="append",
        metavar="COLUMN=VALUE",
        help="of partitions with this value only; may be repeated, once for each partition column",
    )


def add_columns(command: argparse.ArgumentParser) -> None:
    """``--columns``"""
    completed(command.add_argument("--columns", metavar="A,B,C", help="these columns only, in this order"), COLUMNS)


# ---- types


def positive(text: str) -> int:
    """A number above 0."""
    number = _integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def _not_negative(text: str) -> int:
    number = _integer(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


def row_count(text: str) -> int:
    """A number of rows, 0 too."""
    return _not_negative(text)


def delimiter(text: str) -> str:
    r"""One character; ``\t`` is the tabulator."""
    character = "\t" if text == "\\t" else text
    if len(character) != 1 or character in '"\r\n':
        raise argparse.ArgumentTypeError("a delimiter is one character, not a quote or a line end")
    return character


def port(text: str) -> int:
    """A port, or 0."""
    number = _integer(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not a port; use 0 to 65535")
    return number


def grpc_port(text: str) -> int | str | None:
    """A port, 0 for a free one, ``none``, or :data:`NEXT_PORT`."""
    if text in ("none", NEXT_PORT):
        return None if text == "none" else text
    return port(text)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
