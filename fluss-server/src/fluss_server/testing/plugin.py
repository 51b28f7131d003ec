"""pytest plug-in: the fixture ``fluss_cluster``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluss_server.testing.local_cluster import LocalCluster


@pytest.fixture(scope="module")
def fluss_cluster() -> Iterator[LocalCluster]:
    """A fresh, empty cluster per test module, on a free loopback port."""
    with LocalCluster() as cluster:
        yield cluster
