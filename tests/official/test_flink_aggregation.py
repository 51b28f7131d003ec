"""Our connector on an official server 0.9.1-incubating: aggregation tables of every function, equal to the model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregation_model import COLUMNS, ORDERED_SESSION, AggregationModel
from flink.sql import environment, insert, rows
from flink.standalone_flink import StandaloneFlink, use_small_gateway

pytestmark = [pytest.mark.flink, pytest.mark.slow]

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def _official_cluster(directory: Path) -> Any:
    """The cluster of the benchmarks; their module has the name of this package."""
    spec = importlib.util.spec_from_file_location("official_cluster", _BENCHMARKS / "official.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OfficialCluster(directory)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A batch session whose INSERTs keep the order of their rows."""
    use_small_gateway()
    directory = tmp_path_factory.mktemp("official")
    with (
        _official_cluster(directory / "fluss") as official,
        StandaloneFlink(directory / "flink", slots=2) as flink,
    ):
        yield environment(flink, official.bootstrap_servers, ORDERED_SESSION, batch=True)


def test_every_function_equals_the_model(session: Any) -> None:
    model = AggregationModel("every_function", seed=3)
    session.execute_sql(model.create())
    insert(session, model.insert(12))
    insert(session, model.insert(6, share=0.5))
    insert(session, model.insert(12))
    model.compare(rows(session, model.select()))


def test_functions_are_shown_and_copied(session: Any) -> None:
    shown = AggregationModel("shown")
    session.execute_sql(shown.create())
    [(text,)] = rows(session, "SHOW CREATE TABLE shown")
    for column in COLUMNS:
        if column.function:
            function = column.function.lower().replace("-", "_")
            assert f"'fields.{column.name}.agg' = '{function}'" in text
    session.execute_sql("CREATE TABLE copied LIKE shown")
    copied = AggregationModel("copied", seed=7)
    insert(session, copied.insert(12))
    copied.compare(rows(session, copied.select()))


def test_an_auto_increment_column(session: Any) -> None:
    session.execute_sql(
        "CREATE TABLE numbered (name STRING, number BIGINT, PRIMARY KEY (name) NOT ENFORCED)"
        " WITH ('auto-increment.fields' = 'number')"
    )
    # Flink would make a source of every row after INSERT INTO numbered (name) VALUES, and their order is free.
    insert(session, "INSERT INTO numbered (name) SELECT * FROM (VALUES ('a'), ('b'), ('a')) AS written (name)")
    found = dict(rows(session, "SELECT * FROM numbered LIMIT 10"))
    assert found == {"a": 1, "b": 2}
