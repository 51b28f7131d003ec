"""Reads the SQL files of the demo."""

from __future__ import annotations

import string
from pathlib import Path

_DIRECTORY = Path(__file__).parent / "sql"
_NAME = "-- name: "


def statements(file: str, **values: str) -> list[str]:
    """Returns the statements of a file in sql/, comments left out, with `${...}` replaced by the values."""
    return list(named_statements(file, **values).values())


def named_statements(file: str, **values: str) -> dict[str, str]:
    """Like `statements`, by the name that a line `-- name: ...` before the statement gives it (else its number).

    A statement ends at a line that ends with a semicolon.
    """
    found: dict[str, str] = {}
    name, lines = "", list[str]()
    for line in string.Template((_DIRECTORY / file).read_text(encoding="utf-8")).substitute(values).splitlines():
        if line.startswith(_NAME):
            name = line.removeprefix(_NAME).strip()
        if not line.strip() or line.startswith("--"):
            continue
        lines.append(line)
        if line.endswith(";"):
            found[name or str(len(found) + 1)] = "\n".join(lines).removesuffix(";")
            name, lines = "", []
    if lines:
        raise ValueError(f"{file}: the last statement does not end with a semicolon")
    return found
