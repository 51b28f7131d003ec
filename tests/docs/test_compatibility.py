"""docs/compatibility.md agrees with the running server, and every cell about a client has tests behind it.

That the clients really make the calls, in the versions that the page states, each of those tests checks itself.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from clients.rpc.client import ALL
from fluss_server.api.keys import ApiKey
from fluss_server.testing import LocalCluster
from official.compatibility import NO_CALL, NOT_SERVED, PAGE, PUBLIC, read_page, render, served_apis, server_cell

RPC_TESTS = Path(__file__).resolve().parents[1] / "clients" / "rpc"


@pytest.fixture(scope="module")
def served(fluss_cluster: LocalCluster) -> set[ApiKey]:
    return served_apis(fluss_cluster.port)


def covered() -> set[tuple[ApiKey, str]]:
    """The RPCs that test classes name, with the clients they name."""
    found = set()
    for path in sorted(RPC_TESTS.glob("test_*.py")):
        module = importlib.import_module(f"clients.rpc.{path.stem}")
        for value in vars(module).values():
            api = getattr(value, "API", None)
            if isinstance(value, type) and isinstance(api, ApiKey):
                found |= {(api, client) for client in getattr(value, "CLIENTS", ())}
    return found


def test_the_page_is_as_it_would_be_written() -> None:
    assert PAGE.read_text() == render(read_page())


def test_what_it_says_about_the_server(served: set[ApiKey]) -> None:
    cells = read_page()
    assert {key: cells[key, "server"] for key in PUBLIC} == {key: server_cell(key, served) for key in PUBLIC}


def test_what_is_not_served_has_a_reason(served: set[ApiKey]) -> None:
    assert set(PUBLIC) - served == set(NOT_SERVED)


def test_every_cell_about_a_client_has_its_tests() -> None:
    cells = {(key, client) for (key, client), cell in read_page().items() if client in ALL and cell != NO_CALL}
    assert cells == covered()


def test_every_served_rpc_is_called_by_some_client(served: set[ApiKey]) -> None:
    assert {key for key, _ in covered()} >= served
