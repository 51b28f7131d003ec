from __future__ import annotations

import pytest

from fluss_server.cli.failures import UsageError
from fluss_server.cli.grpc_ports import port_after
from fluss_server.errors import FlussError


@pytest.mark.parametrize(
    ("port", "listeners", "expected"),
    [
        (9123, None, 9124),
        (0, None, 0),
        (9123, "INTERNAL://127.0.0.1:9123,CLIENT://0.0.0.0:9124", 9125),
        (9123, "A://127.0.0.1:7000, B://127.0.0.1:9999", 7001),
        (9123, "A://127.0.0.1:0", 0),
        (65534, None, 65535),
    ],
)
def test_the_grpc_port_follows(port: int, listeners: str | None, expected: int) -> None:
    assert port_after(port, listeners) == expected


def test_there_may_be_none() -> None:
    with pytest.raises(UsageError, match="no port after 65535"):
        port_after(65535, None)
    with pytest.raises(FlussError):
        port_after(1, "nonsense")
