"""The JAAS text in which Apache Fluss keeps users::

    org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required user_admin="admin-pass" user_bob="bob-pass";

One module; each ``user_NAME`` option is a user with its password. Who authenticates at a server writes its own as
``username="bob" password="bob-pass"``. Errors never quote the text.
"""

from __future__ import annotations

import re

from fluss_server.errors import ErrorCode, FlussError

_USER_PREFIX = "user_"
_FLAGS = frozenset({"required", "requisite", "sufficient", "optional"})
_MODULE = re.compile(r"\s*(?P<module>[\w.$]+)\s+(?P<flag>\w+)")
_OPTION = re.compile(r'\s+(?P<key>[\w.\-]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s";]+))', re.DOTALL)
_END = re.compile(r"\s*;\s*\Z")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_jaas_users(text: str) -> dict[str, str]:
    """Passwords by user name.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when the text is not one login module.
    """
    return {
        key[len(_USER_PREFIX) :]: value
        for key, value in _options(text)
        if key.startswith(_USER_PREFIX) and len(key) > len(_USER_PREFIX)
    }


def parse_jaas_credentials(text: str) -> tuple[str, str]:
    """User and password of who authenticates.

    Raises:
        FlussError: ``INVALID_CONFIG_EXCEPTION`` when the text is not one login module, or lacks one of them.
    """
    options = dict(_options(text))
    user, password = options.get("username"), options.get("password")
    if not user or not password:
        raise _invalid('it needs username="..." and password="..."')
    return user, password


def _options(text: str) -> list[tuple[str, str]]:
    match = _MODULE.match(text)
    if match is None or match["flag"].lower() not in _FLAGS:
        raise _invalid("it must begin with the class of a login module and the word 'required'")
    options: list[tuple[str, str]] = []
    position = match.end()
    while option := _OPTION.match(text, position):
        position = option.end()
        value = option["bare"] if option["quoted"] is None else _ESCAPE.sub(r"\1", option["quoted"])
        options.append((option["key"], value))
    if not _END.match(text, position):
        raise _invalid(f'after {len(options)} options it must go on with NAME="VALUE" or end with one ;')
    return options


def _invalid(problem: str) -> FlussError:
    return FlussError(
        ErrorCode.INVALID_CONFIG_EXCEPTION,
        f"the JAAS text of the users cannot be read: {problem}",
        hint='write: org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required user_bob="password";',
    )
