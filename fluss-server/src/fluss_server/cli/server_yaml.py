"""The configuration file of ``fluss local``: flat ``key: value`` lines, as in the official ``server.yaml``. No I/O.

That is the part of YAML which such files use: comments, quotes, one key a line. What is more than that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fluss_server.cli.failures import UsageError

_LINE = re.compile(r"(?P<key>[A-Za-z][\w.<>-]*)[ \t]*:(?:[ \t]+(?P<value>.*))?\Z")
_DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"[ \t]*(?:#.*)?\Z')
_SINGLE_QUOTED = re.compile(r"'((?:[^']|'')*)'[ \t]*(?:#.*)?\Z")
_COMMENT = re.compile(r"(?:\A|[ \t])#.*\Z")


def parse_server_yaml(text: str, name: str) -> dict[str, tuple[str, int]]:
    """Value and number of the line of every key.

    Args:
        name: of the file, for errors.

    Raises:
        UsageError: a line is not ``key: value``, or a key comes twice.
    """
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        match = _LINE.match(line.rstrip())
        if match is None:
            raise UsageError(
                f"{name}, line {number}: {line.strip()!r} is not 'key: value'",
                hint="keys are flat, each in a line of its own: log.retention.check-interval: 1 min",
            )
        key = match["key"]
        if key in found:
            raise UsageError(f"{name}, line {number}: {key} was set in line {found[key][1]}")
        found[key] = _value(match["value"] or "", key, name, number), number
    return found


def server_yaml(options: Mapping[str, str]) -> str:
    """The text of a configuration file.

    Raises:
        UsageError: a value has a line break or another control character.
    """
    for key, value in options.items():
        if not value.isprintable():
            raise UsageError(f"the value of {key} has a control character")
    quoted = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in options.items()}
    return "".join(f'{key}: "{value}"\n' for key, value in quoted.items())


def _value(text: str, key: str, name: str, number: int) -> str:
    text = text.strip()
    if text.startswith('"'):
        if (match := _DOUBLE_QUOTED.match(text)) is not None:
            return re.sub(r"\\(.)", r"\1", match[1])
    elif text.startswith("'"):
        if (match := _SINGLE_QUOTED.match(text)) is not None:
            return match[1].replace("''", "'")
    elif text[:1] not in ("|", ">", "&", "*", "!", "{", "[", "%", "@", "`"):
        value = _COMMENT.sub("", text).strip()
        if value:
            return value
        raise UsageError(f"{name}, line {number}: {key} has no value")
    raise UsageError(
        f"{name}, line {number}: the value of {key} cannot be read: {text}",
        hint="write plain text, or text in quotes; lists are a,b,c and maps key:value,key2:value2",
    )
