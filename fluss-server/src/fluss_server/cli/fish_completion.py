"""The completion script of the fish shell, made from the parser; shtab, which makes the others, has no fish."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from fluss_server.cli.arguments import FILES


def fish_script(parser: argparse.ArgumentParser) -> str:
    """Commands for ``source``."""
    return "\n".join(["complete -c fluss -f", *_lines(parser, "")])


def _lines(parser: argparse.ArgumentParser, seen: str) -> Iterator[str]:
    """Lines for a parser.

    Args:
        seen: condition that its command was typed, empty for the whole program.
    """
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from _commands(action, seen)
        elif action.option_strings:
            yield _line(seen, _option(action), action.help)
        elif (values := _values(action)) != "":
            yield _line(seen, values, None)


def _commands(action: argparse._SubParsersAction[argparse.ArgumentParser], seen: str) -> Iterator[str]:
    names = " ".join(action.choices)
    not_yet = f"not __fish_seen_subcommand_from {names}"
    summaries = {choice.dest: choice.help for choice in action._choices_actions}
    for name, parser in action.choices.items():
        yield _line(_and(seen, not_yet), f"-a {name}", summaries.get(name))
        yield from _lines(parser, _and(seen, f"__fish_seen_subcommand_from {name}"))


def _option(action: argparse.Action) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings]
    if action.nargs == 0:
        return " ".join(names)
    values = _values(action)
    return " ".join([*names, "-r" if values == "-F" else "-x", values]).rstrip()


def _values(action: argparse.Action) -> str:
    """What completes an argument."""
    what = getattr(action, "completes", None)
    if what == FILES:
        return "-F"
    if what is not None:
        return f"-a '(fluss _names {what} (commandline -opc) 2>/dev/null)'"
    if action.choices is not None:
        return f"-a {_quoted(' '.join(map(str, action.choices)))}"
    return ""


def _line(condition: str, rest: str, description: str | None) -> str:
    parts = ["complete -c fluss"]
    if condition:
        parts.append(f"-n {_quoted(condition)}")
    parts.append(rest)
    if description:
        parts.append(f"-d {_quoted(description.partition(' (default')[0])}")
    return " ".join(parts)


def _and(first: str, second: str) -> str:
    return f"{first}; and {second}" if first else second


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
