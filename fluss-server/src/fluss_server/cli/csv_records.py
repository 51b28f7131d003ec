"""CSV as RFC 4180 has it, with null: an empty field is null, an empty field in quotes is the empty text. No I/O.

Python's ``csv`` module cannot tell the two apart.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

QUOTE = '"'


def split_record(text: str, delimiter: str) -> list[str | None] | None:
    """The fields of one record, None for each that is null.

    Args:
        text: without the line end after it; line ends in quotes belong to a field.
        delimiter: one character.

    Returns:
        None when a quote is still open at the end: the record goes on in the next line.

    Raises:
        ValueError: something follows a closing quote.
    """
    if QUOTE not in text:
        return [field or None for field in text.split(delimiter)]
    fields: list[str | None] = []
    match_field = _field(delimiter).match
    position = 0
    while True:
        match = match_field(text, position)
        if match is None:
            return None
        quoted, plain = match.groups()
        fields.append(plain or None if quoted is None else quoted.replace(QUOTE + QUOTE, QUOTE))
        position = match.end()
        if position == len(text):
            return fields
        if text[position] != delimiter:
            raise ValueError(f"field {len(fields)}: {text[position]!r} after the closing quote")
        position += 1


@functools.lru_cache(maxsize=8)
def _field(delimiter: str) -> re.Pattern[str]:
    """A field in quotes, or up to the next delimiter; no match when a quote is open."""
    other = f"[^{re.escape(delimiter)}]"
    return re.compile(rf'"([^"]*(?:""[^"]*)*)"(?!")|((?!"){other}*)')


def join_record(fields: Iterable[str | None], delimiter: str = ",") -> str:
    """The reverse of :func:`split_record`, without a line end."""
    return delimiter.join("" if field is None else _quoted(field, delimiter) for field in fields)


def _quoted(field: str, delimiter: str) -> str:
    if field and not any(special in field for special in (QUOTE, delimiter, "\r", "\n")):
        return field
    return f"{QUOTE}{field.replace(QUOTE, QUOTE + QUOTE)}{QUOTE}"


def check_header(names: Sequence[str | None]) -> list[str]:
    """Names of the columns in a header line.

    Raises:
        ValueError: one has no name, or two have the same.
    """
    found: list[str] = []
    for name in names:
        if not name:
            raise ValueError(f"column {len(found) + 1} of the header has no name")
        if name in found:
            raise ValueError(f"the header names column {name!r} twice")
        found.append(name)
    return found
