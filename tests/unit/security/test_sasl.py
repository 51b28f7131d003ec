"""SASL PLAIN, without a network."""

from __future__ import annotations

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.rpc.authentication import ConnectionAuthentication
from fluss_server.runtime.randomness import SystemSecrets
from fluss_server.security.credentials import Credentials
from fluss_server.security.sasl import SaslAuthenticator

USERS = Credentials({"bob": "bob-pass"}, SystemSecrets())
BOB = Principal("User", "bob")


def authenticator() -> SaslAuthenticator:
    return SaslAuthenticator(["PLAIN"], lambda: USERS)


@pytest.mark.parametrize("token", [b"\0bob\0bob-pass", b"bob\0bob\0bob-pass"])
def test_good_logins(token: bytes) -> None:
    assert authenticator().authenticate("PLAIN", token) == BOB


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (b"\0bob\0wrong", "Invalid username or password"),
        (b"\0nobody\0bob-pass", "Invalid username or password"),
        (b"ann\0bob\0bob-pass", "authorization id"),
        (b"", "3 parts, not 1"),
        (b"bob\0bob-pass", "3 parts, not 2"),
        (b"\0bob\0bob-pass\0", "3 parts, not 4"),
        (b"\0bob\0bob-pass\0\0\0", "3 parts, not 4 or more"),
        (b"\0\0bob-pass", "username not specified"),
        (b"\0bob\0", "password not specified"),
        (b"\0bob\0\xff", "UTF-8"),
    ],
)
def test_bad_logins(token: bytes, text: str) -> None:
    with pytest.raises(FlussError, match=text) as raised:
        authenticator().authenticate("PLAIN", token)
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
    assert "bob-pass" not in str(raised.value)


def test_other_mechanisms_name_what_is_enabled() -> None:
    authenticator().check_mechanism("plain")
    with pytest.raises(FlussError, match="'GSSAPI' is not enabled, only PLAIN") as raised:
        authenticator().check_mechanism("GSSAPI")
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION


def test_a_connection_logs_in_once() -> None:
    authentication = ConnectionAuthentication(authenticator(), max_failures=2)
    assert authentication.principal is None
    with pytest.raises(FlussError):
        authentication.attempt("PLAIN", b"\0bob\0wrong")
    assert (authentication.principal, authentication.exhausted) == (None, False)
    authentication.attempt("PLAIN", b"\0bob\0bob-pass")
    assert authentication.principal == BOB
    authentication.attempt("PLAIN", b"")  # what pyfluss sends after a challenge
    assert authentication.principal == BOB
    with pytest.raises(FlussError, match="GSSAPI"):
        authentication.attempt("GSSAPI", b"")
    assert authentication.exhausted


def test_a_plaintext_listener_takes_everybody_and_no_login() -> None:
    authentication = ConnectionAuthentication(None, max_failures=2)
    assert authentication.principal is ANONYMOUS
    with pytest.raises(FlussError, match="does not authenticate") as raised:
        authentication.attempt("PLAIN", b"\0bob\0bob-pass")
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
    assert authentication.principal is ANONYMOUS
