from __future__ import annotations

import pytest

from fluss_server.cli.failures import UsageError
from fluss_server.cli.server_yaml import parse_server_yaml

TEXT = """\ufeff---
# listeners
bind.listeners: FLUSS://localhost:9123   # the native protocol

kv.scanner.ttl : 5 min
users: "ann:a#b,bob:\\"x\\""
super.users: 'User:o''hara'
"""


def test_flat_keys() -> None:
    assert parse_server_yaml(TEXT, "server.yaml") == {
        "bind.listeners": ("FLUSS://localhost:9123", 3),
        "kv.scanner.ttl": ("5 min", 5),
        "users": ('ann:a#b,bob:"x"', 6),
        "super.users": ("User:o'hara", 7),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n  b: 2", "server.yaml, line 2: 'b: 2' is not 'key: value'"),
        ("- a", "line 1: '- a' is not 'key: value'"),
        ("a=1", "line 1: 'a=1' is not 'key: value'"),
        ("a: 1\na: 2", "line 2: a was set in line 1"),
        ("a:", "line 1: a has no value"),
        ("a: # later", "line 1: a has no value"),
        ("a: [1, 2]", "line 1: the value of a cannot be read: [1, 2]"),
        ("a: |", "the value of a cannot be read"),
        ('a: "open', "the value of a cannot be read"),
    ],
)
def test_what_is_more_than_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_server_yaml(text, "server.yaml")
    assert message in raised.value.message
