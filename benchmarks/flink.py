"""Flink inserts and selects through our connector: rows per second of whole jobs, server CPU per million rows.

Rates come from the run time that Flink reports for the job, start-up of tasks included.
"""

from __future__ import annotations

import argparse
import os

from pyflink.table import EnvironmentSettings, TableEnvironment

from fluss_server.testing import LocalCluster
from support import cpu_seconds, median, print_table

COLUMNS = {
    "id": "BIGINT",
    "user_id": "BIGINT",
    "item": "INT",
    "price": "DECIMAL(10, 2)",
    "quantity": "INT",
    "score": "DOUBLE",
    "country": "STRING",
    "page": "STRING",
    "agent": "STRING",
    "ts": "TIMESTAMP(3)",
}


class Bench:
    """Runs statements and keeps the median figures of each."""

    def __init__(self, env: TableEnvironment, cluster: LocalCluster, runs: int) -> None:
        self.env, self.cluster, self.runs = env, cluster, runs
        self.rows: list[list[str]] = []

    def measure(self, name: str, count: int, statement: str) -> None:
        rates, cpus = [], []
        for _ in range(self.runs):
            cpu = cpu_seconds(self.cluster.pid)
            result = self.env.execute_sql(statement)
            client = result.get_job_client()
            assert client is not None, "every measured statement is a job"
            seconds = client.get_job_execution_result().result().get_net_runtime() / 1000
            rates.append(count / seconds)
            cpus.append((cpu_seconds(self.cluster.pid) - cpu) / count * 1e6)
        self.rows.append([name, f"{median(rates):,.0f}", f"{median(cpus):.2f}"])
        print(f"{name:40} {median(rates):>12,.0f} rows/s {median(cpus):8.2f} CPU s/M", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    count = arguments.rows
    os.environ.setdefault("JVM_ARGS", "-Xmx2g")
    with LocalCluster() as cluster:
        env = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
        env.get_config().set("parallelism.default", "1")
        servers = cluster.bootstrap_servers
        env.execute_sql(f"CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '{servers}')")
        columns = ", ".join(f"`{name}` {data_type}" for name, data_type in COLUMNS.items())
        source = "default_catalog.default_database.generated"
        # Texts of these lengths make rows of about 190 bytes.
        sizes = {"country": 2, "page": 40, "agent": 50}
        lengths = ", ".join(f"'fields.{name}.length' = '{size}'" for name, size in sizes.items())
        env.execute_sql(
            f"CREATE TABLE {source} ({columns}) WITH ('connector' = 'datagen', 'number-of-rows' = '{count}', {lengths},"
            f" 'rows-per-second' = '100000000',"
            f" 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '{count}')"
        )
        nothing = "default_catalog.default_database.nothing"
        env.execute_sql(f"CREATE TABLE {nothing} ({columns}) WITH ('connector' = 'blackhole')")
        little = "default_catalog.default_database.little"
        env.execute_sql(f"CREATE TABLE {little} (id BIGINT, item INT) WITH ('connector' = 'blackhole')")
        env.use_catalog("fluss")
        env.execute_sql(f"CREATE TABLE log ({columns})")
        env.execute_sql(f"CREATE TABLE keyed ({columns}, PRIMARY KEY (id) NOT ENFORCED)")
        env.execute_sql(f"CREATE TABLE read_log ({columns})")
        env.execute_sql(f"INSERT INTO read_log SELECT * FROM {source}").wait()
        bench = Bench(env, cluster, arguments.runs)
        bench.measure("generate rows, write nowhere", count, f"INSERT INTO {nothing} SELECT * FROM {source}")
        bench.measure("insert into a log table", count, f"INSERT INTO log SELECT * FROM {source}")
        bench.measure("upsert into a primary-key table", count, f"INSERT INTO keyed SELECT * FROM {source}")
        bench.measure("select all of a log table", count, f"INSERT INTO {nothing} SELECT * FROM read_log")
        bench.measure("select 2 of 10 columns", count, f"INSERT INTO {little} SELECT id, item FROM read_log")
        bench.measure("select all of a primary-key table", count, f"INSERT INTO {nothing} SELECT * FROM keyed")
        print_table(
            f"Flink, one task, {count:,} rows, medians of {arguments.runs}",
            ["job", "rows/s", "server CPU s per million rows"],
            bench.rows,
        )


if __name__ == "__main__":
    main()
