"""Addresses of listeners."""

from __future__ import annotations

import pytest

from fluss_server.errors import ErrorCode, FlussError
from fluss_server.rpc.endpoints import Endpoint, advertised_endpoints, is_loopback, parse_endpoints


def test_endpoints() -> None:
    assert parse_endpoints("bind.listeners", "FLUSS://localhost:9123, CLIENT://[::1]:0") == [
        Endpoint("FLUSS", "localhost", 9123),
        Endpoint("CLIENT", "::1", 0),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "localhost:9123", "FLUSS://localhost", "FLUSS://localhost:65536", "FLUSS://:1", "A://h:1,A://h:2", "A://h:1,"],
)
def test_bad_endpoints(text: str) -> None:
    with pytest.raises(FlussError, match=r"bind\.listeners") as raised:
        parse_endpoints("bind.listeners", text)
    assert raised.value.code is ErrorCode.INVALID_CONFIG_EXCEPTION


def test_only_bound_listeners_can_be_advertised() -> None:
    bound = [Endpoint("A", "0.0.0.0", 1), Endpoint("B", "0.0.0.0", 2)]
    public = Endpoint("B", "fluss.example", 19123)
    assert advertised_endpoints(bound, [public]) == {"B": public}
    with pytest.raises(FlussError, match="'C', which is not bound"):
        advertised_endpoints(bound, [Endpoint("C", "x", 1)])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("127.example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
