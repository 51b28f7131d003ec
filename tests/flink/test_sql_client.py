"""The README's SQL and flink-sql/examples in ``sql-client.sh -f`` of a plain Flink.

``make test-sql-client FLINK_VERSION=2.2.1`` runs them with another version than the one of the Flink environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doc_examples import README_SERVER, ROOT, example
from flink.sql import table_rows
from flink.sql_client import SqlClient, plain_flink
from flink.standalone_flink import StandaloneFlink
from fluss_server.testing import LocalCluster
from waiting import wait_until

pytestmark = [pytest.mark.flink, pytest.mark.slow]

VERSION = os.environ.get("FLUSS_FLINK_VERSION", "2.3.0")
EXAMPLES = ROOT / "flink-sql" / "examples"


@pytest.fixture(scope="module")
def home() -> Path:
    return plain_flink(VERSION)


@pytest.fixture(scope="module")
def cluster(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneFlink]:
    directory = tmp_path_factory.mktemp("plain") / "cluster"
    with StandaloneFlink(directory, slots=4, lib=home / "lib") as cluster:
        yield cluster


@pytest.fixture
def fluss() -> Iterator[LocalCluster]:
    """A server for each test, for the commands of the shell, too."""
    with LocalCluster(grpc=True) as cluster:
        yield cluster


@pytest.fixture
def client(home: Path, cluster: StandaloneFlink, tmp_path: Path) -> SqlClient:
    return SqlClient(home, cluster, tmp_path)


def on(fluss: LocalCluster, sql: str) -> str:
    """SQL of a document for the server of the test."""
    assert README_SERVER in sql
    return sql.replace(README_SERVER, fluss.bootstrap_servers)


def file(fluss: LocalCluster, name: str) -> str:
    return on(fluss, (EXAMPLES / name).read_text())


def cells(output: str) -> set[str]:
    """The lines of printed tables, with one blank between their words."""
    return {" ".join(line.split()) for line in output.splitlines() if line.startswith("|")}


def shell(fluss: LocalCluster, line: str) -> None:
    """Run a line of the README in a shell where ``fluss`` is this environment's."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "FLUSS_SERVER": f"127.0.0.1:{fluss.grpc_port}"}
    command = ["bash", "-c", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme(client: SqlClient, fluss: LocalCluster) -> None:
    printed = cells(client.run("clicks", on(fluss, example("sql"))))
    assert {"| clicks |", "| users |"} <= printed
    assert {"| Ada | /home |", "| Grace Hopper | /shop |"} <= printed
    assert "| 2 |" in printed

    # A job that keeps running while rows are inserted.
    with client.running("streaming", on(fluss, example("sql-streaming"))) as query:
        query.wait_for("| +I | /home | 1 |", "| +I | /shop | 1 |")
        shell(fluss, example("put-click"))
        query.wait_for("| -U | /shop | 1 |", "| +U | /shop | 2 |")


def test_the_quickstart_and_its_windows(client: SqlClient, fluss: LocalCluster) -> None:
    printed = client.run("quickstart", file(fluss, "quickstart.sql"))
    assert "WATERMARK FOR `ordered_at`" in printed
    assert {"| Ada | 119.00 |", "| Ada | 11.90 |", "| Grace | 23.80 |"} <= cells(printed)

    # Two of the four buckets or more are empty.
    with client.running("windows", file(fluss, "windows.sql")) as query:
        query.wait_for("| +I | 2026-01-01 10:00:00.000 | 2 | 142.80 |")

    printed = client.run("batch", file(fluss, "batch.sql"))
    assert {"| 1 | 2 | 130.90 |", "| 3 |", "| 2 | Grace | New York |"} <= cells(printed)
    assert client.run("batch-again", file(fluss, "batch.sql")).count("Grace") == 0, "the DELETE was waited for"


def test_the_other_examples(client: SqlClient, fluss: LocalCluster, cluster: StandaloneFlink) -> None:
    client.run("quickstart", file(fluss, "quickstart.sql"))
    printed = cells(client.run("partial-update", file(fluss, "partial-update.sql")))
    assert "| 100 | DHL | 2026-01-02 08:00:00.000 | Ada |" in printed

    with cancelling_jobs(cluster):
        client.run("lookup-join", file(fluss, "lookup-join.sql"))
        wait_until(lambda: len(table_rows(fluss.port, "enriched_orders", "shop")) == 3, "three enriched orders")
        with client.running("changelog", file(fluss, "changelog.sql")) as query:
            query.wait_for("| 1 | 2 | 130.90 |", "| 2 | 1 | 23.80 |")


@contextmanager
def cancelling_jobs(cluster: StandaloneFlink) -> Iterator[None]:
    """Cancel what runs on the cluster at the end: INSERTs of a stream go on without their client."""
    try:
        yield
    finally:
        for job in (cluster.get("/jobs") or {"jobs": []})["jobs"]:
            if job["status"] in ("RUNNING", "RESTARTING", "CREATED"):
                cluster.cancel(job["id"])
