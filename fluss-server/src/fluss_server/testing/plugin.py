"""pytest plug-in: the fixture ``fluss_cluster``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluss_server.testing.local_cluster import LocalCluster


@pytest.fixture(scope="module")
def fluss_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A fresh, empty cluster per test module, on a free loopback port.

    Indirect parameters are dictionaries of arguments of :class:`LocalCluster`, for example ``{"tablet_servers": 3}``.
    """
    with LocalCluster(**getattr(request, "param", {})) as cluster:
        yield cluster
