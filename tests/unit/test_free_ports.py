"""Ports of test servers: nobody else gets them, neither another process nor the end of a connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import free_ports

ONE_PORT = "import free_ports; free_ports._LOWEST, free_ports._lowest_ephemeral = {0}, lambda: {0} + 1"


def test_they_are_in_a_row_below_those_that_the_system_gives_to_connections() -> None:
    ports = free_ports.free_ports(3)
    assert ports == list(range(ports[0], ports[0] + 3))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        assert ports[-1] < client.getsockname()[1]


def test_another_process_does_not_get_the_same() -> None:
    program = f"{ONE_PORT.format(free_ports.free_port())}; free_ports.free_port()"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(free_ports.__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError: there are no 1 free ports" in other.stderr


def test_a_port_in_use_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_ports.free_port()
    free_ports._reserved.pop(port).close()
    monkeypatch.setattr(free_ports, "_LOWEST", port)
    monkeypatch.setattr(free_ports, "_lowest_ephemeral", lambda: port + 1)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="there are no 1 free ports"):
        free_ports.free_port()
    assert free_ports.free_port() == port
