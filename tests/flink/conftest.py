"""Flink tests run in the Flink environment, on one real cluster for the whole session."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fluss_server.testing import LocalCluster

if importlib.util.find_spec("pyflink") is None:
    collect_ignore_glob = ["*.py"]

if TYPE_CHECKING:
    from pyflink.table import TableEnvironment

    from flink.standalone_flink import StandaloneFlink


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneFlink]:
    """A JobManager and a TaskManager with six slots."""
    from flink.standalone_flink import StandaloneFlink, use_small_gateway

    use_small_gateway()
    with StandaloneFlink(Path(tmp_path_factory.mktemp("flink")) / "cluster", slots=6) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def fluss() -> Iterator[LocalCluster]:
    """A server for the tests of a module."""
    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def batch(flink: StandaloneFlink, fluss: LocalCluster) -> TableEnvironment:
    """A batch session on both."""
    from flink.sql import environment

    return environment(flink, fluss.bootstrap_servers, batch=True)


@pytest.fixture(scope="module")
def stream(flink: StandaloneFlink, fluss: LocalCluster) -> TableEnvironment:
    """A streaming session on both, with a checkpoint every half second."""
    from flink.sql import environment

    return environment(flink, fluss.bootstrap_servers, {"execution.checkpointing.interval": "500ms"})
