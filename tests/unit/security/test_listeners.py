"""From the options of a server to its listeners."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fluss_server.config import SERVER_OPTIONS, Configuration
from fluss_server.errors import ErrorCode, FlussError
from fluss_server.model.principal import Principal
from fluss_server.rpc.endpoints import Endpoint
from fluss_server.runtime.runtime import system_runtime
from fluss_server.security.listeners import Listener, ListenerSecurity

MODULE = "org.apache.fluss.security.auth.sasl.plain.PlainLoginModule required"
TWO = "FLUSS://127.0.0.1:0,CLIENT://0.0.0.0:9124"


def security(**options: str) -> ListenerSecurity:
    values = {key.replace("__", "-").replace("_", "."): value for key, value in options.items()}
    return ListenerSecurity(Configuration(SERVER_OPTIONS, values), "127.0.0.1", 9123, system_runtime())


def accepts(listener: Listener, user: str, password: str) -> bool:
    assert listener.authenticator is not None
    try:
        return listener.authenticator.authenticate("PLAIN", f"\0{user}\0{password}".encode(), "192.0.2.1") == Principal(
            "User", user
        )
    except FlussError as error:
        return error.code is not ErrorCode.AUTHENTICATE_EXCEPTION


def test_without_options_there_is_one_open_listener() -> None:
    assert security().listeners == (Listener(Endpoint("FLUSS", "127.0.0.1", 9123), None, None),)


def test_every_listener_has_its_own_protocol_and_address() -> None:
    inner, client = security(
        bind_listeners=TWO,
        advertised_listeners="CLIENT://fluss.example:19123",
        security_protocol_map="CLIENT:sasl",
        security_sasl_plain_credentials="bob:bob-pass",
    ).listeners
    assert inner == Listener(Endpoint("FLUSS", "127.0.0.1", 0), None, None)
    assert client.endpoint == Endpoint("CLIENT", "0.0.0.0", 9124)
    assert client.advertised == Endpoint("CLIENT", "fluss.example", 19123)
    assert accepts(client, "bob", "bob-pass")
    assert not accepts(client, "bob", "x")


def test_users_come_from_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users").write_text("c:file\nd:file\n")
    monkeypatch.setenv("FLUSS_USERS", "b:env,c:env,d:env")
    configured = security(
        security_protocol_map="FLUSS:SASL",
        security_sasl_plain_jaas_config=f'{MODULE} user_a="jaas" user_b="jaas" user_c="jaas" user_d="jaas";',
        security_sasl_plain_credentials_env="FLUSS_USERS",
        security_sasl_plain_credentials_file=str(tmp_path / "users"),
        security_sasl_plain_credentials="d:map",
    )
    (listener,) = configured.listeners
    assert accepts(listener, "a", "jaas")
    assert accepts(listener, "b", "env")
    assert accepts(listener, "c", "file")
    assert accepts(listener, "d", "map")
    configured.configure_users({"e": "later"})
    assert accepts(listener, "e", "later")
    assert accepts(listener, "d", "file")
    with pytest.raises(FlussError):
        configured.configure_users({"f": "later", "bad name": "x"})
    assert not accepts(listener, "f", "later")


def test_a_listener_with_users_of_its_own_knows_no_others() -> None:
    inner, client = ListenerSecurity(
        Configuration(
            SERVER_OPTIONS,
            {
                "bind.listeners": TWO,
                "security.protocol.map": "FLUSS:SASL,CLIENT:SASL",
                "security.sasl.plain.credentials": "bob:shared",
                "security.sasl.listener.name.client.plain.jaas.config": f'{MODULE} user_ann="own";',
            },
        ),
        "127.0.0.1",
        0,
        system_runtime(),
    ).listeners
    assert (accepts(inner, "bob", "shared"), accepts(inner, "ann", "own")) == (True, False)
    assert (accepts(client, "bob", "shared"), accepts(client, "ann", "own")) == (False, True)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"security_protocol_map": "OTHER:SASL"}, "'OTHER', which is not bound"),
        ({"security_protocol_map": "FLUSS:KERBEROS"}, "'KERBEROS' is not a security protocol"),
        ({"security_protocol_map": "FLUSS:SASL", "security_sasl_enabled_mechanisms": "GSSAPI"}, "GSSAPI cannot be"),
        ({"security_protocol_map": "FLUSS:SASL", "security_sasl_enabled_mechanisms": ""}, "nothing cannot be"),
        ({"security_protocol_map": "FLUSS:SASL", "security_sasl_plain_credentials_env": "NOT_SET"}, "'NOT_SET'"),
        ({"advertised_listeners": "CLIENT://h:1"}, "'CLIENT', which is not bound"),
        ({"security_sasl_plain_credentials": "bob:se;cret"}, "password of user 'bob'"),
        ({"security_sasl_plain_credentials": "secret"}, "the value cannot be read"),
        ({"security_sasl_plain_credentials": "bob:secret,bob:secret2"}, "the value cannot be read"),
    ],
)
def test_bad_options_are_refused_without_their_secrets(options: dict[str, str], problem: str) -> None:
    with pytest.raises(FlussError, match=problem) as raised:
        security(**options)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION
    assert "cret" not in str(raised.value)


def test_an_open_listener_beyond_loopback_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        security(bind_listeners=TWO).warn_if_exposed()
        security(bind_listeners=TWO, security_protocol_map="CLIENT:SASL").warn_if_exposed()
        security().warn_if_exposed()
    (record,) = caplog.records
    assert record.getMessage().startswith("NO AUTHENTICATION: listener CLIENT on 0.0.0.0 port 9124 allows everybody")
