"""Clients for the tests of this folder, and a server that records what they call.

A test class names its RPC as ``API`` and the clients that have a call for it as ``CLIENTS``; it may name
``SERVER_OPTIONS`` and ``CLIENT_OPTIONS``. Every test then runs
through each of them and must have made the client call that RPC, in the version that docs/compatibility.md states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from clients.rpc.client import JAVA_0_9, JAVA_1_0, PYFLUSS, Client
from official.compatibility import Observations, expected_version
from official.recording_cluster import RecordingCluster

ServerKey = tuple[str, tuple[tuple[str, str], ...]]
"""Label of a client and the options of its server."""


@dataclass
class Running:
    """What runs, by what it was asked for: everything is started when it is first needed and serves the session."""

    clusters: dict[ServerKey, RecordingCluster] = field(default_factory=dict)
    clients: dict[ServerKey, Client] = field(default_factory=dict)
    drivers: dict[str, Any] = field(default_factory=dict)
    observations: Observations = field(default_factory=Observations)


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """Servers, JVMs and clients of this session; a server per client, because Java clients do not say who they are."""
    everything = Running()
    yield everything
    with ExitStack() as ending:  # all of it ends, whatever fails on the way
        for cluster in everything.clusters.values():
            ending.callback(cluster.stop)
            ending.callback(everything.observations.write_if_asked, cluster.port)
        for driver in everything.drivers.values():
            ending.callback(driver.close)
        for client in everything.clients.values():
            ending.callback(client.close)


def connect(label: str, servers: str, drivers: dict[str, Any], options: Mapping[str, str] | None = None) -> Client:
    """A new connection of a client; options are named without ``client.``."""
    if label == PYFLUSS:
        from clients.rpc.pyfluss import PyflussClient

        return PyflussClient(servers, options or {})
    from clients.rpc.java import JavaClient
    from official.java_driver import JavaDriver

    version = {JAVA_0_9: "0.9.1-incubating", JAVA_1_0: "1.0.0"}[label]
    if version not in drivers:
        drivers[version] = JavaDriver(version)
    return JavaClient(drivers[version], servers, options or {})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "client_label" in metafunc.fixturenames:
        labels = getattr(metafunc.cls, "CLIENTS", None)
        assert labels is not None, f"{metafunc.cls} names no CLIENTS"
        parameters = [pytest.param(label, marks=() if label == PYFLUSS else pytest.mark.java) for label in labels]
        metafunc.parametrize("client_label", parameters)


def _server_key(request: pytest.FixtureRequest, client_label: str) -> ServerKey:
    return client_label, tuple(getattr(request.cls, "SERVER_OPTIONS", {}).items())


@pytest.fixture
def recording_cluster(
    client_label: str, request: pytest.FixtureRequest, running: Running, tmp_path_factory: pytest.TempPathFactory
) -> RecordingCluster:
    """The server of the client under test."""
    key = _server_key(request, client_label)
    if key not in running.clusters:
        directory = tmp_path_factory.mktemp("recorded") / "data"
        cluster = RecordingCluster(directory, options=dict(key[1]))
        cluster.start()
        running.clusters[key] = cluster
    return running.clusters[key]


@pytest.fixture
def client(
    client_label: str, request: pytest.FixtureRequest, recording_cluster: RecordingCluster, running: Running
) -> Iterator[Client]:
    """The client under test; its calls are compared with docs/compatibility.md afterwards."""
    key = _server_key(request, client_label)
    if key not in running.clients:
        options = getattr(request.cls, "CLIENT_OPTIONS", {})
        running.clients[key] = connect(client_label, recording_cluster.bootstrap_servers, running.drivers, options)
    before = recording_cluster.position()
    yield running.clients[key]
    calls = recording_cluster.calls(before)
    running.observations.add(client_label, calls)
    api = getattr(request.cls, "API", None)
    if api is None or request.node.get_closest_marker("no_call") is not None:
        return
    versions = {call.version for call in calls if call.api is api}
    assert versions, f"{client_label} did not call {api.name}"
    if not running.observations.writing:
        assert versions == {expected_version(api, client_label)}, "make compatibility writes the page anew"


@pytest.fixture
def name(request: pytest.FixtureRequest, client_label: str) -> str:
    """A name for a table or database that no other test has."""
    test = request.node.originalname.removeprefix("test_")
    owner = "" if request.cls is None else request.cls.__name__.removeprefix("Test").lower()
    return f"{owner}_{test}"[:150]
