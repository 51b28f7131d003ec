"""Completion scripts of shells. Names of databases, tables and columns come from the server, through this command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence

from fluss_server.cli.arguments import (
    COLUMNS,
    DATABASES,
    DEFAULT_SERVER,
    FILES,
    KEY_COLUMNS,
    NAMES_COMMAND,
    PASSWORD_VARIABLE,
    SERVER_VARIABLE,
    TABLES,
    USER_VARIABLE,
)

_KINDS = (TABLES, DATABASES, COLUMNS, KEY_COLUMNS)
_TIMEOUT_S = 2.0

_BASH = """
_fluss_names() {
  local IFS=$'\\n' word="${2##*,}"
  compgen -P "${2%"$word"}" -W "$(fluss _names "$1" "${COMP_WORDS[@]}" 2>/dev/null)" -- "$word"
}
"""
_ZSH = """
_fluss_names() {
  local -a names
  names=(${(f)"$(fluss _names $1 "${words[@]}" 2>/dev/null)"})
  compset -P '*,'
  compadd -S "${2:- }" -a names
}
"""


def print_script(parsed: argparse.Namespace) -> None:
    """``fluss completion``"""
    from fluss_server.cli.parser import build_parser

    parser = build_parser()
    if parsed.shell == "fish":
        from fluss_server.cli.fish_completion import fish_script

        print(fish_script(parser))
        return
    import shtab

    for action in _actions(parser):
        what = getattr(action, "completes", None)
        if what == FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif what is not None:
            function = f"_fluss_{what.replace('-', '_')}"
            names = f"`fluss {NAMES_COMMAND} {what} $COMMAND_LINE`"
            action.complete = {"bash": function, "zsh": function, "tcsh": names}  # type: ignore[attr-defined]
    functions = {"bash": _BASH, "zsh": _ZSH}
    for what in _KINDS:
        name = f"_fluss_{what.replace('-', '_')}()"
        functions["bash"] += f'{name} {{ _fluss_names {what} "$1"; }}\n'
        functions["zsh"] += f"{name} {{ _fluss_names {what} {'=' if what == KEY_COLUMNS else ''}; }}\n"
    print(shtab.complete(parser, shell=parsed.shell, preamble={**functions, "tcsh": ""}))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def print_names(arguments: Sequence[str]) -> None:
    """``fluss _names``; fails when the server cannot be reached."""
    from fluss_server.api import messages as pb
    from fluss_server.api.keys import ApiKey
    from fluss_server.cli.session import Session
    from fluss_server.grpc_server.client import GrpcClient
    from fluss_server.model.identifiers import DEFAULT_DATABASE

    what, *words = arguments
    typed = _typed(words)
    server = typed.get("--server", os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER))
    user = typed.get("--user", os.environ.get(USER_VARIABLE))
    with GrpcClient(server, user=user, password=os.environ.get(PASSWORD_VARIABLE, ""), timeout_s=_TIMEOUT_S) as client:
        session = Session(client)
        names: list[str] = []
        if what in (COLUMNS, KEY_COLUMNS):
            if (name := typed.get("table")) is not None:
                table = session.table(name)
                names = list(table.schema.names)
                if what == KEY_COLUMNS:
                    partitions = typed.get("command") in ("create-partition", "drop-partition")
                    chosen = table.descriptor.partition_key if partitions else table.schema.primary_key
                    names = [f"{column}=" for column in chosen]
        else:
            databases = session.call(ApiKey.LIST_DATABASES, pb.ListDatabasesRequest()).database_name
            names = list(databases)
            if what == TABLES:
                names = []
                for database in databases:
                    listed = session.call(ApiKey.LIST_TABLES, pb.ListTablesRequest(database_name=database)).table_name
                    names += [name for name in listed if database == DEFAULT_DATABASE]
                    names += [f"{database}.{name}" for name in listed]
    print("\n".join(sorted(names)))


def _typed(words: Sequence[str]) -> dict[str, str]:
    """The command, its table, and values of options, as far as they are there in an unfinished command line."""
    from fluss_server.cli.parser import build_parser

    found: dict[str, str] = {}
    parser = build_parser()
    # zsh leaves out the name of the program.
    position = 0 if words and words[0] in _subcommands(parser) else 1
    while position < len(words):
        word = words[position]
        position += 1
        option = parser._option_string_actions.get(word)
        if option is not None:
            if option.nargs != 0 and position < len(words):
                found[word] = words[position]
                position += 1
            continue
        commands = _subcommands(parser)
        if word in commands:
            parser = commands[word]
            found["command"] = word
        elif not commands and not word.startswith("-"):
            found.setdefault("table", word)
    return found


def _subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Commands of a parser by name, none for one without."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}
