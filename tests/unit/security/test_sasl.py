"""SASL PLAIN, without a network."""

from __future__ import annotations

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import ANONYMOUS, Principal
from fluss_server.rpc.authentication import ConnectionAuthentication
from fluss_server.rpc.limits import RpcLimits
from fluss_server.runtime.clock import ManualClock
from fluss_server.runtime.randomness import SystemSecrets
from fluss_server.security.credentials import Credentials
from fluss_server.security.sasl import SaslAuthenticator
from fluss_server.security.throttle import AuthenticationThrottle
from rpc_support import async_test

USERS = Credentials({"bob": "bob-pass"}, SystemSecrets())
BOB = Principal("User", "bob")


def authenticator() -> SaslAuthenticator:
    return SaslAuthenticator(["PLAIN"], lambda: USERS, AuthenticationThrottle(ManualClock().monotonic))


@pytest.mark.parametrize("token", [b"\0bob\0bob-pass", b"bob\0bob\0bob-pass"])
def test_good_logins(token: bytes) -> None:
    assert authenticator().authenticate("PLAIN", token, "127.0.0.1") == BOB


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
        authenticator().authenticate("PLAIN", token, "127.0.0.1")
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
    assert "bob-pass" not in str(raised.value)


def test_other_mechanisms_name_what_is_enabled() -> None:
    authenticator().check_mechanism("plain")
    with pytest.raises(FlussError, match="'GSSAPI' is not enabled, only PLAIN") as raised:
        authenticator().check_mechanism("GSSAPI")
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION


def connection_state(authenticator: SaslAuthenticator | None) -> ConnectionAuthentication:
    limits = RpcLimits(max_authentication_failures=2, authentication_failure_delay_s=0.0)
    return ConnectionAuthentication(authenticator, limits)


async def refusal(state: ConnectionAuthentication, mechanism: str, token: bytes) -> FlussError:
    """The error of an attempt that fails."""
    refused = state.attempt(mechanism, token, "127.0.0.1:5000", "FLUSS")
    assert refused is not None
    with pytest.raises(FlussError) as raised:
        await refused
    assert raised.value.code is ErrorCode.AUTHENTICATE_EXCEPTION
    return raised.value


@async_test
async def test_a_connection_authenticates_once() -> None:
    state = connection_state(authenticator())
    assert (state.principal, state.ready) == (None, False)
    await refusal(state, "PLAIN", b"\0bob\0wrong")
    assert (state.principal, state.ready, state.exhausted) == (None, False, False)
    assert state.attempt("PLAIN", b"\0bob\0bob-pass", "", "") is None
    assert (state.principal, state.ready) == (BOB, True)
    assert state.attempt("PLAIN", b"", "", "") is None, "what pyfluss sends after a challenge"
    assert state.principal == BOB
    assert "GSSAPI" in str(await refusal(state, "GSSAPI", b""))
    assert state.exhausted


@async_test
async def test_a_plaintext_listener_serves_everybody_and_authenticates_nobody() -> None:
    state = connection_state(None)
    assert (state.principal, state.ready) == (ANONYMOUS, True)
    assert "does not authenticate" in str(await refusal(state, "PLAIN", b"\0bob\0bob-pass"))
    assert state.principal is ANONYMOUS
