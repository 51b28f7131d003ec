"""What ``fluss local --tablet-servers N`` makes of its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluss_server.cli.failures import UsageError
from fluss_server.cli.local_servers import LocalServers, _internal_security, _metrics_ports, _ports_of
from fluss_server.cli.server_yaml import parse_server_yaml, server_yaml


@pytest.mark.parametrize(
    ("options", "host", "refusal"),
    [
        ({"bind.listeners": "FLUSS://127.0.0.1:1"}, "127.0.0.1", "bind.listeners cannot be set"),
        ({"zookeeper.address": "zk:2181"}, "127.0.0.1", "zookeeper.address cannot be set"),
        ({"client.security.protocol": "SASL"}, "127.0.0.1", "client.security.protocol cannot be set"),
        ({"security.protocol.map": "INTERNAL:PLAINTEXT"}, "127.0.0.1", "INTERNAL is for the servers"),
        ({}, "0.0.0.0", "under which address"),
        ({}, "::", "under which address"),
    ],
)
def test_what_it_chooses_itself_is_refused(options: dict[str, str], host: str, refusal: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=refusal):
        LocalServers(tmp_path, 2, host=host, port=0, options=options)


def test_ports() -> None:
    assert _ports_of(9123, None, 3) == [9125, 9126, 9127]
    assert _ports_of(9123, 7000, 2) == [7000, 7001]
    assert _ports_of(0, None, 2) == _ports_of(9123, 0, 2) == [0, 0]
    with pytest.raises(UsageError, match="no 2 ports from 65535 on"):
        _ports_of(65533, None, 2)
    assert _ports_of(65532, None, 2) == [65534, 65535]
    assert _metrics_ports("9249", 3) == ["9249", "9250", "9251"]
    assert _metrics_ports("0", 2) == ["0", "0"]
    assert _metrics_ports("9249-9259", 2) == ["9249-9259", "9249-9259"]


def test_the_servers_get_a_user_that_nobody_can_guess() -> None:
    given = {"security.protocol.map": "FLUSS:SASL", "super.users": "User:ann"}
    first, second = _internal_security(given), _internal_security(given)
    assert first["security.protocol.map"] == "FLUSS:SASL,INTERNAL:SASL"
    user, password = first["client.security.sasl.username"], first["client.security.sasl.password"]
    assert first["super.users"] == f"User:ann;User:{user}"
    assert f'user_{user}="{password}"' in first["security.sasl.listener.name.internal.plain.jaas.config"]
    assert len(password) == 64
    assert password != second["client.security.sasl.password"]
    assert _internal_security({})["security.protocol.map"] == "INTERNAL:SASL"


def test_a_configuration_file_is_read_as_it_was_written() -> None:
    options = {"a.b": 'x "y" \\ z', "c": "", "d": " # 'e' "}
    assert {key: value for key, (value, _) in parse_server_yaml(server_yaml(options), "f").items()} == options
    with pytest.raises(UsageError, match="the value of a has a control character"):
        server_yaml({"a": "x\ny"})
