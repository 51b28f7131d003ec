"""One ZooKeeper for all tests of this folder; each test has a root of its own in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from zookeeper_support import ZooKeeperServer

_numbers = count(1)


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[ZooKeeperServer]:
    with ZooKeeperServer() as server:
        yield server


@pytest.fixture
def root() -> str:
    """A node that does not exist yet."""
    return f"/tests/{next(_numbers)}"
