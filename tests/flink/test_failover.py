"""Flink jobs that lose their TaskManager, or start again from a checkpoint, end with exactly the rows written."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flink.sql import environment, table_rows
from flink.standalone_flink import StandaloneFlink
from fluss_server.testing import LocalCluster
from waiting import wait_until

pytestmark = [pytest.mark.flink, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PYFLUSS_PYTHON = os.environ.get("FLUSS_PYFLUSS_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
KEYS = 10

WRITER = """
import asyncio, os, sys, fluss

async def main():
    servers, first, count, chunk, keys = sys.argv[1], *map(int, sys.argv[2:])
    config = fluss.Config({"bootstrap.servers": servers, "writer.batch-timeout-ms": "1"})
    connection = await fluss.FlussConnection.create(config)
    table = await connection.get_table(fluss.TablePath("fluss", "events"))
    writer = table.new_append().create_writer()
    for start in range(first, first + count, chunk):
        for n in range(start, min(start + chunk, first + count)):
            writer.append([n, n % keys])
        await writer.flush()
        await asyncio.sleep(0.02)
    await connection.close()

asyncio.run(main())
os._exit(0)  # pyfluss 1.0.0 sometimes aborts while the interpreter ends
"""


def start_writer(servers: str, first: int, count: int, chunk: int) -> subprocess.Popen[bytes]:
    """A process of its own that appends ``n = first .. first + count - 1`` with pyfluss, slowly."""
    return subprocess.Popen([PYFLUSS_PYTHON, "-c", WRITER, servers, *map(str, (first, count, chunk, KEYS))])


def expected(count: int) -> list[tuple[int, int, int]]:
    """``(k, number of rows, sum of n)`` of the rows 0 .. count - 1."""
    return [(key, len(range(key, count, KEYS)), sum(range(key, count, KEYS))) for key in range(KEYS)]


def counted(cluster: LocalCluster) -> int:
    return sum(int(row[1]) for row in table_rows(cluster.port, "totals"))


def more_than(cluster: LocalCluster, seen: int) -> bool:
    return counted(cluster) > seen


def create_tables(env: Any) -> None:
    env.execute_sql("CREATE TABLE events (n BIGINT, k INT) WITH ('bucket.num' = '3')")
    env.execute_sql(
        "CREATE TABLE totals (k INT, c BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket.num' = '2')"
    )


AGGREGATION = "INSERT INTO totals SELECT k, COUNT(*), SUM(n) FROM events GROUP BY k"


def test_a_killed_task_manager_neither_loses_nor_repeats_a_row(flink: StandaloneFlink) -> None:
    count = 30_000
    with LocalCluster() as cluster:
        options = {
            "execution.checkpointing.interval": "400ms",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": "1000",
            "restart-strategy.fixed-delay.delay": "200ms",
        }
        env = environment(flink, cluster.bootstrap_servers, options)
        create_tables(env)
        job = env.execute_sql(AGGREGATION)
        writer = start_writer(cluster.bootstrap_servers, 0, count, 100)
        try:
            for kill in range(3):
                seen = counted(cluster)
                wait_until(functools.partial(more_than, cluster, seen), f"progress before kill {kill}")
                flink.kill_task_manager()
                flink.start_task_manager()
            assert writer.wait(120) == 0
            wait_until(lambda: counted(cluster) >= count, "all rows counted")
            assert sorted(table_rows(cluster.port, "totals")) == expected(count)
        finally:
            writer.kill()
            writer.wait()
            job.get_job_client().cancel().result()


def test_a_job_restarted_from_its_checkpoint_goes_on_where_it_was(flink: StandaloneFlink, tmp_path: Path) -> None:
    count = 10_000
    checkpoints = tmp_path / "checkpoints"
    options = {
        "execution.checkpointing.interval": "300ms",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": checkpoints.as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    }
    with LocalCluster() as cluster:
        env = environment(flink, cluster.bootstrap_servers, options)
        create_tables(env)
        job = env.execute_sql(AGGREGATION)
        writer = start_writer(cluster.bootstrap_servers, 0, count // 2, 200)
        assert writer.wait(120) == 0
        wait_until(lambda: counted(cluster) > 0, "the first rows")
        wait_until(lambda: bool(list(checkpoints.glob("*/chk-*/_metadata"))), "a checkpoint")
        job.get_job_client().cancel().result()

        # What the job wrote after its last checkpoint is in the table already; the restarted job must write over it.
        writer = start_writer(cluster.bootstrap_servers, count // 2, count - count // 2, 500)
        assert writer.wait(120) == 0
        newest = max(checkpoints.glob("*/chk-*/_metadata"), key=lambda path: int(path.parent.name.split("-")[1])).parent
        env = environment(
            flink, cluster.bootstrap_servers, options | {"execution.state-recovery.path": newest.as_uri()}
        )
        job = env.execute_sql(AGGREGATION)
        try:
            wait_until(lambda: counted(cluster) >= count, "all rows counted")
            assert sorted(table_rows(cluster.port, "totals")) == expected(count)
        finally:
            job.get_job_client().cancel().result()
