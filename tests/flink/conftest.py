"""Flink tests run in the Flink environment, on one real cluster for the whole session."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if importlib.util.find_spec("pyflink") is None:
    collect_ignore_glob = ["*.py"]

if TYPE_CHECKING:
    from flink.standalone_flink import StandaloneFlink


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneFlink]:
    """A JobManager and a TaskManager with six slots."""
    from flink.standalone_flink import StandaloneFlink, use_small_gateway

    use_small_gateway()
    with StandaloneFlink(Path(tmp_path_factory.mktemp("flink")) / "cluster", slots=6) as cluster:
        yield cluster
