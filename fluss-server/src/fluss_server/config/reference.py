"""The printed reference of all options."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from fluss_server.config.option import Option, OptionType
from fluss_server.config.server_options import SERVER_OPTIONS
from fluss_server.config.table_options import TABLE_OPTIONS

_WIDTH = 100


def options_reference() -> str:
    """Text of the reference: every option with type, default and meaning."""
    return "\n".join(
        (
            "Durations are a number and a unit: ms, s, min, h, d. Sizes likewise: b, kb, mb, gb, tb.",
            "",
            "SERVER OPTIONS (fluss local --set KEY=VALUE)",
            "",
            *_section(SERVER_OPTIONS, "can be changed while the server runs"),
            "TABLE OPTIONS (in WITH (...) of CREATE TABLE)",
            "",
            *_section(TABLE_OPTIONS, "can be changed with ALTER TABLE"),
        )
    ).rstrip()


def _section(options: Mapping[str, Option], dynamic: str) -> list[str]:
    lines = []
    for option in options.values():
        kind = " | ".join(option.choices) if option.type is OptionType.CHOICE else option.type.value
        default = "no default" if option.default is None else f"default {option.default}"
        lines.append(f"{option.key}  ({kind}; {default}{'; ' + dynamic if option.dynamic else ''})")
        lines += textwrap.wrap(option.description, _WIDTH, initial_indent="    ", subsequent_indent="    ")
        lines.append("")
    return lines
