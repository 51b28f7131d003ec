"""The JAAS text of logins."""

from __future__ import annotations

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.security.jaas import parse_jaas_users

MODULE = "org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required"


@pytest.mark.parametrize(
    ("text", "users"),
    [
        (MODULE + ' user_admin="admin-pass" user_bob="bob-pass";', {"admin": "admin-pass", "bob": "bob-pass"}),
        (MODULE + '\n   user_a = "x y;z"\n   user_b=plain ;\n', {"a": "x y;z", "b": "plain"}),
        (MODULE + r' user_a="say \"hi\" \\";', {"a": r'say "hi" ' + "\\"}),
        (MODULE + ' username="me" password="mine" user_a="1";', {"a": "1"}),
        (MODULE + ";", {}),
    ],
)
def test_users(text: str, users: dict[str, str]) -> None:
    assert parse_jaas_users(text) == users


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user_a='secret'",
        MODULE,
        MODULE + ' user_a="secret"',
        MODULE + ' user_a="secret;',
        MODULE + ' user_a="secret"; ' + MODULE + ' user_b="secret";',
        "Module sometimes user_a=secret;",
    ],
)
def test_bad_text_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(FlussError) as raised:
        parse_jaas_users(text)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert "secret" not in str(raised.value)
